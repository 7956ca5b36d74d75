//! The ids of calls that were sent, and what became of them: in a database of the service's own, so that an id is used once,
//! whatever happens to the process.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use quorate::SessionId;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlStr};

/// Why ids cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallIdsError {
    /// The file cannot be made.
    #[error("the database of calls {path} cannot be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else's database.
    #[error("{path} is a database, but none of calls; give the path of one, or of a new file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A schema of another version.
    #[error("the database of calls {path} has a schema that this version cannot use")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        source: MigrateError,
    },
    /// The database.
    #[error("the database of calls {path} cannot be used")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}

/// Where the operation of some calls stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallsStatus {
    /// It may get on chain.
    Pending,
    /// It is on chain, and its calls went through.
    Confirmed,
    /// It will never get on chain.
    NotIncluded,
    /// It is on chain, and its calls reverted, all of them.
    Reverted,
}

impl CallsStatus {
    /// The code of EIP-5792. That some calls of an operation revert and others do not (600) cannot happen.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Pending => 100,
            Self::Confirmed => 200,
            Self::NotIncluded => 400,
            Self::Reverted => 500,
        }
    }

    const fn from_code(code: u16) -> Option<Self> {
        match code {
            100 => Some(Self::Pending),
            200 => Some(Self::Confirmed),
            400 => Some(Self::NotIncluded),
            500 => Some(Self::Reverted),
            _ => None,
        }
    }
}

/// Calls that were sent under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentCalls {
    /// Who sent them: the token's name.
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) chain_id: u64,
    pub(crate) account: Address,
    pub(crate) session: SessionId,
    pub(crate) user_op_hash: B256,
    pub(crate) status: CallsStatus,
    /// The receipts as JSON, once they are known.
    pub(crate) receipts: Option<String>,
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct CallIds {
    pool: SqlitePool,
    path: PathBuf,
}

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let calls = include_str!("../migrations/0001_calls.sql");
    let (kind, calls) = (MigrationType::Simple, SqlStr::from_static(calls));
    Migrator::with_migrations(vec![Migration::new(1, "calls".into(), kind, calls, false)])
});

/// "Quoc", in the header of every such database; the first migration writes it.
const APPLICATION_ID: i32 = 0x5175_6f63;

/// How long one process waits for the others.
const PATIENCE: Duration = Duration::from_secs(30);

impl CallIds {
    /// Opens a database, which is made where there is none, and is its owner's alone.
    pub(crate) async fn open(path: &Path) -> Result<Self, CallIdsError> {
        let created = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        created.map_err(|source| CallIdsError::Io { path: path.to_owned(), source })?;
        let sqlite = |source| CallIdsError::Sqlite { path: path.to_owned(), source };
        if !is_ours_or_empty(path).await.map_err(sqlite)? {
            return Err(CallIdsError::Foreign { path: path.to_owned() });
        }
        let options = options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(sqlite)?;
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(sqlite)?;
        let schema = |source| CallIdsError::Schema { path: path.to_owned(), source };
        MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(schema)?;
        transaction.commit().await.map_err(sqlite)?;
        Ok(Self { pool, path: path.to_owned() })
    }

    /// Notes an id before its operation is sent; says no where it was used before.
    pub(crate) async fn claim(&self, calls: &SentCalls) -> Result<bool, CallIdsError> {
        let inserted = sqlx::query(
            "INSERT INTO calls (token, id, chain_id, account, session, user_op_hash, status) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&calls.token)
        .bind(&calls.id)
        .bind(calls.chain_id.cast_signed())
        .bind(calls.account.to_string())
        .bind(calls.session.as_str())
        .bind(calls.user_op_hash.to_string())
        .bind(calls.status.code())
        .execute(&self.pool)
        .await;
        Ok(inserted.map_err(|source| self.sqlite(source))?.rows_affected() == 1)
    }

    /// Forgets an id whose operation never left this machine.
    pub(crate) async fn release(&self, token: &str, id: &str) -> Result<(), CallIdsError> {
        let delete = sqlx::query("DELETE FROM calls WHERE token = ? AND id = ?").bind(token).bind(id);
        delete.execute(&self.pool).await.map_err(|source| self.sqlite(source)).map(drop)
    }

    /// Notes what became of an operation.
    pub(crate) async fn close(
        &self,
        calls: &SentCalls,
        status: CallsStatus,
        receipts: Option<&str>,
    ) -> Result<(), CallIdsError> {
        let update = sqlx::query("UPDATE calls SET status = ?, receipts = ? WHERE token = ? AND id = ?");
        let update = update.bind(status.code()).bind(receipts).bind(&calls.token).bind(&calls.id);
        update.execute(&self.pool).await.map_err(|source| self.sqlite(source)).map(drop)
    }

    /// What was sent under an id with a token.
    pub(crate) async fn find(&self, token: &str, id: &str) -> Result<Option<SentCalls>, CallIdsError> {
        let select = sqlx::query("SELECT * FROM calls WHERE token = ? AND id = ?").bind(token).bind(id);
        let found = select.fetch_optional(&self.pool).await.map_err(|source| self.sqlite(source))?;
        found.as_ref().map(read).transpose().map_err(|source| self.sqlite(source))
    }

    /// The calls whose end is not known.
    pub(crate) async fn pending(&self) -> Result<Vec<SentCalls>, CallIdsError> {
        let select = sqlx::query("SELECT * FROM calls WHERE status = 100");
        let rows = select.fetch_all(&self.pool).await.map_err(|source| self.sqlite(source))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|source| self.sqlite(source))
    }

