//! The few pieces of ABI encoding that the encoders share, and the signatures of functions.

mod const_keccak;
pub(crate) mod elementary;
pub(crate) mod error;
pub(crate) mod known_function;
pub(crate) mod selector;
pub(crate) mod signature_text;

use alloy_primitives::U256;

use crate::sink::{BufferFull, Sink};

/// The length of an ABI word in bytes.
pub(crate) const WORD: usize = 32;

/// `len` rounded up to whole words.
pub(crate) const fn padded_len(len: usize) -> usize {
    len.next_multiple_of(WORD)
}

/// A number as a big-endian word.
pub(crate) fn word(number: impl TryInto<u64>) -> [u8; WORD] {
    let mut word = [0; WORD];
    if let Some(end) = word.last_chunk_mut() {
        // Every length and time that is encoded here fits 64 bits.
        *end = number.try_into().unwrap_or(u64::MAX).to_be_bytes();
    }
    word
}

/// Writes dynamic bytes: the length, the bytes, zeros up to a whole word.
pub(crate) fn put_bytes<S: Sink + ?Sized>(sink: &mut S, bytes: &[u8]) -> Result<(), BufferFull> {
    sink.put(&word(bytes.len()))?;
    sink.put(bytes)?;
    put_padding(sink, bytes.len())
}

/// Writes the zeros that follow `len` bytes up to a whole word.
pub(crate) fn put_padding<S: Sink + ?Sized>(sink: &mut S, len: usize) -> Result<(), BufferFull> {
    sink.put([0; WORD].get(..padded_len(len) - len).unwrap_or_default())
}

/// The word at byte `at`, if all of it is there.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<&[u8; WORD]> {
    bytes.get(at..)?.first_chunk()
}

/// The length or offset at byte `at`, if the word is there and a number of bytes that memory can hold.
pub(crate) fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(U256::from_be_bytes(*word_at(bytes, at)?)).ok()
}
