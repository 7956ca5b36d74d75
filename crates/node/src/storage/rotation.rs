//! All shares of a database under another seal key.

use quorate_seal::Seal;

use super::open::SEAL_CHECK;
use super::{PENDING_KEYS, SHARES, Storage, StorageError, Write};
use crate::seal::SealBroken;

/// The tables with a sealed share in each row: how to list, read and write them.
const TABLES: [(&str, [&str; 3]); 2] = [
    (
        SHARES,
        [
            "SELECT key_id FROM shares",
            "SELECT share FROM shares WHERE key_id = ?",
            "UPDATE shares SET share = ? WHERE key_id = ?",
        ],
    ),
    (
        PENDING_KEYS,
        [
            "SELECT key_id FROM pending_keys",
            "SELECT share FROM pending_keys WHERE key_id = ?",
            "UPDATE pending_keys SET share = ? WHERE key_id = ?",
        ],
    ),
];

impl Storage {
    /// Seals every share with another key, all of them or none. How many.
    ///
    /// This value goes on with the old key: open the database again.
    ///
    /// # Errors
    /// A share that does not open.
    pub(crate) async fn reseal(&self, new: &Seal) -> Result<usize, StorageError> {
        let mut transaction = self.begin().await?;
        let mut resealed = 0;
        for (table, [list, read, write]) in TABLES {
            let keys: Vec<String> = sqlx::query_scalar(list).fetch_all(&mut *transaction).await?;
            resealed += keys.len();
            for key_id in keys {
                let sealed: Vec<u8> =
                    sqlx::query_scalar(read).bind(&key_id).fetch_one(&mut *transaction).await?;
                let context = self.context(table, &key_id);
                let share = self.seal.open(&context, &sealed).ok_or(SealBroken)?;
                sqlx::query(write)
                    .bind(new.seal(&context, &share)?)
                    .bind(&key_id)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        sqlx::query("UPDATE node SET seal_check = ?")
            .bind(new.seal(&self.context(SEAL_CHECK, ""), &[])?)
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, Write::Seal).await?;
        // What the old key opens stands in free pages and in the log until then.
        sqlx::query("VACUUM").execute(&self.pool).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await?;
        Ok(resealed)
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::NodeIndex;

    use super::*;
    use crate::node::tests::Place;

    #[tokio::test]
    async fn a_share_opens_under_the_new_key_and_no_more_under_the_old_one() {
        let place = Place::new(1).await;
        let key_id = place.key().await;
        let share = place.storage.share(&key_id).await.unwrap().to_bytes().unwrap();
        let new = Seal::new(&[9; 32]);
        assert_eq!(place.storage.reseal(&new).await.unwrap(), 1);
        let database = place.back_up().await;
        let open =
            async |seal| Storage::open(&database, seal, place.network(), NodeIndex::new(1).unwrap()).await;
        assert!(matches!(open(Place::seal()).await, Err(StorageError::OtherSeal)));
        let resealed = open(new).await.unwrap().share(&key_id).await.unwrap();
        assert_eq!(resealed.to_bytes().unwrap().as_slice(), share.as_slice());
    }
}
