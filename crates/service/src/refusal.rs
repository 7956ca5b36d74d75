//! Why something is refused, as every refusal of the service says it: by which rule, what it expects, and what was found.

use std::error::Error as _;

use quorate::{CallRefusal, Error};
use quorate_core::{Erc20Refusal, Refusal as AbiRefusal};
use quorate_protocol::Refusal as NetworkRefusal;
use serde::Serialize;

/// A refusal, as the `data` of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// The call's place, from 0, where one call of several is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<usize>,
    /// Which rule.
    pub(crate) rule: String,
    /// What it expects.
    pub(crate) expected: String,
    /// What was found.
    pub(crate) actual: String,
}

impl Refusal {
    pub(crate) fn new(rule: impl Into<String>, expected: impl ToString, actual: impl ToString) -> Self {
        Self { call: None, rule: rule.into(), expected: expected.to_string(), actual: actual.to_string() }
    }

    /// The refusal in an error: of a session's policies, or of the nodes that hold its key. None where it is none.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Forbidden { call, refusal } => Some(Self { call: Some(*call), ..Self::of_call(refusal) }),
            Error::NoSessionAllows { refusal: Some(refusal) } => Some(Self::of_call(refusal)),
            Error::NoSessionAllows { refusal: None } => {
                Some(Self::new("session", "a live session that this token may use", "none"))
            }
            error => {
                let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
                let refusal = causes.find_map(|cause| cause.downcast_ref::<NetworkRefusal>())?;
                (!refusal.is_transient()).then(|| Self::of_network(refusal))
            }
        }
    }

    fn of_call(refusal: &CallRefusal) -> Self {
        match refusal {
            CallRefusal::Abi(refusal) => Self::of_abi(refusal),
            CallRefusal::Erc20(refusal) => Self::of_erc20(refusal),
            CallRefusal::UnknownModule { module } => Self::new("module", "a module that is known", module),
            CallRefusal::NotYetValid { valid_after, now } => Self::new("validAfter", valid_after, now),
            CallRefusal::Expired { valid_until, now } => Self::new("validUntil", valid_until, now),
            other => Self::new("policy", "a call that the policies allow", other),
        }
    }

    fn of_abi(refusal: &AbiRefusal) -> Self {
        match refusal {
            AbiRefusal::DestinationForbidden { called, permitted } => {
                Self::new("contract", permitted, called)
            }
            AbiRefusal::SelectorForbidden { called, permitted } => Self::new("function", permitted, called),
            AbiRefusal::InnerCallDataTooShort { len } => {
                Self::new("function", "a selector of 4 bytes", format_args!("{len} bytes"))
            }
            AbiRefusal::ValueExceeded { value, limit } => {
                Self::new("value", format_args!("at most {limit} wei"), format_args!("{value} wei"))
            }
            AbiRefusal::RuleViolated { rule, offset, condition, word, reference } => Self::new(
                format!("rules[{rule}]: the word at offset {offset}"),
                format_args!("{condition} {reference}"),
                word,
            ),
            AbiRefusal::WordOutOfBounds { rule, offset, len } => Self::new(
                format!("rules[{rule}]: the word at offset {offset}"),
                "call data that has it",
                format_args!("{len} bytes"),
            ),
            other => Self::new("policy", "a call that the policy allows", other),
        }
    }

    fn of_erc20(refusal: &Erc20Refusal) -> Self {
        match refusal {
            Erc20Refusal::TokenForbidden { called, permitted } => Self::new("token", permitted, called),
            Erc20Refusal::RecipientForbidden { called, permitted } => {
                Self::new("recipient", permitted, called)
            }
            Erc20Refusal::AmountExceeded { amount, limit } => {
                Self::new("amount", format_args!("at most {limit}"), amount)
            }
            Erc20Refusal::ValueForbidden { value } => {
                Self::new("value", "0 wei", format_args!("{value} wei"))
            }
            other => Self::new("policy", "a call that the policy allows", other),
        }
    }

    /// The nodes say it in words; limits with numbers.
    fn of_network(refusal: &NetworkRefusal) -> Self {
        match refusal {
            NetworkRefusal::Limit { limited, total, limit } => {
                Self::new(limited.to_string(), format_args!("at most {limit}"), total)
            }
            other => Self::new(other.code(), "what the signing network signs", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::{Address, B256, Condition, U256};

    use super::*;

    #[test]
    fn a_refusal_names_the_rule_and_both_values() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let call = |refusal: AbiRefusal| Error::Forbidden { call: 1, refusal: refusal.into() };
        let of = |error: &Error| {
            let Refusal { call, rule, expected, actual } = Refusal::of(error).unwrap();
            (call, rule, expected, actual)
        };
        let destination = call(AbiRefusal::DestinationForbidden { called: one, permitted: two });
        assert_eq!(of(&destination), (Some(1), "contract".into(), two.to_string(), one.to_string()));
        let value = call(AbiRefusal::ValueExceeded { value: U256::from(7), limit: 5 });
        assert_eq!(of(&value), (Some(1), "value".into(), "at most 5 wei".into(), "7 wei".into()));
        let (word, reference) = (B256::repeat_byte(3), B256::repeat_byte(4));
        let rule =
            AbiRefusal::RuleViolated { rule: 2, offset: 32, condition: Condition::Equal, word, reference };
        let (_, rule, expected, actual) = of(&call(rule));
        assert_eq!(rule, "rules[2]: the word at offset 32");
        assert!(expected.ends_with(&reference.to_string()) && actual == word.to_string(), "{expected}");
        assert_eq!(of(&Error::NoSessionAllows { refusal: None }).1, "session");
        assert!(Refusal::of(&Error::NoPolicy).is_none());
    }
}
