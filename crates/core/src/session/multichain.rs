//! One signature of an owner's for several user operations, on one chain or several.
//!
//! The multichain ECDSA module takes the owner's signature over the root of a [`merkle`] tree. Its leaves are the
//! operations' hashes with the times between which each may run, and an operation carries the root, its own times and
//! its own proof. What the owner signs is [`signing_hash`](crate::signing_hash) of the root. A root says nothing to
//! whoever signs it, and cannot be told from a user operation's hash: [`MultichainReview`](crate::MultichainReview)
//! makes it from the whole operations.
//!
//! ```
//! use quorate_core::*;
//!
//! let epoch = SessionEpoch::new(0, 1_900_000_000)?;
//! let user_op_hashes = [B256::repeat_byte(1), B256::repeat_byte(2)];
//! let leaves = user_op_hashes.map(|user_op_hash| multichain::leaf(epoch, user_op_hash));
//! let root = merkle::root(&leaves)?;
//! let digest = signing_hash(root);
//! # assert_ne!(digest, root);
//! # let signature = DUMMY_SESSION_SIGNATURE;
//!
//! // The owner signs the digest; the second operation is sent with this.
//! let proof = merkle::Proof::of(&leaves, leaves[1])?;
//! let signature = MultichainSignature { epoch, root, proof: proof.siblings(), signature: &signature };
//! let mut encoded = heapless::Vec::<u8, 512>::new();
//! signature.write_to(&mut encoded)?;
//!
//! let read = MultichainSignature::parse(&encoded)?;
//! assert!(read.verify(user_op_hashes[1]) && !read.verify(user_op_hashes[0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: Biconomy's `MultichainECDSAValidator`.

use alloy_primitives::{B256, Keccak256};

use crate::{
    abi::{WORD, padded_len, put_bytes, word},
    policy::{epoch::SessionEpoch, error::EncodeError},
    session::{
        merkle,
        signature::{DUMMY_SESSION_SIGNATURE, put_proof},
    },
    sink::{BufferFull, Encode, Sink},
};

/// The leaf of one operation: keccak256 of validUntil (6 bytes), validAfter (6) and the operation's hash (32).
///
/// The times are those of a [`SessionEpoch`], with the same bounds and the same meaning of 0. The operation's hash holds
/// entry point and chain, so that a leaf is for one chain.
pub fn leaf(epoch: SessionEpoch, user_op_hash: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(epoch.packed().as_flattened());
    hasher.update(user_op_hash);
    hasher.finalize()
}

/// The length of the longest proof in a tree of so many operations, in words: the logarithm to base 2, rounded up.
///
/// Where the number is no power of two, the proofs of the last operations may be shorter.
///
/// ```
/// use quorate_core::multichain::proof_len;
///
/// assert_eq!([0, 1, 2, 3, 4, 5].map(proof_len), [0, 0, 1, 2, 2, 3]);
/// ```
pub const fn proof_len(operations: usize) -> usize {
    // At most the number of bits of a `usize`.
    (usize::BITS - operations.saturating_sub(1).leading_zeros()) as usize
}

/// What the multichain module takes for one operation of several: `abi.encode(uint48 validUntil, uint48 validAfter,
/// bytes32 root, bytes32[] proof, bytes signature)`, 320 bytes and 32 for each node of the proof.
///
/// The module tells it by its length from the 65 bytes of a signature over one operation's hash; it is never as short.
/// It goes into the operation as a [`ModuleSignature`](crate::ModuleSignature). The nodes of a proof are [`B256`]; those
/// of a signature that was [parsed](Self::parse) are bytes of its encoding, where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultichainSignature<'a, N = B256> {
    /// When the operation may run.
    pub epoch: SessionEpoch,
    /// The root of the tree of all operations.
    pub root: B256,
    /// The way from the operation's [`leaf`] to the root.
    pub proof: &'a [N],
    /// The owner's signature of the root by way of [`signing_hash`](crate::signing_hash): r, s and v, where v is 27 or 28
    /// and s is low.
    pub signature: &'a [u8; 65],
}

impl MultichainSignature<'static> {
    /// A signature of no one's, as long as the longest one of so many operations, and without zero bytes in its proof.
    ///
    /// It is for the part of the gas that is paid for by the byte. It cannot be simulated: its proof leads nowhere, and
    /// the module reverts with `Invalid UserOp` before it looks at the signature.
    ///
    /// ```
    /// use quorate_core::{Encode, MultichainSignature, SessionEpoch};
    ///
    /// let dummy = MultichainSignature::dummy(SessionEpoch::UNLIMITED, 3);
    /// assert_eq!(dummy.encoded_len(), 320 + 2 * 32);
    /// ```
    pub fn dummy(epoch: SessionEpoch, operations: usize) -> Self {
        // A tree has no more leaves than there are nodes for.
        let proof = DUMMY_NODES.get(..proof_len(operations)).unwrap_or(&DUMMY_NODES);
        Self { epoch, root: DUMMY_NODE, proof, signature: &DUMMY_SESSION_SIGNATURE }
    }
}

