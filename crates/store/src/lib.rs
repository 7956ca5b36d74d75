//! Where sessions are kept: in memory, or in SQLite with their secrets encrypted.
//!
//! A [`Store`] keeps the sessions of accounts with the key of each, the trees that hold their leaves, and the
//! operations that are under way. Where a session stands is the chain's to say, and its caller's to ask. All that
//! changes together is one step ([`Store::apply`]).
//!
//! [`MemoryStore`] ends with its process. [`SqliteStore`] (feature `sqlite`) may be used by several processes at once, and is opened
//! with a [`SealingKey`] from a file or the system's keyring (feature `keyring`), or with a [`Passphrase`]. What the
//! original SDK stored is read and written by [`original`].

mod change;
mod error;
mod key;
mod memory;
mod operation;
pub mod original;
#[cfg(feature = "sqlite")]
mod seal;
#[cfg(feature = "sqlite")]
mod sealing;
mod session;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use change::Change;
pub use error::StoreError;
pub use key::{Key, Secret};
pub use memory::MemoryStore;
pub use operation::{Answer, Operation, RootChange};
pub use quorate_core::{Leaf, SessionEpoch};
#[cfg(feature = "sqlite")]
pub use seal::StretchError;
#[cfg(feature = "sqlite")]
pub use sealing::{Passphrase, Sealing, SealingKey, SealingKeyError};
pub use session::{AccountId, InvalidSessionId, NewSession, Session, SessionId};
#[cfg(feature = "sqlite")]
pub use sqlite::{DatabaseError, SqliteStore};
pub use store::Store;
