use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::NodeIndex;

use super::{Pair, Quorum};

/// How many nodes a search puts into a quorum on trial; finding a large independent set is hard, and networks are small.
const MOST_STEPS: usize = 20_000;

/// The nodes that have trouble with at least as many others as sign together. An honest node has it with the bad ones
/// only, who are fewer.
pub(super) fn left_out(conflicts: &BTreeSet<Pair>, threshold: usize) -> BTreeSet<NodeIndex> {
    let mut degrees = BTreeMap::<NodeIndex, usize>::new();
    for Pair(one, other) in conflicts {
        *degrees.entry(*one).or_default() += 1;
        *degrees.entry(*other).or_default() += 1;
    }
    degrees.into_iter().filter(|(_, degree)| *degree >= threshold).map(|(node, _)| node).collect()
}

/// The first `count` of the ranked nodes that are good and have no conflict among them.
pub(super) fn independent_set(
    ranked: &[NodeIndex],
    count: usize,
    conflicts: &BTreeSet<Pair>,
    is_good: impl Fn(&Quorum) -> bool,
) -> Option<Quorum> {
    let mut search = Search { count, conflicts, is_good, chosen: Vec::new(), steps: MOST_STEPS };
    search.extend(ranked)
}

struct Search<'a, F> {
    count: usize,
    conflicts: &'a BTreeSet<Pair>,
    is_good: F,
    chosen: Vec<NodeIndex>,
    steps: usize,
}

impl<F: Fn(&Quorum) -> bool> Search<'_, F> {
    fn extend(&mut self, ranked: &[NodeIndex]) -> Option<Quorum> {
        if self.chosen.len() == self.count {
            return Some(self.chosen.iter().copied().collect()).filter(&self.is_good);
        }
        let missing = self.count - self.chosen.len();
        let mut rest = ranked;
        while let Some((node, further)) = rest.split_first().filter(|_| rest.len() >= missing) {
            self.steps = self.steps.checked_sub(1)?;
            rest = further;
            if self.fits(*node) {
                self.chosen.push(*node);
                if let Some(quorum) = self.extend(rest) {
                    return Some(quorum);
                }
                self.chosen.pop();
            }
        }
        None
    }

    fn fits(&self, node: NodeIndex) -> bool {
        self.chosen.iter().all(|chosen| !self.conflicts.contains(&Pair::new(*chosen, node)))
    }
}
