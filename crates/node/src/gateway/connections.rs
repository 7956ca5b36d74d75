//! The nodes that are there, and the tasks under way among them.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use ed25519_dalek::Signature;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{NetworkDescriptor, NodeIndex, Nonce, Refusal};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use state::Event;
use state::{NO_TASK, NodeConnection, Participant, State, TaskState};

use super::nonces::InAdvance;
use super::queue::queue;
use super::quorum::Progress;
use crate::channel_binding::ChannelBinding;
use crate::fail_points::newest_version_of_gateways;
use crate::node::hello_digest;
use crate::observe::{self, Clocks, Dropped, GatewayMetrics, Occasionally};
use crate::wire::{self, FrameError, FromNode, TaskId, ToNode};

/// The nodes connected to a gateway, and the tasks under way among them.
pub(super) struct NodeConnections {
    network: NetworkDescriptor,
    next_id: AtomicU64,
    state: Mutex<State>,
    rejected: Occasionally,
    unreadable: Occasionally,
    lost: Occasionally,
    /// Of each node's comings and goings.
    moved: BTreeMap<NodeIndex, Occasionally>,
    metrics: Arc<GatewayMetrics>,
    pub(super) clocks: Clocks<NodeIndex>,
}

/// How long to go on, given what nodes have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Enough nodes have not answered.
    More,
    /// Enough have, and the rest has a grace.
    Grace,
    /// Nobody else is waited for.
    Done,
}

impl Wait {
    /// Until enough nodes have answered, and the grace after it.
    pub(super) const fn until(is_enough: bool) -> Self {
        if is_enough { Self::Grace } else { Self::More }
    }
}

/// Why a connection is not a node's.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("the connection broke before the node said who it is")]
    Broken,
    #[error("its first frame is not a node's: {0}")]
    Frame(#[from] FrameError),
    #[error("its first frame says nothing of who it is")]
    NoHello,
    #[error("it is not the node {node} of this network that it says it is")]
    Identity { node: NodeIndex },
    #[error("it speaks a version of the frames that binds nobody to a TLS connection; a newer node does")]
    Unbound,
    #[error("it did not say who it is within {} s", HELLO_DEADLINE.as_secs())]
    Late,
    #[error("the system gave no random bytes")]
    Random,
}

/// One task among some nodes, which are told when it is dropped.
pub(super) struct Task<'a> {
    connections: &'a NodeConnections,
    id: TaskId,
    nodes: BTreeSet<NodeIndex>,
    events: mpsc::UnboundedReceiver<(NodeIndex, Event)>,
}

/// A message in a run, as far as it can be read by others: what it begins with.
#[derive(Deserialize)]
enum RunMessage {
    Hello,
    Sealed { round: u8 },
}

const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// How often a node is pinged, and for how long it may be silent.
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// How often in ten seconds it is told that a node came or went.
const MOVES: u32 = 6;

/// How many free keys of a node are looked at; nodes keep 64.
const MOST_FREE_KEYS: usize = 1024;

/// The last round of a run that is counted; a key's making has the most.
const LAST_ROUND: u8 = 31;

impl NodeConnections {
    pub(super) fn new(network: NetworkDescriptor, metrics: Arc<GatewayMetrics>) -> Self {
        let moved = network.nodes().map(|(node, _)| (node, Occasionally::times(MOVES))).collect();
        Self {
            network,
            moved,
            metrics,
            clocks: Clocks::default(),
            next_id: AtomicU64::new(NO_TASK + 1),
            state: Mutex::default(),
            rejected: Occasionally::default(),
            unreadable: Occasionally::default(),
            lost: Occasionally::default(),
        }
    }

    /// The nodes that are connected, and take new tasks.
    pub(super) fn ready(&self) -> BTreeSet<NodeIndex> {
        let state = self.state();
        let staying = state.nodes.iter().filter(|(_, connection)| !connection.is_leaving);
        staying.map(|(node, _)| *node).collect()
    }

    /// The bytes that wait for each of them.
    pub(super) fn queued(&self) -> BTreeMap<NodeIndex, usize> {
        self.state().nodes.iter().map(|(node, connection)| (*node, connection.frames.bytes())).collect()
    }

    /// Checks that at least `needed` of the network's nodes are among these.
    pub(super) fn enough(&self, ready: &BTreeSet<NodeIndex>, needed: u8) -> Result<(), Refusal> {
        if ready.len() >= usize::from(needed) {
            return Ok(());
        }
        let missing =
            self.network.nodes().map(|(node, _)| node).filter(|node| !ready.contains(node)).collect();
        Err(Refusal::Nodes { ready: u8::try_from(ready.len()).unwrap_or(u8::MAX), needed, missing })
    }

