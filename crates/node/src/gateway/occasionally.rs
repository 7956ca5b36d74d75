//! What others can cause as often as they like is logged at a limited rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts events, and gives the count every ten seconds at most.
#[derive(Default)]
pub(super) struct Occasionally(Mutex<(u64, Option<Instant>)>);

const INTERVAL: Duration = Duration::from_secs(10);

impl Occasionally {
    /// Counts one more; gives how many there were since the count was given last, when it is time to tell.
    pub(super) fn count(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, told) = &mut *state;
        *count += 1;
        if told.is_some_and(|at| at.elapsed() < INTERVAL) {
            return None;
        }
        *told = Some(Instant::now());
        Some(std::mem::take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_next_are_counted() {
        let occasionally = Occasionally::default();
        assert_eq!(occasionally.count(), Some(1));
        assert_eq!((0..100).find_map(|_| occasionally.count()), None);
    }
}
