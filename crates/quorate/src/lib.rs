//! Policy-bound session keys for ERC-4337 smart accounts, held by a quorum instead of a secret.
//!
//! An owner grants a session once: [`SmartAccount::grant`] takes policies, a signing network makes the key, and one
//! user operation enables it. From then on a [`Session`] acts for the account within its policies. A grant can be
//! split ([`SmartAccount::prepare`], [`SmartAccount::submit`]) where the owner's wallet is elsewhere.

mod account;
mod chain;
mod client;
mod error;
mod pending;
mod record;
mod session;

pub use account::{Grant, GrantDraft, PendingGrant, SmartAccount};
pub use client::Quorate;
pub use error::Error;
pub use pending::PendingOperation;
pub use quorate_bundler::{GasEstimate, UserOperationReceipt};
pub use quorate_core::{
    Address, B256, Call, Condition, FunctionSelector, Policy, ReferenceValue, Rule, SessionEpoch, U256,
};
pub use quorate_network::{
    AttestedKey, DistributedSigner, EphemeralKey, KeyDraft, NetworkDescriptor, SigningNetwork,
};
pub use quorate_protocol::{ArgumentLimit, Limits, PaymasterRule, WindowLimit};
pub use quorate_signer::{LocalSessionKey, SessionSigner};
pub use quorate_transport::{HttpTransport, Transport};
pub use record::{EncodedPolicy, SessionRecord};
pub use session::Session;

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
