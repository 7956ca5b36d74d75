use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use async_trait::async_trait;

use crate::{AccountId, Key, NewSession, Session, SessionId, Status, Store, StoreError, Tree};

/// Sessions in this process's memory; they end with it.
///
/// ```
/// use quorate_store::{AccountId, MemoryStore, Store};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let store = MemoryStore::new();
/// let account = AccountId { chain_id: 1, address: [0x11; 20].into() };
/// assert!(store.sessions(account).await?.is_empty());
/// # Ok::<(), quorate_store::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    accounts: Mutex<HashMap<AccountId, Vec<Kept>>>,
    trees: Mutex<HashMap<AccountId, Vec<Tree>>>,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    key: Key,
}

type Accounts = HashMap<AccountId, Vec<Kept>>;

impl MemoryStore {
    /// A store without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Each step checks before it changes anything, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_trees(&self) -> MutexGuard<'_, HashMap<AccountId, Vec<Tree>>> {
        self.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        account: AccountId,
        id: &SessionId,
        step: impl FnOnce(&mut Vec<Kept>, usize) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut accounts = self.lock();
        let unknown = || StoreError::UnknownSession { account, id: id.clone() };
        let sessions = accounts.get_mut(&account).ok_or_else(unknown)?;
        let place = sessions.iter().position(|kept| kept.session.id == *id).ok_or_else(unknown)?;
        step(sessions, place)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn add_all(&self, sessions: Vec<NewSession>) -> Result<(), StoreError> {
        let mut accounts = self.lock();
        for (place, session) in sessions.iter().enumerate() {
            session.check()?;
            let same = |account, id: &SessionId| account == session.account && *id == session.id;
            let stored = accounts.get(&session.account).into_iter().flatten();
            if stored.map(|kept| &kept.session).any(|other| same(other.account, &other.id))
                || sessions.iter().take(place).any(|other| same(other.account, &other.id))
            {
                return Err(StoreError::DuplicateSession {
                    account: session.account,
                    id: session.id.clone(),
                });
            }
        }
        for session in sessions {
            let (session, key) = session.into_parts();
            accounts.entry(session.account).or_default().push(Kept { session, key });
        }
        Ok(())
    }

    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        Ok(self.lock().get(&account).into_iter().flatten().map(|kept| kept.session.clone()).collect())
    }

    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError> {
        self.with(account, id, |sessions, place| Ok(sessions[place].session.clone()))
    }

    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError> {
        self.with(account, id, |sessions, place| Ok(sessions[place].key.clone()))
    }

    async fn set_status(&self, account: AccountId, id: &SessionId, status: Status) -> Result<(), StoreError> {
        self.with(account, id, |sessions, place| {
            let stored = &mut sessions[place].session.status;
            stored.check_change(status, account, id)?;
            *stored = status;
            Ok(())
        })
    }

    async fn remove(&self, account: AccountId, id: &SessionId) -> Result<(), StoreError> {
        self.with(account, id, |sessions, place| {
            sessions[place].session.status.check_removal(account, id)?;
            sessions.remove(place);
            Ok(())
        })
    }

    async fn add_tree(&self, account: AccountId, tree: Tree) -> Result<(), StoreError> {
        let mut accounts = self.lock_trees();
        let trees = accounts.entry(account).or_default();
        trees.retain(|other| other.root() != tree.root());
        trees.push(tree);
        let forgotten = trees.len().saturating_sub(Tree::KEPT);
        trees.drain(..forgotten);
        Ok(())
    }

    async fn trees(&self, account: AccountId) -> Result<Vec<Tree>, StoreError> {
        Ok(self.lock_trees().get(&account).cloned().unwrap_or_default())
    }

    async fn remove_tree(&self, account: AccountId, root: B256) -> Result<(), StoreError> {
        self.lock_trees().entry(account).or_default().retain(|tree| tree.root() != root);
        Ok(())
    }
}
