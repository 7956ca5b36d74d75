//! Whose a key is: finished keys are free until they are bound to an owner, once and for good.

use alloy_primitives::{Address, B256};
use ed25519_dalek::VerifyingKey;
use quorate_mpc::KeyShare;
use quorate_protocol::{Attestation, KeyText, Permissions, SignedRequest};
use sqlx::{Row as _, SqliteTransaction};

use super::{SHARES, Storage, StorageError, seconds, signatures};
use crate::node::judge::ApprovedKeygen;
use crate::wire::Attestations;

/// A key that is bound, without its share.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) public_key: [u8; 33],
    pub(crate) owner: Address,
    /// None: the key signs nothing.
    pub(crate) permissions: Option<Permissions>,
}

impl Storage {
    /// The finished keys that are nobody's yet, oldest first.
    pub(crate) async fn free_keys(&self) -> Result<Vec<String>, StorageError> {
        let rows = sqlx::query(
            "SELECT key_id FROM shares WHERE key_id NOT IN (SELECT key_id FROM keys) ORDER BY created_at, key_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The public key of a finished key that is nobody's yet.
    pub(crate) async fn free_key(&self, key_id: &str) -> Result<Option<[u8; 33]>, StorageError> {
        let row = sqlx::query(
            "SELECT public_key FROM shares WHERE key_id = ?1 AND NOT EXISTS (SELECT 1 FROM keys WHERE key_id = ?1)",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| public_key(row.try_get(0)?, key_id)).transpose()
    }

    /// Binds a free key to an owner, with its first ephemeral key and what nodes attest of it; whether it was free, and
    /// the request had no other.
    pub(crate) async fn bind_key(
        &self,
        key_id: &str,
        approved: &ApprovedKeygen,
        attestations: &Attestations,
        now: u64,
    ) -> Result<bool, StorageError> {
        let ApprovedKeygen { owner, setup, ephemeral_ends, request } = approved;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let bound = sqlx::query(
            "INSERT INTO keys (key_id, request, request_hash, owner, permissions, permissions_signed, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(postcard::to_stdvec(request).unwrap_or_default())
        .bind(request.hash().as_slice())
        .bind(owner.as_slice())
        .bind(setup.permissions.as_deref())
        .bind(setup.claim.is_some())
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        if bound.rows_affected() == 0 {
            return Ok(false);
        }
        insert_ephemeral_key(&mut transaction, key_id, &setup.ephemeral.key, *ephemeral_ends).await?;
        insert_attestations(&mut transaction, key_id, attestations).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Keeps what other nodes attest of a key that is bound.
    pub(crate) async fn add_attestations(
        &self,
        key_id: &str,
        attestations: &Attestations,
    ) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        insert_attestations(&mut transaction, key_id, attestations).await?;
        Ok(transaction.commit().await?)
    }

    /// The request that a key was bound by, and what nodes attest of it.
    pub(crate) async fn binding(
        &self,
        key_id: &str,
    ) -> Result<Option<(SignedRequest, Attestations)>, StorageError> {
        let row = sqlx::query("SELECT request FROM keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let request = postcard::from_bytes(row.try_get(0)?).map_err(|_| damaged("request"))?;
        let rows = sqlx::query("SELECT node, signature FROM attestations WHERE key_id = ?")
            .bind(key_id)
            .fetch_all(&self.pool)
            .await?;
        let attestations = signatures(&rows, "attestation", key_id)?;
        Ok(Some((request, attestations)))
    }

    /// The key that a request was answered with.
    pub(crate) async fn key_of(&self, request: B256) -> Result<Option<(KeyText, Attestation)>, StorageError> {
        let row = sqlx::query(
            "SELECT key_id, public_key, signature FROM keys JOIN shares USING (key_id) \
             JOIN attestations USING (key_id) WHERE request_hash = ? AND node = ?",
        )
        .bind(request.as_slice())
        .bind(i64::from(self.node.get()))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key_id: String = row.try_get(0)?;
        let public_key = public_key(row.try_get(1)?, &key_id)?;
        let attestation = Attestation { node: self.node, signature: row.try_get(2)? };
        Ok(Some((KeyText { key_id, public_key }, attestation)))
    }

    /// How many keys an owner has.
    pub(crate) async fn keys_of(&self, owner: Address) -> Result<u64, StorageError> {
        let row = sqlx::query("SELECT COUNT(*) FROM keys WHERE owner = ?")
            .bind(owner.as_slice())
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// A bound key by its id.
    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<StoredKey>, StorageError> {
        let row = sqlx::query(
            "SELECT public_key, owner, permissions FROM keys JOIN shares USING (key_id) WHERE key_id = ?",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let permissions = row.try_get::<Option<&str>, _>(2)?.map(Permissions::from_json).transpose();
        Ok(Some(StoredKey {
            public_key: public_key(row.try_get(0)?, key_id)?,
            owner: Address::try_from(row.try_get::<&[u8], _>(1)?).map_err(|_| damaged("owner"))?,
            permissions: permissions.map_err(|_| damaged("permissions"))?,
        }))
    }

    /// This node's share of a key that is somebody's.
    pub(crate) async fn share(&self, key_id: &str) -> Result<KeyShare, StorageError> {
        let row = sqlx::query("SELECT share FROM shares JOIN keys USING (key_id) WHERE key_id = ?")
            .bind(key_id)
            .fetch_one(&self.pool)
            .await?;
        let opened = self.seal.open(&self.context(SHARES, key_id), row.try_get(0)?)?;
        KeyShare::from_bytes(&opened)
            .map_err(|_| StorageError::Damaged { what: "share", key_id: key_id.to_owned() })
    }

    /// Until when an ephemeral key may ask for a key's signatures; none if it may not.
    pub(crate) async fn ephemeral_key_ends(
        &self,
        key_id: &str,
        ephemeral: &VerifyingKey,
    ) -> Result<Option<u64>, StorageError> {
        let row = sqlx::query("SELECT expires_at FROM ephemeral_keys WHERE key_id = ? AND public_key = ?")
            .bind(key_id)
            .bind(ephemeral.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await?;
        let ends = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(ends.map(|ends| u64::try_from(ends).unwrap_or_default()))
    }

    /// Registers one more ephemeral key for a key.
    pub(crate) async fn add_ephemeral_key(
        &self,
        key_id: &str,
        ephemeral: &VerifyingKey,
        ends: u64,
    ) -> Result<(), StorageError> {
        let mut transaction = self.pool.begin().await?;
        insert_ephemeral_key(&mut transaction, key_id, ephemeral, ends).await?;
        Ok(transaction.commit().await?)
    }
}

async fn insert_attestations(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    attestations: &Attestations,
) -> Result<(), StorageError> {
    for (node, signature) in attestations {
        sqlx::query(
            "INSERT INTO attestations (key_id, node, signature) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(i64::from(node.get()))
        .bind(signature)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

fn public_key(bytes: &[u8], key_id: &str) -> Result<[u8; 33], StorageError> {
    let damaged = |_| StorageError::Damaged { what: "public key", key_id: key_id.to_owned() };
    bytes.try_into().map_err(damaged)
}

async fn insert_ephemeral_key(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    ephemeral: &VerifyingKey,
    ends: u64,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO ephemeral_keys (key_id, public_key, expires_at) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(key_id)
    .bind(ephemeral.as_bytes().as_slice())
    .bind(seconds(ends))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
