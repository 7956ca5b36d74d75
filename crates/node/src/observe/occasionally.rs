//! What others can cause as often as they like is logged at a limited rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts events, and gives the count so many times every ten seconds at most.
#[derive(Debug)]
pub(crate) struct Occasionally {
    most: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since the count was given last.
    count: u64,
    /// When the interval began, and how often the count was given in it.
    interval: Option<(Instant, u32)>,
}

const INTERVAL: Duration = Duration::from_secs(10);

impl Occasionally {
    /// Once in an interval.
    pub(crate) const fn new() -> Self {
        Self::times(1)
    }

    /// So many times in an interval.
    pub(crate) const fn times(most: u32) -> Self {
        Self { most, state: Mutex::new(State { count: 0, interval: None }) }
    }

    /// Counts one more; gives how many there were since the count was given last, when it is time to tell.
    pub(crate) fn count(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let current = state.interval.filter(|(began, _)| began.elapsed() < INTERVAL);
        let (began, told) = current.unwrap_or_else(|| (Instant::now(), 0));
        if told >= self.most {
            return None;
        }
        state.interval = Some((began, told + 1));
        Some(std::mem::take(&mut state.count))
    }
}

impl Default for Occasionally {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_told_at_once_and_the_next_are_counted() {
        let occasionally = Occasionally::default();
        assert_eq!(occasionally.count(), Some(1));
        assert_eq!((0..100).find_map(|_| occasionally.count()), None);
        let thrice = Occasionally::times(3);
        assert_eq!((0..100).filter_map(|_| thrice.count()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
