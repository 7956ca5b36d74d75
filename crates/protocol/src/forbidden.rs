use alloy_primitives::Address;
use quorate_core::delegation::RevertText;
use quorate_core::{Erc20Refusal, FunctionSelector, Refusal};

use crate::limits::Uncountable;

mod delegated;

pub use delegated::{ForbiddenRedelegation, ForbiddenRedemption, ForbiddenTransaction};

/// Why permissions do not allow what is asked to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Another account.
    #[error("the operation is of account {sender}, the key is permitted for {permitted}")]
    Account {
        /// The operation's sender.
        sender: Address,
        /// The permitted account.
        permitted: Address,
    },
    /// Another chain.
    #[error("the operation is for chain {chain_id}, the key is permitted on chain {permitted}")]
    Chain {
        /// The operation's chain.
        chain_id: u64,
        /// The permitted chain.
        permitted: u64,
    },
    /// Another entry point.
    #[error("the operation is for entry point {entry_point}, the key is permitted at {permitted}")]
    EntryPoint {
        /// The operation's entry point.
        entry_point: Address,
        /// The permitted entry point.
        permitted: Address,
    },
    /// A session never deploys.
    #[error("the operation carries init code; a session signs for deployed accounts only")]
    InitCode,
    /// The call data has another encoding than the account's canonical one.
    #[error("the call data is not the canonical encoding of an account's call, so it is not signed")]
    NotCanonical,
    /// A batch of nothing.
    #[error("the batch holds no call, so there is nothing to sign for")]
    EmptyBatch,
    /// The limits cannot be held.
    #[error(transparent)]
    Uncountable(#[from] Uncountable),
    /// No policy allows the call.
    #[error(transparent)]
    Call(ForbiddenCall),
    /// No policy allows one of the calls.
    #[error("call {call} of the batch: {reason}")]
    BatchedCall {
        /// The call's place in the batch, from 0.
        call: usize,
        /// Why.
        reason: ForbiddenCall,
    },
    /// Something that the key's target has no use for.
    #[error("the key does not sign {subject}: {target} takes {takes}")]
    OtherSubject {
        /// What is asked to be signed.
        subject: &'static str,
        /// What holds the key's policy on chain.
        target: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// A transaction or a session account's operation that is not signed, whatever it calls.
    #[error(transparent)]
    Transaction(#[from] ForbiddenTransaction),
    /// A call of the delegation manager that is not signed.
    #[error(transparent)]
    Redemption(#[from] ForbiddenRedemption),
    /// A delegation that is not signed.
    #[error(transparent)]
    Redelegation(#[from] ForbiddenRedelegation),
}

/// Why no policy allows a call: what the policy that came nearest to allowing it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForbiddenCall {
    /// There is no policy.
    #[error("the key has no policy, so it signs nothing")]
    NoPolicy,
    /// The policy starts later.
    #[error("policy {policy} is valid from {valid_after}, and it is {now} (seconds since 1970)")]
    NotYetValid {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// Its start.
        valid_after: u64,
        /// The judge's clock.
        now: u64,
    },
    /// The policy is over.
    #[error("policy {policy} was valid until {valid_until}, and it is {now} (seconds since 1970)")]
    Expired {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// Its end.
        valid_until: u64,
        /// The judge's clock.
        now: u64,
    },
    /// The ABI session validation module would refuse the call.
    #[error("policy {policy} forbids the call: {refusal}")]
    Abi {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What it found.
        refusal: Refusal,
    },
    /// The ERC-20 session validation module would refuse the call.
    #[error("policy {policy} forbids the call: {refusal}")]
    Erc20 {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What it found.
        refusal: Erc20Refusal,
    },
    /// The module on chain would take the call for a transfer, which it is not.
    #[error(
        "policy {policy} forbids the call: function {called} of the token is called, permitted is transfer"
    )]
    NotTransfer {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// The function called.
        called: FunctionSelector,
    },
}

impl Forbidden {
    /// The reason that the session validation module reverts with on chain, where it would refuse the call too.
    pub const fn revert_reason(&self) -> Option<&'static str> {
        match self {
            Self::Call(reason) | Self::BatchedCall { reason, .. } => reason.revert_reason(),
            _ => None,
        }
    }

    /// The text that a caveat's enforcer reverts with on chain, where one forbids it.
    pub const fn enforcer_text(&self) -> Option<RevertText> {
        match self {
            Self::Redemption(ForbiddenRedemption::Caveat(forbidden)) => forbidden.revert_text(),
            _ => None,
        }
    }
}

impl ForbiddenCall {
    const fn revert_reason(&self) -> Option<&'static str> {
        match self {
            Self::Abi { refusal, .. } => refusal.revert_reason(),
            Self::Erc20 { refusal, .. } => refusal.revert_reason(),
            _ => None,
        }
    }

    /// How far the check came, so that the reason shown is of the policy that was meant.
    pub(crate) const fn progress(&self) -> u8 {
        match self {
            Self::Abi { refusal: Refusal::DestinationForbidden { .. }, .. }
            | Self::Erc20 { refusal: Erc20Refusal::TokenForbidden { .. }, .. } => 1,
            Self::Abi { refusal: Refusal::SelectorForbidden { .. }, .. }
            | Self::Erc20 { refusal: Erc20Refusal::MalformedTransfer { .. }, .. }
            | Self::NotTransfer { .. } => 2,
            Self::Abi { refusal: Refusal::ValueExceeded { .. }, .. }
            | Self::Erc20 { refusal: Erc20Refusal::ValueForbidden { .. }, .. } => 3,
            Self::Abi { refusal: Refusal::RuleViolated { .. } | Refusal::WordOutOfBounds { .. }, .. }
            | Self::Erc20 {
                refusal: Erc20Refusal::RecipientForbidden { .. } | Erc20Refusal::AmountExceeded { .. },
                ..
            } => 4,
            Self::NotYetValid { .. } | Self::Expired { .. } => 5,
            Self::NoPolicy | Self::Abi { .. } | Self::Erc20 { .. } => 0,
        }
    }
}
