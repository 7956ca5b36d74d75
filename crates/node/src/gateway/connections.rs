use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use ed25519_dalek::Signature;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Nonce, Refusal, SignedRequest};
use tokio::sync::mpsc;

use crate::node::hello_digest;
use crate::wire::{self, FromNode, TaskId, ToNode};

/// The nodes connected to a gateway, and the exchanges under way among them.
pub(crate) struct Switchboard {
    network: NetworkDescriptor,
    next_id: AtomicU64,
    state: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    nodes: BTreeMap<NodeIndex, Line>,
    exchanges: HashMap<TaskId, Party>,
}

struct Line {
    connection: u64,
    frames: mpsc::Sender<ToNode>,
    /// The free keys that the node can bind.
    free: Vec<String>,
}

struct Party {
    /// The nodes, and how many messages each of them has sent to others.
    nodes: BTreeMap<NodeIndex, u32>,
    events: mpsc::UnboundedSender<(NodeIndex, Event)>,
}

/// What a node does in an exchange, as far as the gateway is concerned.
#[derive(Debug)]
pub(crate) enum Event {
    /// Its nonce.
    Nonce(Nonce),
    /// Its answer.
    Answer(Answer),
    /// Its connection broke.
    Gone,
}

impl Event {
    /// The answer that it comes to, if it is one; a broken connection is.
    pub(crate) fn into_answer(self, node: NodeIndex) -> Option<Answer> {
        match self {
            Self::Nonce(_) => None,
            Self::Answer(answer) => Some(answer),
            Self::Gone => {
                Some(Answer::Refused(Refusal::Unfinished { reason: format!("node {node} went away").into() }))
            }
        }
    }
}

/// One exchange with a set of nodes, which are told when it is dropped.
pub(crate) struct Exchange<'a> {
    switchboard: &'a Switchboard,
    id: TaskId,
    nodes: BTreeSet<NodeIndex>,
    events: mpsc::UnboundedReceiver<(NodeIndex, Event)>,
}

/// Frames that may wait for a slow node before it counts as gone.
const QUEUE: usize = 1024;

const HELLO_DEADLINE: Duration = Duration::from_secs(10);

impl Switchboard {
    pub(crate) fn new(network: NetworkDescriptor) -> Self {
        Self { network, next_id: AtomicU64::new(1), state: Mutex::default() }
    }

    /// The nodes that are connected.
    pub(crate) fn ready(&self) -> BTreeSet<NodeIndex> {
        self.lines().nodes.keys().copied().collect()
    }

    pub(crate) fn is_ready(&self, node: NodeIndex) -> bool {
        self.lines().nodes.contains_key(&node)
    }

    /// The free keys that enough of the connected nodes can bind, those that most of them can first.
    pub(crate) fn free_keys(&self) -> Vec<String> {
        let lines = self.lines();
        let mut holders = BTreeMap::<&String, usize>::new();
        for key in lines.nodes.values().flat_map(|line| &line.free) {
            *holders.entry(key).or_default() += 1;
        }
        holders.retain(|_, nodes| *nodes >= usize::from(self.network.bind_quorum()));
        let mut keys: Vec<_> = holders.into_iter().collect();
        keys.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
        keys.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// Opens an exchange with `nodes`, who may then send each other messages in it.
    pub(crate) fn open(&self, nodes: BTreeSet<NodeIndex>) -> Exchange<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::unbounded_channel();
        let party = Party { nodes: nodes.iter().map(|node| (*node, 0)).collect(), events: sender };
        self.lines().exchanges.insert(id, party);
        Exchange { switchboard: self, id, nodes, events }
    }

