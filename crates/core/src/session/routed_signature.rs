//! What goes into the signature of a session's batch, which the batched session router checks.

use alloy_primitives::{Address, B256, Keccak256};

use crate::{
    abi::{WORD, padded_len, put_bytes, word},
    policy::epoch::SessionEpoch,
    session::signature::SessionSignature,
    sink::{BufferFull, Encode, Sink},
};

/// The session that allows one call of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedSession<'a> {
    /// When the session is valid.
    pub epoch: SessionEpoch,
    /// The session validation module.
    pub validation_module: Address,
    /// What that module is given.
    pub session_key_data: &'a [u8],
    /// The way from the session's leaf to the account's root.
    pub proof: &'a [B256],
    /// What the module is given besides; empty for those known here.
    pub call_specific_data: &'a [u8],
}

/// What the batched session router takes: `abi.encode(address sessionKeyManager, (uint48 validUntil, uint48 validAfter,
/// address, bytes, bytes32[], bytes)[], bytes)`, with one entry for each call.
///
/// All entries are of one session key, whose signature is over [`routed_hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedSignature<'a> {
    /// The module that keeps the account's root.
    pub session_key_manager: Address,
    /// One entry for each call of the batch, in its order.
    pub sessions: &'a [RoutedSession<'a>],
    /// The session key's signature, 65 bytes: r, s and v, where v is 27 or 28 and s is low.
    pub signature: &'a [u8],
}

/// What a session key signs (by way of [`signing_hash`](crate::signing_hash)) for a batch: keccak256 of the user
/// operation's hash and the session key manager.
pub fn routed_hash(user_op_hash: B256, session_key_manager: Address) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(user_op_hash);
    hasher.update(session_key_manager);
    hasher.finalize()
}

impl<'a> RoutedSession<'a> {
    /// An entry has the layout of a single call's signature, with the call's data in place of the key's signature.
    const fn as_signature(&self) -> SessionSignature<'a> {
        let Self { epoch, validation_module, session_key_data, proof, call_specific_data } = *self;
        SessionSignature { epoch, validation_module, session_key_data, proof, signature: call_specific_data }
    }
}

impl RoutedSignature<'_> {
    /// The length of the array of sessions, its own length word included.
    fn array_len(&self) -> usize {
        self.sessions.iter().fold(WORD, |len, session| len + WORD + session.as_signature().encoded_len())
    }
}

impl Encode for RoutedSignature<'_> {
    fn encoded_len(&self) -> usize {
        3 * WORD + self.array_len() + WORD + padded_len(self.signature.len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.session_key_manager.into_word().as_slice())?;
        sink.put(&word(3 * WORD))?;
        sink.put(&word(3 * WORD + self.array_len()))?;
        sink.put(&word(self.sessions.len()))?;
        let mut at = self.sessions.len() * WORD;
        for session in self.sessions {
            sink.put(&word(at))?;
            at += session.as_signature().encoded_len();
        }
        for session in self.sessions {
            session.as_signature().write_to(sink)?;
        }
        put_bytes(sink, self.signature)
    }
}
