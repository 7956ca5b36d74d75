mod open;
mod rows;
mod trees;

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use sqlx::{Row as _, SqliteTransaction};

use crate::seal::Seal;
use crate::{
    AccountId, DatabaseError, Key, NewSession, Sealing, Session, SessionId, Status, Store, StoreError, Tree,
};

/// Sessions in a SQLite database, their keys encrypted (XChaCha20-Poly1305) and bound to the rest of the session.
///
/// Any number of processes may have it open. What a call has written is on disk when it returns, and a process that
/// is killed leaves a call done or not begun. The database is readable by its owner alone.
///
/// A session that was altered is refused by name. What the encryption does not show is where a session stands, that
/// sessions are missing or in another order, and that the whole file is an earlier one: there, the chain decides.
///
/// ```
/// use quorate_store::{
///     AccountId, Key, Leaf, NewSession, SealingKey, SessionEpoch, SessionId, SqliteStore, Status, Store,
/// };
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let sealing_key = SealingKey::create_file(folder.path().join("sealing.key"))?;
/// let store = SqliteStore::open(folder.path().join("sessions.db"), sealing_key).await?;
///
/// let account = AccountId { chain_id: 1, address: [0x11; 20].into() };
/// let leaf = Leaf {
///     epoch: SessionEpoch::UNLIMITED,
///     validation_module: [0x22; 20].into(),
///     session_key_data: vec![0x33; 62],
/// };
/// let session = NewSession {
///     id: SessionId::random()?,
///     account,
///     session_key: [0x33; 20].into(),
///     key: Key::Local([0x44; 32].into()),
///     leaves: vec![leaf.clone()],
///     record: "what the session is".to_owned(),
///     status: Status::Pending,
///     created: 1_700_000_000,
///     user_op_hash: None,
/// };
/// let id = session.id.clone();
/// store.add(session).await?;
///
/// store.set_status(account, &id, Status::Active).await?;
/// assert_eq!(store.leaves(account).await?[0].hash, leaf.hash());
/// assert!(matches!(store.key(account, &id).await?, Key::Local(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
    path: PathBuf,
    seal: Seal,
}

impl SqliteStore {
    /// Opens the database, and makes it where there is none.
    ///
    /// A new one is sealed under what is given here, and opens with nothing else later. A passphrase takes a tenth
    /// of a second and 64 MiB.
    ///
    /// # Errors
    /// [`DatabaseError`], which says whether the file or the key is a wrong one. Neither is changed then.
    pub async fn open(path: impl AsRef<Path>, sealing: impl Into<Sealing>) -> Result<Self, DatabaseError> {
        open::open(path.as_ref(), sealing.into()).await
    }

    /// Waits for what is under way, and lets go of the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A step that other processes see whole or not at all. It waits for theirs before it reads anything, as what
    /// it reads decides what it writes.
    async fn begin(&self) -> Result<SqliteTransaction<'static>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.refusal(error))
    }

    async fn commit(&self, step: &str, transaction: SqliteTransaction<'_>) -> Result<(), StoreError> {
        commit(step, transaction).await.map_err(|error| self.refusal(error))
    }

    fn refusal(&self, source: sqlx::Error) -> StoreError {
        DatabaseError::sqlite(&self.path, source).into()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_all(&self, sessions: Vec<NewSession>) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for session in sessions {
            session.check()?;
            let (session, key) = session.into_parts();
            self.insert(&mut transaction, &session, &key).await?;
        }
        self.commit("add", transaction).await
    }

    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let rows = rows::of_account(&self.pool, account).await.map_err(|error| self.refusal(error))?;
        rows.into_iter().map(|row| Ok(row.open(account, &self.seal)?.0)).collect()
    }

    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError> {
        Ok(self.read(account, id).await?.0)
    }

    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError> {
        Ok(self.read(account, id).await?.1)
    }

    async fn set_status(&self, account: AccountId, id: &SessionId, status: Status) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let (position, stored) = self.status(&mut transaction, account, id).await?;
        stored.check_change(status, account, id)?;
        sqlx::query("UPDATE sessions SET status = ? WHERE position = ?")
            .bind(status.as_str())
            .bind(position)
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.refusal(error))?;
        self.commit("set status", transaction).await
    }

    async fn remove(&self, account: AccountId, id: &SessionId) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let (position, stored) = self.status(&mut transaction, account, id).await?;
        stored.check_removal(account, id)?;
        sqlx::query("DELETE FROM sessions WHERE position = ?")
            .bind(position)
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.refusal(error))?;
        self.commit("remove", transaction).await
    }

    async fn add_tree(&self, account: AccountId, tree: Tree) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        trees::insert(&mut transaction, account, &tree).await.map_err(|error| self.refusal(error))?;
        self.commit("add tree", transaction).await
    }

    async fn trees(&self, account: AccountId) -> Result<Vec<Tree>, StoreError> {
        trees::of_account(&self.pool, account).await.map_err(|error| self.refusal(error))
    }

    async fn remove_tree(&self, account: AccountId, root: B256) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        trees::delete(&mut transaction, account, root).await.map_err(|error| self.refusal(error))?;
        self.commit("remove tree", transaction).await
    }
}

impl SqliteStore {
    async fn insert(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        session: &Session,
        key: &Key,
    ) -> Result<(), StoreError> {
        let sealed = self.seal.seal_key(session, key).map_err(DatabaseError::from)?;
        let inserted = rows::insert(transaction, session, &sealed).await;
        let taken = || StoreError::DuplicateSession { account: session.account, id: session.id.clone() };
        inserted.map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => taken(),
            _ => self.refusal(error),
        })
    }

    async fn read(&self, account: AccountId, id: &SessionId) -> Result<(Session, Key), StoreError> {
        let row = rows::of_session(&self.pool, account, id).await.map_err(|error| self.refusal(error))?;
        row.ok_or_else(|| unknown(account, id))?.open(account, &self.seal)
    }

    async fn status(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        account: AccountId,
        id: &SessionId,
    ) -> Result<(i64, Status), StoreError> {
        let row = sqlx::query(
            "SELECT position, status FROM sessions WHERE chain_id = ? AND account = ? AND id = ?",
        )
        .bind(account.chain_id.cast_signed())
        .bind(account.address.as_slice())
        .bind(id.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(|error| self.refusal(error))?
        .ok_or_else(|| unknown(account, id))?;
        let read = || Some((row.try_get(0).ok()?, Status::from_text(row.try_get(1).ok()?)?));
        read().ok_or_else(|| StoreError::Altered { account, id: id.to_string() })
    }
}

fn unknown(account: AccountId, id: &SessionId) -> StoreError {
    StoreError::UnknownSession { account, id: id.clone() }
}

/// Makes a step durable.
async fn commit(step: &str, transaction: SqliteTransaction<'_>) -> Result<(), sqlx::Error> {
    fail_point(&format!("{step}: before"));
    transaction.commit().await?;
    fail_point(&format!("{step}: after"));
    Ok(())
}

/// Where a test ends the process.
#[cfg(feature = "fail-points")]
fn fail_point(name: &str) {
    fail::fail_point!(name);
}

#[cfg(not(feature = "fail-points"))]
const fn fail_point(_: &str) {}
