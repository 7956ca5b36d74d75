use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Refusal, SignedRequest, Transcript};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::birth::{Births, Letter, Post};
use crate::ceremony::{self, CeremonyError, Signing};
use crate::config::{ConfigError, NodeConfig, load_descriptor};
use crate::envelope::Agenda;
use crate::journal::Journal;
use crate::judge::{Approved, ApprovedSignature, Judge, Nonces, Verdict};
use crate::run::{Inbox, Outbox, Run, RunError};
use crate::seal::{KeyFileError, SealKey, read_key_file};
use crate::storage::{Storage, StorageError};
use crate::wire::{self, AnswerText, ExchangeId, FromNode, MAX_FRAME, ToNode};

/// A signing node: it holds one share of each key, decides by itself what it signs, and reaches the others
/// through the gateway, to which it connects; it opens no port.
pub struct Node {
    config: NodeConfig,
    network: NetworkDescriptor,
    identity: SigningKey,
    storage: Storage,
    nonces: Nonces,
    /// The requests for which a key is being made.
    making: Mutex<BTreeSet<B256>>,
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
}

/// How long a peer may take over one round: making a key computes for about a second a round on one core.
const KEYGEN_ROUND: Duration = Duration::from_secs(30);
const SIGNING_ROUND: Duration = Duration::from_secs(4);

/// How long running signatures have to finish when the node is told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often the other nodes are asked about pending keys.
const INQUIRY: Duration = Duration::from_secs(15);

/// How long they have to answer on a connection before keys that are pending for too long are given up.
const LAST_CHANCE: Duration = Duration::from_secs(600);

/// Messages that may wait for one run, and frames that may wait for the socket.
const QUEUE: usize = 64;

impl Node {
    /// Reads the keys and opens the database that a configuration names.
    ///
    /// # Errors
    /// A missing or exposed key file, an identity that is not the descriptor's, or a database that is damaged or
    /// another node's.
    pub async fn open(config: NodeConfig) -> Result<Self, NodeError> {
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
        let seal = SealKey::new(&*read_key_file(&config.seal)?);
        let storage = Storage::open(&config.database, seal, network.id(), config.index).await?;
        Ok(Self { config, network, identity, storage, nonces: Nonces::new(), making: Mutex::default() })
    }

