//! Opening a database: a foreign, damaged or exposed one is refused before anything in it is altered.

use std::path::Path;
use std::sync::LazyLock;

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;
use quorate_seal::Seal;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlStr};

use super::error::code;
use super::life::Life;
use super::{StorageError, Write, commit, context, random, seconds, unsigned};
use crate::fail_points;
use crate::seal::{SealKeys, create_private, is_exposed};

/// How many connections there are to the database at most.
pub(super) const CONNECTIONS: u32 = 4;

/// What SQLite calls the application's id: "Quor".
const KIND: i64 = 0x5175_6f72;

/// What is sealed to notice another seal key.
pub(super) const SEAL_CHECK: &str = "seal check";

/// The schema's versions, in their order.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let node = include_str!("../../migrations/0001_node.sql");
    let one_life = include_str!("../../migrations/0002_one_life.sql");
    let migrations = [(1, "node", node), (2, "one life", one_life)].map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.to_vec())
});

/// What a file is, as far as it says so itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing was ever written to it.
    Empty,
    Node,
}

/// Refuses a file that is no node's database, is damaged, or can be read by others.
pub(super) async fn inspect(path: &Path) -> Result<Kind, StorageError> {
    let name = || path.display().to_string();
    if is_exposed(path).map_err(|source| StorageError::File { path: name(), source })? {
        return Err(StorageError::Exposed { path: name() });
    }
    let checked = async {
        let mut database = SqliteConnectOptions::new().filename(path).connect().await?;
        let checked = match kind(&mut database, path).await {
            Ok(Kind::Node) => check_pages(&mut database, path).await.map(|()| Kind::Node),
            other => other,
        };
        database.close().await?;
        checked
    };
    checked.await.map_err(|error| unreadable(error, path))
}

/// A node's database at `path`, made where there is none, with a schema that is up to date.
pub(super) async fn connect(path: &Path, node: NodeIndex) -> Result<SqlitePool, StorageError> {
    match create_private(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(StorageError::File { path: path.display().to_string(), source });
        }
        _ => {}
    }
    inspect(path).await?;
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    if fail_points::is_disk_full(node) {
        // No fewer than it has.
        options = options.pragma("max_page_count", "1");
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        // SQLite ends a transaction by itself when there is no room, and sqlx then counts it as open for ever.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await?;
    let mark = format!("PRAGMA application_id = {KIND}");
    sqlx::query(sqlx::AssertSqlSafe(mark)).execute(&pool).await?;
    let path = || path.display().to_string();
    MIGRATIONS.run(&pool).await.map_err(|error| match error {
        MigrateError::VersionMismatch(_) => StorageError::Outdated { path: path() },
        MigrateError::VersionMissing(schema) => StorageError::Newer { path: path(), schema },
        other => other.into(),
    })?;
    Ok(pool)
}

async fn kind(database: &mut SqliteConnection, path: &Path) -> Result<Kind, StorageError> {
    let name = || path.display().to_string();
    let kind: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *database).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut *database).await?;
    let is_ours =
        ["_sqlx_migrations", "shares", "keys"].iter().all(|ours| tables.iter().any(|name| name == ours));
    match kind {
        KIND => Ok(Kind::Node),
        0 if tables.is_empty() => Ok(Kind::Empty),
        // Before the first release databases were not marked.
        0 if is_ours => Err(StorageError::Outdated { path: name() }),
        _ => Err(StorageError::Unknown { path: name() }),
    }
}

async fn check_pages(database: &mut SqliteConnection, path: &Path) -> Result<(), StorageError> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(database).await?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(StorageError::Corrupt { path: path.display().to_string(), found }),
    }
}

/// Names the file where SQLite finds that it is damaged, or no database at all.
fn unreadable(error: StorageError, path: &Path) -> StorageError {
    const CORRUPT: i64 = 11;
    const NOT_A_DATABASE: i64 = 26;
    let StorageError::Database(sqlx::Error::Database(source)) = &error else { return error };
    match code(source.as_ref()) {
        Some(CORRUPT | NOT_A_DATABASE) => {
            StorageError::Corrupt { path: path.display().to_string(), found: source.message().to_owned() }
        }
        _ => error,
    }
}

/// What a database says of itself when it is opened.
pub(super) struct Opened {
    pub(super) journal: B256,
    pub(super) is_quarantined: bool,
    /// How often it has been opened, this time included.
    pub(super) starts: u64,
    /// The seal key that fits.
    pub(super) seal: Seal,
}

