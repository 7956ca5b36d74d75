use alloy_primitives::{B256, U256};

#[cfg(feature = "sqlite")]
use crate::DatabaseError;
use crate::{AccountId, SessionId};

/// Why a store does not do what it was asked. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such session.
    #[error("{account} has no session {id} in this store")]
    UnknownSession {
        /// The account.
        account: AccountId,
        /// The id asked for.
        id: SessionId,
    },
    /// An id that is taken.
    #[error("{account} has a session {id} already; give the new one another id")]
    DuplicateSession {
        /// The account.
        account: AccountId,
        /// The id.
        id: SessionId,
    },
    /// A session that no tree can hold.
    #[error("session {id} of {account} has no leaf; a session needs at least one")]
    NoLeaves {
        /// The account.
        account: AccountId,
        /// The session.
        id: SessionId,
    },
    /// A session among the changes of another account.
    #[error("session {id} is one of {session}, and the changes are of {account}")]
    OtherAccount {
        /// The account whose store is changed.
        account: AccountId,
        /// The session's account.
        session: AccountId,
        /// The session.
        id: SessionId,
    },
    /// A session that an operation under way grants or is made by.
    #[error(
        "session {id} of {account} has the operation {user_op_hash} under way; settle, cancel or abandon that first"
    )]
    InUse {
        /// The account.
        account: AccountId,
        /// The session.
        id: SessionId,
        /// The operation.
        user_op_hash: B256,
    },
    /// A transaction of the same nonce.
    #[error("nonce {nonce} of {key} is another transaction's; take the next one")]
    NonceTaken {
        /// The key's address.
        key: AccountId,
        /// The nonce.
        nonce: U256,
    },
    /// A transaction that does the same.
    #[error(
        "nonce {nonce} of {key} is reserved for the same call, or signed with it; that one is to be followed to its end first"
    )]
    SameData {
        /// The key's address.
        key: AccountId,
        /// The nonce that the other has.
        nonce: U256,
    },
    /// A key to which an account delegates that is not as the store wrote it.
    #[error(
        "key {key_id}, to which {delegator} delegates, was altered outside of the store; restore the database from a backup"
    )]
    AlteredKey {
        /// The account.
        delegator: AccountId,
        /// The key's id, as it stands in the database.
        key_id: String,
    },
    /// A session that is not as the store wrote it.
    #[error("session {id} of {account} was altered outside of the store; restore the database from a backup")]
    Altered {
        /// The account.
        account: AccountId,
        /// The session's id, as it stands in the database.
        id: String,
    },
    /// The database.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
