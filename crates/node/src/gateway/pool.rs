//! Which free keys a gateway has promised to clients.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The free keys, as far as this gateway gives them away. The nodes decide: a key that another gateway gives away at the
/// same time is bound once.
pub(crate) struct Pool {
    size: usize,
    /// How many requests each reserved key is promised to: one, or several connections of one client.
    reserved: Mutex<BTreeMap<String, usize>>,
    making: tokio::sync::Mutex<()>,
    /// When the last client came.
    disturbed: Mutex<Option<Instant>>,
}

/// How long after the last client came keys are made ahead again: making one keeps every core busy for seconds.
const QUIET: Duration = Duration::from_secs(3);

/// A key that is given to nobody else until this is dropped.
pub(crate) struct Reserved<'a> {
    pool: &'a Pool,
    pub(crate) key_id: String,
}

impl Pool {
    /// A pool that is to hold `size` free keys.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            reserved: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            disturbed: Mutex::default(),
        }
    }

    /// Notes that a client came.
    pub(crate) fn disturb(&self) {
        *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether no client came for a while.
    pub(crate) fn is_quiet(&self) -> bool {
        let disturbed = *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner);
        disturbed.is_none_or(|at| at.elapsed() > QUIET)
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Those of the free keys that are promised to nobody.
    pub(crate) fn unreserved(&self, free: Vec<String>) -> impl Iterator<Item = String> {
        let reserved = self.reserved();
        free.into_iter().filter(|key_id| !reserved.contains_key(key_id)).collect::<Vec<_>>().into_iter()
    }

    /// Reserves one of the free keys.
    pub(crate) fn reserve(&self, free: Vec<String>) -> Option<Reserved<'_>> {
        let mut reserved = self.reserved();
        let key_id = free.into_iter().find(|key_id| !reserved.contains_key(key_id))?;
        reserved.insert(key_id.clone(), 1);
        Some(Reserved { pool: self, key_id })
    }

    /// Reserves the key that a request was promised before.
    pub(crate) fn reserve_again(&self, key_id: &str) -> Reserved<'_> {
        *self.reserved().entry(key_id.to_owned()).or_default() += 1;
        Reserved { pool: self, key_id: key_id.to_owned() }
    }

    /// Waits for the turn to have a key made.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    fn reserved(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut reserved = self.pool.reserved();
        if let Some(times) = reserved.get_mut(&self.key_id) {
            *times -= 1;
            if *times == 0 {
                reserved.remove(&self.key_id);
            }
        }
    }
}
