mod delegated_keys;
mod error;
mod open;
mod operations;
mod rows;
mod transactions;
mod trees;

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use sqlx::SqliteTransaction;
use sqlx::sqlite::SqlitePool;

pub use error::DatabaseError;

use crate::seal::Seal;
use crate::{
    AccountId, Change, DelegatedKey, Key, Operation, Sealing, Session, SessionId, Store, StoreError,
    Transaction,
};

/// Sessions in a SQLite database, their keys encrypted (XChaCha20-Poly1305) and bound to the rest of the session.
///
/// Any number of processes may have it open. What a call has written is on disk when it returns, and a process that
/// is killed leaves a call done or not begun. The database is readable by its owner alone.
///
/// A session that was altered is refused by name. What the encryption does not show is that sessions are missing or in
/// another order, and that the whole file is an earlier one: there, the chain decides.
///
/// ```
/// use quorate_store::{
///     AccountId, Key, Leaf, NewSession, SealingKey, SessionEpoch, SessionId, SqliteStore, Store,
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
///     created: 1_700_000_000,
///     user_op_hash: None,
///     landed: None,
/// };
/// let id = session.id.clone();
/// store.add(session).await?;
///
/// assert_eq!(store.session(account, &id).await?.leaves, [leaf]);
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

    fn refusal(&self, source: sqlx::Error) -> StoreError {
        DatabaseError::sqlite(&self.path, source).into()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn apply(&self, account: AccountId, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for (place, change) in changes.into_iter().enumerate() {
            if place > 0 {
                fail_point("apply: half");
            }
            self.make(&mut transaction, account, change).await?;
        }
        commit("apply", transaction).await.map_err(|error| self.refusal(error))
    }

    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        rows::of_account(&self.pool, account, &self.seal).await.map_err(|error| self.refusal(error))?
    }

    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError> {
        Ok(self.read(account, id).await?.0)
    }

    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError> {
        Ok(self.read(account, id).await?.1)
    }

    async fn roots(&self, account: AccountId) -> Result<Vec<B256>, StoreError> {
        trees::roots(&self.pool, account).await.map_err(|error| self.refusal(error))
    }

    async fn tree(&self, account: AccountId, root: B256) -> Result<Option<Vec<B256>>, StoreError> {
        trees::leaves(&self.pool, account, root).await.map_err(|error| self.refusal(error))
    }

    async fn operations(&self, account: AccountId) -> Result<Vec<Operation>, StoreError> {
        operations::of_account(&self.pool, account).await.map_err(|error| self.refusal(error))
    }

    async fn transactions(&self, key: AccountId) -> Result<Vec<Transaction>, StoreError> {
        transactions::of_key(&self.pool, key).await.map_err(|error| self.refusal(error))
    }

    async fn delegated_keys(&self, delegator: AccountId) -> Result<Vec<DelegatedKey>, StoreError> {
        Ok(self.keys_of(delegator).await?.into_iter().map(|(key, _)| key).collect())
    }

    async fn delegated_key(&self, delegator: AccountId, address: Address) -> Result<Option<Key>, StoreError> {
        let mut keys = self.keys_of(delegator).await?.into_iter();
        Ok(keys.find(|(key, _)| key.address == address).map(|(_, secret)| secret))
    }
}

impl SqliteStore {
    async fn make(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        account: AccountId,
        change: Change,
    ) -> Result<(), StoreError> {
        let made = match change {
            Change::AddSession(session) => {
                session.check(account)?;
                let (session, key) = session.into_parts();
                return self.insert(transaction, &session, &key).await;
            }
            Change::RemoveSession(id) => return self.remove(transaction, account, id).await,
            Change::SetLanded { session, block } => {
                rows::set_landed(transaction, account, &session, block).await
            }
            Change::AddTree(leaves) => trees::insert(transaction, account, &leaves).await,
            Change::RemoveTree(root) => trees::delete(transaction, account, root).await,
            Change::AddOperation(operation) => operations::insert(transaction, account, &operation).await,
            Change::SetAnswer { user_op_hash, answer } => {
                operations::set_answer(transaction, account, user_op_hash, answer).await
            }
            Change::SetTold { user_op_hash, told } => {
                operations::set_told(transaction, account, user_op_hash, told).await
            }
            Change::SetClosed { user_op_hash, block } => {
                operations::set_closed(transaction, account, user_op_hash, block).await
            }
            Change::RemoveOperation(user_op_hash) => {
                operations::delete(transaction, account, user_op_hash).await
            }
            Change::ReserveNonce { transaction: reserved, now } => {
                let same = transactions::nonce_of(transaction, account, &reserved.data, now).await;
                if let Some(nonce) = same.map_err(|error| self.refusal(error))? {
                    return Err(StoreError::SameData { key: account, nonce });
                }
                let done = transactions::reserve(transaction, account, &reserved, now).await;
                return self.unless_taken(done, account, reserved.nonce);
            }
            Change::AddSigned { nonce, data, encoded } => {
                let done = transactions::add_signed(transaction, account, nonce, &data, &encoded).await;
                return self.unless_taken(done, account, nonce);
            }
            Change::ReleaseNonce { nonce, data } => {
                transactions::release(transaction, account, nonce, &data).await
            }
            Change::RemoveTransaction(nonce) => transactions::delete(transaction, account, nonce).await,
            Change::AddDelegatedKey { key, secret } => {
                let sealed = self.seal.seal_delegated_key(account, &key, &secret);
                let sealed = sealed.map_err(DatabaseError::from)?;
                delegated_keys::insert(transaction, account, &key, &sealed).await
            }
            Change::RemoveDelegatedKey(address) => {
                delegated_keys::delete(transaction, account, address).await
            }
        };
        made.map_err(|error| self.refusal(error))
    }

    fn unless_taken(
        &self,
        done: Result<bool, sqlx::Error>,
        key: AccountId,
        nonce: U256,
    ) -> Result<(), StoreError> {
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::NonceTaken { key, nonce }),
            Err(error) => Err(self.refusal(error)),
        }
    }

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

    async fn remove(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        account: AccountId,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let using = operations::of_session(transaction, account, id.as_str()).await;
        if let Some(user_op_hash) = using.map_err(|error| self.refusal(error))? {
            return Err(StoreError::InUse { account, id, user_op_hash });
        }
        match rows::delete(transaction, account, &id).await.map_err(|error| self.refusal(error))? {
            0 => Err(StoreError::UnknownSession { account, id }),
            _ => Ok(()),
        }
    }

    async fn keys_of(&self, delegator: AccountId) -> Result<Vec<(DelegatedKey, Key)>, StoreError> {
        let found = delegated_keys::of_account(&self.pool, delegator, &self.seal).await;
        found.map_err(|error| self.refusal(error))?
    }

    async fn read(&self, account: AccountId, id: &SessionId) -> Result<(Session, Key), StoreError> {
        let found = rows::of_session(&self.pool, account, id, &self.seal).await;
        let unknown = || StoreError::UnknownSession { account, id: id.clone() };
        found.map_err(|error| self.refusal(error))?.ok_or_else(unknown)?
    }
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
