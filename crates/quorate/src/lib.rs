//! Policy-bound session keys for ERC-4337 smart accounts, held by a quorum instead of a secret.
//!
//! An owner grants a session once: [`SmartAccount::grant`] takes policies, a signing network makes the key, and one
//! user operation enables it. From then on a [`Session`] acts for the account within its policies. A grant can be
//! split ([`SmartAccount::prepare`], [`SmartAccount::submit`]) where the owner's wallet is elsewhere.
//!
//! The client's [`Store`] keeps sessions and their keys; [`SmartAccount::sessions`] says where each stands, and
//! [`SmartAccount::revoke`] ends some. Who comes from the original SDK starts at [`migration`].

mod account;
mod chain;
mod change;
mod client;
mod error;
mod grant;
mod judgement;
mod key;
mod life;
mod operations;
mod options;
mod pending;
mod record;
mod session;

#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

pub use account::SmartAccount;
pub use change::{ChangeDraft, Changed, Ended, Interrupted, PendingChange};
pub use client::Quorate;
pub use error::Error;
pub use grant::{Grant, GrantDraft, Granted, PendingGrant};
pub use judgement::CallRefusal;
pub use key::{KeyElsewhere, StorableKey};
pub use life::{Choice, ListedSession};
pub use operations::{Asset, Balances, Cost, OperationDraft, Withdrawal};
pub use options::{Options, Percent, PercentError};
pub use pending::PendingOperation;
pub use quorate_bundler::{Fees, GasEstimate, UserOperationReceipt};
pub use quorate_core::{
    Address, B256, Call, Condition, Erc20Policy, FunctionSelector, Policy, ReferenceValue, Rule,
    SessionEpoch, U256,
};
pub use quorate_network::{
    AttestedKey, DistributedSigner, EphemeralKey, KeyDraft, NetworkDescriptor, SigningNetwork,
};
pub use quorate_protocol::{ArgumentLimit, Limits, PaymasterRule, WindowLimit};
pub use quorate_signer::{LocalSessionKey, SessionSigner};
pub use quorate_store;
pub use quorate_store::{MemoryStore, SealingKey, SessionId, SqliteStore, Status, Store};
pub use quorate_transport::{HttpTransport, Transport};
pub use record::{EncodedPolicy, SessionRecord};
pub use session::Session;

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
