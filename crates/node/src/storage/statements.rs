//! What the owners of keys have said about them.

use alloy_primitives::B256;
use quorate_protocol::{Says, SignedRequest, Statement, StatementSet};
use sqlx::Row as _;

use super::{Storage, StorageError, Write, encoded, seconds, unsigned};

/// How many ephemeral keys may be registered for a key, beside the one that it was assigned with.
pub(crate) const MOST_REGISTRATIONS: u64 = 64;

/// How many ephemeral keys of a key may be revoked one by one; the key itself can always be.
pub(crate) const MOST_REVOCATIONS: u64 = 256;

/// What came of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Added {
    /// It is new, and stored.
    New,
    /// It was there.
    Known,
    /// There are as many of its kind as a key may have.
    TooMany,
}

impl Storage {
    /// Stores a verified statement.
    pub(crate) async fn add_statement(&self, statement: &Statement, now: u64) -> Result<Added, StorageError> {
        let key_id = statement.key_id();
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT id, says FROM statements WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&mut *transaction)
            .await?;
        let (mut registrations, mut revocations) = (0, 0);
        for row in &rows {
            if row.try_get::<&[u8], _>(0)? == statement.id().as_slice() {
                return Ok(Added::Known);
            }
            match says(row.try_get(1)?, key_id)? {
                Says::Registers { .. } => registrations += 1,
                Says::Revokes { .. } => revocations += 1,
                _ => {}
            }
        }
        let is_too_many = match statement.says() {
            Says::Registers { .. } => registrations >= MOST_REGISTRATIONS,
            Says::Revokes { .. } => revocations >= MOST_REVOCATIONS,
            _ => false,
        };
        if is_too_many {
            return Ok(Added::TooMany);
        }
        sqlx::query("INSERT INTO statements (key_id, id, says, request, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(key_id)
            .bind(statement.id().as_slice())
            .bind(encoded(&statement.says()))
            .bind(encoded(statement.request()))
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, Write::Statement).await?;
        Ok(Added::New)
    }

    /// What is said about a key.
    pub(crate) async fn statement_set(&self, key_id: &str) -> Result<StatementSet, StorageError> {
        let rows = sqlx::query("SELECT says FROM statements WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        let mut set = StatementSet::default();
        for row in &rows {
            set.add(key_id, says(row.try_get(0)?, key_id)?);
        }
        Ok(set)
    }

    /// The requests that show what is said about a key.
    pub(crate) async fn statements_of(&self, key_id: &str) -> Result<Vec<SignedRequest>, StorageError> {
        let rows = sqlx::query("SELECT request FROM statements WHERE key_id = ? ORDER BY place")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| request(row.try_get(0)?, key_id)).collect()
    }

    /// The statements about any key that this node came to know after a place, the oldest `most` of them, each with its
    /// place.
    pub(crate) async fn statements_after(
        &self,
        place: u64,
        most: u32,
    ) -> Result<Vec<(u64, SignedRequest)>, StorageError> {
        let rows = sqlx::query(
            "SELECT place, key_id, request FROM statements WHERE place > ? ORDER BY place LIMIT ?",
        )
        .bind(seconds(place))
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let placed = |row: &sqlx::sqlite::SqliteRow| {
            Ok((unsigned(row.try_get(0)?), request(row.try_get(2)?, row.try_get(1)?)?))
        };
        rows.iter().map(placed).collect()
    }

    /// Names what this node's peers read of it.
    pub(crate) const fn journal(&self) -> B256 {
        self.journal
    }
}

fn says(bytes: &[u8], key_id: &str) -> Result<Says, StorageError> {
    postcard::from_bytes(bytes).map_err(|_| damaged(key_id))
}

fn request(bytes: &[u8], key_id: &str) -> Result<SignedRequest, StorageError> {
    postcard::from_bytes(bytes).map_err(|_| damaged(key_id))
}

fn damaged(key_id: &str) -> StorageError {
    StorageError::Damaged { what: "statement", key_id: key_id.to_owned() }
}
