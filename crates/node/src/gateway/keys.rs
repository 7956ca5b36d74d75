//! The nodes make keys, and give each to the request of an owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use quorate_protocol::{Answer, Attestation, KeyText, NetworkDescriptor, NodeIndex, Refusal, SignedRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connections::{Event, NodeConnections, Wait};
use super::pool::{Pool, Refill};
use super::refusals::Refusals;
use crate::observe::one_line;
use crate::wire::ToNode;

/// The keys that a gateway has its nodes make and assign.
pub(super) struct Keys {
    network: NetworkDescriptor,
    connections: Arc<NodeConnections>,
    pool: Pool,
    making: tokio::sync::Mutex<()>,
    /// How often in a row nodes were found to make a key for another gateway.
    collisions: AtomicU32,
    /// A client with a valid request is about to need a key.
    wanted: Notify,
}

/// What the nodes have said of one request's keys.
#[derive(Default)]
struct Assigned {
    keys: BTreeMap<(String, [u8; 33]), Vec<Attestation>>,
    refusals: Refusals,
}

/// How long making a key may take.
const KEYGEN_DEADLINE: Duration = Duration::from_secs(90);

/// How long the others are waited for once a node has failed: they cannot go on, unless they are done already.
const MAKING_GRACE: Duration = Duration::from_secs(2);

const ASSIGN_DEADLINE: Duration = Duration::from_secs(20);
const WHICH_KEY_DEADLINE: Duration = Duration::from_secs(2);

/// How long the rest is waited for once enough nodes have answered.
const GRACE: Duration = Duration::from_millis(250);

/// How many keys are offered for a request: another one only when no node took the one before.
const MOST_OFFERS: usize = 3;

/// How often the pool is looked at, and how long it is left alone after a failure.
const IDLE: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_secs(15);

impl Keys {
    pub(super) fn new(
        network: NetworkDescriptor,
        connections: Arc<NodeConnections>,
        free_keys: usize,
    ) -> Self {
        Self {
            network,
            connections,
            pool: Pool::new(free_keys),
            making: tokio::sync::Mutex::default(),
            collisions: AtomicU32::new(0),
            wanted: Notify::new(),
        }
    }

    /// Notes that a client came, whatever for.
    pub(super) fn disturb(&self) {
        self.pool.disturb();
    }

    /// Has a key made if there is none: by the time that the owner has signed, there is one.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Whether so many keys are nobody's that no more are made.
    pub(super) fn are_capped(&self) -> bool {
        self.due(1) == Refill::Capped
    }

    /// How many nodes it takes to give a request a key now.
    pub(super) fn needed(&self) -> u8 {
        if self.connections.free_keys().is_empty() { self.network.size() } else { self.network.bind_quorum() }
    }

    /// Has the nodes give the request a key: the one that they have given it already, or a free one.
    pub(super) async fn assign(&self, request: SignedRequest) -> Result<Answer, Refusal> {
        let nodes: BTreeSet<_> = request.nonces.keys().copied().collect();
        self.connections.tell(&nodes, &ToNode::Hold { request: request.clone() });
        let mut given = self.given(&nodes, request.hash()).await?;
        let mut refused = BTreeSet::new();
        let mut refusals = Refusals::default();
        for _ in 0..MOST_OFFERS {
            let (key_id, _reserved) = match given.pop() {
                Some(key_id) => (key_id, None),
                None => {
                    let reserved = self.reserve(request.hash(), &refused).await?;
                    (reserved.key_id.clone(), Some(reserved))
                }
            };
            let assigned = self.offer(&nodes, &key_id, &request).await;
            if let Some(answer) = assigned.attested(self.network.bind_quorum()) {
                return Ok(answer);
            }
            if assigned.is_split(&nodes, self.network.bind_quorum()) {
                return Err(Refusal::Split { key_id: key_id.into() });
            }
            if assigned.is_adopted(self.network.threshold()) {
                let reason = format!("some nodes have given it key {key_id}, and the others will");
                return Err(Refusal::Unfinished { reason: reason.into() });
            }
            let may_have_another =
                assigned.keys.is_empty() && assigned.refusals.are_of_key(self.network.bind_quorum());
            refusals.extend(assigned.refusals);
            if !may_have_another {
                break;
            }
            refused.insert(key_id);
        }
        Err(refusals.worst())
    }

