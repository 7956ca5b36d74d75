//! The nonces that stood in requests: each belongs to the first request that used it.

use alloy_primitives::B256;
use quorate_ledger::{Changes, KeyId};
use sqlx::Row as _;

use super::{Storage, StorageError, ledger, seconds};

/// A nonce as a request uses it up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NonceUse {
    pub(crate) nonce: B256,
    /// The request's hash.
    pub(crate) request: B256,
    /// Until when the nonce is good, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// Whether a request may go on with its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Spent {
    /// It is this request's.
    Yes,
    /// Another request has used it; nothing was written.
    Replayed,
}

impl Storage {
    /// Uses up a nonce, and writes what the request is charged: both or neither.
    pub(crate) async fn spend_nonce(
        &self,
        NonceUse { nonce, request, expires_at, now }: NonceUse,
        charge: Option<(KeyId, &Changes)>,
    ) -> Result<Spent, StorageError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM used_nonces WHERE expires_at < ?")
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO used_nonces (nonce, request, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(nonce.as_slice())
        .bind(request.as_slice())
        .bind(seconds(expires_at))
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT request FROM used_nonces WHERE nonce = ?")
            .bind(nonce.as_slice())
            .fetch_one(&mut *transaction)
            .await?;
        if row.try_get::<&[u8], _>(0)? != request.as_slice() {
            return Ok(Spent::Replayed);
        }
        if let Some((key, changes)) = charge {
            ledger::save(&mut transaction, key, changes).await?;
        }
        transaction.commit().await?;
        Ok(Spent::Yes)
    }
}
