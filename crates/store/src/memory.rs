use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use quorate_core::merkle;

use crate::{
    AccountId, Answer, Change, DelegatedKey, Key, Operation, Session, SessionId, Store, StoreError,
    Transaction,
};

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
#[derive(Default)]
pub struct MemoryStore {
    accounts: Mutex<HashMap<AccountId, Kept>>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("accounts", &self.lock().len()).finish()
    }
}

/// What is kept of one account.
#[derive(Clone, Debug, Default)]
struct Kept {
    sessions: Vec<(Session, Key)>,
    trees: Vec<(B256, Vec<B256>)>,
    operations: Vec<Operation>,
    transactions: BTreeMap<U256, Transaction>,
    delegated_keys: Vec<(DelegatedKey, Key)>,
}

impl MemoryStore {
    /// A store without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Each step puts a finished copy in place, so that a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Kept>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, account: AccountId, read: impl FnOnce(&Kept) -> T) -> T {
        read(self.lock().entry(account).or_default())
    }

    fn read_session<T>(
        &self,
        account: AccountId,
        id: &SessionId,
        read: impl FnOnce(&(Session, Key)) -> T,
    ) -> Result<T, StoreError> {
        let found =
            self.read(account, |kept| kept.sessions.iter().find(|(session, _)| session.id == *id).map(read));
        found.ok_or_else(|| StoreError::UnknownSession { account, id: id.clone() })
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn apply(&self, account: AccountId, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut accounts = self.lock();
        let mut kept = accounts.get(&account).cloned().unwrap_or_default();
        for change in changes {
            kept.apply(account, change)?;
        }
        accounts.insert(account, kept);
        Ok(())
    }

    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        Ok(self.read(account, |kept| kept.sessions.iter().map(|(session, _)| session.clone()).collect()))
    }

    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError> {
        self.read_session(account, id, |(session, _)| session.clone())
    }

    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError> {
        self.read_session(account, id, |(_, key)| key.clone())
    }

    async fn roots(&self, account: AccountId) -> Result<Vec<B256>, StoreError> {
        Ok(self.read(account, |kept| kept.trees.iter().map(|(root, _)| *root).collect()))
    }

    async fn tree(&self, account: AccountId, root: B256) -> Result<Option<Vec<B256>>, StoreError> {
        Ok(self.read(account, |kept| {
            kept.trees.iter().find(|(known, _)| *known == root).map(|(_, leaves)| leaves.clone())
        }))
    }

    async fn operations(&self, account: AccountId) -> Result<Vec<Operation>, StoreError> {
        Ok(self.read(account, |kept| kept.operations.clone()))
    }

    async fn transactions(&self, key: AccountId) -> Result<Vec<Transaction>, StoreError> {
        Ok(self.read(key, |kept| kept.transactions.values().cloned().collect()))
    }

    async fn delegated_keys(&self, delegator: AccountId) -> Result<Vec<DelegatedKey>, StoreError> {
        Ok(self.read(delegator, |kept| kept.delegated_keys.iter().map(|(key, _)| key.clone()).collect()))
    }

    async fn delegated_key(&self, delegator: AccountId, address: Address) -> Result<Option<Key>, StoreError> {
        Ok(self.read(delegator, |kept| {
            let found = kept.delegated_keys.iter().find(|(key, _)| key.address == address);
            found.map(|(_, secret)| secret.clone())
        }))
    }
}

impl Kept {
    fn apply(&mut self, account: AccountId, change: Change) -> Result<(), StoreError> {
        match change {
            Change::AddSession(session) => {
                session.check(account)?;
                if self.sessions.iter().any(|(other, _)| other.id == session.id) {
                    return Err(StoreError::DuplicateSession { account, id: session.id });
                }
                self.sessions.push(session.into_parts());
            }
            Change::SetLanded { session: id, block } => {
                if let Some((session, _)) = self.sessions.iter_mut().find(|(session, _)| session.id == id) {
                    session.landed = block;
                }
            }
            Change::RemoveSession(id) => {
                let using = self.operations.iter().find(|operation| {
                    operation.session.as_ref() == Some(&id) && operation.answer != Answer::Abandoned
                });
                if let Some(Operation { user_op_hash, .. }) = using {
                    return Err(StoreError::InUse { account, id, user_op_hash: *user_op_hash });
                }
                let Some(place) = self.sessions.iter().position(|(session, _)| session.id == id) else {
                    return Err(StoreError::UnknownSession { account, id });
                };
                self.sessions.remove(place);
            }
            Change::AddTree(leaves) => {
                let root = merkle::root(&leaves).unwrap_or_default();
                if root != B256::ZERO && self.trees.iter().all(|(known, _)| *known != root) {
                    self.trees.push((root, leaves));
                }
            }
            Change::RemoveTree(root) => {
                let changes = self.operations.iter().filter_map(|operation| operation.root_change);
                if changes.into_iter().all(|change| change.replaces != root && change.sets != root) {
                    self.trees.retain(|(known, _)| *known != root);
                }
            }
            Change::AddOperation(operation) => {
                if self.operations.iter().all(|other| other.user_op_hash != operation.user_op_hash) {
                    self.operations.push(*operation);
                }
            }
            Change::SetAnswer { user_op_hash, answer } => {
                if let Some(operation) = self.operation(user_op_hash) {
                    operation.answer = answer;
                }
            }
            Change::SetTold { user_op_hash, told } => {
                if let Some(operation) = self.operation(user_op_hash) {
                    operation.told = told;
                }
            }
            Change::SetClosed { user_op_hash, block } => {
                if let Some(operation) = self.operation(user_op_hash) {
                    operation.closed_at_block = block;
                }
            }
            Change::RemoveOperation(user_op_hash) => {
                self.operations.retain(|operation| operation.user_op_hash != user_op_hash);
            }
            Change::ReserveNonce { transaction, now } => {
                let nonce = transaction.nonce;
                let is_same = |other: &&Transaction| other.data == transaction.data && !other.is_free(now);
                if let Some(Transaction { nonce, .. }) = self.transactions.values().find(is_same) {
                    return Err(StoreError::SameData { key: account, nonce: *nonce });
                }
                if self.transactions.get(&nonce).is_some_and(|other| !other.is_free(now)) {
                    return Err(StoreError::NonceTaken { key: account, nonce });
                }
                self.transactions.insert(nonce, transaction);
            }
            Change::AddSigned { nonce, data, encoded } => {
                let reserved = self.transactions.get_mut(&nonce).filter(|reserved| reserved.data == data);
                let taken = || StoreError::NonceTaken { key: account, nonce };
                reserved.ok_or_else(taken)?.signed.push(encoded);
            }
            Change::ReleaseNonce { nonce, data } => {
                let is_released =
                    |reserved: &Transaction| reserved.data == data && reserved.signed.is_empty();
                if self.transactions.get(&nonce).is_some_and(is_released) {
                    self.transactions.remove(&nonce);
                }
            }
            Change::RemoveTransaction(nonce) => _ = self.transactions.remove(&nonce),
            Change::AddDelegatedKey { key, secret } => {
                if self.delegated_keys.iter().all(|(known, _)| known.address != key.address) {
                    self.delegated_keys.push((*key, *secret));
                }
            }
            Change::RemoveDelegatedKey(address) => {
                self.delegated_keys.retain(|(key, _)| key.address != address);
            }
        }
        Ok(())
    }

    fn operation(&mut self, user_op_hash: B256) -> Option<&mut Operation> {
        self.operations.iter_mut().find(|operation| operation.user_op_hash == user_op_hash)
    }
}
