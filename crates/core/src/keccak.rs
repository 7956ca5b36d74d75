//! keccak-256 of what is not in one piece.

use alloy_primitives::{B256, Keccak256};

/// Of parts, one after the other.
#[inline(never)]
pub(crate) fn hash_parts(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    digest(&hasher)
}

/// Of what a hasher was given until now. Not inlined, as the padding is not.
#[inline(never)]
pub(crate) fn digest(hasher: &Keccak256) -> B256 {
    hasher.clone().finalize()
}
