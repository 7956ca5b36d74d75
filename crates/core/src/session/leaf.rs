//! A session as the tree of an account's sessions holds it.

use alloy_primitives::{Address, B256};

use crate::{
    keccak::hash_parts,
    policy::epoch::SessionEpoch,
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
        hash_parts(&[
            self.epoch.packed().as_flattened(),
            self.validation_module.as_slice(),
            self.session_key_data,
        ])
    }
}

/// What the leaf is the hash of.
impl Encode for SessionLeaf<'_> {
    fn encoded_len(&self) -> usize {
        6 + 6 + 20 + self.session_key_data.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.epoch.packed().as_flattened())?;
        sink.put(self.validation_module.as_slice())?;
        sink.put(self.session_key_data)
    }
}

/// A [`SessionLeaf`] that owns its session key data: as it is stored, and as JSON.
///
/// ```
/// use quorate_core::{Address, Leaf, SessionEpoch};
///
/// let validation_module = Address::repeat_byte(0x22);
/// let leaf = Leaf { epoch: SessionEpoch::UNLIMITED, validation_module, session_key_data: vec![0x33; 62] };
/// assert_eq!(leaf.hash(), leaf.borrow().hash());
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// When the session is valid.
    pub epoch: SessionEpoch,
    /// The session validation module.
    pub validation_module: Address,
    /// The encoded [`SessionKeyData`](crate::SessionKeyData), or what another module takes.
    pub session_key_data: alloc::vec::Vec<u8>,
}

#[cfg(feature = "alloc")]
impl Leaf {
    /// The leaf of the tree.
    pub fn hash(&self) -> B256 {
        self.borrow().hash()
    }

    /// The same leaf without ownership.
    pub fn borrow(&self) -> SessionLeaf<'_> {
        let Self { epoch, validation_module, ref session_key_data } = *self;
        SessionLeaf { epoch, validation_module, session_key_data }
    }
}
