//! Which nodes are asked to sign next, given how the quorums before them ended.
//!
//! Nothing here reads a clock, draws a random number or sends a frame: times are given as the time since the gateway
//! began. What one node says of another is not believed more than the other way round, so the *pair* is blamed, and the
//! next quorum is an independent set of the graph whose edges are such pairs. Every edge then has a bad node in it, and
//! with fewer than *t* bad nodes a node with *t* edges is one of them.

mod memory;
mod search;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use quorate_protocol::{NodeIndex, Refusal};

pub(crate) use self::memory::Memory;
use self::search::{independent_set, left_out};

/// The nodes that sign together.
pub(crate) type Quorum = BTreeSet<NodeIndex>;

/// Two nodes, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair(NodeIndex, NodeIndex);

/// The quorums asked for one signature, and what they have shown of the nodes.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    key_id: String,
    threshold: usize,
    until: Duration,
    /// Nodes that refuse by themselves or are bad by themselves.
    excluded: BTreeSet<NodeIndex>,
    failed: BTreeSet<Pair>,
    slow: BTreeSet<Pair>,
    failures: BTreeMap<NodeIndex, u32>,
    tried: BTreeSet<Quorum>,
    busy: BTreeSet<NodeIndex>,
    /// The quorum in which an operation met others that are under way, and how often in a row.
    contended: Option<(Quorum, u32)>,
    is_pause_due: bool,
    pauses: u32,
    doublings: u32,
    slow_tries: usize,
    refusals: Vec<Refusal>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask these nodes, and wait this long before the slow ones are looked for.
    Ask { quorum: Quorum, patience: Duration },
    /// Wait, and ask what to do again.
    Pause(Duration),
    /// No quorum is left, or no time.
    GiveUp,
}

/// How a quorum ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It signed.
    Signed { took: Duration },
    /// The node gave a signature that is not the key's.
    NotTheKeys { node: NodeIndex },
    /// The node refused.
    Refused { node: NodeIndex, refusal: Refusal },
    /// The node's connection broke.
    Gone { node: NodeIndex },
    /// It did not sign in time.
    Slow(Laggards),
}

/// Whom a slow quorum waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Laggards {
    /// Pairs of which one waits for the other.
    Pairs(BTreeSet<Pair>),
    /// The node that is behind all others.
    Node(NodeIndex),
    /// Nobody in particular.
    Nobody,
}

/// How far a quorum has come, as the gateway sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// How many messages each node has sent, each of a round and to a node of its own.
    pub(crate) sent: BTreeMap<NodeIndex, usize>,
    /// Each node's first report of whom it waits for: the round, and the peers.
    pub(crate) waiting: BTreeMap<NodeIndex, (u8, BTreeSet<NodeIndex>)>,
}

/// How long a signature may take in all.
pub(crate) const SIGNING_DEADLINE: Duration = Duration::from_secs(20);

/// How often patience doubles at most.
const MOST_DOUBLINGS: u32 = 2;

/// How often a quorum that met others' operations is asked again before another one is.
const SAME_QUORUM_AGAIN: u32 = 2;

/// The shortest pause; each further one is twice as long, up to 32 times.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const MOST_PAUSE_DOUBLINGS: u32 = 5;

/// Refusals that are kept to be told to the client.
const MOST_REFUSALS: usize = 64;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed { took } => write!(f, "signed in {took:?}"),
            Self::NotTheKeys { node } => write!(f, "the signature of node {node} is not the key's"),
            Self::Refused { node, refusal } => write!(f, "node {node}: {}: {refusal}", refusal.code()),
            Self::Gone { node } => write!(f, "node {node} went away"),
            Self::Slow(Laggards::Pairs(pairs)) => {
                f.write_str("slow:")?;
                pairs.iter().try_for_each(|Pair(one, other)| write!(f, " {one} and {other}"))
            }
            Self::Slow(Laggards::Node(node)) => write!(f, "slow: node {node}"),
            Self::Slow(Laggards::Nobody) => f.write_str("slow"),
        }
    }
}

impl Pair {
    pub(crate) fn new(one: NodeIndex, other: NodeIndex) -> Self {
        Self(one.min(other), one.max(other))
    }

    fn is_within(self, quorum: &Quorum) -> bool {
        quorum.contains(&self.0) && quorum.contains(&self.1)
    }
}

