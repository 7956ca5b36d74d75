//! Which nodes are connected and which tasks are under way among them: what changes with each frame, and no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quorate_protocol::{Answer, NodeIndex, Nonce, Refusal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::gateway::nonces::InAdvance;
use crate::gateway::queue::{self, Full};
use crate::wire::{self, Frame as _, KeyRecord, TaskId, ToNode};

#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<NodeIndex, NodeConnection>,
    pub(super) tasks: HashMap<TaskId, TaskState>,
    /// How many nonces in a row each node was late with.
    pub(super) late: BTreeMap<NodeIndex, u32>,
}

pub(super) struct NodeConnection {
    pub(super) id: u64,
    /// Of the frames, the newest version that both sides speak.
    pub(super) version: u8,
    pub(super) frames: queue::Sender,
    /// It finishes what it is at, and takes nothing new.
    pub(super) is_leaving: bool,
    /// The free keys that the node can assign.
    pub(super) free: Vec<String>,
    pub(super) nonces: InAdvance,
}

pub(super) struct TaskState {
    pub(super) participants: BTreeMap<NodeIndex, Participant>,
    pub(super) events: mpsc::UnboundedSender<(NodeIndex, Event)>,
}

#[derive(Default)]
pub(super) struct Participant {
    /// The connection over which it takes part; none if it was away from the start.
    pub(super) connection: Option<u64>,
    /// The rounds and receivers of the messages it sent.
    pub(super) sent: BTreeSet<(u8, NodeIndex)>,
    /// Its first report of whom it waits for: the round, and the peers.
    pub(super) waiting: Option<(u8, BTreeSet<NodeIndex>)>,
    /// A node has one say in a task, so that what waits for its reader is bounded.
    pub(super) has_answered: bool,
}

/// What a node does in a task, as far as the gateway is concerned.
#[derive(Debug)]
pub(in crate::gateway) enum Event {
    /// Its nonce.
    Nonce(Nonce),
    /// The key that it gave the request.
    GivenKey(Option<String>),
    /// A key's public key, as it has it.
    KeyRecord(Option<KeyRecord>),
    /// Its answer.
    Answer(Answer),
    /// Its connection broke, or takes no more frames.
    Gone,
}

/// No task has this number: nonces that are given in advance are asked for by it.
pub(super) const NO_TASK: TaskId = 0;

/// After how many late nonces in a row no further one is waited for.
const LATE_TIMES: u32 = 3;

impl Event {
    /// The answer that it comes to, if it is one; a broken connection is.
    pub(in crate::gateway) fn into_answer(self, node: NodeIndex) -> Option<Answer> {
        match self {
            Self::Nonce(_) | Self::GivenKey(_) | Self::KeyRecord(_) => None,
            Self::Answer(answer) => Some(answer),
            Self::Gone => Some(Answer::Refused(Refusal::Unfinished {
                reason: format!("node {node} went away or does not keep up").into(),
            })),
        }
    }
}

impl State {
    pub(super) fn participant(&mut self, task: TaskId, node: NodeIndex) -> Option<&mut Participant> {
        self.tasks.get_mut(&task)?.participants.get_mut(&node)
    }

    pub(super) fn report(&mut self, task: TaskId, node: NodeIndex, event: Event) {
        let Some(task) = self.tasks.get_mut(&task) else { return };
        let Some(participant) = task.participants.get_mut(&node) else { return };
        if !std::mem::replace(&mut participant.has_answered, true) {
            // The reader of a task that ends drops its other end first.
            let _ = task.events.send((node, event));
        }
    }

    pub(super) fn late(&self) -> BTreeSet<NodeIndex> {
        self.late.iter().filter(|(_, times)| **times >= LATE_TIMES).map(|(node, _)| *node).collect()
    }

    pub(super) fn take_nonces(&mut self, now: Instant) -> Option<BTreeMap<NodeIndex, Nonce>> {
        let late = self.late();
        let staying = self.nodes.iter_mut().filter(|(_, connection)| !connection.is_leaving);
        let mut staying: Vec<_> = staying.map(|(node, connection)| (*node, &mut connection.nonces)).collect();
        // Of every node, so that old ones are forgotten at each.
        let mut missing = Vec::new();
        for (node, nonces) in &mut staying {
            if !nonces.has_fresh(now) {
                missing.push(*node);
            }
        }
        let taken = missing.iter().all(|node| late.contains(node)).then(|| {
            let nonces = staying.iter_mut().map(|(node, nonces)| (*node, nonces.take()));
            nonces.filter_map(|(node, nonce)| Some((node, nonce?))).collect()
        });
        let asked: Vec<_> = staying.into_iter().map(|(node, nonces)| (node, nonces.ask())).collect();
        for (node, asked) in asked {
            for _ in 0..asked {
                // A node whose queue is full gives none, until it connects again.
                let _ = self.send(node, &ToNode::Nonce { task: NO_TASK });
            }
        }
        taken
    }

    /// Queues a frame for a node. One that is not connected gets none: its tasks are told when they begin or when it goes. Nor
    /// does one that could not read it.
    pub(super) fn send(&self, node: NodeIndex, frame: &ToNode) -> Result<(), Full> {
        match self.nodes.get(&node) {
            Some(connection) if frame.since() <= connection.version => {
                connection.frames.push(wire::encode(frame))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::gateway::queue::queue;

    fn connected(nodes: [u8; 3]) -> (BTreeMap<NodeIndex, queue::Receiver>, State) {
        let (mut queues, mut state) = (BTreeMap::new(), State::default());
        for node in nodes.map(|node| NodeIndex::new(node).unwrap()) {
            let (frames, queue) = queue();
            queues.insert(node, queue);
            let (version, nonces) = (wire::VERSION, InAdvance::default());
            let connection =
                NodeConnection { id: 1, version, frames, is_leaving: false, free: Vec::new(), nonces };
            state.nodes.insert(node, connection);
        }
        (queues, state)
    }

    #[test]
    fn nonces_are_taken_of_every_node_or_of_none() {
        let (mut queues, mut state) = connected([1, 2, 3]);
        let [first, second, third] = [1, 2, 3].map(|node| NodeIndex::new(node).unwrap());
        let now = Instant::now();
        let give = |state: &mut State, node: NodeIndex, nonce: u8| {
            state.nodes.get_mut(&node).unwrap().nonces.give(Nonce::repeat_byte(nonce), now);
        };
        assert_eq!(state.take_nonces(now), None, "nobody was asked");
        let asked = wire::encode(&ToNode::Nonce { task: NO_TASK });
        assert_eq!(queues.get_mut(&first).unwrap().pop().now_or_never(), Some(Some(asked)));

        give(&mut state, first, 1);
        give(&mut state, second, 2);
        assert_eq!(state.take_nonces(now), None, "node 3 might sign as well");
        state.late.insert(third, LATE_TIMES);
        let taken = BTreeMap::from([(first, Nonce::repeat_byte(1)), (second, Nonce::repeat_byte(2))]);
        assert_eq!(state.take_nonces(now), Some(taken), "it is late with them anyway");

        state.late.clear();
        state.nodes.get_mut(&third).unwrap().is_leaving = true;
        give(&mut state, first, 3);
        give(&mut state, second, 4);
        give(&mut state, third, 5);
        let taken = state.take_nonces(now).unwrap();
        assert!(!taken.contains_key(&third), "it takes no new task");
        assert_eq!(taken.len(), 2);
    }
}
