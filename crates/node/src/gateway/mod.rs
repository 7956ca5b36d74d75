mod connections;
mod pool;
#[allow(dead_code)]
mod quorum;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use quorate_protocol::{
    Answer, Attestation, KeyText, NetworkDescriptor, NodeIndex, Nonce, Operation, Refusal, SUBPROTOCOL,
    SignedRequest, challenge,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{ConfigError, GatewayConfig, load_descriptor};
use crate::node::NONCE_LIFETIME;
use crate::wire::{MAX_FRAME, TaskId, ToNode};

use self::connections::{Event, Switchboard};
use self::pool::{Pool, Reserved};

/// The network's door: it gathers nonces, hands requests to nodes, relays what they send each other, and returns
/// what they answer. It decides nothing and holds no secret; a bad one can only withhold.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    network: NetworkDescriptor,
    free_keys: usize,
}

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port.
    #[error("cannot listen on {address}; is another program using the port?")]
    Listen {
        /// The address configured.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server stopped by itself.
    #[error("the server stopped")]
    Serve(#[source] std::io::Error),
}

/// How long each of a client's frames may take, and the whole of an operation.
const SETUP_DEADLINE: Duration = Duration::from_secs(10);
const AUTHENTICATION_DEADLINE: Duration = NONCE_LIFETIME;
const NONCE_DEADLINE: Duration = Duration::from_secs(5);
const NONCE_GRACE: Duration = Duration::from_millis(250);
const KEYGEN_DEADLINE: Duration = Duration::from_secs(90);
const MAKING_GRACE: Duration = Duration::from_secs(2);
const SIGNING_DEADLINE: Duration = Duration::from_secs(20);

/// How long a quorum may take to sign before its slowest node is replaced; each further one gets twice as long, so that
/// a machine on which all nodes are slow gets there as well.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a request for a key may be repeated after a node has answered it: nodes give the same key again.
const KEY_RESUME: Duration = Duration::from_secs(600);

/// A client's largest frame that is refused by name; a larger one ends the connection.
const MAX_CLIENT_FRAME: usize = 2 * SignedRequest::MAX_SETUP;

/// How often the pool of free keys is looked at, and how long it is left alone after a failure.
const IDLE: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_secs(15);

/// How many clients are served at once; the next ones are told that the network is busy.
const MAX_CLIENTS: usize = 1024;

impl Gateway {
    /// Binds the configured address.
    ///
    /// # Errors
    /// A descriptor that cannot be read, or an address that is taken.
    pub async fn open(config: GatewayConfig) -> Result<Self, GatewayError> {
        let network = load_descriptor(&config.network)?;
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })?;
        Ok(Self { listener, network, free_keys: config.free_keys })
    }

    /// Serves nodes and clients until `stop` is cancelled.
    ///
    /// # Errors
    /// The server's own end.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let desk = Arc::new(Desk {
            switchboard: Switchboard::new(self.network.clone()),
            network: self.network,
            pending: Mutex::default(),
            clients: tokio::sync::Semaphore::new(MAX_CLIENTS),
            pool: Pool::new(self.free_keys),
            stop: stop.clone(),
        });
        tokio::spawn({
            let (desk, stop) = (desk.clone(), stop.clone());
            async move { stop.run_until_cancelled(desk.keep_pool_filled()).await }
        });
        let router = Router::new()
            .route("/health", get(health))
            .route("/node", get(node))
            .route("/keygen", get(keygen))
            .route("/signgen", get(signgen))
            .route("/addEphemeralKey", get(add_ephemeral_key))
            .route("/revoke", get(revoke))
            .with_state(desk);
        // The rounds of a signature are many small messages, each of which the next one waits for.
        let listener = self.listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::warn!(%error, "small messages may be delayed on a socket");
            }
        });
        axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .map_err(GatewayError::Serve)
    }
}

