use alloy_primitives::{Address, U256, hex};
use quorate_core::UserOperation;
use quorate_core::json::number;
use serde::{Deserialize, Serialize, Serializer};

use crate::json::{self, JsonError};

/// The message of a request for a session's signature: a whole user operation and where it is to run.
///
/// The network signs the EIP-191 digest of the operation's hash, which each node computes from this itself.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationMessage {
    /// The operation.
    pub operation: UserOperation<Vec<u8>>,
    /// Its entry point.
    pub entry_point: Address,
    /// Its chain.
    pub chain_id: u64,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not the JSON of a user operation in its context.
    #[error("the message to sign cannot be read")]
    Json(#[from] JsonError),
    /// An entry point version whose operations have another form.
    #[error("the message is for entry point {found}; this network signs for {ENTRY_POINT_VERSION}")]
    EntryPointVersion {
        /// The version in the message.
        found: String,
    },
    /// Bytes that are none.
    #[error("`{field}` is not hex")]
    Bytes {
        /// The field.
        field: &'static str,
    },
}

const ENTRY_POINT_VERSION: &str = "v0.6.0";

impl OperationMessage {
    /// Reads the JSON of the JavaScript SDK (byte strings without 0x, some numbers decimal) and of our own client.
    ///
    /// # Errors
    /// Text that is no such message, an entry point other than v0.6.0, or a field of the wrong form.
    pub fn from_json(text: &str) -> Result<Self, MessageError> {
        let MessageText { user_operation: op, entry_point_version, entry_point_address, chain_id } =
            json::read(text)?;
        if entry_point_version != ENTRY_POINT_VERSION {
            return Err(MessageError::EntryPointVersion { found: entry_point_version });
        }
        let operation = UserOperation {
            sender: op.sender,
            nonce: op.nonce,
            init_code: bytes("initCode", &op.init_code)?,
            call_data: bytes("callData", &op.call_data)?,
            call_gas_limit: op.call_gas_limit,
            verification_gas_limit: op.verification_gas_limit,
            pre_verification_gas: op.pre_verification_gas,
            max_fee_per_gas: op.max_fee_per_gas,
            max_priority_fee_per_gas: op.max_priority_fee_per_gas,
            paymaster_and_data: bytes("paymasterAndData", &op.paymaster_and_data)?,
        };
        Ok(Self { operation, entry_point: entry_point_address, chain_id })
    }

    /// The JSON, in the JavaScript SDK's own form.
    pub fn to_json(&self) -> String {
        let op = &self.operation;
        let user_operation = OperationText {
            sender: op.sender,
            nonce: op.nonce,
            init_code: hex::encode(&op.init_code),
            call_data: hex::encode(&op.call_data),
            call_gas_limit: op.call_gas_limit,
            verification_gas_limit: op.verification_gas_limit,
            pre_verification_gas: op.pre_verification_gas,
            max_fee_per_gas: op.max_fee_per_gas,
            max_priority_fee_per_gas: op.max_priority_fee_per_gas,
            paymaster_and_data: hex::encode(&op.paymaster_and_data),
            signature: None,
        };
        let message = MessageText {
            user_operation,
            entry_point_version: ENTRY_POINT_VERSION.to_owned(),
            entry_point_address: self.entry_point,
            chain_id: self.chain_id,
        };
        serde_json::to_string(&message).unwrap_or_default()
    }
}

fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, MessageError> {
    hex::decode(text).map_err(|_| MessageError::Bytes { field })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessageText {
    user_operation: OperationText,
    entry_point_version: String,
    entry_point_address: Address,
    chain_id: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OperationText {
    sender: Address,
    #[serde(deserialize_with = "number", serialize_with = "hexadecimal")]
    nonce: U256,
    init_code: String,
    call_data: String,
    #[serde(deserialize_with = "number", serialize_with = "decimal")]
    call_gas_limit: U256,
    #[serde(deserialize_with = "number", serialize_with = "decimal")]
    verification_gas_limit: U256,
    #[serde(deserialize_with = "number", serialize_with = "hexadecimal")]
    pre_verification_gas: U256,
    #[serde(deserialize_with = "number", serialize_with = "hexadecimal")]
    max_fee_per_gas: U256,
    #[serde(deserialize_with = "number", serialize_with = "hexadecimal")]
    max_priority_fee_per_gas: U256,
    paymaster_and_data: String,
    /// The JavaScript SDK leaves its dummy signature in; the hash does not cover it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

fn hexadecimal<S: Serializer>(number: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}

fn decimal<S: Serializer>(number: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
