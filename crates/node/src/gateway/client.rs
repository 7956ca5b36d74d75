//! One client's frames: setup, challenge, authentication, answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use quorate_protocol::{
    Answer, Authentication, AuthenticationError, CHALLENGE_LIFETIME, KEY_REQUEST_LIFETIME, NetworkDescriptor,
    NodeIndex, Nonce, Operation, ProvenChallenge, Refusal, RequestId, SUBPROTOCOL, Setup, Signed,
    SignedRequest,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Span, field};

use super::admission::Admission;
use super::connections::NodeConnections;
use super::drafts::Drafts;
use super::keys::Keys;
use super::nonces;
use super::signing::Signatures;
use super::statements::{list, register, revoke};
use crate::error::reasons;
use crate::observe::{GatewayMetrics, one_line};

/// What serves clients.
pub(super) struct Clients {
    network: NetworkDescriptor,
    connections: Arc<NodeConnections>,
    signatures: Signatures,
    keys: Arc<Keys>,
    drafts: Mutex<Drafts>,
    admission: Mutex<Admission>,
    places: Semaphore,
    /// The zero of the times in drafts and budgets.
    began: Instant,
    metrics: Arc<GatewayMetrics>,
}

/// A client, before it has shown who it is.
pub(super) struct Visitor {
    pub(super) operation: Operation,
    /// The challenge of a draft that it takes up again.
    pub(super) resume: Option<String>,
    /// Whether it asks for the nonces of its challenge, or sends those of the draft ahead.
    pub(super) with_nonces: bool,
    pub(super) address: IpAddr,
}

/// What a client wants, once it has said all that it has to say.
enum Asked {
    /// What the owner of a key has said of it, by the client's own words.
    List(String),
    Request(Box<Verified>),
}

/// A request whose signature is genuine, as far as that can be seen here, and whose it is.
struct Verified {
    request: SignedRequest,
    setup: Setup,
    ephemeral: Option<[u8; 32]>,
}

/// The nonces of a draft that a client takes up.
enum Drafted {
    /// This gateway has gathered them.
    Here(BTreeMap<NodeIndex, Nonce>),
    /// They came with the client; the nodes know whether they are theirs.
    Elsewhere(BTreeMap<NodeIndex, Nonce>),
}

/// Why a client has no answer of the nodes.
enum Unserved {
    Refused(Refusal),
    /// It went away. One that waits for its owner's signature does, and comes back.
    Gone,
}

/// A socket of an address, counted until it is dropped.
struct Counted<'a> {
    clients: &'a Clients,
    address: IpAddr,
}

/// How long each of a client's frames may take.
const SETUP_DEADLINE: Duration = Duration::from_secs(10);
const AUTHENTICATION_DEADLINE: Duration = CHALLENGE_LIFETIME;

/// How long a request for a key may be repeated after a node has answered it: nodes give the same key again.
const KEY_RESUME: Duration = Duration::from_secs(600);

/// How many clients are served at once; the next ones are told that the network is busy.
const MOST_CLIENTS: usize = 1024;

/// How often a client's socket is kept open.
const PING: Duration = Duration::from_secs(15);

/// The codes with which sockets are closed (RFC 6455, section 7.4.1, and its registry).
const NORMAL: u16 = 1000;
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

impl Clients {
    pub(super) fn new(
        network: NetworkDescriptor,
        connections: Arc<NodeConnections>,
        signatures: Signatures,
        keys: Arc<Keys>,
        admission: Admission,
        metrics: Arc<GatewayMetrics>,
    ) -> Self {
        Self {
            network,
            connections,
            signatures,
            keys,
            drafts: Mutex::default(),
            admission: Mutex::new(admission),
            places: Semaphore::new(MOST_CLIENTS),
            began: Instant::now(),
            metrics,
        }
    }

    /// Serves a client from its first frame to the last. Once `stop` is cancelled, what the client still has to say is not
    /// waited for; a request that it has handed in is answered.
    pub(super) async fn serve(
        &self,
        socket: &mut WebSocket,
        visitor: Visitor,
        stop: &CancellationToken,
    ) -> Answer {
        let operation = visitor.operation.path();
        let answer = match self.answer(socket, visitor, stop).await {
            Ok(answer) => answer,
            Err(Unserved::Refused(refusal)) => {
                tracing::debug!(reason = one_line(&refusal), "refused");
                Answer::Refused(refusal)
            }
            Err(Unserved::Gone) => {
                tracing::debug!("the client went away");
                self.metrics.requests.answered(operation, "gone");
                return Answer::Refused(malformed("the client went away"));
            }
        };
        self.metrics.answered(operation, &answer);
        answer
    }

