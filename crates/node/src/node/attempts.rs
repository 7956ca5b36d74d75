//! The operations that are being signed, so that a revocation can end them.
//!
//! An attempt is noted before the statements about its key are read, and a revocation is stored before the attempts are
//! ended: whichever comes first, no attempt goes on that has not seen the revocation. Only one whose last message has left
//! cannot be recalled; it is told to whoever revokes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorate_ledger::KeyId;
use quorate_protocol::{RecentOperation, Says};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long an operation is remembered after it was begun.
const RECENT: Duration = Duration::from_secs(60);

/// With how many keys the list is looked through for what is over.
const MOST_KEYS: usize = 4096;

/// The attempts of all keys, running and recent.
#[derive(Default)]
pub(crate) struct Attempts {
    next: AtomicU64,
    by_key: Mutex<HashMap<KeyId, HashMap<u64, Entry>>>,
}

struct Entry {
    ephemeral: [u8; 32],
    operation: RecentOperation,
    began: Instant,
    stop: CancellationToken,
    /// Whether its last message may have left.
    is_past: bool,
    /// Turns to false when the attempt is over.
    is_running: watch::Receiver<bool>,
}

/// One operation that is being signed.
pub(crate) struct Attempt {
    attempts: Arc<Attempts>,
    key: KeyId,
    id: u64,
    stop: CancellationToken,
    running: watch::Sender<bool>,
}

/// The attempt was ended by a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the owner has revoked the key or the ephemeral key that asks")]
pub(crate) struct Ended;

impl Attempts {
    /// Notes an attempt, before anything is read on which it depends.
    pub(crate) fn begin(
        self: &Arc<Self>,
        key: KeyId,
        ephemeral: [u8; 32],
        operation: RecentOperation,
    ) -> Attempt {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (running, is_running) = watch::channel(true);
        let stop = CancellationToken::new();
        let entry = Entry {
            ephemeral,
            operation,
            began: Instant::now(),
            stop: stop.clone(),
            is_past: false,
            is_running,
        };
        let mut by_key = self.lock();
        if by_key.len() >= MOST_KEYS && !by_key.contains_key(&key) {
            by_key.retain(|_, of_key| of_key.values().any(Entry::matters));
        }
        let of_key = by_key.entry(key).or_default();
        of_key.insert(id, entry);
        Attempt { attempts: self.clone(), key, id, stop, running }
    }

    /// Ends the attempts that a stored revocation forbids and that can still be ended; gives the operations that were begun
    /// within the last minute and whose last message may have left.
    pub(crate) async fn end(&self, key: KeyId, says: Says) -> Vec<RecentOperation> {
        let (mut ended, mut past) = (Vec::new(), Vec::new());
        for entry in self.lock().get(&key).into_iter().flat_map(HashMap::values) {
            let is_forbidden = match says {
                Says::RevokesKey => true,
                Says::Revokes { ephemeral } => entry.ephemeral == ephemeral,
                _ => false,
            };
            if is_forbidden && entry.is_past {
                past.extend(entry.is_recent().then_some(entry.operation));
            } else if is_forbidden {
                entry.stop.cancel();
                ended.push(entry.is_running.clone());
            }
        }
        for mut is_running in ended {
            // An error says that the attempt is gone.
            let _ = is_running.wait_for(|is_running| !is_running).await;
        }
        past.sort_unstable();
        past.dedup();
        past
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, HashMap<u64, Entry>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_recent(&self) -> bool {
        self.began.elapsed() < RECENT
    }

    fn matters(&self) -> bool {
        *self.is_running.borrow() || self.is_past && self.is_recent()
    }
}

impl Attempt {
    /// Resolves when a revocation ends the attempt.
    pub(crate) async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Passes the point from which the signature can no longer be withheld: the last message may leave.
    pub(crate) fn pass(&self) -> Result<(), Ended> {
        let mut by_key = self.attempts.lock();
        let entry = by_key.get_mut(&self.key).and_then(|of_key| of_key.get_mut(&self.id)).ok_or(Ended)?;
        if entry.stop.is_cancelled() {
            return Err(Ended);
        }
        entry.is_past = true;
        Ok(())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.running.send_replace(false);
        let mut by_key = self.attempts.lock();
        if let Some(of_key) = by_key.get_mut(&self.key) {
            of_key.retain(|_, entry| entry.matters());
            if of_key.is_empty() {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};

    use super::*;

    const KEY: KeyId = KeyId::new(B256::repeat_byte(1));
    const EPHEMERAL: [u8; 32] = [7; 32];

    fn operation(nonce: u64) -> RecentOperation {
        RecentOperation { nonce: U256::from(nonce), hash: B256::repeat_byte(2) }
    }

    #[tokio::test]
    async fn a_revocation_ends_what_has_not_passed_and_tells_what_has() {
        let attempts = Arc::new(Attempts::default());
        let (first, second) =
            (attempts.begin(KEY, EPHEMERAL, operation(1)), attempts.begin(KEY, EPHEMERAL, operation(2)));
        let other = attempts.begin(KEY, [8; 32], operation(3));
        first.pass().unwrap();
        let end = tokio::spawn({
            let attempts = attempts.clone();
            async move { attempts.end(KEY, Says::Revokes { ephemeral: EPHEMERAL }).await }
        });
        second.ended().await;
        assert_eq!(second.pass(), Err(Ended));
        assert!(!end.is_finished(), "it is acknowledged when nothing runs any more");
        drop(second);
        assert_eq!(end.await.unwrap(), [operation(1)]);
        other.pass().unwrap();
        drop((first, other));
        assert_eq!(attempts.end(KEY, Says::RevokesKey).await, [operation(1), operation(3)], "for a minute");
    }
}
