use alloy_primitives::{Address, U256};
use quorate_core::delegation::{CaveatPlace, Enforcer};
use quorate_protocol::{PermissionsError, PinnedContextError};

/// Why what a wallet answers is not what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Not the JSON of an answer.
    #[error("the wallet's answer cannot be read")]
    Json(#[source] serde_json::Error),
    /// Another number of permissions than was asked for.
    #[error("the wallet grants {found} permissions, and was asked for one")]
    Count {
        /// How many.
        found: usize,
    },
    /// The grant is on another chain.
    #[error("the permission is for chain {found}, and was asked for on chain {asked}")]
    Chain {
        /// The answer's.
        found: U256,
        /// The request's.
        asked: u64,
    },
    /// The grant is of a manager that nobody here knows.
    #[error("the permission is redeemed at the manager {found}; known here is {known}")]
    Manager {
        /// The answer's.
        found: Address,
        /// The deployment's.
        known: Address,
    },
    /// The context is not the encoding of delegations.
    #[error("the permission's context is not an encoding of delegations")]
    Encoding(#[source] alloy_sol_types::Error),
    /// The context is none, or others could redeem it.
    #[error("the permission's context is not taken")]
    Context(#[from] PinnedContextError),
    /// The grant rests on another one, which may end without its delegator.
    #[error("the context has {found} delegations; a wallet's grant is one, of its user's own")]
    Delegations {
        /// How many.
        found: usize,
    },
    /// The grant is for another key.
    #[error("the permission is for {found}, and was asked for {asked}")]
    Delegate {
        /// The delegation's.
        found: Address,
        /// The request's.
        asked: Address,
    },
    /// The grant is another account's.
    #[error("the permission is of {found}, and was asked of {asked}")]
    Delegator {
        /// The delegation's.
        found: Address,
        /// The request's.
        asked: Address,
    },
    /// The signature is nobody's.
    #[error("the delegation is signed neither by {delegator} nor by what could be an account's code")]
    Signature {
        /// The delegator.
        delegator: Address,
    },
    /// A rule that was asked for is in no caveat.
    #[error("no caveat of {enforcer:?} holds the {rule} that was asked for")]
    Missing {
        /// The rule.
        rule: &'static str,
        /// What would enforce it.
        enforcer: Enforcer,
    },
    /// A caveat lets more through than was asked for.
    #[error("{place}: the {rule} is {found}, and was asked for as {asked}")]
    Wider {
        /// The caveat.
        place: CaveatPlace,
        /// The rule.
        rule: &'static str,
        /// As granted.
        found: String,
        /// As asked for.
        asked: String,
    },
    /// The wallet may not change anything, and has.
    #[error("{place}: the {rule} is {found}, and had to be {asked}, since no adjustment was allowed")]
    Adjusted {
        /// The caveat.
        place: CaveatPlace,
        /// The rule.
        rule: &'static str,
        /// As granted.
        found: String,
        /// As asked for.
        asked: String,
    },
    /// A caveat that has not the terms of its enforcer, so that nothing could ever be redeemed.
    #[error("{place}: terms that {enforcer:?} does not read")]
    Terms {
        /// The caveat.
        place: CaveatPlace,
        /// Its enforcer.
        enforcer: Enforcer,
    },
    /// The delegator's account has to be deployed first.
    #[error(
        "the delegator's account is not deployed: call factory {factory} with the answer's `factoryData` first"
    )]
    Undeployed {
        /// The first of the answer's dependencies.
        factory: Address,
    },
    /// A caveat that nodes cannot judge, and that was not left to the chain.
    #[error("{place}: nodes cannot judge it; leave it to the chain by name, or ask for another permission")]
    NotJudged {
        /// The caveat.
        place: CaveatPlace,
    },
    /// The permissions that come of it are none that a network takes.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
}
