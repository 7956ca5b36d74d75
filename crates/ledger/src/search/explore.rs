//! Breadth-first search of all states that a model reaches.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A small network whose every schedule is tried.
pub(super) trait Model: Clone {
    type Step: Copy + std::fmt::Debug;

    /// What may happen next.
    fn steps(&self) -> Vec<Self::Step>;

    /// Does one step.
    fn take(&mut self, step: Self::Step);

    /// What tells this state from others, as far as the future depends on it.
    fn digest(&self) -> u128;

    /// Which rule the state breaks.
    fn broken(&self) -> Option<String>;
}

/// Beyond this a search takes more time and memory than a test may.
const MAX_STATES: usize = 1_500_000;

/// What a search covered.
#[derive(Debug)]
pub(super) struct Covered<S> {
    pub(super) states: usize,
    pub(super) transitions: usize,
    /// The rule broken, and the shortest schedule that breaks it.
    pub(super) broken: Option<(String, Vec<S>)>,
}

/// Visits every reachable state once, or stops at the first that breaks a rule.
pub(super) fn explore<M: Model>(start: M) -> Covered<M::Step> {
    let mut seen = HashSet::from([start.digest()]);
    // Who led to each state: its index, and the step.
    let mut origins: Vec<Option<(usize, M::Step)>> = vec![None];
    let mut queue = VecDeque::from([(0, start)]);
    let mut transitions = 0;
    while let Some((index, model)) = queue.pop_front() {
        if let Some(rule) = model.broken() {
            let mut schedule = Vec::new();
            let mut at = index;
            while let Some((before, step)) = origins[at] {
                schedule.push(step);
                at = before;
            }
            schedule.reverse();
            return Covered { states: seen.len(), transitions, broken: Some((rule, schedule)) };
        }
        for step in model.steps() {
            let mut next = model.clone();
            next.take(step);
            transitions += 1;
            assert!(seen.len() <= MAX_STATES, "more than {MAX_STATES} states: the model is too large");
            if seen.insert(next.digest()) {
                queue.push_back((origins.len(), next));
                origins.push(Some((index, step)));
            }
        }
    }
    Covered { states: seen.len(), transitions, broken: None }
}

/// 128 bits, so that two of 10^8 states share a digest with a probability below 10^-22.
pub(super) fn digest(value: &impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
