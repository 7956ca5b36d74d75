//! The nonces of a challenge: one of every node that is there.
//!
//! A request that its client signs at once takes nonces that the nodes have given before it came, so that it does not wait for
//! their way. One that a person signs takes fresh ones, which are good for longest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use quorate_protocol::{CHALLENGE_LIFETIME, NodeIndex, Nonce, Refusal};
use tokio::time::Instant;

use super::connections::{Event, NodeConnections, Wait};
use crate::wire::ToNode;

/// What one node has given in advance, the oldest first. Both ends forget it when their connection breaks.
#[derive(Debug, Default)]
pub(super) struct InAdvance {
    nonces: VecDeque<(Nonce, Instant)>,
    /// How many the node has been asked for and has not given.
    asked: usize,
}

/// How many nonces a node gives in advance. More requests at once than that wait for theirs.
const MOST: usize = 16;

/// How old a nonce may be when a challenge is made of it: the client has the rest of its lifetime to sign.
const FRESH: Duration = CHALLENGE_LIFETIME.checked_div(3).expect("3 is not 0");

const DEADLINE: Duration = Duration::from_secs(5);

/// How long the rest is waited for once enough nodes have given theirs.
const GRACE: Duration = Duration::from_millis(250);

/// The nonces of at least `needed` nodes, in advance if every node that is usually in time has given one.
pub(super) async fn at_once(
    connections: &NodeConnections,
    needed: u8,
) -> Result<BTreeMap<NodeIndex, Nonce>, Refusal> {
    match connections.take_nonces().filter(|nonces| nonces.len() >= usize::from(needed)) {
        Some(nonces) => Ok(nonces),
        None => fresh(connections, needed).await,
    }
}

/// Asks the nodes that are there, without waiting for those that were late with the last ones.
pub(super) async fn fresh(
    connections: &NodeConnections,
    needed: u8,
) -> Result<BTreeMap<NodeIndex, Nonce>, Refusal> {
    let ready = connections.ready();
    connections.enough(&ready, needed)?;
    let late = connections.late();
    let wait = |events: &BTreeMap<NodeIndex, Event>| {
        let given = events.values().filter(|event| matches!(event, Event::Nonce(_))).count();
        let is_enough = given >= usize::from(needed);
        let are_all_in = ready.iter().all(|node| events.contains_key(node) || late.contains(node));
        if is_enough && are_all_in { Wait::Done } else { Wait::until(is_enough) }
    };
    let frame = |task| ToNode::Nonce { task };
    let events = connections.gather(ready.clone(), DEADLINE, GRACE, wait, frame).await;
    let nonces: BTreeMap<_, _> = events
        .into_iter()
        .filter_map(|(node, event)| match event {
            Event::Nonce(nonce) => Some((node, nonce)),
            _ => None,
        })
        .collect();
    let in_time: BTreeSet<_> = nonces.keys().copied().collect();
    connections.note_nonces(&in_time, &(&ready - &in_time));
    connections.enough(&in_time, needed)?;
    Ok(nonces)
}

impl InAdvance {
    /// Whether there is one that is fresh; older ones are forgotten.
    pub(super) fn has_fresh(&mut self, now: Instant) -> bool {
        let is_old = |given: &Instant| now.saturating_duration_since(*given) >= FRESH;
        while self.nonces.pop_front_if(|(_, given)| is_old(given)).is_some() {}
        !self.nonces.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<Nonce> {
        self.nonces.pop_front().map(|(nonce, _)| nonce)
    }

    /// How many more the node is to be asked for, from now on.
    pub(super) fn ask(&mut self) -> usize {
        let lacking = MOST.saturating_sub(self.nonces.len() + self.asked);
        self.asked += lacking;
        lacking
    }

    /// Keeps what the node gives; what it was not asked for is dropped.
    pub(super) fn give(&mut self, nonce: Nonce, now: Instant) {
        if let Some(asked) = self.asked.checked_sub(1) {
            self.asked = asked;
            self.nonces.push_back((nonce, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ONE: Nonce = Nonce::repeat_byte(1);

    #[test]
    fn a_node_is_asked_for_what_is_lacking_and_not_again_before_it_has_given_it() {
        let (mut nonces, now) = (InAdvance::default(), Instant::now());
        assert_eq!((nonces.ask(), nonces.ask()), (MOST, 0));
        nonces.give(OF_ONE, now);
        assert_eq!(nonces.ask(), 0, "one is there, and the others are on their way");
        assert!(nonces.has_fresh(now));
        assert_eq!(nonces.take(), Some(OF_ONE));
        assert_eq!(nonces.ask(), 1);
    }

    #[test]
    fn what_was_not_asked_for_is_not_kept() {
        let (mut nonces, now) = (InAdvance::default(), Instant::now());
        nonces.give(OF_ONE, now);
        assert!(!nonces.has_fresh(now));
        nonces.ask();
        (0..2 * MOST).for_each(|_| nonces.give(OF_ONE, now));
        assert_eq!(nonces.nonces.len(), MOST);
    }

    #[test]
    fn a_nonce_that_leaves_its_client_too_little_time_is_not_used() {
        let (mut nonces, now) = (InAdvance::default(), Instant::now());
        nonces.ask();
        nonces.give(OF_ONE, now);
        nonces.give(Nonce::repeat_byte(2), now + FRESH);
        assert!(nonces.has_fresh(now + FRESH));
        assert_eq!(nonces.take(), Some(Nonce::repeat_byte(2)));
        assert_eq!(nonces.ask(), 2, "also for the one that grew old");
    }
}
