//! Whose a key is: finished keys are free until they are assigned to an owner, once and for good.

use alloy_primitives::B256;
use quorate_mpc::KeyShare;
use quorate_protocol::{
    Attestation, KeyText, KeygenSetup, NodeIndex, Owner, SignedRequest, Target, Verified,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteTransaction};

use super::{SHARES, Storage, StorageError, Write, encoded, seconds, unsigned};
use crate::seal::SealBroken;
use crate::wire::Attestations;

/// A request for a key that its owner may make.
#[derive(Debug)]
pub(crate) struct ApprovedKeygen {
    pub(crate) setup: KeygenSetup,
    /// Until when its first ephemeral key may ask for signatures, in seconds since 1970.
    pub(crate) ephemeral_until: u64,
    pub(crate) request: SignedRequest,
}

/// A key that is somebody's, without its share.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) public_key: [u8; 33],
    pub(crate) owner: Owner,
    /// None: the key signs nothing.
    pub(crate) target: Option<Target>,
    pub(crate) registration: FirstRegistration,
}

/// The ephemeral key that a key was assigned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstRegistration {
    /// The hash of the request that the key was assigned by.
    pub(crate) request: B256,
    pub(crate) ephemeral: [u8; 32],
    /// In seconds since 1970.
    pub(crate) until: u64,
}

/// What came of assigning a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Assigned {
    /// The key is the owner's.
    Yes,
    /// The key is somebody's, or the request has another one.
    Taken,
    /// The owner has as many keys as one may have.
    Quota { keys: u64 },
}

