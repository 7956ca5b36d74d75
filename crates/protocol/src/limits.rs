use std::num::NonZeroU64;

use alloy_primitives::{Address, FixedBytes, U256, hex};
use quorate_core::{AccountCall, Call, FunctionSelector, UserOperation};
use serde::{Deserialize, Serialize};

use crate::delegation::CaveatCounter;
use crate::json;
use crate::paymaster::{self, MalformedPaymaster};

/// What all operations of a key may come to, counted by the nodes before they sign.
///
/// The chain enforces policies call by call and has no memory of earlier ones; these limits are the network's. With
/// *f* bad nodes of *n* a total holds while *f* < 2*t*−*n*, and is then exceeded at most (*n*−*f*)/(*t*−*f*) times.
///
/// A window is fixed and by each node's own clock: those of *s* seconds begin at the multiples of *s* since 1970. An amount
/// counts in the window in which the operation is first signed for, so that around a window's edge up to twice a window's
/// limit may pass.
///
/// What is counted belongs to a nonce: the chain runs one operation of each, so of several with the same nonce (a retry, a
/// higher fee) the largest amount counts, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// How many operations, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// How many operations in each of the fixed windows that begin at 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowLimit>,
    /// How much of the chain's coin the calls send along in all, in wei.
    #[serde(deserialize_with = "json::optional_number", skip_serializing_if = "Option::is_none")]
    pub native_value: Option<U256>,
    /// What the operations' gas may cost in all, in wei, whoever pays: each counts what the entry point asks for in
    /// advance (ERC-4337 v0.6).
    #[serde(deserialize_with = "json::optional_number", skip_serializing_if = "Option::is_none")]
    pub gas_cost: Option<U256>,
    /// Totals of arguments, such as the amounts of a token's transfers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ArgumentLimit>,
    /// Who pays for the gas.
    #[serde(skip_serializing_if = "PaymasterRule::is_any")]
    pub paymaster: PaymasterRule,
    /// How much of the chain's coin in each window, beside what it may be in all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coin_windows: Vec<CoinWindow>,
}

/// How many operations may be signed in each window, by each node's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowLimit {
    /// The operations.
    pub uses: u64,
    /// The window's length.
    pub seconds: NonZeroU64,
}

/// The total of a `uint256` argument over all calls of one function: in all, or in each window.
///
/// An argument may have several, each for another window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArgumentLimit {
    /// The contract called.
    #[serde(deserialize_with = "json::address")]
    pub contract: Address,
    /// The function's selector.
    #[serde(deserialize_with = "json::fixed_bytes")]
    pub selector: FixedBytes<4>,
    /// Where the argument stands, in bytes after the selector.
    pub offset: u16,
    /// The most that it may come to, in the argument's own unit.
    #[serde(deserialize_with = "json::number")]
    pub total: U256,
    /// The length of the windows that it is counted in; none for the total of all of them.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub seconds: Option<NonZeroU64>,
}

/// How much of the chain's coin may go in each window, by each node's own clock.
///
/// ```
/// # use std::num::NonZeroU64;
/// # use quorate_core::U256;
/// # use quorate_protocol::{Coin, CoinWindow, Limits};
/// // A tenth of a coin a day, and one in all.
/// let wei = U256::from(10).pow(U256::from(17));
/// let daily = CoinWindow { of: Coin::NativeValue, total: wei, seconds: NonZeroU64::new(86_400).unwrap() };
/// let limits =
///     Limits { native_value: Some(wei * U256::from(10)), coin_windows: vec![daily], ..Limits::default() };
/// let counted: Vec<_> = limits.counters().iter().map(|counter| counter.dimension.to_string()).collect();
/// assert_eq!(counted, ["value sent in all (wei)", "value sent within 86400 s (wei)"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CoinWindow {
    /// What takes it.
    pub of: Coin,
    /// The most in one window, in wei.
    #[serde(deserialize_with = "json::number")]
    pub total: U256,
    /// The window's length.
    pub seconds: NonZeroU64,
}

/// What takes the chain's coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Coin {
    /// Calls that send it along, as [`Limits::native_value`] counts it.
    NativeValue,
    /// Gas, as [`Limits::gas_cost`] counts it.
    GasCost,
}

/// Whether a paymaster pays, as EntryPoint v0.6 takes it: 20 zero bytes are none, with or without data after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PaymasterRule {
    /// As it likes.
    #[default]
    Any,
    /// Every operation needs one.
    Required,
    /// None may have one.
    Forbidden,
}

impl PaymasterRule {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }

    pub(crate) const fn check(self, paymaster: Option<Address>) -> Result<(), Uncountable> {
        match (self, paymaster) {
            (Self::Required, None) => Err(Uncountable::PaymasterRequired),
            (Self::Forbidden, Some(paymaster)) => Err(Uncountable::PaymasterForbidden { paymaster }),
            _ => Ok(()),
        }
    }
}

