//! How a user operation ended, as bundlers write it.

use alloy_primitives::{Address, B256, Bytes, Log as EventLog, U256, hex};
use alloy_sol_types::SolEvent as _;
use quorate_contracts::EntryPoint::UserOperationEvent;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{number, revert};

/// How a user operation ended, once it is in a block.
///
/// Read are the forms in which bundlers were seen to write it. Only two things must be there: the transaction, and
/// whether the operation's call went through. Where `success` is missing, the entry point's `UserOperationEvent` for
/// this operation in the logs says it; a receipt with neither cannot be read. The transaction's `status` says nothing
/// of one operation in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct UserOperationReceipt {
    /// The operation.
    pub user_op_hash: B256,
    /// The account, where the bundler says it.
    pub sender: Option<Address>,
    /// Whether its call went through; where not, the fee is paid all the same.
    pub success: bool,
    /// Why its call reverted, where the bundler says so: in words, decoded where it came as revert data. An error of the
    /// contract's own is left as its hex data.
    pub reason: Option<String>,
    /// What was paid, in wei.
    pub actual_gas_cost: Option<U256>,
    /// What was used, in gas.
    pub actual_gas_used: Option<U256>,
    /// Who paid; none where the account did.
    pub paymaster: Option<Address>,
    /// The events of this operation, without those of the others in the transaction; empty where the bundler gives none.
    pub logs: Vec<Log>,
    /// The transaction that carried it.
    pub receipt: TransactionReceipt,
}

/// The part of a transaction's receipt that says where an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// Its block's number.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub block_number: Option<U256>,
    /// Its block's hash.
    #[serde(default, deserialize_with = "optional_hash")]
    pub block_hash: Option<B256>,
    /// All events of the transaction; empty where the bundler gives none.
    #[serde(default, deserialize_with = "logs")]
    pub logs: Vec<Log>,
}

/// An event of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// The contract.
    pub address: Address,
    /// Which event, and its indexed arguments.
    #[serde(default)]
    pub topics: Vec<B256>,
    /// Its other arguments, ABI-encoded.
    #[serde(default, deserialize_with = "bytes")]
    pub data: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    user_op_hash: B256,
    #[serde(default, deserialize_with = "optional_address")]
    sender: Option<Address>,
    #[serde(default, deserialize_with = "optional_bool")]
    success: Option<bool>,
    #[serde(default)]
    reason: Value,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    actual_gas_cost: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    actual_gas_used: Option<U256>,
    #[serde(default, deserialize_with = "optional_address")]
    paymaster: Option<Address>,
    #[serde(default, deserialize_with = "logs")]
    logs: Vec<Log>,
    receipt: TransactionReceipt,
}

/// Fills in what a receipt leaves to be understood: the hash that was asked for, and a `receipt` of the transaction
/// whose fields stand beside those of the operation.
pub(crate) fn fill_in(answer: &mut Map<String, Value>, asked: B256) {
    let hash = answer.entry("userOpHash").or_insert(Value::Null);
    if hash.is_null() {
        *hash = Value::String(asked.to_string());
    }
    if answer.get("receipt").is_none_or(Value::is_null) && answer.contains_key("transactionHash") {
        let names = ["transactionHash", "blockNumber", "blockHash"];
        let fields = names.into_iter().filter_map(|name| Some((name.to_owned(), answer.get(name)?.clone())));
        let transaction = fields.collect();
        answer.insert("receipt".to_owned(), Value::Object(transaction));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("neither `success` nor the entry point's event for the operation says whether its call went through")]
struct UnknownSuccess;

impl TryFrom<Wire> for UserOperationReceipt {
    type Error = UnknownSuccess;

    fn try_from(wire: Wire) -> Result<Self, UnknownSuccess> {
        let by_event =
            || wire.logs.iter().chain(&wire.receipt.logs).find_map(|log| success(log, wire.user_op_hash));
        let success = wire.success.or_else(by_event).ok_or(UnknownSuccess)?;
        Ok(Self {
            user_op_hash: wire.user_op_hash,
            sender: wire.sender,
            success,
            reason: revert::of_receipt(&wire.reason),
            actual_gas_cost: wire.actual_gas_cost,
            actual_gas_used: wire.actual_gas_used,
            paymaster: wire.paymaster.filter(|paymaster| !paymaster.is_zero()),
            logs: wire.logs,
            receipt: wire.receipt,
        })
    }
}

/// What the entry point's event says of an operation; none for other events and operations.
fn success(log: &Log, user_op_hash: B256) -> Option<bool> {
    let log = EventLog::new(log.address, log.topics.clone(), log.data.clone())?;
    let event = UserOperationEvent::decode_log(&log).ok()?.data;
    (event.userOpHash == user_op_hash).then_some(event.success)
}

fn optional_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let json = Value::deserialize(deserializer)?;
    read_bool(&json).map_err(|()| D::Error::custom(format_args!("{json} is neither true nor false")))
}

/// True and false as JSON, 0 and 1 in any form of a number, or either as text; an error for everything else.
pub(crate) fn read_bool(json: &Value) -> Result<Option<bool>, ()> {
    match json {
        Value::Null => return Ok(None),
        Value::Bool(value) => return Ok(Some(*value)),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) if text.eq_ignore_ascii_case("true") => return Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => return Ok(Some(false)),
        _ => {}
    }
    match number::from_json(json) {
        Ok(U256::ZERO) => Ok(Some(false)),
        Ok(U256::ONE) => Ok(Some(true)),
        _ => Err(()),
    }
}

/// The text of a value that may be missing: none for `null`, an empty string and `0x`.
fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("0x")))
}

pub(crate) fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Address>, D::Error> {
    let text = optional_text(deserializer)?;
    text.map(|text| text.parse().map_err(|_| D::Error::custom(format_args!("`{text}` is not an address"))))
        .transpose()
}

pub(crate) fn optional_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<B256>, D::Error> {
    let text = optional_text(deserializer)?;
    let hash: Option<B256> = text
        .map(|text| text.parse().map_err(|_| D::Error::custom(format_args!("`{text}` is not a hash"))))
        .transpose()?;
    Ok(hash.filter(|hash| !hash.is_zero()))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = optional_text(deserializer)?.unwrap_or_default();
    hex::decode(&text).map(Bytes::from).map_err(|_| D::Error::custom(format_args!("`{text}` is not hex")))
}

/// Events, or none where it is no list: they are an addition to what the receipt says.
fn logs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Log>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Array(logs) => {
            logs.into_iter().map(|log| serde_json::from_value(log).map_err(D::Error::custom)).collect()
        }
        _ => Ok(Vec::new()),
    }
}
