use alloy_primitives::{Address, B256, address, keccak256};
use quorate_core::delegation::CaveatPlace;
use quorate_core::{
    Encode as _, EncodeError, Erc20Policy, Erc20SessionKeyData, Lint, LintContext, Policy, SessionEpoch,
    SessionKeyData,
};

use crate::PinnedContextError;
use crate::json::{self, JsonError};
use crate::limits::Limits;

mod judge;
mod text;

pub use judge::Permitted;
use text::{PermissionsText, VERSION};

/// What a distributed key may sign, registered with the key when it is made (metadata tag 1).
///
/// The nodes hold every signature against it. The session key is not in it: that does not exist yet.
///
/// The text is versioned, strict JSON: unknown and duplicate fields are refused, and its keccak-256 is what the
/// owner signs ([`PermissionsClaim`](crate::PermissionsClaim)) and what the nodes attest to.
#[derive(Clone, Debug, PartialEq)]
pub struct Permissions {
    /// Who may add keys and whose signature made this one.
    pub owner: Address,
    /// The only smart account whose operations are signed.
    pub account: Address,
    /// The only chain.
    pub chain_id: u64,
    /// The only entry point.
    pub entry_point: Address,
    /// The module that the session is enabled on.
    pub session_key_manager: Address,
    /// The calls allowed: each call of an operation must be, by any of them.
    pub policies: Vec<PermittedPolicy>,
    /// What all operations may come to.
    pub limits: Limits,
}

/// A policy and the session validation module that enforces it on chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PermittedPolicy {
    /// The session validation module.
    pub validation_module: Address,
    /// What it checks.
    pub policy: CallPolicy,
}

/// What a session key may call, as one of the two kinds of session validation module checks it.
///
/// ```
/// # use quorate_core::{Address, Erc20Policy, Policy, SessionEpoch, U256};
/// # use quorate_protocol::CallPolicy;
/// let transfer = Erc20Policy {
///     token: Address::repeat_byte(1),
///     recipient: Address::repeat_byte(2),
///     max_amount: U256::from(1_000),
///     epoch: SessionEpoch::new(0, 1_900_000_000)?,
/// };
/// assert_eq!(CallPolicy::from(transfer).epoch().valid_until(), 1_900_000_000);
/// let mint: Policy = Policy::new(Address::repeat_byte(3), "safeMint(address)".parse()?);
/// assert_eq!(CallPolicy::from(mint).epoch(), SessionEpoch::UNLIMITED);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a key has 64 policies at most, and most are the large ones")]
pub enum CallPolicy {
    /// One function of one contract, with rules for its arguments: the ABI session validation module's.
    Abi(Policy),
    /// Transfers of one token to one recipient: the ERC-20 session validation module's.
    ///
    /// The nodes sign `transfer(address,uint256)` alone, while the module takes any function with these arguments: with
    /// `approve` the recipient could take what no limit counts.
    Erc20(Erc20Policy),
}

/// Why a permissions text is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionsError {
    /// Not the JSON of permissions.
    #[error("the permissions cannot be read")]
    Json(#[from] JsonError),
    /// A version that this network does not read.
    #[error("the permissions have version {found}; this network reads version {VERSION}")]
    Version {
        /// The version in the text.
        found: u32,
    },
    /// No policy at all: such a key could sign nothing.
    #[error("the permissions hold no policy, so the key could sign nothing; give at least one")]
    NoPolicies,
    /// A text that is too long.
    #[error("the permissions have {len} bytes, at most {limit} are taken")]
    TooLong {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// Too many policies, or too many argument limits and coin windows.
    #[error("the permissions hold {found} {what}, at most {limit} are taken")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two limits of one argument in one window, or in all.
    #[error(
        "argument limit {again} is of the argument and the window that limit {first} is of; give the smaller total once"
    )]
    RepeatedArgumentLimit {
        /// The first one's place in the list, from 0.
        first: usize,
        /// The other's.
        again: usize,
    },
    /// Two limits of the coin in one window.
    #[error("coin window {again} is of what window {first} is of, and as long; give the smaller total once")]
    RepeatedCoinWindow {
        /// The first one's place in the list, from 0.
        first: usize,
        /// The other's.
        again: usize,
    },
    /// A policy that has no encoding.
    #[error("policy {policy} of the permissions cannot be encoded")]
    Policy {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// A policy of one kind that the module of the other is to check, which would refuse every call.
    #[error("policy {policy} is for the {kind} session validation module, but {module} is another kind's")]
    OtherModule {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// The policy's kind.
        kind: &'static str,
        /// The module that it names.
        module: Address,
    },
    /// A rule's condition is not one of 0 to 5.
    #[error("policy {policy}, rule {rule}: condition {condition} does not exist; it is a number from 0 to 5")]
    Condition {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// The rule's place in the policy, from 0.
        rule: usize,
        /// The number given.
        condition: u8,
    },
    /// A version that does not exist.
    #[error(
        "the permissions have version {found}; there are version 1, of a session key manager, and 2, of a delegation"
    )]
    UnknownVersion {
        /// The version in the text.
        found: u32,
    },
    /// A context that cannot be redeemed, or not only by this key.
    #[error("the context of the permissions is not taken")]
    Context(#[source] PinnedContextError),
    /// Times that are no epoch.
    #[error("the times of the permissions are not taken")]
    Epoch(#[source] EncodeError),
    /// The delegations are for another account.
    #[error("the delegations are for {delegate}, but the account {account} would redeem them")]
    OtherDelegate {
        /// The leaf's delegate.
        delegate: Address,
        /// The redeeming account.
        account: Address,
    },
    /// A caveat is left to the chain that is none.
    #[error("`unjudged` names {place}, where no caveat is")]
    NoCaveat {
        /// The place.
        place: CaveatPlace,
    },
    /// An item of a list that was there before.
    #[error("item {again} of `{what}` repeats an earlier one")]
    Repeated {
        /// The list.
        what: &'static str,
        /// The item's place in it, from 0.
        again: usize,
    },
    /// The total of the gas in two places.
    #[error(
        "`limits.gasCost` is given, but the total of the gas of a delegation's redemptions is `fees.total`"
    )]
    GasCostTwice,
    /// A paymaster, which the key's transactions do not have.
    #[error(
        "`limits.paymaster` is `required`, and nobody pays for transactions of the key; have it redeem through an account of its own"
    )]
    NoPaymaster,
}