/// One of the totals that a key's nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted.
    pub dimension: Dimension,
    /// The most it may come to.
    pub limit: U256,
}

/// What a total is of: a quantity, in all or in each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// What is added up.
    pub quantity: Quantity,
    /// The length of the fixed windows, in seconds; none for the total of all operations.
    pub seconds: Option<NonZeroU64>,
}

/// What is added up over operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Operations.
    Uses,
    /// Wei sent along.
    NativeValue,
    /// Wei for gas.
    GasCost,
    /// An argument of a function.
    Argument {
        /// The contract.
        contract: Address,
        /// The function.
        selector: FunctionSelector,
        /// The bytes after the selector.
        offset: u16,
    },
    /// What an enforcer of a delegation keeps.
    Caveat(CaveatCounter),
}

impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let within = self.seconds.map(|seconds| format!(" within {seconds} s"));
        let (when, in_all) = (within.as_deref().unwrap_or_default(), within.as_deref().unwrap_or(" in all"));
        match self.quantity {
            Quantity::Uses => write!(f, "number of uses{when}"),
            Quantity::NativeValue => write!(f, "value sent{in_all} (wei)"),
            Quantity::GasCost => write!(f, "gas cost{in_all} (wei)"),
            Quantity::Argument { contract, selector, offset } => {
                let selector = hex::encode_prefixed(selector.as_bytes());
                write!(f, "total{when} of the argument at byte {offset} of {selector} at {contract}")
            }
            Quantity::Caveat(counter) => write!(f, "{counter}"),
        }
    }
}

/// Why an operation cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Uncountable {
    /// The key's operations need a paymaster.
    #[error("the key signs only operations that a paymaster pays for; this one has none")]
    PaymasterRequired,
    /// The key's operations have none.
    #[error("the key signs no operation with a paymaster; this one has {paymaster}")]
    PaymasterForbidden {
        /// The operation's.
        paymaster: Address,
    },
    /// The entry point takes it neither for a paymaster nor for none.
    #[error(transparent)]
    MalformedPaymaster(#[from] MalformedPaymaster),
    /// The call data ends before the argument that is limited.
    #[error("the call to {contract} has no argument at byte {offset}, whose total is limited")]
    NoArgument {
        /// The contract called.
        contract: Address,
        /// Where the argument should be.
        offset: u16,
    },
}

impl Limits {
    /// The most argument limits and windows of the coin, together.
    pub const MAX_ARGUMENTS: usize = 64;

    /// What is counted, in an order that depends on nothing but the limits.
    pub fn counters(&self) -> Vec<Counter> {
        let counter =
            |quantity, seconds, limit| Counter { dimension: Dimension { quantity, seconds }, limit };
        let uses = self.uses.map(|uses| counter(Quantity::Uses, None, U256::from(uses)));
        let window =
            self.window.map(|window| counter(Quantity::Uses, Some(window.seconds), U256::from(window.uses)));
        let value = self.native_value.map(|limit| counter(Quantity::NativeValue, None, limit));
        let gas = self.gas_cost.map(|limit| counter(Quantity::GasCost, None, limit));
        let arguments = self.arguments.iter().map(ArgumentLimit::counter);
        let coin = self.coin_windows.iter().map(CoinWindow::counter);
        [uses, window, value, gas].into_iter().flatten().chain(arguments).chain(coin).collect()
    }

    /// The places of two limits of the same argument, in the same window or both in all.
    pub(crate) fn repeated_argument(&self) -> Option<(usize, usize)> {
        repeated(self.arguments.iter().map(ArgumentLimit::counter))
    }

    /// The places of two limits of the same coin in the same window.
    pub(crate) fn repeated_coin_window(&self) -> Option<(usize, usize)> {
        repeated(self.coin_windows.iter().map(CoinWindow::counter))
    }

