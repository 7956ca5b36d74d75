mod bans;
mod births;
mod charges;
mod keys;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

use self::charges::Held;
pub(crate) use self::charges::{Bookmark, Charge, Entry, Excess, Hold};
pub(crate) use self::keys::StoredKey;
use crate::seal::{SealBroken, SealKey};

/// A node's durable state: its key shares, whom they belong to, whom it banned, and which nonces are spent.
///
/// Every write is on disk when its call returns (`synchronous = FULL`).
pub(crate) struct Storage {
    pool: SqlitePool,
    seal: SealKey,
    network: B256,
    node: NodeIndex,
    /// How far other nodes' journals were read; written with the next charge of the key.
    bookmarks: Mutex<Bookmarks>,
    held: Mutex<Held>,
}

type Bookmarks = HashMap<(String, NodeIndex), Bookmark>;

/// Whether a request may go on, as far as the node's own records say.
pub(crate) enum Bound<'a> {
    /// It may, and what it costs is charged.
    Yes(Option<Hold<'a>>),
    /// Another request has used the nonce.
    Replayed,
    /// It would exceed a limit; nothing is charged.
    Excess(Excess),
}

/// Where a sealed share is kept.
const SHARES: &str = "shares";
const PENDING_KEYS: &str = "pending_keys";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// SQLite says no.
    #[error("the node's database cannot be used")]
    Database(#[from] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the node's database has a schema that this version cannot use")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Somebody else's database.
    #[error("the database belongs to node {node} of network {network}; each node needs its own")]
    Foreign {
        /// The network it belongs to.
        network: B256,
        /// The node it belongs to.
        node: u8,
    },
    /// A share that does not open.
    #[error(transparent)]
    Sealed(#[from] SealBroken),
    /// A record that does not parse.
    #[error("the stored {what} of key {key_id} is damaged; restore the database from a backup")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// The key.
        key_id: String,
    },
    /// A share that cannot be written.
    #[error(transparent)]
    Share(#[from] quorate_mpc::ShareError),
    /// No random bytes for sealing.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

impl Storage {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    pub(crate) async fn open(
        path: &Path,
        seal: SealKey,
        network: B256,
        node: NodeIndex,
    ) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::migrate!().run(&pool).await?;
        let storage = Self { pool, seal, network, node, bookmarks: Mutex::default(), held: Mutex::default() };
        storage.claim().await?;
        Ok(storage)
    }

    async fn claim(&self) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin().await?;
        match sqlx::query("SELECT network, node FROM node").fetch_optional(&mut *transaction).await? {
            None => {
                let mut journal = B256::ZERO;
                getrandom::fill(journal.as_mut_slice())?;
                sqlx::query("INSERT INTO node (network, node, journal) VALUES (?, ?, ?)")
                    .bind(self.network.as_slice())
                    .bind(i64::from(self.node.get()))
                    .bind(journal.as_slice())
                    .execute(&mut *transaction)
                    .await?;
            }
            Some(row) => {
                let network = B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default();
                let node = u8::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
                if (network, node) != (self.network, self.node.get()) {
                    return Err(StorageError::Foreign { network, node });
                }
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Binds a nonce to the first request that uses it, and charges what the request costs: both or neither.
    pub(crate) async fn bind(
        &self,
        nonce: B256,
        request: B256,
        charge: Option<&Charge<'_>>,
        expires_at: u64,
        now: u64,
    ) -> Result<Bound<'_>, StorageError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM used_nonces WHERE expires_at < ?")
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO used_nonces (nonce, request, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(nonce.as_slice())
        .bind(request.as_slice())
        .bind(seconds(expires_at))
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT request FROM used_nonces WHERE nonce = ?")
            .bind(nonce.as_slice())
            .fetch_one(&mut *transaction)
            .await?;
        if row.try_get::<&[u8], _>(0)? != request.as_slice() {
            return Ok(Bound::Replayed);
        }
        let hold = match charge {
            None => None,
            Some(charge) => match self.charge(&mut transaction, charge).await? {
                Ok(hold) => hold,
                Err(excess) => return Ok(Bound::Excess(excess)),
            },
        };
        transaction.commit().await?;
        Ok(Bound::Yes(hold))
    }

    /// Waits for writes under way and lets go of the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    fn unsaved_bookmarks(&self) -> MutexGuard<'_, Bookmarks> {
        self.bookmarks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a sealed share is bound to: a pending one moved to the place of a key's does not open there.
    fn context(&self, place: &str, key_id: &str) -> Vec<u8> {
        [self.network.as_slice(), &[self.node.get()], place.as_bytes(), key_id.as_bytes()].concat()
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
