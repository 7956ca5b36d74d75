//! A gateway and five nodes, each a process with files of its own, and keys of which all operations are counted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quorate_chaos::{ChaosError, Counts, Part, Processes, Session, Size};
use quorate_network::NetworkError;
use quorate_protocol::NodeIndex;

use super::delay::delayed;

/// A network and its client.
pub(super) struct Scene {
    processes: Processes,
    retries: Arc<Counts>,
    /// The keys that the client has.
    pub(super) keys: Vec<Arc<Key>>,
}

/// A key, and how many operations it was asked to sign.
pub(super) struct Key {
    pub(super) session: Session,
    asked: AtomicU64,
}

const SIZE: Size = Size { threshold: 3, nodes: 5 };

/// How many nodes may be gone.
pub(super) const SPARE: usize = 2;

/// How many operations a key may sign: more than it is asked for, and less than a node has room to note down.
const ALLOWED: u64 = 15_000;

impl Scene {
    /// Starts a network of which the gateway keeps so many free keys.
    pub(super) async fn start(program: &Path, folder: &Path, pool: usize) -> anyhow::Result<Self> {
        let processes = Processes::start(program, folder, SIZE, pool).await?;
        Ok(Self { processes, retries: Arc::default(), keys: Vec::new() })
    }

    /// Waits until so many keys are free, so that none is being made.
    pub(super) async fn until_pool_is_full(&mut self, pool: usize) -> anyhow::Result<()> {
        Ok(self.processes.until_free_keys(pool).await?)
    }

    /// Has the client ask for one more key, and says how long that took.
    pub(super) async fn add_key(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let session = Session::make(self.processes.descriptor(), ALLOWED, &self.retries).await?;
        let took = began.elapsed();
        self.keys.push(Arc::new(Key { session, asked: AtomicU64::new(0) }));
        Ok(took)
    }

    /// How often the client had to ask again.
    pub(super) fn retries(&self) -> u64 {
        self.retries.retries()
    }

    /// The processes that are running.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.parts().filter_map(|part| self.processes.pid(part)).collect()
    }

    pub(super) fn nodes(&self) -> BTreeSet<NodeIndex> {
        self.processes.nodes()
    }

    /// Kills nodes, and waits until the gateway knows it.
    pub(super) async fn kill(&mut self, nodes: &BTreeSet<NodeIndex>) -> Result<(), ChaosError> {
        for &node in nodes {
            self.processes.kill(Part::Node(node)).await?;
        }
        self.processes.until(Part::Gateway, "rid of the killed nodes", |ready| ready.is_disjoint(nodes)).await
    }

    /// Starts nodes again.
    pub(super) async fn revive(&mut self, nodes: &BTreeSet<NodeIndex>) -> Result<(), ChaosError> {
        for &node in nodes {
            self.processes.spawn(Part::Node(node))?;
        }
        self.until_ready().await
    }

    /// Has nodes reach the gateway over links that take `delay` each way, or directly where there is none.
    pub(super) async fn delay(
        &mut self,
        nodes: &BTreeSet<NodeIndex>,
        delay: Option<Duration>,
    ) -> anyhow::Result<()> {
        let link = delay.map(|delay| delayed(self.processes.gateway(), delay)).transpose()?;
        let link = link.map(|link| format!("ws://{link}").parse()).transpose()?;
        self.kill(nodes).await?;
        for &node in nodes {
            let gateways = link.clone().map(|link| vec![link]);
            self.processes.configure_node(node, |config| config.gateways = gateways)?;
        }
        Ok(self.revive(nodes).await?)
    }

    /// Starts every process anew.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let parts: Vec<_> = self.parts().collect();
        for &part in &parts {
            self.processes.kill(part).await?;
        }
        for part in parts {
            self.processes.spawn(part)?;
        }
        Ok(self.until_ready().await?)
    }

    /// Ends the processes.
    pub(super) async fn shutdown(mut self) -> anyhow::Result<()> {
        Ok(self.processes.shutdown().await?)
    }

    async fn until_ready(&mut self) -> Result<(), ChaosError> {
        let nodes = self.nodes();
        self.processes.until(Part::Gateway, "connected to all nodes", |ready| *ready == nodes).await
    }

    fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        [Part::Gateway].into_iter().chain(self.nodes().into_iter().map(Part::Node))
    }
}

impl Key {
    /// Asks for the signature of an operation that was not asked for before, so that it is charged.
    pub(super) async fn sign(&self) -> Result<(), NetworkError> {
        self.session.sign(self.next()).await
    }

    /// The number of an operation that was not asked for before.
    pub(super) fn next(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }
}