    /// Forgets drafts whose time is over, again and again.
    pub(super) async fn keep_tidy(&self) {
        loop {
            tokio::time::sleep(CHALLENGE_LIFETIME / 4).await;
            self.drafts().expire(self.now());
        }
    }

    async fn answer(
        &self,
        socket: &mut WebSocket,
        visitor: Visitor,
        stop: &CancellationToken,
    ) -> Result<Answer, Unserved> {
        let Ok(_place) = self.places.try_acquire() else { return Err(Refusal::Busy.into()) };
        let _counted = self.count(visitor.address)?;
        self.keys.disturb();
        let operation = visitor.operation;
        let asked = stop.run_until_cancelled(self.ask(socket, visitor)).await;
        match asked.unwrap_or_else(|| Err(stopping().into()))? {
            Asked::List(text) => {
                self.timed(operation, while_pinging(socket, list(&self.connections, &text))).await
            }
            Asked::Request(verified) => {
                self.timed(operation, while_pinging(socket, self.perform(*verified))).await
            }
        }
    }

    /// Takes what a client wants, up to the last frame that it has to send for it.
    async fn ask(&self, socket: &mut WebSocket, visitor: Visitor) -> Result<Asked, Unserved> {
        let proven = self.proven(socket, &visitor).await?;
        let text = next_text(socket, SETUP_DEADLINE, "setup").await?;
        SignedRequest::check_setup_len(&text)?;
        let operation = visitor.operation;
        let setup = Setup::parse(operation, &text).map_err(|error| malformed(reasons(&error)))?;
        if let Setup::List(_) = setup {
            Span::current().record("request", field::display(RequestId::of_setup(&text)));
            return Ok(Asked::List(text));
        }
        let is_keygen = operation == Operation::Keygen;
        let drafted = self.take_up(&visitor, proven, &text)?;
        // Whoever sends nonces along may have made them up.
        if is_keygen && !matches!(drafted, Some(Drafted::Here(_))) {
            self.admission().key_for_address(visitor.address, self.now())?;
        }
        if is_keygen {
            self.keys.want();
        }
        let address = visitor.address;
        let request = self.receive(socket, visitor, text, drafted).await?;
        Ok(Asked::Request(Box::new(self.verify(request, setup, address)?)))
    }

    /// Notes how long the nodes take over a request, and that it is answered.
    async fn timed(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<Answer, Refusal>>,
    ) -> Result<Answer, Unserved> {
        let began = Instant::now();
        let answer = work.await;
        let (took, outcome) = (began.elapsed(), answer.as_ref().map_or_else(Refusal::code, |_| "ok"));
        self.metrics.requests.took(operation.path(), took);
        tracing::info!(outcome, took = took.as_secs_f64(), "answered");
        Ok(answer?)
    }

    /// The challenge that a client proves by its nonces, to take up a draft of any gateway.
    async fn proven(
        &self,
        socket: &mut WebSocket,
        visitor: &Visitor,
    ) -> Result<Option<ProvenChallenge>, Unserved> {
        let (Some(challenge), true) = (&visitor.resume, visitor.with_nonces) else { return Ok(None) };
        let text = next_text(socket, SETUP_DEADLINE, "nonces").await?;
        if text.len() > ProvenChallenge::MAX_LEN {
            let (len, limit) = (text.len(), ProvenChallenge::MAX_LEN);
            return Err(Refusal::TooLong { what: "nonces".into(), len, limit }.into());
        }
        let proven = ProvenChallenge::from_json(&text).map_err(|error| malformed(reasons(&error)))?;
        let are_of_nodes = proven.nonces.keys().all(|node| self.network.identity(*node).is_some());
        if proven.challenge != *challenge || !are_of_nodes {
            return Err(Refusal::Challenge.into());
        }
        Ok(Some(proven))
    }

