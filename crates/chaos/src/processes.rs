//! The gateway and the nodes, each a process with a folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quorate_node::{GatewayConfig, NodeConfig, Rate};
use quorate_protocol::{NetworkDescriptor, NodeIndex};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ChaosError;

/// A process of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The gateway.
    Gateway,
    /// A node.
    Node(NodeIndex),
}

/// The processes of a network, which are killed when this is dropped.
#[derive(Debug)]
pub struct Processes {
    program: PathBuf,
    folder: PathBuf,
    descriptor: NetworkDescriptor,
    gateway: SocketAddr,
    children: BTreeMap<Part, Child>,
}

/// What the gateway says of itself.
#[derive(Deserialize)]
struct Health {
    ready: BTreeSet<NodeIndex>,
    /// How many free keys it has.
    keys: usize,
}

/// How many nodes a network has, and how many of them sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many nodes sign.
    pub threshold: u8,
    /// How many nodes hold a share of each key.
    pub nodes: u8,
}

/// Connections go out from 127.0.0.1, so none of them takes the gateway's port while the gateway is down.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How often is looked whether a process has done what is waited for, and when it is given up: far above what it takes.
const POLL: Duration = Duration::from_millis(10);
const HANGS: Duration = Duration::from_secs(120);
const PROBE: Duration = Duration::from_secs(2);

impl Processes {
    /// Writes a network's files and starts its processes, of `program`, which is `quorate`; the gateway keeps so many keys
    /// ready.
    ///
    /// # Errors
    /// A folder that holds a network already or cannot be written, or a process that does not start or ends.
    pub async fn start(
        program: &Path,
        folder: &Path,
        Size { threshold, nodes }: Size,
        free_keys: usize,
    ) -> Result<Self, ChaosError> {
        // Paths in configurations are relative to the file, and these are not.
        let folder = &std::path::absolute(folder).map_err(ChaosError::io("use", folder.display()))?;
        let gateway = free_address()?;
        let descriptor = quorate_node::init(folder, threshold, nodes, gateway, free_keys, None)?;
        admit_one_busy_client(&folder.join("gateway/gateway.toml"))?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut processes = Self { program, folder, descriptor, gateway, children: BTreeMap::new() };
        processes.spawn(Part::Gateway)?;
        let nodes = processes.nodes();
        for &node in &nodes {
            processes.spawn(Part::Node(node))?;
        }
        processes.until(Part::Gateway, "connected to all nodes", |ready| *ready == nodes).await?;
        Ok(processes)
    }

    /// The nodes of the network.
    pub fn nodes(&self) -> BTreeSet<NodeIndex> {
        self.descriptor.nodes().map(|(node, _)| node).collect()
    }

    /// What clients pin.
    pub const fn descriptor(&self) -> &NetworkDescriptor {
        &self.descriptor
    }

    /// Where the gateway listens, for clients and nodes.
    pub const fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// A process's id, while it runs.
    pub fn pid(&self, part: Part) -> Option<u32> {
        self.children.get(&part).and_then(Child::id)
    }

    /// Has a node be configured otherwise from its next start on.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn configure_node(
        &self,
        node: NodeIndex,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<(), ChaosError> {
        let file = self.folder.join(format!("node-{node}/node.toml"));
        let mut config = NodeConfig::load(&file)?;
        change(&mut config);
        fs::write(&file, toml::to_string(&config).unwrap_or_default())
            .map_err(ChaosError::io("write", file.display()))
    }

    /// The file with a node's ledgers.
    pub(crate) fn database(&self, node: NodeIndex) -> PathBuf {
        self.folder.join(format!("node-{node}/node.db"))
    }

    /// Starts a process, which then has its port and its database again.
    ///
    /// # Errors
    /// A program that cannot be run, or a log that cannot be written.
    pub fn spawn(&mut self, part: Part) -> Result<(), ChaosError> {
        self.spawn_with(part, "")
    }

    /// Starts a process in which something happens at fail points: `point=action;…`.
    pub(crate) fn spawn_with(&mut self, part: Part, actions: &str) -> Result<(), ChaosError> {
        let (role, home) = match part {
            Part::Gateway => ("gateway", "gateway".to_owned()),
            Part::Node(node) => ("node", format!("node-{node}")),
        };
        let log = self.log(part);
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(ChaosError::io("write", log.display()))?;
        let child = Command::new(&self.program)
            .args([role, "run", "--config"])
            .arg(self.folder.join(home).join(format!("{role}.toml")))
            .env("FAILPOINTS", actions)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(ChaosError::io("run", self.program.display()))?;
        self.children.insert(part, child);
        Ok(())
    }

