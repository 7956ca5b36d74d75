#![doc = include_str!("../README.md")]

mod change;
mod delegated_key;
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
mod transaction;

pub use change::Change;
pub use delegated_key::DelegatedKey;
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
pub use transaction::Transaction;
