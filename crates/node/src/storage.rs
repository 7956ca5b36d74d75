mod backup;
mod bans;
mod census;
mod error;
mod inspection;
mod keys;
mod ledger;
mod life;
mod newest;
mod open;
mod pending_keys;
mod restore;
mod rotation;
mod statements;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::B256;
use quorate_ledger::Place;
use quorate_protocol::NodeIndex;
use quorate_seal::Seal;
use serde::Serialize;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

pub(crate) use self::backup::{back_up, remove, sync_folder_of};
pub use self::error::StorageError;
pub use self::inspection::{
    InspectedEphemeralKey, InspectedKey, InspectedLimit, KeyState, ListedKey, inspect_key, list_keys,
};
pub(crate) use self::keys::{ApprovedKeygen, Assigned, FirstRegistration, StoredKey};
pub use self::ledger::read_ledgers;
use self::life::Life;
use self::open::Opened;
pub(crate) use self::pending_keys::PendingKey;
pub(crate) use self::restore::Restoration;
pub(crate) use self::statements::{Added, MOST_REGISTRATIONS, MOST_REVOCATIONS};
pub use self::write::Write;
use crate::fail_points::{self, Point};
use crate::seal::SealKeys;

/// A node's durable state: its key shares, whom they belong to and what they have signed, and whom it banned.
///
/// Every write is on disk when its call returns (`synchronous = FULL`). One process at a time has it open.
pub(crate) struct Storage {
    pool: SqlitePool,
    seal: Seal,
    network: B256,
    node: NodeIndex,
    /// Names what this node's peers read of it.
    journal: B256,
    is_quarantined: AtomicBool,
    /// Held as long as the database is open.
    _life: Life,
}

/// Where a sealed share is kept.
const SHARES: &str = "shares";
const PENDING_KEYS: &str = "pending_keys";

impl Storage {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// A database that is older than the last one opened here, or that was opened elsewhere, was restored from a backup: it
    /// is quarantined, and what peers have read of it counts as another's.
    pub(crate) async fn open(
        path: &Path,
        seals: impl Into<SealKeys>,
        network: B256,
        node: NodeIndex,
    ) -> Result<Self, StorageError> {
        let life = Life::begin(path)?;
        let pool = open::connect(path, node).await?;
        let opened = open::claim(&pool, seals.into(), (network, node), &life).await?;
        fail_points::reach(Point::Writing(Write::Life), node);
        life.record(opened.starts)?;
        fail_points::reach(Point::Written(Write::Life), node);
        if opened.is_quarantined {
            tracing::error!(%node, "the database was restored from a backup: this node signs nothing yet");
        }
        let Opened { journal, is_quarantined, seal, .. } = opened;
        let is_quarantined = AtomicBool::new(is_quarantined);
        Ok(Self { pool, seal, network, node, journal, is_quarantined, _life: life })
    }

    /// Whether the database was restored from a backup, so that limits, bans and assignments may be missing in it.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.is_quarantined.load(Ordering::Acquire)
    }

    fn set_released(&self) {
        self.is_quarantined.store(false, Ordering::Release);
    }

    /// Waits for writes under way and lets go of the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that reads before it writes.
    async fn begin(&self) -> Result<SqliteTransaction<'static>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    async fn commit(&self, transaction: SqliteTransaction<'_>, write: Write) -> Result<(), sqlx::Error> {
        commit(transaction, write, self.node).await
    }

    /// What a sealed share is bound to: a pending one moved to the place of a key's does not open there.
    fn context(&self, place: &str, key_id: &str) -> Vec<u8> {
        context((self.network, self.node), place, key_id)
    }
}

fn context((network, node): (B256, NodeIndex), place: &str, key_id: &str) -> Vec<u8> {
    [network.as_slice(), &[node.get()], place.as_bytes(), key_id.as_bytes()].concat()
}

/// Makes a transaction durable: what depends on it may leave the node afterwards, and not before.
async fn commit(
    transaction: SqliteTransaction<'_>,
    write: Write,
    node: NodeIndex,
) -> Result<(), sqlx::Error> {
    fail_points::reach(Point::Writing(write), node);
    transaction.commit().await?;
    fail_points::reach(Point::Written(write), node);
    Ok(())
}

/// A file beside another, whose name goes on like this.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn random() -> Result<B256, getrandom::Error> {
    let mut bytes = B256::ZERO;
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// The stored form of a value of this crate's own.
///
/// # Panics
/// Never: postcard fails only on maps and sequences of unknown length, which none of them has.
pub(crate) fn encoded(value: &impl Serialize) -> Vec<u8> {
    match postcard::to_stdvec(value) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("a record cannot be encoded: {error}"),
    }
}

/// Reads rows of a node and its signature.
fn signatures(
    rows: &[SqliteRow],
    what: &'static str,
    key_id: &str,
) -> Result<BTreeMap<NodeIndex, Vec<u8>>, StorageError> {
    let damaged = || StorageError::Damaged { what, key_id: key_id.to_owned() };
    let signature = |row: &SqliteRow| {
        let node = u8::try_from(row.try_get::<i64, _>(0)?).ok().and_then(NodeIndex::new);
        Ok((node.ok_or_else(damaged)?, row.try_get(1)?))
    };
    rows.iter().map(signature).collect()
}

/// SQLite's integers are signed; times beyond the year 292 billion are one.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A place in a journal, from 1.
fn place_of(number: i64) -> Option<Place> {
    u64::try_from(number).ok().and_then(|place| Place::try_from(place).ok())
}
