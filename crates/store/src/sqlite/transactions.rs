//! Transactions as rows.

use alloy_primitives::U256;
use sqlx::sqlite::SqlitePool;
use sqlx::{Row as _, SqliteTransaction};

use crate::{AccountId, Transaction};

/// The nonce that a transaction with this data has: one that is signed, or waited for.
pub(super) async fn nonce_of(
    transaction: &mut SqliteTransaction<'_>,
    key: AccountId,
    data: &[u8],
    now: u64,
) -> Result<Option<U256>, sqlx::Error> {
    let found: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT nonce FROM transactions WHERE chain_id = ? AND address = ? AND data = ? AND (reserved_until >= ? OR EXISTS \
         (SELECT 1 FROM signed_transactions AS signed WHERE signed.chain_id = transactions.chain_id \
         AND signed.address = transactions.address AND signed.nonce = transactions.nonce))",
    )
    .bind(key.chain_id.cast_signed())
    .bind(key.address.as_slice())
    .bind(data)
    .bind(now.cast_signed())
    .fetch_optional(&mut **transaction)
    .await?;
    found.map(|nonce| read_nonce(&nonce)).transpose()
}

/// Reserves a nonce. Whether it was to be had.
pub(super) async fn reserve(
    transaction: &mut SqliteTransaction<'_>,
    key: AccountId,
    reserved: &Transaction,
    now: u64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO transactions (chain_id, address, nonce, data, reserved_until) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (chain_id, address, nonce) DO UPDATE SET data = excluded.data, \
         reserved_until = excluded.reserved_until WHERE transactions.reserved_until < ? AND NOT EXISTS \
         (SELECT 1 FROM signed_transactions AS signed WHERE signed.chain_id = transactions.chain_id \
         AND signed.address = transactions.address AND signed.nonce = transactions.nonce)",
    )
    .bind(key.chain_id.cast_signed())
    .bind(key.address.as_slice())
    .bind(bytes(reserved.nonce))
    .bind(&reserved.data)
    .bind(reserved.reserved_until.cast_signed())
    .bind(now.cast_signed())
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Keeps what was signed for a nonce. Whether the nonce is still reserved for the same.
pub(super) async fn add_signed(
    transaction: &mut SqliteTransaction<'_>,
    key: AccountId,
    nonce: U256,
    data: &[u8],
    encoded: &[u8],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO signed_transactions (chain_id, address, nonce, encoded) SELECT chain_id, address, nonce, ? \
         FROM transactions WHERE chain_id = ? AND address = ? AND nonce = ? AND data = ?",
    )
    .bind(encoded)
    .bind(key.chain_id.cast_signed())
    .bind(key.address.as_slice())
    .bind(bytes(nonce))
    .bind(data)
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a nonce back that is reserved for this and nothing was signed with.
pub(super) async fn release(
    transaction: &mut SqliteTransaction<'_>,
    key: AccountId,
    nonce: U256,
    data: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM transactions WHERE chain_id = ? AND address = ? AND nonce = ? AND data = ? AND NOT EXISTS \
         (SELECT 1 FROM signed_transactions AS signed WHERE signed.chain_id = transactions.chain_id \
         AND signed.address = transactions.address AND signed.nonce = transactions.nonce)",
    )
    .bind(key.chain_id.cast_signed())
    .bind(key.address.as_slice())
    .bind(bytes(nonce))
    .bind(data)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    key: AccountId,
    nonce: U256,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM transactions WHERE chain_id = ? AND address = ? AND nonce = ?")
        .bind(key.chain_id.cast_signed())
        .bind(key.address.as_slice())
        .bind(bytes(nonce))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn of_key(pool: &SqlitePool, key: AccountId) -> Result<Vec<Transaction>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT nonce, data, reserved_until, encoded FROM transactions LEFT JOIN signed_transactions \
         USING (chain_id, address, nonce) WHERE chain_id = ? AND address = ? ORDER BY nonce, position",
    )
    .bind(key.chain_id.cast_signed())
    .bind(key.address.as_slice())
    .fetch_all(pool)
    .await?;
    let mut transactions = Vec::<Transaction>::new();
    for row in rows {
        let nonce = read_nonce(row.try_get("nonce")?)?;
        let encoded: Option<Vec<u8>> = row.try_get("encoded")?;
        match transactions.last_mut().filter(|last| last.nonce == nonce) {
            Some(same) => same.signed.extend(encoded),
            None => transactions.push(Transaction {
                nonce,
                data: row.try_get("data")?,
                reserved_until: row.try_get::<i64, _>("reserved_until")?.cast_unsigned(),
                signed: encoded.into_iter().collect(),
            }),
        }
    }
    Ok(transactions)
}

fn bytes(nonce: U256) -> Vec<u8> {
    nonce.to_be_bytes::<32>().to_vec()
}

fn read_nonce(bytes: &[u8]) -> Result<U256, sqlx::Error> {
    U256::try_from_be_slice(bytes)
        .ok_or_else(|| sqlx::Error::Decode("a nonce has other than 32 bytes".into()))
}
