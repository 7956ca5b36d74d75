//! Opening a database: whose is it, is it whole, and does the key open it?

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlStr, SqliteTransaction};

use super::{SqliteStore, commit};
use crate::seal::{Seal, Stretching};
use crate::sealing::{PASSPHRASE, SEALING_KEY};
use crate::{DatabaseError, Passphrase, Sealing, Secret};

/// The schema's versions, in their order.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sessions = include_str!("../../migrations/0001_sessions.sql");
    let trees = include_str!("../../migrations/0002_trees.sql");
    let operations = include_str!("../../migrations/0003_operations.sql");
    let transactions = include_str!("../../migrations/0004_transactions.sql");
    let delegated_keys = include_str!("../../migrations/0005_delegated_keys.sql");
    let nonces = include_str!("../../migrations/0006_nonces.sql");
    let all = [
        (1, "sessions", sessions),
        (2, "trees", trees),
        (3, "operations", operations),
        (4, "transactions", transactions),
        (5, "delegated keys", delegated_keys),
        (6, "nonces", nonces),
    ];
    let migrations = all.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.to_vec())
});

/// "Quor", in the header of every session store; the first migration writes it.
const APPLICATION_ID: i32 = 0x5175_6f72;

/// How long one process waits for the others.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn open(path: &Path, sealing: Sealing) -> Result<SqliteStore, DatabaseError> {
    create_file(path).map_err(|source| DatabaseError::Io { path: path.to_owned(), source })?;
    refuse_foreign(path).await?;
    let pool = connect(path).await.map_err(|source| DatabaseError::sqlite(path, source))?;
    set_up(path, &pool, &sealing).await?;
    let seal = unlock(path, &pool, &sealing).await?;
    Ok(SqliteStore { pool, path: path.to_owned(), seal })
}

