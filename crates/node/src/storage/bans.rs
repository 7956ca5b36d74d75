//! Nodes that cheated this one.
//!
//! A ban is of a key and a peer: what the peer may have learnt is about this share only, and the blame cannot be
//! shown to anybody else.

use std::collections::BTreeSet;

use quorate_protocol::NodeIndex;
use sqlx::Row as _;

use super::{Storage, StorageError, Write, seconds};

impl Storage {
    /// Never uses a key together with `peer` again. The first reason stays.
    pub(crate) async fn ban(
        &self,
        key_id: &str,
        peer: NodeIndex,
        reason: &str,
        now: u64,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO bans (key_id, peer, reason, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(i64::from(peer.get()))
        .bind(reason)
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        Ok(self.commit(transaction, Write::Ban).await?)
    }

    /// The nodes that a key is never used together with.
    pub(crate) async fn banned(&self, key_id: &str) -> Result<BTreeSet<NodeIndex>, StorageError> {
        let rows =
            sqlx::query("SELECT peer FROM bans WHERE key_id = ?").bind(key_id).fetch_all(&self.pool).await?;
        let damaged = || StorageError::Damaged { what: "ban", key_id: key_id.to_owned() };
        let peer = |row: &sqlx::sqlite::SqliteRow| {
            let peer = u8::try_from(row.try_get::<i64, _>(0)?).ok().and_then(NodeIndex::new);
            peer.ok_or_else(damaged)
        };
        rows.iter().map(peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use crate::node::tests::{Place, SignatureRounds, TaskError, node};

    #[tokio::test]
    async fn a_ban_is_of_one_key_and_one_peer_and_outlives_a_restart() {
        let place = Place::new(1).await;
        let key_id = place.key().await;
        place.storage.ban(&key_id, node(3), "a failed check", 5).await.unwrap();
        place.storage.ban(&key_id, node(3), "another", 6).await.unwrap();
        let place = place.restart().await;
        assert_eq!(place.storage.banned(&key_id).await.unwrap(), [node(3)].into());
        assert!(place.storage.banned("another key").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_banned_peer_is_no_fellow_signer() {
        let place = Place::new(1).await;
        let key_id = place.key().await;
        let (mine, theirs) = ([node(1), node(2)], [node(1), node(3)]);
        let cores = Arc::new(Semaphore::new(1));
        let signing = |signers| SignatureRounds {
            storage: &place.storage,
            key_id: &key_id,
            signers,
            digest: Default::default(),
            cores: &cores,
            now: 5,
        };
        signing(&theirs).permit().await.unwrap();
        place.storage.ban(&key_id, node(3), "a failed check", 5).await.unwrap();
        let refused = signing(&theirs).permit().await.unwrap_err();
        assert!(matches!(refused, TaskError::Banned { peer } if peer == node(3)));
        signing(&mine).permit().await.unwrap();
    }
}