    /// The keys that nodes say they have given the request, the one that most say last.
    async fn given(&self, nodes: &BTreeSet<NodeIndex>, request: B256) -> Result<Vec<String>, Refusal> {
        let quorum = usize::from(self.network.bind_quorum());
        let wait = |events: &BTreeMap<NodeIndex, Event>| Wait::until(events.len() >= quorum);
        let frame = |task| ToNode::WhichKey { task, request };
        let events = self.connections.gather(nodes.clone(), WHICH_KEY_DEADLINE, GRACE, wait, frame).await;
        let mut votes = BTreeMap::<String, usize>::new();
        for event in events.into_values() {
            if let Event::GivenKey(Some(key_id)) = event {
                *votes.entry(key_id).or_default() += 1;
            }
        }
        let given: usize = votes.values().sum();
        let can_finish = votes.values().any(|votes| votes + nodes.len().saturating_sub(given) >= quorum);
        // A node that lies here withholds no more than its own attestation.
        if votes.len() > 1 && !can_finish {
            let key_id = votes.into_keys().next().unwrap_or_default();
            return Err(Refusal::Split { key_id: key_id.into() });
        }
        let mut given: Vec<_> = votes.into_iter().collect();
        given.sort_by_key(|(_, votes)| *votes);
        Ok(given.into_iter().map(|(key_id, _)| key_id).collect())
    }

    async fn offer(&self, nodes: &BTreeSet<NodeIndex>, key_id: &str, request: &SignedRequest) -> Assigned {
        let quorum = usize::from(self.network.bind_quorum());
        let wait = |events: &BTreeMap<NodeIndex, Event>| {
            let keys = events.values().filter(|event| matches!(event, Event::Answer(Answer::Key { .. })));
            Wait::until(keys.count() >= quorum)
        };
        let frame = |task| ToNode::Assign { task, key_id: key_id.to_owned(), request: request.clone() };
        let events = self.connections.gather(nodes.clone(), ASSIGN_DEADLINE, GRACE, wait, frame).await;
        let mut assigned = Assigned::default();
        for (node, event) in events {
            assigned.add(node, event);
        }
        assigned
    }

