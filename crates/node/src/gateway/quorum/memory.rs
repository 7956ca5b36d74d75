use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use quorate_protocol::NodeIndex;

use super::{Pair, Quorum};

/// What a gateway remembers of its nodes from one request to the next. It only orders quorums: none is ruled out by it, and
/// it is told to nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Until when each pair that made trouble is avoided. There are no more than the network has pairs.
    pairs: BTreeMap<Pair, Duration>,
    /// Until when each node that gave a wrong signature is turned to last.
    nodes: BTreeMap<NodeIndex, Duration>,
    /// The pairs of which one never uses a key together with the other again.
    bans: BTreeMap<String, BTreeSet<Pair>>,
    /// The keys of `bans`, the oldest first.
    banned_keys: VecDeque<String>,
    /// How long the last signatures took.
    durations: VecDeque<Duration>,
}

/// How long trouble is remembered; then one request tries the pair again, while others still avoid it.
const REMEMBERED: Duration = Duration::from_secs(600);
const PROBE: Duration = Duration::from_secs(30);

/// Of how many keys bans are remembered.
const MOST_BANNED_KEYS: usize = 4096;

/// Of how many signatures the duration is remembered.
const MOST_DURATIONS: usize = 100;

const SHORTEST_PATIENCE: Duration = Duration::from_millis(150);

/// With 2 bad nodes of 5 up to six quorums fail, which take 1, 2, 4, 4, 4 and 4 times this: 11.4 of the 20 s of a signature,
/// however slow bad nodes made those before.
const LONGEST_PATIENCE: Duration = Duration::from_millis(600);

impl Memory {
    /// How long a quorum may take at first: three times as long as usual.
    pub(crate) fn patience(&self) -> Duration {
        let mut durations: Vec<_> = self.durations.iter().copied().collect();
        durations.sort_unstable();
        let median = durations.get(durations.len() / 2);
        median.map_or(LONGEST_PATIENCE, |median| (*median * 3).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE))
    }

    /// The pairs that a quorum for this key had better not have.
    pub(super) fn avoided(&self, key_id: &str, now: Duration) -> BTreeSet<Pair> {
        let blamed = self.pairs.iter().filter(|(_, until)| **until > now).map(|(pair, _)| *pair);
        blamed.chain(self.bans.get(key_id).into_iter().flatten().copied()).collect()
    }

    /// Whether a node gave a wrong signature not long ago.
    pub(super) fn is_distrusted(&self, node: NodeIndex, now: Duration) -> bool {
        self.nodes.get(&node).is_some_and(|until| *until > now)
    }

    pub(super) fn blame(&mut self, pair: Pair, now: Duration) {
        self.pairs.insert(pair, now + REMEMBERED);
    }

    pub(super) fn distrust(&mut self, node: NodeIndex, now: Duration) {
        self.nodes.insert(node, now + REMEMBERED);
    }

    pub(super) fn ban(&mut self, key_id: &str, pair: Pair) {
        if !self.bans.contains_key(key_id) {
            self.banned_keys.push_back(key_id.to_owned());
        }
        self.bans.entry(key_id.to_owned()).or_default().insert(pair);
        if self.banned_keys.len() > MOST_BANNED_KEYS
            && let Some(oldest) = self.banned_keys.pop_front()
        {
            self.bans.remove(&oldest);
        }
    }

    /// A quorum is asked: while it tries pairs whose trouble is over, other requests leave them alone.
    pub(super) fn probe(&mut self, quorum: &Quorum, now: Duration) {
        for (pair, until) in &mut self.pairs {
            if *until <= now && pair.is_within(quorum) {
                *until = now + PROBE;
            }
        }
    }

    /// A quorum signed.
    pub(super) fn succeeded(&mut self, quorum: &Quorum, took: Duration) {
        self.pairs.retain(|pair, _| !pair.is_within(quorum));
        self.durations.push_back(took);
        if self.durations.len() > MOST_DURATIONS {
            self.durations.pop_front();
        }
    }
}
