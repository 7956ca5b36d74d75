//! What was signed, as it is stored.

use alloy_primitives::{Bytes, Signature};
use quorate_core::EntryPointVersion;
use quorate_protocol::Subject;
use serde::{Deserialize, Serialize};

use super::carrier::Fees;

/// A transaction or a user operation with its signature.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) subject: Subject,
    pub(super) signature: Signature,
    /// The number of the newest block when it was signed: it is in none before.
    pub(super) block: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    subject: String,
    signature: Bytes,
    #[serde(default)]
    block: u64,
}

impl Signed {
    pub(super) fn write(&self) -> Vec<u8> {
        let signature = self.signature.as_bytes().into();
        let text = SignedText { subject: self.subject.to_json(), signature, block: self.block };
        serde_json::to_vec(&text).unwrap_or_default()
    }

    /// None for what this module did not write.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let SignedText { subject, signature, block } = serde_json::from_slice(text).ok()?;
        let subject = Subject::from_json(&subject).ok()?;
        Some(Self { subject, signature: Signature::try_from(&signature[..]).ok()?, block })
    }

    /// What the manager is called with.
    pub(super) fn data(&self) -> &[u8] {
        match &self.subject {
            Subject::Transaction(transaction) => &transaction.data,
            Subject::AccountOperation(message) => &message.operation.call_data,
            _ => &[],
        }
    }

    pub(super) fn fees(&self) -> Fees {
        match &self.subject {
            Subject::Transaction(transaction) => {
                Fees { fee: transaction.max_fee_per_gas, tip: transaction.max_priority_fee_per_gas }
            }
            Subject::AccountOperation(message) => {
                let operation = message.operation.unpack(EntryPointVersion::V0_7, None);
                operation.map_or(Fees::default(), |operation| Fees {
                    fee: operation.max_fee_per_gas,
                    tip: operation.max_priority_fee_per_gas,
                })
            }
            _ => Fees::default(),
        }
    }
}