    /// Serves until `stop` is cancelled, connecting again whenever the gateway goes away; then lets running
    /// signatures finish and closes the database.
    pub async fn serve(self, stop: CancellationToken) {
        let node = Arc::new(self);
        let tasks = TaskTracker::new();
        let mut pause = Duration::from_millis(50);
        while !stop.is_cancelled() {
            match node.connect(&stop).await {
                Ok(socket) => {
                    pause = Duration::from_millis(50);
                    tracing::info!(node = %node.me(), gateway = %node.network.gateway(), "connected");
                    if let Err(error) = node.clone().attend(socket, &stop, &tasks).await {
                        tracing::warn!(node = %node.me(), %error, "the connection to the gateway broke");
                    }
                }
                Err(error) => tracing::warn!(node = %node.me(), %error, "the gateway cannot be reached"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
                () = stop.cancelled() => {}
            }
        }
        node.storage.close().await;
        tracing::info!(node = %node.me(), "stopped");
    }

    const fn me(&self) -> NodeIndex {
        self.config.index
    }

    async fn connect(&self, stop: &CancellationToken) -> Result<Socket, ConnectionError> {
        let mut url = self.network.gateway().clone();
        url.set_path("node");
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let connect = tokio_tungstenite::connect_async_with_config(url.as_str(), Some(limits), true);
        let dial = async {
            let (mut socket, _) = connect.await?;
            let greeting = socket.next().await.ok_or(ConnectionError::Closed)??;
            let Some(ToNode::Greet { challenge }) = wire::decode(&greeting.into_data()) else {
                return Err(ConnectionError::Greeting);
            };
            let digest = hello_digest(&self.network, self.me(), &challenge);
            let signature = self.identity.sign(digest.as_slice()).to_bytes().to_vec();
            let hello = FromNode::Hello { node: self.me(), signature };
            socket.send(Message::Binary(wire::encode(&hello).into())).await?;
            Ok(socket)
        };
        tokio::select! {
            dialled = tokio::time::timeout(Duration::from_secs(10), dial) => dialled.map_err(|_| ConnectionError::Deadline)?,
            () = stop.cancelled() => Err(ConnectionError::Closed),
        }
    }

    /// Serves one connection until it breaks, or until running exchanges are done after `stop`.
    async fn attend(
        self: Arc<Self>,
        socket: Socket,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), ConnectionError> {
        let (mut sink, mut stream) = socket.split();
        let (outgoing, mut queue) = mpsc::channel::<FromNode>(QUEUE);
        let (post, mut letters) = mpsc::channel(QUEUE);
        let exchanges = Arc::new(Exchanges::default());
        let broken = CancellationToken::new();

        let writer = async {
            while let Some(frame) = queue.recv().await {
                sink.send(Message::Binary(wire::encode(&frame).into())).await?;
            }
            Ok(())
        };
        let reader = async {
            while let Some(message) = stream.next().await {
                if let Message::Binary(bytes) = message?
                    && let Some(frame) = wire::decode(&bytes)
                {
                    self.clone().receive(frame, &exchanges, &outgoing, &post, tasks, &broken).await;
                }
            }
            Err(ConnectionError::Closed)
        };
        let farewell = async {
            stop.cancelled().await;
            exchanges.refuse_new();
            let _ = tokio::time::timeout(FAREWELL, exchanges.all_done()).await;
            Ok(())
        };
        let ended = tokio::select! {
            ended = writer => ended,
            ended = reader => ended,
            ended = farewell => ended,
            () = self.correspond(&mut letters, &outgoing) => Ok(()),
        };
        broken.cancel();
        exchanges.end_all();
        ended
    }

    async fn receive(
        self: Arc<Self>,
        frame: ToNode,
        exchanges: &Arc<Exchanges>,
        outgoing: &mpsc::Sender<FromNode>,
        post: &mpsc::Sender<(NodeIndex, Letter)>,
        tasks: &TaskTracker,
        broken: &CancellationToken,
    ) {
        match frame {
            ToNode::Greet { .. } => {}
            ToNode::Nonce { exchange } => match self.nonces.give() {
                Ok(nonce) => drop(outgoing.send(FromNode::Nonce { exchange, nonce }).await),
                Err(error) => tracing::error!(node = %self.me(), %error, "no random bytes for a nonce"),
            },
            ToNode::Start { exchange, attempt, participants, request } => {
                let Some(inbox) = exchanges.begin(exchange) else { return };
                let (outgoing, exchanges, broken) = (outgoing.clone(), exchanges.clone(), broken.clone());
                tasks.spawn(async move {
                    let task = self.answer(exchange, attempt, participants, request, inbox, &outgoing);
                    tokio::select! {
                        answer = task => {
                            let answer = AnswerText::from(&answer);
                            drop(outgoing.send(FromNode::Done { exchange, answer }).await);
                        }
                        () = broken.cancelled() => {}
                    }
                    exchanges.end(exchange);
                });
            }
            ToNode::Relay { exchange, from, payload } => exchanges.deliver(exchange, from, payload),
            // Whoever misses an answer asks again.
            ToNode::Letter { from, letter } => drop(post.try_send((from, letter))),
            ToNode::Cancel { exchange } => exchanges.end(exchange),
        }
    }

    /// Finishes the births of keys that broke: asks the other nodes for their confirmations, and answers them.
    async fn correspond(
        &self,
        letters: &mut mpsc::Receiver<(NodeIndex, Letter)>,
        outgoing: &mpsc::Sender<FromNode>,
    ) {
        let mut inquiry = tokio::time::interval(INQUIRY);
        let mut last_chance = tokio::time::interval_at(Instant::now() + LAST_CHANCE, LAST_CHANCE);
        loop {
            let posts: Result<Vec<Post>, CeremonyError> = tokio::select! {
                _ = inquiry.tick() => self.births(now()).inquiries().await.map_err(Into::into),
                _ = last_chance.tick() => match self.births(now()).give_up().await {
                    Ok(()) => Ok(Vec::new()),
                    Err(error) => Err(error.into()),
                },
                Some((from, letter)) = letters.recv() => self.births(now()).answer(from, &letter).await,
            };
            match posts {
                Ok(posts) => {
                    for (to, letter) in posts {
                        drop(outgoing.send(FromNode::Letter { to, letter }).await);
                    }
                }
                Err(error) => {
                    tracing::error!(node = %self.me(), %error, "pending keys cannot be looked after")
                }
            }
        }
    }

    const fn births(&self, now: u64) -> Births<'_> {
        Births {
            network: &self.network,
            me: self.config.index,
            identity: &self.identity,
            storage: &self.storage,
            now,
        }
    }