impl Progress {
    /// Whom the nodes wait for. Of the reports only those of the earliest round count: a node that lacks a message of
    /// one round sends none of the next, for which others then wait in vain.
    pub(crate) fn laggards(&self) -> Laggards {
        let pairs = self.reported_pairs();
        if !pairs.is_empty() {
            return Laggards::Pairs(pairs);
        }
        let fewest = self.sent.values().min();
        let mut behind = self.sent.iter().filter(|(_, sent)| Some(*sent) == fewest);
        match (behind.next(), behind.next()) {
            (Some((node, _)), None) if self.sent.len() > 1 => Laggards::Node(*node),
            _ => Laggards::Nobody,
        }
    }

    fn reported_pairs(&self) -> BTreeSet<Pair> {
        let first = self.waiting.values().map(|(round, _)| *round).min();
        let reports = self.waiting.iter().filter(|(_, (round, _))| Some(*round) == first);
        reports
            .flat_map(|(waiter, (_, peers))| peers.iter().map(|peer| (*waiter, *peer)))
            .filter(|(waiter, peer)| waiter != peer && self.sent.contains_key(peer))
            .map(|(waiter, peer)| Pair::new(waiter, peer))
            .collect()
    }
}

impl Attempts {
    /// The search for a quorum of `threshold` nodes that begins at `now`.
    pub(crate) fn new(key_id: String, threshold: u8, now: Duration) -> Self {
        Self {
            key_id,
            threshold: threshold.into(),
            until: now + SIGNING_DEADLINE,
            excluded: BTreeSet::new(),
            failed: BTreeSet::new(),
            slow: BTreeSet::new(),
            failures: BTreeMap::new(),
            tried: BTreeSet::new(),
            busy: BTreeSet::new(),
            contended: None,
            is_pause_due: false,
            pauses: 0,
            doublings: 0,
            slow_tries: 0,
            refusals: Vec::new(),
        }
    }

    /// What to do at `now` with the nodes that are there; `random` spreads load and pauses.
    pub(crate) fn next(
        &mut self,
        memory: &mut Memory,
        now: Duration,
        present: &BTreeSet<NodeIndex>,
        random: u64,
    ) -> Next {
        let left = self.left(now);
        if left.is_zero() {
            return Next::GiveUp;
        }
        if std::mem::take(&mut self.is_pause_due) {
            return Next::Pause(self.pause(random).min(left));
        }
        let candidates = present - &self.excluded;
        let Some(quorum) = self.choose(memory, now, &candidates, random) else { return Next::GiveUp };
        if !self.busy.is_disjoint(&quorum) {
            self.busy.clear();
            return Next::Pause(self.pause(random).min(left));
        }
        memory.probe(&quorum, now);
        let is_last = self.slow_tries >= self.most_stalled() || !self.has_other(&quorum, &candidates);
        let patience = if is_last { left } else { left.min(memory.patience() * 2_u32.pow(self.doublings)) };
        Next::Ask { quorum, patience }
    }

    /// How long the search may still take.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// Learns how a quorum ended.
    pub(crate) fn note(&mut self, memory: &mut Memory, now: Duration, quorum: &Quorum, outcome: Outcome) {
        if !matches!(&outcome, Outcome::Refused { refusal: Refusal::Contended { .. }, .. }) {
            self.contended = None;
        }
        match outcome {
            Outcome::Signed { took } => memory.succeeded(quorum, took),
            Outcome::NotTheKeys { node } => {
                self.excluded.insert(node);
                memory.distrust(node, now);
            }
            Outcome::Gone { node } => {
                self.fail(node);
                self.tried.insert(quorum.clone());
            }
            Outcome::Slow(laggards) => self.slow(memory, now, quorum, laggards),
            Outcome::Refused { node, refusal } => {
                self.refused(memory, now, quorum, node, &refusal);
                if self.refusals.len() < MOST_REFUSALS {
                    self.refusals.push(refusal);
                }
            }
        }
    }