struct Desk {
    network: NetworkDescriptor,
    switchboard: Switchboard,
    /// Challenges that a client may take up again on another connection.
    pending: Mutex<HashMap<String, Pending>>,
    clients: tokio::sync::Semaphore,
    pool: Pool,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Pending {
    setup: String,
    nonces: BTreeMap<NodeIndex, Nonce>,
    /// The key that the request was promised.
    key_id: Option<String>,
    until: Instant,
}

#[derive(Deserialize)]
struct Resume {
    challenge: Option<String>,
}

async fn health(State(desk): State<Arc<Desk>>) -> Response {
    let (nodes, keys) = (desk.switchboard.ready().len(), desk.switchboard.free_keys().len());
    axum::Json(serde_json::json!({ "nodes": nodes, "keys": keys })).into_response()
}

async fn node(State(desk): State<Arc<Desk>>, upgrade: WebSocketUpgrade) -> Response {
    let stop = desk.stop.clone();
    upgrade.max_message_size(MAX_FRAME).on_upgrade(async move |socket| {
        tokio::select! {
            () = desk.switchboard.attend(socket) => {}
            () = stop.cancelled() => {}
        }
    })
}

async fn keygen(state: State<Arc<Desk>>, resume: Query<Resume>, upgrade: WebSocketUpgrade) -> Response {
    client(state, resume, upgrade, Operation::Keygen)
}

async fn signgen(state: State<Arc<Desk>>, resume: Query<Resume>, upgrade: WebSocketUpgrade) -> Response {
    client(state, resume, upgrade, Operation::Sign)
}

async fn add_ephemeral_key(
    state: State<Arc<Desk>>,
    resume: Query<Resume>,
    upgrade: WebSocketUpgrade,
) -> Response {
    client(state, resume, upgrade, Operation::AddEphemeralKey)
}

async fn revoke(state: State<Arc<Desk>>, resume: Query<Resume>, upgrade: WebSocketUpgrade) -> Response {
    client(state, resume, upgrade, Operation::Revoke)
}

fn client(
    State(desk): State<Arc<Desk>>,
    Query(resume): Query<Resume>,
    upgrade: WebSocketUpgrade,
    operation: Operation,
) -> Response {
    if operation == Operation::Keygen {
        // By the time that the owner has signed, there is one.
        tokio::spawn({
            let desk = desk.clone();
            async move { desk.until_a_key_is_free().await }
        });
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(MAX_CLIENT_FRAME);
    upgrade.on_upgrade(async move |mut socket| {
        let speaks_json = socket.protocol().is_some_and(|protocol| protocol == SUBPROTOCOL);
        let answer = tokio::select! {
            answer = desk.serve_client(&mut socket, operation, resume.challenge) => answer,
            () = desk.stop.cancelled() => Answer::Refused(Refusal::Unfinished { reason: "the gateway is stopping".into() }),
        };
        farewell(socket, speaks_json, &answer).await;
    })
}

/// Sends the last frame. Third-party clients take any frame for a result, so a refusal only closes their socket.
async fn farewell(mut socket: WebSocket, speaks_json: bool, answer: &Answer) {
    let text = if speaks_json { Some(answer.to_json()) } else { answer.plain() };
    if let Some(text) = text {
        let _ = socket.send(Message::Text(text.into())).await;
    }
    let reason = match answer {
        Answer::Refused(refusal) => refusal.close_reason(),
        _ => String::new(),
    };
    let code = if reason.is_empty() { 1000 } else { 1008 };
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

impl Desk {
    async fn serve_client(
        &self,
        socket: &mut WebSocket,
        operation: Operation,
        resume: Option<String>,
    ) -> Answer {
        let Ok(_place) = self.clients.try_acquire() else { return Answer::Refused(Refusal::Busy) };
        self.pool.disturb();
        let request = match self.receive(socket, operation, resume).await {
            Ok(request) => request,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let answered = match operation {
            Operation::Keygen => self.make_key(request).await,
            Operation::Sign => self.sign(request).await,
            Operation::AddEphemeralKey => self.register(request).await,
            Operation::Revoke => self.revoke(request).await,
        };
        answered.unwrap_or_else(Answer::Refused)
    }

    /// Takes the setup, sends the challenge, takes the authentication.
    async fn receive(
        &self,
        socket: &mut WebSocket,
        operation: Operation,
        resume: Option<String>,
    ) -> Result<SignedRequest, Refusal> {
        let setup = next_text(socket, SETUP_DEADLINE, "setup").await?;
        SignedRequest::check_setup_len(&setup)?;
        if !operation.is_challenged() {
            let authentication = next_text(socket, AUTHENTICATION_DEADLINE, "authentication").await?;
            SignedRequest::check_authentication_len(&authentication)?;
            return Ok(SignedRequest { operation, setup, nonces: BTreeMap::new(), authentication });
        }
        let nonces = match resume {
            Some(challenge) => self.take_up(&challenge, &setup)?,
            None => self.gather_nonces(operation).await?,
        };
        let challenge = challenge(&setup, &nonces);
        self.remember(&challenge, &setup, &nonces);
        let closed = |_| Refusal::Malformed { reason: "the client went away".into() };
        socket.send(Message::Text(challenge.into())).await.map_err(closed)?;
        let authentication = next_text(socket, AUTHENTICATION_DEADLINE, "authentication").await?;
        SignedRequest::check_authentication_len(&authentication)?;
        Ok(SignedRequest { operation, setup, nonces, authentication })
    }

    async fn gather_nonces(&self, operation: Operation) -> Result<BTreeMap<NodeIndex, Nonce>, Refusal> {
        let ready = self.switchboard.ready();
        let needed = self.needed(operation);
        self.enough(&ready, needed)?;
        let mut exchange = self.switchboard.open(ready.clone());
        exchange.send_all(|task| ToNode::Nonce { task });

        let mut nonces = BTreeMap::new();
        let mut waiting = ready;
        let deadline = tokio::time::Instant::now() + NONCE_DEADLINE;
        let mut patience = deadline;
        while !waiting.is_empty() {
            let Ok(Some((node, event))) = tokio::time::timeout_at(patience, exchange.next()).await else {
                break;
            };
            waiting.remove(&node);
            if let Event::Nonce(nonce) = event {
                nonces.insert(node, nonce);
            }
            if nonces.len() == usize::from(needed) {
                patience = deadline.min(tokio::time::Instant::now() + NONCE_GRACE);
            }
        }
        self.enough(&nonces.keys().copied().collect(), needed)?;
        Ok(nonces)
    }

    /// How many nodes an operation cannot do without.
    fn needed(&self, operation: Operation) -> u8 {
        match operation {
            Operation::Keygen if self.switchboard.free_keys().is_empty() => self.network.size(),
            Operation::Keygen => self.network.bind_quorum(),
            Operation::Sign => self.network.threshold(),
            Operation::AddEphemeralKey => self.network.bind_quorum(),
            Operation::Revoke => 1,
        }
    }

    fn enough(&self, ready: &BTreeSet<NodeIndex>, needed: u8) -> Result<(), Refusal> {
        if ready.len() >= usize::from(needed) {
            return Ok(());
        }
        let missing =
            self.network.nodes().map(|(node, _)| node).filter(|node| !ready.contains(node)).collect();
        Err(Refusal::Nodes { ready: u8::try_from(ready.len()).unwrap_or(u8::MAX), needed, missing })
    }

    fn remember(&self, challenge: &str, setup: &str, nonces: &BTreeMap<NodeIndex, Nonce>) {
        let mut all = self.pending();
        all.retain(|_, pending| pending.until > Instant::now());
        if all.len() < MAX_CLIENTS && !all.contains_key(challenge) {
            let until = Instant::now() + NONCE_LIFETIME;
            all.insert(
                challenge.to_owned(),
                Pending { setup: setup.to_owned(), nonces: nonces.clone(), key_id: None, until },
            );
        }
    }

    /// Lets a request be taken up again for some more time.
    fn keep(&self, challenge: &str, time: Duration) {
        if let Some(pending) = self.pending().get_mut(challenge) {
            pending.until = pending.until.max(Instant::now() + time);
        }
    }

    fn take_up(&self, challenge: &str, setup: &str) -> Result<BTreeMap<NodeIndex, Nonce>, Refusal> {
        let pending = self.pending().get(challenge).cloned();
        let pending = pending.filter(|pending| pending.setup == setup && pending.until > Instant::now());
        Ok(pending.ok_or(Refusal::Challenge)?.nonces)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes bind a free key to its owner; enough of them must attest to it.
    async fn make_key(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let nodes: BTreeSet<_> = request.nonces.keys().copied().collect();
        let challenge = request.challenge();
        self.keep(&challenge, KEYGEN_DEADLINE + NONCE_LIFETIME);
        let key = self.promised_key(&challenge).await?;
        let answers = self
            .ask(nodes, SIGNING_DEADLINE, |task| ToNode::Assign {
                task,
                key_id: key.key_id.clone(),
                request: request.clone(),
            })
            .await;
        if answers.values().any(|answer| matches!(answer, Answer::Key { .. })) {
            self.keep(&challenge, KEY_RESUME);
        }
        let mut keys: BTreeMap<String, (KeyText, Vec<Attestation>)> = BTreeMap::new();
        let mut refusals = Refusals::default();
        for (node, answer) in answers {
            match answer {
                Answer::Key { key, attestations } => {
                    let attested = keys.entry(key.key_id.clone()).or_insert((key, Vec::new()));
                    attested.1.extend(attestations.into_iter().filter(|own| own.node == node));
                }
                answer => refusals.add(answer),
            }
        }
        let most = keys.into_values().max_by_key(|(_, attestations)| attestations.len());
        match most {
            Some((key, attestations)) if attestations.len() >= usize::from(self.network.bind_quorum()) => {
                Ok(Answer::Key { key, attestations })
            }
            _ => Err(refusals.worst()),
        }
    }

    /// Asks quorum after quorum until one signs or none is left: each time without the node that refused, without a
    /// pair that does not work together, and without slow nodes as long as there are others.
    async fn sign(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let threshold = usize::from(self.network.threshold());
        let mut candidates: BTreeSet<_> = request.nonces.keys().copied().collect();
        let (mut apart, mut slow) = (BTreeSet::new(), BTreeSet::new());
        let mut refusals = Refusals::default();
        let until = tokio::time::Instant::now() + SIGNING_DEADLINE;
        let mut patience = PATIENCE;
        for attempt in 0.. {
            candidates.retain(|node| self.switchboard.is_ready(*node));
            let quick = &candidates - &slow;
            let quorum = pick(&quick, threshold, &apart).or_else(|| pick(&candidates, threshold, &apart));
            let Some(quorum) = quorum.filter(|_| tokio::time::Instant::now() < until) else {
                refusals.add_missing(self.enough(&candidates, self.network.threshold()));
                break;
            };
            let deadline = until.min(tokio::time::Instant::now() + patience);
            let (node, answer) = match self.ask_quorum(&quorum, attempt, &request, deadline).await {
                Ok(answered) => answered,
                Err(slowest) => {
                    tracing::info!(node = ?slowest, attempt, "slow; another node signs in its place");
                    slow.extend(slowest);
                    patience *= 2;
                    continue;
                }
            };
            match &answer {
                Answer::Signature(_) => return Ok(answer),
                // The one that says so is not believed more than the one it is said of.
                Answer::Refused(Refusal::Banned { peer, .. } | Refusal::Silent { peer, .. })
                    if quorum.contains(peer) =>
                {
                    apart.insert((node, *peer));
                }
                _ => {
                    candidates.remove(&node);
                }
            }
            refusals.add(answer);
        }
        Err(refusals.worst())
    }

    /// The first answer of a quorum, or else the node that has said least.
    async fn ask_quorum(
        &self,
        quorum: &BTreeSet<NodeIndex>,
        attempt: u32,
        request: &SignedRequest,
        deadline: tokio::time::Instant,
    ) -> Result<(NodeIndex, Answer), Option<NodeIndex>> {
        let mut exchange = self.switchboard.open(quorum.clone());
        exchange.start(attempt, request);
        loop {
            match tokio::time::timeout_at(deadline, exchange.next()).await {
                Ok(Some((node, event))) => {
                    if let Some(answer) = event.into_answer(node) {
                        return Ok((node, answer));
                    }
                }
                Ok(None) | Err(_) => return Err(exchange.quietest()),
            }
        }
    }

    /// The key that a request was promised before, or else a free one, which is reserved until this is dropped.
    async fn promised_key(&self, challenge: &str) -> Result<Reserved<'_>, Refusal> {
        if let Some(Pending { key_id: Some(key_id), .. }) = self.pending().get(challenge) {
            return Ok(self.pool.reserve_again(key_id));
        }
        let key = loop {
            match self.pool.reserve(self.switchboard.free_keys()) {
                Some(key) => break key,
                None => self.make_free_key(1).await?,
            }
        };
        // The same request may have come on another connection meanwhile.
        let mut pending = self.pending();
        Ok(match pending.get_mut(challenge).map(|pending| &mut pending.key_id) {
            Some(Some(promised)) => self.pool.reserve_again(promised),
            Some(none) => {
                *none = Some(key.key_id.clone());
                key
            }
            None => key,
        })
    }

    async fn until_a_key_is_free(&self) {
        if let Err(refusal) = self.make_free_key(1).await {
            tracing::info!(%refusal, "no key can be made for the client that comes");
        }
    }

    /// Has all nodes make a key, unless there are as many already; one at a time.
    async fn make_free_key(&self, enough: usize) -> Result<(), Refusal> {
        let _turn = self.pool.turn().await;
        if self.pool.unreserved(self.switchboard.free_keys()).count() >= enough {
            return Ok(());
        }
        let nodes = self.switchboard.ready();
        self.enough(&nodes, self.network.size())?;
        let mut making = B256::ZERO;
        let no_random = |_| Refusal::Unfinished { reason: "the system gave no random bytes".into() };
        getrandom::fill(making.as_mut_slice()).map_err(no_random)?;
        let (mut refusals, mut made) = (Refusals::default(), 0);
        let mut exchange = self.switchboard.open(nodes.clone());
        exchange.send_all(|task| ToNode::Make { task, making });
        let mut deadline = tokio::time::Instant::now() + KEYGEN_DEADLINE;
        let mut waiting = nodes;
        while !waiting.is_empty() {
            let Ok(Some((node, event))) = tokio::time::timeout_at(deadline, exchange.next()).await else {
                break;
            };
            let Some(answer) = event.into_answer(node) else { continue };
            waiting.remove(&node);
            if matches!(answer, Answer::Key { .. }) {
                made += 1;
            } else {
                // The others cannot go on, unless they are done already.
                deadline = deadline.min(tokio::time::Instant::now() + MAKING_GRACE);
            }
            refusals.add(answer);
        }
        if made < usize::from(self.network.bind_quorum()) {
            return Err(refusals.worst());
        }
        tracing::info!(free = self.switchboard.free_keys().len(), wanted = self.pool.size(), "made a key");
        Ok(())
    }

    /// Makes keys ahead of need, while no client is served.
    async fn keep_pool_filled(&self) {
        let mut pause = IDLE;
        loop {
            tokio::time::sleep(pause).await;
            pause = IDLE;
            let idle = self.clients.available_permits() == MAX_CLIENTS && self.pool.is_quiet();
            let all_ready = self.switchboard.ready().len() == usize::from(self.network.size());
            let wanted = self.switchboard.free_keys().len() < self.pool.size();
            if idle
                && all_ready
                && wanted
                && let Err(refusal) = self.make_free_key(self.pool.size()).await
            {
                tracing::warn!(%refusal, "no key could be made ahead; trying again later");
                pause = REST;
            }
        }
    }

    async fn register(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let nodes: BTreeSet<_> = request.nonces.keys().copied().collect();
        let answers = self
            .ask(nodes, SIGNING_DEADLINE, |task| ToNode::Register { task, request: request.clone() })
            .await;
        let mut refusals = Refusals::default();
        let mut registered = BTreeSet::new();
        for (node, answer) in answers {
            match answer {
                Answer::Registered => drop(registered.insert(node)),
                answer => refusals.add(answer),
            }
        }
        refusals.add_missing(self.enough(&registered, self.network.bind_quorum()));
        if registered.len() >= usize::from(self.network.bind_quorum()) {
            Ok(Answer::Registered)
        } else {
            Err(refusals.worst())
        }
    }

    /// Hands every node that is there a revocation, and gathers their acknowledgements.
    async fn revoke(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let nodes = self.switchboard.ready();
        self.enough(&nodes, 1)?;
        let answers = self
            .ask(nodes, SIGNING_DEADLINE, |task| ToNode::Register { task, request: request.clone() })
            .await;
        let (mut acknowledgements, mut refusals) = (Vec::new(), Refusals::default());
        for answer in answers.into_values() {
            match answer {
                Answer::Revoked { acknowledgements: own } => acknowledgements.extend(own),
                answer => refusals.add(answer),
            }
        }
        if acknowledgements.is_empty() {
            Err(refusals.worst())
        } else {
            Ok(Answer::Revoked { acknowledgements })
        }
    }

    /// Sends a set of nodes a frame and gathers their answers, until all are in or the deadline passes.
    async fn ask(
        &self,
        nodes: BTreeSet<NodeIndex>,
        deadline: Duration,
        frame: impl Fn(TaskId) -> ToNode,
    ) -> BTreeMap<NodeIndex, Answer> {
        let mut exchange = self.switchboard.open(nodes.clone());
        exchange.send_all(frame);
        let mut answers = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + deadline;
        while answers.len() < nodes.len() {
            let Ok(Some((node, event))) = tokio::time::timeout_at(deadline, exchange.next()).await else {
                break;
            };
            if let Some(answer) = event.into_answer(node) {
                answers.insert(node, answer);
            }
        }
        answers
    }
}

/// A quorum without a pair that is kept apart, if there is one: from one place in the circle of nodes after the
/// other, starting at random, so that load spreads.
fn pick(
    candidates: &BTreeSet<NodeIndex>,
    count: usize,
    apart: &BTreeSet<(NodeIndex, NodeIndex)>,
) -> Option<BTreeSet<NodeIndex>> {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    (0..candidates.len()).find_map(|place| {
        let mut quorum = BTreeSet::new();
        for &node in candidates.iter().cycle().skip(usize::from(byte[0]) + place).take(candidates.len()) {
            let fits =
                |other: &NodeIndex| !apart.contains(&(node, *other)) && !apart.contains(&(*other, node));
            if quorum.len() < count && quorum.iter().all(fits) {
                quorum.insert(node);
            }
        }
        (quorum.len() == count).then_some(quorum)
    })
}

async fn next_text(socket: &mut WebSocket, deadline: Duration, what: &str) -> Result<String, Refusal> {
    let malformed = |reason: String| Refusal::Malformed { reason: reason.into() };
    let next = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) => return Err(malformed(format!("the {what} is not a text frame"))),
                Some(Err(_)) | None => return Err(malformed("the client went away".to_owned())),
            }
        }
    };
    let late = |_| malformed(format!("no {what} within {} s", deadline.as_secs()));
    tokio::time::timeout(deadline, next).await.map_err(late)?
}

/// The refusals of several nodes; the client is told the one that trying again does not change.
#[derive(Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, answer: Answer) {
        if let Answer::Refused(refusal) = answer {
            self.0.push(refusal);
        }
    }

    fn add_missing(&mut self, enough: Result<(), Refusal>) {
        self.0.extend(enough.err());
    }

    fn worst(self) -> Refusal {
        let mut refusals = self.0;
        refusals.sort_by_key(Refusal::is_transient);
        let nothing = Refusal::Unfinished { reason: "no node answered in time".into() };
        refusals.into_iter().next().unwrap_or(nothing)
    }
}
