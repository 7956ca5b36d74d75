use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};

/// A user operation of EntryPoint v0.6 as clients send it: numbers in hexadecimal with 0x, as decimal text or as JSON
/// numbers, and what is not known yet left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    pub(crate) sender: Address,
    pub(crate) nonce: U256,
    #[serde(default)]
    pub(crate) init_code: Bytes,
    pub(crate) call_data: Bytes,
    #[serde(default)]
    pub(crate) call_gas_limit: U256,
    #[serde(default)]
    pub(crate) verification_gas_limit: U256,
    #[serde(default)]
    pub(crate) pre_verification_gas: U256,
    pub(crate) max_fee_per_gas: U256,
    pub(crate) max_priority_fee_per_gas: U256,
    #[serde(default)]
    pub(crate) paymaster_and_data: Bytes,
    #[serde(default)]
    pub(crate) signature: Bytes,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_come_in_three_forms() {
        let operation: Operation = serde_json::from_value(json!({
            "sender": Address::ZERO,
            "nonce": "0x0a",
            "callData": "0x",
            "callGasLimit": "100",
            "verificationGasLimit": 200,
            "maxFeePerGas": "0x1",
            "maxPriorityFeePerGas": "0x0",
        }))
        .unwrap();
        let expected = Operation {
            nonce: U256::from(10),
            call_gas_limit: U256::from(100),
            verification_gas_limit: U256::from(200),
            max_fee_per_gas: U256::ONE,
            ..Operation::default()
        };
        assert_eq!(operation, expected);
        assert_eq!(json!(operation)["callGasLimit"], "0x64");
    }
}
