//! Keys from the end of their making until all nodes have confirmed them.

use alloy_primitives::B256;
use quorate_mpc::{KeyShare, Unconfirmed};
use quorate_protocol::NodeIndex;
use sqlx::Row as _;

use super::{PENDING_KEYS, SHARES, Storage, StorageError, Write, seconds, signatures};
use crate::seal::SealBroken;
use crate::wire::Confirmations;

/// A key that not every node has confirmed yet.
pub(crate) struct PendingKey {
    pub(crate) key_id: String,
    /// Names the ceremony that it comes of.
    pub(crate) making: B256,
    pub(crate) unconfirmed: Unconfirmed,
}

impl Storage {
    /// Stores a key that waits for the other nodes' confirmations, together with this node's own.
    ///
    /// A making has one key: a second one for it is refused.
    pub(crate) async fn insert_pending_key(
        &self,
        PendingKey { key_id, making, unconfirmed }: &PendingKey,
        own_confirmation: &[u8],
        now: u64,
    ) -> Result<(), StorageError> {
        let share = self.seal.seal(&self.context(PENDING_KEYS, key_id), &unconfirmed.to_bytes()?)?;
        let mut transaction = self.begin().await?;
        sqlx::query("INSERT INTO pending_keys (key_id, making, share, created_at) VALUES (?, ?, ?, ?)")
            .bind(key_id)
            .bind(making.as_slice())
            .bind(share)
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        insert_confirmation(&mut transaction, key_id, self.node, own_confirmation).await?;
        Ok(self.commit(transaction, Write::PendingKey).await?)
    }

    /// A pending key by its id.
    pub(crate) async fn pending_key(&self, key_id: &str) -> Result<Option<PendingKey>, StorageError> {
        let row = sqlx::query("SELECT making, share FROM pending_keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let share = self.seal.open(&self.context(PENDING_KEYS, key_id), row.try_get(1)?).ok_or(SealBroken)?;
        Ok(Some(PendingKey {
            key_id: key_id.to_owned(),
            making: B256::try_from(row.try_get::<&[u8], _>(0)?).map_err(|_| damaged("making"))?,
            unconfirmed: Unconfirmed::from_bytes(&share).map_err(|_| damaged("pending share"))?,
        }))
    }

    /// The ids of all pending keys.
    pub(crate) async fn pending_keys(&self) -> Result<Vec<String>, StorageError> {
        let rows = sqlx::query("SELECT key_id FROM pending_keys").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Whether there is such a pending key.
    pub(crate) async fn is_pending(&self, key_id: &str) -> Result<bool, StorageError> {
        let row = sqlx::query("SELECT 1 FROM pending_keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// The nodes' signatures that are known for a key, pending or not.
    pub(crate) async fn confirmations(&self, key_id: &str) -> Result<Confirmations, StorageError> {
        let rows = sqlx::query("SELECT node, signature FROM confirmations WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        signatures(&rows, "confirmation", key_id)
    }

    /// Keeps verified confirmations of a key, if it is still pending.
    pub(crate) async fn add_confirmations(
        &self,
        key_id: &str,
        confirmations: &Confirmations,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        for (node, signature) in confirmations {
            insert_confirmation(&mut transaction, key_id, *node, signature).await?;
        }
        Ok(self.commit(transaction, Write::Confirmations).await?)
    }

    /// Makes a pending key one that can be bound: all or nothing, and once.
    pub(crate) async fn finish_key(
        &self,
        key_id: &str,
        share: &KeyShare,
        now: u64,
    ) -> Result<(), StorageError> {
        let sealed = self.seal.seal(&self.context(SHARES, key_id), &share.to_bytes()?)?;
        let mut transaction = self.begin().await?;
        let pending = sqlx::query("DELETE FROM pending_keys WHERE key_id = ?")
            .bind(key_id)
            .execute(&mut *transaction)
            .await?;
        if pending.rows_affected() == 0 {
            // A letter and the run itself may both bring the last confirmation.
            return Ok(());
        }
        sqlx::query("INSERT INTO shares (key_id, public_key, share, created_at) VALUES (?, ?, ?, ?)")
            .bind(key_id)
            .bind(share.public_key().as_slice())
            .bind(sealed)
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        Ok(self.commit(transaction, Write::Key).await?)
    }

    /// Deletes the keys that have been pending since before `time`, and gives their ids.
    pub(crate) async fn delete_pending_keys_before(&self, time: u64) -> Result<Vec<String>, StorageError> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("DELETE FROM pending_keys WHERE created_at < ? RETURNING key_id")
            .bind(seconds(time))
            .fetch_all(&mut *transaction)
            .await?;
        let deleted: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        for key_id in &deleted {
            sqlx::query("DELETE FROM confirmations WHERE key_id = ?")
                .bind(key_id)
                .execute(&mut *transaction)
                .await?;
        }
        self.commit(transaction, Write::Removal).await?;
        Ok(deleted)
    }
}

async fn insert_confirmation(
    transaction: &mut sqlx::SqliteTransaction<'_>,
    key_id: &str,
    node: NodeIndex,
    signature: &[u8],
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO confirmations (key_id, node, signature) \
         SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM pending_keys WHERE key_id = ?1) \
         ON CONFLICT DO UPDATE SET signature = excluded.signature",
    )
    .bind(key_id)
    .bind(i64::from(node.get()))
    .bind(signature)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
