mod bans;
mod census;
mod inspection;
mod keys;
mod ledger;
mod life;
mod pending_keys;
mod statements;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use alloy_primitives::B256;
use quorate_ledger::Place;
use quorate_protocol::NodeIndex;
use serde::Serialize;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, SqliteTransaction};

pub use self::inspection::{
    InspectedEphemeralKey, InspectedKey, InspectedLimit, KeyState, ListedKey, inspect_key, list_keys,
};
pub(crate) use self::keys::{ApprovedKeygen, Assigned, FirstRegistration, StoredKey};
pub use self::ledger::read_ledgers;
use self::life::Life;
pub(crate) use self::pending_keys::PendingKey;
pub(crate) use self::statements::{Added, MOST_REGISTRATIONS, MOST_REVOCATIONS};
pub use self::write::Write;
use crate::fail_points::{self, Point};
use crate::seal::{SealBroken, SealKey, create_private};

/// A node's durable state: its key shares, whom they belong to and what they have signed, and whom it banned.
///
/// Every write is on disk when its call returns (`synchronous = FULL`). One process at a time has it open.
pub(crate) struct Storage {
    pool: SqlitePool,
    seal: SealKey,
    network: B256,
    node: NodeIndex,
    /// Names what this node's peers read of it.
    journal: B256,
    is_quarantined: bool,
    /// Held as long as the database is open.
    _life: Life,
}

/// How many connections there are to the database at most.
const CONNECTIONS: u32 = 4;

/// What SQLite calls the application's id: "Quor".
const KIND: i64 = 0x5175_6f72;