    /// The draft that a client takes up, if it does: one that was made here, or one that its nonces prove.
    fn take_up(
        &self,
        visitor: &Visitor,
        proven: Option<ProvenChallenge>,
        setup: &str,
    ) -> Result<Option<Drafted>, Refusal> {
        let Some(challenge) = &visitor.resume else { return Ok(None) };
        if let Some(nonces) = self.drafts().take_up(challenge, setup, self.now()) {
            return Ok(Some(Drafted::Here(nonces)));
        }
        let proven = proven.filter(|proven| proven.is_of(setup)).ok_or(Refusal::Challenge)?;
        Ok(Some(Drafted::Elsewhere(proven.nonces)))
    }

    /// Sends the challenge, and takes the authentication.
    async fn receive(
        &self,
        socket: &mut WebSocket,
        visitor: Visitor,
        setup: String,
        drafted: Option<Drafted>,
    ) -> Result<SignedRequest, Unserved> {
        let operation = visitor.operation;
        let is_new = drafted.is_none();
        let nonces = match drafted {
            _ if !operation.is_challenged() => BTreeMap::new(),
            Some(Drafted::Here(nonces) | Drafted::Elsewhere(nonces)) => nonces,
            None => self.nonces_for(operation).await?,
        };
        let proven = ProvenChallenge::new(&setup, nonces.clone());
        if let Some(request) = RequestId::of_challenge(&proven.challenge) {
            Span::current().record("request", field::display(request));
        }
        if operation.is_challenged() {
            if is_new && operation == Operation::Keygen && speaks_json(socket) {
                self.drafts().insert(&proven.challenge, &setup, &nonces, self.now() + CHALLENGE_LIFETIME);
            }
            let gives_nonces = is_new && visitor.with_nonces && speaks_json(socket);
            let frame = if gives_nonces { proven.to_json() } else { proven.challenge };
            socket.send(Message::Text(frame.into())).await.map_err(|_| Unserved::Gone)?;
        }
        let authentication = next_text(socket, AUTHENTICATION_DEADLINE, "authentication").await?;
        SignedRequest::check_authentication_len(&authentication)?;
        Ok(SignedRequest { operation, setup, nonces, authentication })
    }

    /// Turns away what no node would take, and what its sender may not ask for now. The nodes verify it again.
    ///
    /// Whether a contract signed only nodes can ask. What is said in its name is its sender's to answer for: by a budget of the
    /// contract's anybody could keep it from its keys.
    fn verify(&self, request: SignedRequest, setup: Setup, from: IpAddr) -> Result<Verified, Refusal> {
        let authentication = Authentication::parse(&request.authentication).map_err(unauthenticated)?;
        let challenge = request.challenge();
        let now = self.now();
        let ephemeral = match &setup {
            Setup::Sign(sign) => {
                let key = authentication.verify_ephemeral(&request.setup, &challenge);
                let key = key.map_err(unauthenticated)?.to_bytes();
                self.admission().ephemeral(&sign.key_id, &key, now)?;
                Some(key)
            }
            owned => {
                let other = || malformed("the operation is not one that an owner signs");
                let typed_data = owned.typed_data(&challenge).ok_or_else(other)?;
                let signed = authentication.verify_owner(&typed_data).map_err(unauthenticated)?;
                // Nobody is to be kept from a revocation.
                if !matches!(owned, Setup::Revoke(_)) {
                    match signed {
                        Signed::Verified(verified) => self.admission().owner(verified.owner(), now)?,
                        Signed::Claimed(_) => self.admission().key_for_address(from, now)?,
                    }
                }
                None
            }
        };
        Ok(Verified { request, setup, ephemeral })
    }

    async fn perform(&self, verified: Verified) -> Result<Answer, Refusal> {
        let Verified { request, setup, ephemeral } = verified;
        match setup {
            Setup::Keygen(_) => self.assign_key(request).await,
            Setup::Sign(setup) => {
                let answer = self.signatures.sign(request, &setup).await?;
                if let Some(ephemeral) = ephemeral {
                    self.admission().note_registered(&setup.key_id, &ephemeral);
                }
                Ok(answer)
            }
            Setup::AddEphemeralKey(_) | Setup::Permit(_) => {
                register(&self.network, &self.connections, request).await
            }
            Setup::Revoke(_) => revoke(&self.network, &self.connections, request).await,
            _ => Err(malformed("this gateway does not know the operation")),
        }
    }

