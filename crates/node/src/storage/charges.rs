//! What the operations of a key have come to, and the signed requests that show it.
//!
//! A charge belongs to a key and a nonce: the key's permissions name the one chain, entry point and sender. It holds,
//! for each counter, the largest amount that was asked for under that nonce. Every request that raised one stands in
//! the node's journal, where other nodes read it.
//!
//! A charge is on disk before anything else happens, and is *held* until the first signing round begins. If the node
//! does not get that far, no signature can come of it, and the charge is withdrawn: otherwise a request beyond a limit,
//! refused by those who know it, would use up the limit at those who do not. What a crash leaves behind stays charged.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use alloy_primitives::{B256, U256};
use quorate_protocol::{Counter, Dimension, NodeIndex, Refusal, SignedRequest};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqliteTransaction};

use super::{Storage, StorageError, seconds};

/// How many entries are given out at once.
const MAX_ENTRIES: usize = 512;

/// The charges that may still be withdrawn, by key and nonce.
pub(super) type Held = HashMap<(String, U256), Attempts>;

/// What a held charge was before, and how many attempts to sign have it in common.
pub(super) struct Attempts {
    running: usize,
    /// The amounts before the first of them.
    before: Vec<u8>,
    /// The last place in the journal before the first of them.
    place: i64,
}

/// A charge that can be withdrawn until it is kept; one that is dropped is kept.
#[must_use]
pub(crate) struct Hold<'a> {
    storage: &'a Storage,
    key_id: String,
    nonce: U256,
    counters: Vec<Counter>,
    at: u64,
}

/// What one request adds to a key's totals.
pub(crate) struct Charge<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) counters: &'a [Counter],
    pub(crate) nonce: U256,
    /// One for each counter.
    pub(crate) amounts: &'a [U256],
    pub(crate) request: &'a SignedRequest,
    /// When it was charged first, as far as is known; seconds since 1970.
    pub(crate) at: u64,
}

/// A total beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    counter: Counter,
    total: U256,
}

/// A request that stands in a node's journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The place in the journal of that node and key, from 1.
    pub(crate) place: u64,
    /// When that node charged it, by its clock.
    pub(crate) at: u64,
    pub(crate) request: SignedRequest,
    /// Whether that node may withdraw it yet.
    pub(crate) held: bool,
}

/// How far one node has read the journal of another for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bookmark {
    /// Which journal: a database that was set up anew has another.
    pub(crate) journal: B256,
    /// The last place read; 0 for none.
    pub(crate) place: u64,
}

impl From<Excess> for Refusal {
    fn from(Excess { counter, total }: Excess) -> Self {
        Self::Limit { limited: counter.dimension.to_string().into(), total, limit: counter.limit }
    }
}

impl Storage {
    /// The id of this node's journal.
    pub(crate) async fn journal(&self) -> Result<B256, StorageError> {
        let row = sqlx::query("SELECT journal FROM node").fetch_one(&self.pool).await?;
        Ok(B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default())
    }

    /// What stands in the journal after a bookmark, oldest first, up to about `size` bytes and one entry at least;
    /// and whether there is more. Another journal's bookmark reads from the start.
    pub(crate) async fn entries_after(
        &self,
        key_id: &str,
        bookmark: Bookmark,
        size: usize,
    ) -> Result<(Vec<Entry>, bool), StorageError> {
        let place = if bookmark.journal == self.journal().await? { bookmark.place } else { 0 };
        let rows = sqlx::query(
            "SELECT place, charged_at, request, nonce FROM journal WHERE key_id = ? AND place > ? \
             ORDER BY place LIMIT ?",
        )
        .bind(key_id)
        .bind(seconds(place))
        .bind(i64::try_from(MAX_ENTRIES).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let (mut entries, mut left) = (Vec::new(), size);
        for row in &rows {
            let request: &[u8] = row.try_get(2)?;
            if !entries.is_empty() && request.len() > left {
                return Ok((entries, true));
            }
            left = left.saturating_sub(request.len());
            let (place, nonce) = (row.try_get(0)?, number(row.try_get(3)?));
            let attempts = self.held();
            let attempts = attempts.get(&(key_id.to_owned(), nonce));
            entries.push(Entry {
                place: unsigned(place),
                held: attempts.is_some_and(|attempts| place > attempts.place),
                at: unsigned(row.try_get(1)?),
                request: postcard::from_bytes(request)
                    .map_err(|_| StorageError::Damaged { what: "journal", key_id: key_id.to_owned() })?,
            });
        }
        Ok((entries, rows.len() == MAX_ENTRIES))
    }

    /// How far this node has read a peer's journal.
    pub(crate) async fn bookmark(&self, key_id: &str, peer: NodeIndex) -> Result<Bookmark, StorageError> {
        if let Some(bookmark) = self.unsaved_bookmarks().get(&(key_id.to_owned(), peer)) {
            return Ok(*bookmark);
        }
        let row = sqlx::query("SELECT journal, place FROM bookmarks WHERE key_id = ? AND peer = ?")
            .bind(key_id)
            .bind(i64::from(peer.get()))
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(Bookmark::default()) };
        let journal = B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default();
        Ok(Bookmark { journal, place: unsigned(row.try_get(1)?) })
    }

