//! Keys to which accounts delegate, as rows.

use alloy_primitives::Address;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use crate::seal::Seal;
use crate::{AccountId, DelegatedKey, Key, StoreError};

/// Without effect where the key is there.
pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    delegator: AccountId,
    key: &DelegatedKey,
    sealed: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO delegated_keys (chain_id, delegator, address, key_id, permissions, created, sealed) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(delegator.chain_id.cast_signed())
    .bind(delegator.address.as_slice())
    .bind(key.address.as_slice())
    .bind(&key.key_id)
    .bind(&key.permissions)
    .bind(key.created.cast_signed())
    .bind(sealed)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    delegator: AccountId,
    address: Address,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM delegated_keys WHERE chain_id = ? AND delegator = ? AND address = ?")
        .bind(delegator.chain_id.cast_signed())
        .bind(delegator.address.as_slice())
        .bind(address.as_slice())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn of_account(
    pool: &SqlitePool,
    delegator: AccountId,
    seal: &Seal,
) -> Result<Result<Vec<(DelegatedKey, Key)>, StoreError>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT address, key_id, permissions, created, sealed FROM delegated_keys \
         WHERE chain_id = ? AND delegator = ? ORDER BY position",
    )
    .bind(delegator.chain_id.cast_signed())
    .bind(delegator.address.as_slice())
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(|row| open(row, delegator, seal)).collect())
}

fn open(row: &SqliteRow, delegator: AccountId, seal: &Seal) -> Result<(DelegatedKey, Key), StoreError> {
    read(row, delegator, seal).ok_or_else(|| StoreError::AlteredKey {
        delegator,
        key_id: row.try_get("key_id").unwrap_or_else(|_| "(unreadable)".to_owned()),
    })
}

fn read(row: &SqliteRow, delegator: AccountId, seal: &Seal) -> Option<(DelegatedKey, Key)> {
    let key = DelegatedKey {
        address: Address::try_from(row.try_get::<&[u8], _>("address").ok()?).ok()?,
        key_id: row.try_get("key_id").ok()?,
        permissions: row.try_get("permissions").ok()?,
        created: row.try_get::<i64, _>("created").ok()?.cast_unsigned(),
    };
    let secret = seal.open_delegated_key(delegator, &key, row.try_get("sealed").ok()?)?;
    Some((key, secret))
}
