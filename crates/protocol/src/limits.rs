use std::num::NonZeroU64;

use alloy_primitives::{Address, FixedBytes, U256, hex};
use quorate_core::{AccountCall, FunctionSelector, UserOperation};
use serde::{Deserialize, Serialize};

use crate::json;
use crate::paymaster::{self, MalformedPaymaster};

/// What all operations of a key may come to, counted by the nodes before they sign.
///
/// The chain enforces policies call by call and has no memory of earlier ones; these limits are the network's. With
/// *f* bad nodes of *n* a total holds while *f* < 2*t*−*n*, and is then exceeded at most (*n*−*f*)/(*t*−*f*) times.
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

/// The total of a `uint256` argument over all calls of one function.
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

    const fn check(self, paymaster: Option<Address>) -> Result<(), Uncountable> {
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

/// What a total is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dimension {
    /// Operations.
    Uses,
    /// Operations in one window of this length, in seconds.
    UsesInWindow(NonZeroU64),
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
}

impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uses => f.write_str("number of uses"),
            Self::UsesInWindow(seconds) => write!(f, "number of uses within {seconds} s"),
            Self::NativeValue => f.write_str("value sent in all (wei)"),
            Self::GasCost => f.write_str("gas cost in all (wei)"),
            Self::Argument { contract, selector, offset } => {
                let selector = hex::encode_prefixed(selector.as_bytes());
                write!(f, "total of the argument at byte {offset} of {selector} at {contract}")
            }
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
    /// The most argument limits.
    pub const MAX_ARGUMENTS: usize = 64;

    /// What is counted, in an order that depends on nothing but the limits.
    pub fn counters(&self) -> Vec<Counter> {
        let uses = self.uses.map(|uses| (Dimension::Uses, U256::from(uses)));
        let window =
            self.window.map(|window| (Dimension::UsesInWindow(window.seconds), U256::from(window.uses)));
        let value = self.native_value.map(|limit| (Dimension::NativeValue, limit));
        let gas = self.gas_cost.map(|limit| (Dimension::GasCost, limit));
        let arguments = self.arguments.iter().map(|argument| (argument.dimension(), argument.total));
        let all = [uses, window, value, gas].into_iter().flatten().chain(arguments);
        all.map(|(dimension, limit)| Counter { dimension, limit }).collect()
    }

    /// The places of two limits of the same argument.
    pub(crate) fn repeated_argument(&self) -> Option<(usize, usize)> {
        let place_of = |limit: &ArgumentLimit| {
            self.arguments.iter().position(|earlier| earlier.dimension() == limit.dimension())
        };
        let places = self.arguments.iter().enumerate();
        places
            .filter_map(|(again, limit)| Some((place_of(limit)?, again)))
            .find(|(first, again)| first < again)
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
        let amount = |counter: &Counter| match counter.dimension {
            Dimension::Uses | Dimension::UsesInWindow(_) => Ok(U256::ONE),
            Dimension::NativeValue => Ok(sum(calls.calls().map(|call| call.value))),
            Dimension::GasCost => Ok(prefund(operation, paymaster)),
            Dimension::Argument { contract, selector, offset } => {
                let arguments = calls.calls().filter(|call| call.to == contract).filter_map(|call| {
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

impl ArgumentLimit {
    const fn dimension(&self) -> Dimension {
        Dimension::Argument {
            contract: self.contract,
            selector: FunctionSelector::new(self.selector.0),
            offset: self.offset,
        }
    }
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