    /// Decides about a request and does its part; whatever happens becomes an answer.
    async fn answer(
        &self,
        exchange: ExchangeId,
        attempt: u32,
        participants: Vec<NodeIndex>,
        request: SignedRequest,
        inbox: Inbox,
        outgoing: &mpsc::Sender<FromNode>,
    ) -> Answer {
        let hash = request.hash();
        let now = now();
        let judge = Judge {
            network: &self.network,
            me: self.me(),
            storage: &self.storage,
            nonces: &self.nonces,
            admission: &self.config.admission,
            now,
        };
        let outcome = match judge.approve(&request).await {
            Ok(approved) => {
                let agenda = Agenda {
                    network: self.network.id(),
                    request: hash,
                    attempt,
                    participants: participants.iter().copied().collect(),
                };
                let relay = self.outbox(exchange, outgoing);
                self.perform(approved, agenda, &participants, inbox, relay, now).await
            }
            Err(Verdict::Refused(refusal)) => Ok(Answer::Refused(refusal)),
            Err(Verdict::Storage(error)) => Err(error.into()),
        };
        match outcome {
            Ok(Answer::Refused(refusal)) => {
                tracing::info!(node = %self.me(), request = %hash, %refusal, "refused");
                Answer::Refused(refusal)
            }
            Ok(answer) => {
                tracing::info!(node = %self.me(), request = %hash, operation = request.operation.path(), "done");
                answer
            }
            Err(CeremonyError::Banned { peer }) => Answer::Refused(Refusal::Banned { node: self.me(), peer }),
            Err(CeremonyError::Run(RunError::Silent { peer, .. })) => {
                tracing::warn!(node = %self.me(), request = %hash, %peer, "silent");
                Answer::Refused(Refusal::Silent { node: self.me(), peer })
            }
            Err(error) => {
                tracing::warn!(node = %self.me(), request = %hash, %error, "without a result");
                Answer::Refused(Refusal::Unfinished { reason: format!("node {}: {error}", self.me()) })
            }
        }
    }

    async fn perform(
        &self,
        approved: Approved<'_>,
        agenda: Agenda,
        participants: &[NodeIndex],
        inbox: Inbox,
        outbox: Outbox,
        now: u64,
    ) -> Result<Answer, CeremonyError> {
        let quorum = match &approved {
            Approved::Keygen(_) => self.network.size(),
            Approved::Sign(_) => self.network.threshold(),
            Approved::Born { .. } | Approved::AddEphemeralKey { .. } => 0,
        };
        let signers = &agenda.participants;
        let fits = signers.contains(&self.me())
            && signers.len() == participants.len()
            && signers.iter().all(|node| self.network.identity(*node).is_some());
        if quorum != 0 && (!fits || signers.len() != usize::from(quorum)) {
            let reason =
                format!("{} participants were named, the operation takes {quorum}", participants.len());
            return Ok(Answer::Refused(Refusal::Malformed { reason }));
        }
        let request = agenda.request;
        let open =
            |deadline| Run::open(&self.network, agenda, self.me(), &self.identity, inbox, outbox, deadline);
        match approved {
            Approved::Born { key, attestation } => Ok(Answer::Key { key, attestations: vec![attestation] }),
            Approved::Keygen(approved) => {
                let Some(_turn) = self.turn(request) else {
                    let reason = format!("node {} is making the key already", self.me());
                    return Ok(Answer::Refused(Refusal::Unfinished { reason }));
                };
                let mut run = open(KEYGEN_ROUND).await?;
                let (key, attestation) =
                    ceremony::make_key(self.births(now), &mut run, request, &approved).await?;
                Ok(Answer::Key { key, attestations: vec![attestation] })
            }
            Approved::Sign(signature) => {
                let ApprovedSignature { key_id, permissions, digest, hold, .. } = *signature;
                let (storage, key_id) = (&self.storage, key_id.as_str());
                let signing = Signing { storage, key_id, signers: participants, digest, now };
                let journal = Journal { storage, key_id, permissions: &permissions, now };
                let prepare = async {
                    signing.permit().await?;
                    let mut run = open(SIGNING_ROUND).await?;
                    Ok(journal.exchange(&mut run).await?.map_or(Ok(run), Err))
                };
                let prepared: Result<Result<Run, Refusal>, CeremonyError> = prepare.await;
                match (&prepared, hold) {
                    (Ok(Ok(_)), Some(hold)) => hold.keep(),
                    (_, Some(hold)) => hold.withdraw().await?,
                    (_, None) => {}
                }
                match prepared? {
                    Ok(mut run) => Ok(Answer::Signature(signing.perform(&mut run).await?)),
                    Err(refusal) => Ok(Answer::Refused(refusal)),
                }
            }
            Approved::AddEphemeralKey { key_id, ephemeral, ends } => {
                self.storage.add_ephemeral_key(&key_id, &ephemeral, ends).await?;
                Ok(Answer::Registered)
            }
        }
    }

