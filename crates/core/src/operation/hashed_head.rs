//! What is kept of an operation until its call data is hashed.

use alloy_primitives::{Address, B256, keccak256};

use super::{
    HashError,
    entry_point::EntryPointVersion,
    typed_hash::{Words, typed_hash},
    unpacked::UnpackedUserOperation,
    v0_6::{CallDataDigest as _, Digest, UserOperation, bind_to_entry_point},
};

/// An operation's hash but for its call data: the words that are hashed, which have a fixed size whatever the operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HashedHead {
    V0_6([[u8; 32]; 10]),
    V0_7(Words),
    /// From v0.8 on.
    Typed(Words),
}

/// Which word the hash of the call data is, in all versions.
const CALL_DATA: usize = 3;

impl HashedHead {
    pub(crate) fn v0_6(operation: &UserOperation<&[u8], ()>) -> Self {
        Self::V0_6(operation.with_call_data(Digest::default()).words())
    }

    /// # Errors
    /// What has no hash at its entry point.
    pub(crate) fn packed(
        version: EntryPointVersion,
        operation: &UnpackedUserOperation<&[u8], ()>,
    ) -> Result<Self, HashError> {
        let operation = operation.with_call_data(Digest::default());
        Ok(match version {
            EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => Self::V0_7(operation.words_v0_7()?),
            EntryPointVersion::V0_8 => Self::Typed(operation.words_v0_8()),
            EntryPointVersion::V0_9 => Self::Typed(operation.words_v0_9()?),
        })
    }

    /// The operation's hash with this call data.
    pub(crate) fn finish(mut self, call_data: Digest, entry_point: Address, chain_id: u64) -> B256 {
        let words: &mut [[u8; 32]] = match &mut self {
            Self::V0_6(words) => words,
            Self::V0_7(words) | Self::Typed(words) => words,
        };
        if let Some(word) = words.get_mut(CALL_DATA) {
            *word = call_data.keccak256().0;
        }
        match self {
            Self::V0_6(words) => bind_to_entry_point(keccak256(words.as_flattened()), entry_point, chain_id),
            Self::V0_7(words) => bind_to_entry_point(keccak256(words.as_flattened()), entry_point, chain_id),
            Self::Typed(words) => typed_hash(words, entry_point, chain_id),
        }
    }
}
