mod assignment;
mod envelope;
mod journal;
pub(crate) mod judge;
pub(crate) mod keygen;
pub(crate) mod rounds;
mod run;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Refusal, SignedRequest, Transcript};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, NodeConfig, load_descriptor};
use crate::seal::{KeyFileError, SealKey, read_key_file};
use crate::storage::{Storage, StorageError};
use crate::wire::{self, AnswerText, FromNode, MAX_FRAME, PeerMessage, TaskId, ToNode};

use self::assignment::{Bindings, Hearsay};
use self::envelope::Agenda;
use self::journal::Journal;
pub(crate) use self::judge::NONCE_LIFETIME;
use self::judge::{Approved, ApprovedSignature, Judge, Nonces, Verdict};
use self::keygen::{Births, Post};
use self::rounds::{CeremonyError, Signing};
use self::run::{Inbox, Outbox, Run, RunError};

/// A signing node: it holds one share of each key, decides by itself what it signs, and reaches the others
/// through the gateway, to which it connects; it opens no port.
pub struct Node {
    config: NodeConfig,
    network: NetworkDescriptor,
    identity: SigningKey,
    storage: Storage,
    nonces: Nonces,
    hearsay: Hearsay,
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
        Ok(Self {
            config,
            network,
            identity,
            storage,
            nonces: Nonces::new(),
            hearsay: Hearsay::default(),
            making: tokio::sync::Mutex::default(),
        })
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
            let Ok(ToNode::Greet { challenge }) = wire::decode(&greeting.into_data()) else {
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
        let (post, mut mail) = mpsc::channel(QUEUE);
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
                    && let Ok(frame) = wire::decode(&bytes)
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
            () = self.correspond(&mut mail, &outgoing) => Ok(()),
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
        post: &mpsc::Sender<(NodeIndex, PeerMessage)>,
        tasks: &TaskTracker,
        broken: &CancellationToken,
    ) {
        match frame {
            ToNode::Greet { .. } => {}
            ToNode::Nonce { task: exchange } => match self.nonces.give() {
                Ok(nonce) => drop(outgoing.send(FromNode::Nonce { task: exchange, nonce }).await),
                Err(error) => tracing::error!(node = %self.me(), %error, "no random bytes for a nonce"),
            },
            ToNode::Sign { task: exchange, attempt, participants, request } => {
                let Some(inbox) = exchanges.begin(exchange) else { return };
                let (node, outgoing) = (self.clone(), outgoing.clone());
                self.work(exchange, exchanges, &outgoing.clone(), tasks, broken, async move {
                    let meeting =
                        Meeting { attempt, participants, inbox, outbox: outbox(exchange, outgoing.clone()) };
                    node.answer(&request, Task::Sign(meeting), &outgoing).await
                });
            }
            ToNode::Assign { task: exchange, key_id, request } => {
                let Some(_) = exchanges.begin(exchange) else { return };
                let (node, outgoing) = (self.clone(), outgoing.clone());
                self.work(exchange, exchanges, &outgoing.clone(), tasks, broken, async move {
                    let answer = node.answer(&request, Task::Bind { key_id }, &outgoing).await;
                    if let Answer::Key { key, .. } = &answer {
                        node.tell_all_whose(&key.key_id, &outgoing).await;
                    }
                    node.report_free_keys(&outgoing).await;
                    answer
                });
            }
            ToNode::Register { task: exchange, request } => {
                let Some(_) = exchanges.begin(exchange) else { return };
                let (node, outgoing) = (self.clone(), outgoing.clone());
                self.work(exchange, exchanges, &outgoing.clone(), tasks, broken, async move {
                    node.answer(&request, Task::Register, &outgoing).await
                });
            }
            ToNode::WhichKey { task, request } => {
                let key = self.storage.key_of(request).await.ok().flatten();
                let key_id = key.map(|(key, _)| key.key_id);
                drop(outgoing.send(FromNode::WhichKey { task, key_id }).await);
            }
            ToNode::PublicKey { task, key_id } => {
                let key = self.storage.key(&key_id).await.ok().flatten();
                let public_key = key.map(|key| ByteBuf::from(key.public_key));
                drop(outgoing.send(FromNode::PublicKey { task, public_key }).await);
            }
            ToNode::Make { task: exchange, making } => {
                let Some(inbox) = exchanges.begin(exchange) else { return };
                let (node, outgoing) = (self.clone(), outgoing.clone());
                self.work(exchange, exchanges, &outgoing.clone(), tasks, broken, async move {
                    let answer = node.make_key(making, inbox, outbox(exchange, outgoing.clone())).await;
                    node.report_free_keys(&outgoing).await;
                    answer
                });
            }
            ToNode::Relay { task, from, payload } => exchanges.deliver(task, from, payload.into_vec()),
            // Whoever misses an answer asks again.
            ToNode::Peer { from, message } => drop(post.try_send((from, message))),
            ToNode::Cancel { task } => exchanges.end(task),
        }
    }

