//! Operations as bundlers are sent them, and as they answer with them.

use alloy_primitives::{Address, Bytes, U256};
use quorate_core::{SignedUserOperation, UserOperation};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::number::Numbers;

/// A signed operation with bytes of its own.
pub(crate) type Operation = SignedUserOperation<Bytes>;

pub(crate) fn owned<B: AsRef<[u8]>>(signed: &SignedUserOperation<B>) -> Operation {
    let bytes = |bytes: &B| Bytes::copy_from_slice(bytes.as_ref());
    let op = &signed.operation;
    UserOperation {
        sender: op.sender,
        nonce: op.nonce,
        init_code: bytes(&op.init_code),
        call_data: bytes(&op.call_data),
        call_gas_limit: op.call_gas_limit,
        verification_gas_limit: op.verification_gas_limit,
        pre_verification_gas: op.pre_verification_gas,
        max_fee_per_gas: op.max_fee_per_gas,
        max_priority_fee_per_gas: op.max_priority_fee_per_gas,
        paymaster_and_data: bytes(&op.paymaster_and_data),
    }
    .sign(bytes(&signed.signature))
}

/// Reads an operation of a request. Gas and fees may be missing where it is to be estimated.
pub(crate) fn read(value: &Value) -> Result<Operation, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        sender: Address,
        nonce: U256,
        init_code: Bytes,
        call_data: Bytes,
        #[serde(default)]
        call_gas_limit: U256,
        #[serde(default)]
        verification_gas_limit: U256,
        #[serde(default)]
        pre_verification_gas: U256,
        #[serde(default)]
        max_fee_per_gas: U256,
        #[serde(default)]
        max_priority_fee_per_gas: U256,
        paymaster_and_data: Bytes,
        signature: Bytes,
    }
    let wire = Wire::deserialize(value)?;
    let operation = UserOperation {
        sender: wire.sender,
        nonce: wire.nonce,
        init_code: wire.init_code,
        call_data: wire.call_data,
        call_gas_limit: wire.call_gas_limit,
        verification_gas_limit: wire.verification_gas_limit,
        pre_verification_gas: wire.pre_verification_gas,
        max_fee_per_gas: wire.max_fee_per_gas,
        max_priority_fee_per_gas: wire.max_priority_fee_per_gas,
        paymaster_and_data: wire.paymaster_and_data,
    };
    Ok(operation.sign(wire.signature))
}

/// Reads an operation that waits for its paymaster's data: bytes may be missing as well, and numbers may be decimal.
pub(crate) fn read_unsigned(value: &Value) -> Result<Operation, serde_json::Error> {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        for field in ["initCode", "paymasterAndData", "signature"] {
            fields.entry(field).or_insert_with(|| "0x".into());
        }
    }
    read(&value)
}

pub(crate) fn write(signed: &Operation, numbers: Numbers) -> Value {
    let op = &signed.operation;
    json!({
        "sender": op.sender,
        "nonce": numbers.write(op.nonce),
        "initCode": op.init_code,
        "callData": op.call_data,
        "callGasLimit": numbers.write(op.call_gas_limit),
        "verificationGasLimit": numbers.write(op.verification_gas_limit),
        "preVerificationGas": numbers.write(op.pre_verification_gas),
        "maxFeePerGas": numbers.write(op.max_fee_per_gas),
        "maxPriorityFeePerGas": numbers.write(op.max_priority_fee_per_gas),
        "paymasterAndData": op.paymaster_and_data,
        "signature": signed.signature,
    })
}

/// The paymaster, or zero where the account pays.
pub(crate) fn paymaster(signed: &Operation) -> Address {
    let bytes = signed.operation.paymaster_and_data.get(..20);
    bytes.map(Address::from_slice).unwrap_or_default()
}
