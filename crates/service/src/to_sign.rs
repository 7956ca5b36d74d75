//! What an owner is given to sign, and what they give back.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, Bytes};
use quorate::{Draft, DraftReviewError, Leaf, OwnerIntent};
use quorate_core::{Item, KnownFunction, NotShown, Show};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::RpcError;

/// An operation that waits for its owner's signature.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToSign {
    /// To be given back as it is.
    draft: Box<RawValue>,
    /// What the owner signs as a message (EIP-191).
    hash: B256,
    /// What it does, from its bytes; warnings stand where they belong.
    review: Vec<String>,
    /// Until when it can be sent, in seconds since 1970, where its paymaster's data ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<u64>,
}

/// What came back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) draft: Box<RawValue>,
    pub(crate) signature: Bytes,
}

#[derive(Debug, Default)]
struct Lines(Vec<String>);

impl Show for Lines {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        self.0.push(item.to_string());
        Ok(())
    }
}

impl ToSign {
    /// Shows a draft whose tree will have these leaves.
    ///
    /// # Errors
    /// What cannot be shown whole.
    pub(crate) fn new<T: OwnerIntent + Serialize>(
        draft: &Draft<T>,
        leaves: &[Leaf],
        functions: &[KnownFunction<'_>],
    ) -> Result<Self, RpcError> {
        let mut lines = Lines::default();
        draft.review(leaves, functions, now(), &mut lines)?;
        Ok(Self {
            draft: RawValue::from_string(draft.to_json()).map_err(|error| RpcError::internal(&error))?,
            hash: draft.user_op_hash(),
            review: lines.0,
            valid_until: draft.valid_until(),
        })
    }
}

impl From<DraftReviewError> for RpcError {
    fn from(error: DraftReviewError) -> Self {
        Self::not_shown(&error)
    }
}

/// The draft that came back.
///
/// # Errors
/// Text that is none of this kind.
pub(crate) fn read_draft<T: DeserializeOwned>(draft: &RawValue) -> Result<Draft<T>, RpcError> {
    Draft::from_json(draft.get()).map_err(|error| RpcError::invalid_params(crate::error::written(&error)))
}

/// The 65 bytes r ‖ s ‖ v of `personal_sign` or `eth_signTypedData_v4`.
///
/// # Errors
/// Another length.
pub(crate) fn read_signature(signature: &Bytes) -> Result<[u8; 65], RpcError> {
    <[u8; 65]>::try_from(signature.as_ref()).map_err(|_| {
        let len = signature.len();
        RpcError::invalid_params(format_args!("a signature has 65 bytes, r, s and v; this one has {len}"))
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
