//! Policies that are written as a sentence: on which contract, which function, with which arguments.

use core::fmt;

use alloy_primitives::{Address, U256};

use crate::{
    abi::selector::FunctionSelector,
    policy::{
        Policy, Rule, condition::Condition, epoch::SessionEpoch, error::EncodeError,
        reference_value::ReferenceValue,
    },
};

impl Policy {
    /// Starts a policy on `contract`; the function comes next.
    ///
    /// ```
    /// use quorate_core::{Address, Condition, Policy};
    ///
    /// let nft = Address::repeat_byte(0xaa);
    /// let account = Address::repeat_byte(0xbb);
    /// let policy = Policy::on(nft)
    ///     .allow_selector("safeMint(address)".parse()?)
    ///     .word_at(0, Condition::Equal, account)
    ///     .valid_until(1_900_000_000)
    ///     .build()?;
    /// assert_eq!(policy.rules()[0].reference(), account.into());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg_attr(
        feature = "abi",
        doc = r#"
With feature `abi` the function may be anything that alloy knows, and its arguments have positions and names:

```
use alloy_sol_types::sol;
use quorate_core::{Address, Condition, Policy};

sol! {
    #[sol(abi)]
    function safeMint(address to);
}

let nft = Address::repeat_byte(0xaa);
let account = Address::repeat_byte(0xbb);
let policy = Policy::on(nft).allow::<safeMintCall>().arg(0, Condition::Equal, account).build()?;
// `#[sol(abi)]` keeps the names of the arguments.
let named = Policy::on(nft).allow_abi::<safeMintCall>().arg("to", Condition::Equal, account).build()?;
let text = Policy::on(nft).allow_fn("safeMint(address to)")?.arg("to", Condition::Equal, account).build()?;
assert_eq!(policy, named);
assert_eq!(policy, text);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
    )]
    pub const fn on(contract: Address) -> ContractPolicy {
        ContractPolicy { contract }
    }
}

/// A policy on one contract, whose function is still to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ContractPolicy {
    contract: Address,
}

impl ContractPolicy {
    /// Allows calls of the function with `selector`, whatever its arguments are.
    pub const fn allow_selector(self, selector: FunctionSelector) -> PolicyBuilder<Words> {
        self.builder(selector, Words(()))
    }

    pub(crate) const fn builder<F>(self, selector: FunctionSelector, function: F) -> PolicyBuilder<F> {
        PolicyBuilder {
            policy: Policy::new(self.contract, selector),
            value_limit: U256::ZERO,
            valid_after: 0,
            valid_until: 0,
            function,
            errors: PolicyErrors(Errors::new()),
        }
    }
}

/// Nothing is known of the function but its selector, so a rule says at which byte its word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words(());

/// A policy in the making. `F` is what is known of the function's arguments: [`Words`], or `Arguments` with feature
/// `abi`.
///
/// What is wrong is kept until [`build`](Self::build), which reports all of it. There is room for 16 rules.
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder<F> {
    policy: Policy,
    value_limit: U256,
    valid_after: u64,
    valid_until: u64,
    #[cfg_attr(not(feature = "abi"), expect(dead_code, reason = "`Words` only tells builders apart"))]
    pub(crate) function: F,
    errors: PolicyErrors,
}

impl PolicyBuilder<Words> {
    /// Demands that the 32-byte word at `offset` compares with `reference` as `condition` says; see [`Rule::new`].
    ///
    /// `offset` counts bytes from the end of the four-byte selector. Numbers and addresses stand right in their word,
    /// `bytesN` left: a reference for one is the whole word as a [`B256`](crate::B256), zeros on its right.
    pub fn word_at(
        mut self,
        offset: u16,
        condition: Condition,
        reference: impl Into<ReferenceValue>,
    ) -> Self {
        if let Err(error) = self.push_rule(Rule::new(offset, condition, reference)) {
            self.errors.0.retain(|earlier| *earlier != PolicyError::Encode(error));
            self.report(PolicyError::Encode(error));
        }
        self
    }
}

impl<F> PolicyBuilder<F> {
    /// Sets the value in wei that one call may carry. It is 0 unless set.
    pub fn with_value_limit(self, wei: u128) -> Self {
        self.with_value_limit_wei(U256::from(wei))
    }

    /// As [`with_value_limit`](Self::with_value_limit), from a 256-bit number, which has to be below 2^128.
    pub fn with_value_limit_wei(mut self, wei: U256) -> Self {
        self.value_limit = wei;
        self
    }

    /// Sets the first second at which the session is valid, in seconds since 1970, below 2^48. 0 means from the
    /// beginning.
    pub fn valid_after(mut self, time: u64) -> Self {
        self.valid_after = time;
        self
    }

    /// Sets the last second at which the session is valid, in seconds since 1970, below 2^48. 0 means without end.
    pub fn valid_until(mut self, time: u64) -> Self {
        self.valid_until = time;
        self
    }

    /// Sets when the session is valid, both ends at once.
    pub fn with_epoch(self, epoch: SessionEpoch) -> Self {
        self.valid_after(epoch.valid_after()).valid_until(epoch.valid_until())
    }

