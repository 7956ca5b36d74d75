//! Why a node's database cannot be used.

use alloy_primitives::B256;
use sqlx::error::DatabaseError;

use crate::seal::SealBroken;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// SQLite says no.
    #[error("the node's database cannot be used")]
    Database(#[source] sqlx::Error),
    /// No room for what was to be written; nothing of it is.
    #[error("the disk is full: the node's database takes nothing new")]
    Full(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the node's database has a schema that this version cannot use")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A schema of a newer version.
    #[error("{path} was written by a newer version of this program (schema {schema}); run that version")]
    Newer {
        /// The database.
        path: String,
        /// Its schema.
        schema: i64,
    },
    /// A schema that was in use before the first release.
    #[error(
        "{path} was made by a development version of this program, whose databases are not read; set the node up anew"
    )]
    Outdated {
        /// The database.
        path: String,
    },
    /// A file that SQLite cannot read as it was written.
    #[error("{path} is damaged: {found}; restore the node from a backup")]
    Corrupt {
        /// The database.
        path: String,
        /// The first fault that SQLite finds.
        found: String,
    },
    /// Readable by others.
    #[error("{path} can be read by other users; run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: String,
    },
    /// Somebody else's database.
    #[error("the database belongs to node {node} of network {network}; each node needs its own")]
    Foreign {
        /// The network it belongs to.
        network: B256,
        /// The node it belongs to.
        node: u8,
    },
    /// Another process has the database open.
    #[error("another process uses the database {path}; a node runs once")]
    InUse {
        /// The database.
        path: String,
    },
    /// The database's file, or one beside it.
    #[error("{path} cannot be used")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is not written over.
    #[error("{path} is there already, and is not written over")]
    Exists {
        /// The file.
        path: String,
    },
    /// Some other SQLite database.
    #[error("{path} is the database of another program; name one that is a node's, or none yet")]
    Unknown {
        /// The file.
        path: String,
    },
    /// A seal key that does not belong to the database.
    #[error("the seal key is not the one that the database's shares are sealed with; give the node its own")]
    OtherSeal,
    /// A share that does not open.
    #[error(transparent)]
    Sealed(#[from] SealBroken),
    /// A record that does not parse.
    #[error("the stored {what} of key {key_id} is damaged; restore the database from a backup")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// The key.
        key_id: String,
    },
    /// A share that cannot be written.
    #[error(transparent)]
    Share(#[from] quorate_mpc::ShareError),
    /// No random bytes for sealing.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

/// What SQLite says when there is no room.
const FULL: i64 = 13;

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(code) {
            Some(FULL) => Self::Full(error),
            _ => Self::Database(error),
        }
    }
}

/// SQLite's code for an error, without what its higher bytes say more about it.
pub(super) fn code(error: &dyn DatabaseError) -> Option<i64> {
    error.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}
