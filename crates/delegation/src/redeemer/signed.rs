//! Signed transactions as they are stored.

use alloy_primitives::{Bytes, Signature};
use quorate_core::SignedTransaction;
use quorate_protocol::Subject;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    subject: String,
    signature: Bytes,
}

pub(super) fn write(signed: &SignedTransaction<Vec<u8>>) -> Vec<u8> {
    let subject = Subject::Transaction(signed.transaction.clone()).to_json();
    let signature = Signature::new(signed.r, signed.s, signed.y_parity).as_bytes();
    serde_json::to_vec(&SignedText { subject, signature: signature.into() }).unwrap_or_default()
}

/// None for what this module did not write.
pub(super) fn read(text: &[u8]) -> Option<SignedTransaction<Vec<u8>>> {
    let SignedText { subject, signature } = serde_json::from_slice(text).ok()?;
    let Ok(Subject::Transaction(transaction)) = Subject::from_json(&subject) else { return None };
    let signature = Signature::try_from(&signature[..]).ok()?;
    let (y_parity, r, s) = (signature.v(), signature.r(), signature.s());
    Some(SignedTransaction { transaction, y_parity, r, s })
}