    /// The policy.
    ///
    /// # Errors
    /// [`PolicyErrors`] lists all that is wrong with it.
    pub fn build(self) -> Result<Policy, PolicyErrors> {
        let Self { policy, value_limit, valid_after, valid_until, mut errors, .. } = self;
        let limited = policy.with_value_limit_wei(value_limit);
        let epoch = SessionEpoch::new(valid_after, valid_until);
        match (limited, epoch) {
            (Ok(policy), Ok(epoch)) if errors.0.is_empty() => Ok(policy.with_epoch(epoch)),
            (limited, _) => {
                // Each end by itself, so that both are reported.
                let ends = [SessionEpoch::new(valid_after, 0).err(), SessionEpoch::new(0, valid_until).err()];
                let found = limited.err().into_iter().chain(ends.into_iter().flatten());
                errors.0.extend(found.map(PolicyError::Encode));
                Err(errors)
            }
        }
    }

    pub(crate) fn push_rule(&mut self, rule: Rule) -> Result<(), EncodeError> {
        self.policy = self.policy.clone().with_rule(rule)?;
        Ok(())
    }

    pub(crate) fn report(&mut self, error: PolicyError) {
        self.errors.0.extend([error]);
    }
}

/// So that a builder may stand wherever a policy is taken by `TryInto<Policy>`.
impl<F> TryFrom<PolicyBuilder<F>> for Policy {
    type Error = PolicyErrors;

    fn try_from(builder: PolicyBuilder<F>) -> Result<Self, PolicyErrors> {
        builder.build()
    }
}

#[cfg(feature = "abi")]
type Errors = alloc::vec::Vec<PolicyError>;
/// Without arguments there are too many rules, a value limit and two times to be wrong, each at most once.
#[cfg(not(feature = "abi"))]
type Errors = heapless::Vec<PolicyError, 4>;

/// Everything that is wrong with a policy, at least one error.
///
/// [`Display`](fmt::Display) lists each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(Errors);

impl PolicyErrors {
    /// The errors: of the function, of its arguments and rules in their order, of the value limit, of the times.
    pub fn as_slice(&self) -> &[PolicyError] {
        &self.0
    }

    /// The errors in the order of [`as_slice`](Self::as_slice).
    pub fn iter(&self) -> core::slice::Iter<'_, PolicyError> {
        self.0.iter()
    }
}

/// A policy that is built has no errors.
impl From<core::convert::Infallible> for PolicyErrors {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

impl<'a> IntoIterator for &'a PolicyErrors {
    type Item = &'a PolicyError;
    type IntoIter = core::slice::Iter<'a, PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [error] = self.as_slice() {
            return error.fmt(f);
        }
        write!(f, "the policy has {} errors:", self.0.len())?;
        self.iter().try_for_each(|error| write!(f, "\n- {error}"))
    }
}

impl core::error::Error for PolicyErrors {}

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Something that cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The function's own description is wrong.
    #[cfg(feature = "abi")]
    #[error("function {function}: {error}")]
    Function {
        /// The function's signature as it was given.
        function: alloc::string::String,
        /// What is wrong with it.
        #[source]
        error: super::arguments::FunctionError,
    },
    /// A demand on an argument is wrong.
    #[cfg(feature = "abi")]
    #[error("argument {argument}: {error}")]
    Argument {
        /// The argument as it was given: its position or its name, and the way to the component that was meant.
        argument: alloc::string::String,
        /// What is wrong with it.
        #[source]
        error: super::arguments::ArgumentError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::error::TimeField;
    use std::string::ToString as _;

    fn builder() -> PolicyBuilder<Words> {
        Policy::on(Address::ZERO).allow_selector(FunctionSelector::new([1, 2, 3, 4]))
    }

    #[test]
    fn sets_what_a_policy_has() {
        let policy = builder()
            .word_at(32, Condition::LessThan, 7_u64)
            .with_value_limit(5)
            .valid_after(10)
            .valid_until(20)
            .build()
            .unwrap();
        let expected = Policy::new(Address::ZERO, [1, 2, 3, 4].into())
            .with_rule(Rule::new(32, Condition::LessThan, 7_u64))
            .unwrap()
            .with_value_limit(5)
            .with_epoch(SessionEpoch::new(10, 20).unwrap());
        assert_eq!(policy, expected);
        assert_eq!(Policy::try_from(builder().with_epoch(policy.epoch())).unwrap().epoch(), policy.epoch());
    }

    #[test]
    fn reports_everything_that_is_wrong_once() {
        let mut builder = builder();
        for _ in 0..20 {
            builder = builder.word_at(0, Condition::Equal, 1_u64);
        }
        let errors =
            builder.with_value_limit_wei(U256::MAX).valid_after(1 << 48).valid_until(1 << 50).build();
        let errors = errors.unwrap_err();
        let expected = [
            EncodeError::TooManyRules { limit: 16 },
            EncodeError::ValueLimitTooLarge { value: U256::MAX },
            EncodeError::TimeTooLarge { field: TimeField::ValidAfter, value: 1 << 48 },
            EncodeError::TimeTooLarge { field: TimeField::ValidUntil, value: 1 << 50 },
        ];
        assert_eq!(errors.as_slice(), expected.map(PolicyError::Encode));
        let text = errors.to_string();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("\n- rules: this policy has room for 16\n- valueLimit"), "{text}");
    }

    #[test]
    fn one_error_stands_for_itself() {
        let errors = builder().valid_until(1 << 48).build().unwrap_err();
        assert_eq!(errors.to_string(), errors.as_slice().first().unwrap().to_string());
    }
}