    /// What one operation adds to each of the [`counters`](Self::counters) if it is the only one of its nonce. Sums
    /// that exceed 256 bits count as the largest number, which is beyond every limit but itself.
    ///
    /// ```
    /// # use quorate_core::{AccountCall, Address, Call, Encode, Execute, U256, UserOperation};
    /// # use quorate_protocol::Limits;
    /// # let operation = UserOperation {
    /// #     sender: Address::ZERO,
    /// #     nonce: U256::ZERO,
    /// #     init_code: Vec::new(),
    /// #     call_data: Execute(Call { to: Address::ZERO, value: U256::from(5), data: &[] }).to_vec(),
    /// #     call_gas_limit: U256::from(30),
    /// #     verification_gas_limit: U256::from(20),
    /// #     pre_verification_gas: U256::from(10),
    /// #     max_fee_per_gas: U256::from(2),
    /// #     max_priority_fee_per_gas: U256::ZERO,
    /// #     paymaster_and_data: Vec::new(),
    /// # };
    /// // An operation that sends 5 wei, with 60 gas at 2 wei.
    /// let limits = Limits { native_value: Some(U256::from(9)), gas_cost: Some(U256::from(999)), ..Limits::default() };
    /// let calls = AccountCall::decode(&operation.call_data)?;
    /// assert_eq!(limits.amounts(&operation, &calls)?, [U256::from(5), U256::from(120)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A paymaster where none may be, none where one must be, or one of fewer than 20 bytes; call data without the limited
    /// argument.
    pub fn amounts<B: AsRef<[u8]>, C>(
        &self,
        operation: &UserOperation<B, C>,
        calls: &AccountCall<'_>,
    ) -> Result<Vec<U256>, Uncountable> {
        let paymaster = paymaster::of(operation.paymaster_and_data.as_ref())?;
        self.paymaster.check(paymaster)?;
        self.amounts_of(calls.calls(), U256::ONE, prefund(operation, paymaster))
    }

    /// As [`amounts`](Self::amounts), of so many uses with these calls and this cost of gas.
    pub(crate) fn amounts_of<'a>(
        &self,
        calls: impl Iterator<Item = Call<'a>> + Clone,
        uses: U256,
        gas_cost: U256,
    ) -> Result<Vec<U256>, Uncountable> {
        let amount = |counter: &Counter| match counter.dimension.quantity {
            Quantity::Uses => Ok(uses),
            Quantity::NativeValue => Ok(sum(calls.clone().map(|call| call.value))),
            Quantity::GasCost => Ok(gas_cost),
            // They are no limits of the key's, but of each redemption's delegations.
            Quantity::Caveat(_) => Ok(U256::ZERO),
            Quantity::Argument { contract, selector, offset } => {
                let arguments = calls.clone().filter(|call| call.to == contract).filter_map(|call| {
                    let (found, arguments) = call.data.split_first_chunk::<4>()?;
                    (*found == *selector.as_bytes()).then_some(arguments)
                });
                let word = |arguments: &[u8]| {
                    let at = usize::from(offset);
                    let word = arguments.get(at..at + 32).and_then(U256::try_from_be_slice);
                    word.ok_or(Uncountable::NoArgument { contract, offset })
                };
                Ok(sum(arguments.map(word).collect::<Result<Vec<_>, _>>()?))
            }
        };
        self.counters().iter().map(amount).collect()
    }
}

/// `transfer(address,uint256)`.
pub(crate) const TRANSFER: FunctionSelector = FunctionSelector::new([0xa9, 0x05, 0x9c, 0xbb]);

impl ArgumentLimit {
    /// Whether it counts what a token's `transfer(address,uint256)` sends.
    pub fn is_of_transfers(&self, token: Address) -> bool {
        (self.contract, &*self.selector, self.offset) == (token, TRANSFER.as_bytes(), 32)
    }

    const fn counter(&self) -> Counter {
        let &Self { contract, selector, offset, total, seconds } = self;
        let quantity = Quantity::Argument { contract, selector: FunctionSelector::new(selector.0), offset };
        Counter { dimension: Dimension { quantity, seconds }, limit: total }
    }
}

impl CoinWindow {
    const fn counter(&self) -> Counter {
        let quantity = match self.of {
            Coin::NativeValue => Quantity::NativeValue,
            Coin::GasCost => Quantity::GasCost,
        };
        Counter { dimension: Dimension { quantity, seconds: Some(self.seconds) }, limit: self.total }
    }
}

/// The places of the first two counters of one dimension.
fn repeated(counters: impl Iterator<Item = Counter>) -> Option<(usize, usize)> {
    let dimensions: Vec<_> = counters.map(|counter| counter.dimension).collect();
    let place_of = |dimension: &Dimension| dimensions.iter().position(|earlier| earlier == dimension);
    let places = dimensions.iter().enumerate();
    places
        .filter_map(|(again, dimension)| Some((place_of(dimension)?, again)))
        .find(|(first, again)| first < again)
}

fn sum(amounts: impl IntoIterator<Item = U256>) -> U256 {
    amounts.into_iter().fold(U256::ZERO, U256::saturating_add)
}

/// What EntryPoint v0.6 asks for before it runs an operation (`_getRequiredPrefund`): a paymaster is run up to twice
/// with the verification's gas.
fn prefund<B, C>(operation: &UserOperation<B, C>, paymaster: Option<Address>) -> U256 {
    let validations = if paymaster.is_some() { 3 } else { 1 };
    let verification = operation.verification_gas_limit.saturating_mul(U256::from(validations));
    sum([operation.call_gas_limit, verification, operation.pre_verification_gas])
        .saturating_mul(operation.max_fee_per_gas)
}
