//! Sessions as rows.

use alloy_primitives::{Address, B256};
use quorate_core::{Leaf, SessionEpoch};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use super::fail_point;
use crate::seal::Seal;
use crate::{AccountId, Key, Session, SessionId, StoreError};

/// The sessions of an account. Each is verified while the database reads on, as both take their time.
pub(super) async fn of_account(
    pool: &SqlitePool,
    account: AccountId,
    seal: &Seal,
) -> Result<Result<Vec<Session>, StoreError>, sqlx::Error> {
    let mut listing =
        Listing { account, seal, rows: Vec::new(), verified: 0, position: 0, sessions: Ok(Vec::new()) };
    sqlx::query(SESSIONS_OF_ACCOUNT)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .try_map(|row| listing.take(row))
        .fetch_all(pool)
        .await?;
    listing.verify();
    Ok(listing.sessions)
}

pub(super) async fn of_session(
    pool: &SqlitePool,
    account: AccountId,
    id: &SessionId,
    seal: &Seal,
) -> Result<Option<Result<(Session, Key), StoreError>>, sqlx::Error> {
    let rows = sqlx::query(SESSION)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(id.as_str())
        .fetch_all(pool)
        .await?;
    Ok(open(&rows, account, seal))
}

/// Writes a session and its leaves.
pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    session: &Session,
    sealed: &[u8],
) -> Result<(), sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sessions (chain_id, account, id, session_key, key_id, record, created, user_op_hash, landed, \
         sealed) VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?)",
    )
    .bind(session.account.chain_id.cast_signed())
    .bind(session.account.address.as_slice())
    .bind(session.id.as_str())
    .bind(session.session_key.as_slice())
    .bind(session.key_id.as_deref())
    .bind(session.created.cast_signed())
    .bind(session.user_op_hash.as_ref().map(B256::as_slice))
    .bind(session.landed.map(u64::cast_signed))
    .bind(sealed)
    .execute(&mut **transaction)
    .await?;
    fail_point("add session: without leaves");
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

pub(super) async fn set_landed(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    id: &SessionId,
    block: Option<u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sessions SET landed = ? WHERE chain_id = ? AND account = ? AND id = ?")
        .bind(block.map(u64::cast_signed))
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(id.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// How many sessions are gone: one, or none where there was none.
pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    id: &SessionId,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM sessions WHERE chain_id = ? AND account = ? AND id = ?")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(id.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(deleted.rows_affected())
}

/// Sessions from rows that come one by one.
struct Listing<'a> {
    account: AccountId,
    seal: &'a Seal,
    /// All rows so far. They are kept to the end, as freeing one takes a lock that the reading thread needs for the
    /// next.
    rows: Vec<SqliteRow>,
    /// How many of them were verified; the rest are those of one session.
    verified: usize,
    /// Where that one stands.
    position: i64,
    sessions: Result<Vec<Session>, StoreError>,
}

impl Listing<'_> {
    fn take(&mut self, row: SqliteRow) -> Result<(), sqlx::Error> {
        let position = row.try_get("position")?;
        if position != self.position {
            self.verify();
            self.position = position;
        }
        self.rows.push(row);
        Ok(())
    }

    fn verify(&mut self) {
        let rows = self.rows.get(self.verified..).unwrap_or_default();
        if let Ok(sessions) = &mut self.sessions {
            match open(rows, self.account, self.seal) {
                Some(Ok((session, _))) => sessions.push(session),
                Some(Err(altered)) => self.sessions = Err(altered),
                None => {}
            }
        }
        self.verified = self.rows.len();
    }
}

/// The session of these rows, one for each leaf, and its key, if they are as the store wrote them; none without rows.
fn open(rows: &[SqliteRow], account: AccountId, seal: &Seal) -> Option<Result<(Session, Key), StoreError>> {
    let first = rows.first()?;
    Some(read(first, rows, account, seal).ok_or_else(|| StoreError::Altered {
        account,
        id: first.try_get("id").unwrap_or_else(|_| "(unreadable)".to_owned()),
    }))
}

fn read(row: &SqliteRow, rows: &[SqliteRow], account: AccountId, seal: &Seal) -> Option<(Session, Key)> {
    let user_op_hash: Option<&[u8]> = row.try_get("user_op_hash").ok()?;
    let session = Session {
        id: row.try_get::<&str, _>("id").ok()?.parse().ok()?,
        account,
        session_key: Address::try_from(row.try_get::<&[u8], _>("session_key").ok()?).ok()?,
        key_id: row.try_get("key_id").ok()?,
        leaves: rows.iter().map(read_leaf).collect::<Option<_>>()?,
        created: row.try_get::<i64, _>("created").ok()?.cast_unsigned(),
        user_op_hash: user_op_hash.map(B256::try_from).transpose().ok()?,
        landed: row.try_get::<Option<i64>, _>("landed").ok()?.map(i64::cast_unsigned),
    };
    let key = seal.open_key(&session, row.try_get("sealed").ok()?)?;
    Some((session, key))
}

/// A hash as it stands in the database.
pub(super) fn hash(bytes: &[u8]) -> Result<B256, sqlx::Error> {
    B256::try_from(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
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

/// A row for each leaf, and one for a session that lost its leaves, which is seen by that.
macro_rules! sessions_where {
    ($condition:literal) => {
        concat!(
            "SELECT position, id, session_key, key_id, created, user_op_hash, landed, sealed, valid_after, \
             valid_until, validation_module, session_key_data \
             FROM sessions LEFT JOIN leaves ON leaves.session = sessions.position \
             WHERE chain_id = ? AND account = ?",
            $condition,
            " ORDER BY position, place"
        )
    };
}

const SESSIONS_OF_ACCOUNT: &str = sessions_where!("");

const SESSION: &str = sessions_where!(" AND id = ?");

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_query_reads_a_whole_table() {
        let folder = tempfile::tempdir().unwrap();
        let key = crate::SealingKey::random().unwrap();
        let store = crate::SqliteStore::open(folder.path().join("sessions.db"), key).await.unwrap();
        for query in [SESSIONS_OF_ACCOUNT, SESSION] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            for step in sqlx::query(explain).fetch_all(&store.pool).await.unwrap() {
                let step: &str = step.get("detail");
                assert!(step.starts_with("SEARCH"), "{query}: {step}");
            }
        }
    }
}
