use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::config::Rate;

/// Buckets of tokens, each refilled at the same rate.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// In which time one token comes back, and the time that an empty bucket takes to be full.
    interval: Duration,
    full: Duration,
    /// When each bucket that is not full will be.
    full_at: HashMap<K, Duration>,
}

/// How many buckets of a kind there are; the fullest is forgotten for a further one.
const MOST_BUCKETS: usize = 16_384;

impl<K: Copy + Eq + Hash> Buckets<K> {
    pub(crate) fn new(Rate { burst, per_minute }: Rate) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self { interval, full: interval * burst.max(1), full_at: HashMap::new() }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, key: K, now: Duration) -> bool {
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now) + self.interval;
        if full_at > now + self.full {
            return false;
        }
        if self.full_at.len() >= MOST_BUCKETS && !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        self.full_at.insert(key, full_at);
        true
    }

    fn make_room(&mut self, now: Duration) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MOST_BUCKETS
            && let Some(fullest) =
                self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key)
        {
            self.full_at.remove(&fullest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const RATE: Rate = Rate { burst: 2, per_minute: 60 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut buckets = Buckets::new(RATE);
        let taken = |buckets: &mut Buckets<u8>, now| (0..9).filter(|_| buckets.take(1, now)).count();
        assert_eq!(taken(&mut buckets, NOW), 2);
        assert_eq!(taken(&mut buckets, NOW + Duration::from_millis(999)), 0);
        assert_eq!(taken(&mut buckets, NOW + Duration::from_secs(1)), 1);
        assert_eq!(taken(&mut buckets, NOW + Duration::from_secs(60)), 2);
        assert!(buckets.take(2, NOW), "another's bucket is its own");
    }

    #[test]
    fn there_are_no_more_buckets_than_have_room() {
        let mut buckets = Buckets::new(RATE);
        assert!(buckets.take(usize::MAX, NOW) && buckets.take(usize::MAX, NOW));
        for key in 0..MOST_BUCKETS + 10 {
            assert!(buckets.take(key, NOW));
        }
        assert_eq!(buckets.full_at.len(), MOST_BUCKETS);
        assert!(!buckets.take(usize::MAX, NOW), "an empty bucket is not forgotten for a full one");
    }
}
