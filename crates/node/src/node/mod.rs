//! A signing node: its parts, and which of them each frame of the gateway is for.

mod admission;
mod assignment;
mod attempts;
mod catch_up;
mod clock;
mod connection;
mod contract_owners;
mod dead_keys;
mod envelope;
mod error;
mod heard;
mod in_flight;
mod judge;
mod keygen;
mod ledgers;
#[cfg(feature = "fail-points")]
mod lies;
mod member;
mod nonces;
mod peer_queue;
mod peers;
mod rounds;
mod run;
mod signing;
mod statements;
mod tasks;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use ed25519_dalek::SigningKey;
use quorate_protocol::{Answer, NodeIndex, Operation, Refusal, RequestId, SignedRequest};
use serde_bytes::ByteBuf;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

#[cfg(feature = "adversaries")]
pub(crate) use self::catch_up::{Remark, Told};
pub use self::clock::UnsetClock;
pub(crate) use self::connection::hello_digest;
pub(crate) use self::member::Member;
pub(crate) use self::nonces::NONCE_LIFETIME;
#[cfg(feature = "adversaries")]
pub(crate) use self::run::RunMessage;

use self::assignment::Assignments;
use self::attempts::Attempts;
use self::connection::{Backoff, Connection};
use self::contract_owners::Chains;
use self::error::TaskError;
use self::in_flight::{InFlight, Inbox, NotBegun};
use self::ledgers::Ledgers;
use self::nonces::Nonces;
use self::peer_queue::PeerQueue;
use self::peers::Peers;
use self::rounds::Cores;
use self::run::{Outgoing, Pace};
use self::signing::{Quorum, Signing};
use self::statements::Statements;
use crate::config::{ConfigError, NodeConfig, load_descriptor};
#[cfg(feature = "fail-points")]
use crate::fail_points;
use crate::observe::{Dropped, Listener, NodeObserver, Occasionally, one_line};
use crate::seal::{KeyFileError, SealKey, read_key_file};
use crate::storage::{Storage, StorageError};
use crate::wire::{AnswerText, FromNode, KeyRecord, TaskId, ToNode};

/// A signing node: it holds one share of each key, decides by itself what it signs, and reaches the others
/// through the gateway, to which it connects; it opens no port.
pub struct Node {
    config: NodeConfig,
    parts: Arc<Parts>,
    /// Where operators ask.
    observe: Listener,
}

