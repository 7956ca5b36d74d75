//! Sessions as rows.

use alloy_primitives::{Address, B256};
use quorate_core::SessionEpoch;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use super::fail_point;
use crate::seal::Seal;
use crate::{AccountId, Key, Leaf, Session, SessionId, Status, StoreError};

/// A session as it stands in the database, not verified.
pub(super) struct SessionRow {
    row: SqliteRow,
    leaves: Vec<SqliteRow>,
}

pub(super) async fn of_account(
    pool: &SqlitePool,
    account: AccountId,
) -> Result<Vec<SessionRow>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(SESSIONS_OF_ACCOUNT)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .fetch_all(&mut *transaction)
        .await?;
    let leaves = sqlx::query(LEAVES_OF_ACCOUNT)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;

    let mut leaves = leaves.into_iter().peekable();
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        let position: i64 = row.try_get("position")?;
        let own = |leaf: &SqliteRow| leaf.try_get("session").is_ok_and(|session: i64| session == position);
        let leaves = std::iter::from_fn(|| leaves.next_if(own)).collect();
        sessions.push(SessionRow { row, leaves });
    }
    Ok(sessions)
}

pub(super) async fn of_session(
    pool: &SqlitePool,
    account: AccountId,
    id: &SessionId,
) -> Result<Option<SessionRow>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let row = sqlx::query(SESSION)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let position: i64 = row.try_get("position")?;
    let leaves = sqlx::query(LEAVES_OF_SESSION).bind(position).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(SessionRow { row, leaves }))
}

/// Writes a session and its leaves.
pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    session: &Session,
    sealed: &[u8],
) -> Result<(), sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sessions (chain_id, account, id, session_key, key_id, record, status, created, user_op_hash, \
         sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(session.account.chain_id.cast_signed())
    .bind(session.account.address.as_slice())
    .bind(session.id.as_str())
    .bind(session.session_key.as_slice())
    .bind(session.key_id.as_deref())
    .bind(&session.record)
    .bind(session.status.as_str())
    .bind(session.created.cast_signed())
    .bind(session.user_op_hash.as_ref().map(B256::as_slice))
    .bind(sealed)
    .execute(&mut **transaction)
    .await?;
    fail_point("add: without leaves");
    for (place, leaf) in (0_i64..).zip(&session.leaves) {
        sqlx::query(
            "INSERT INTO leaves (session, place, valid_after, valid_until, validation_module, session_key_data) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(inserted.last_insert_rowid())
        .bind(place)
        .bind(leaf.epoch.valid_after().cast_signed())
        .bind(leaf.epoch.valid_until().cast_signed())
        .bind(leaf.validation_module.as_slice())
        .bind(leaf.session_key_data.as_slice())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

impl SessionRow {
    /// The session and its key, if they are as the store wrote them.
    pub(super) fn open(&self, account: AccountId, seal: &Seal) -> Result<(Session, Key), StoreError> {
        self.read(account, seal).ok_or_else(|| StoreError::Altered {
            account,
            id: self.row.try_get("id").unwrap_or_else(|_| "(unreadable)".to_owned()),
        })
    }

    fn read(&self, account: AccountId, seal: &Seal) -> Option<(Session, Key)> {
        let row = &self.row;
        let user_op_hash: Option<&[u8]> = row.try_get("user_op_hash").ok()?;
        let session = Session {
            id: row.try_get::<&str, _>("id").ok()?.parse().ok()?,
            account,
            session_key: Address::try_from(row.try_get::<&[u8], _>("session_key").ok()?).ok()?,
            key_id: row.try_get("key_id").ok()?,
            leaves: self.leaves.iter().map(read_leaf).collect::<Option<_>>()?,
            record: row.try_get("record").ok()?,
            status: Status::from_text(row.try_get("status").ok()?)?,
            created: row.try_get::<i64, _>("created").ok()?.cast_unsigned(),
            user_op_hash: user_op_hash.map(B256::try_from).transpose().ok()?,
        };
        let key = seal.open_key(&session, row.try_get("sealed").ok()?)?;
        Some((session, key))
    }
}

fn read_leaf(row: &SqliteRow) -> Option<Leaf> {
    let valid_after = row.try_get::<i64, _>("valid_after").ok()?.cast_unsigned();
    let valid_until = row.try_get::<i64, _>("valid_until").ok()?.cast_unsigned();
    Some(Leaf {
        epoch: SessionEpoch::new(valid_after, valid_until).ok()?,
        validation_module: Address::try_from(row.try_get::<&[u8], _>("validation_module").ok()?).ok()?,
        session_key_data: row.try_get("session_key_data").ok()?,
    })
}

const SESSIONS_OF_ACCOUNT: &str =
    "SELECT * FROM sessions WHERE chain_id = ? AND account = ? ORDER BY position";

const LEAVES_OF_ACCOUNT: &str = "SELECT leaves.* FROM sessions JOIN leaves ON leaves.session = sessions.position \
                                 WHERE sessions.chain_id = ? AND sessions.account = ? \
                                 ORDER BY sessions.position, leaves.place";

const SESSION: &str = "SELECT * FROM sessions WHERE chain_id = ? AND account = ? AND id = ?";

const LEAVES_OF_SESSION: &str = "SELECT * FROM leaves WHERE session = ? ORDER BY place";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_query_reads_a_whole_table() {
        let folder = tempfile::tempdir().unwrap();
        let key = crate::SealingKey::random().unwrap();
        let store = crate::SqliteStore::open(folder.path().join("sessions.db"), key).await.unwrap();
        for query in [SESSIONS_OF_ACCOUNT, LEAVES_OF_ACCOUNT, SESSION, LEAVES_OF_SESSION] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            for step in sqlx::query(explain).fetch_all(&store.pool).await.unwrap() {
                let step: &str = step.get("detail");
                assert!(step.starts_with("SEARCH"), "{query}: {step}");
            }
        }
    }
}