    /// Reserves a free key for a request beside those that were refused, and has one made if there is none.
    async fn reserve(
        &self,
        request: B256,
        refused: &BTreeSet<String>,
    ) -> Result<super::pool::Reserved<'_>, Refusal> {
        loop {
            let free = self.connections.free_keys();
            if let Some(key) = self.pool.reserve(&free, request, refused) {
                return Ok(key);
            }
            self.make_free_key(free.intersection(refused).count() + 1).await?;
        }
    }

    /// Has all nodes make a key, unless there are as many as wanted already; one at a time. Nodes that make one for another
    /// gateway are asked again: that key may do as well.
    async fn make_free_key(&self, wanted: usize) -> Result<(), Refusal> {
        let _turn = tokio::select! {
            turn = self.making.lock() => turn,
            // Whoever has the turn may be pausing while another gateway's key is there.
            () = self.until_there_are(wanted) => return Ok(()),
        };
        let until = Instant::now() + KEYGEN_DEADLINE;
        loop {
            match self.make_if_wanted(wanted).await {
                Err(Refusal::Busy) if Instant::now() < until => {
                    let pause = turn_pause(self.collisions.fetch_add(1, Ordering::Relaxed));
                    let _ = tokio::time::timeout(pause, self.until_there_are(wanted)).await;
                }
                Err(Refusal::Busy) => return Err(Refusal::Busy),
                made => {
                    self.collisions.store(0, Ordering::Relaxed);
                    return made;
                }
            }
        }
    }

    /// What is to be done where at least so many free keys are wanted.
    fn due(&self, wanted: usize) -> Refill {
        self.pool.refill(&self.connections.free_keys(), self.connections.unassigned_keys(), wanted)
    }

    /// Waits until there are enough free keys, whichever gateway had them made.
    async fn until_there_are(&self, wanted: usize) {
        while self.due(wanted) != Refill::Full {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn make_if_wanted(&self, wanted: usize) -> Result<(), Refusal> {
        match self.due(wanted) {
            Refill::Full => return Ok(()),
            Refill::Capped => {
                let unassigned = self.connections.unassigned_keys();
                let reason = format!("{unassigned} keys are nobody's and cannot be given away");
                return Err(Refusal::Unfinished { reason: reason.into() });
            }
            Refill::Now | Refill::WhenQuiet => {}
        }
        let nodes = self.connections.ready();
        self.connections.enough(&nodes, self.network.size())?;
        self.make(nodes).await?;
        tracing::info!(free = self.connections.free_keys().len(), "made a key");
        Ok(())
    }

    async fn make(&self, nodes: BTreeSet<NodeIndex>) -> Result<(), Refusal> {
        let mut making = B256::ZERO;
        let no_random = |_| Refusal::Unfinished { reason: "the system gave no random bytes".into() };
        getrandom::fill(making.as_mut_slice()).map_err(no_random)?;
        let mut refusals = Refusals::default();
        let (mut made, mut waiting) = (0, nodes.len());
        let mut task = self.connections.open(nodes);
        task.send_all(|task| ToNode::Make { task, making });
        let mut deadline = Instant::now() + KEYGEN_DEADLINE;
        while waiting > 0 {
            let Ok(Some((node, event))) = tokio::time::timeout_at(deadline, task.next()).await else { break };
            waiting -= 1;
            match event.into_answer(node) {
                Some(Answer::Key { .. }) => made += 1,
                answer => {
                    deadline = deadline.min(Instant::now() + MAKING_GRACE);
                    refusals.add(answer);
                }
            }
        }
        if made >= usize::from(self.network.bind_quorum()) {
            Ok(())
        } else if refusals.are_busy() {
            Err(Refusal::Busy)
        } else {
            Err(refusals.worst())
        }
    }

    /// Makes keys ahead of need: below the low-water mark at once, and above it while no client is served.
    pub(super) async fn keep_pool_filled(&self) {
        let mut pause = IDLE;
        loop {
            let is_wanted = tokio::time::timeout(pause, self.wanted.notified()).await.is_ok();
            pause = if self.refill(is_wanted).await { IDLE } else { REST };
        }
    }

    /// Makes a key if one is due; gives whether it went well.
    async fn refill(&self, is_wanted: bool) -> bool {
        let wanted = usize::from(is_wanted);
        let is_due = match self.due(wanted) {
            Refill::Full => false,
            Refill::WhenQuiet => self.pool.is_quiet(),
            Refill::Now => true,
            Refill::Capped => {
                let unassigned = self.connections.unassigned_keys();
                tracing::warn!(unassigned, "so many keys are nobody's that no more are made");
                return false;
            }
        };
        let all_ready = self.connections.ready().len() == usize::from(self.network.size());
        if !is_due || !(all_ready || is_wanted) {
            return true;
        }
        match self.make_free_key(wanted).await {
            Ok(()) => true,
            Err(refusal) => {
                tracing::warn!(reason = one_line(&refusal), "no key could be made ahead; trying again later");
                false
            }
        }
    }
}

/// How long to wait for a turn, after so many collisions in a row. Of two gateways whose makings met each other at different nodes both
/// fail, and then one begins well before the other: the slower the nodes are, the longer before.
fn turn_pause(collisions: u32) -> Duration {
    let (least, spread) = (Duration::from_millis(500), 4000 << collisions.min(MOST_DOUBLINGS));
    least + Duration::from_millis(getrandom::u64().unwrap_or_default() % spread)
}

/// How often the pauses between turns double at most.
const MOST_DOUBLINGS: u32 = 4;

impl Assigned {
    fn add(&mut self, node: NodeIndex, event: Event) {
        match event.into_answer(node) {
            Some(Answer::Key { key, attestations }) => {
                let attested = self.keys.entry((key.key_id, key.public_key)).or_default();
                attested.extend(attestations.into_iter().find(|own| own.node == node));
            }
            answer => self.refusals.add(answer),
        }
    }

    /// The key that at least so many nodes attest to.
    fn attested(&self, quorum: u8) -> Option<Answer> {
        let enough = self.keys.iter().find(|(_, attested)| attested.len() >= usize::from(quorum));
        enough.map(|((key_id, public_key), attestations)| Answer::Key {
            key: KeyText { key_id: key_id.clone(), public_key: *public_key },
            attestations: attestations.clone(),
        })
    }

    /// Whether so many nodes gave the request a key that the others adopt it from them, whatever became of its challenge.
    fn is_adopted(&self, threshold: u8) -> bool {
        self.refusals.are_of_challenge()
            && self.keys.values().any(|attested| attested.len() >= usize::from(threshold))
    }

    /// Whether nodes gave the request so many keys that no single one can be attested to by enough of them.
    fn is_split(&self, nodes: &BTreeSet<NodeIndex>, quorum: u8) -> bool {
        let given: usize = self.keys.values().map(Vec::len).sum();
        let most = self.keys.values().map(Vec::len).max().unwrap_or_default();
        most + nodes.len().saturating_sub(given) < usize::from(quorum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(answers: &[(u8, &str)]) -> Assigned {
        let mut assigned = Assigned::default();
        for (index, key_id) in answers {
            let node = NodeIndex::new(*index).expect("nodes count from 1");
            let key = KeyText { key_id: (*key_id).to_owned(), public_key: [2; 33] };
            let attestations =
                vec![Attestation { node, assigned_at: 0, ephemeral_until: 0, signature: vec![*index] }];
            assigned.add(node, Event::Answer(Answer::Key { key, attestations }));
        }
        assigned
    }

    #[test]
    fn a_key_needs_the_attestations_of_a_bind_quorum_and_a_split_request_is_told() {
        let nodes: BTreeSet<_> = (1..=5).filter_map(NodeIndex::new).collect();
        let whole = assigned(&[(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "b")]);
        let Some(Answer::Key { key, attestations }) = whole.attested(4) else { panic!("no key") };
        assert_eq!((key.key_id.as_str(), attestations.len()), ("a", 4));
        let unfinished = assigned(&[(1, "a"), (2, "a"), (3, "a"), (5, "b")]);
        assert!(unfinished.attested(4).is_none() && !unfinished.is_split(&nodes, 4), "node 4 may still join");
        assert!(assigned(&[(1, "a"), (2, "a"), (3, "b"), (4, "b")]).is_split(&nodes, 4));
        assert!(!assigned(&[(1, "a")]).is_split(&nodes, 4));
    }

    #[test]
    fn a_challenge_that_is_over_is_no_reason_to_sign_again_once_enough_nodes_gave_the_key() {
        let refused = |answers: &[(u8, &str)], refusals: &[Refusal]| {
            let mut assigned = assigned(answers);
            for refusal in refusals {
                assigned.refusals.add(Some(Answer::Refused(refusal.clone())));
            }
            assigned.is_adopted(3)
        };
        let (three, two) = ([(1, "a"), (2, "a"), (3, "a")], [(1, "a"), (2, "a")]);
        assert!(refused(&three, &[Refusal::Challenge, Refusal::Busy]));
        assert!(!refused(&three, &[Refusal::Busy, Refusal::Busy]), "it goes on as it does anyway");
        assert!(!refused(&three, &[Refusal::Challenge, Refusal::NoPermissions]), "that one stays");
        assert!(!refused(&two, &[Refusal::Challenge]), "two may both be bad");
    }
}
