//! Where sessions are kept: in memory, or in SQLite with their secrets encrypted.
//!
//! A [`Store`] keeps the sessions of accounts in the order of each account's tree, with what is needed to list them
//! and to prove them, and the key of each. It knows where a session stands ([`Status`]), and leaves it to its caller
//! to ask the chain.
//!
//! [`MemoryStore`] ends with its process. [`SqliteStore`] may be used by several processes at once, and is opened
//! with a [`SealingKey`] from a file or the system's keyring (feature `keyring`), or with a [`Passphrase`]. What the
//! original SDK stored is read and written by [`original`].

mod error;
mod key;
mod memory;
pub mod original;
mod seal;
mod sealing;
mod session;
mod sqlite;
mod store;
mod tree;

pub use error::{DatabaseError, StoreError};
pub use key::{Key, Secret};
pub use memory::MemoryStore;
pub use quorate_core::SessionEpoch;
pub use seal::StretchError;
pub use sealing::{Passphrase, Sealing, SealingKey, SealingKeyError};
pub use session::{AccountId, InvalidSessionId, Leaf, NewSession, Session, SessionId, Status, TreeLeaf};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use tree::Tree;
