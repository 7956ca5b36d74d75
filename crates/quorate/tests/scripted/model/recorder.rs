//! What the model sees of the devices' stores and requests, and where it makes them fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use quorate::quorate_store::{
    AccountId, Change, DatabaseError, DelegatedKey, Key, MemoryStore, Operation, RootChange, Session,
    SessionId, Store, StoreError, Transaction,
};
use quorate::testing::{Crash, Fault, ScriptedChain};
use quorate_core::{SignedUserOperation, merkle};

use super::steps::On;

/// Everything that any device ever wrote down, and what is to go wrong next.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// The leaves of every tree that was set or is to be set.
    pub(crate) trees: HashMap<B256, Vec<B256>>,
    /// What each operation does to the tree, and who made it.
    pub(crate) updates: HashMap<B256, (On, RootChange)>,
    /// Leaves that somebody was asked to end.
    pub(crate) asked_to_end: BTreeSet<B256>,
    /// When each leaf ends, in seconds since 1970; 0 for never.
    pub(crate) ends: BTreeMap<B256, u64>,
    /// What no device may do was done.
    pub(crate) violations: Vec<String>,
    /// Whether the device that acts has a node that is behind.
    pub(crate) is_behind: bool,
    pub(crate) is_calm: bool,
    pub(crate) request_fault: Option<(u32, Fault)>,
    pub(crate) send_fault: Option<Fault>,
    pub(crate) write_fault: Option<(u32, WriteFault)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFault {
    Crash { written: bool },
    Fails,
}

pub(crate) type Shared = Arc<Mutex<Recorder>>;

pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, Recorder> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// From now on nothing goes wrong.
    pub(crate) fn calm(&mut self) {
        (self.request_fault, self.send_fault, self.write_fault) = (None, None, None);
    }

    pub(crate) fn know(&mut self, leaves: &[B256]) -> B256 {
        let root = merkle::root(leaves).unwrap_or_default();
        self.trees.insert(root, leaves.to_vec());
        root
    }

    fn fault(&mut self, method: &str) -> Option<Fault> {
        if self.is_calm {
            return None;
        }
        if method == "eth_sendUserOperation"
            && let Some(fault) = self.send_fault.take()
        {
            return Some(fault);
        }
        match self.request_fault.take() {
            Some((0, fault)) => Some(fault),
            later => {
                self.request_fault = later.map(|(requests, fault)| (requests - 1, fault));
                None
            }
        }
    }

    fn write_fault(&mut self) -> Option<WriteFault> {
        if self.is_calm {
            return None;
        }
        match self.write_fault.take() {
            Some((0, fault)) => Some(fault),
            later => {
                self.write_fault = later.map(|(writes, fault)| (writes - 1, fault));
                None
            }
        }
    }

    fn note(&mut self, device: On, changes: &[Change]) {
        for change in changes {
            match change {
                Change::AddTree(leaves) => drop(self.know(leaves)),
                Change::AddOperation(operation) => {
                    if let Some(change) = operation.root_change {
                        self.updates.entry(operation.user_op_hash).or_insert((device, change));
                    }
                }
                Change::AddSession(session) => {
                    let leaves = session.leaves.iter();
                    self.ends.extend(leaves.map(|leaf| (leaf.hash(), leaf.epoch.valid_until())));
                }
                _ => {}
            }
        }
    }
}

/// Makes requests fail as the recorder says, and sees each sending: no update of a tree that is not there is sent.
pub(crate) fn watch(shared: &Shared, chain: &ScriptedChain, account: Address) {
    let (shared, seen) = (Arc::clone(shared), chain.clone());
    chain.on_request(move |_, method, params| {
        let mut recorder = lock(&shared);
        if method == "eth_sendUserOperation" {
            let operation: SignedUserOperation<Vec<u8>> = serde_json::from_value(params[0].clone()).unwrap();
            let hash = operation.operation.hash(seen.deployment().entry_point, seen.chain_id());
            let root = seen.root(account);
            let change = recorder.updates.get(&hash).map(|(_, change)| *change);
            if let Some(change) = change.filter(|change| change.replaces != root)
                && !recorder.is_behind
            {
                let RootChange { replaces, .. } = change;
                recorder
                    .violations
                    .push(format!("{hash}, made to replace {replaces}, was sent under the root {root}"));
            }
        }
        recorder.fault(method)
    });
}

/// A device's store.
#[derive(Debug)]
pub(crate) struct ModelStore {
    pub(crate) device: On,
    pub(crate) inner: MemoryStore,
    pub(crate) shared: Shared,
}

#[async_trait]
impl Store for ModelStore {
    async fn apply(&self, account: AccountId, changes: Vec<Change>) -> Result<(), StoreError> {
        let fault = {
            let mut recorder = lock(&self.shared);
            recorder.note(self.device, &changes);
            recorder.write_fault()
        };
        match fault {
            Some(WriteFault::Fails) => {
                let source = std::io::Error::other("the disk is full");
                return Err(DatabaseError::Io { path: "model".into(), source }.into());
            }
            Some(WriteFault::Crash { written: false }) => {}
            _ => self.inner.apply(account, changes).await?,
        }
        if matches!(fault, Some(WriteFault::Crash { .. })) {
            // Without the panic hook: this is no failure of the test.
            std::panic::resume_unwind(Box::new(Crash));
        }
        Ok(())
    }

    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        self.inner.sessions(account).await
    }

    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError> {
        self.inner.session(account, id).await
    }

    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError> {
        self.inner.key(account, id).await
    }

    async fn roots(&self, account: AccountId) -> Result<Vec<B256>, StoreError> {
        self.inner.roots(account).await
    }

    async fn tree(&self, account: AccountId, root: B256) -> Result<Option<Vec<B256>>, StoreError> {
        self.inner.tree(account, root).await
    }

    async fn transactions(&self, key: AccountId) -> Result<Vec<Transaction>, StoreError> {
        self.inner.transactions(key).await
    }

    async fn operations(&self, account: AccountId) -> Result<Vec<Operation>, StoreError> {
        self.inner.operations(account).await
    }

    async fn delegated_keys(&self, delegator: AccountId) -> Result<Vec<DelegatedKey>, StoreError> {
        self.inner.delegated_keys(delegator).await
    }

    async fn delegated_key(&self, delegator: AccountId, address: Address) -> Result<Option<Key>, StoreError> {
        self.inner.delegated_key(delegator, address).await
    }
}
