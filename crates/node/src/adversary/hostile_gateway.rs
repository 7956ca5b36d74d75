//! A gateway whose every step a test chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Answer, NodeIndex, Nonce, SignedRequest};
use serde_bytes::ByteBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::gateway::round_of;
use crate::wire::{self, FromNode, MAX_FRAME, TaskId, ToNode};

/// A gateway whose every step a test chooses: what it asks which node, and what it does with what nodes send each other.
///
/// It relays everything, in order, until [`relay_by`](Self::relay_by) says otherwise. It stops when it is dropped.
#[derive(Debug)]
pub struct HostileGateway {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// Names one task that the gateway gave to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskHandle(TaskId);

/// What one node sends another through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The task that it belongs to; none for what nodes write to each other outside tasks.
    pub task: Option<TaskHandle>,
    /// The sender.
    pub from: NodeIndex,
    /// The receiver.
    pub to: NodeIndex,
    /// The round that stands before what is sealed, 0 for a hello; none outside tasks.
    pub round: Option<u8>,
    /// The message.
    pub payload: Vec<u8>,
}

struct Shared {
    next_task: AtomicU64,
    state: Mutex<State>,
    policy: Mutex<Policy>,
    /// Sent after every frame of a node.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeIndex, mpsc::UnboundedSender<Vec<u8>>>,
    nonces: BTreeMap<(TaskId, NodeIndex), Nonce>,
    answers: BTreeMap<(TaskId, NodeIndex), Answer>,
    free: BTreeMap<NodeIndex, BTreeSet<String>>,
}

/// What is relayed in place of one message.
type Policy = Box<dyn FnMut(Relayed) -> Vec<Relayed> + Send>;

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

impl HostileGateway {
    /// Listens for nodes.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let shared = Arc::new(Shared {
            next_task: AtomicU64::new(1),
            state: Mutex::default(),
            policy: Mutex::new(Box::new(|relayed| vec![relayed])),
            changed: watch::Sender::new(()),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, shared.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self { shared, _stop: stop.drop_guard() })
    }

    /// Waits until so many nodes are connected.
    pub async fn connected(&self, count: usize) {
        self.shared.until(|| (self.shared.state().nodes.len() == count).then_some(())).await;
    }

    /// Waits until a condition holds that depends on what nodes have sent.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        self.shared.until(|| condition().then_some(())).await;
    }

    /// From now on relays in place of each message what `policy` gives for it; nothing withholds it.
    ///
    /// The policy is called while the gateway waits for it: it must not call the gateway.
    pub fn relay_by(&self, policy: impl FnMut(Relayed) -> Vec<Relayed> + Send + 'static) {
        *self.shared.policy() = Box::new(policy);
    }

    /// Sends a node what another sent, or what is made up, whatever the policy.
    pub fn relay(&self, relayed: Relayed) {
        self.shared.relay(relayed);
    }

    /// A fresh nonce of every connected node.
    pub async fn nonces(&self) -> BTreeMap<NodeIndex, Nonce> {
        let nodes = self.nodes();
        let task = self.give(nodes.clone(), |_, task| ToNode::Nonce { task });
        let gathered = || {
            let state = self.shared.state();
            nodes.iter().map(|node| Some((*node, *state.nonces.get(&(task.0, *node))?))).collect()
        };
        self.shared.until(gathered).await
    }

    /// Has the nodes make keys until there are so many that all connected nodes can assign, and gives their ids.
    pub async fn make_keys(&self, count: usize) -> Vec<String> {
        let mut free = self.free_keys();
        while free.len() < count {
            let making = B256::from(self.fresh_id());
            let nodes = self.nodes();
            let task = self.give(nodes.clone(), |_, task| ToNode::Make { task, making });
            let mut is_made = true;
            for node in nodes {
                is_made &= matches!(self.answer(task, node).await, Answer::Key { .. });
            }
            // One that is late for the others' patience makes none; then another is made.
            if is_made {
                let known = free.len();
                let more = || Some(self.free_keys()).filter(|free| free.len() > known);
                free = self.shared.until(more).await;
            }
        }
        free.into_iter().collect()
    }

    /// Asks nodes to sign a request together.
    pub fn sign(&self, participants: &[NodeIndex], attempt: u32, request: &SignedRequest) -> TaskHandle {
        self.sign_each(participants, attempt, |_| request.clone())
    }

    /// Asks nodes to sign together what `request` gives for each of them.
    pub fn sign_each(
        &self,
        participants: &[NodeIndex],
        attempt: u32,
        request: impl Fn(NodeIndex) -> SignedRequest,
    ) -> TaskHandle {
        let all = participants.to_vec();
        self.give(participants.iter().copied(), |node, task| ToNode::Sign {
            task,
            attempt,
            participants: all.clone(),
            request: request(node),
        })
    }

    /// Asks nodes to give a request the free key that `keys` has for each of them.
    pub fn assign(&self, keys: &BTreeMap<NodeIndex, String>, request: &SignedRequest) -> TaskHandle {
        self.give(keys.keys().copied(), |node, task| ToNode::Assign {
            task,
            key_id: keys.get(&node).cloned().unwrap_or_default(),
            request: request.clone(),
        })
    }

    /// Hands an owner's statement about a key to these nodes.
    pub fn register(&self, nodes: &[NodeIndex], request: &SignedRequest) -> TaskHandle {
        self.give(nodes.iter().copied(), |_, task| ToNode::Register { task, request: request.clone() })
    }

    /// Tells all nodes that a task is over.
    pub fn cancel(&self, task: TaskHandle) {
        for node in self.nodes() {
            self.shared.send(node, &ToNode::Cancel { task: task.0 });
        }
    }

    /// Waits for what a node answers in a task.
    pub async fn answer(&self, task: TaskHandle, node: NodeIndex) -> Answer {
        self.shared.until(|| self.shared.state().answers.get(&(task.0, node)).cloned()).await
    }

    /// What nodes have answered in a task so far.
    pub fn answers(&self, task: TaskHandle) -> BTreeMap<NodeIndex, Answer> {
        let state = self.shared.state();
        let of_task = state.answers.iter().filter(|((of, _), _)| *of == task.0);
        of_task.map(|((_, node), answer)| (*node, answer.clone())).collect()
    }

    fn give(
        &self,
        nodes: impl IntoIterator<Item = NodeIndex>,
        frame: impl Fn(NodeIndex, TaskId) -> ToNode,
    ) -> TaskHandle {
        let task = self.shared.next_task.fetch_add(1, Ordering::Relaxed);
        for node in nodes {
            self.shared.send(node, &frame(node, task));
        }
        TaskHandle(task)
    }

    /// What names a key's making: no other has it.
    fn fresh_id(&self) -> [u8; 32] {
        let mut id = [0; 32];
        let number = self.shared.next_task.fetch_add(1, Ordering::Relaxed);
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn nodes(&self) -> Vec<NodeIndex> {
        self.shared.state().nodes.keys().copied().collect()
    }

    fn free_keys(&self) -> BTreeSet<String> {
        self.shared.state().free_keys()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            // A node whose socket broke connects again.
            let _ = shared.attend(stream).await;
        }));
    }
}

