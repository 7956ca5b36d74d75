//! How many there are of what is stored.

use sqlx::Row as _;

use super::{Storage, StorageError, unsigned};

/// What a node holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pending: u64,
    free: u64,
    assigned: u64,
    half_assigned: u64,
    dead: u64,
    /// Pairs of a key and a node.
    pub(crate) bans: u64,
}

/// More than any table of a node holds in one row, in bytes.
const PROBE: i64 = 64 * 1024;

impl Census {
    /// How many keys there are in each state; each key is in one.
    pub(crate) fn keys(&self) -> [(&'static str, u64); 5] {
        [
            ("pending", self.pending),
            ("free", self.free),
            ("half_assigned", self.half_assigned),
            ("assigned", self.assigned),
            ("dead", self.dead),
        ]
    }
}

impl Storage {
    /// Counts keys and bans. A key that is somebody's here is half-assigned while fewer than `quorum` nodes are known to attest
    /// to it.
    pub(crate) async fn census(&self, quorum: u8) -> Result<Census, StorageError> {
        let row = sqlx::query(
            "WITH owned AS (SELECT (SELECT COUNT(*) FROM attestations WHERE attestations.key_id = keys.key_id) >= ? \
             AS whole FROM keys WHERE key_id NOT IN (SELECT key_id FROM dead_keys)) \
             SELECT (SELECT COUNT(*) FROM pending_keys), \
             (SELECT COUNT(*) FROM shares WHERE key_id NOT IN (SELECT key_id FROM keys UNION SELECT key_id FROM dead_keys)), \
             (SELECT COUNT(*) FROM owned WHERE whole), (SELECT COUNT(*) FROM owned WHERE NOT whole), \
             (SELECT COUNT(*) FROM dead_keys), (SELECT COUNT(*) FROM bans)",
        )
        .bind(i64::from(quorum))
        .fetch_one(&self.pool)
        .await?;
        let count = |place| Ok::<_, sqlx::Error>(unsigned(row.try_get(place)?));
        Ok(Census {
            pending: count(0)?,
            free: count(1)?,
            assigned: count(2)?,
            half_assigned: count(3)?,
            dead: count(4)?,
            bans: count(5)?,
        })
    }

    /// Writes into the database, and takes it back.
    ///
    /// # Errors
    /// What keeps a node from writing: no room, a file that is read-only, or somebody else who writes for too long.
    pub(crate) async fn probe(&self) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        sqlx::query("CREATE TABLE probe (filler BLOB)").execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO probe VALUES (zeroblob(?))").bind(PROBE).execute(&mut *transaction).await?;
        Ok(transaction.rollback().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::{Place, node};

    #[tokio::test]
    async fn keys_and_bans_are_counted_by_their_state() {
        let place = Place::new(1).await;
        let key_id = place.key().await;
        let assigned = |census: Census| census.keys().map(|(_, keys)| keys);
        let census = place.storage.census(1).await.unwrap();
        assert_eq!((assigned(census), census.bans), ([0, 0, 0, 1, 0], 0));
        assert_eq!(assigned(place.storage.census(4).await.unwrap()), [0, 0, 1, 0, 0]);
        place.storage.ban(&key_id, node(3), "a failed check", 5).await.unwrap();
        place.storage.bury_key(&key_id, 5).await.unwrap();
        let census = place.storage.census(4).await.unwrap();
        assert_eq!((assigned(census), census.bans), ([0, 0, 0, 0, 1], 1));
    }

    #[tokio::test]
    async fn a_database_without_room_is_noticed_and_nothing_of_the_probe_stays() {
        let place = Place::new(1).await;
        place.storage.probe().await.unwrap();
        place.storage.probe().await.unwrap();
        let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'probe'";
        let left: i64 = sqlx::query_scalar(tables).fetch_one(&place.storage.pool).await.unwrap();
        assert_eq!(left, 0);
        // The limit is a connection's, so all of them have it.
        let mut connections = Vec::new();
        for _ in 0..crate::storage::open::CONNECTIONS {
            let mut connection = place.storage.pool.acquire().await.unwrap();
            sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let error = place.storage.probe().await.unwrap_err();
        assert!(crate::error::reasons(&error).contains("full"), "{error:?}");
    }
}
