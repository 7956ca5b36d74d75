//! Policy-bound session keys for ERC-4337 smart accounts, held by a quorum instead of a secret.
//!
//! An owner grants a session once: [`SmartAccount::grant`] takes policies, a signing network makes the key, and one
//! user operation enables it. From then on a [`Session`] acts for the account within its policies. A grant can be
//! split ([`SmartAccount::prepare`], [`SmartAccount::submit`]) where the owner's wallet is elsewhere.
//!
//! The client's [`Store`] keeps sessions and their keys; [`SmartAccount::sessions`] says where each stands, and
//! [`SmartAccount::revoke`] ends some. It keeps each operation as well, from before it is sent: whatever a bundler
//! answers, sending the same again executes nothing twice, and [`SmartAccount::resume`] goes on after a crash.
//!
//! With the feature `testing`, `quorate::testing` is a chain and a bundler in the process, for an application's own
//! tests. Who comes from the original SDK starts at [`migration`].

mod account;
mod call;
mod chain;
mod client;
mod cost;
mod draft;
mod error;
mod fill;
mod grant;
mod key;
mod life;
mod operations;
mod options;
mod pace;
mod payment;
mod pending;
mod preflight;
mod record;
mod session;

#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

pub use account::SmartAccount;
pub use call::Call;
pub use client::Quorate;
pub use cost::ExpectedCost;
pub use draft::Draft;
pub use error::Error;
pub use grant::{Grant, Granted, PendingGrant, SessionGrant};
pub use key::{ExternalKey, StorableKey};
pub use life::import::Imported;
pub use life::plan::{Overwritten, Revoked};
pub use life::resume::{Abandoned, Interrupted, OwnerDraft, Resumed};
pub use life::sessions::{Choice, ListedSession};
pub use life::status::Status;
pub use life::update::{OwnerIntent, PendingUpdate, TreeUpdate, Updated};
pub use operations::{Asset, Balances, Calls, Cost, Withdrawal};
pub use options::{Options, Percent, PercentError};
pub use pending::PendingOperation;
pub use preflight::CallRefusal;
pub use quorate_bundler::{
    AccountOverride, Bundler, Dialect, Fees, GasEstimate, Simulation, StateOverride, UserOperationReceipt,
};
pub use quorate_core::{
    Address, B256, Condition, Erc20Policy, FunctionSelector, Leaf, Policy, PolicyErrors, ReferenceValue,
    Rule, SessionEpoch, U256,
};
pub use quorate_network::{
    AttestedKey, DistributedSigner, EphemeralKey, KeyDraft, NetworkDescriptor, SigningNetwork,
};
pub use quorate_paymaster::{
    Biconomy, Erc7677, FeeQuote, FeeQuotes, Paymaster, PaymasterData, PaymasterError, PaymasterRequest,
    Payment, Stub, TokenList,
};
pub use quorate_protocol::{ArgumentLimit, Limits, PaymasterRule, WindowLimit};
pub use quorate_signer::{AlloySessionKey, LocalSessionKey, SessionSigner};
pub use quorate_store;
pub use quorate_store::{AccountId, MemoryStore, SealingKey, SessionId, SqliteStore, Store};
#[cfg(feature = "testing")]
pub use quorate_testing as testing;
pub use quorate_transport::{HttpTransport, Transport};
pub use record::SessionRecord;
pub use session::{Session, SessionCalls};

/// The README's example, which has to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
