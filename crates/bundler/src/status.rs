//! What a bundler says of an operation that it was sent, before and after it is in a block.

use alloy_primitives::B256;
use serde_json::Value;

use crate::{Dialect, UserOperationByHash, revert};

/// What a bundler says of an operation that was sent.
///
/// None of it is final. Whether an operation can still be executed, and whether it was, is decided by the chain alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationStatus {
    /// The bundler does not know it. That does not mean that it was dropped: another bundler may have it, or this one
    /// does not look back so far.
    Unknown,
    /// It waits in the bundler's pool.
    Waiting,
    /// It is in a transaction that is not in a block yet. Another transaction may take its place.
    Submitted {
        /// The transaction, where the bundler says it.
        transaction: Option<B256>,
    },
    /// It is in a block.
    Included {
        /// The transaction, where the bundler says it.
        transaction: Option<B256>,
        /// Whether its call went through; none where the bundler does not say it here. The receipt does.
        success: Option<bool>,
    },
    /// It is not in the bundler's pool any more, or the transaction that carried it failed as a whole. It may be
    /// repaired and sent again with the same nonce.
    Refused {
        /// Why, where the bundler says it.
        reason: Option<String>,
    },
}

/// Reads the answer to a dialect's method for the state of an operation; none where it cannot be read, so that the
/// standard has to tell.
///
/// Sources: Pimlico's documentation of `pimlico_getUserOperationStatus`, Alto's schema for `reverted`, and Biconomy's
/// documentation of `biconomy_getUserOperationStatus`.
pub(crate) fn read(dialect: Dialect, answer: &Value) -> Option<OperationStatus> {
    if answer.is_null() {
        return Some(OperationStatus::Unknown);
    }
    match dialect {
        Dialect::Pimlico => pimlico(answer),
        Dialect::Biconomy => biconomy(answer),
        Dialect::Standard | Dialect::Rundler => None,
    }
}

fn pimlico(answer: &Value) -> Option<OperationStatus> {
    let transaction = hash(answer.get("transactionHash"));
    Some(match word(answer, "status")?.as_str() {
        "NOT_FOUND" => OperationStatus::Unknown,
        // `queued` waits for an operation with a lower nonce.
        "NOT_SUBMITTED" | "QUEUED" => OperationStatus::Waiting,
        "SUBMITTED" => OperationStatus::Submitted { transaction },
        "INCLUDED" => OperationStatus::Included { transaction, success: None },
        "REVERTED" => OperationStatus::Included { transaction, success: Some(false) },
        // `failed` is a transaction that reverted as a whole, so that no nonce was used.
        "REJECTED" | "FAILED" => OperationStatus::Refused { reason: reason(answer) },
        _ => return None,
    })
}

fn biconomy(answer: &Value) -> Option<OperationStatus> {
    let receipt = answer.get("userOperationReceipt").filter(|receipt| receipt.is_object());
    // The receipt's transaction first: after another bundler was faster, only that one is right.
    let transaction = receipt
        .and_then(|receipt| {
            hash(receipt.pointer("/receipt/transactionHash").or(receipt.get("transactionHash")))
        })
        .or_else(|| hash(answer.get("transactionHash")));
    let success = receipt.and_then(|receipt| crate::receipt::read_bool(receipt.get("success")?).ok()?);
    Some(match word(answer, "state")?.as_str() {
        "NOT_FOUND" => OperationStatus::Unknown,
        "BUNDLER_MEMPOOL" => OperationStatus::Waiting,
        "SUBMITTED" => OperationStatus::Submitted { transaction },
        "CONFIRMED" => OperationStatus::Included { transaction, success },
        "FAILED" if transaction.is_some() && success == Some(false) => {
            OperationStatus::Included { transaction, success }
        }
        "DROPPED_FROM_BUNDLER_MEMPOOL" | "FAILED" => {
            OperationStatus::Refused { reason: receipt.and_then(reason).or_else(|| reason(answer)) }
        }
        _ => return None,
    })
}

/// What the standard's `eth_getUserOperationByHash` says of the state.
pub(crate) fn of_standard(found: Option<&UserOperationByHash>) -> OperationStatus {
    let Some(found) = found else { return OperationStatus::Unknown };
    match (found.block_number, found.transaction_hash) {
        (Some(_), transaction) => OperationStatus::Included { transaction, success: None },
        (None, Some(transaction)) => OperationStatus::Submitted { transaction: Some(transaction) },
        (None, None) => OperationStatus::Waiting,
    }
}

/// A field that holds a word of a closed list, in upper case.
fn word(answer: &Value, name: &str) -> Option<String> {
    Some(answer.get(name)?.as_str()?.trim().to_ascii_uppercase())
}

fn hash(json: Option<&Value>) -> Option<B256> {
    let hash: B256 = json?.as_str()?.parse().ok()?;
    (!hash.is_zero()).then_some(hash)
}

