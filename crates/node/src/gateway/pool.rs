//! Which free keys a gateway has promised to requests, and when more are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, keccak256};

/// The free keys, as far as this gateway gives them away. The nodes decide: a key that another gateway gives away at the
/// same time is assigned once.
pub(super) struct Pool {
    size: usize,
    /// The request that each reserved key is promised to, and by how many of its connections.
    reserved: Mutex<BTreeMap<String, (B256, usize)>>,
    /// When the last client came.
    disturbed: Mutex<Option<Instant>>,
}

/// How long after the last client came keys are made ahead again: making one keeps every core busy for seconds.
const QUIET: Duration = Duration::from_secs(3);

/// How many keys may be nobody's, beyond those that the pool is to hold; some may never be assigned, and each that is
/// made costs every node seconds and a place on its disk.
const MOST_BEYOND: usize = 60;

/// A key that is given to no other request until this is dropped.
pub(super) struct Reserved<'a> {
    pool: &'a Pool,
    pub(super) key_id: String,
}

/// Whether keys are to be made ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refill {
    /// There are enough.
    Full,
    /// There could be more, once no client is served.
    WhenQuiet,
    /// There are few, whoever is served meanwhile.
    Now,
    /// So many keys are nobody's that something is wrong with them.
    Capped,
}

impl Pool {
    /// A pool that is to hold `size` free keys.
    pub(super) fn new(size: usize) -> Self {
        Self { size, reserved: Mutex::default(), disturbed: Mutex::default() }
    }

    /// Notes that a client came.
    pub(super) fn disturb(&self) {
        *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether no client came for a while.
    pub(super) fn is_quiet(&self) -> bool {
        let disturbed = *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner);
        disturbed.is_none_or(|at| at.elapsed() > QUIET)
    }

    /// What is to be done with so many free keys, of `unassigned` that are nobody's; at least `wanted` are waited for.
    pub(super) fn refill(&self, free: &BTreeSet<String>, unassigned: usize, wanted: usize) -> Refill {
        let unreserved = self.unreserved(free).len();
        if unreserved >= self.size.max(wanted) {
            Refill::Full
        } else if unassigned >= self.size + MOST_BEYOND {
            Refill::Capped
        } else if unreserved < (self.size / 2).max(wanted) {
            Refill::Now
        } else {
            Refill::WhenQuiet
        }
    }

    /// Reserves for a request the free key that it comes to at every gateway, so that it is rarely given two and two
    /// requests rarely meet in one.
    pub(super) fn reserve(
        &self,
        free: &BTreeSet<String>,
        request: B256,
        refused: &BTreeSet<String>,
    ) -> Option<Reserved<'_>> {
        let mut reserved = self.reserved();
        let is_open = |key_id: &&String| {
            !refused.contains(*key_id) && reserved.get(*key_id).is_none_or(|(holder, _)| *holder == request)
        };
        let key_id = free.iter().filter(is_open).min_by_key(|key_id| distance(request, key_id))?.clone();
        reserved.entry(key_id.clone()).or_insert((request, 0)).1 += 1;
        Some(Reserved { pool: self, key_id })
    }

    /// The free keys that are promised to nobody.
    fn unreserved(&self, free: &BTreeSet<String>) -> Vec<String> {
        let reserved = self.reserved();
        free.iter().filter(|key_id| !reserved.contains_key(*key_id)).cloned().collect()
    }

    fn reserved(&self) -> MutexGuard<'_, BTreeMap<String, (B256, usize)>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut reserved = self.pool.reserved();
        if let Some((_, times)) = reserved.get_mut(&self.key_id) {
            *times -= 1;
            if *times == 0 {
                reserved.remove(&self.key_id);
            }
        }
    }
}

fn distance(request: B256, key_id: &str) -> B256 {
    keccak256([request.as_slice(), key_id.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize) -> BTreeSet<String> {
        (0..count).map(|index| format!("key {index}")).collect()
    }

    fn reserve<'a>(pool: &'a Pool, free: &BTreeSet<String>, request: u8) -> Option<Reserved<'a>> {
        pool.reserve(free, B256::repeat_byte(request), &BTreeSet::new())
    }

    #[test]
    fn a_request_comes_to_one_key_at_every_gateway_and_has_it_for_itself() {
        let (here, there, free) = (Pool::new(4), Pool::new(4), keys(8));
        let first = reserve(&here, &free, 1).expect("a key");
        let (again, elsewhere) = (reserve(&here, &free, 1), reserve(&there, &free, 1));
        assert_eq!(again.map(|key| key.key_id.clone()), Some(first.key_id.clone()));
        assert_eq!(elsewhere.map(|key| key.key_id.clone()), Some(first.key_id.clone()));
        let only = BTreeSet::from([first.key_id.clone()]);
        assert!(reserve(&here, &only, 2).is_none(), "it is reserved");
        drop(first);
        assert!(reserve(&here, &only, 2).is_some());
    }

    #[test]
    fn requests_spread_over_the_free_keys() {
        let (pool, free) = (Pool::new(4), keys(16));
        let met: BTreeSet<_> = (0..32)
            .filter_map(|request| reserve(&pool, &free, request))
            .map(|key| key.key_id.clone())
            .collect();
        assert!(met.len() > 8, "{}", met.len());
    }

    #[test]
    fn a_pool_is_refilled_at_its_low_water_mark_and_not_without_end() {
        let pool = Pool::new(4);
        assert_eq!(pool.refill(&keys(4), 4, 0), Refill::Full);
        assert_eq!(pool.refill(&keys(3), 3, 0), Refill::WhenQuiet);
        assert_eq!(pool.refill(&keys(1), 1, 0), Refill::Now);
        assert_eq!(pool.refill(&keys(1), 4 + MOST_BEYOND, 0), Refill::Capped);
        let empty = Pool::new(0);
        assert_eq!(empty.refill(&keys(0), 0, 0), Refill::Full);
        assert_eq!(empty.refill(&keys(0), 0, 1), Refill::Now);
        let single = Pool::new(1);
        assert_eq!(single.refill(&keys(0), 0, 0), Refill::WhenQuiet, "whose client is served meanwhile");
        assert_eq!(single.refill(&keys(0), 0, 1), Refill::Now);
    }
}
