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
use quorate_node::{GatewayConfig, Rate};
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
pub(crate) struct Processes {
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
}

/// How many nodes a network has, and how many of them sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) threshold: u8,
    pub(crate) nodes: u8,
}

/// Connections go out from 127.0.0.1, so none of them takes the gateway's port while the gateway is down.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How often is looked whether a process has done what is waited for, and when it is given up: far above what it takes.
const POLL: Duration = Duration::from_millis(10);
const HANGS: Duration = Duration::from_secs(120);
const PROBE: Duration = Duration::from_secs(2);

impl Processes {
    /// Writes a network's files and starts its processes; the gateway keeps so many keys ready.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        Size { threshold, nodes }: Size,
        free_keys: usize,
    ) -> Result<Self, ChaosError> {
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
    pub(crate) fn nodes(&self) -> BTreeSet<NodeIndex> {
        self.descriptor.nodes().map(|(node, _)| node).collect()
    }

    pub(crate) const fn descriptor(&self) -> &NetworkDescriptor {
        &self.descriptor
    }

    /// The file with a node's ledgers.
    pub(crate) fn database(&self, node: NodeIndex) -> PathBuf {
        self.folder.join(format!("node-{node}/node.db"))
    }

    /// Starts a process, which then has its port and its database again.
    pub(crate) fn spawn(&mut self, part: Part) -> Result<(), ChaosError> {
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
    pub(crate) async fn kill(&mut self, part: Part) -> Result<(), ChaosError> {
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
        let pid = self.children.get(&part).and_then(Child::id);
        // The kernel's type is the same.
        let Some(pid) = pid.map(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        kill(pid, signal).map_err(|source| ChaosError::Signal { part, source })
    }

    /// Waits until the gateway says of its nodes what is asked for.
    pub(crate) async fn until(
        &mut self,
        part: Part,
        state: &'static str,
        is_so: impl Fn(&BTreeSet<NodeIndex>) -> bool,
    ) -> Result<(), ChaosError> {
        let until = Instant::now() + HANGS;
        loop {
            self.check()?;
            if self.ready().await.is_some_and(|ready| is_so(&ready)) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(self.hangs(part, state));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells all processes to end, and waits until they have.
    pub(crate) async fn shutdown(&mut self) -> Result<(), ChaosError> {
        for part in self.nodes().into_iter().map(Part::Node).chain([Part::Gateway]) {
            self.signal(part, Signal::SIGTERM)?;
            let status = self.ended(part).await?;
            if !status.success() {
                return Err(ChaosError::Ended { part, status, log: self.log(part) });
            }
        }
        Ok(())
    }

    /// The nodes that the gateway counts as ready; none if it does not answer.
    async fn ready(&self) -> Option<BTreeSet<NodeIndex>> {
        let asked = async {
            let mut stream = TcpStream::connect(self.gateway).await.ok()?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (_, body) = answer.split_once("\r\n\r\n")?;
            serde_json::from_str::<Health>(body).ok()
        };
        Some(tokio::time::timeout(PROBE, asked).await.ok()??.ready)
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