    /// Writes what is in the log to the database and closes it.
    pub(crate) async fn shut(&self) {
        self.pool.close().await;
    }

    fn sqlite(&self, source: sqlx::Error) -> CallIdsError {
        CallIdsError::Sqlite { path: self.path.clone(), source }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging()
}

async fn is_ours_or_empty(path: &Path) -> Result<bool, sqlx::Error> {
    let mut connection = options(path).connect().await?;
    let select = "SELECT application_id, (SELECT COUNT(*) FROM sqlite_schema) FROM pragma_application_id";
    let row = sqlx::query(select).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(matches!((row.try_get(0)?, row.try_get(1)?), (APPLICATION_ID, _) | (0, 0)))
}

fn read(row: &SqliteRow) -> Result<SentCalls, sqlx::Error> {
    let undecodable = |what: &'static str| move || sqlx::Error::Decode(format!("no {what}").into());
    let text = |column: &str| row.try_get::<String, _>(column);
    let status = CallsStatus::from_code(row.try_get("status")?);
    Ok(SentCalls {
        token: text("token")?,
        id: text("id")?,
        chain_id: row.try_get::<i64, _>("chain_id")?.cast_unsigned(),
        account: text("account")?.parse().ok().ok_or_else(undecodable("address"))?,
        session: text("session")?.parse().ok().ok_or_else(undecodable("session id"))?,
        user_op_hash: text("user_op_hash")?.parse().ok().ok_or_else(undecodable("hash"))?,
        status: status.ok_or_else(undecodable("status"))?,
        receipts: row.try_get("receipts")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(token: &str, id: &str) -> SentCalls {
        SentCalls {
            token: token.to_owned(),
            id: id.to_owned(),
            chain_id: u64::MAX,
            account: Address::repeat_byte(1),
            session: "a".parse().unwrap(),
            user_op_hash: B256::repeat_byte(2),
            status: CallsStatus::Pending,
            receipts: None,
        }
    }

    #[tokio::test]
    async fn an_id_is_used_once_by_each_token_and_whatever_opens_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.db");
        let ids = CallIds::open(&path).await.unwrap();
        let (one, other) = (sent("one", "x"), sent("other", "x"));
        assert!(ids.claim(&one).await.unwrap());
        assert!(!ids.claim(&SentCalls { user_op_hash: B256::ZERO, ..one.clone() }).await.unwrap());
        assert!(ids.claim(&other).await.unwrap());
        ids.close(&one, CallsStatus::Confirmed, Some("[]")).await.unwrap();
        ids.shut().await;

        let ids = CallIds::open(&path).await.unwrap();
        assert!(!ids.claim(&one).await.unwrap());
        let closed = SentCalls { status: CallsStatus::Confirmed, receipts: Some("[]".into()), ..one };
        assert_eq!(ids.find("one", "x").await.unwrap(), Some(closed));
        assert_eq!(ids.pending().await.unwrap(), std::slice::from_ref(&other));
        ids.release("other", "x").await.unwrap();
        assert!(ids.claim(&other).await.unwrap());
        assert_eq!(ids.find("one", "y").await.unwrap(), None);
    }

    #[tokio::test]
    async fn another_program_s_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        let mut other =
            SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::query("CREATE TABLE theirs (a)").execute(&mut other).await.unwrap();
        assert!(matches!(CallIds::open(&path).await, Err(CallIdsError::Foreign { .. })));
    }
}
