//! The gateways and the nodes, each a process with a folder of its own.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quorate_protocol::{NetworkDescriptor, NodeIndex};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use self::files::role;
use crate::ChaosError;

/// A process of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The gateway.
    Gateway,
    /// The second gateway, where there is one.
    SecondGateway,
    /// A node.
    Node(NodeIndex),
}

/// The processes of a network, which are killed when this is dropped.
#[derive(Debug)]
pub struct Processes {
    program: PathBuf,
    folder: PathBuf,
    descriptor: NetworkDescriptor,
    /// Where its gateways listen.
    address: Ipv4Addr,
    gateway: SocketAddr,
    /// Where each gateway says how it is.
    observed: BTreeMap<Part, SocketAddr>,
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

/// How often is looked whether a process has done what is waited for, and when it is given up: far above what it takes.
const POLL: Duration = Duration::from_millis(10);
const HANGS: Duration = Duration::from_secs(300);
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
        size: Size,
        free_keys: usize,
    ) -> Result<Self, ChaosError> {
        let mut processes = Self::prepare(program, folder, size, free_keys)?;
        processes.start_all().await?;
        Ok(processes)
    }

    /// Starts all processes that do not run, and waits until each gateway has all nodes.
    ///
    /// # Errors
    /// A process that does not start or ends.
    pub async fn start_all(&mut self) -> Result<(), ChaosError> {
        let nodes = self.nodes();
        let gateways = self.observed.keys().copied();
        for part in gateways.chain(nodes.iter().copied().map(Part::Node)).collect::<Vec<_>>() {
            if !self.children.contains_key(&part) {
                self.spawn(part)?;
            }
        }
        self.until(Part::Gateway, "connected to all nodes", |ready| *ready == nodes).await
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

    /// Starts a process, which then has its port and its database again.
    ///
    /// # Errors
    /// A program that cannot be run, or a log that cannot be written.
    pub fn spawn(&mut self, part: Part) -> Result<(), ChaosError> {
        self.spawn_with(part, "")
    }

    /// Starts a process in which something happens at fail points: `point=action;…`.
    ///
    /// # Errors
    /// A program that cannot be run, or a log that cannot be written.
    pub fn spawn_with(&mut self, part: Part, actions: &str) -> Result<(), ChaosError> {
        let log = self.log(part);
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(ChaosError::io("write", log.display()))?;
        let child = Command::new(&self.program)
            .args([role(part), "run", "--config"])
            .arg(self.config(part))
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
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, part: Part, signal: Signal) -> Result<(), ChaosError> {
        let pid = self.pid(part);
        // The kernel's type is the same.
        let Some(pid) = pid.map(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        kill(pid, signal).map_err(|source| ChaosError::Signal { part, source })
    }

    /// Waits until each gateway that runs says of its ready nodes what is asked for: `part` is `state`.
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
            if self.are_healthy(&is_so).await {
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
        for part in
            self.nodes().into_iter().map(Part::Node).chain(self.observed.keys().copied().collect::<Vec<_>>())
        {
            self.signal(part, Signal::SIGTERM)?;
            let status = self.ended(part).await?;
            if !status.success() {
                return Err(ChaosError::Ended { part, status, log: self.log(part) });
            }
        }
        Ok(())
    }

    /// Whether this is so at each gateway that runs, and one runs.
    async fn are_healthy(&self, is_so: &impl Fn(&Health) -> bool) -> bool {
        let mut is_any = false;
        for (gateway, observed) in &self.observed {
            if self.children.contains_key(gateway) {
                is_any = true;
                if !health(*observed).await.is_some_and(|health| is_so(&health)) {
                    return false;
                }
            }
        }
        is_any
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
}

/// What a gateway says of itself, if it answers.
async fn health(observed: SocketAddr) -> Option<Health> {
    let asked = async {
        let mut stream = TcpStream::connect(observed).await.ok()?;
        stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str::<Health>(body).ok()
    };
    tokio::time::timeout(PROBE, asked).await.ok()?
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("the gateway"),
            Self::SecondGateway => f.write_str("the second gateway"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}
