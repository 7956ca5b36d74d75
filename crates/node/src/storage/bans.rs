//! Nodes that cheated this one.
//!
//! A ban is of a key and a peer: what the peer may have learnt is about this share only, and the blame cannot be
//! shown to anybody else.

use std::collections::BTreeSet;

use quorate_protocol::{Ban, NodeIndex};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

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

    /// The nodes that a key is never used together with: those that this one has banned, and those that have banned it.
    pub(crate) async fn banned(&self, key_id: &str) -> Result<BTreeSet<NodeIndex>, StorageError> {
        let rows = sqlx::query(
            "SELECT peer FROM bans WHERE key_id = ?1 \
             UNION SELECT accused FROM signed_bans WHERE key_id = ?1 AND maker = ?2 \
             UNION SELECT maker FROM signed_bans WHERE key_id = ?1 AND accused = ?2",
        )
        .bind(key_id)
        .bind(i64::from(self.node.get()))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| node(row.try_get(0)?, key_id)).collect()
    }

    /// All bans of this node's own: the key and whom it banned.
    pub(crate) async fn own_bans(&self) -> Result<Vec<(String, NodeIndex)>, StorageError> {
        let rows = sqlx::query("SELECT key_id, peer FROM bans ORDER BY created_at DESC, key_id")
            .fetch_all(&self.pool)
            .await?;
        let ban = |row: &SqliteRow| {
            let key_id: String = row.try_get(0)?;
            let accused = node(row.try_get(1)?, &key_id)?;
            Ok((key_id, accused))
        };
        rows.iter().map(ban).collect()
    }

    /// Keeps a genuine ban, if it is of a key that this node has a share of. Whether it is kept.
    pub(crate) async fn keep_ban(&self, ban: &Ban) -> Result<bool, StorageError> {
        let has_it = self.kept_bans(&ban.key_id, ban.maker).await?;
        if has_it.iter().any(|kept| kept.accused == ban.accused) {
            return Ok(true);
        }
        let mut transaction = self.begin().await?;
        let kept = sqlx::query(
            "INSERT INTO signed_bans (key_id, maker, accused, signature) SELECT ?1, ?2, ?3, ?4 \
             WHERE EXISTS (SELECT 1 FROM shares WHERE key_id = ?1) ON CONFLICT DO NOTHING",
        )
        .bind(&ban.key_id)
        .bind(i64::from(ban.maker.get()))
        .bind(i64::from(ban.accused.get()))
        .bind(&ban.signature)
        .execute(&mut *transaction)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit(transaction, Write::SignedBan).await?;
        Ok(true)
    }

    /// The bans of a key that are kept for their maker.
    pub(crate) async fn kept_bans(&self, key_id: &str, maker: NodeIndex) -> Result<Vec<Ban>, StorageError> {
        let rows = sqlx::query("SELECT accused, signature FROM signed_bans WHERE key_id = ? AND maker = ?")
            .bind(key_id)
            .bind(i64::from(maker.get()))
            .fetch_all(&self.pool)
            .await?;
        let ban = |row: &SqliteRow| {
            let (accused, signature) = (node(row.try_get(0)?, key_id)?, row.try_get(1)?);
            Ok(Ban { key_id: key_id.to_owned(), maker, accused, signature })
        };
        rows.iter().map(ban).collect()
    }
}

fn node(stored: i64, key_id: &str) -> Result<NodeIndex, StorageError> {
    let node = u8::try_from(stored).ok().and_then(NodeIndex::new);
    node.ok_or_else(|| StorageError::Damaged { what: "ban", key_id: key_id.to_owned() })
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
