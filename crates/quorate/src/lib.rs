#![doc = include_str!("../README.md")]

mod account;
mod call;
mod chain;
mod client;
mod concern;
mod cost;
#[cfg(feature = "network")]
mod distributed;
mod draft;
mod error;
mod fill;
mod grant;
mod key;
mod life;
mod multichain;
mod operations;
mod options;
mod owner;
mod pace;
mod payment;
mod pending;
mod preflight;
mod probe;
mod record;
mod review;
mod session;

pub mod guides;

#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

pub use account::SmartAccount;
pub use call::Call;
pub use client::Quorate;
pub use concern::Concern;
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
pub use life::summary::{PolicySummary, SessionSummary};
pub use life::update::{OwnerIntent, PendingUpdate, TreeUpdate, Updated};
pub use multichain::{MultichainDraft, MultichainError, MultichainSignatures};
pub use operations::{Asset, Balances, Calls, Cost, TokenBalance, Withdrawal};
pub use options::{Options, Percent, PercentError};
pub use owner::{OwnerModule, OwnerSignature};
pub use pending::PendingOperation;
pub use preflight::CallRefusal;
pub use quorate_bundler::{
    AccountOverride, Bundler, BundlerError, Dialect, EntryPointCode, Fees, GasEstimate, OperationStatus,
    Simulation, StateOverride, UserOperationReceipt,
};
pub use quorate_core::{
    Address, B256, Condition, Erc20Policy, FunctionSelector, Leaf, Policy, PolicyErrors, ReferenceValue,
    Rule, SessionEpoch, U256,
};
#[cfg(feature = "delegation")]
pub use quorate_delegation as delegation;
#[cfg(feature = "network")]
pub use quorate_network::{
    AdmissionToken, AttestedKey, DistributedSigner, EphemeralKey, EphemeralKeyStatus, EphemeralKeys,
    KeyDraft, NetworkDescriptor, NetworkError, NodeIndex, Owner, PendingRegistration, Revocation,
    RevocationStatus, RootCertificateError, SigningNetwork, TypedDataSignature,
};
pub use quorate_paymaster::{
    Biconomy, Erc7677, FeeQuote, FeeQuotes, Paymaster, PaymasterData, PaymasterError, PaymasterRequest,
    Payment, Stub, TokenList,
};
pub use quorate_protocol::{ArgumentLimit, Coin, CoinWindow, Limits, PaymasterRule, WindowLimit};
pub use quorate_signer::{
    AlloySessionKey, LocalSessionKey, SessionSigner, SignerError, sign_as_owner, sign_typed_data,
};
pub use quorate_store;
pub use quorate_store::{AccountId, MemoryStore, SessionId, Store};
#[cfg(feature = "sqlite")]
pub use quorate_store::{SealingKey, SqliteStore};
#[cfg(feature = "testing")]
pub use quorate_testing as testing;
#[cfg(feature = "alloy")]
pub use quorate_transport::AlloyTransport;
#[cfg(feature = "http")]
pub use quorate_transport::HttpTransport;
pub use quorate_transport::{Transport, TransportError};
pub use record::SessionRecord;
pub use review::DraftReviewError;
pub use session::{Session, SessionCalls};

/// The README's example, which has to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
