//! What is executed, and how.

use alloy_primitives::{Address, B256, U256};

use super::reader::{Malformed, Reader};
use crate::{
    abi::{WORD, length_at, padded_len, put_bytes, word},
    operation::call::Call,
    sink::{BufferFull, Encode, Sink},
    texts,
};

/// How a delegator's account executes: one of four words (ERC-7579). Enforcers and account ignore the other 30 bytes of the
/// word, which are therefore zero here.
///
/// ```
/// use quorate_core::delegation::Mode;
///
/// assert_eq!(Mode::decode(Mode::SINGLE.word()), Ok(Mode::SINGLE));
/// let mut delegate_call = Mode::SINGLE.word();
/// delegate_call[0] = 0xff;
/// assert!(Mode::decode(delegate_call).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Whether there is one call.
    pub call: CallType,
    /// What becomes of the rest where a call fails.
    pub execution: ExecutionType,
}

impl Mode {
    /// One call, and all is undone where it fails: what all enforcers that are known here allow.
    pub const SINGLE: Self = Self { call: CallType::Single, execution: ExecutionType::Default };

    /// Reads one of the four words.
    ///
    /// # Errors
    /// [`UnknownMode`] for any other word.
    pub fn decode(word: B256) -> Result<Self, UnknownMode> {
        let [call, execution, rest @ ..] = word.0;
        let call = match call {
            0 => CallType::Single,
            1 => CallType::Batch,
            _ => return Err(UnknownMode),
        };
        let execution = match execution {
            0 => ExecutionType::Default,
            1 => ExecutionType::Try,
            _ => return Err(UnknownMode),
        };
        if rest == [0; 30] { Ok(Self { call, execution }) } else { Err(UnknownMode) }
    }

    /// Its word.
    pub const fn word(self) -> B256 {
        let mut word = [0; 32];
        let [call, execution, ..] = &mut word;
        *call = matches!(self.call, CallType::Batch) as u8;
        *execution = matches!(self.execution, ExecutionType::Try) as u8;
        B256::new(word)
    }
}

/// How many calls an execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallType {
    /// One, packed: see [`SingleExecution`].
    Single,
    /// Any number: see [`BatchExecution`].
    Batch,
}

/// What a call that fails does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExecutionType {
    /// It undoes everything.
    Default,
    /// It is passed over.
    Try,
}

/// A word that is no [`Mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownMode;

texts!(UnknownMode =>
    "the mode's first byte has to be 0 (one call) or 1 (a batch), its second 0 (default) or 1 (try), all others 0");

/// Encodes the one call of [`CallType::Single`]: contract (20 bytes), value (32), call data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleExecution<'a>(pub Call<'a>);

impl<'a> SingleExecution<'a> {
    /// Reads it; the account and the enforcers revert on fewer than 52 bytes.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (to, rest) = bytes.split_first_chunk::<20>()?;
        let (value, data) = rest.split_first_chunk::<32>()?;
        Some(Self(Call { to: Address::new(*to), value: U256::from_be_bytes(*value), data }))
    }
}

impl Encode for SingleExecution<'_> {
    fn encoded_len(&self) -> usize {
        20 + 32 + self.0.data.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.0.to.as_slice())?;
        sink.put(&self.0.value.to_be_bytes::<32>())?;
        sink.put(self.0.data)
    }
}

/// The calls of [`CallType::Batch`], in the bytes of their canonical encoding, `abi.encode((address,uint256,bytes)[])`.
#[derive(Clone, Copy, Debug)]
pub struct BatchExecution<'a> {
    /// What follows the number of calls.
    items: &'a [u8],
    len: usize,
}

impl<'a> BatchExecution<'a> {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`Malformed`] for every encoding but the canonical one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.expect(WORD)?;
        let len = reader.number()?;
        let base = reader.skip_words(len)?;
        for index in 0..len {
            reader.expect_offset(base, index)?;
            read_call(&mut reader)?;
        }
        reader.finish()?;
        Ok(Self { items: reader.since(base), len })
    }

    /// The calls, in the order in which they are made.
    pub fn calls(&self) -> impl Iterator<Item = Call<'a>> + Clone + use<'a> {
        let Self { items, len } = *self;
        (0..len).map_while(move |index| {
            let at = length_at(items, index * WORD)?;
            read_call(&mut Reader::new(items.get(at..)?)).ok()
        })
    }
}

/// Encodes calls, as [`BatchExecution::parse`] reads them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a>(pub &'a [Call<'a>]);

impl Encode for Batch<'_> {
    fn encoded_len(&self) -> usize {
        self.0.iter().fold(2 * WORD, |len, call| len + WORD + call_len(call))
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&word(WORD))?;
        sink.put(&word(self.0.len()))?;
        let mut at = self.0.len() * WORD;
        for call in self.0 {
            sink.put(&word(at))?;
            at += call_len(call);
        }
        for call in self.0 {
            sink.put(call.to.into_word().as_slice())?;
            sink.put(&call.value.to_be_bytes::<WORD>())?;
            sink.put(&word(CALL_HEAD))?;
            put_bytes(sink, call.data)?;
        }
        Ok(())
    }
}

/// The bytes of a call of a batch before its data.
const CALL_HEAD: usize = 3 * WORD;

fn call_len(call: &Call<'_>) -> usize {
    CALL_HEAD + WORD + padded_len(call.data.len())
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, Malformed> {
    let to = reader.address()?;
    let value = U256::from_be_bytes(reader.word()?.0);
    reader.expect(CALL_HEAD)?;
    let len = reader.number()?;
    Ok(Call { to, value, data: reader.padded(len)? })
}
