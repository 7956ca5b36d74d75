use alloy_primitives::B256;
use async_trait::async_trait;

use crate::{AccountId, Key, NewSession, Session, SessionId, Status, StoreError, Tree, TreeLeaf};

/// Where sessions are kept.
///
/// Any number of processes and tasks may use one store: each call is one step that happens whole or not at all, and
/// is durable when it returns, as far as the implementation is.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Stores sessions, all or none. Their leaves come after all others of their accounts, in the order given.
    ///
    /// # Errors
    /// [`StoreError::DuplicateSession`] for an id that its account has already, [`StoreError::NoLeaves`] for a
    /// session without any.
    async fn add_all(&self, sessions: Vec<NewSession>) -> Result<(), StoreError>;

    /// Stores one session.
    ///
    /// # Errors
    /// As [`add_all`](Self::add_all).
    async fn add(&self, session: NewSession) -> Result<(), StoreError> {
        self.add_all(vec![session]).await
    }

    /// All sessions of an account, in the order of its tree.
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

    /// The leaves of an account's tree, in order: those of its pending, active and expired sessions.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    async fn leaves(&self, account: AccountId) -> Result<Vec<TreeLeaf>, StoreError> {
        let sessions = self.sessions(account).await?;
        let in_tree = sessions.iter().filter(|session| session.status.is_in_tree());
        let leaves = in_tree.flat_map(|session| {
            let leaf = |hash| TreeLeaf { hash, session: session.id.clone(), status: session.status };
            session.leaves.iter().map(move |stored| leaf(stored.hash()))
        });
        Ok(leaves.collect())
    }

    /// Says where a session stands now.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], and [`StoreError::Transition`] for a change that cannot be true
    /// ([`Status::may_become`]).
    async fn set_status(&self, account: AccountId, id: &SessionId, status: Status) -> Result<(), StoreError>;

    /// Forgets a session and its key.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], and [`StoreError::InTree`] for one whose leaves belong to the tree: without
    /// them no root could be made that keeps the others.
    async fn remove(&self, account: AccountId, id: &SessionId) -> Result<(), StoreError>;

    /// Remembers a tree as the account's newest, and forgets those before the newest [`Tree::KEPT`]. One of the same
    /// root takes the other's place.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn add_tree(&self, account: AccountId, tree: Tree) -> Result<(), StoreError>;

    /// The trees of an account that are remembered, the newest last.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn trees(&self, account: AccountId) -> Result<Vec<Tree>, StoreError>;

    /// Forgets the tree with this root, if it is remembered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    async fn remove_tree(&self, account: AccountId, root: B256) -> Result<(), StoreError>;
}