    /// Takes up the making of a key for a request; none while it is under way.
    fn turn(&self, request: B256) -> Option<Turn<'_>> {
        let new = self.making.lock().unwrap_or_else(PoisonError::into_inner).insert(request);
        new.then_some(Turn { making: &self.making, request })
    }

    /// A run's way out: its messages as relay frames of one exchange.
    fn outbox(&self, exchange: ExchangeId, outgoing: &mpsc::Sender<FromNode>) -> Outbox {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let outgoing = outgoing.clone();
        tokio::spawn(async move {
            while let Some((to, payload)) = queue.recv().await {
                if outgoing.send(FromNode::Relay { exchange, to, payload }).await.is_err() {
                    break;
                }
            }
        });
        sender
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A request for which a key is being made, until this is dropped.
struct Turn<'a> {
    making: &'a Mutex<BTreeSet<B256>>,
    request: B256,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.request);
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a node signs to show a gateway who it is.
pub(crate) fn hello_digest(network: &NetworkDescriptor, node: NodeIndex, challenge: &[u8; 32]) -> B256 {
    Transcript::new("node hello")
        .field(network.id().as_slice())
        .number(node.get().into())
        .field(challenge)
        .finish()
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Socket(#[from] tungstenite::Error),
    #[error("the other side is not a gateway of this version")]
    Greeting,
    #[error("no answer within 10 s")]
    Deadline,
    #[error("the gateway closed the connection")]
    Closed,
}

/// Where each exchange's relayed messages go.
type Inboxes = HashMap<ExchangeId, Outbox>;

/// The exchanges under way on one connection.
#[derive(Default)]
struct Exchanges {
    inboxes: Mutex<Inboxes>,
    closing: CancellationToken,
    idle: tokio::sync::Notify,
}

/// How many requests a node works on at once; the gateway is told that it is busy beyond that.
const MAX_EXCHANGES: usize = 256;

impl Exchanges {
    fn begin(&self, exchange: ExchangeId) -> Option<Inbox> {
        let mut inboxes = self.lock();
        if self.closing.is_cancelled() || inboxes.len() >= MAX_EXCHANGES || inboxes.contains_key(&exchange) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        inboxes.insert(exchange, sender);
        Some(receiver)
    }

    fn deliver(&self, exchange: ExchangeId, from: NodeIndex, payload: Vec<u8>) {
        if let Some(inbox) = self.lock().get(&exchange) {
            let _ = inbox.try_send((from, payload));
        }
    }

    /// Drops the inbox, which ends a run that still waits for messages.
    fn end(&self, exchange: ExchangeId) {
        self.lock().remove(&exchange);
        self.idle.notify_waiters();
    }

    fn end_all(&self) {
        self.lock().clear();
        self.idle.notify_waiters();
    }

    fn refuse_new(&self) {
        self.closing.cancel();
    }

    async fn all_done(&self) {
        loop {
            let changed = self.idle.notified();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