    /// Does the work of an exchange beside everything else, and sends its answer, unless the connection breaks first.
    fn work(
        &self,
        exchange: TaskId,
        exchanges: &Arc<Exchanges>,
        outgoing: &mpsc::Sender<FromNode>,
        tasks: &TaskTracker,
        broken: &CancellationToken,
        work: impl Future<Output = Answer> + Send + 'static,
    ) {
        let (exchanges, outgoing, broken) = (exchanges.clone(), outgoing.clone(), broken.clone());
        tasks.spawn(async move {
            if let Some(answer) = broken.run_until_cancelled(work).await {
                let answer = AnswerText::from(&answer);
                drop(outgoing.send(FromNode::Done { task: exchange, answer }).await);
            }
            exchanges.end(exchange);
        });
    }

    /// Finishes the births of keys that broke and learns of bindings: asks the other nodes, and answers them.
    async fn correspond(
        &self,
        mail: &mut mpsc::Receiver<(NodeIndex, PeerMessage)>,
        outgoing: &mpsc::Sender<FromNode>,
    ) {
        self.report_free_keys(outgoing).await;
        let mut inquiry = tokio::time::interval(INQUIRY);
        let mut last_chance = tokio::time::interval_at(Instant::now() + LAST_CHANCE, LAST_CHANCE);
        loop {
            let posts: Result<Vec<(NodeIndex, PeerMessage)>, CeremonyError> = tokio::select! {
                _ = inquiry.tick() => self.births(now()).inquiries().await.map(births_mail).map_err(Into::into),
                _ = last_chance.tick() => match self.births(now()).give_up().await {
                    Ok(()) => Ok(Vec::new()),
                    Err(error) => Err(error.into()),
                },
                Some((from, mail)) = mail.recv() => self.read_mail(from, mail, outgoing).await,
            };
            match posts {
                Ok(posts) => {
                    for (to, mail) in posts {
                        drop(outgoing.send(FromNode::Peer { to, message: mail }).await);
                    }
                }
                Err(error) => {
                    tracing::error!(node = %self.me(), %error, "what the other nodes write cannot be dealt with")
                }
            }
        }
    }

    /// `from` is the gateway's word, and no more than the address of the answer.
    async fn read_mail(
        &self,
        from: NodeIndex,
        mail: PeerMessage,
        outgoing: &mpsc::Sender<FromNode>,
    ) -> Result<Vec<(NodeIndex, PeerMessage)>, CeremonyError> {
        let now = now();
        match mail {
            PeerMessage::Confirmations(letter) => {
                let posts = self.births(now).answer(from, &letter).await?;
                self.report_free_keys(outgoing).await;
                Ok(births_mail(posts))
            }
            PeerMessage::WhichStatements { .. } | PeerMessage::Statements { .. } => Ok(Vec::new()),
            PeerMessage::WhoseKey { key_id } => {
                let evidence = self.bindings(now).evidence(&key_id).await?;
                let answer =
                    evidence.map(|evidence| PeerMessage::Assignment { key_id, evidence: Box::new(evidence) });
                Ok(answer.map(|mail| (from, mail)).into_iter().collect())
            }
            PeerMessage::Assignment { key_id, evidence } => {
                self.bindings(now).learn(&self.judge(now), &key_id, *evidence).await?;
                self.report_free_keys(outgoing).await;
                Ok(Vec::new())
            }
        }
    }

    async fn tell_all_whose(&self, key_id: &str, outgoing: &mpsc::Sender<FromNode>) {
        match self.bindings(now()).evidence(key_id).await {
            Ok(Some(evidence)) => {
                let mail =
                    PeerMessage::Assignment { key_id: key_id.to_owned(), evidence: Box::new(evidence) };
                self.write_to_all(&mail, outgoing).await;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(node = %self.me(), %error, "whose a key is cannot be told"),
        }
    }

    async fn write_to_all(&self, mail: &PeerMessage, outgoing: &mpsc::Sender<FromNode>) {
        let others = self.network.nodes().map(|(node, _)| node).filter(|node| *node != self.me());
        for to in others {
            drop(outgoing.send(FromNode::Peer { to, message: mail.clone() }).await);
        }
    }

    /// Tells the gateway which keys can be bound here.
    async fn report_free_keys(&self, outgoing: &mpsc::Sender<FromNode>) {
        match self.storage.free_keys().await {
            Ok(keys) => drop(outgoing.send(FromNode::Free { keys }).await),
            Err(error) => tracing::error!(node = %self.me(), %error, "the free keys cannot be listed"),
        }
    }

    const fn judge(&self, now: u64) -> Judge<'_> {
        Judge {
            network: &self.network,
            me: self.config.index,
            storage: &self.storage,
            nonces: &self.nonces,
            admission: &self.config.admission,
            now,
        }
    }

