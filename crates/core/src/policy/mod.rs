//! What a session key may do.

#[cfg(feature = "abi")]
pub(crate) mod arguments;
pub(crate) mod builder;
pub(crate) mod condition;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod reference_value;

use alloy_primitives::{Address, U256};

use self::{condition::Condition, epoch::SessionEpoch, error::EncodeError, reference_value::ReferenceValue};
use crate::abi::selector::FunctionSelector;

/// A demand on one argument of the permitted function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    offset: u16,
    condition: Condition,
    reference: ReferenceValue,
}

impl Rule {
    /// Demands that the 32-byte word at `offset` compares with `reference` as `condition` says.
    ///
    /// `offset` counts bytes from the end of the four-byte selector, so that argument `n` of static types stands
    /// at `32 * n`.
    pub fn new(offset: u16, condition: Condition, reference: impl Into<ReferenceValue>) -> Self {
        Self { offset, condition, reference: reference.into() }
    }

    /// Where the word stands, in bytes from the end of the selector.
    pub const fn offset(&self) -> u16 {
        self.offset
    }

    /// How it is compared.
    pub const fn condition(&self) -> Condition {
        self.condition
    }

    /// What it is compared with.
    pub const fn reference(&self) -> ReferenceValue {
        self.reference
    }
}

/// What a session key may do: call one function of one contract, with at most so much value, with arguments
/// that follow rules, for a while.
///
/// It says nothing of the key, which may not exist yet. `RULES` is the number of rules there is room for.
///
/// ```
/// use quorate_core::{Address, Condition, Policy, Rule, SessionEpoch, U256};
///
/// let token = Address::repeat_byte(0x11);
/// let policy = Policy::new(token, "transfer(address,uint256)".parse()?)
///     .with_rule(Rule::new(32, Condition::LessThanOrEqual, U256::from(1_000)))?
///     .with_epoch(SessionEpoch::new(0, 1_900_000_000)?);
/// assert_eq!(policy.selector().to_string(), "0xa9059cbb");
/// assert_eq!(policy.value_limit(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy<const RULES: usize = 16> {
    contract: Address,
    selector: FunctionSelector,
    value_limit: u128,
    rules: heapless::Vec<Rule, RULES>,
    epoch: SessionEpoch,
}

impl Policy {
    /// Permits calls of `selector` on `contract`, without value, with any arguments, at any time.
    ///
    /// There is room for 16 rules; [`Policy::empty`] takes any other number.
    pub const fn new(contract: Address, selector: FunctionSelector) -> Self {
        Self::empty(contract, selector)
    }
}

impl<const RULES: usize> Policy<RULES> {
    /// The number of rules that it can hold.
    pub const MAX_RULES: usize = if RULES < MAX_RULES { RULES } else { MAX_RULES };

    /// As [`Policy::new`], with room for `RULES` rules.
    pub const fn empty(contract: Address, selector: FunctionSelector) -> Self {
        Self {
            contract,
            selector,
            value_limit: 0,
            rules: heapless::Vec::new(),
            epoch: SessionEpoch::UNLIMITED,
        }
    }

    /// Adds a rule. All rules have to hold.
    ///
    /// # Errors
    /// [`EncodeError::TooManyRules`] when there is no room for it.
    pub fn with_rule(mut self, rule: Rule) -> Result<Self, EncodeError> {
        if self.rules.len() == Self::MAX_RULES || self.rules.push(rule).is_err() {
            return Err(EncodeError::TooManyRules { limit: Self::MAX_RULES });
        }
        Ok(self)
    }

    /// Sets the value in wei that one call may carry. It is 0 unless set.
    #[must_use]
    pub const fn with_value_limit(mut self, wei: u128) -> Self {
        self.value_limit = wei;
        self
    }

    /// As [`with_value_limit`](Self::with_value_limit), from a 256-bit number.
    ///
    /// # Errors
    /// [`EncodeError::ValueLimitTooLarge`] for 2^128 wei or more.
    pub fn with_value_limit_wei(self, wei: U256) -> Result<Self, EncodeError> {
        match wei.try_into() {
            Ok(wei) => Ok(self.with_value_limit(wei)),
            Err(_) => Err(EncodeError::ValueLimitTooLarge { value: wei }),
        }
    }

    /// Sets when the session is valid. It is always valid unless set.
    #[must_use]
    pub const fn with_epoch(mut self, epoch: SessionEpoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// The contract that may be called.
    pub const fn contract(&self) -> Address {
        self.contract
    }

    /// The function that may be called.
    pub const fn selector(&self) -> FunctionSelector {
        self.selector
    }

    /// The value in wei that one call may carry.
    pub const fn value_limit(&self) -> u128 {
        self.value_limit
    }

    /// The rules, in the order in which they are checked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// When the session is valid.
    pub const fn epoch(&self) -> SessionEpoch {
        self.epoch
    }
}

/// The rules that the two-byte count in session key data can number.
const MAX_RULES: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy<const RULES: usize>() -> Policy<RULES> {
        Policy::empty(Address::ZERO, FunctionSelector::new([0; 4]))
    }

    #[test]
    fn rules_up_to_the_room_there_is() {
        let rule = Rule::new(0, Condition::Equal, 1_u64);
        let full = policy::<1>().with_rule(rule).unwrap();
        assert_eq!(full.with_rule(rule), Err(EncodeError::TooManyRules { limit: 1 }));
        assert_eq!(policy::<0>().with_rule(rule), Err(EncodeError::TooManyRules { limit: 0 }));
        assert_eq!(Policy::<70_000>::MAX_RULES, 65_535);
    }

    #[test]
    fn value_limits_have_128_bits() {
        let most = U256::from(u128::MAX);
        assert_eq!(policy::<0>().with_value_limit_wei(most).unwrap().value_limit(), u128::MAX);
        let value = most + U256::from(1);
        assert_eq!(policy::<0>().with_value_limit_wei(value), Err(EncodeError::ValueLimitTooLarge { value }));
    }
}
