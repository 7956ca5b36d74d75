//! What goes into a user operation's `signature`.

use alloy_primitives::{Address, B256, hex};

use crate::{
    abi::{WORD, length_at, padded_len, put_bytes, put_padding, word, word_at},
    policy::epoch::SessionEpoch,
    sink::{BufferFull, Encode, Matching, Sink},
};

/// A signature that a validation module checks, and that module: `abi.encode(bytes, address)`.
///
/// `S` is the module's own signature, encoded already or yet to be, so that no buffer is needed in between.
///
/// ```
/// use quorate_core::{Address, Encode, ModuleSignature};
///
/// let signature = ModuleSignature { module_signature: &[0; 65][..], module: Address::repeat_byte(1) };
/// assert_eq!(signature.encoded_len(), 3 * 32 + 96);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleSignature<S> {
    /// What the module takes: 65 bytes for the owner's module, a [`SessionSignature`] for the session key manager.
    pub module_signature: S,
    /// The validation module, which has to be enabled on the account.
    pub module: Address,
}

impl<T: Encode> Encode for ModuleSignature<T> {
    fn encoded_len(&self) -> usize {
        3 * WORD + padded_len(self.module_signature.encoded_len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let len = self.module_signature.encoded_len();
        // The modules read at fixed places, so no other offset will do.
        sink.put(&word(2 * WORD))?;
        sink.put(self.module.into_word().as_slice())?;
        sink.put(&word(len))?;
        self.module_signature.write_to(sink)?;
        put_padding(sink, len)
    }
}

impl<'a> ModuleSignature<&'a [u8]> {
    /// Reads an operation's signature: the module, and what it is given.
    ///
    /// Gives nothing for an encoding that is not canonical. The modules read at fixed places, so that no other will do.
    ///
    /// ```
    /// use quorate_core::{Address, Encode, ModuleSignature};
    ///
    /// let signature = ModuleSignature { module_signature: &[7; 65][..], module: Address::repeat_byte(1) };
    /// let mut encoded = heapless::Vec::<u8, 192>::new();
    /// signature.write_to(&mut encoded)?;
    /// assert_eq!(ModuleSignature::parse(&encoded), Some(signature));
    /// assert_eq!(ModuleSignature::parse(&encoded[..191]), None);
    /// # Ok::<(), quorate_core::BufferFull>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let module_signature = bytes.get(3 * WORD..)?.get(..length_at(bytes, 2 * WORD)?)?;
        let module = Address::from_word((*word_at(bytes, WORD)?).into());
        let read = Self { module_signature, module };
        // Encoded again, it gives the same bytes.
        let mut matched = Matching::new(bytes);
        (read.write_to(&mut matched).is_ok() && matched.is_whole()).then_some(read)
    }
}

/// What the session key manager takes: `abi.encode(uint48 validUntil, uint48 validAfter, address, bytes, bytes32[],
/// bytes)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSignature<'a> {
    /// When the session is valid.
    pub epoch: SessionEpoch,
    /// The session validation module.
    pub validation_module: Address,
    /// What that module is given: the encoded [`SessionKeyData`](crate::SessionKeyData).
    pub session_key_data: &'a [u8],
    /// The way from the session's leaf to the account's root.
    pub proof: &'a [B256],
    /// The session key's signature, 65 bytes: r, s and v, where v is 27 or 28 and s is low.
    pub signature: &'a [u8],
}

impl Encode for SessionSignature<'_> {
    fn encoded_len(&self) -> usize {
        // Six words of head, and the length of each dynamic field.
        (6 + 3 + self.proof.len()) * WORD
            + padded_len(self.session_key_data.len())
            + padded_len(self.signature.len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let data_at = 6 * WORD;
        let proof_at = data_at + WORD + padded_len(self.session_key_data.len());
        let signature_at = proof_at + WORD + self.proof.len() * WORD;

        let head = [
            word(self.epoch.valid_until()),
            word(self.epoch.valid_after()),
            self.validation_module.into_word().0,
            word(data_at),
            word(proof_at),
            word(signature_at),
        ];
        sink.put(head.as_flattened())?;
        put_bytes(sink, self.session_key_data)?;
        put_proof(sink, self.proof)?;
        put_bytes(sink, self.signature)
    }
}

/// Writes the array of a proof's nodes.
pub(crate) fn put_proof<N: Copy + Into<B256>, S: Sink + ?Sized>(
    sink: &mut S,
    proof: &[N],
) -> Result<(), BufferFull> {
    sink.put(&word(proof.len()))?;
    for node in proof {
        sink.put((*node).into().as_slice())?;
    }
    Ok(())
}

/// A well-formed signature of no one's, for gas estimation: the module recovers a key from it, as from a real one.
pub const DUMMY_SESSION_SIGNATURE: [u8; 65] = hex!(
    "73c3ac716c487ca34bb858247b5ccf1dc354fbaabdd089af3b2ac8e78ba85a49"
    "59a2d76250325bd67c11771c31fccda87c33ceec17cc0de912690521bb95ffcb"
    "1b"
);
