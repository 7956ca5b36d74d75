use std::path::PathBuf;

use crate::StretchError;

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
    /// The file system says no.
    #[error("the session store {path} cannot be read or written; is there space left on its disk?")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// SQLite says no.
    #[error("the session store {path} cannot be used")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}
