//! What other nodes have written and this one has not dealt with: each has room of its own, and is heard in turn.
//!
//! Who a message is from is the gateway's word. A node that writes too much loses what it writes, and nobody else does:
//! whoever misses an answer asks again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quorate_protocol::NodeIndex;
use tokio::sync::Notify;

use crate::buckets::Buckets;
use crate::config::Rate;
use crate::wire::PeerMessage;

/// The messages of other nodes on one connection.
pub(crate) struct PeerQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    began: Instant,
}

struct Waiting {
    messages: BTreeMap<NodeIndex, VecDeque<PeerMessage>>,
    rates: Buckets<NodeIndex>,
    /// Whose message was the last to be taken.
    last: Option<NodeIndex>,
}

/// How many messages of one node wait at most.
const ROOM: usize = 32;

/// How often one node is listened to: a message costs up to some hundred signatures to be verified.
const RATE: Rate = Rate { burst: 256, per_minute: 3000 };

impl PeerQueue {
    pub(crate) fn new() -> Self {
        let waiting = Waiting { messages: BTreeMap::new(), rates: Buckets::new(RATE), last: None };
        Self { waiting: Mutex::new(waiting), arrived: Notify::new(), began: Instant::now() }
    }

    /// Adds a message, unless its sender has no room or writes too often. Whether it did.
    pub(crate) fn put(&self, from: NodeIndex, message: PeerMessage) -> bool {
        let now = self.began.elapsed();
        let mut waiting = self.waiting();
        let Waiting { messages, rates, .. } = &mut *waiting;
        let of_sender = messages.entry(from).or_default();
        let has_room = of_sender.len() < ROOM && rates.take(from, now);
        if has_room {
            of_sender.push_back(message);
            self.arrived.notify_one();
        }
        has_room
    }

    /// The next message: of another node than the last one, if one is there. It waits for one.
    pub(crate) async fn take(&self) -> (NodeIndex, PeerMessage) {
        loop {
            let next = self.waiting().next();
            match next {
                Some(next) => return next,
                None => self.arrived.notified().await,
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn next(&mut self) -> Option<(NodeIndex, PeerMessage)> {
        let Self { messages, last, .. } = self;
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let later = messages.range((after, Bound::Unbounded)).map(|(node, of_node)| (*node, of_node));
        let earlier = messages.iter().map(|(node, of_node)| (*node, of_node));
        let (from, _) = later.chain(earlier).find(|(_, of_node)| !of_node.is_empty())?;
        *last = Some(from);
        let message = messages.get_mut(&from)?.pop_front()?;
        Some((from, message))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn node(index: u8) -> NodeIndex {
        NodeIndex::new(index).unwrap()
    }

    fn message(number: u32) -> PeerMessage {
        PeerMessage::WhoseKey { key_id: number.to_string() }
    }

    fn taken(queue: &PeerQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.take().now_or_never()).map(|(from, _)| from.get()).collect()
    }

    #[test]
    fn a_node_that_writes_too_much_crowds_out_nobody_else() {
        let queue = PeerQueue::new();
        for number in 0..1000 {
            queue.put(node(2), message(number));
        }
        queue.put(node(3), message(0));
        queue.put(node(1), message(0));
        queue.put(node(3), message(1));
        let order = taken(&queue);
        assert_eq!(order[..4], [1, 2, 3, 2]);
        assert_eq!(order.iter().filter(|from| **from == 3).count(), 2);
        assert_eq!(order.len(), ROOM + 3);
    }

    #[test]
    fn a_node_is_not_listened_to_without_end() {
        let queue = PeerQueue::new();
        let mut heard = 0;
        for number in 0..RATE.burst * 2 {
            queue.put(node(2), message(number));
            heard += taken(&queue).len();
        }
        // The loop takes far less than the second in which 50 more would be heard.
        assert!(heard < RATE.burst as usize + 50, "{heard}");
    }

    #[test]
    fn messages_of_a_node_keep_their_order() {
        let queue = PeerQueue::new();
        assert!((0..3).all(|number| queue.put(node(2), message(number))));
        for number in 0..3 {
            assert_eq!(queue.take().now_or_never().unwrap(), (node(2), message(number)));
        }
        assert!(queue.take().now_or_never().is_none());
    }
}
