//! Permissions whose policy is a delegation (ERC-7710), which the chain enforces by its caveats.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, U256};
use quorate_core::SessionEpoch;
use quorate_core::delegation::CaveatPlace;
use serde::{Deserialize, Serialize};

use crate::limits::{Counter, Limits, PaymasterRule, Quantity};
use crate::permissions::check_at_most;
use crate::{Permissions, PermissionsError, json};

mod charge;
mod context;
mod deployment;
mod judge;
mod policies;
mod redelegation;
mod text;
mod unsigned;

pub use charge::{CaveatAmount, CaveatCounter, ChargeId};
pub use context::{PinnedContext, PinnedContextError};
pub use deployment::Deployment;
pub use judge::PermittedSubject;
pub use policies::{Inexpressible, PolicyCaveat, PolicyCaveats};
pub(crate) use text::VERSION;
pub use unsigned::UnsignedDelegation;

/// What a distributed key may sign as the delegate of a delegation: redemptions of it within all caveats, redelegations, and
/// the end of those.
///
/// Nodes have no chain: they judge each caveat over what they have signed themselves, and what they cannot judge is forbidden
/// unless the owner has left it to the chain, by name.
///
/// The text is strict JSON of version 2; its keccak-256 stands where that of [`Permissions`] does.
#[derive(Clone, Debug, PartialEq)]
pub struct DelegationPermissions {
    /// Who may add keys and whose signature made this one.
    pub owner: Address,
    /// The only chain.
    pub chain_id: NonZeroU64,
    /// The manager, and what is known of its enforcers.
    pub deployment: Deployment,
    /// The only delegations that are redeemed.
    pub context: PinnedContext,
    /// Who calls the manager.
    pub redeemer: Redeemer,
    /// What the nonces of delegators are taken to be, which [`Nonce`](quorate_core::delegation::Enforcer::Nonce) caveats are
    /// held against. Whether they still are is the chain's to say.
    pub nonces: BTreeMap<Address, U256>,
    /// The caveats that are left to the chain where nodes cannot judge them: those of an unknown enforcer, of the number of the
    /// block, of a nonce that is not given, and of an approval.
    pub unjudged: BTreeSet<CaveatPlace>,
    /// What gas may cost.
    pub fees: FeeCaps,
    /// The limits that hold for the key alone, and not for whom it redelegates to.
    pub given_up: BTreeSet<NodeLimit>,
    /// When the key redeems and redelegates.
    pub epoch: SessionEpoch,
    /// What all redemptions may come to. The total of the gas stands in the [`fees`](Self::fees).
    pub limits: Limits,
}

/// Who calls the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Redeemer {
    /// The key itself, by transactions.
    Key,
    /// A Hybrid account of the key, by user operations at EntryPoint v0.7.
    Account(SessionAccount),
}

/// A Hybrid account that a key owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionAccount {
    /// The account.
    #[serde(deserialize_with = "json::address")]
    pub address: Address,
    /// What deploys it, if an operation may.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub factory: Option<FactoryPin>,
}

/// The only init code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FactoryPin {
    /// The factory.
    #[serde(deserialize_with = "json::address")]
    pub address: Address,
    /// The keccak-256 of what it is called with.
    #[serde(deserialize_with = "json::fixed_bytes")]
    pub data_hash: B256,
}

/// What gas may cost.
///
/// The redeemer pays it from its own balance, which is good for nothing else: at the [`total`](Self::total) it is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeCaps {
    /// The most gas of one transaction or operation.
    pub gas_limit: u64,
    /// The most that one gas may cost, in wei.
    #[serde(deserialize_with = "json::number")]
    pub fee_per_gas: U256,
    /// The most that all gas may cost, in wei: what is signed for, whether it is mined or not.
    #[serde(deserialize_with = "json::number")]
    pub total: U256,
}