/// An empty file is an empty database. SQLite gives its other files the same mode.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Looks at the database without changing it.
async fn refuse_foreign(path: &Path) -> Result<(), DatabaseError> {
    let look = async {
        let mut connection = options(path).connect().await?;
        let row = sqlx::query(
            "SELECT application_id, (SELECT COUNT(*) FROM sqlite_schema) FROM pragma_application_id",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    match look.await.map_err(|source| DatabaseError::sqlite(path, source))? {
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        (_, _) => Err(DatabaseError::Foreign { path: path.to_owned() }),
    }
}

/// The first to come turns the write-ahead log on, for which SQLite lets nobody wait.
async fn connect(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .row_buffer_size(ROWS_READ_AHEAD)
        .foreign_keys(true);
    let attempt = || SqlitePoolOptions::new().max_connections(4).connect_with(options.clone());
    let pause = Duration::from_millis(10);
    let attempts = ConstantBuilder::new().with_delay(pause).with_max_times(300);
    attempt.retry(attempts).when(is_busy).await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging()
}

/// As many rows wait to be verified; with few of them, the two threads wait for each other at every row.
const ROWS_READ_AHEAD: usize = 4096;

/// Brings the schema up to date, and seals a new store: all in one step, so that no two processes do it.
async fn set_up(path: &Path, pool: &SqlitePool, sealing: &Sealing) -> Result<(), DatabaseError> {
    let sqlite = |source| DatabaseError::sqlite(path, source);
    let schema = |source| match source {
        MigrateError::Execute(source) => sqlite(source),
        source => DatabaseError::Schema { path: path.to_owned(), source },
    };
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(sqlite)?;
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(schema)?;
    let sealed = sqlx::query("SELECT 1 FROM sealing").fetch_optional(&mut *transaction).await;
    if sealed.map_err(sqlite)?.is_none() {
        let made = StoredSealing::make(path, sealing).await?;
        made.insert(&mut transaction).await.map_err(sqlite)?;
    }
    commit("set up", transaction).await.map_err(sqlite)
}

/// The seal of the store's sessions.
async fn unlock(path: &Path, pool: &SqlitePool, sealing: &Sealing) -> Result<Seal, DatabaseError> {
    let stored = StoredSealing::read(pool).await.map_err(|source| DatabaseError::sqlite(path, source))?;
    let outer = match (sealing, stored.stretching) {
        (Sealing::Key(key), None) => Seal::new(key.expose()),
        (Sealing::Passphrase(passphrase), Some(stretching)) => stretch(path, passphrase, stretching).await?,
        (given, stretching) => {
            let expected = if stretching.is_some() { PASSPHRASE } else { SEALING_KEY };
            return Err(DatabaseError::OtherSealing { path: path.to_owned(), expected, given: given.name() });
        }
    };
    let store_key = outer.open_store_key(&stored.store_key);
    let wrong = || DatabaseError::WrongKey { path: path.to_owned(), given: sealing.name() };
    Ok(Seal::new(store_key.ok_or_else(wrong)?.expose()))
}

async fn stretch(
    path: &Path,
    passphrase: &Passphrase,
    stretching: Stretching,
) -> Result<Seal, DatabaseError> {
    let passphrase = passphrase.clone();
    let key = match tokio::task::spawn_blocking(move || stretching.stretch(&passphrase)).await {
        Ok(stretched) => {
            stretched.map_err(|source| DatabaseError::Passphrase { path: path.to_owned(), source })?
        }
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(Seal::new(key.expose()))
}

/// The store's own key, sealed under what its user gives.
struct StoredSealing {
    /// None where that is a key already.
    stretching: Option<Stretching>,
    store_key: Vec<u8>,
}

impl StoredSealing {
    async fn make(path: &Path, sealing: &Sealing) -> Result<Self, DatabaseError> {
        let (outer, stretching) = match sealing {
            Sealing::Key(key) => (Seal::new(key.expose()), None),
            Sealing::Passphrase(passphrase) => {
                let stretching = Stretching::random()?;
                (stretch(path, passphrase, stretching).await?, Some(stretching))
            }
        };
        Ok(Self { stretching, store_key: outer.seal_store_key(&Secret::random()?)? })
    }

    async fn insert(&self, transaction: &mut SqliteTransaction<'_>) -> Result<(), sqlx::Error> {
        let cost = self.stretching;
        sqlx::query(
            "INSERT INTO sealing (one, salt, memory, passes, lanes, store_key) VALUES (1, ?, ?, ?, ?, ?)",
        )
        .bind(cost.map(|cost| cost.salt.to_vec()))
        .bind(cost.map(|cost| cost.memory))
        .bind(cost.map(|cost| cost.passes))
        .bind(cost.map(|cost| cost.lanes))
        .bind(&self.store_key)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    async fn read(pool: &SqlitePool) -> Result<Self, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM sealing").fetch_one(pool).await?;
        let stretching = match row.try_get::<Option<Vec<u8>>, _>("salt")? {
            None => None,
            Some(salt) => Some(Stretching {
                salt: salt.try_into().map_err(|_| sqlx::Error::Decode("the salt has not 16 bytes".into()))?,
                memory: row.try_get("memory")?,
                passes: row.try_get("passes")?,
                lanes: row.try_get("lanes")?,
            }),
        };
        Ok(Self { stretching, store_key: row.try_get("store_key")? })
    }
}

impl DatabaseError {
    /// Tells a damaged database from one that cannot be used now.
    pub(super) fn sqlite(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        let unreadable = matches!(source, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. });
        match primary_code(&source) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged { path, source },
            Some(IO_ERROR | FULL) => Self::Disk { path, source },
            _ if unreadable => Self::Damaged { path, source },
            _ => Self::Sqlite { path, source },
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

/// SQLite's result code (<https://www.sqlite.org/rescode.html>); its extension is in the higher bytes.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

const BUSY: u32 = 5;
const IO_ERROR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nonces_of_an_older_schema_are_kept() {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        let older = MIGRATIONS.iter().filter(|migration| migration.version < 6).cloned().collect::<Vec<_>>();
        let mut connection = pool.acquire().await.unwrap();
        Migrator::with_migrations(older).run_direct(None, &mut *connection, false).await.unwrap();
        let rows = [
            "INSERT INTO transactions VALUES (1, zeroblob(20), 258, x'da', 9)",
            "INSERT INTO signed_transactions VALUES (3, 1, zeroblob(20), 258, x'01')",
        ];
        for row in rows {
            sqlx::query(row).execute(&mut *connection).await.unwrap();
        }
        MIGRATIONS.run_direct(None, &mut *connection, false).await.unwrap();
        drop(connection);

        let key = crate::AccountId { chain_id: 1, address: alloy_primitives::Address::ZERO };
        let kept = super::super::transactions::of_key(&pool, key).await.unwrap();
        let expected = crate::Transaction {
            nonce: alloy_primitives::U256::from(258),
            data: vec![0xda],
            reserved_until: 9,
            signed: vec![vec![1]],
        };
        assert_eq!(kept, [expected]);
    }
}
