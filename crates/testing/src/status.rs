//! What a bundler says of the operations that it was sent.

use alloy_primitives::{B256, keccak256};
use quorate_transport::RpcError;
use serde_json::{Value, json};

use crate::mempool::{Mempool, error};

/// What became of an operation, as a bundler sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Status {
    Unknown,
    Waiting,
    /// In a transaction that is in no block yet.
    Submitted {
        transaction: B256,
    },
    /// In a block; its call may have reverted.
    Included {
        transaction: B256,
        success: bool,
        receipt: Value,
    },
    /// It went from the mempool without being mined: it was not valid any more, another took its place, or a test
    /// rejected it.
    Rejected {
        reason: String,
    },
}

/// The hash of a transaction with one operation in it.
pub(crate) fn transaction_of(user_op_hash: B256) -> B256 {
    keccak256(user_op_hash)
}

impl Status {
    /// Of an operation that is in no block.
    pub(crate) fn in_mempool(mempool: &Mempool, user_op_hash: B256) -> Self {
        if mempool.get(user_op_hash).is_some() {
            return if mempool.submitted.contains(&user_op_hash) {
                Self::Submitted { transaction: transaction_of(user_op_hash) }
            } else {
                Self::Waiting
            };
        }
        match mempool.rejected.get(&user_op_hash) {
            Some(reason) => Self::Rejected { reason: reason.clone() },
            None => Self::Unknown,
        }
    }

    /// As `pimlico_getUserOperationStatus` answers. Alto says `included` of reverted calls too.
    pub(crate) fn pimlico(&self) -> Value {
        let (status, transaction) = match self {
            Self::Unknown => ("not_found", None),
            Self::Waiting => ("not_submitted", None),
            Self::Submitted { transaction } => ("submitted", Some(transaction)),
            Self::Included { transaction, .. } => ("included", Some(transaction)),
            Self::Rejected { .. } => ("rejected", None),
        };
        json!({ "status": status, "transactionHash": transaction })
    }

    /// As `biconomy_getUserOperationStatus` answers.
    pub(crate) fn biconomy(self, user_op_hash: B256, chain_id: u64) -> Result<Value, RpcError> {
        Ok(match self {
            Self::Unknown => {
                let message = format!("UserOpHash: {user_op_hash} for chainId: {chain_id}");
                return Err(error(-32094, &message));
            }
            Self::Waiting => json!({ "state": "BUNDLER_MEMPOOL" }),
            Self::Submitted { transaction } => {
                json!({ "state": "SUBMITTED", "transactionHash": transaction })
            }
            Self::Included { transaction, success, receipt } => json!({
                "state": if success { "CONFIRMED" } else { "FAILED" },
                "transactionHash": transaction,
                "userOperationReceipt": receipt,
            }),
            Self::Rejected { reason } => {
                json!({ "state": "DROPPED_FROM_BUNDLER_MEMPOOL", "message": reason })
            }
        })
    }
}