impl Permissions {
    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 128 * 1024;
    /// The most policies.
    pub const MAX_POLICIES: usize = 64;

    /// Reads the strict JSON text.
    ///
    /// # Errors
    /// Text that is not permissions, a policy that cannot be encoded, and what [`check`](Self::check) refuses; the error
    /// says where.
    pub fn from_json(text: &str) -> Result<Self, PermissionsError> {
        check_at_most(text.len(), Self::MAX_LEN, |len, limit| PermissionsError::TooLong { len, limit })?;
        let permissions = Self::try_from(json::read::<PermissionsText>(text)?)?;
        permissions.check_lists()?;
        Ok(permissions)
    }

    /// Whether a network takes them for a key: a client learns it here, before it asks.
    ///
    /// # Errors
    /// No policy, or more than [`MAX_POLICIES`](Self::MAX_POLICIES); one for another kind of module than it names; more than [`Limits::MAX_ARGUMENTS`] argument limits,
    /// or two of one argument in one window, and likewise for the coin's windows; a text of more than [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn check(&self) -> Result<(), PermissionsError> {
        self.check_lists()?;
        let len = self.to_json().len();
        check_at_most(len, Self::MAX_LEN, |len, limit| PermissionsError::TooLong { len, limit })
    }

    fn check_lists(&self) -> Result<(), PermissionsError> {
        if self.policies.is_empty() {
            return Err(PermissionsError::NoPolicies);
        }
        check_at_most(self.policies.len(), Self::MAX_POLICIES, too_many("policies"))?;
        self.policies.iter().enumerate().try_for_each(|(place, policy)| policy.check_module(place))?;
        check_limits(&self.limits)
    }

    /// The text that [`from_json`](Self::from_json) reads, which is what is registered and hashed.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&PermissionsText::from(self)).unwrap_or_default()
    }

    /// The keccak-256 of a permissions text, as it stands in the owner's claim and in the nodes' attestations.
    pub fn hash_of(text: &str) -> B256 {
        keccak256(text)
    }
}

/// Whether limits are few enough and each is named once.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), PermissionsError> {
    let amounts = limits.arguments.len() + limits.coin_windows.len();
    check_at_most(amounts, Limits::MAX_ARGUMENTS, too_many("argument limits and coin windows"))?;
    if let Some((first, again)) = limits.repeated_argument() {
        return Err(PermissionsError::RepeatedArgumentLimit { first, again });
    }
    match limits.repeated_coin_window() {
        Some((first, again)) => Err(PermissionsError::RepeatedCoinWindow { first, again }),
        None => Ok(()),
    }
}

fn too_many(what: &'static str) -> impl FnOnce(usize, usize) -> PermissionsError {
    move |found, limit| PermissionsError::TooMany { what, found, limit }
}

pub(crate) fn check_at_most(
    found: usize,
    limit: usize,
    error: impl FnOnce(usize, usize) -> PermissionsError,
) -> Result<(), PermissionsError> {
    if found <= limit { Ok(()) } else { Err(error(found, limit)) }
}

impl PermittedPolicy {
    /// The modules' own addresses are of their kinds; others may be of either.
    fn check_module(&self, policy: usize) -> Result<(), PermissionsError> {
        let (kind, other) = match self.policy {
            CallPolicy::Abi(_) => ("ABI", ERC20_MODULE),
            CallPolicy::Erc20(_) => ("ERC-20", ABI_MODULE),
        };
        let module = self.validation_module;
        if module == other { Err(PermissionsError::OtherModule { policy, kind, module }) } else { Ok(()) }
    }
}

/// The ABI session validation module on the chains that Biconomy deployed it to.
const ABI_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");

/// The ERC-20 session validation module, likewise.
const ERC20_MODULE: Address = address!("000000D50C68705bd6897B2d17c7de32FB519fDA");

impl CallPolicy {
    /// When it is valid.
    pub const fn epoch(&self) -> SessionEpoch {
        match self {
            Self::Abi(policy) => policy.epoch(),
            Self::Erc20(policy) => policy.epoch,
        }
    }

    /// The first thing in it that can be encoded and enforced, and yet is evidently not what was meant.
    pub fn mistake(&self) -> Option<Lint> {
        let mut first = None;
        let found = &mut |lint: Lint| first = first.or(lint.is_mistake().then_some(lint));
        match self {
            Self::Abi(policy) => policy.lint(&LintContext::default(), found),
            Self::Erc20(policy) => policy.lint(&LintContext::default(), found),
        }
        first
    }

    /// What the module is given of it on chain, for this key.
    pub fn session_key_data(&self, session_key: Address) -> Vec<u8> {
        match self {
            Self::Abi(policy) => SessionKeyData::new(session_key, policy).to_vec(),
            Self::Erc20(policy) => Erc20SessionKeyData::new(session_key, *policy).to_vec(),
        }
    }
}

impl From<Policy> for CallPolicy {
    fn from(policy: Policy) -> Self {
        Self::Abi(policy)
    }
}

impl From<Erc20Policy> for CallPolicy {
    fn from(policy: Erc20Policy) -> Self {
        Self::Erc20(policy)
    }
}
