use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::number;

/// What a user operation needs, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GasEstimate {
    /// For the bundler's own costs.
    #[serde(deserialize_with = "number::read")]
    pub pre_verification_gas: U256,
    /// For validation, and deployment where the account does not exist.
    #[serde(deserialize_with = "number::read")]
    pub verification_gas_limit: U256,
    /// For the call itself.
    #[serde(deserialize_with = "number::read")]
    pub call_gas_limit: U256,
}

/// Fees in wei for each unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// The most that is paid.
    #[serde(deserialize_with = "number::read")]
    pub max_fee_per_gas: U256,
    /// The most that goes to the block's builder.
    #[serde(deserialize_with = "number::read")]
    pub max_priority_fee_per_gas: U256,
}

/// How a user operation ended, once it is in a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserOperationReceipt {
    /// The operation.
    pub user_op_hash: B256,
    /// The account.
    pub sender: Address,
    /// Whether its call went through; where not, the fee is paid all the same.
    #[serde(deserialize_with = "read_bool")]
    pub success: bool,
    /// Why its call reverted, where the bundler says so.
    #[serde(default)]
    pub reason: Option<String>,
    /// What was paid, in wei.
    #[serde(default, deserialize_with = "number::read_optional")]
    pub actual_gas_cost: Option<U256>,
    /// What was used, in gas.
    #[serde(default, deserialize_with = "number::read_optional")]
    pub actual_gas_used: Option<U256>,
    /// Who paid; the zero address or none where the account did.
    #[serde(default)]
    pub paymaster: Option<Address>,
    /// The transaction that carried it.
    pub receipt: TransactionReceipt,
}

/// The part of a transaction's receipt that says where an operation is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// Its block.
    #[serde(default, deserialize_with = "number::read_optional")]
    pub block_number: Option<U256>,
}

/// A user operation known to the bundler, and where it was mined.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserOperationByHash {
    /// The entry point.
    pub entry_point: Address,
    /// The transaction; none while it waits.
    #[serde(default)]
    pub transaction_hash: Option<B256>,
    /// The block; none while it waits.
    #[serde(default, deserialize_with = "number::read_optional")]
    pub block_number: Option<U256>,
    /// The operation as the bundler writes it.
    pub user_operation: serde_json::Value,
}

fn read_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Bool(bool),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Bool(value) => Ok(value),
        Form::Text(text) if text == "true" => Ok(true),
        Form::Text(text) if text == "false" => Ok(false),
        Form::Text(text) => Err(D::Error::custom(format!("`{text}` is neither true nor false"))),
    }
}

/// A user operation as bundlers take it: quantities in hex without leading zeros.
pub(crate) fn to_wire<B: AsRef<[u8]>>(signed: &quorate_core::SignedUserOperation<B>) -> serde_json::Value {
    let op = &signed.operation;
    let bytes = |bytes: &B| Bytes::copy_from_slice(bytes.as_ref());
    serde_json::json!({
        "sender": op.sender,
        "nonce": op.nonce,
        "initCode": bytes(&op.init_code),
        "callData": bytes(&op.call_data),
        "callGasLimit": op.call_gas_limit,
        "verificationGasLimit": op.verification_gas_limit,
        "preVerificationGas": op.pre_verification_gas,
        "maxFeePerGas": op.max_fee_per_gas,
        "maxPriorityFeePerGas": op.max_priority_fee_per_gas,
        "paymasterAndData": bytes(&op.paymaster_and_data),
        "signature": bytes(&signed.signature),
    })
}