    /// The refusal that trying again does not change, or else the first one.
    pub(crate) fn worst_refusal(&self) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| !refusal.is_transient()).or(self.refusals.first())
    }

    /// How many of the nodes present have not refused by themselves.
    pub(crate) fn willing(&self, present: &BTreeSet<NodeIndex>) -> BTreeSet<NodeIndex> {
        present - &self.excluded
    }

    fn refused(
        &mut self,
        memory: &mut Memory,
        now: Duration,
        quorum: &Quorum,
        node: NodeIndex,
        refusal: &Refusal,
    ) {
        match refusal {
            Refusal::Failed { node: reporter, peer, .. }
            | Refusal::Silent { node: reporter, peer }
            | Refusal::Banned { node: reporter, peer }
                if *reporter == node && *peer != node && quorum.contains(peer) =>
            {
                let pair = Pair::new(node, *peer);
                self.failed.insert(pair);
                self.fail(node);
                self.fail(*peer);
                match refusal {
                    Refusal::Banned { .. } => memory.ban(&self.key_id, pair),
                    _ => memory.blame(pair, now),
                }
            }
            Refusal::Contended { .. } => self.contend(quorum, node),
            Refusal::Busy => {
                self.fail(node);
                self.busy.insert(node);
            }
            _ => {
                self.excluded.insert(node);
            }
        }
    }

    /// The same quorum has the best chance once the others are done; one that always says so is turned to last.
    fn contend(&mut self, quorum: &Quorum, node: NodeIndex) {
        self.is_pause_due = true;
        let times = match &self.contended {
            Some((contended, times)) if contended == quorum => times + 1,
            _ => 1,
        };
        if times > SAME_QUORUM_AGAIN {
            self.fail(node);
            self.contended = None;
        } else {
            self.contended = Some((quorum.clone(), times));
        }
    }

    fn slow(&mut self, memory: &mut Memory, now: Duration, quorum: &Quorum, laggards: Laggards) {
        self.tried.insert(quorum.clone());
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
        self.slow_tries += 1;
        match laggards {
            Laggards::Pairs(pairs) => {
                for pair in pairs {
                    self.slow.insert(pair);
                    memory.blame(pair, now);
                }
            }
            Laggards::Node(node) => self.fail(node),
            Laggards::Nobody => {}
        }
    }

    /// How many quorums *t* − 1 bad nodes can stall: each has a new conflict with one of them, and one with *t* conflicts is
    /// left out. If as many were slow, the machines are, and the next quorum is given all the time that is left.
    const fn most_stalled(&self) -> usize {
        self.threshold * (self.threshold - 1)
    }

    fn fail(&mut self, node: NodeIndex) {
        *self.failures.entry(node).or_default() += 1;
    }

    /// A quorum that was not tried yet, of nodes with few failures: without any pair that is known for trouble, or else
    /// without one that made trouble for this request, or at least without one that broke off.
    fn choose(
        &self,
        memory: &Memory,
        now: Duration,
        candidates: &BTreeSet<NodeIndex>,
        random: u64,
    ) -> Option<Quorum> {
        if let Some((quorum, _)) = &self.contended
            && quorum.is_subset(candidates)
            && !self.failed.iter().any(|pair| pair.is_within(quorum))
        {
            return Some(quorum.clone());
        }
        let in_request = &self.failed | &self.slow;
        let in_all = &in_request | &memory.avoided(&self.key_id, now);
        let ranked = self.ranked(memory, now, candidates, random);
        [&in_all, &in_request, &self.failed].into_iter().find_map(|conflicts| {
            let bad = left_out(conflicts, self.threshold);
            let ranked: Vec<_> = ranked.iter().copied().filter(|node| !bad.contains(node)).collect();
            independent_set(&ranked, self.threshold, conflicts, |quorum| !self.tried.contains(quorum))
        })
    }

    /// Whether there is a quorum beside this one that was not tried yet, so that being slow can be held against this one.
    fn has_other(&self, quorum: &Quorum, candidates: &BTreeSet<NodeIndex>) -> bool {
        let bad = left_out(&self.failed, self.threshold);
        let others: Vec<_> = candidates.difference(&bad).copied().collect();
        let is_other = |other: &Quorum| other != quorum && !self.tried.contains(other);
        independent_set(&others, self.threshold, &self.failed, is_other).is_some()
    }

    /// The candidates, those with the fewest failures first, and from a random place in their circle on.
    fn ranked(
        &self,
        memory: &Memory,
        now: Duration,
        candidates: &BTreeSet<NodeIndex>,
        random: u64,
    ) -> Vec<NodeIndex> {
        let mut ranked: Vec<_> = candidates.iter().copied().collect();
        let turns = random.checked_rem(ranked.len() as u64).unwrap_or_default();
        ranked.rotate_left(usize::try_from(turns).unwrap_or_default());
        ranked.sort_by_key(|node| {
            (memory.is_distrusted(*node, now), self.failures.get(node).copied().unwrap_or_default())
        });
        ranked
    }

    /// Half to one and a half times the shortest pause, doubled with each.
    fn pause(&mut self, random: u64) -> Duration {
        let pause = SHORTEST_PAUSE * 2_u32.pow(self.pauses.min(MOST_PAUSE_DOUBLINGS));
        self.pauses += 1;
        let part = u32::try_from(random % 1000).unwrap_or_default();
        pause / 2 + pause * part / 1000
    }
}