    /// Remembers how far a peer's journal was read.
    ///
    /// It is written with the key's next charge: what is read twice after a crash is known already, and a write of its
    /// own would cost every signature a disk's latency.
    pub(crate) fn set_bookmark(&self, key_id: &str, peer: NodeIndex, bookmark: Bookmark) {
        self.unsaved_bookmarks().insert((key_id.to_owned(), peer), bookmark);
    }

    /// Charges a request, or gives what it would exceed.
    pub(super) async fn charge<'a>(
        &'a self,
        transaction: &mut SqliteTransaction<'_>,
        charge: &Charge<'_>,
    ) -> Result<Result<Option<Hold<'a>>, Excess>, StorageError> {
        let place = last_place(transaction, charge.key_id).await?;
        let before = match charge.add(transaction, true).await? {
            Added::Excess(excess) => return Ok(Err(excess)),
            Added::Nothing => None,
            Added::Raised { before } => Some(before),
        };
        self.save_bookmarks(transaction, charge.key_id).await?;
        let key = (charge.key_id.to_owned(), charge.nonce);
        let mut held = self.held();
        match (held.get_mut(&key), before) {
            (Some(attempts), _) => attempts.running += 1,
            (None, Some(before)) => drop(held.insert(key, Attempts { running: 1, before, place })),
            // It was signed before, perhaps.
            (None, None) => return Ok(Ok(None)),
        }
        Ok(Ok(Some(Hold {
            storage: self,
            key_id: charge.key_id.to_owned(),
            nonce: charge.nonce,
            counters: charge.counters.to_vec(),
            at: charge.at,
        })))
    }

    /// Adds charges that other nodes let through, whatever they come to.
    pub(crate) async fn add_charges(&self, charges: &[Charge<'_>]) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for charge in charges {
            if let Added::Raised { .. } = charge.add(&mut transaction, false).await? {
                self.held().remove(&(charge.key_id.to_owned(), charge.nonce));
            }
        }
        Ok(transaction.commit().await?)
    }

    /// A counter that is beyond its limit at the given time, if charges that may yet be withdrawn elsewhere are added.
    pub(crate) async fn excess_with(
        &self,
        key_id: &str,
        counters: &[Counter],
        held_elsewhere: &[Charge<'_>],
        now: u64,
    ) -> Result<Option<Excess>, StorageError> {
        // Never committed.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for charge in held_elsewhere {
            charge.add(&mut transaction, false).await?;
        }
        for (index, &counter) in counters.iter().enumerate() {
            let total = total(&mut transaction, key_id, index, window(counter, now)).await?;
            if total > counter.limit {
                return Ok(Some(Excess { counter, total }));
            }
        }
        Ok(None)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn save_bookmarks(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        key_id: &str,
    ) -> Result<(), StorageError> {
        let unsaved: Vec<_> = {
            let all = self.unsaved_bookmarks();
            let of_key = all.iter().filter(|((key, _), _)| key == key_id);
            of_key.map(|((_, peer), bookmark)| (*peer, *bookmark)).collect()
        };
        for (peer, bookmark) in unsaved {
            sqlx::query(
                "INSERT INTO bookmarks (key_id, peer, journal, place) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET journal = excluded.journal, place = excluded.place",
            )
            .bind(key_id)
            .bind(i64::from(peer.get()))
            .bind(bookmark.journal.as_slice())
            .bind(seconds(bookmark.place))
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }
}

impl Hold<'_> {
    /// Keeps the charge for good: the first signing round begins.
    pub(crate) fn keep(self) {}

    /// Takes the charge back, unless another attempt under the same nonce has it in common.
    pub(crate) async fn withdraw(mut self) -> Result<(), StorageError> {
        let mut transaction = self.storage.pool.begin_with("BEGIN IMMEDIATE").await?;
        // Taken, so that dropping this keeps nothing.
        let key = (std::mem::take(&mut self.key_id), self.nonce);
        let Attempts { before, place, .. } = {
            let mut held = self.storage.held();
            let Some(attempts) = held.get_mut(&key) else { return Ok(()) };
            attempts.running -= 1;
            if attempts.running > 0 {
                return Ok(());
            }
            let Some(attempts) = held.remove(&key) else { return Ok(()) };
            attempts
        };
        let charged = charged(&mut transaction, &key.0, self.nonce).await?;
        for (index, &counter) in self.counters.iter().enumerate() {
            let excess = amount(&charged, index).saturating_sub(amount(&before, index));
            if excess > U256::ZERO {
                let window = window(counter, self.at);
                let total = total(&mut transaction, &key.0, index, window).await?;
                set_total(&mut transaction, &key.0, index, window, total.saturating_sub(excess)).await?;
            }
        }
        set_charged(&mut transaction, &key.0, self.nonce, before).await?;
        sqlx::query("DELETE FROM journal WHERE key_id = ? AND nonce = ? AND place > ?")
            .bind(&key.0)
            .bind(self.nonce.to_be_bytes::<32>().as_slice())
            .bind(place)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.storage.held().remove(&(std::mem::take(&mut self.key_id), self.nonce));
    }
}

