//! Trees as rows.

use alloy_primitives::B256;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use crate::{AccountId, Tree};

pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    tree: &Tree,
) -> Result<(), sqlx::Error> {
    delete(transaction, account, tree.root()).await?;
    sqlx::query(
        "INSERT INTO trees (chain_id, account, root, leaves, replaces, user_op_hash, operation) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(tree.root().as_slice())
    .bind(tree.leaves.concat())
    .bind(tree.replaces.as_slice())
    .bind(tree.user_op_hash.as_ref().map(B256::as_slice))
    .bind(&tree.operation)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "DELETE FROM trees WHERE chain_id = ? AND account = ? AND position NOT IN \
         (SELECT position FROM trees WHERE chain_id = ? AND account = ? ORDER BY position DESC LIMIT ?)",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(i64::try_from(Tree::KEPT).unwrap_or(i64::MAX))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn of_account(pool: &SqlitePool, account: AccountId) -> Result<Vec<Tree>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM trees WHERE chain_id = ? AND account = ? ORDER BY position")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .fetch_all(pool)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    root: B256,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM trees WHERE chain_id = ? AND account = ? AND root = ?")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(root.as_slice())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Tree, sqlx::Error> {
    let hash = |bytes: &[u8]| B256::try_from(bytes).map_err(|error| sqlx::Error::Decode(error.into()));
    let leaves = row.try_get::<&[u8], _>("leaves")?.chunks(32).map(hash);
    Ok(Tree {
        leaves: leaves.collect::<Result<_, _>>()?,
        replaces: hash(row.try_get("replaces")?)?,
        user_op_hash: row.try_get::<Option<&[u8]>, _>("user_op_hash")?.map(hash).transpose()?,
        operation: row.try_get("operation")?,
    })
}