/// What is sealed to notice another seal key.
const SEAL_CHECK: &str = "seal check";

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
    /// Another process has the database open.
    #[error("another process uses the database {path}; a node runs once")]
    InUse {
        /// The database.
        path: String,
    },
    /// The database's file, or the one beside it that tells a restored database.
    #[error("{path} cannot be used")]
    Life {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Some other SQLite database.
    #[error("{path} is the database of another program; name one that is a node's, or none yet")]
    Unknown {
        /// The file.
        path: String,
    },
    /// A seal key that does not belong to the database.
    #[error("the seal key is not the one that the database's shares are sealed with; give the node its own")]
    OtherSeal,
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
    ///
    /// A database that is older than the last one opened here, or that was opened elsewhere, was restored from a backup: it
    /// is quarantined, and what peers have read of it counts as another's.
    pub(crate) async fn open(
        path: &Path,
        seal: SealKey,
        network: B256,
        node: NodeIndex,
    ) -> Result<Self, StorageError> {
        let life = Life::begin(path)?;
        create(path)?;
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        check_kind(&pool, path).await?;
        sqlx::migrate!().run(&pool).await?;
        let opened = claim(&pool, &seal, (network, node), &life).await?;
        fail_points::reach(Point::Writing(Write::Life), node);
        life.record(opened.starts)?;
        fail_points::reach(Point::Written(Write::Life), node);
        if opened.is_quarantined {
            tracing::error!(%node, "the database was restored from a backup: this node signs nothing");
        }
        let Opened { journal, is_quarantined, .. } = opened;
        Ok(Self { pool, seal, network, node, journal, is_quarantined, _life: life })
    }

    /// Whether the database was restored from a backup, so that limits, bans and assignments may be missing in it.
    pub(crate) const fn is_quarantined(&self) -> bool {
        self.is_quarantined
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

/// Makes the file of a new database, which nobody but its owner may read.
fn create(path: &Path) -> Result<(), StorageError> {
    match create_private(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StorageError::Life { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// Marks an empty database as a node's, or checks that it is one: no other program's is altered.
async fn check_kind(pool: &SqlitePool, path: &Path) -> Result<(), StorageError> {
    let kind: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(pool).await?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema").fetch_one(pool).await?;
    match (kind, tables) {
        (KIND, _) => Ok(()),
        (0, 0) => {
            let mark = format!("PRAGMA application_id = {KIND}");
            sqlx::query(sqlx::AssertSqlSafe(mark)).execute(pool).await?;
            Ok(())
        }
        _ => Err(StorageError::Unknown { path: path.display().to_string() }),
    }
}

fn context((network, node): (B256, NodeIndex), place: &str, key_id: &str) -> Vec<u8> {
    [network.as_slice(), &[node.get()], place.as_bytes(), key_id.as_bytes()].concat()
}

/// What a database says of itself when it is opened.
struct Opened {
    journal: B256,
    is_quarantined: bool,
    /// How often it has been opened, this time included.
    starts: u64,
}

/// Makes an empty database this node's, or checks that it is; counts the start.
async fn claim(
    pool: &SqlitePool,
    seal: &SealKey,
    (network, node): (B256, NodeIndex),
    life: &Life,
) -> Result<Opened, StorageError> {
    let checked = context((network, node), SEAL_CHECK, "");
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let row = sqlx::query("SELECT network, node, journal, quarantined, starts, seal_check FROM node")
        .fetch_optional(&mut *transaction)
        .await?;
    let mut opened = match row {
        None => {
            sqlx::query(
                "INSERT INTO node (network, node, journal, quarantined, starts, seal_check) \
                 VALUES (?, ?, x'', 0, 0, ?)",
            )
            .bind(network.as_slice())
            .bind(i64::from(node.get()))
            .bind(seal.seal(&checked, &[])?)
            .execute(&mut *transaction)
            .await?;
            Opened { journal: random()?, is_quarantined: false, starts: 0 }
        }
        Some(row) => {
            let owner = B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default();
            let index = u8::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
            if (owner, index) != (network, node.get()) {
                return Err(StorageError::Foreign { network: owner, node: index });
            }
            seal.open(&checked, row.try_get(5)?).map_err(|_| StorageError::OtherSeal)?;
            let starts = unsigned(row.try_get(4)?);
            if life.is_ahead_of(starts) {
                Opened { journal: random()?, is_quarantined: true, starts }
            } else {
                let journal = B256::try_from(row.try_get::<&[u8], _>(2)?).unwrap_or_default();
                Opened { journal, is_quarantined: row.try_get(3)?, starts }
            }
        }
    };
    opened.starts += 1;
    sqlx::query("UPDATE node SET journal = ?, quarantined = ?, starts = ?")
        .bind(opened.journal.as_slice())
        .bind(opened.is_quarantined)
        .bind(seconds(opened.starts))
        .execute(&mut *transaction)
        .await?;
    commit(transaction, Write::Start, node).await?;
    Ok(opened)
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    async fn open(path: &Path, seal: u8) -> Result<Storage, StorageError> {
        Storage::open(path, SealKey::new(&[seal; 32]), B256::ZERO, NodeIndex::new(1).unwrap()).await
    }

    #[tokio::test]
    async fn a_database_is_its_owner_s_alone_and_opens_with_its_own_seal_key() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.db");
        let storage = open(&path, 7).await.unwrap();
        #[cfg(unix)]
        for file in ["node.db", "node.db-wal"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file}");
        }
        storage.close().await;
        drop(storage);
        assert!(matches!(open(&path, 8).await, Err(StorageError::OtherSeal)));
        open(&path, 7).await.unwrap();
    }

    #[tokio::test]
    async fn another_program_s_database_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("other.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let other = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("CREATE TABLE theirs (id INTEGER)").execute(&other).await.unwrap();
        assert!(matches!(open(&path, 7).await, Err(StorageError::Unknown { .. })));
        let query = "SELECT name FROM sqlite_schema";
        let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(&other).await.unwrap();
        assert_eq!(tables, ["theirs"]);
    }

    #[tokio::test]
    async fn every_connection_syncs_what_it_writes() {
        let folder = TempDir::new().unwrap();
        let storage = open(&folder.path().join("node.db"), 7).await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(storage.pool.acquire().await.unwrap());
        }
        assert!(storage.pool.try_acquire().is_none());
        for connection in &mut connections {
            let mode: String =
                sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
            let synchronous: i64 =
                sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **connection).await.unwrap();
            assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
        }
    }
}
