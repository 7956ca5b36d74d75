use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::cache::CacheError;
use crate::port::{self, Ports};
use crate::process::{Process, ProcessError, Program};
use crate::progress::{Progress, Step};
use crate::watchdog::Watchdog;

/// The first key is made in it, which takes long on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(300);
const PROBE_DEADLINE: Duration = Duration::from_secs(2);
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// A signing network could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalNetworkError {
    /// The `quorate` program is not there.
    #[error("there is no program at {program}", program = program.display())]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
        /// Why it was not found.
        source: io::Error,
    },
    /// A process could not be started, or ended by itself.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// No client for the gateway could be made.
    #[error("cannot make a client for the gateway")]
    Client(#[source] reqwest::Error),
    /// The folder of the network could not be used.
    #[error(transparent)]
    Folder(#[from] CacheError),
}

/// A gateway and the nodes of a signing network, each a process on this machine.
///
/// They end with [`LocalNetwork::shutdown`], when this is dropped, and when the program ends in whatever way. Their
/// keys and configurations stay in the folder.
#[derive(Debug)]
pub struct LocalNetwork {
    // Dropped from top to bottom: the nodes before the gateway that they are connected to.
    nodes: Vec<Process>,
    gateway: Process,
    gateway_url: Url,
    folder: PathBuf,
}

impl LocalNetwork {
    /// Makes a network of `nodes` nodes in `folder`, `threshold` of which sign together, and starts it.
    ///
    /// `program` is the `quorate` program. The gateway listens on a free port of 127.0.0.1. Returns when all
    /// nodes are connected to it and have made a first key; dropping the future ends what it started.
    ///
    /// # Errors
    /// If the program is missing, refuses the numbers, or a process does not start; its last words are in the error.
    pub async fn start(
        program: &Path,
        folder: &Path,
        nodes: u8,
        threshold: u8,
        progress: &dyn Progress,
    ) -> Result<Self, LocalNetworkError> {
        // The processes run in another folder, where a relative path would lead elsewhere.
        let program = fs::canonicalize(program)
            .map_err(|source| LocalNetworkError::NoProgram { program: program.to_owned(), source })?;
        fs::create_dir_all(folder).map_err(CacheError::at("make", folder))?;
        let folder = fs::canonicalize(folder).map_err(CacheError::at("find", folder))?;
        let mut ports = Ports::default();
        let gateway_port = ports.choose("the gateway", None)?;
        let watchdog = Watchdog::start().map_err(|source| ProcessError::Watchdog { source })?;
        let run = Run { program: &program, folder: &folder, watchdog: Arc::new(watchdog) };

        progress.step(Step::InitializeNetwork { nodes, threshold });
        run.initialize(nodes, threshold, gateway_port).await?;

        progress.step(Step::StartNetwork { nodes });
        drop(ports);
        let gateway_url = port::local_url(gateway_port);
        let gateway = run.long("the gateway", "gateway", "gateway")?;
        let mut network = Self { nodes: Vec::new(), gateway, gateway_url, folder: folder.clone() };
        network.wait_for(Health::default()).await?;
        for node in 1..=nodes {
            network.nodes.push(run.long(&format!("node {node}"), "node", &format!("node-{node}"))?);
        }
        network.wait_for(Health { nodes, keys: 0 }).await?;
        progress.step(Step::MakeFreeKey);
        network.wait_for(Health { nodes, keys: 1 }).await?;
        Ok(network)
    }

    /// Where the gateway answers, over HTTP and WebSocket.
    pub fn gateway_url(&self) -> &Url {
        &self.gateway_url
    }

    /// The folder with the network's keys, configurations, data and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An error if the gateway or a node has ended.
    ///
    /// # Errors
    /// [`ProcessError::Died`] with its last words.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        self.gateway.alive()?;
        self.nodes.iter_mut().try_for_each(Process::alive)
    }

    /// Ends the nodes and the gateway, and waits until they are gone.
    pub async fn shutdown(mut self) {
        for node in &mut self.nodes {
            node.terminate(SHUTDOWN_PATIENCE).await;
        }
        self.gateway.terminate(SHUTDOWN_PATIENCE).await;
    }

    async fn wait_for(&mut self, wanted: Health) -> Result<(), LocalNetworkError> {
        let client =
            reqwest::Client::builder().timeout(PROBE_DEADLINE).build().map_err(LocalNetworkError::Client)?;
        let mut health_url = self.gateway_url.clone();
        health_url.set_path("health");
        let Self { nodes, gateway, .. } = self;
        let ready = async || {
            let health = health(&client, &health_url).await;
            health.is_some_and(|health| health.nodes >= wanted.nodes && health.keys >= wanted.keys)
        };
        // A node that ends would otherwise be noticed at the deadline only.
        let mut dead = None;
        gateway
            .ready(START_DEADLINE, async || {
                dead = nodes.iter_mut().find_map(|node| node.alive().err());
                dead.is_some() || ready().await
            })
            .await?;
        dead.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What the gateway answers to `GET /health`.
#[derive(Default, Deserialize)]
struct Health {
    nodes: u8,
    keys: usize,
}

/// What the gateway says of itself, if it answers.
async fn health(client: &reqwest::Client, health_url: &Url) -> Option<Health> {
    let body = client.get(health_url.clone()).send().await.ok()?.bytes().await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// What the runs of the program share.
struct Run<'a> {
    program: &'a Path,
    folder: &'a Path,
    watchdog: Arc<Watchdog>,
}

impl Run<'_> {
    async fn initialize(&self, nodes: u8, threshold: u8, gateway_port: u16) -> Result<(), ProcessError> {
        let arguments: [OsString; 12] = [
            "network".into(),
            "init".into(),
            "--nodes".into(),
            nodes.to_string().into(),
            "--threshold".into(),
            threshold.to_string().into(),
            "--gateway".into(),
            format!("127.0.0.1:{gateway_port}").into(),
            "--free-keys".into(),
            "1".into(),
            "--out".into(),
            self.folder.into(),
        ];
        self.start("quorate network init", arguments.into(), "init.log")?.finished(START_DEADLINE).await
    }

    /// Runs `quorate ROLE run` with the configuration in a folder of the network.
    fn long(&self, name: &str, role: &str, part: &str) -> Result<Process, ProcessError> {
        let config = self.folder.join(part).join(format!("{role}.toml"));
        let arguments = vec![role.into(), "run".into(), "--config".into(), config.into()];
        self.start(name, arguments, &format!("{part}.log"))
    }

    fn start(&self, name: &str, arguments: Vec<OsString>, log: &str) -> Result<Process, ProcessError> {
        let program = Program {
            name: name.to_owned(),
            program: self.program,
            arguments,
            directory: self.folder,
            log: self.folder.join(log),
        };
        Process::start(program, &self.watchdog)
    }
}