    /// Serves a node's connection, after the node has shown who it is.
    pub(crate) async fn attend(&self, mut socket: WebSocket) {
        let Ok(Some(node)) = tokio::time::timeout(HELLO_DEADLINE, self.greet(&mut socket)).await else {
            return;
        };
        let connection = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (frames, mut queue) = mpsc::channel(QUEUE);
        self.lines().nodes.insert(node, Line { connection, frames, free: Vec::new() });
        tracing::info!(%node, "node connected");

        let (mut sink, mut stream) = socket.split();
        let writer = async {
            while let Some(frame) = queue.recv().await {
                if sink.send(Message::Binary(wire::encode(&frame).into())).await.is_err() {
                    break;
                }
            }
        };
        let reader = async {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Binary(bytes) = message
                    && let Ok(frame) = wire::decode(&bytes)
                {
                    self.route(node, frame);
                }
            }
        };
        tokio::select! {
            () = writer => {}
            () = reader => {}
        }
        self.hang_up(node, connection);
        tracing::info!(%node, "node gone");
    }

    async fn greet(&self, socket: &mut WebSocket) -> Option<NodeIndex> {
        let mut challenge = [0; 32];
        getrandom::fill(&mut challenge).ok()?;
        let greeting = wire::encode(&ToNode::Greet { challenge });
        socket.send(Message::Binary(greeting.into())).await.ok()?;
        let Message::Binary(bytes) = socket.recv().await?.ok()? else { return None };
        let FromNode::Hello { node, signature } = wire::decode(&bytes).ok()? else { return None };
        let signature = Signature::from_slice(&signature).ok()?;
        let digest = hello_digest(&self.network, node, &challenge);
        self.network.identity(node)?.verify_strict(digest.as_slice(), &signature).ok()?;
        Some(node)
    }

    fn route(&self, from: NodeIndex, frame: FromNode) {
        let mut lines = self.lines();
        match frame {
            FromNode::Hello { .. } => {}
            FromNode::Nonce { task, nonce } => lines.report(task, from, Event::Nonce(nonce)),
            FromNode::Done { task, answer } => {
                if let Some(answer) = answer.read() {
                    lines.report(task, from, Event::Answer(answer));
                }
            }
            FromNode::Peer { to, message } => lines.send(to, ToNode::Peer { from, message }),
            FromNode::WhichKey { .. } | FromNode::Waiting { .. } => {}
            FromNode::Free { keys } => {
                if let Some(line) = lines.nodes.get_mut(&from) {
                    line.free = keys;
                }
            }
            FromNode::Relay { task, to, payload } => {
                let party = lines.exchanges.get_mut(&task);
                let both = party.is_some_and(|party| {
                    party.nodes.entry(from).and_modify(|sent| *sent += 1);
                    party.nodes.contains_key(&from) && party.nodes.contains_key(&to)
                });
                if both {
                    lines.send(to, ToNode::Relay { task, from, payload });
                }
            }
        }
    }

    fn hang_up(&self, node: NodeIndex, connection: u64) {
        let mut lines = self.lines();
        if lines.nodes.get(&node).is_some_and(|line| line.connection == connection) {
            lines.nodes.remove(&node);
        }
        for exchange in lines.exchanges.keys() {
            lines.report(*exchange, node, Event::Gone);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn report(&self, exchange: TaskId, node: NodeIndex, event: Event) {
        if let Some(party) = self.exchanges.get(&exchange).filter(|party| party.nodes.contains_key(&node)) {
            let _ = party.events.send((node, event));
        }
    }

    /// A node whose queue is full has stopped reading; what is lost there, its peers' deadlines notice.
    fn send(&self, node: NodeIndex, frame: ToNode) {
        if let Some(line) = self.nodes.get(&node) {
            let _ = line.frames.try_send(frame);
        }
    }
}

impl Exchange<'_> {
    /// Sends every node of the exchange a frame. One that is not connected is gone from the start.
    pub(crate) fn send_all(&self, frame: impl Fn(TaskId) -> ToNode) {
        let lines = self.switchboard.lines();
        for node in &self.nodes {
            lines.send(*node, frame(self.id));
            if !lines.nodes.contains_key(node) {
                lines.report(self.id, *node, Event::Gone);
            }
        }
    }

    /// Hands every node of the exchange a request.
    pub(crate) fn start(&self, attempt: u32, request: &SignedRequest) {
        let participants: Vec<_> = self.nodes.iter().copied().collect();
        self.send_all(|task| ToNode::Sign {
            task,
            attempt,
            participants: participants.clone(),
            request: request.clone(),
        });
    }

    /// The node that has sent the others the fewest messages: the one that they wait for.
    pub(crate) fn quietest(&self) -> Option<NodeIndex> {
        let lines = self.switchboard.lines();
        let party = lines.exchanges.get(&self.id)?;
        party.nodes.iter().min_by_key(|(_, sent)| **sent).map(|(node, _)| *node)
    }

    /// The next thing that a node does.
    pub(crate) async fn next(&mut self) -> Option<(NodeIndex, Event)> {
        self.events.recv().await
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.switchboard.lines().exchanges.remove(&self.id);
        self.send_all(|task| ToNode::Cancel { task });
    }
}
