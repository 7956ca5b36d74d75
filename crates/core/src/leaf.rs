//! A session as the tree of an account's sessions holds it.

use alloy_primitives::{Address, B256, Keccak256};

use crate::{
    epoch::SessionEpoch,
    sink::{BufferFull, Encode, Sink},
};

/// One session: when it is valid, the module that checks it, and what that module is given.
///
/// Its hash is keccak256 of validUntil (6 bytes), validAfter (6), module (20) and session key data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLeaf<'a> {
    /// When the session is valid.
    pub epoch: SessionEpoch,
    /// The session validation module.
    pub validation_module: Address,
    /// The encoded [`SessionKeyData`](crate::SessionKeyData), or what another module takes.
    pub session_key_data: &'a [u8],
}

impl SessionLeaf<'_> {
    /// The leaf of the tree.
    pub fn hash(&self) -> B256 {
        let mut hasher = Keccak256::new();
        match self.write_to(&mut hasher) {
            Ok(()) => hasher.finalize(),
            Err(BufferFull) => unreachable!("a hasher takes any number of bytes"),
        }
    }
}

/// What the leaf is the hash of.
impl Encode for SessionLeaf<'_> {
    fn encoded_len(&self) -> usize {
        6 + 6 + 20 + self.session_key_data.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        for time in [self.epoch.valid_until(), self.epoch.valid_after()] {
            let [_, _, time @ ..] = time.to_be_bytes();
            sink.put(&time)?;
        }
        sink.put(self.validation_module.as_slice())?;
        sink.put(self.session_key_data)
    }
}
