use alloy_primitives::{Address, B256, U256};

use crate::{Answer, DelegatedKey, Key, NewSession, Operation, SessionId, Transaction};

/// One change of what a store holds of an account. [`Store::apply`](crate::Store::apply) makes several in one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Stores a session after all others of its account.
    AddSession(Box<NewSession>),
    /// Says in which block a session was first seen in the account's tree, or that it was not seen there after all.
    /// Without effect where there is no such session.
    SetLanded {
        /// The session.
        session: SessionId,
        /// The block's number.
        block: Option<u64>,
    },
    /// Forgets a session and its key; refused while an operation that is followed grants it or is made by it.
    RemoveSession(SessionId),
    /// Remembers the tree with these leaves. One without leaves needs no memory: its root is zero.
    AddTree(Vec<B256>),
    /// Forgets the tree with this root. Without effect while an operation is stored that replaces or sets it.
    RemoveTree(B256),
    /// Stores an operation; without effect where one of its hash is stored.
    AddOperation(Box<Operation>),
    /// Says what a bundler answered. Without effect where there is no such operation.
    SetAnswer {
        /// The operation.
        user_op_hash: B256,
        /// The answer.
        answer: Answer,
    },
    /// Says whether whoever made an operation knows that it is under way or over. Without effect where there is no such
    /// operation.
    SetTold {
        /// The operation.
        user_op_hash: B256,
        /// Whether they know.
        told: bool,
    },
    /// Says in which block an operation was first seen to be over, or that it is not over after all. Without effect
    /// where there is no such operation.
    SetClosed {
        /// The operation.
        user_op_hash: B256,
        /// The block's number.
        block: Option<u64>,
    },
    /// Forgets an operation, if it is stored.
    RemoveOperation(B256),
    /// Reserves the nonce of a transaction of the key at this address; refused where another has it, or another nonce is there for the
    /// same data, unless nothing was signed with that and its time is over.
    ReserveNonce {
        /// The transaction, of which nothing is signed.
        transaction: Transaction,
        /// The time, in seconds since 1970.
        now: u64,
    },
    /// Keeps what was signed with a reserved nonce; refused where another has it by now.
    AddSigned {
        /// The nonce.
        nonce: U256,
        /// What the transaction calls its contract with.
        data: Vec<u8>,
        /// The signed transaction, as it is sent.
        encoded: Vec<u8>,
    },
    /// Gives a reserved nonce back that nothing was signed with. Without effect where something was, or another has it.
    ReleaseNonce {
        /// The nonce.
        nonce: U256,
        /// What the transaction would have called its contract with.
        data: Vec<u8>,
    },
    /// Forgets the transactions of a nonce, if there are some: the chain has one.
    RemoveTransaction(U256),
    /// Stores a key to which the account delegates, with its secret; without effect where that key is stored.
    AddDelegatedKey {
        /// The key.
        key: Box<DelegatedKey>,
        /// How it signs.
        secret: Box<Key>,
    },
    /// Forgets the key of this address, if it is stored.
    RemoveDelegatedKey(Address),
}