    /// The free keys that enough of the connected nodes can assign.
    pub(super) fn free_keys(&self) -> BTreeSet<String> {
        let mut keys = self.holders();
        keys.retain(|_, nodes| *nodes >= usize::from(self.network.bind_quorum()));
        keys.into_keys().collect()
    }

    /// How many keys any node still counts as free, whether enough of them can assign it or not.
    pub(super) fn unassigned_keys(&self) -> usize {
        self.holders().len()
    }

    fn holders(&self) -> BTreeMap<String, usize> {
        let state = self.state();
        let staying = state.nodes.values().filter(|connection| !connection.is_leaving);
        let mut holders = BTreeMap::new();
        for key in staying.flat_map(|node| &node.free) {
            *holders.entry(key.clone()).or_default() += 1;
        }
        holders
    }

    /// Notes which nodes gave their nonces in time.
    pub(super) fn note_nonces(&self, in_time: &BTreeSet<NodeIndex>, late: &BTreeSet<NodeIndex>) {
        let mut state = self.state();
        state.late.retain(|node, _| !in_time.contains(node));
        for node in late {
            *state.late.entry(*node).or_default() += 1;
        }
    }

    /// The nodes that were late with their last nonces.
    pub(super) fn late(&self) -> BTreeSet<NodeIndex> {
        self.state().late()
    }

    /// Takes a nonce of each node that takes new tasks, if all that are not usually late have given one in advance; and asks
    /// them for more.
    pub(super) fn take_nonces(&self) -> Option<BTreeMap<NodeIndex, Nonce>> {
        self.state().take_nonces(Instant::now())
    }

