//! Keys from the end of their making until all nodes have confirmed them.

use alloy_primitives::{Address, B256};
use ed25519_dalek::VerifyingKey;
use quorate_mpc::{KeyShare, Unconfirmed};
use quorate_protocol::{Attestation, KeyText, NodeIndex};
use sqlx::Row as _;

use super::{KEYS, PENDING_KEYS, Storage, StorageError, insert_ephemeral_key, seconds};
use crate::birth::{Confirmations, KeyRecord, PendingKey};

impl Storage {
    /// Stores a key that waits for the other nodes' confirmations, together with this node's own.
    ///
    /// A request has one key: a second one for it is refused.
    pub(crate) async fn insert_pending_key(
        &self,
        PendingKey { record, unconfirmed }: &PendingKey,
        own_confirmation: &[u8],
        now: u64,
    ) -> Result<(), StorageError> {
        let key_id = &record.key_id;
        let share = self.seal.seal(&self.context(PENDING_KEYS, key_id), &unconfirmed.to_bytes()?)?;
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO pending_keys (key_id, request, challenge, owner, permissions, permissions_signed, \
             ephemeral, ephemeral_ends, share, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key_id)
        .bind(record.request.as_slice())
        .bind(&record.challenge)
        .bind(record.owner.as_slice())
        .bind(record.permissions.as_deref())
        .bind(record.permissions_signed)
        .bind(record.ephemeral.as_bytes().as_slice())
        .bind(seconds(record.ephemeral_ends))
        .bind(share)
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        insert_confirmation(&mut transaction, key_id, self.node, own_confirmation).await?;
        Ok(transaction.commit().await?)
    }

    /// A pending key by its id.
    pub(crate) async fn pending_key(&self, key_id: &str) -> Result<Option<PendingKey>, StorageError> {
        let row = sqlx::query(
            "SELECT request, challenge, owner, permissions, permissions_signed, ephemeral, ephemeral_ends, share \
             FROM pending_keys WHERE key_id = ?",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let ephemeral: [u8; 32] =
            row.try_get::<&[u8], _>(5)?.try_into().map_err(|_| damaged("ephemeral key"))?;
        let share = self.seal.open(&self.context(PENDING_KEYS, key_id), row.try_get(7)?)?;
        Ok(Some(PendingKey {
            record: KeyRecord {
                key_id: key_id.to_owned(),
                request: B256::try_from(row.try_get::<&[u8], _>(0)?).map_err(|_| damaged("request"))?,
                challenge: row.try_get(1)?,
                owner: Address::try_from(row.try_get::<&[u8], _>(2)?).map_err(|_| damaged("owner"))?,
                permissions: row.try_get(3)?,
                permissions_signed: row.try_get(4)?,
                ephemeral: VerifyingKey::from_bytes(&ephemeral).map_err(|_| damaged("ephemeral key"))?,
                ephemeral_ends: u64::try_from(row.try_get::<i64, _>(6)?).unwrap_or_default(),
            },
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

    /// The pending key that was made for a request.
    pub(crate) async fn pending_key_of(&self, request: B256) -> Result<Option<String>, StorageError> {
        let row = sqlx::query("SELECT key_id FROM pending_keys WHERE request = ?")
            .bind(request.as_slice())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// The nodes' signatures that are known for a key, pending or not.
    pub(crate) async fn confirmations(&self, key_id: &str) -> Result<Confirmations, StorageError> {
        let rows = sqlx::query("SELECT node, signature FROM confirmations WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        let damaged = || StorageError::Damaged { what: "confirmation", key_id: key_id.to_owned() };
        let confirmation = |row: &sqlx::sqlite::SqliteRow| {
            let node = u8::try_from(row.try_get::<i64, _>(0)?).ok().and_then(NodeIndex::new);
            Ok((node.ok_or_else(damaged)?, row.try_get(1)?))
        };
        rows.iter().map(confirmation).collect()
    }

    /// Keeps verified confirmations of a key, if it is still pending.
    pub(crate) async fn add_confirmations(
        &self,
        key_id: &str,
        confirmations: &Confirmations,
    ) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin().await?;
        for (node, signature) in confirmations {
            insert_confirmation(&mut transaction, key_id, *node, signature).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Makes a pending key a key, with its owner and its first ephemeral key: all or nothing, and once.
    pub(crate) async fn finish_key(
        &self,
        record: &KeyRecord,
        share: &KeyShare,
        attestation: &Attestation,
        now: u64,
    ) -> Result<(), StorageError> {
        let key_id = &record.key_id;
        let sealed = self.seal.seal(&self.context(KEYS, key_id), &share.to_bytes()?)?;
        let mut transaction = self.pool.begin().await?;
        let pending = sqlx::query("DELETE FROM pending_keys WHERE key_id = ?")
            .bind(key_id)
            .execute(&mut *transaction)
            .await?;
        if pending.rows_affected() == 0 {
            // A letter and the run itself may both bring the last confirmation.
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO keys (key_id, request, public_key, owner, permissions, permissions_signed, share, \
             attestation, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key_id)
        .bind(record.request.as_slice())
        .bind(share.public_key().as_slice())
        .bind(record.owner.as_slice())
        .bind(record.permissions.as_deref())
        .bind(record.permissions_signed)
        .bind(sealed)
        .bind(&attestation.signature)
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        insert_ephemeral_key(&mut transaction, key_id, &record.ephemeral, record.ephemeral_ends).await?;
        Ok(transaction.commit().await?)
    }

    /// The key that a request was answered with.
    pub(crate) async fn key_of(&self, request: B256) -> Result<Option<(KeyText, Attestation)>, StorageError> {
        let row = sqlx::query("SELECT key_id, public_key, attestation FROM keys WHERE request = ?")
            .bind(request.as_slice())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let key_id: String = row.try_get(0)?;
        let public_key = row.try_get::<&[u8], _>(1)?.try_into();
        let public_key =
            public_key.map_err(|_| StorageError::Damaged { what: "public key", key_id: key_id.clone() })?;
        let attestation = Attestation { node: self.node, signature: row.try_get(2)? };
        Ok(Some((KeyText { key_id, public_key }, attestation)))
    }

    /// Deletes the keys that have been pending since before `time`, and gives their ids.
    pub(crate) async fn delete_pending_keys_before(&self, time: u64) -> Result<Vec<String>, StorageError> {
        let mut transaction = self.pool.begin().await?;
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
        transaction.commit().await?;
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
