//! An ABI encoding read from its start to its end, in the one form that encoders give it.

use alloy_primitives::{Address, B256, U256};

use crate::{
    abi::{WORD, padded_len, word_at},
    texts,
};

/// Takes words and bytes one after another. Each offset has to be where that leads.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were taken.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn word(&mut self) -> Result<B256, Malformed> {
        let word = *word_at(self.bytes, self.at).ok_or(Malformed::Ends { at: self.bytes.len() })?;
        self.at += WORD;
        Ok(word.into())
    }

    pub(super) fn address(&mut self) -> Result<Address, Malformed> {
        let at = self.at;
        let word = self.word()?;
        let address = Address::from_word(word);
        if address.into_word() == word { Ok(address) } else { Err(Malformed::NotAnAddress { at }) }
    }

    /// A length or an offset; one that memory cannot hold is as good as the greatest that it can.
    pub(super) fn number(&mut self) -> Result<usize, Malformed> {
        Ok(usize::try_from(U256::from_be_bytes(self.word()?.0)).unwrap_or(usize::MAX))
    }

    /// A word that can only be `expected` here.
    pub(super) fn expect(&mut self, expected: usize) -> Result<(), Malformed> {
        let at = self.at;
        if self.number()? == expected { Ok(()) } else { Err(Malformed::NotCanonical { at, expected }) }
    }

    /// The offset of item `index` of an array whose items start with their offsets at `base`.
    pub(super) fn expect_offset(&self, base: usize, index: usize) -> Result<(), Malformed> {
        self.expect_offset_at(base + index * WORD, base)
    }

    /// The offset at byte `at`, which counts from byte `base`: it has to lead to where the reader is.
    pub(super) fn expect_offset_at(&self, at: usize, base: usize) -> Result<(), Malformed> {
        Reader { bytes: self.bytes, at }.expect(self.at.saturating_sub(base))
    }

    /// So many bytes, and the zeros that fill their last word.
    pub(super) fn padded(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let ends = Malformed::Ends { at: self.bytes.len() };
        let rest = self.bytes.get(self.at..).ok_or(ends)?;
        let (bytes, rest) = rest.split_at_checked(len).ok_or(ends)?;
        let padding = rest.get(..padded_len(len) - len).ok_or(ends)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Malformed::NotZero { at: self.at + len });
        }
        self.at += padded_len(len);
        Ok(bytes)
    }

    /// Leaves out what was looked at already.
    pub(super) fn skip_words(&mut self, words: usize) -> Result<usize, Malformed> {
        let start = self.at;
        let end = words.checked_mul(WORD).and_then(|len| start.checked_add(len));
        self.at =
            end.filter(|end| *end <= self.bytes.len()).ok_or(Malformed::Ends { at: self.bytes.len() })?;
        Ok(start)
    }

    /// What was taken since byte `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) const fn finish(&self) -> Result<(), Malformed> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            len => Err(Malformed::BytesAfter { at: self.at, len }),
        }
    }
}

/// Why bytes are not the ABI encoding that encoders give what they say, if they say anything.
///
/// The manager reads other encodings as well. They are refused, so that the same delegations are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end before what they say they hold.
    Ends {
        /// The number of bytes.
        at: usize,
    },
    /// An offset or a length is not the only one that fits.
    NotCanonical {
        /// Where its word stands.
        at: usize,
        /// What it has to be.
        expected: usize,
    },
    /// A word that should be an address has other bytes before it.
    NotAnAddress {
        /// Where the word stands.
        at: usize,
    },
    /// The bytes that fill a word up are not zero.
    NotZero {
        /// Where they start.
        at: usize,
    },
    /// Bytes follow that belong to nothing.
    BytesAfter {
        /// Where they start.
        at: usize,
        /// How many there are.
        len: usize,
    },
}

texts!(Malformed {
    Ends { at } => "the encoding ends at byte {}, before what it says it holds",
    NotCanonical { at, expected } => "the word at byte {} has to be {} in the canonical encoding",
    NotAnAddress { at } => "the word at byte {} is no address: its first 12 bytes have to be zero",
    NotZero { at } => "the bytes from {} on fill a word up and have to be zero",
    BytesAfter { at, len } => "at byte {} the encoding is complete, but {} bytes follow",
});