const DUMMY_NODE: B256 = B256::repeat_byte(0xff);
static DUMMY_NODES: [B256; merkle::DEPTH] = [DUMMY_NODE; merkle::DEPTH];

impl<N: Copy + Into<B256>> MultichainSignature<'_, N> {
    /// Whether the proof leads from this operation, with these times, to the root.
    ///
    /// It says nothing about the signature: who signed the root, has to be recovered from it.
    pub fn verify(&self, user_op_hash: B256) -> bool {
        let siblings = self.proof.iter().map(|node| (*node).into());
        merkle::climb(leaf(self.epoch, user_op_hash), siblings) == self.root
    }
}

impl<N: Copy + Into<B256>> Encode for MultichainSignature<'_, N> {
    fn encoded_len(&self) -> usize {
        // Five words of head, and the length of each dynamic field.
        (HEAD + 2 + self.proof.len()) * WORD + padded_len(self.signature.len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let head = [
            word(self.epoch.valid_until()),
            word(self.epoch.valid_after()),
            self.root.0,
            word(PROOF_AT),
            word(signature_at(self.proof.len())),
        ];
        sink.put(head.as_flattened())?;
        put_proof(sink, self.proof)?;
        put_bytes(sink, self.signature)
    }
}

impl<'a> MultichainSignature<'a, [u8; 32]> {
    /// Reads a signature in its canonical encoding, as the module's part of an operation's signature has it
    /// ([`ModuleSignature::parse`](crate::ModuleSignature::parse)).
    ///
    /// The chain takes other encodings as well; nothing that is to be judged may be among them.
    ///
    /// # Errors
    /// [`MalformedMultichainSignature`], where these are the bytes of no signature. The 65 bytes of a signature over one
    /// operation's hash are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedMultichainSignature> {
        let wrong_length = MalformedMultichainSignature::Length { len: bytes.len() };
        let (words, []) = bytes.as_chunks::<WORD>() else { return Err(wrong_length) };
        let [valid_until, valid_after, root, proof_at, signed_at, proof_len, rest @ ..] = words else {
            return Err(wrong_length);
        };
        // What follows the proof: the signature's length, and 65 bytes in three words.
        let (proof, [signature_len, signature @ ..]) = rest
            .len()
            .checked_sub(1 + 3)
            .and_then(|nodes| rest.split_at_checked(nodes))
            .ok_or(wrong_length)?
        else {
            return Err(wrong_length);
        };
        let (signature, padding) = signature.as_flattened().split_first_chunk().ok_or(wrong_length)?;

        let signed_at_word = signature_at(proof.len());
        let determined = [
            (3 * WORD, *proof_at == word(PROOF_AT)),
            (4 * WORD, *signed_at == word(signed_at_word)),
            (PROOF_AT, *proof_len == word(proof.len())),
            (signed_at_word, *signature_len == word(signature.len())),
            (signed_at_word + WORD + signature.len(), padding.iter().all(|byte| *byte == 0)),
        ];
        if let Some((at, _)) = determined.into_iter().find(|(_, canonical)| !canonical) {
            return Err(MalformedMultichainSignature::NotCanonical { at });
        }
        Ok(Self {
            epoch: SessionEpoch::new(time(valid_after), time(valid_until))?,
            root: B256::new(*root),
            proof,
            signature,
        })
    }
}

/// Why bytes are not a [`MultichainSignature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedMultichainSignature {
    /// A length that none has.
    #[error(
        "a signature for several operations has 320 bytes and 32 for each node of its proof, this has {len}"
    )]
    Length {
        /// The number of bytes found.
        len: usize,
    },
    /// An offset, a length or padding that differs from the canonical encoding's.
    #[error("the signature is not in canonical ABI encoding from byte {at} on")]
    NotCanonical {
        /// Where what differs stands.
        at: usize,
    },
    /// A time of more than 48 bits.
    #[error(transparent)]
    Time(#[from] EncodeError),
}

/// The words before the dynamic fields.
const HEAD: usize = 5;
const PROOF_AT: usize = HEAD * WORD;

/// Where the signature stands after a proof of so many nodes.
const fn signature_at(nodes: usize) -> usize {
    PROOF_AT + WORD + nodes * WORD
}

/// The time of a word; one that is too large for any time, where the word is.
fn time(word: &[u8; WORD]) -> u64 {
    let (high, low) = word.split_at(WORD - 8);
    match low.first_chunk() {
        Some(low) if high.iter().all(|byte| *byte == 0) => u64::from_be_bytes(*low),
        _ => u64::MAX,
    }
}
