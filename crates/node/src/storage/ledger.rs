//! The rows of the keys' ledgers: loading and saving, no rules.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{B256, hex};
use quorate_ledger::{Bookmark, Changes, JournalId, KeyId, KeyLedger, NewRow, Place, Row, Stored};
use quorate_protocol::NodeIndex;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{Storage, StorageError, Write, place_of, seconds};

impl Storage {
    /// The ledger of a key with all that is stored of it; every row of it is kept.
    pub(crate) async fn load_ledger(&self, key: KeyId) -> Result<KeyLedger, StorageError> {
        load(&self.pool, self.journal, key).await
    }

    /// Writes what a ledger decided: all of it or nothing.
    pub(crate) async fn save_ledger(
        &self,
        key: KeyId,
        changes: &Changes,
        write: Write,
    ) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        let key_id = text(key);
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO ledgers (key_id, next_place) VALUES (?, ?) \
             ON CONFLICT DO UPDATE SET next_place = excluded.next_place",
        )
        .bind(&key_id)
        .bind(seconds(changes.next_place.get()))
        .execute(&mut *transaction)
        .await?;
        for (place, NewRow { row, request }) in &changes.inserted {
            sqlx::query("INSERT INTO ledger_rows (key_id, place, row, request) VALUES (?, ?, ?, ?)")
                .bind(&key_id)
                .bind(seconds(place.get()))
                .bind(row.encode())
                .bind(request)
                .execute(&mut *transaction)
                .await?;
        }
        for place in &changes.deleted {
            sqlx::query("DELETE FROM ledger_rows WHERE key_id = ? AND place = ?")
                .bind(&key_id)
                .bind(seconds(place.get()))
                .execute(&mut *transaction)
                .await?;
        }
        for (peer, bookmark) in &changes.bookmarks {
            sqlx::query(
                "INSERT INTO bookmarks (key_id, peer, journal, place) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET journal = excluded.journal, place = excluded.place",
            )
            .bind(&key_id)
            .bind(i64::from(peer.get()))
            .bind(bookmark.journal.get().as_slice())
            .bind(seconds(bookmark.place.get()))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(self.commit(transaction, write).await?)
    }

    /// The signed requests at these places of a key's ledger.
    pub(crate) async fn ledger_requests(
        &self,
        key: KeyId,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<BTreeMap<Place, Vec<u8>>, StorageError> {
        let key_id = text(key);
        let mut requests = BTreeMap::new();
        let mut transaction = self.pool.begin().await?;
        for place in places {
            let row = sqlx::query("SELECT request FROM ledger_rows WHERE key_id = ? AND place = ?")
                .bind(&key_id)
                .bind(seconds(place.get()))
                .fetch_optional(&mut *transaction)
                .await?;
            if let Some(row) = row {
                requests.insert(place, row.try_get(0)?);
            }
        }
        Ok(requests)
    }
}

/// Reads the ledgers in the database of a node that does not run, as the node would count when it started.
///
/// # Errors
/// No database, or one that cannot be read.
pub async fn read_ledgers(database: &Path) -> Result<BTreeMap<KeyId, KeyLedger>, StorageError> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let keys: Vec<String> = sqlx::query_scalar("SELECT key_id FROM ledgers").fetch_all(&pool).await?;
    let mut ledgers = BTreeMap::new();
    for key_id in keys {
        let damaged = |_| StorageError::Damaged { what: "ledger", key_id: key_id.clone() };
        let key: KeyId = key_id.parse().map_err(damaged)?;
        ledgers.insert(key, ledger_of(&pool, key).await?);
    }
    pool.close().await;
    Ok(ledgers)
}

/// The ledger of a key in a database that is only read.
pub(super) async fn ledger_of(pool: &SqlitePool, key: KeyId) -> Result<KeyLedger, StorageError> {
    let journal: Vec<u8> = sqlx::query_scalar("SELECT journal FROM node").fetch_one(pool).await?;
    let damaged = |_| StorageError::Damaged { what: "ledger", key_id: text(key) };
    load(pool, B256::try_from(journal.as_slice()).map_err(damaged)?, key).await
}

async fn load(pool: &SqlitePool, journal: B256, key: KeyId) -> Result<KeyLedger, StorageError> {
    let key_id = text(key);
    let damaged = || StorageError::Damaged { what: "ledger", key_id: key_id.clone() };
    let mut transaction = pool.begin().await?;
    let next = sqlx::query("SELECT next_place FROM ledgers WHERE key_id = ?")
        .bind(&key_id)
        .fetch_optional(&mut *transaction)
        .await?;
    let next_place = match next {
        Some(row) => place_of(row.try_get(0)?).ok_or_else(damaged)?,
        None => Place::FIRST,
    };
    let rows = sqlx::query("SELECT place, row FROM ledger_rows WHERE key_id = ?")
        .bind(&key_id)
        .fetch_all(&mut *transaction)
        .await?;
    let row = |row: &sqlx::sqlite::SqliteRow| {
        let place = place_of(row.try_get(0)?).ok_or_else(damaged)?;
        Ok::<_, StorageError>((place, Row::decode(row.try_get(1)?).map_err(|_| damaged())?))
    };
    let rows = rows.iter().map(row).collect::<Result<BTreeMap<_, _>, _>>()?;
    let bookmarks = sqlx::query("SELECT peer, journal, place FROM bookmarks WHERE key_id = ?")
        .bind(&key_id)
        .fetch_all(&mut *transaction)
        .await?;
    let bookmark = |row: &sqlx::sqlite::SqliteRow| {
        let peer = u8::try_from(row.try_get::<i64, _>(0)?).ok().and_then(NodeIndex::new);
        let journal = B256::try_from(row.try_get::<&[u8], _>(1)?).map_err(|_| damaged())?;
        let place = place_of(row.try_get(2)?).ok_or_else(damaged)?;
        let bookmark = Bookmark { journal: JournalId::new(journal), place };
        Ok::<_, StorageError>((peer.ok_or_else(damaged)?, bookmark))
    };
    let bookmarks = bookmarks.iter().map(bookmark).collect::<Result<BTreeMap<_, _>, _>>()?;
    let stored = Stored { next_place, rows, bookmarks };
    KeyLedger::load(key, JournalId::new(journal), stored).map_err(|_| damaged())
}

fn text(key: KeyId) -> String {
    hex::encode(key.get())
}
