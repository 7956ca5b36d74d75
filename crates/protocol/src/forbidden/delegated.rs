//! What a key that redeems delegations does not sign, by name.

use alloy_primitives::{Address, B256, U256};
use quorate_core::UnpackError;
use quorate_core::delegation::{
    self, CaveatPlace, ChainError, ContextError, DelegationCallError, NotJudged, UnknownMode,
};

use crate::NodeLimit;

/// Why a transaction or an operation of a session account is not signed, whatever it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForbiddenTransaction {
    /// Another type of transaction than EIP-1559's.
    #[error("the transaction has type {found}; only type 2 (EIP-1559) is signed")]
    Type {
        /// The type.
        found: u64,
    },
    /// EIP-7702 authorisations, with which an account hands itself over to code.
    #[error(
        "the transaction carries {count} EIP-7702 authorisations; a key that redeems delegations signs none"
    )]
    Authorizations {
        /// Their number.
        count: usize,
    },
    /// Entries in the access list.
    #[error("the transaction's access list has {entries} entries; it has to be empty")]
    AccessList {
        /// Their number.
        entries: usize,
    },
    /// A contract's creation.
    #[error(
        "the transaction has no `to`, so it creates a contract; a key that redeems delegations creates none"
    )]
    Creation,
    /// Another contract than the manager.
    #[error("the call is to {to}, the key is permitted to call the delegation manager {manager} alone")]
    Contract {
        /// Whom it calls.
        to: Address,
        /// The manager.
        manager: Address,
    },
    /// Value of the redeemer's own.
    #[error(
        "the transaction sends {value} wei; what is redeemed sends the delegator's, so its own value has to be 0"
    )]
    Value {
        /// The value, in wei.
        value: U256,
    },
    /// More gas than may be.
    #[error("the gas comes to {gas}, permitted are at most {most}")]
    GasLimit {
        /// The gas of all its limits.
        gas: U256,
        /// The most.
        most: u64,
    },
    /// A higher fee than may be.
    #[error("one gas may cost {fee} wei, permitted are at most {most}")]
    FeePerGas {
        /// The most that one gas costs, in wei.
        fee: U256,
        /// The most permitted.
        most: U256,
    },
    /// The builder is to get more than the whole fee, which no chain takes.
    #[error("the priority fee of {priority} wei is higher than the whole fee of {fee}")]
    PriorityFee {
        /// The builder's, in wei.
        priority: u128,
        /// The whole, in wei.
        fee: u128,
    },
    /// More fees than all may come to.
    #[error("the fees come to {fees} wei, all of the key's may come to {most}")]
    Fees {
        /// The fees, in wei.
        fees: U256,
        /// The most.
        most: U256,
    },
    /// An operation that has no meaning at the entry point.
    #[error("the operation is malformed: {0}")]
    Operation(UnpackError),
    /// Another factory than the pinned one, or other data for it, or any where none is pinned.
    #[error("the init code is not that of the factory that the permissions name")]
    Factory,
}

