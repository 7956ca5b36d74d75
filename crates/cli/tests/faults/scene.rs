//! A network of three nodes, two of which sign, and clients that ask it for signatures.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_chaos::{Part, Processes, Session, Size};
use quorate_network::NetworkError;
use quorate_protocol::{ClientError, NodeIndex, Refusal};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long is waited for anything: far above what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A network's files, in a folder that stays after a failure.
pub(crate) fn prepare(name: &str) -> Processes {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-{name}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let size = Size { threshold: 2, nodes: 3 };
    Processes::prepare(Path::new(env!("CARGO_BIN_EXE_quorate")), &folder, size, 0).unwrap()
}

pub(crate) fn node(index: u8) -> NodeIndex {
    NodeIndex::new(index).unwrap()
}

/// Kills a node, and waits until no gateway counts on it.
pub(crate) async fn kill(processes: &mut Processes, index: u8) {
    processes.kill(Part::Node(node(index))).await.unwrap();
    let is_gone = |ready: &BTreeSet<NodeIndex>| !ready.contains(&node(index));
    processes.until(Part::Node(node(index)), "gone", is_gone).await.unwrap();
}

/// Starts a node with what happens at its fail points, and waits until the gateways have it.
pub(crate) async fn start(processes: &mut Processes, index: u8, actions: &str) {
    processes.spawn_with(Part::Node(node(index)), actions).unwrap();
    let is_ready = |ready: &BTreeSet<NodeIndex>| ready.contains(&node(index));
    processes.until(Part::Node(node(index)), "ready", is_ready).await.unwrap();
}

pub(crate) async fn restart(processes: &mut Processes, index: u8, actions: &str) {
    kill(processes, index).await;
    start(processes, index, actions).await;
}

/// Has a node say how it is, at an address that it is given.
pub(crate) fn observe(processes: &Processes, index: u8) -> SocketAddr {
    let address = processes.free_address().unwrap();
    processes.configure_node(node(index), |config| config.observe = Some(address)).unwrap();
    address
}

/// What a process says of itself.
pub(crate) async fn readiness(observed: SocketAddr) -> Value {
    let text = reqwest::get(format!("http://{observed}/ready")).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// How often a process has logged this.
pub(crate) fn logged(processes: &Processes, part: Part, words: &str) -> usize {
    fs::read_to_string(processes.log(part)).unwrap().matches(words).count()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The refusal that a request was answered with.
pub(crate) fn refusal(answer: Result<(), NetworkError>) -> Refusal {
    match answer {
        Err(NetworkError::Client(ClientError::Refused(refusal))) => refusal,
        other => panic!("not refused by name: {other:?}"),
    }
}

/// Clients that ask for one signature after another, each of another operation, from number 1 on.
pub(crate) struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    session: Arc<Session>,
    most: u64,
    next: AtomicU64,
    is_over: AtomicBool,
    signed: Mutex<BTreeSet<u64>>,
    /// How long each signature took.
    took: Mutex<Vec<Duration>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    signed: usize,
    failed: Option<String>,
}

/// What the clients were given.
pub(crate) struct Signed {
    pub(crate) operations: BTreeSet<u64>,
    pub(crate) took: Vec<Duration>,
}

impl Load {
    /// So many clients of one session begin to ask, for so many operations at most.
    pub(crate) fn begin(session: &Arc<Session>, clients: usize, most: u64) -> Self {
        let shared = Arc::new(Shared {
            session: session.clone(),
            most,
            next: AtomicU64::new(1),
            is_over: AtomicBool::new(false),
            signed: Mutex::default(),
            took: Mutex::default(),
            progress: watch::Sender::default(),
        });
        let clients = (0..clients).map(|_| shared.clone().ask()).collect();
        Self { clients, shared }
    }

    /// Waits until so many more are signed.
    ///
    /// # Panics
    /// One request failed.
    pub(crate) async fn until_signed(&self, more: usize) {
        let mut progress = self.shared.progress.subscribe();
        let enough = progress.borrow_and_update().signed + more;
        let done = progress.wait_for(|so_far| so_far.failed.is_some() || so_far.signed >= enough);
        let done = tokio::time::timeout(PATIENCE, done).await.expect("signatures in time").unwrap().clone();
        assert_eq!(done.failed, None);
    }

    /// Asks for nothing more, and gives what was signed.
    ///
    /// # Panics
    /// One request failed.
    pub(crate) async fn stop(self) -> Signed {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until all operations are signed.
    ///
    /// # Panics
    /// One request failed.
    pub(crate) async fn finish(self) -> Signed {
        self.clients.join_all().await;
        assert_eq!(self.shared.progress.borrow().failed, None);
        let Shared { signed, took, .. } = &*self.shared;
        Signed { operations: signed.lock().unwrap().clone(), took: took.lock().unwrap().clone() }
    }
}

impl Shared {
    async fn ask(self: Arc<Self>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let operation = self.next.fetch_add(1, Ordering::Relaxed);
            if operation > self.most {
                return;
            }
            let began = Instant::now();
            let answer = self.session.sign(operation).await;
            let failed = answer.err().map(|error| format!("operation {operation}: {error:?}"));
            if failed.is_none() {
                self.signed.lock().unwrap().insert(operation);
                self.took.lock().unwrap().push(began.elapsed());
            }
            self.progress.send_modify(|progress| {
                progress.signed += usize::from(failed.is_none());
                progress.failed = progress.failed.take().or(failed);
            });
        }
    }
}
