use alloy_primitives::{Address, B256, U256};
use quorate_bundler::BundlerError;
use quorate_core::delegation::CaveatPlace;
use quorate_paymaster::PaymasterError;
use quorate_protocol::{Forbidden, PinnedContextError};
use quorate_store::StoreError;
use quorate_transport::TransportError;

/// Why nothing was redeemed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The key's own permissions forbid it, so that no node would sign it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The chain would revert, by this caveat.
    #[error("{place}: {reason}")]
    Caveat {
        /// The first caveat whose enforcer reverts.
        place: CaveatPlace,
        /// What it reverts with.
        reason: String,
    },
    /// The chain would revert, by none of the caveats: the manager, the account or what it calls.
    #[error("the redemption would revert: {reason}")]
    Reverts {
        /// What it reverts with.
        reason: String,
    },
    /// Nothing can be redeemed while the manager is paused.
    #[error("the delegation manager {manager} is paused by its owner; wait until it is not")]
    Paused {
        /// The manager.
        manager: Address,
    },
    /// The delegator has ended the delegation.
    #[error("delegation {delegation} ({hash}) is disabled by its delegator; ask for another")]
    Disabled {
        /// Which one of the context, from 0 at the leaf.
        delegation: usize,
        /// Its hash.
        hash: B256,
    },
    /// The delegator has ended all delegations of a nonce.
    #[error(
        "{delegator} is at nonce {current}, and its delegations of nonce {pinned} have ended; ask for another"
    )]
    NonceMoved {
        /// The delegator.
        delegator: Address,
        /// The delegation's nonce.
        pinned: U256,
        /// The delegator's.
        current: U256,
    },
    /// The key cannot pay for gas.
    #[error(
        "{payer} has {found} wei, and needs {needed} for gas; what is left of it can be spent as fees alone"
    )]
    Balance {
        /// The key, or its account.
        payer: Address,
        /// What it has, in wei.
        found: U256,
        /// What it may cost, in wei.
        needed: U256,
    },
    /// Gas costs more than the key may pay.
    #[error("one gas costs {price} wei now, and the key's permissions allow {most}; try again later")]
    Price {
        /// The base fee with the tip.
        price: U256,
        /// The most.
        most: U256,
    },
    /// The same call is being signed by somebody else with this store.
    #[error(
        "the same call is being signed with nonce {nonce}; ask again in two minutes, and it is followed to its end"
    )]
    UnderWay {
        /// The nonce.
        nonce: U256,
    },
    /// The key's account is being deployed by another call, and only one does that.
    #[error(
        "{account} is being deployed by the operation with nonce {nonce}; ask again when that is in a block"
    )]
    Deploying {
        /// The account.
        account: Address,
        /// The nonce of what deploys it.
        nonce: U256,
    },
    /// An account that signs nothing yet: delegations of an address without code are checked as its own key's.
    #[error(
        "the account {account} is not deployed, so that nobody takes its delegations; redeem a call by it first"
    )]
    NotDeployed {
        /// The account.
        account: Address,
    },
    /// A transaction that is to be replaced is none of this store's.
    #[error("the store has nothing that was signed with nonce {nonce}")]
    UnknownNonce {
        /// The nonce.
        nonce: U256,
    },
    /// A redelegation that nobody could redeem.
    #[error("the redelegation is none that can be redeemed")]
    Context(#[from] PinnedContextError),
    /// The key did not sign.
    #[error("the key's signer refuses")]
    Signer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A contract answers what it should not.
    #[error("{function} of {contract} gives what cannot be read")]
    Contract {
        /// The contract.
        contract: Address,
        /// Its function.
        function: &'static str,
        /// Why.
        source: alloy_sol_types::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain's node.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The bundler of the key's account.
    #[error(transparent)]
    Bundler(#[from] BundlerError),
    /// The paymaster of the key's account.
    #[error(transparent)]
    Paymaster(#[from] PaymasterError),
}
