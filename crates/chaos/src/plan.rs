//! What is broken and mended, and after how many signatures: a pure function of the seed.

use quorate_protocol::NodeIndex;

use crate::Part;

/// How a process is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; mended by a restart.
    Kill,
    /// SIGSTOP; mended by SIGCONT.
    Stop,
}

/// One thing that is done to the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// After how many operations.
    pub(crate) after: usize,
    /// How much later, in medians of an operation's time: so that it falls anywhere in one.
    pub(crate) phase: f64,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    Break(NodeIndex, Fault),
    Mend(NodeIndex, Fault),
    /// The gateway is broken and mended so many medians later: meanwhile no operation ends.
    BreakGateway(Fault, f64),
}

/// A xorshift generator.
struct Random(u64);

/// Every so manyth outage is the gateway's.
const GATEWAY_EVERY: usize = 4;

/// The longest outage of the gateway, in medians of an operation's time.
const LONGEST_GATEWAY_OUTAGE: f64 = 12.0;

/// The steps between the first and the last operation that break the network `kills` times for good and half as often for
/// a while, with at most `most_down` of the nodes down at once.
pub(crate) fn plan(
    seed: u64,
    nodes: &[NodeIndex],
    most_down: usize,
    kills: usize,
    operations: std::ops::Range<usize>,
) -> Vec<Step> {
    let mut random = Random::new(seed);
    let actions = actions(&mut random, nodes, most_down, kills);
    let width = operations.len().max(1) as u64;
    let mut places: Vec<_> =
        actions.iter().map(|_| operations.start + random.below(width) as usize).collect();
    places.sort_unstable();
    let step = |(after, action)| Step { after, phase: random.fraction(), action };
    places.into_iter().zip(actions).map(step).collect()
}

fn actions(random: &mut Random, nodes: &[NodeIndex], most_down: usize, kills: usize) -> Vec<Action> {
    let mut faults: Vec<_> = (0..kills).map(|_| Fault::Kill).collect();
    for _ in 0..kills.div_ceil(2) {
        faults.insert(random.below(faults.len() as u64 + 1) as usize, Fault::Stop);
    }
    let mut actions = Vec::new();
    let mut down: Vec<(NodeIndex, Fault)> = Vec::new();
    for (place, fault) in faults.into_iter().enumerate() {
        if place % GATEWAY_EVERY == 1 {
            actions.push(Action::BreakGateway(fault, 1.0 + random.fraction() * LONGEST_GATEWAY_OUTAGE));
            continue;
        }
        if down.len() == most_down || (!down.is_empty() && random.below(3) == 0) {
            let (node, fault) = down.remove(random.below(down.len() as u64) as usize);
            actions.push(Action::Mend(node, fault));
        }
        let up: Vec<_> = nodes.iter().filter(|node| down.iter().all(|(other, _)| other != *node)).collect();
        let node = *up[random.below(up.len() as u64) as usize];
        actions.push(Action::Break(node, fault));
        down.push((node, fault));
    }
    actions.extend(down.into_iter().map(|(node, fault)| Action::Mend(node, fault)));
    actions
}

impl Action {
    /// What is broken for good: one SIGKILL.
    pub(crate) const fn is_kill(&self) -> bool {
        matches!(self, Self::Break(_, Fault::Kill) | Self::BreakGateway(Fault::Kill, _))
    }

    /// What is broken for a while: one SIGSTOP.
    pub(crate) const fn is_stop(&self) -> bool {
        matches!(self, Self::Break(_, Fault::Stop) | Self::BreakGateway(Fault::Stop, _))
    }

    /// The process.
    pub(crate) const fn part(&self) -> Part {
        match self {
            Self::Break(node, _) | Self::Mend(node, _) => Part::Node(*node),
            Self::BreakGateway(..) => Part::Gateway,
        }
    }
}

impl Random {
    fn new(seed: u64) -> Self {
        // Of 0 nothing else comes; the constant's bits are mixed.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn fraction(&mut self) -> f64 {
        self.below(1 << 20) as f64 / f64::from(1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn plans_break_as_often_as_asked_and_never_too_many_at_once() {
        let nodes: Vec<_> = (1..=5).filter_map(NodeIndex::new).collect();
        for seed in 0..500 {
            let steps = plan(seed, &nodes, 2, 6, 10..100);
            assert_eq!(steps.iter().filter(|step| step.action.is_kill()).count(), 6);
            assert_eq!(steps.iter().filter(|step| step.action.is_stop()).count(), 3);
            assert!(steps.is_sorted_by_key(|step| step.after));
            let mut down = BTreeSet::new();
            for Step { after, action, .. } in steps {
                assert!((10..100).contains(&after));
                match action {
                    Action::Break(node, _) => assert!(down.insert(node)),
                    Action::Mend(node, _) => assert!(down.remove(&node)),
                    Action::BreakGateway(..) => {}
                }
                assert!(down.len() <= 2);
            }
            assert_eq!(down, BTreeSet::new());
        }
    }

    #[test]
    fn a_seed_gives_one_plan() {
        let nodes: Vec<_> = (1..=5).filter_map(NodeIndex::new).collect();
        assert_eq!(plan(7, &nodes, 2, 6, 10..100), plan(7, &nodes, 2, 6, 10..100));
        assert_ne!(plan(7, &nodes, 2, 6, 10..100), plan(8, &nodes, 2, 6, 10..100));
    }
}