fn reason(answer: &Value) -> Option<String> {
    ["reason", "error", "message"].into_iter().find_map(|name| revert::of_receipt(answer.get(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperationStatus::*;
    use alloy_primitives::U256;
    use serde_json::json;

    const TRANSACTION: B256 = B256::repeat_byte(1);
    const OTHER: B256 = B256::repeat_byte(2);

    fn refused(reason: Option<&str>) -> OperationStatus {
        Refused { reason: reason.map(str::to_owned) }
    }

    fn included(success: Option<bool>) -> OperationStatus {
        Included { transaction: Some(TRANSACTION), success }
    }

    #[test]
    fn pimlicos_words_are_read() {
        let submitted = Submitted { transaction: Some(TRANSACTION) };
        for (answer, expected) in [
            (json!(null), Some(Unknown)),
            (json!({ "status": "not_found", "transactionHash": null }), Some(Unknown)),
            (json!({ "status": "not_submitted", "transactionHash": null }), Some(Waiting)),
            (json!({ "status": "queued" }), Some(Waiting)),
            (json!({ "status": "submitted", "transactionHash": TRANSACTION }), Some(submitted.clone())),
            (json!({ "status": "SUBMITTED", "transactionHash": TRANSACTION }), Some(submitted)),
            (json!({ "status": "submitted", "transactionHash": "" }), Some(Submitted { transaction: None })),
            (json!({ "status": "included", "transactionHash": TRANSACTION }), Some(included(None))),
            (json!({ "status": "included" }), Some(Included { transaction: None, success: None })),
            (json!({ "status": "reverted", "transactionHash": TRANSACTION }), Some(included(Some(false)))),
            (json!({ "status": "rejected", "transactionHash": null }), Some(refused(None))),
            (
                json!({ "status": "rejected", "reason": "AA24 signature error" }),
                Some(refused(Some("AA24 signature error"))),
            ),
            (json!({ "status": "failed", "transactionHash": TRANSACTION }), Some(refused(None))),
            (json!({ "status": "evicted" }), None),
            (json!({ "status": 1 }), None),
            (json!({ "state": "SUBMITTED" }), None),
            (json!("included"), None),
            (json!([]), None),
        ] {
            assert_eq!(read(Dialect::Pimlico, &answer), expected, "{answer}");
        }
    }

    #[test]
    fn biconomys_states_are_read() {
        let receipt =
            |success: Value| json!({ "success": success, "receipt": { "transactionHash": TRANSACTION } });
        for (answer, expected) in [
            (json!(null), Some(Unknown)),
            (json!({ "state": "BUNDLER_MEMPOOL" }), Some(Waiting)),
            (json!({ "state": "DROPPED_FROM_BUNDLER_MEMPOOL" }), Some(refused(None))),
            (
                json!({ "state": "DROPPED_FROM_BUNDLER_MEMPOOL", "message": "AA21 didn't pay prefund" }),
                Some(refused(Some("AA21 didn't pay prefund"))),
            ),
            (
                json!({ "state": "SUBMITTED", "transactionHash": TRANSACTION }),
                Some(Submitted { transaction: Some(TRANSACTION) }),
            ),
            (
                json!({ "state": "SUBMITTED", "transactionHash": "null" }),
                Some(Submitted { transaction: None }),
            ),
            (json!({ "state": "CONFIRMED", "transactionHash": TRANSACTION }), Some(included(None))),
            (
                json!({ "state": "CONFIRMED", "transactionHash": OTHER, "userOperationReceipt": receipt(json!("true")) }),
                Some(included(Some(true))),
            ),
            (
                json!({ "state": "CONFIRMED", "userOperationReceipt": receipt(json!(false)) }),
                Some(included(Some(false))),
            ),
            (
                json!({ "state": "CONFIRMED", "transactionHash": TRANSACTION, "userOperationReceipt": { "success": null } }),
                Some(included(None)),
            ),
            // In a block, and its call reverted.
            (
                json!({ "state": "FAILED", "userOperationReceipt": receipt(json!("false")) }),
                Some(included(Some(false))),
            ),
            (
                json!({
                    "state": "FAILED", "transactionHash": TRANSACTION, "userOperationReceipt": { "success": false },
                }),
                Some(included(Some(false))),
            ),
            // Not proven to be in a block.
            (json!({ "state": "FAILED", "transactionHash": TRANSACTION }), Some(refused(None))),
            (json!({ "state": "FAILED", "userOperationReceipt": { "success": false } }), Some(refused(None))),
            (
                json!({
                    "state": "FAILED", "transactionHash": TRANSACTION,
                    "userOperationReceipt": { "success": null, "reason": "nope" },
                }),
                Some(refused(Some("nope"))),
            ),
            (json!({ "state": "FAILED" }), Some(refused(None))),
            (json!({ "state": "LOST" }), None),
            (json!({ "status": "included" }), None),
            (json!({}), None),
        ] {
            assert_eq!(read(Dialect::Biconomy, &answer), expected, "{answer}");
        }
    }

    #[test]
    fn the_standard_tells_the_state_by_where_the_operation_is() {
        let found = |block_number: Option<u64>, transaction_hash| UserOperationByHash {
            entry_point: None,
            transaction_hash,
            block_number: block_number.map(U256::from),
            user_operation: Value::Null,
        };
        for (found, expected) in [
            (None, Unknown),
            (Some(found(None, None)), Waiting),
            (Some(found(None, Some(TRANSACTION))), Submitted { transaction: Some(TRANSACTION) }),
            (Some(found(Some(0), Some(TRANSACTION))), included(None)),
            (Some(found(Some(7), None)), Included { transaction: None, success: None }),
        ] {
            assert_eq!(of_standard(found.as_ref()), expected, "{found:?}");
        }
    }
}