/// What a node consists of, whatever it is connected to.
struct Parts {
    member: Arc<Member>,
    storage: Arc<Storage>,
    nonces: Arc<Nonces>,
    chains: Chains,
    assignments: Arc<Assignments>,
    statements: Arc<Statements>,
    signing: Signing,
    observer: Arc<NodeObserver>,
    cores: Cores,
    /// How long the rounds of key generations take.
    keygen_pace: Pace,
    most_free_keys: u64,
    /// One key is made at a time.
    making: tokio::sync::Mutex<()>,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The clock.
    #[error(transparent)]
    Clock(#[from] UnsetClock),
    /// The address at which operators ask.
    #[error("cannot listen on {address}, where `observe` says; is another program using the port?")]
    Observe {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// How long running signatures have to finish when the node is told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Frames that may wait for the socket or for a task.
const QUEUE: usize = 64;

static WITHOUT_RESULT: Occasionally = Occasionally::times(6);

impl Node {
    /// Reads the keys and opens the database that a configuration names.
    ///
    /// # Errors
    /// A missing or exposed key file, an identity that is not the descriptor's, a database that is damaged, in use or
    /// another node's, or a clock that was never set.
    pub async fn open(config: NodeConfig) -> Result<Self, NodeError> {
        #[cfg(feature = "fail-points")]
        fail_points::arm();
        clock::check()?;
        let network = load_descriptor(&config.network)?;
        let identity = SigningKey::from_bytes(&*read_key_file(&config.identity)?);
        match network.identity(config.index) {
            None => {
                return Err(ConfigError::NoSuchNode { index: config.index, size: network.size() }.into());
            }
            Some(pinned) if *pinned != identity.verifying_key() => {
                return Err(ConfigError::OtherIdentity { index: config.index }.into());
            }
            Some(_) => {}
        }
        let chains = Chains::new(config.index, &config.chains)?;
        let seal = SealKey::new(&*read_key_file(&config.seal)?);
        let observe = Listener::bind(config.observe).await;
        let observe = observe.map_err(|(address, source)| NodeError::Observe { address, source })?;
        let storage = Storage::open(&config.database, seal, network.id(), config.index).await?;
        let member = Member { network, index: config.index, identity };
        let parts = Arc::new(Parts::new(member, storage, chains, &config));
        Ok(Self { config, parts, observe })
    }

    /// Serves until `stop` is cancelled, connecting again whenever the gateway goes away; then lets running
    /// signatures finish and closes the database.
    pub async fn serve(self, stop: CancellationToken) {
        let (parts, tasks) = (self.parts, TaskTracker::new());
        let observing = CancellationToken::new();
        tokio::spawn(self.observe.serve(parts.observer.clone(), observing.clone()));
        let _observing = observing.drop_guard();
        let (node, gateway) = (parts.member.index, parts.member.network.gateway().clone());
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() {
            backoff.begin();
            let connection = tokio::select! {
                connection = Connection::dial(&parts.member, &parts.observer) => connection,
                () = stop.cancelled() => break,
            };
            let ended = match connection {
                Ok(connection) => {
                    tracing::info!(%node, %gateway, "connected");
                    parts.attend(connection, &stop, &tasks).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(%node, %gateway, %error, "no connection to the gateway");
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => {}
            }
        }
        tasks.close();
        tasks.wait().await;
        parts.storage.close().await;
        tracing::info!(%node, "stopped");
    }
}

impl Parts {
    fn new(member: Member, storage: Storage, chains: Chains, config: &NodeConfig) -> Self {
        let (member, storage) = (Arc::new(member), Arc::new(storage));
        let gateways = [member.network.gateway().clone()];
        let observer = NodeObserver::new(&member, &gateways, storage.clone(), config.database.clone());
        let (nonces, attempts) = (Arc::new(Nonces::default()), Arc::new(Attempts::default()));
        let statements = Arc::new(Statements::new(member.clone(), storage.clone(), attempts.clone()));
        let cores = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
        let signing = Signing {
            member: member.clone(),
            storage: storage.clone(),
            nonces: nonces.clone(),
            ledgers: Arc::new(Ledgers::new(storage.clone(), config.most_journal_bytes)),
            statements: statements.clone(),
            attempts,
            cores: cores.clone(),
            pace: Pace::default(),
        };
        Self {
            assignments: Arc::new(Assignments::new(
                member.clone(),
                storage.clone(),
                config.admission.clone(),
            )),
            member,
            storage,
            nonces,
            chains,
            statements,
            signing,
            observer: Arc::new(observer),
            cores,
            keygen_pace: Pace::default(),
            most_free_keys: config.most_free_keys,
            making: tokio::sync::Mutex::default(),
        }
    }

    /// Serves one connection until it breaks, or until what runs is done after `stop`.
    async fn attend(
        self: &Arc<Self>,
        connection: Connection,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), connection::ConnectionError> {
        let (outgoing, mut to_send) = mpsc::channel(QUEUE);
        let (received, mut frames) = mpsc::channel(QUEUE);
        let in_flight = Arc::new(InFlight::default());
        let peers = self.peers(outgoing);
        let written = Arc::new(PeerQueue::new());
        let desk = Connected {
            parts: self.clone(),
            peers: peers.clone(),
            in_flight: in_flight.clone(),
            written: written.clone(),
        };
        let leave = CancellationToken::new();
        let farewell = async {
            stop.cancelled().await;
            let _ = tokio::time::timeout(FAREWELL, in_flight.drain()).await;
            leave.cancel();
            std::future::pending::<()>().await;
        };
        let serving = async {
            while let Some(frame) = frames.recv().await {
                desk.receive(frame, tasks).await;
            }
        };
        let ended = tokio::select! {
            ended = connection.carry(&mut to_send, &received, &leave) => ended,
            () = serving => Ok(()),
            () = peers.correspond(&written) => Ok(()),
            () = farewell => Ok(()),
        };
        in_flight.end_all();
        ended
    }

    fn peers(&self, outgoing: mpsc::Sender<FromNode>) -> Peers {
        Peers {
            member: self.member.clone(),
            storage: self.storage.clone(),
            assignments: self.assignments.clone(),
            statements: self.statements.clone(),
            read: Arc::new(Mutex::default()),
            observer: self.observer.clone(),
            outgoing,
        }
    }
}

/// What a task is called in metrics and logs.
#[derive(Clone, Copy)]
struct Named {
    operation: &'static str,
    request: RequestId,
}

impl Named {
    fn of(request: &SignedRequest) -> Self {
        Self { operation: request.operation.path(), request: request.id() }
    }

    /// No client asks for a key's making: it has a name of its own.
    fn making(making: B256) -> Self {
        let name = *making.first_chunk().unwrap_or(&[0; 8]);
        Self { operation: "make", request: RequestId::new(name) }
    }
}

/// A node on one connection.
#[derive(Clone)]
struct Connected {
    parts: Arc<Parts>,
    peers: Peers,
    in_flight: Arc<InFlight>,
    written: Arc<PeerQueue>,
}

impl Connected {
    async fn receive(&self, frame: ToNode, tasks: &TaskTracker) {
        match frame {
            ToNode::Greet { .. } => {}
            ToNode::Nonce { task } => match self.parts.nonces.give() {
                Ok(nonce) => self.send(FromNode::Nonce { task, nonce }).await,
                Err(error) => {
                    tracing::error!(node = %self.me(), %error, "no random bytes for a nonce");
                }
            },
            ToNode::WhichKey { task, request } => {
                let key = self.parts.storage.key_of(request).await.ok().flatten();
                let key_id = key.map(|(key, _)| key.key_id);
                self.send(FromNode::WhichKey { task, key_id }).await;
            }
            ToNode::KeyRecord { task, key_id } => {
                let key = self.parts.storage.key(&key_id).await.ok().flatten();
                let record = key.map(|key| KeyRecord {
                    public_key: ByteBuf::from(key.public_key),
                    session_key_manager: key.permissions.map(|permissions| permissions.session_key_manager),
                });
                self.send(FromNode::KeyRecord { task, record }).await;
            }
            ToNode::Sign { task, attempt, participants, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, inbox| {
                    let quorum = Quorum { attempt, participants, inbox, outbox: this.outbox(task) };
                    this.parts.signing.sign(&request, quorum, &this.peers).await.map(Answer::Signature)
                })
                .await;
            }
            ToNode::Assign { task, key_id, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, _| {
                    let answer = this.parts.assign(&key_id, &request, &this.peers).await;
                    this.peers.report_free_keys().await;
                    answer
                })
                .await;
            }
            ToNode::List { task, setup } => {
                let named = Named { operation: Operation::List.path(), request: RequestId::of_setup(&setup) };
                self.work(task, tasks, named, async move |this, _| {
                    this.parts.list(&setup, &this.peers).await
                })
                .await;
            }
            ToNode::Register { task, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, _| {
                    this.parts.register(&request, &this.peers).await
                })
                .await;
            }
            ToNode::Make { task, making } => {
                self.work(task, tasks, Named::making(making), async move |this, inbox| {
                    let answer = this.parts.make_key(making, inbox, this.outbox(task)).await;
                    this.peers.report_free_keys().await;
                    answer
                })
                .await;
            }
            ToNode::Relay { task, from, payload } => {
                if !self.in_flight.deliver(task, from, payload.into_vec()) {
                    self.parts.observer.frames.dropped(Dropped::Full);
                }
            }
            ToNode::Peer { from, message } => {
                if !self.written.put(from, message) {
                    self.parts.observer.frames.dropped(Dropped::Full);
                }
            }
            ToNode::Cancel { task } => self.in_flight.end(task),
        }
    }

    /// Does the work of a task beside everything else, and sends its answer. Where the connection breaks, its inbox closes,
    /// and it comes to its own end.
    async fn work<F>(
        &self,
        task: TaskId,
        tasks: &TaskTracker,
        named: Named,
        work: impl FnOnce(Self, Inbox) -> F,
    ) where
        F: Future<Output = Result<Answer, TaskError>> + Send + 'static,
    {
        let Named { operation, request } = named;
        let began = Instant::now();
        let refuse = async |refusal| {
            let answer = Answer::Refused(refusal);
            self.parts.observer.answered(operation, &answer, began.elapsed());
            self.answer(task, &answer).await;
        };
        let inbox = match self.in_flight.begin(task) {
            Ok(inbox) => inbox,
            Err(NotBegun::Twice) => return,
            Err(NotBegun::Busy) => return refuse(Refusal::Busy).await,
            Err(NotBegun::Stopping) => {
                let reason = format!("node {} is stopping", self.me());
                return refuse(Refusal::Unfinished { reason: reason.into() }).await;
            }
        };
        let span = tracing::info_span!("task", node = %self.me(), operation, %request);
        let this = self.clone();
        let work = work(self.clone(), inbox).instrument(span.clone());
        let answer = async move {
            let answer = match tokio::spawn(work).await {
                Ok(outcome) => this.conclude(outcome),
                Err(error) => this.conclude(Err(TaskError::Stopped(error))),
            };
            this.parts.observer.answered(operation, &answer, began.elapsed());
            this.answer(task, &answer).await;
            this.in_flight.end(task);
        };
        tasks.spawn(answer.instrument(span));
    }

    /// Whatever happens becomes an answer.
    fn conclude(&self, outcome: Result<Answer, TaskError>) -> Answer {
        match outcome {
            Ok(answer) => {
                match &answer {
                    // Anybody may ask for a list, as often as the gateway lets them.
                    Answer::Listed { .. } => tracing::debug!("done"),
                    _ => tracing::info!("done"),
                }
                answer
            }
            Err(TaskError::Refused(refusal)) => {
                tracing::debug!(reason = one_line(&refusal), "refused");
                Answer::Refused(refusal)
            }
            Err(error) => {
                let refusal = error.into_refusal(self.me());
                let reason = one_line(&refusal);
                match WITHOUT_RESULT.count() {
                    Some(times) => tracing::warn!(reason, times, "without a result"),
                    None => tracing::debug!(reason, "without a result"),
                }
                Answer::Refused(refusal)
            }
        }
    }

    async fn answer(&self, task: TaskId, answer: &Answer) {
        self.send(FromNode::Done { task, answer: AnswerText::from(answer) }).await;
    }

    async fn send(&self, frame: FromNode) {
        // A connection that broke is noticed where it is read.
        drop(self.peers.outgoing.send(frame).await);
    }

    /// A run's way out: its messages as frames of one task.
    fn outbox(&self, task: TaskId) -> mpsc::Sender<Outgoing> {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let outgoing = self.peers.outgoing.clone();
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                let frame = match message {
                    Outgoing::Message { to, payload } => {
                        FromNode::Relay { task, to, payload: ByteBuf::from(payload) }
                    }
                    Outgoing::Waiting { round, peers } => FromNode::Waiting { task, round, peers },
                };
                if outgoing.send(frame).await.is_err() {
                    break;
                }
            }
        });
        sender
    }

    fn me(&self) -> NodeIndex {
        self.parts.member.index
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::error::TaskError;
    pub(crate) use super::keygen::tests::{Place, node};
    pub(crate) use super::rounds::SignatureRounds;
}