    /// Opens a task for `nodes`, who may then send each other messages in it.
    pub(super) fn open(&self, nodes: BTreeSet<NodeIndex>) -> Task<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::unbounded_channel();
        let mut state = self.state();
        let participant = |node: &NodeIndex| {
            let connection = state.nodes.get(node).map(|connection| connection.id);
            (*node, Participant { connection, ..Participant::default() })
        };
        let participants = nodes.iter().map(participant).collect();
        state.tasks.insert(id, TaskState { participants, events: sender });
        Task { connections: self, id, nodes, events }
    }

    /// Sends nodes a frame that none answers.
    pub(super) fn tell<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeIndex>, frame: &ToNode) {
        let state = self.state();
        for node in nodes {
            // One whose queue is full lacks it.
            let _ = state.send(*node, frame);
        }
    }

    /// Sends nodes a frame and gathers what they answer: until all have, or for as long as `wait` says, or until the deadline.
    pub(super) async fn gather(
        &self,
        nodes: BTreeSet<NodeIndex>,
        deadline: Duration,
        grace: Duration,
        wait: impl Fn(&BTreeMap<NodeIndex, Event>) -> Wait,
        frame: impl Fn(TaskId) -> ToNode,
    ) -> BTreeMap<NodeIndex, Event> {
        let mut waiting = nodes.len();
        let mut task = self.open(nodes);
        task.send_all(frame);
        let mut events = BTreeMap::new();
        let (mut until, mut is_in_grace) = (Instant::now() + deadline, false);
        while waiting > 0 {
            let Ok(Some((node, event))) = tokio::time::timeout_at(until, task.next()).await else { break };
            waiting -= 1;
            events.insert(node, event);
            match wait(&events) {
                Wait::Done => break,
                Wait::Grace if !is_in_grace => {
                    (until, is_in_grace) = (until.min(Instant::now() + grace), true);
                }
                Wait::Grace | Wait::More => {}
            }
        }
        events
    }

    /// Serves a node's connection, after the node has shown who it is. `newest` is the newest version of the frames that it
    /// says it speaks; `binding` is what its hello has to cover of an encrypted connection.
    pub(super) async fn attend(&self, mut socket: WebSocket, newest: u8, binding: Option<ChannelBinding>) {
        let version = newest.clamp(wire::OLDEST, newest_version_of_gateways());
        let greeted = tokio::time::timeout(HELLO_DEADLINE, self.greet(&mut socket, version, binding)).await;
        match greeted.unwrap_or(Err(Rejected::Late)) {
            Ok(node) => self.attend_node(node, version, socket).await,
            Err(error) => {
                if let Some(times) = self.rejected.count() {
                    tracing::warn!(%error, times, "a connection to the nodes' door was rejected");
                }
            }
        }
    }

    async fn attend_node(&self, node: NodeIndex, version: u8, socket: WebSocket) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (frames, mut queue) = queue();
        let connection = NodeConnection {
            id,
            version,
            frames,
            is_leaving: false,
            free: Vec::new(),
            nonces: InAdvance::default(),
        };
        self.state().nodes.insert(node, connection);
        self.tell_moved(node, "connected");

        let (mut sink, mut stream) = socket.split();
        let writer = async {
            let mut ping = tokio::time::interval(PING);
            loop {
                let message = tokio::select! {
                    frame = queue.pop() => match frame {
                        Some(frame) => Message::Binary(frame.into()),
                        None => return "it connected again",
                    },
                    _ = ping.tick() => Message::Ping(observe::ping().to_vec().into()),
                };
                if sink.send(message).await.is_err() {
                    return "it cannot be written to";
                }
            }
        };
        let reader = async {
            loop {
                match tokio::time::timeout(SILENCE, stream.next()).await {
                    Ok(Some(Ok(Message::Binary(bytes)))) => self.read(node, version, &bytes),
                    Ok(Some(Ok(Message::Ping(ping)))) => {
                        observe::sent_at(&ping).into_iter().for_each(|at| self.clocks.note(node, at));
                    }
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(_)) | None) => return "it closed",
                    Err(_) => return "it was silent for too long",
                }
            }
        };
        let reason = tokio::select! {
            reason = writer => reason,
            reason = reader => reason,
        };
        self.disconnect(node, id);
        self.tell_moved(node, reason);
    }

    /// Logs that a node came or went; one that does so all the time is told of less often.
    fn tell_moved(&self, node: NodeIndex, what: &'static str) {
        if let Some(times) = self.moved.get(&node).and_then(Occasionally::count) {
            tracing::info!(%node, what, times, "a node came or went");
        }
    }

    async fn greet(
        &self,
        socket: &mut WebSocket,
        version: u8,
        binding: Option<ChannelBinding>,
    ) -> Result<NodeIndex, Rejected> {
        let mut challenge = [0; 32];
        getrandom::fill(&mut challenge).map_err(|_| Rejected::Random)?;
        let greeting = match (version, binding) {
            (wire::OLDEST, None) => ToNode::Greet { challenge },
            (wire::OLDEST, Some(_)) => return Err(Rejected::Unbound),
            (_, None) => ToNode::Welcome { version, challenge },
            (_, Some(_)) => ToNode::WelcomeBound { version, challenge },
        };
        let greeting = wire::encode(&greeting);
        socket.send(Message::Binary(greeting.into())).await.map_err(|_| Rejected::Broken)?;
        let Some(Ok(message)) = socket.recv().await else { return Err(Rejected::Broken) };
        let FromNode::Hello { node, signature } = wire::decode(&message.into_data())? else {
            return Err(Rejected::NoHello);
        };
        let identity = self.network.identity(node).ok_or(Rejected::Identity { node })?;
        let digest = hello_digest(&self.network, node, &challenge, binding);
        let signature = Signature::from_slice(&signature).map_err(|_| Rejected::Identity { node })?;
        let verified = identity.verify_strict(digest.as_slice(), &signature);
        verified.map(|()| node).map_err(|_| Rejected::Identity { node })
    }

    fn read(&self, from: NodeIndex, version: u8, bytes: &[u8]) {
        match wire::decode_up_to(version, bytes) {
            Ok(frame) => self.route(from, frame),
            Err(error) => {
                self.metrics.frames.dropped(Dropped::Unreadable);
                if let Some(times) = self.unreadable.count() {
                    tracing::warn!(node = %from, %error, times, "a node's frame cannot be read");
                }
            }
        }
    }

    fn route(&self, from: NodeIndex, frame: FromNode) {
        let mut state = self.state();
        match frame {
            FromNode::Hello { .. } => {}
            FromNode::Nonce { task: NO_TASK, nonce } => {
                if let Some(connection) = state.nodes.get_mut(&from) {
                    connection.nonces.give(nonce, Instant::now());
                }
            }
            FromNode::Nonce { task, nonce } => state.report(task, from, Event::Nonce(nonce)),
            FromNode::WhichKey { task, key_id } => state.report(task, from, Event::GivenKey(key_id)),
            FromNode::KeyRecord { task, record } => state.report(task, from, Event::KeyRecord(record)),
            FromNode::Done { task, answer } => {
                if let Some(answer) = answer.read() {
                    state.report(task, from, Event::Answer(answer));
                }
            }
            FromNode::Waiting { task, round, peers } => {
                if let Some(waiter) = state.participant(task, from) {
                    let peers = peers.into_iter().collect();
                    waiter.waiting.get_or_insert((round, peers));
                }
            }
            FromNode::Peer { to, message } => {
                if state.send(to, &ToNode::Peer { from, message }).is_ok() {
                    return;
                }
                self.metrics.frames.dropped(Dropped::Full);
                if let Some(times) = self.lost.count() {
                    tracing::warn!(node = %to, times, "what other nodes wrote to a node that does not keep up is lost");
                }
            }
            FromNode::Free { mut keys } => {
                keys.truncate(MOST_FREE_KEYS);
                keys.retain(|key_id| key_id.len() <= 64);
                if let Some(connection) = state.nodes.get_mut(&from) {
                    connection.free = keys;
                }
            }
            FromNode::Leaving => {
                if let Some(connection) = state.nodes.get_mut(&from) {
                    connection.is_leaving = true;
                    tracing::info!(node = %from, "node is leaving");
                }
            }
            FromNode::Relay { task, to, payload } => {
                let round = round_of(&payload);
                let is_peer = state.participant(task, to).is_some();
                let Some(sender) = state.participant(task, from).filter(|_| is_peer) else { return };
                sender.sent.extend(round.map(|round| (round, to)));
                if state.send(to, &ToNode::Relay { task, from, payload }).is_err() {
                    self.metrics.frames.dropped(Dropped::Full);
                    state.report(task, to, Event::Gone);
                }
            }
        }
    }

    /// Forgets a connection, and tells the tasks that go over it.
    fn disconnect(&self, node: NodeIndex, id: u64) {
        let mut state = self.state();
        if state.nodes.get(&node).is_some_and(|connection| connection.id == id) {
            state.nodes.remove(&node);
            self.clocks.forget(node);
        }
        let is_over_it = |task: &TaskState| {
            task.participants.get(&node).is_some_and(|participant| participant.connection == Some(id))
        };
        let tasks: Vec<_> =
            state.tasks.iter().filter(|(_, task)| is_over_it(task)).map(|(id, _)| *id).collect();
        for task in tasks {
            state.report(task, node, Event::Gone);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The round of a message in a run, which stands before what is sealed.
pub(crate) fn round_of(payload: &[u8]) -> Option<u8> {
    let (_, message) = payload.split_first()?;
    match postcard::take_from_bytes(message).ok()?.0 {
        RunMessage::Hello => Some(0),
        RunMessage::Sealed { round } => Some(round).filter(|round| (1..=LAST_ROUND).contains(round)),
    }
}

impl Task<'_> {
    /// Sends every node of the task a frame. One that is not connected, or does not keep up, is gone from the start.
    pub(super) fn send_all(&self, frame: impl Fn(TaskId) -> ToNode) {
        let frame = frame(self.id);
        let mut state = self.connections.state();
        for node in &self.nodes {
            if !state.nodes.contains_key(node) || state.send(*node, &frame).is_err() {
                state.report(self.id, *node, Event::Gone);
            }
        }
    }

    /// How far each node has come.
    pub(super) fn progress(&self) -> Progress {
        let state = self.connections.state();
        let mut progress = Progress::default();
        for (node, participant) in state.tasks.get(&self.id).iter().flat_map(|task| &task.participants) {
            progress.sent.insert(*node, participant.sent.len());
            progress.waiting.extend(participant.waiting.clone().map(|waiting| (*node, waiting)));
        }
        progress
    }

    /// The next thing that a node does.
    pub(super) async fn next(&mut self) -> Option<(NodeIndex, Event)> {
        self.events.recv().await
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.tasks.remove(&self.id);
        for node in &self.nodes {
            // A node whose queue is full ends the task by the deadline of its rounds.
            let _ = state.send(*node, &ToNode::Cancel { task: self.id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_of_a_sealed_message_is_read_and_junk_has_none() {
        #[derive(serde::Serialize)]
        enum Sent {
            Hello([u8; 4]),
            Sealed { round: u8, bytes: Vec<u8> },
        }
        impl wire::Frame for Sent {}
        let round = |message: Sent| round_of(&wire::encode(&message));
        assert_eq!(round(Sent::Hello([9; 4])), Some(0));
        assert_eq!(round(Sent::Sealed { round: 3, bytes: vec![1, 2] }), Some(3));
        assert_eq!(round(Sent::Sealed { round: LAST_ROUND + 1, bytes: Vec::new() }), None);
        assert_eq!(round_of(&[]), None);
        assert_eq!(round_of(&[1, 99, 1]), None);
    }
}
