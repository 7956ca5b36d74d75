//! The newest time that a database tells of: the clock cannot be behind it.

use quorate_ledger::{Origin, Row};
use sqlx::Row as _;

use super::{Storage, StorageError, unsigned};

impl Storage {
    /// When this node last wrote something by its own clock, in seconds since 1970; 0 if never.
    pub(crate) async fn newest_time(&self) -> Result<u64, StorageError> {
        let row = sqlx::query(
            "SELECT COALESCE(MAX(at), 0) FROM (SELECT MAX(created_at) AS at FROM shares \
             UNION ALL SELECT MAX(created_at) FROM keys UNION ALL SELECT MAX(created_at) FROM dead_keys \
             UNION ALL SELECT MAX(created_at) FROM pending_keys UNION ALL SELECT MAX(created_at) FROM bans \
             UNION ALL SELECT MAX(created_at) FROM statements)",
        )
        .fetch_one(&self.pool)
        .await?;
        let written = unsigned(row.try_get(0)?);
        let charges = sqlx::query(
            "SELECT ledger_rows.key_id, row FROM ledger_rows \
             JOIN (SELECT key_id, MAX(place) AS last FROM ledger_rows GROUP BY key_id) AS lasts \
             ON ledger_rows.key_id = lasts.key_id AND place = last",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut newest = written;
        for charge in &charges {
            let damaged = |_| StorageError::Damaged { what: "ledger", key_id: charge.get(0) };
            let row = Row::decode(charge.try_get(1)?).map_err(damaged)?;
            // What a peer told has the peer's time.
            if row.origin == Origin::Own {
                newest = newest.max(row.charged_at.get());
            }
        }
        Ok(newest)
    }
}