/// A limit that the nodes hold and the chain does not, by the name of its field in [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum NodeLimit {
    /// [`Limits::uses`], which a `LimitedCalls` caveat expresses.
    Uses,
    /// [`Limits::window`], which no caveat expresses.
    Window,
    /// [`Limits::native_value`], which `NativeTokenTransferAmount` expresses, and `ValueLte` of 0.
    NativeValue,
    /// [`Limits::arguments`], of which `ERC20TransferAmount` expresses the total of a token's transfers.
    Arguments,
    /// [`Limits::coin_windows`], which no caveat expresses.
    CoinWindows,
}

impl std::fmt::Display for NodeLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uses => "uses",
            Self::Window => "window",
            Self::NativeValue => "nativeValue",
            Self::Arguments => "arguments",
            Self::CoinWindows => "coinWindows",
        })
    }
}

impl NodeLimit {
    /// Which limit a counter is of; none for gas, which a redelegation costs nothing of.
    const fn of(counter: &Counter) -> Option<Self> {
        match (counter.dimension.quantity, counter.dimension.seconds) {
            (Quantity::GasCost, _) => None,
            (Quantity::Uses, None) => Some(Self::Uses),
            (Quantity::Uses, Some(_)) => Some(Self::Window),
            (Quantity::NativeValue, None) => Some(Self::NativeValue),
            (Quantity::NativeValue, Some(_)) => Some(Self::CoinWindows),
            (Quantity::Argument { .. }, _) => Some(Self::Arguments),
            (Quantity::Caveat(_), _) => None,
        }
    }
}

impl DelegationPermissions {
    /// Reads the strict JSON text.
    ///
    /// # Errors
    /// Text that is not such permissions, and what [`check`](Self::check) refuses; the error says where.
    pub fn from_json(text: &str) -> Result<Self, PermissionsError> {
        check_at_most(text.len(), Permissions::MAX_LEN, |len, limit| PermissionsError::TooLong {
            len,
            limit,
        })?;
        let permissions = text::read(text)?;
        permissions.check_parts()?;
        Ok(permissions)
    }

    /// The text that [`from_json`](Self::from_json) reads, which is what is registered and hashed.
    pub fn to_json(&self) -> String {
        text::write(self)
    }

    /// Whether a network takes them for a key: a client learns it here, before it asks.
    ///
    /// # Errors
    /// An account that the delegations are not for, a place where no caveat is, limits that are named twice or cannot be
    /// counted, a paymaster for a key's own transactions, and a text that is too long.
    pub fn check(&self) -> Result<(), PermissionsError> {
        self.check_parts()?;
        let len = self.to_json().len();
        check_at_most(len, Permissions::MAX_LEN, |len, limit| PermissionsError::TooLong { len, limit })
    }

    fn check_parts(&self) -> Result<(), PermissionsError> {
        let delegate = self.context.delegate();
        if let Redeemer::Account(account) = self.redeemer
            && account.address != delegate
        {
            return Err(PermissionsError::OtherDelegate { delegate, account: account.address });
        }
        if let Some(place) = self.unjudged.iter().find(|place| !self.context.has(**place)) {
            return Err(PermissionsError::NoCaveat { place: *place });
        }
        self.deployment.check()?;
        if matches!(self.redeemer, Redeemer::Key) && self.limits.paymaster == PaymasterRule::Required {
            return Err(PermissionsError::NoPaymaster);
        }
        if self.limits.gas_cost.is_some() {
            return Err(PermissionsError::GasCostTwice);
        }
        crate::permissions::check_limits(&self.limits)
    }

    /// What the nodes count of everything that is signed: the [`limits`](Self::limits), and the total of the fees.
    pub fn counters(&self) -> Vec<Counter> {
        self.counted().counters()
    }

    fn counted(&self) -> Limits {
        Limits { gas_cost: Some(self.fees.total), ..self.limits.clone() }
    }
}

impl Redeemer {
    /// Who the manager finds to be its caller, to whom delegations are, where `key` is the address of the key.
    pub const fn address(self, key: Address) -> Address {
        match self {
            Self::Key => key,
            Self::Account(account) => account.address,
        }
    }
}
