//! Operations as rows.

use alloy_primitives::{B256, U256};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteTransaction};

use super::rows::hash;
use crate::{AccountId, Answer, Operation, RootChange};

pub(super) async fn insert(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    operation: &Operation,
) -> Result<(), sqlx::Error> {
    let change = operation.root_change.as_ref();
    sqlx::query(
        "INSERT INTO operations (chain_id, account, user_op_hash, nonce, session, replaces, sets, answer, told, \
         signed_at_block, closed_at_block, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (chain_id, account, user_op_hash) DO NOTHING",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(operation.user_op_hash.as_slice())
    .bind(operation.nonce.to_be_bytes::<32>().as_slice())
    .bind(operation.session.as_ref().map(crate::SessionId::as_str))
    .bind(change.map(|change| change.replaces.as_slice()))
    .bind(change.map(|change| change.sets.as_slice()))
    .bind(operation.answer.as_str())
    .bind(operation.told)
    .bind(operation.signed_at_block.cast_signed())
    .bind(operation.closed_at_block.map(u64::cast_signed))
    .bind(&operation.message)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn set_answer(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    user_op_hash: B256,
    answer: Answer,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE operations SET answer = ? WHERE chain_id = ? AND account = ? AND user_op_hash = ?")
        .bind(answer.as_str())
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(user_op_hash.as_slice())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn set_told(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    user_op_hash: B256,
    told: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE operations SET told = ? WHERE chain_id = ? AND account = ? AND user_op_hash = ?")
        .bind(told)
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(user_op_hash.as_slice())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn set_closed(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    user_op_hash: B256,
    block: Option<u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE operations SET closed_at_block = ? WHERE chain_id = ? AND account = ? AND user_op_hash = ?",
    )
    .bind(block.map(u64::cast_signed))
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(user_op_hash.as_slice())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    user_op_hash: B256,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM operations WHERE chain_id = ? AND account = ? AND user_op_hash = ?")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(user_op_hash.as_slice())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The operation that grants a session or is made by it, and that is followed.
pub(super) async fn of_session(
    transaction: &mut SqliteTransaction<'_>,
    account: AccountId,
    session: &str,
) -> Result<Option<B256>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT user_op_hash FROM operations WHERE chain_id = ? AND account = ? AND session = ? \
         AND answer <> 'abandoned' LIMIT 1",
    )
    .bind(account.chain_id.cast_signed())
    .bind(account.address.as_slice())
    .bind(session)
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|row| hash(row.try_get("user_op_hash")?)).transpose()
}

pub(super) async fn of_account(pool: &SqlitePool, account: AccountId) -> Result<Vec<Operation>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM operations WHERE chain_id = ? AND account = ? ORDER BY position")
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .fetch_all(pool)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Operation, sqlx::Error> {
    let wrong = |what: &str| sqlx::Error::Decode(format!("an operation has no {what}").into());
    let session: Option<&str> = row.try_get("session")?;
    let replaces = row.try_get::<Option<&[u8]>, _>("replaces")?.map(hash).transpose()?;
    let sets = row.try_get::<Option<&[u8]>, _>("sets")?.map(hash).transpose()?;
    Ok(Operation {
        user_op_hash: hash(row.try_get("user_op_hash")?)?,
        nonce: U256::try_from_be_slice(row.try_get("nonce")?).ok_or_else(|| wrong("nonce"))?,
        session: session.map(str::parse).transpose().map_err(|_| wrong("session id"))?,
        root_change: replaces.zip(sets).map(|(replaces, sets)| RootChange { replaces, sets }),
        answer: Answer::from_text(row.try_get("answer")?).ok_or_else(|| wrong("answer"))?,
        told: row.try_get("told")?,
        signed_at_block: row.try_get::<i64, _>("signed_at_block")?.cast_unsigned(),
        closed_at_block: row.try_get::<Option<i64>, _>("closed_at_block")?.map(i64::cast_unsigned),
        message: row.try_get("message")?,
    })
}