impl Shared {
    async fn attend(&self, stream: TcpStream) -> Result<(), tungstenite::Error> {
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let mut socket = tokio_tungstenite::accept_async_with_config(stream, Some(limits)).await?;
        let Some(node) = greet(&mut socket).await? else { return Ok(()) };
        let (frames, mut queue) = mpsc::unbounded_channel();
        self.state().nodes.insert(node, frames.clone());
        self.changed.send_replace(());
        let (mut sink, mut stream) = socket.split();
        let writer = async {
            while let Some(frame) = queue.recv().await {
                sink.send(Message::Binary(frame.into())).await?;
            }
            Ok(())
        };
        let reader = async {
            while let Some(message) = stream.next().await {
                if let Message::Binary(bytes) = message?
                    && let Ok(frame) = wire::decode(&bytes)
                {
                    self.receive(node, frame);
                }
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = writer => ended,
            ended = reader => ended,
        };
        let mut state = self.state();
        if state.nodes.get(&node).is_some_and(|current| current.same_channel(&frames)) {
            state.nodes.remove(&node);
        }
        ended
    }

    fn receive(&self, from: NodeIndex, frame: FromNode) {
        match frame {
            FromNode::Nonce { task, nonce } => {
                self.state().nonces.insert((task, from), nonce);
            }
            FromNode::Done { task, answer } => {
                if let Some(answer) = answer.read() {
                    self.state().answers.insert((task, from), answer);
                }
            }
            FromNode::Free { keys } => {
                self.state().free.insert(from, keys.into_iter().collect());
            }
            FromNode::Relay { task, to, payload } => {
                let (task, round) = (Some(TaskHandle(task)), round_of(&payload));
                self.apply_policy(Relayed { task, from, to, round, payload: payload.into_vec() });
            }
            FromNode::Peer { to, message } => {
                let payload = wire::encode(&message);
                self.apply_policy(Relayed { task: None, from, to, round: None, payload });
            }
            FromNode::Hello { .. }
            | FromNode::WhichKey { .. }
            | FromNode::KeyRecord { .. }
            | FromNode::Waiting { .. }
            | FromNode::Leaving => {}
        }
        self.changed.send_replace(());
    }

    fn apply_policy(&self, relayed: Relayed) {
        let mut policy = self.policy();
        for relayed in policy(relayed) {
            self.relay(relayed);
        }
    }

    fn relay(&self, relayed: Relayed) {
        let Relayed { task, from, to, payload, .. } = relayed;
        match task {
            Some(TaskHandle(task)) => {
                self.send(to, &ToNode::Relay { task, from, payload: ByteBuf::from(payload) });
            }
            None => {
                if let Ok(message) = wire::decode(&payload) {
                    self.send(to, &ToNode::Peer { from, message });
                }
            }
        }
    }

    fn send(&self, node: NodeIndex, frame: &ToNode) {
        if let Some(frames) = self.state().nodes.get(&node) {
            // The receiver of a socket that broke is gone, and the frame with it.
            let _ = frames.send(wire::encode(frame));
        }
    }

    /// Looks after every frame of a node, until there is something.
    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Greets a node and gives who it says it is; nobody hostile asks for a proof.
async fn greet(socket: &mut Socket) -> Result<Option<NodeIndex>, tungstenite::Error> {
    let greeting = wire::encode(&ToNode::Welcome { version: wire::VERSION, challenge: [0; 32] });
    socket.send(Message::Binary(greeting.into())).await?;
    let Some(message) = socket.next().await else { return Ok(None) };
    match wire::decode(&message?.into_data()) {
        Ok(FromNode::Hello { node, .. }) => Ok(Some(node)),
        _ => Ok(None),
    }
}

impl State {
    /// The keys that every connected node can assign.
    fn free_keys(&self) -> BTreeSet<String> {
        let mut lists = self.nodes.keys().map(|node| self.free.get(node).cloned().unwrap_or_default());
        let first = lists.next().unwrap_or_default();
        lists.fold(first, |common, keys| &common & &keys)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