    async fn assign_key(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let challenge = request.challenge();
        self.drafts().prolong(&challenge, self.now() + KEY_REQUEST_LIFETIME);
        let answer = self.keys.assign(request).await;
        match &answer {
            Err(refusal) if !refusal.is_transient() && *refusal != Refusal::Challenge => {
                self.drafts().remove(&challenge);
            }
            _ => self.drafts().prolong(&challenge, self.now() + KEY_RESUME),
        }
        answer
    }

    /// The nonces of a new challenge. Ephemeral keys sign at once; owners may be asked by their wallets first.
    async fn nonces_for(&self, operation: Operation) -> Result<BTreeMap<NodeIndex, Nonce>, Refusal> {
        let needed = self.needed(operation);
        match operation {
            Operation::Sign => nonces::at_once(&self.connections, needed).await,
            _ => nonces::fresh(&self.connections, needed).await,
        }
    }

    /// How many nodes an operation cannot do without.
    fn needed(&self, operation: Operation) -> u8 {
        match operation {
            Operation::Keygen => self.keys.needed(),
            Operation::Sign => self.network.threshold(),
            Operation::AddEphemeralKey | Operation::Permit => self.network.bind_quorum(),
            Operation::Revoke | Operation::List => 1,
        }
    }

    fn count(&self, address: IpAddr) -> Result<Counted<'_>, Refusal> {
        self.admission().open(address, self.now())?;
        Ok(Counted { clients: self, address })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn drafts(&self) -> MutexGuard<'_, Drafts> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.clients.admission().close(self.address);
    }
}

/// Whether the client is our own, to which refusals and attestations are sent as well.
fn speaks_json(socket: &WebSocket) -> bool {
    socket.protocol().is_some_and(|protocol| protocol == SUBPROTOCOL)
}

/// Sends the last frame. Third-party clients take any frame for a result, so a refusal only closes their socket.
pub(super) async fn close(mut socket: WebSocket, answer: &Answer) {
    let text = if speaks_json(&socket) { Some(answer.to_json()) } else { answer.plain() };
    if let Some(text) = text {
        let _ = socket.send(Message::Text(text.into())).await;
    }
    let (code, reason) = match answer {
        Answer::Refused(refusal @ Refusal::Busy) => (TRY_AGAIN_LATER, refusal.close_reason()),
        Answer::Refused(refusal) => (POLICY, refusal.close_reason()),
        _ => (NORMAL, String::new()),
    };
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// Does the work while the socket is kept open; what the client says meanwhile is not read.
async fn while_pinging<T>(socket: &mut WebSocket, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(PING, &mut work).await {
            Ok(done) => return done,
            // One that has gone away is noticed when it is answered.
            Err(_) => drop(socket.send(Message::Ping(Vec::new().into())).await),
        }
    }
}

async fn next_text(socket: &mut WebSocket, deadline: Duration, what: &str) -> Result<String, Unserved> {
    let next = async {
        loop {
            match tokio::time::timeout(PING, socket.recv()).await {
                Ok(Some(Ok(Message::Text(text)))) => return Ok(text.to_string()),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(_))) => return Err(malformed(format!("the {what} is not a text frame")).into()),
                Ok(Some(Err(_)) | None) => return Err(Unserved::Gone),
                Err(_) => {
                    let sent = socket.send(Message::Ping(Vec::new().into())).await;
                    sent.map_err(|_| Unserved::Gone)?;
                }
            }
        }
    };
    let late = |_| malformed(format!("no {what} within {} s", deadline.as_secs()));
    tokio::time::timeout(deadline, next).await.map_err(late)?
}

/// What clients are told whose requests cannot be answered any more.
pub(super) fn stopping() -> Refusal {
    Refusal::Unfinished { reason: "the gateway is stopping".into() }
}

fn malformed(reason: impl AsRef<str>) -> Refusal {
    Refusal::Malformed { reason: reason.as_ref().into() }
}

fn unauthenticated(error: AuthenticationError) -> Refusal {
    Refusal::Unauthenticated { reason: reasons(&error).into() }
}
