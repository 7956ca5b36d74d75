use std::path::PathBuf;

use alloy_primitives::B256;

use crate::{AccountId, SessionId, StretchError};

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
    /// A session that is not as the store wrote it.
    #[error("session {id} of {account} was altered outside of the store; restore the database from a backup")]
    Altered {
        /// The account.
        account: AccountId,
        /// The session's id, as it stands in the database.
        id: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a store's database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The file cannot be made.
    #[error("the session store {path} cannot be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else's database.
    #[error("{path} is a database, but no session store; give the path of a session store, or of a new file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No database, or a broken one.
    #[error("{path} is no database or a damaged one; restore the session store from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// A schema of another version.
    #[error(
        "the session store {path} has a schema that this version cannot use; was a newer version used on it?"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        source: sqlx::migrate::MigrateError,
    },
    /// Another key than the one it was made with.
    #[error("the session store {path} does not open with this {given}; give the one that it was made with")]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// What was given: a sealing key or a passphrase.
        given: &'static str,
    },
    /// A key where a passphrase is needed, or the other way round.
    #[error("the session store {path} was made with a {expected}, but a {given} was given")]
    OtherSealing {
        /// The file.
        path: PathBuf,
        /// What it was made with.
        expected: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// A passphrase that cannot be stretched.
    #[error("the passphrase of the session store {path} cannot be turned into a key")]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: StretchError,
    },
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// SQLite says no.
    #[error("the session store {path} cannot be used")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}