/// Makes an empty database this node's, or checks that it is; counts the start.
pub(super) async fn claim(
    pool: &SqlitePool,
    seals: SealKeys,
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
            let seal = seals.into_current();
            sqlx::query(
                "INSERT INTO node (network, node, journal, quarantined, starts, seal_check) \
                 VALUES (?, ?, x'', 0, 0, ?)",
            )
            .bind(network.as_slice())
            .bind(i64::from(node.get()))
            .bind(seal.seal(&checked, &[])?)
            .execute(&mut *transaction)
            .await?;
            Opened { journal: random()?, is_quarantined: false, starts: 0, seal }
        }
        Some(row) => {
            let owner = B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default();
            let index = u8::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
            if (owner, index) != (network, node.get()) {
                return Err(StorageError::Foreign { network: owner, node: index });
            }
            let seal = seals.that_opens(&checked, row.try_get(5)?).ok_or(StorageError::OtherSeal)?;
            let starts = unsigned(row.try_get(4)?);
            if life.is_ahead_of(starts) {
                sqlx::query("DELETE FROM lost_nodes").execute(&mut *transaction).await?;
                Opened { journal: random()?, is_quarantined: true, starts, seal }
            } else {
                let journal = B256::try_from(row.try_get::<&[u8], _>(2)?).unwrap_or_default();
                Opened { journal, is_quarantined: row.try_get(3)?, starts, seal }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sqlx::AssertSqlSafe;
    use tempfile::TempDir;

    use super::super::Storage;
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&[byte; 32])
    }

    async fn open(path: &Path, seal: impl Into<SealKeys>) -> Result<Storage, StorageError> {
        Storage::open(path, seal, B256::ZERO, NodeIndex::new(1).unwrap()).await
    }

    /// A closed database of a node.
    async fn made() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.db");
        open(&path, seal(7)).await.unwrap().close().await;
        (folder, path)
    }

    /// What is said of a database after somebody has done this to it.
    async fn refused_after(statements: &str) -> StorageError {
        let (_folder, path) = made().await;
        let mut database = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
        open(&path, seal(7)).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_database_is_its_owner_s_alone_and_opens_with_its_own_seal_key() {
        let (folder, path) = made().await;
        let storage = open(&path, seal(7)).await.unwrap();
        #[cfg(unix)]
        for file in ["node.db", "node.db-wal"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file}");
        }
        storage.close().await;
        drop(storage);
        assert!(matches!(open(&path, seal(8)).await, Err(StorageError::OtherSeal)));
        for seals in [SealKeys::new(seal(8), Some(seal(7))), SealKeys::new(seal(7), Some(seal(8)))] {
            open(&path, seals).await.unwrap().close().await;
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_database_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, path) = made().await;
        for mode in [0o640, 0o604] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = open(&path, seal(7)).await.err().unwrap();
            assert!(matches!(&refused, StorageError::Exposed { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn another_program_s_database_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("other.db");
        create_private(&path).unwrap();
        let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        sqlx::query("CREATE TABLE theirs (id INTEGER)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, seal(7)).await, Err(StorageError::Unknown { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_damaged_database_is_refused_with_the_fault() {
        let (folder, path) = made().await;
        let mut bytes = std::fs::read(&path).unwrap();
        // The second page's kind and count of cells.
        bytes[4096..4106].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        let refused = open(&path, seal(7)).await.err().unwrap();
        assert!(matches!(&refused, StorageError::Corrupt { .. }), "{refused}");
        let text = folder.path().join("text.db");
        std::io::Write::write_all(&mut create_private(&text).unwrap(), &[b'x'; 5000]).unwrap();
        let refused = open(&text, seal(7)).await.err().unwrap();
        assert!(matches!(&refused, StorageError::Corrupt { .. }), "{refused}");
    }

    #[tokio::test]
    async fn databases_of_other_versions_are_named() {
        let unmarked = refused_after("PRAGMA application_id = 0").await;
        assert!(matches!(&unmarked, StorageError::Outdated { .. }), "{unmarked}");
        let other_schema =
            refused_after("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
        assert!(matches!(&other_schema, StorageError::Outdated { .. }), "{other_schema}");
        let newer = refused_after(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', 1, x'00', 0)",
        )
        .await;
        assert!(matches!(&newer, StorageError::Newer { schema: 9999, .. }), "{newer}");
    }

    /// Writes one row that takes more pages than there are.
    async fn fill(storage: &Storage) -> Result<(), StorageError> {
        let mut transaction = storage.begin().await?;
        sqlx::query("INSERT INTO filler VALUES (zeroblob(100000))").execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    #[tokio::test]
    async fn a_connection_that_found_the_disk_full_is_not_used_again() {
        let (_folder, path) = made().await;
        let storage = open(&path, seal(7)).await.unwrap();
        sqlx::query("CREATE TABLE filler (bytes BLOB)").execute(&storage.pool).await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = storage.pool.acquire().await.unwrap();
            sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let full = fill(&storage).await.err().unwrap();
        assert!(full.to_string().starts_with("the disk is full") && matches!(full, StorageError::Full(_)));
        // There is room by now, as far as new connections know: each of the others finds the disk full once, whenever its turn is.
        let mut found_full = 1;
        for _ in 0..4 * CONNECTIONS {
            match fill(&storage).await {
                Ok(()) => {}
                Err(StorageError::Full(_)) => found_full += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(found_full <= CONNECTIONS, "{found_full} of {CONNECTIONS}");
    }

    #[tokio::test]
    async fn every_connection_syncs_what_it_writes() {
        let (_folder, path) = made().await;
        let storage = open(&path, seal(7)).await.unwrap();
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
