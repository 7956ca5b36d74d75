//! What bundlers have beyond the standard: a table of methods, and how their fees are read.

use alloy_primitives::U256;
use quorate_transport::{InvalidResponse, RpcError, TransportError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Fees, number};

/// Which methods a bundler has beyond ERC-4337's.
///
/// The standard names no method for fees and none for the state of an operation that waits, so bundlers have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dialect {
    /// ERC-4337's methods and no others.
    Standard,
    /// Pimlico's, of Alto and of bundlers that follow it: `pimlico_getUserOperationGasPrice` and
    /// `pimlico_getUserOperationStatus`.
    Pimlico,
    /// Alchemy's, of Rundler: `rundler_maxPriorityFeePerGas`.
    Rundler,
    /// Biconomy's: `biconomy_getGasFeeValues`, `biconomy_getUserOperationStatus`, and a parameter of
    /// `eth_sendUserOperation` that says what is [simulated](crate::Simulation).
    Biconomy,
}

/// What a bundler says that an operation should pay, in wei for each unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeeAdvice {
    /// Both fees.
    Fees(Fees),
    /// The priority fee only. The caller adds what the chain asks for: `maxFeePerGas` is twice the next block's base
    /// fee and this.
    Priority(U256),
}

/// The dialects that have a method for fees, in the order in which a bundler that has several is taken for one.
pub(crate) const WITH_FEES: [Dialect; 3] = [Dialect::Pimlico, Dialect::Rundler, Dialect::Biconomy];

impl Dialect {
    /// The method for fees.
    pub(crate) const fn fee_method(self) -> Option<&'static str> {
        match self {
            Self::Standard => None,
            Self::Pimlico => Some("pimlico_getUserOperationGasPrice"),
            Self::Rundler => Some("rundler_maxPriorityFeePerGas"),
            Self::Biconomy => Some("biconomy_getGasFeeValues"),
        }
    }

    /// The method for the state of an operation; without one, whether it is known by its hash tells the state.
    pub(crate) const fn status_method(self) -> Option<&'static str> {
        match self {
            Self::Standard | Self::Rundler => None,
            Self::Pimlico => Some("pimlico_getUserOperationStatus"),
            Self::Biconomy => Some("biconomy_getUserOperationStatus"),
        }
    }
}

/// Reads the answer to a dialect's method for fees; none for an answer that is no such advice, `null` for example.
pub(crate) fn read_fees(dialect: Dialect, answer: &Value) -> Option<FeeAdvice> {
    let fees = |json: &Value| Fees::deserialize(json).ok().map(FeeAdvice::Fees);
    match dialect {
        Dialect::Standard => None,
        Dialect::Pimlico => ["standard", "fast"].into_iter().find_map(|tier| fees(answer.get(tier)?)),
        Dialect::Rundler => number::from_json(answer).ok().map(FeeAdvice::Priority),
        Dialect::Biconomy => fees(answer),
    }
}

/// What an answer or an error says of a method for fees: none where the bundler has no such method.
///
/// # Errors
/// An error that says nothing of the method.
pub(crate) fn fee_advice(
    dialect: Dialect,
    answer: Result<Value, TransportError>,
) -> Result<Option<FeeAdvice>, TransportError> {
    match answer {
        Ok(answer) => Ok(read_fees(dialect, &answer)),
        Err(error) if says_that_there_is_none(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the bundler has no such method: that itself, that a request without parameters has wrong
/// ones, or an answer without a result.
fn says_that_there_is_none(error: &TransportError) -> bool {
    match error {
        TransportError::Rpc { error: RpcError { code: -32602, .. }, .. }
        | TransportError::InvalidResponse { reason: InvalidResponse::Empty, .. } => true,
        error => error.is_unsupported_method(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn both(max_fee_per_gas: u64, max_priority_fee_per_gas: u64) -> Option<FeeAdvice> {
        let [max_fee_per_gas, max_priority_fee_per_gas] =
            [max_fee_per_gas, max_priority_fee_per_gas].map(U256::from);
        Some(FeeAdvice::Fees(Fees { max_fee_per_gas, max_priority_fee_per_gas }))
    }

    #[test]
    fn each_dialects_fees_are_read_and_other_shapes_are_none() {
        use Dialect::*;
        let tier = json!({ "maxFeePerGas": "0x3", "maxPriorityFeePerGas": 2 });
        let other = json!({ "maxFeePerGas": "9", "maxPriorityFeePerGas": { "_hex": "0x8" } });
        for (dialect, answer, expected) in [
            (Pimlico, json!({ "slow": other, "standard": tier, "fast": other }), both(3, 2)),
            (Pimlico, json!({ "slow": tier, "fast": other }), both(9, 8)),
            (Pimlico, json!({ "standard": null, "fast": other }), both(9, 8)),
            (Pimlico, json!({ "standard": {}, "fast": other }), both(9, 8)),
            (Pimlico, json!({ "slow": tier }), None),
            (Pimlico, tier.clone(), None),
            (Pimlico, json!("0x10"), None),
            (Pimlico, json!(null), None),
            (Rundler, json!("0x3b9aca00"), Some(FeeAdvice::Priority(U256::from(1_000_000_000)))),
            (Rundler, json!("7"), Some(FeeAdvice::Priority(U256::from(7)))),
            (Rundler, json!(7), Some(FeeAdvice::Priority(U256::from(7)))),
            (Rundler, json!("0x0"), Some(FeeAdvice::Priority(U256::ZERO))),
            (Rundler, json!(null), None),
            (Rundler, json!(""), None),
            (Rundler, json!([]), None),
            (Rundler, tier, None),
            (Biconomy, json!({ "maxPriorityFeePerGas": "1500000000", "maxFeePerGas": "30000000000" }), {
                both(30_000_000_000, 1_500_000_000)
            }),
            (Biconomy, other, both(9, 8)),
            (Biconomy, json!({ "maxPriorityFeePerGas": "1", "maxFeePerGas": null }), None),
            (Biconomy, json!({ "maxFeePerGas": "1" }), None),
            (Biconomy, json!({ "maxPriorityFeePerGas": "x", "maxFeePerGas": "1" }), None),
            (Biconomy, json!(null), None),
            (Standard, json!("0x1"), None),
        ] {
            assert_eq!(read_fees(dialect, &answer), expected, "{dialect:?} {answer}");
        }
    }

    #[test]
    fn dialects_are_named_in_lower_case() {
        for (dialect, name) in [
            (Dialect::Standard, "standard"),
            (Dialect::Pimlico, "pimlico"),
            (Dialect::Rundler, "rundler"),
            (Dialect::Biconomy, "biconomy"),
        ] {
            assert_eq!(json!(dialect), json!(name));
            assert_eq!(serde_json::from_value::<Dialect>(json!(name)).unwrap(), dialect);
        }
    }
}
