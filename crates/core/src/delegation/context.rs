//! Permission contexts: chains of delegations as the manager takes them.

use alloy_primitives::U256;

use super::{
    MAX_CAVEATS, MAX_DELEGATIONS, MAX_SIGNATURE, MAX_TERMS,
    reader::{Malformed, Reader},
    typed::{CAVEAT_HEAD, CaveatPlace, Caveats, Delegation, HEAD},
};
use crate::{
    abi::{WORD, length_at, word},
    sink::{BufferFull, Encode, Sink},
    texts,
};

/// A chain of delegations, leaf first, in the bytes of its encoding: at least one, each within the bounds of this module,
/// without arguments, and encoded as encoders do it.
///
/// ```
/// use quorate_core::delegation::{Context, ContextError, Malformed};
///
/// // To the manager, a context of no delegation is the caller's leave to act for itself.
/// let mut nothing = [0; 64];
/// nothing[31] = 0x20;
/// assert_eq!(Context::parse(&nothing).err(), Some(ContextError::NoDelegations));
/// assert_eq!(
///     Context::parse(&nothing[..40]).err(),
///     Some(ContextError::Malformed(Malformed::Ends { at: 40 }))
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Context<'a> {
    /// Reads `abi.encode(Delegation[])`, all of it.
    ///
    /// # Errors
    /// [`ContextError`] for zero delegations, arguments, what is over a bound, and every encoding but the canonical one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ContextError> {
        let mut reader = Reader::new(bytes);
        reader.expect(WORD)?;
        let len = reader.number()?;
        match len {
            0 => return Err(ContextError::NoDelegations),
            1..=MAX_DELEGATIONS => {}
            _ => return Err(ContextError::TooManyDelegations { len }),
        }
        let base = reader.skip_words(len)?;
        for index in 0..len {
            reader.expect_offset(base, index)?;
            read_delegation(&mut reader, index)?;
        }
        reader.finish()?;
        Ok(Self { bytes, len })
    }

    /// The encoding.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of delegations, at least one.
    #[allow(clippy::len_without_is_empty, reason = "none is empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The one at that place, counted from 0 at the leaf.
    pub fn get(&self, index: usize) -> Option<Delegation<'a>> {
        let items = self.bytes.get(2 * WORD..)?;
        let at = if index < self.len { length_at(items, index * WORD)? } else { return None };
        read_delegation(&mut Reader::new(items.get(at..)?), index).ok()
    }

    /// The only one; none where there are several.
    pub fn single(&self) -> Option<Delegation<'a>> {
        self.get(0).filter(|_| self.len == 1)
    }

    /// All of them, leaf first.
    pub fn delegations(&self) -> impl Iterator<Item = Delegation<'a>> + Clone + use<'a> {
        let context = *self;
        (0..self.len).map_while(move |index| context.get(index))
    }
}

impl PartialEq for Context<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Context<'_> {}

/// Encodes a context, as [`Context::parse`] reads it.
#[derive(Clone, Copy, Debug)]
pub struct Delegations<'a>(pub &'a [Delegation<'a>]);

impl Encode for Delegations<'_> {
    fn encoded_len(&self) -> usize {
        self.0.iter().fold(2 * WORD, |len, delegation| len + WORD + delegation.encoded_len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&word(WORD))?;
        sink.put(&word(self.0.len()))?;
        let mut at = self.0.len() * WORD;
        for delegation in self.0 {
            sink.put(&word(at))?;
            at += delegation.encoded_len();
        }
        self.0.iter().try_for_each(|delegation| delegation.write_to(sink))
    }
}

/// The delegation that starts where the reader is; `index` is for errors.
pub(super) fn read_delegation<'a>(
    reader: &mut Reader<'a>,
    index: usize,
) -> Result<Delegation<'a>, ContextError> {
    let start = reader.at();
    let delegate = reader.address()?;
    let delegator = reader.address()?;
    let authority = reader.word()?;
    reader.expect(HEAD)?;
    let salt = U256::from_be_bytes(reader.word()?.0);
    let signature_offset = reader.skip_words(1)?;
    let caveats = read_caveats(reader, index)?;
    reader.expect_offset_at(signature_offset, start)?;
    let len = reader.number()?;
    if len > MAX_SIGNATURE {
        return Err(ContextError::SignatureTooLong { delegation: index, len });
    }
    let signature = reader.padded(len)?;
    Ok(Delegation { delegate, delegator, authority, caveats, salt, signature })
}

fn read_caveats<'a>(reader: &mut Reader<'a>, delegation: usize) -> Result<Caveats<'a>, ContextError> {
    let len = reader.number()?;
    if len > MAX_CAVEATS {
        return Err(ContextError::TooManyCaveats { delegation, len });
    }
    let base = reader.skip_words(len)?;
    for caveat in 0..len {
        reader.expect_offset(base, caveat)?;
        read_caveat(reader, CaveatPlace { delegation, caveat })?;
    }
    Ok(Caveats::encoded(len, reader.since(base)))
}

fn read_caveat(reader: &mut Reader<'_>, place: CaveatPlace) -> Result<(), ContextError> {
    let start = reader.at();
    reader.address()?;
    reader.expect(CAVEAT_HEAD)?;
    let args_offset = reader.skip_words(1)?;
    let len = reader.number()?;
    if len > MAX_TERMS {
        return Err(ContextError::TermsTooLong { place, len });
    }
    reader.padded(len)?;
    reader.expect_offset_at(args_offset, start)?;
    match reader.number()? {
        0 => Ok(()),
        len => Err(ContextError::Arguments { place, len }),
    }
}

/// Why bytes are not taken for a permission context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// Bytes that are not the canonical encoding of anything.
    Malformed(#[from] Malformed),
    /// No delegation: the manager would have the caller's own account do what is asked.
    NoDelegations,
    /// More delegations than [`MAX_DELEGATIONS`].
    TooManyDelegations {
        /// Their number.
        len: usize,
    },
    /// More caveats than [`MAX_CAVEATS`].
    TooManyCaveats {
        /// Which delegation.
        delegation: usize,
        /// Their number.
        len: usize,
    },
    /// Longer terms than [`MAX_TERMS`].
    TermsTooLong {
        /// Whose.
        place: CaveatPlace,
        /// The number of bytes.
        len: usize,
    },
    /// Arguments of a caveat, which nothing signs and no enforcer that is known here reads.
    Arguments {
        /// Whose.
        place: CaveatPlace,
        /// The number of bytes.
        len: usize,
    },
    /// A longer signature than [`MAX_SIGNATURE`].
    SignatureTooLong {
        /// Which delegation's.
        delegation: usize,
        /// The number of bytes.
        len: usize,
    },
}

texts!(ContextError {
    Malformed(reason) => "the permission context is malformed: {}",
    NoDelegations => "a permission context of zero delegations is leave to act for the caller itself",
    TooManyDelegations { len } => "there are {} delegations, at most {} are taken" and &MAX_DELEGATIONS,
    TooManyCaveats { delegation, len } => "delegation {}: it has {} caveats, at most {} are taken" and &MAX_CAVEATS,
    TermsTooLong { place, len } => "{}: the terms have {} bytes, at most {} are taken" and &MAX_TERMS,
    Arguments { place, len } => "{}: {} bytes of arguments, which nobody signed; there may be none",
    SignatureTooLong { delegation, len } =>
        "delegation {}: the signature has {} bytes, at most {} are taken" and &MAX_SIGNATURE,
});