/// Why a call of the delegation manager is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForbiddenRedemption {
    /// The redeemer's own account would do what is asked.
    #[error(
        "the context holds no delegation, so the manager would have the redeemer's own account execute the call"
    )]
    EmptyContext,
    /// Other than one context, mode and execution.
    #[error(
        "an array of the redemption has {len} items; exactly one context, one mode and one execution are signed"
    )]
    NotOne {
        /// The number of items.
        len: usize,
    },
    /// A mode that is none of the four words.
    #[error(transparent)]
    Mode(UnknownMode),
    /// An execution that ends before its contract and value do.
    #[error("the execution has {len} bytes; contract and value alone have 52")]
    ExecutionTooShort {
        /// The number of bytes.
        len: usize,
    },
    /// Arguments of a caveat, which nobody signed.
    #[error("{place}: {len} bytes of arguments, which nobody signed; there may be none")]
    Arguments {
        /// Whose.
        place: CaveatPlace,
        /// The number of bytes.
        len: usize,
    },
    /// Another function of the manager, or what is not its canonical encoding.
    #[error("not a call that is signed: {0}")]
    CallData(DelegationCallError),
    /// Other delegations than the pinned ones, or the same with other signatures.
    #[error(
        "the context's leaf is {leaf}, and its bytes are not those of the permissions, whose leaf is {pinned}"
    )]
    OtherContext {
        /// The hash of its leaf.
        leaf: B256,
        /// The hash of the pinned one.
        pinned: B256,
    },
    /// The delegations are not for who redeems them.
    #[error(transparent)]
    Chain(ChainError),
    /// Before the permissions' start.
    #[error("the permissions are valid from {valid_after}, and it is {now} (seconds since 1970)")]
    NotYetValid {
        /// The start.
        valid_after: u64,
        /// The judge's clock.
        now: u64,
    },
    /// After the permissions' end.
    #[error("the permissions were valid until {valid_until}, and it is {now} (seconds since 1970)")]
    Expired {
        /// The end.
        valid_until: u64,
        /// The judge's clock.
        now: u64,
    },
    /// A caveat forbids it, as on chain.
    #[error(transparent)]
    Caveat(delegation::Forbidden),
    /// A caveat that nodes cannot judge, and that is not left to the chain.
    #[error("{0}, and the permissions do not leave it to the chain")]
    NotJudged(NotJudged),
    /// The end of somebody else's delegation.
    #[error("the delegation is of {delegator}; {redeemer} ends its own alone")]
    DisablesOther {
        /// Who made it.
        delegator: Address,
        /// Who would end it.
        redeemer: Address,
    },
}

impl From<DelegationCallError> for ForbiddenRedemption {
    fn from(error: DelegationCallError) -> Self {
        match error {
            DelegationCallError::Context(ContextError::NoDelegations) => Self::EmptyContext,
            DelegationCallError::Context(ContextError::Arguments { place, len }) => {
                Self::Arguments { place, len }
            }
            DelegationCallError::NotOne { len, .. } => Self::NotOne { len },
            DelegationCallError::Mode(mode) => Self::Mode(mode),
            DelegationCallError::ExecutionTooShort { len } => Self::ExecutionTooShort { len },
            error => Self::CallData(error),
        }
    }
}

/// Why a delegation is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForbiddenRedelegation {
    /// One that rests on no other, and so gives away what is the redeemer's own.
    #[error("the delegation has ROOT authority; the key only passes on what was delegated to it")]
    RootAuthority,
    /// For another manager.
    #[error("the delegation is for the manager {manager}, the key's is {permitted}")]
    Manager {
        /// Its manager.
        manager: Address,
        /// The permissions'.
        permitted: Address,
    },
    /// Of another delegator.
    #[error("the delegation is of {delegator}, the key signs those of {redeemer} alone")]
    Delegator {
        /// Its delegator.
        delegator: Address,
        /// The redeemer.
        redeemer: Address,
    },
    /// It rests on another delegation than the pinned leaf.
    #[error("the delegation rests on {authority}, the key passes on {leaf} alone")]
    Authority {
        /// On what it rests.
        authority: B256,
        /// The pinned leaf.
        leaf: B256,
    },
    /// For anybody.
    #[error("the delegation is open: anybody could use up its counters; name a delegate")]
    Open,
    /// More than a context may hold.
    #[error(transparent)]
    TooLarge(ContextError),
    /// Not valid at this time.
    #[error(transparent)]
    Time(ForbiddenRedemption),
    /// Without an end.
    #[error("the delegation has no Timestamp caveat with an end; give one no later than {latest}")]
    NoEnd {
        /// The permissions' end.
        latest: u64,
    },
    /// It ends later than the permissions.
    #[error("the delegation ends at {end}, the permissions at {latest} (seconds since 1970)")]
    EndsLate {
        /// Its end.
        end: u128,
        /// The permissions' end.
        latest: u64,
    },
    /// A limit that the nodes alone hold would not hold for the delegate.
    #[error(
        "the limit `{limit}` is held by the nodes alone: the delegation needs a caveat for it, or the permissions give it up"
    )]
    Limit {
        /// Which.
        limit: NodeLimit,
    },
}