    /// Kills a process, which notices nothing of it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn kill(&mut self, part: Part) -> Result<(), ChaosError> {
        let Some(mut child) = self.children.remove(&part) else { return Ok(()) };
        child.kill().await.map_err(ChaosError::io("kill", part))
    }

    /// Waits until a process has ended by itself, and says how.
    pub(crate) async fn ended(&mut self, part: Part) -> Result<ExitStatus, ChaosError> {
        let Some(mut child) = self.children.remove(&part) else { return Ok(ExitStatus::default()) };
        let ended = tokio::time::timeout(HANGS, child.wait()).await;
        ended.map_err(|_| self.hangs(part, "ended"))?.map_err(ChaosError::io("await", part))
    }

    /// Sends a signal to a process.
    pub(crate) fn signal(&self, part: Part, signal: Signal) -> Result<(), ChaosError> {
        let pid = self.pid(part);
        // The kernel's type is the same.
        let Some(pid) = pid.map(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        kill(pid, signal).map_err(|source| ChaosError::Signal { part, source })
    }

    /// Waits until the gateway says of its ready nodes what is asked for: `part` is `state`.
    ///
    /// # Errors
    /// A process that has ended by itself, or a wait without end.
    pub async fn until(
        &mut self,
        part: Part,
        state: &'static str,
        is_so: impl Fn(&BTreeSet<NodeIndex>) -> bool,
    ) -> Result<(), ChaosError> {
        self.until_healthy(part, state, |health| is_so(&health.ready)).await
    }

    /// Waits until the gateway has so many free keys.
    ///
    /// # Errors
    /// A process that has ended by itself, or a key that is never made.
    pub async fn until_free_keys(&mut self, keys: usize) -> Result<(), ChaosError> {
        for some in 1..=keys {
            self.until_healthy(Part::Gateway, "given one more free key", |health| health.keys >= some)
                .await?;
        }
        Ok(())
    }

    async fn until_healthy(
        &mut self,
        part: Part,
        state: &'static str,
        is_so: impl Fn(&Health) -> bool,
    ) -> Result<(), ChaosError> {
        let until = Instant::now() + HANGS;
        loop {
            self.check()?;
            if self.health().await.is_some_and(|health| is_so(&health)) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(self.hangs(part, state));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells all processes to end, and waits until they have.
    ///
    /// # Errors
    /// A process that does not end, or not as one that was told to.
    pub async fn shutdown(&mut self) -> Result<(), ChaosError> {
        for part in self.nodes().into_iter().map(Part::Node).chain([Part::Gateway]) {
            self.signal(part, Signal::SIGTERM)?;
            let status = self.ended(part).await?;
            if !status.success() {
                return Err(ChaosError::Ended { part, status, log: self.log(part) });
            }
        }
        Ok(())
    }

    /// What the gateway says of itself, if it answers.
    async fn health(&self) -> Option<Health> {
        let asked = async {
            let mut stream = TcpStream::connect(self.gateway).await.ok()?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (_, body) = answer.split_once("\r\n\r\n")?;
            serde_json::from_str::<Health>(body).ok()
        };
        tokio::time::timeout(PROBE, asked).await.ok()?
    }

    /// An error if a process has ended by itself.
    fn check(&mut self) -> Result<(), ChaosError> {
        let mut ended = None;
        for (part, child) in &mut self.children {
            ended = ended
                .or(child.try_wait().map_err(ChaosError::io("await", part))?.map(|status| (*part, status)));
        }
        match ended {
            Some((part, status)) => Err(ChaosError::Ended { part, status, log: self.log(part) }),
            None => Ok(()),
        }
    }

    fn hangs(&self, part: Part, state: &'static str) -> ChaosError {
        ChaosError::Hangs { part, state, seconds: HANGS.as_secs(), log: self.log(part) }
    }

    pub(crate) fn log(&self, part: Part) -> PathBuf {
        self.folder.join(match part {
            Part::Gateway => "gateway.log".to_owned(),
            Part::Node(node) => format!("node-{node}.log"),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("the gateway"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

/// A port that is free now, and kept for the whole run.
fn free_address() -> Result<SocketAddr, ChaosError> {
    let bound = TcpListener::bind((GATEWAY, 0)).and_then(|listener| listener.local_addr());
    bound.map_err(ChaosError::io("listen at", GATEWAY))
}

/// All signatures of a run are one client's, who asks for more than a gateway takes by default.
fn admit_one_busy_client(file: &Path) -> Result<(), ChaosError> {
    let mut config = GatewayConfig::load(file)?;
    config.limits.signatures = Rate { burst: 1_000_000, per_minute: 1_000_000 };
    fs::write(file, toml::to_string(&config).unwrap_or_default())
        .map_err(ChaosError::io("write", file.display()))
}
