//! What the owners of keys have said about them.

use alloy_primitives::B256;
use quorate_protocol::{Says, Setup, SignedRequest, Statement, StatementSet, Target, Verified, Voucher};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use super::{Storage, StorageError, Write, encoded, seconds, signatures, unsigned};
use crate::wire::{ShownStatement, Vouchers};

/// How many ephemeral keys may be registered for a key, beside the one that it was assigned with.
pub(crate) const MOST_REGISTRATIONS: u64 = 64;

/// How many ephemeral keys of a key may be revoked one by one; the key itself can always be.
pub(crate) const MOST_REVOCATIONS: u64 = 256;

/// How often the permissions of a key may be said: nodes take it once, and differ only while they hear of it.
pub(crate) const MOST_PERMITS: u64 = 4;

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
    /// Too few nodes have heard from the contract that owns the key that it is the owner's.
    Unvouched,
}

impl Storage {
    /// Stores a statement, with what nodes say for it.
    pub(crate) async fn add_statement(
        &self,
        statement: &Verified<Statement>,
        vouchers: &Vouchers,
        now: u64,
    ) -> Result<Added, StorageError> {
        let key_id = statement.key_id();
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT id, says FROM statements WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&mut *transaction)
            .await?;
        let (mut registrations, mut revocations, mut permits) = (0, 0, 0);
        for row in &rows {
            if row.try_get::<&[u8], _>(0)? == statement.id().as_slice() {
                return Ok(Added::Known);
            }
            match says(row.try_get(1)?, key_id)? {
                Says::Registers { .. } => registrations += 1,
                Says::Revokes { .. } => revocations += 1,
                Says::Permits { .. } => permits += 1,
                _ => {}
            }
        }
        let is_too_many = match statement.says() {
            Says::Registers { .. } => registrations >= MOST_REGISTRATIONS,
            Says::Revokes { .. } => revocations >= MOST_REVOCATIONS,
            Says::Permits { .. } => permits >= MOST_PERMITS,
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
        insert_vouchers(&mut transaction, key_id, statement.id(), vouchers).await?;
        self.commit(transaction, Write::Statement).await?;
        Ok(Added::New)
    }

    /// Keeps what other nodes say for a statement that is stored.
    pub(crate) async fn add_vouchers(
        &self,
        key_id: &str,
        statement: B256,
        vouchers: &Vouchers,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        insert_vouchers(&mut transaction, key_id, statement, vouchers).await?;
        Ok(self.commit(transaction, Write::Statement).await?)
    }

    /// A statement that is stored, as it is shown to others.
    pub(crate) async fn statement(
        &self,
        key_id: &str,
        statement: B256,
    ) -> Result<Option<ShownStatement>, StorageError> {
        let row = sqlx::query("SELECT key_id, id, request FROM statements WHERE key_id = ? AND id = ?")
            .bind(key_id)
            .bind(statement.as_slice())
            .fetch_optional(&self.pool)
            .await?;
        match row {
            Some(row) => self.shown(&row).await.map(Some),
            None => Ok(None),
        }
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

    /// What is said about a key, as it is shown to others.
    pub(crate) async fn statements_of(&self, key_id: &str) -> Result<Vec<ShownStatement>, StorageError> {
        let rows = sqlx::query("SELECT key_id, id, request FROM statements WHERE key_id = ? ORDER BY place")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        let mut statements = Vec::new();
        for row in &rows {
            statements.push(self.shown(row).await?);
        }
        Ok(statements)
    }

    /// The statements about any key that this node came to know after a place, the oldest `most` of them, each with its
    /// place.
    pub(crate) async fn statements_after(
        &self,
        place: u64,
        most: u32,
    ) -> Result<Vec<(u64, ShownStatement)>, StorageError> {
        let rows = sqlx::query(
            "SELECT place, key_id, id, request FROM statements WHERE place > ? ORDER BY place LIMIT ?",
        )
        .bind(seconds(place))
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        self.placed(&rows).await
    }

    /// The statements about a key that this node came to know after a place, the oldest `most` of them, each with its place.
    pub(crate) async fn statements_of_after(
        &self,
        key_id: &str,
        place: u64,
        most: u32,
    ) -> Result<Vec<(u64, ShownStatement)>, StorageError> {
        let rows = sqlx::query(
            "SELECT place, key_id, id, request FROM statements WHERE key_id = ? AND place > ? ORDER BY place LIMIT ?",
        )
        .bind(key_id)
        .bind(seconds(place))
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        self.placed(&rows).await
    }

    /// Statements, each with its place, from rows of place, key_id, id, request.
    async fn placed(&self, rows: &[SqliteRow]) -> Result<Vec<(u64, ShownStatement)>, StorageError> {
        let mut statements = Vec::new();
        for row in rows {
            statements.push((unsigned(row.try_get(0)?), self.shown(row).await?));
        }
        Ok(statements)
    }

    /// A statement from a row of key_id, id, request.
    async fn shown(&self, row: &SqliteRow) -> Result<ShownStatement, StorageError> {
        let (key_id, id): (&str, &[u8]) = (row.try_get("key_id")?, row.try_get("id")?);
        let rows = sqlx::query("SELECT node, signature FROM vouchers WHERE key_id = ? AND id = ?")
            .bind(key_id)
            .bind(id)
            .fetch_all(&self.pool)
            .await?;
        let vouchers = signatures(&rows, "voucher", key_id)?;
        let vouchers = vouchers.into_iter().map(|(node, signature)| (node, Voucher { node, signature }));
        Ok(ShownStatement {
            request: request(row.try_get("request")?, key_id)?,
            vouchers: vouchers.collect(),
        })
    }

    /// Names what this node's peers read of it.
    pub(crate) const fn journal(&self) -> B256 {
        self.journal
    }
}

async fn insert_vouchers(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    statement: B256,
    vouchers: &Vouchers,
) -> Result<(), StorageError> {
    for Voucher { node, signature } in vouchers.values() {
        sqlx::query(
            "INSERT INTO vouchers (key_id, id, node, signature) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(statement.as_slice())
        .bind(i64::from(node.get()))
        .bind(signature)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// What a key may sign that was born without permissions, where its owner has said so since.
pub(super) async fn permitted(pool: &SqlitePool, key_id: &str) -> Result<Option<Target>, StorageError> {
    let rows = sqlx::query("SELECT says, request FROM statements WHERE key_id = ?");
    let mut set = StatementSet::default();
    let mut permits = Vec::new();
    for row in rows.bind(key_id).fetch_all(pool).await? {
        let said = says(row.try_get(0)?, key_id)?;
        if matches!(said, Says::Permits { .. }) {
            set.add(key_id, said);
            permits.push(request(row.try_get(1)?, key_id)?);
        }
    }
    let Some(permissions) = set.permissions() else { return Ok(None) };
    let of_hash = permits.iter().find_map(|request| match Setup::parse(request.operation, &request.setup) {
        Ok(Setup::Permit(permit)) if permit.permissions_hash() == permissions => {
            Target::from_json(&permit.permissions).ok()
        }
        _ => None,
    });
    of_hash.map(Some).ok_or_else(|| damaged(key_id))
}

pub(super) fn says(bytes: &[u8], key_id: &str) -> Result<Says, StorageError> {
    postcard::from_bytes(bytes).map_err(|_| damaged(key_id))
}

fn request(bytes: &[u8], key_id: &str) -> Result<SignedRequest, StorageError> {
    postcard::from_bytes(bytes).map_err(|_| damaged(key_id))
}

fn damaged(key_id: &str) -> StorageError {
    StorageError::Damaged { what: "statement", key_id: key_id.to_owned() }
}
