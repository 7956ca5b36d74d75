//! Trees as rows.

use alloy_primitives::B256;
use quorate_core::merkle;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use super::rows::hash;
use crate::AccountId;

pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    leaves: &[B256],
) -> Result<(), sqlx::Error> {
    let root = merkle::root(leaves).unwrap_or_default();
    if root.is_zero() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO trees (chain_id, account, root, leaves) VALUES (?, ?, ?, ?) \
         ON CONFLICT (chain_id, account, root) DO NOTHING",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(root.as_slice())
    .bind(leaves.concat())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Forgets a tree that no operation needs.
pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    root: B256,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM trees WHERE chain_id = ?1 AND account = ?2 AND root = ?3 AND NOT EXISTS \
         (SELECT 1 FROM operations WHERE chain_id = ?1 AND account = ?2 AND (replaces = ?3 OR sets = ?3))",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(root.as_slice())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn roots(pool: &SqlitePool, account: AccountId) -> Result<Vec<B256>, sqlx::Error> {
    let rows = sqlx::query("SELECT root FROM trees WHERE chain_id = ? AND account = ? ORDER BY position")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| hash(row.try_get("root")?)).collect()
}

pub(super) async fn leaves(
    pool: &SqlitePool,
    account: AccountId,
    root: B256,
) -> Result<Option<Vec<B256>>, sqlx::Error> {
    let row = sqlx::query("SELECT leaves FROM trees WHERE chain_id = ? AND account = ? AND root = ?")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(root.as_slice())
        .fetch_optional(pool)
        .await?;
    let read = |row: SqliteRow| row.try_get::<&[u8], _>("leaves")?.chunks(32).map(hash).collect();
    row.map(read).transpose()
}