impl Storage {
    /// The finished keys that are nobody's yet, oldest first.
    pub(crate) async fn free_keys(&self) -> Result<Vec<String>, StorageError> {
        let rows = sqlx::query(
            "SELECT key_id FROM shares WHERE key_id NOT IN (SELECT key_id FROM keys UNION SELECT key_id FROM dead_keys) \
             ORDER BY created_at, key_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// All keys that this node has a share of, also a pending one.
    pub(crate) async fn all_keys(&self) -> Result<Vec<String>, StorageError> {
        let keys = sqlx::query_scalar("SELECT key_id FROM shares UNION SELECT key_id FROM pending_keys");
        Ok(keys.fetch_all(&self.pool).await?)
    }

    /// The public key of a finished key that is nobody's yet.
    pub(crate) async fn free_key(&self, key_id: &str) -> Result<Option<[u8; 33]>, StorageError> {
        let row = sqlx::query(
            "SELECT public_key FROM shares WHERE key_id = ?1 AND NOT EXISTS (SELECT 1 FROM keys WHERE key_id = ?1) \
             AND NOT EXISTS (SELECT 1 FROM dead_keys WHERE key_id = ?1)",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| public_key(row.try_get(0)?, key_id)).transpose()
    }

    /// Notes for good that nobody can have a key any more. Whether that is new, and the key one of this node's.
    pub(crate) async fn bury_key(&self, key_id: &str, now: u64) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        let buried = sqlx::query(
            "INSERT INTO dead_keys (key_id, created_at) SELECT ?1, ?2 \
             WHERE EXISTS (SELECT 1 FROM shares WHERE key_id = ?1) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        if buried.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit(transaction, Write::DeadKey).await?;
        Ok(true)
    }

    /// Whether nobody can have a key any more.
    pub(crate) async fn is_dead(&self, key_id: &str) -> Result<bool, StorageError> {
        let row = sqlx::query("SELECT 1 FROM dead_keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// How many keys died since then, as far as this node saw.
    pub(crate) async fn died_since(&self, since: u64) -> Result<u64, StorageError> {
        let row = sqlx::query("SELECT COUNT(*) FROM dead_keys WHERE created_at >= ?")
            .bind(seconds(since))
            .fetch_one(&self.pool)
            .await?;
        Ok(unsigned(row.try_get(0)?))
    }

    /// Assigns a free key to an owner, with its first ephemeral key and what nodes attest of it. An owner may have `quota`
    /// keys; none is without a limit.
    pub(crate) async fn assign_key(
        &self,
        key_id: &str,
        approved: &Verified<ApprovedKeygen>,
        attestations: &Attestations,
        quota: Option<u64>,
        now: u64,
    ) -> Result<Assigned, StorageError> {
        let ApprovedKeygen { setup, ephemeral_until, request } = &**approved;
        let owner = approved.owner().to_string();
        let mut transaction = self.begin().await?;
        if let Some(quota) = quota {
            let row = sqlx::query("SELECT COUNT(*) FROM keys WHERE owner = ?")
                .bind(&owner)
                .fetch_one(&mut *transaction)
                .await?;
            let keys = unsigned(row.try_get(0)?);
            if keys >= quota {
                return Ok(Assigned::Quota { keys });
            }
        }
        let assigned = sqlx::query(
            "INSERT INTO keys (key_id, request, request_hash, owner, permissions, permissions_signed, ephemeral, \
             ephemeral_until, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(encoded(request))
        .bind(request.hash().as_slice())
        .bind(&owner)
        .bind(setup.permissions.as_deref())
        .bind(setup.claim.is_some())
        .bind(setup.ephemeral.key.as_bytes().as_slice())
        .bind(seconds(*ephemeral_until))
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        if assigned.rows_affected() == 0 {
            return Ok(Assigned::Taken);
        }
        insert_attestations(&mut transaction, key_id, attestations).await?;
        self.commit(transaction, Write::Assignment).await?;
        Ok(Assigned::Yes)
    }

    /// Keeps what other nodes attest of a key that is somebody's.
    pub(crate) async fn add_attestations(
        &self,
        key_id: &str,
        attestations: &Attestations,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        insert_attestations(&mut transaction, key_id, attestations).await?;
        Ok(self.commit(transaction, Write::Attestations).await?)
    }

    /// The request that a key was assigned by, and what nodes attest of it.
    pub(crate) async fn assignment(
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
        let rows = sqlx::query(
            "SELECT node, assigned_at, ephemeral_until, signature FROM attestations WHERE key_id = ?",
        )
        .bind(key_id)
        .fetch_all(&self.pool)
        .await?;
        let by_node = |row| attestation(row, key_id).map(|attestation| (attestation.node, attestation));
        let attestations = rows.iter().map(by_node).collect::<Result<_, _>>()?;
        Ok(Some((request, attestations)))
    }

    /// Keys that were assigned since then and that a node is not known here to attest to; a few, the youngest first.
    pub(crate) async fn unattested_by(
        &self,
        node: NodeIndex,
        since: u64,
    ) -> Result<Vec<String>, StorageError> {
        let rows = sqlx::query(
            "SELECT key_id FROM keys WHERE created_at >= ? AND NOT EXISTS \
             (SELECT 1 FROM attestations WHERE attestations.key_id = keys.key_id AND node = ?) \
             ORDER BY created_at DESC LIMIT 16",
        )
        .bind(seconds(since))
        .bind(i64::from(node.get()))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The key that a request was answered with.
    pub(crate) async fn key_of(&self, request: B256) -> Result<Option<(KeyText, Attestation)>, StorageError> {
        let row = sqlx::query(
            "SELECT key_id, public_key, node, assigned_at, attestations.ephemeral_until, signature FROM keys \
             JOIN shares USING (key_id) JOIN attestations USING (key_id) WHERE request_hash = ? AND node = ?",
        )
        .bind(request.as_slice())
        .bind(i64::from(self.node.get()))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key_id: String = row.try_get(0)?;
        let public_key = public_key(row.try_get(1)?, &key_id)?;
        let attestation = attestation(&row, &key_id)?;
        Ok(Some((KeyText { key_id, public_key }, attestation)))
    }

    /// A key that is somebody's, by its id.
    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<StoredKey>, StorageError> {
        let row = sqlx::query(
            "SELECT public_key, owner, permissions, request_hash, ephemeral, ephemeral_until FROM keys \
             JOIN shares USING (key_id) WHERE key_id = ?",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |what| StorageError::Damaged { what, key_id: key_id.to_owned() };
        let target = match row.try_get::<Option<&str>, _>(2)? {
            Some(text) => Some(Target::from_json(text).map_err(|_| damaged("permissions"))?),
            None => super::statements::permitted(&self.pool, key_id).await?,
        };
        Ok(Some(StoredKey {
            public_key: public_key(row.try_get(0)?, key_id)?,
            owner: row.try_get::<&str, _>(1)?.parse().map_err(|_| damaged("owner"))?,
            target,
            registration: FirstRegistration {
                request: B256::try_from(row.try_get::<&[u8], _>(3)?).map_err(|_| damaged("request"))?,
                ephemeral: row.try_get::<&[u8], _>(4)?.try_into().map_err(|_| damaged("ephemeral key"))?,
                until: unsigned(row.try_get(5)?),
            },
        }))
    }

    /// This node's share of a key that is somebody's.
    pub(crate) async fn share(&self, key_id: &str) -> Result<KeyShare, StorageError> {
        let row = sqlx::query("SELECT share FROM shares JOIN keys USING (key_id) WHERE key_id = ?")
            .bind(key_id)
            .fetch_one(&self.pool)
            .await?;
        let opened = self.seal.open(&self.context(SHARES, key_id), row.try_get(0)?).ok_or(SealBroken)?;
        KeyShare::from_bytes(&opened)
            .map_err(|_| StorageError::Damaged { what: "share", key_id: key_id.to_owned() })
    }
}

async fn insert_attestations(
    transaction: &mut SqliteTransaction<'_>,
    key_id: &str,
    attestations: &Attestations,
) -> Result<(), StorageError> {
    for attestation in attestations.values() {
        sqlx::query(
            "INSERT INTO attestations (key_id, node, assigned_at, ephemeral_until, signature) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(i64::from(attestation.node.get()))
        .bind(seconds(attestation.assigned_at))
        .bind(seconds(attestation.ephemeral_until))
        .bind(&attestation.signature)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// An attestation from a row of node, assigned_at, ephemeral_until, signature.
fn attestation(row: &SqliteRow, key_id: &str) -> Result<Attestation, StorageError> {
    let node = u8::try_from(row.try_get::<i64, _>("node")?).ok().and_then(NodeIndex::new);
    let damaged = || StorageError::Damaged { what: "attestation", key_id: key_id.to_owned() };
    Ok(Attestation {
        node: node.ok_or_else(damaged)?,
        assigned_at: unsigned(row.try_get("assigned_at")?),
        ephemeral_until: unsigned(row.try_get("ephemeral_until")?),
        signature: row.try_get("signature")?,
    })
}

fn public_key(bytes: &[u8], key_id: &str) -> Result<[u8; 33], StorageError> {
    let damaged = |_| StorageError::Damaged { what: "public key", key_id: key_id.to_owned() };
    bytes.try_into().map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::Place;
    use quorate_seal::Seal;

    /// How many of 20 pieces of the bytes stand in the file, each longer than anything public in a share.
    fn pieces_in(file: &[u8], bytes: &[u8]) -> usize {
        let stands = |piece: &&[u8]| file.windows(piece.len()).any(|window| window == *piece);
        bytes.chunks_exact(40).step_by(bytes.len() / 800).take(20).filter(stands).count()
    }

    #[tokio::test]
    async fn a_stolen_backup_shows_who_asked_for_what_and_no_share_without_the_seal_key() {
        let place = Place::new(1).await;
        let key_id = place.key().await;
        let key = place.storage.key(&key_id).await.unwrap().unwrap();
        let share = place.storage.share(&key_id).await.unwrap().to_bytes().unwrap();
        let backup = place.back_up().await;

        let file = std::fs::read(&backup).unwrap();
        let owner = key.owner.to_string();
        assert!(file.windows(owner.len()).any(|bytes| bytes == owner.as_bytes()), "the owner");
        assert_eq!(pieces_in(&file, &share), 0);
        assert_eq!(pieces_in(&[&file, share.as_slice()].concat(), &share), 20, "what is looked for is found");

        let open =
            async |seal| Storage::open(&backup, seal, place.network(), NodeIndex::new(1).unwrap()).await;
        assert!(matches!(open(Seal::new(&[8; 32])).await, Err(StorageError::OtherSeal)));
        let with = open(Place::seal()).await.unwrap();
        assert_eq!(with.share(&key_id).await.unwrap().index().get(), 1, "one share of each key, and no more");
    }
}
