//! What is kept of an operation until its call data is hashed.

use alloy_primitives::{Address, B256};

use super::{
    HashError,
    entry_point::EntryPointVersion,
    typed_hash::typed_hash,
    unpacked::UnpackedUserOperation,
    v0_6::{UserOperation, bind_to_entry_point},
};
use crate::keccak::hash_parts;

/// An operation's hash but for its call data: the words that are hashed, which have a fixed size whatever the operation.
#[derive(Clone, Debug)]
pub(crate) struct HashedHead {
    /// Ten at EntryPoint v0.6, eight later.
    words: heapless::Vec<[u8; 32], 10>,
    /// Whether they are hashed as typed data, from v0.8 on.
    is_typed: bool,
}

/// Which word the hash of the call data is, in all versions.
const CALL_DATA: usize = 3;

impl HashedHead {
    pub(crate) fn v0_6(operation: &UserOperation<&[u8], ()>) -> Self {
        Self { words: operation.words(B256::ZERO).into(), is_typed: false }
    }

    /// # Errors
    /// What has no hash at its entry point.
    pub(crate) fn packed(
        version: EntryPointVersion,
        operation: &UnpackedUserOperation<&[u8], ()>,
    ) -> Result<Self, HashError> {
        let words = operation.words_at(version, B256::ZERO)?.into_iter().collect();
        Ok(Self { words, is_typed: version >= EntryPointVersion::V0_8 })
    }

    /// The operation's hash with this digest of its call data.
    pub(crate) fn finish(&mut self, call_data: &B256, entry_point: Address, chain_id: u64) -> B256 {
        if let Some(word) = self.words.get_mut(CALL_DATA) {
            *word = call_data.0;
        }
        if self.is_typed {
            typed_hash(&self.words, entry_point, chain_id)
        } else {
            bind_to_entry_point(hash_parts(&[self.words.as_flattened()]), entry_point, chain_id)
        }
    }
}
