mod bans;
mod births;
mod charges;

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use ed25519_dalek::VerifyingKey;
use quorate_mpc::KeyShare;
use quorate_protocol::{NodeIndex, Permissions};
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use self::charges::Held;
pub(crate) use self::charges::{Bookmark, Charge, Entry, Excess, Hold};
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
const KEYS: &str = "keys";
const PENDING_KEYS: &str = "pending_keys";

/// A key as a node keeps it, without the share.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) public_key: [u8; 33],
    pub(crate) owner: Address,
    /// None: the key signs nothing.
    pub(crate) permissions: Option<Permissions>,
}

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

    /// How many keys an owner has. Pending ones count: they take as much room.
    pub(crate) async fn keys_of(&self, owner: Address) -> Result<u64, StorageError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM keys WHERE owner = ?1) \
             + (SELECT COUNT(*) FROM pending_keys WHERE owner = ?1)",
        )
        .bind(owner.as_slice())
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// A key by its id.
    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<StoredKey>, StorageError> {
        let row = sqlx::query("SELECT public_key, owner, permissions FROM keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let permissions = row.try_get::<Option<&str>, _>(2)?.map(Permissions::from_json).transpose();
        Ok(Some(StoredKey {
            public_key: row.try_get::<&[u8], _>(0)?.try_into().map_err(|_| damaged("public key"))?,
            owner: Address::try_from(row.try_get::<&[u8], _>(1)?).map_err(|_| damaged("owner"))?,
            permissions: permissions.map_err(|_| damaged("permissions"))?,
        }))
    }

    /// Until when an ephemeral key may ask for a key's signatures; none if it may not.
    pub(crate) async fn ephemeral_key_ends(
        &self,
        key_id: &str,
        ephemeral: &VerifyingKey,
    ) -> Result<Option<u64>, StorageError> {
        let row = sqlx::query("SELECT expires_at FROM ephemeral_keys WHERE key_id = ? AND public_key = ?")
            .bind(key_id)
            .bind(ephemeral.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await?;
        let ends = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(ends.map(|ends| u64::try_from(ends).unwrap_or_default()))
    }

    /// Registers one more ephemeral key for a key.
    pub(crate) async fn add_ephemeral_key(
        &self,
        key_id: &str,
        ephemeral: &VerifyingKey,
        ends: u64,
    ) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin().await?;
        insert_ephemeral_key(&mut transaction, key_id, ephemeral, ends).await?;
        Ok(transaction.commit().await?)
    }

    /// This node's share of a key.
    pub(crate) async fn share(&self, key_id: &str) -> Result<KeyShare, StorageError> {
        let row =
            sqlx::query("SELECT share FROM keys WHERE key_id = ?").bind(key_id).fetch_one(&self.pool).await?;
        let opened = self.seal.open(&self.context(KEYS, key_id), row.try_get(0)?)?;
        KeyShare::from_bytes(&opened)
            .map_err(|_| StorageError::Damaged { what: "share", key_id: key_id.to_owned() })
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

async fn insert_ephemeral_key(
    transaction: &mut sqlx::SqliteTransaction<'_>,
    key_id: &str,
    ephemeral: &VerifyingKey,
    ends: u64,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO ephemeral_keys (key_id, public_key, expires_at) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(key_id)
    .bind(ephemeral.as_bytes().as_slice())
    .bind(seconds(ends))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// SQLite's integers are signed; times beyond the year 292 billion are one.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