    const fn bindings(&self, now: u64) -> Bindings<'_> {
        Bindings {
            network: &self.network,
            me: self.config.index,
            identity: &self.identity,
            storage: &self.storage,
            hearsay: &self.hearsay,
            now,
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
    async fn answer(&self, request: &SignedRequest, task: Task, outgoing: &mpsc::Sender<FromNode>) -> Answer {
        let now = now();
        let outcome = match self.judge(now).approve(request).await {
            Ok(approved) => self.perform(approved, task, request.hash(), now).await,
            Err(Verdict::Refused(refusal)) => Ok(Answer::Refused(refusal)),
            Err(Verdict::Storage(error)) => Err(error.into()),
            Err(Verdict::Unbound { key_id }) => {
                self.write_to_all(&PeerMessage::WhoseKey { key_id: key_id.clone() }, outgoing).await;
                let reason =
                    format!("node {} was away when key {key_id} was bound, and is asking", self.me());
                Ok(Answer::Refused(Refusal::Unfinished { reason: reason.into() }))
            }
        };
        self.conclude(request.operation.path(), request.hash(), outcome)
    }

    /// Makes a free key together with all other nodes, one at a time.
    async fn make_key(&self, making: B256, inbox: Inbox, outbox: Outbox) -> Answer {
        let work = async {
            let Ok(_turn) = self.making.try_lock() else {
                let reason = format!("node {} is making a key already", self.me());
                return Ok(Answer::Refused(Refusal::Unfinished { reason: reason.into() }));
            };
            let free = self.storage.free_keys().await?.len() + self.storage.pending_keys().await?.len();
            if free as u64 >= self.config.most_free_keys {
                let reason = format!("node {} has {free} free keys, which is enough", self.me());
                return Ok(Answer::Refused(Refusal::Unfinished { reason: reason.into() }));
            }
            let participants: Vec<_> = self.network.nodes().map(|(node, _)| node).collect();
            let meeting = Meeting { attempt: 0, participants, inbox, outbox };
            let mut run = meeting.open(self, making, KEYGEN_ROUND).await?;
            let key = rounds::make_key(self.births(now()), &mut run, making).await?;
            Ok(Answer::Key { key, attestations: Vec::new() })
        };
        let outcome = work.await;
        self.conclude("make", making, outcome)
    }

    fn conclude(&self, what: &str, request: B256, outcome: Result<Answer, CeremonyError>) -> Answer {
        match outcome {
            Ok(Answer::Refused(refusal)) => {
                tracing::info!(node = %self.me(), %request, %refusal, "refused");
                Answer::Refused(refusal)
            }
            Ok(answer) => {
                tracing::info!(node = %self.me(), %request, operation = what, "done");
                answer
            }
            Err(CeremonyError::Banned { peer }) => Answer::Refused(Refusal::Banned { node: self.me(), peer }),
            Err(CeremonyError::Run(RunError::Silent { peer, .. })) => {
                tracing::warn!(node = %self.me(), %request, %peer, "silent");
                Answer::Refused(Refusal::Silent { node: self.me(), peer })
            }
            Err(error) => {
                tracing::warn!(node = %self.me(), %request, %error, "without a result");
                Answer::Refused(Refusal::Unfinished { reason: format!("node {}: {error}", self.me()).into() })
            }
        }
    }

    async fn perform(
        &self,
        approved: Approved<'_>,
        task: Task,
        request: B256,
        now: u64,
    ) -> Result<Answer, CeremonyError> {
        match (approved, task) {
            (Approved::Born { key, attestation }, _) => {
                Ok(Answer::Key { key, attestations: vec![attestation] })
            }
            (Approved::Keygen(approved), Task::Bind { key_id }) => {
                Ok(match self.bindings(now).bind(&key_id, &approved).await? {
                    Some((key, attestation)) => Answer::Key { key, attestations: vec![attestation] },
                    None => {
                        let reason = format!("key {key_id} is not free at node {}", self.me());
                        Answer::Refused(Refusal::Unfinished { reason: reason.into() })
                    }
                })
            }
            (Approved::Sign(signature), Task::Sign(meeting)) => {
                self.sign(*signature, meeting, request, now).await
            }
            (Approved::AddEphemeralKey { key_id, ephemeral, ends }, Task::Register) => {
                self.storage.add_ephemeral_key(&key_id, &ephemeral, ends).await?;
                Ok(Answer::Registered)
            }
            (Approved::Keygen(_) | Approved::Sign(_) | Approved::AddEphemeralKey { .. }, _) => {
                let reason = "the gateway asks for something else than the client".to_owned();
                Ok(Answer::Refused(Refusal::Malformed { reason: reason.into() }))
            }
        }
    }

    async fn sign(
        &self,
        signature: ApprovedSignature<'_>,
        meeting: Meeting,
        request: B256,
        now: u64,
    ) -> Result<Answer, CeremonyError> {
        let ApprovedSignature { key_id, permissions, digest, hold, .. } = signature;
        let (storage, key_id, signers) = (&self.storage, key_id.as_str(), meeting.participants.clone());
        let signing = Signing { storage, key_id, signers: &signers, digest, now };
        let journal = Journal { storage, key_id, permissions: &permissions, now };
        let prepare = async {
            if let Some(misfit) = meeting.misfit(self, self.network.threshold()) {
                return Ok(Err(misfit));
            }
            signing.permit().await?;
            let mut run = meeting.open(self, request, SIGNING_ROUND).await?;
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
}

/// What the gateway asks a node to do with a client's request.
enum Task {
    /// Give it this key.
    Bind { key_id: String },
    /// Sign it with these others.
    Sign(Meeting),
    /// Register the owner's statement.
    Register,
}

/// With whom a run is, and the way to them.
struct Meeting {
    attempt: u32,
    participants: Vec<NodeIndex>,
    inbox: Inbox,
    outbox: Outbox,
}

impl Meeting {
    /// Why this is not a quorum of the node's network.
    fn misfit(&self, node: &Node, quorum: u8) -> Option<Refusal> {
        let signers: BTreeSet<_> = self.participants.iter().copied().collect();
        let fits = signers.contains(&node.me())
            && signers.len() == self.participants.len()
            && signers.len() == usize::from(quorum)
            && signers.iter().all(|signer| node.network.identity(*signer).is_some());
        let named = self.participants.len();
        let reason = || format!("{named} participants were named, the operation takes {quorum}");
        (!fits).then(|| Refusal::Malformed { reason: reason().into() })
    }

    async fn open(self, node: &Node, request: B256, deadline: Duration) -> Result<Run, RunError> {
        let agenda = Agenda {
            network: node.network.id(),
            request,
            attempt: self.attempt,
            participants: self.participants.into_iter().collect(),
        };
        Run::open(&node.network, agenda, node.me(), &node.identity, self.inbox, self.outbox, deadline).await
    }
}

/// A run's way out: its messages as relay frames of one exchange.
fn outbox(exchange: TaskId, outgoing: mpsc::Sender<FromNode>) -> Outbox {
    let (sender, mut queue) = mpsc::channel::<(NodeIndex, Vec<u8>)>(QUEUE);
    tokio::spawn(async move {
        while let Some((to, payload)) = queue.recv().await {
            if outgoing
                .send(FromNode::Relay { task: exchange, to, payload: ByteBuf::from(payload) })
                .await
                .is_err()
            {
                break;
            }
        }
    });
    sender
}

fn births_mail(posts: Vec<Post>) -> Vec<(NodeIndex, PeerMessage)> {
    posts.into_iter().map(|(to, letter)| (to, PeerMessage::Confirmations(letter))).collect()
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("config", &self.config).finish_non_exhaustive()
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
type Inboxes = HashMap<TaskId, Outbox>;

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
    fn begin(&self, exchange: TaskId) -> Option<Inbox> {
        let mut inboxes = self.lock();
        if self.closing.is_cancelled() || inboxes.len() >= MAX_EXCHANGES || inboxes.contains_key(&exchange) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        inboxes.insert(exchange, sender);
        Some(receiver)
    }

    fn deliver(&self, exchange: TaskId, from: NodeIndex, payload: Vec<u8>) {
        if let Some(inbox) = self.lock().get(&exchange) {
            let _ = inbox.try_send((from, payload));
        }
    }

    /// Drops the inbox, which ends a run that still waits for messages.
    fn end(&self, exchange: TaskId) {
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
