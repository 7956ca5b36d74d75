use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use crate::{AccountId, Change, DelegatedKey, Key, Operation, Session, SessionId, StoreError, Transaction};

/// Where sessions are kept, the trees that hold them, and the operations that are under way.
///
/// Any number of processes and tasks may use one store: each call is one step that happens whole or not at all, and
/// is durable when it returns, as far as the implementation is.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Makes changes in the order given, all or none.
    ///
    /// # Errors
    /// [`StoreError::DuplicateSession`] for an id that the account has already, [`StoreError::NoLeaves`] for a session
    /// without any, [`StoreError::OtherAccount`] for one of another account, [`StoreError::UnknownSession`] and
    /// [`StoreError::InUse`] for a session that cannot be removed, [`StoreError::NonceTaken`] and [`StoreError::SameData`].
    async fn apply(&self, account: AccountId, changes: Vec<Change>) -> Result<(), StoreError>;

    /// All sessions of an account, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::Altered`] for a session that somebody else wrote.
    async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError>;

    /// One session.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], [`StoreError::Altered`].
    async fn session(&self, account: AccountId, id: &SessionId) -> Result<Session, StoreError>;

    /// The key of a session.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], [`StoreError::Altered`].
    async fn key(&self, account: AccountId, id: &SessionId) -> Result<Key, StoreError>;

    /// The roots of the trees that are remembered, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn roots(&self, account: AccountId) -> Result<Vec<B256>, StoreError>;

    /// The leaves of the tree with this root, in order; none where it is not remembered. The caller compares their root
    /// with the one asked for, which shows whether somebody else wrote them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn tree(&self, account: AccountId, root: B256) -> Result<Option<Vec<B256>>, StoreError>;

    /// The operations that are stored, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn operations(&self, account: AccountId) -> Result<Vec<Operation>, StoreError>;

    /// The transactions of a key's own address, by their nonces.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn transactions(&self, key: AccountId) -> Result<Vec<Transaction>, StoreError>;

    /// The keys to which an account delegates, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::AlteredKey`] for one that somebody else wrote.
    async fn delegated_keys(&self, delegator: AccountId) -> Result<Vec<DelegatedKey>, StoreError>;

    /// How the key of this address signs; none where the account delegates nothing to it here.
    ///
    /// # Errors
    /// As [`delegated_keys`](Self::delegated_keys).
    async fn delegated_key(&self, delegator: AccountId, address: Address) -> Result<Option<Key>, StoreError>;

    /// Stores one session.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    async fn add(&self, session: crate::NewSession) -> Result<(), StoreError> {
        self.apply(session.account, vec![Change::AddSession(Box::new(session))]).await
    }
}