/// What came of adding a charge.
enum Added {
    /// The totals contain it already.
    Nothing,
    /// They do now; what the nonce was charged before.
    Raised { before: Vec<u8> },
    /// They would exceed a limit; the transaction is to be dropped.
    Excess(Excess),
}

impl Charge<'_> {
    /// Raises the key's totals, and enters the request in the journal, unless nothing is raised.
    async fn add(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        within_limits: bool,
    ) -> Result<Added, StorageError> {
        let Self { key_id, counters, nonce, .. } = *self;
        let before = charged(transaction, key_id, nonce).await?;
        let mut raised = Vec::with_capacity(counters.len() * 32);
        for (index, (&counter, &asked)) in counters.iter().zip(self.amounts).enumerate() {
            let old = amount(&before, index);
            let new = asked.max(old);
            raised.extend(new.to_be_bytes::<32>());
            if new == old {
                continue;
            }
            let window = window(counter, self.at);
            let total = total(transaction, key_id, index, window).await?.saturating_add(new - old);
            if within_limits && total > counter.limit {
                return Ok(Added::Excess(Excess { counter, total }));
            }
            set_total(transaction, key_id, index, window, total).await?;
        }
        if raised == before {
            return Ok(Added::Nothing);
        }
        set_charged(transaction, key_id, nonce, raised).await?;
        self.enter(transaction).await?;
        Ok(Added::Raised { before })
    }

    async fn enter(&self, transaction: &mut SqliteTransaction<'_>) -> Result<(), StorageError> {
        let place = last_place(transaction, self.key_id).await? + 1;
        sqlx::query("INSERT INTO journal (key_id, place, nonce, charged_at, request) VALUES (?, ?, ?, ?, ?)")
            .bind(self.key_id)
            .bind(place)
            .bind(self.nonce.to_be_bytes::<32>().as_slice())
            .bind(seconds(self.at))
            .bind(postcard::to_stdvec(self.request).unwrap_or_default())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

async fn last_place(transaction: &mut SqliteTransaction<'_>, key_id: &str) -> Result<i64, StorageError> {
    let row = sqlx::query("SELECT COALESCE(MAX(place), 0) FROM journal WHERE key_id = ?")
        .bind(key_id)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(row.try_get(0)?)
}

/// The amounts charged under a nonce, 32 bytes each; none at all where nothing is.
async fn charged(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    nonce: U256,
) -> Result<Vec<u8>, StorageError> {
    let row = sqlx::query("SELECT amounts FROM charges WHERE key_id = ? AND nonce = ?")
        .bind(key_id)
        .bind(nonce.to_be_bytes::<32>().as_slice())
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

async fn set_charged(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    nonce: U256,
    amounts: Vec<u8>,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO charges (key_id, nonce, amounts) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET amounts = excluded.amounts",
    )
    .bind(key_id)
    .bind(nonce.to_be_bytes::<32>().as_slice())
    .bind(amounts)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// One of the amounts charged; nothing where there is none.
fn amount(charged: &[u8], index: usize) -> U256 {
    charged.chunks(32).nth(index).map_or(U256::ZERO, number)
}

/// The window that a counter counts in at a time; 0 for those that have none.
const fn window(counter: Counter, at: u64) -> u64 {
    match counter.dimension {
        Dimension::UsesInWindow(seconds) => at / seconds.get(),
        _ => 0,
    }
}

async fn total(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    counter: usize,
    window: u64,
) -> Result<U256, StorageError> {
    let row = sqlx::query("SELECT total FROM totals WHERE key_id = ? AND counter = ? AND time_window = ?")
        .bind(key_id)
        .bind(i64::try_from(counter).unwrap_or(i64::MAX))
        .bind(seconds(window))
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(|row| Ok(number(row.try_get(0)?))).unwrap_or(Ok(U256::ZERO))
}

async fn set_total(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    counter: usize,
    window: u64,
    total: U256,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO totals (key_id, counter, time_window, total) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO UPDATE SET total = excluded.total",
    )
    .bind(key_id)
    .bind(i64::try_from(counter).unwrap_or(i64::MAX))
    .bind(seconds(window))
    .bind(total.to_be_bytes::<32>().as_slice())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// A damaged number counts as the largest: what cannot be read must not be spent again.
fn number(bytes: &[u8]) -> U256 {
    U256::try_from_be_slice(bytes).filter(|_| bytes.len() == 32).unwrap_or(U256::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
