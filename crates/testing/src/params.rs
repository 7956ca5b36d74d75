//! The parameters of requests.

use alloy_primitives::{B256, U64};
use quorate_transport::RpcError;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    block::{Block, History},
    mempool::{error, invalid_fields},
};

/// The parameter at a place.
pub(crate) fn read<T: DeserializeOwned>(params: &Value, at: usize) -> Result<T, RpcError> {
    T::deserialize(params.get(at).unwrap_or(&Value::Null))
        .map_err(|reason| invalid_fields(&format!("invalid argument {at}: {reason}")))
}

/// The number that a tag or a quantity names, where `head` is the latest block.
pub(crate) fn block_number(value: &Value, head: u64) -> Result<u64, RpcError> {
    match value.as_str() {
        None if value.is_null() => Ok(head),
        Some("latest" | "pending") => Ok(head),
        Some("safe") => Ok(head.saturating_sub(32)),
        Some("finalized") => Ok(head.saturating_sub(64)),
        Some("earliest") => Ok(0),
        _ => {
            let number = serde_json::from_value::<U64>(value.clone());
            number
                .map(|number| number.to())
                .map_err(|reason| invalid_fields(&format!("invalid block: {reason}")))
        }
    }
}

/// The block that a tag, a number, a hash or an EIP-1898 object names.
pub(crate) fn block<'a>(history: &'a History, value: &Value, head: u64) -> Result<&'a Block, RpcError> {
    let hash = match value {
        Value::Object(fields) => fields.get("blockHash"),
        Value::String(text) if text.len() == 66 => Some(value),
        _ => None,
    };
    if let Some(hash) = hash {
        let hash: B256 = serde_json::from_value(hash.clone())
            .map_err(|reason| invalid_fields(&format!("invalid block hash: {reason}")))?;
        if let Some(block) = history.by_hash(hash).filter(|block| block.number <= head) {
            return Ok(block);
        }
        let required = value.get("requireCanonical").and_then(Value::as_bool).unwrap_or_default();
        return match history.orphan(hash) {
            Some(_) if required => Err(error(-32000, "hash is not currently canonical")),
            Some(block) => Ok(block),
            None => Err(error(-32000, "header for hash not found")),
        };
    }
    let number = block_number(value.get("blockNumber").unwrap_or(value), head)?;
    let visible = history.block(number).filter(|_| number <= head);
    visible.ok_or_else(|| error(-32000, "header not found"))
}
