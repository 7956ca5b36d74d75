//! What the smart account is called with.

use core::iter;

use alloy_primitives::{Address, U256};

use crate::{
    abi::{WORD, length_at, padded_len, put_bytes, selector::FunctionSelector, word, word_at},
    sink::{BufferFull, Encode, Matching, Sink},
};

/// A call that the account makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call<'a> {
    /// The contract or account called.
    pub to: Address,
    /// The value sent along, in wei.
    pub value: U256,
    /// The call data, selector included.
    pub data: &'a [u8],
}

/// Encodes one call, as the account's `execute_ncC(address,uint256,bytes)` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a>(pub Call<'a>);

impl Encode for Execute<'_> {
    fn encoded_len(&self) -> usize {
        execute_len(&self.0)
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        write_execute(selectors::EXECUTE_NCC, &self.0, sink)
    }
}

/// Encodes several calls, as the account's `executeBatch_y6U(address[],uint256[],bytes[])` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecuteBatch<'a>(pub &'a [Call<'a>]);

impl Encode for ExecuteBatch<'_> {
    fn encoded_len(&self) -> usize {
        batch_len(self.0.iter().copied())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        write_batch(selectors::EXECUTE_BATCH_Y6U, self.0.iter().copied(), sink)
    }
}

/// What an account's call data makes the account do.
///
/// ```
/// use quorate_core::{AccountCall, Address, Call, Encode, Execute, SliceSink, U256};
///
/// let call = Call { to: Address::repeat_byte(1), value: U256::ZERO, data: &[1, 2, 3, 4] };
/// let mut buffer = [0; 256];
/// let mut sink = SliceSink::new(&mut buffer);
/// Execute(call).write_to(&mut sink)?;
/// let decoded = AccountCall::decode(sink.written())?;
/// assert!(decoded.calls().eq([call]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub enum AccountCall<'a> {
    /// `execute` or `execute_ncC`.
    Single(Call<'a>),
    /// `executeBatch` or `executeBatch_y6U`.
    Batch(BatchCalls<'a>),
}

impl<'a> AccountCall<'a> {
    /// Reads call data in its canonical encoding: encoded again, the calls give the same bytes.
    ///
    /// The chain takes other encodings as well, and reads the same bytes differently in the account and in the
    /// modules; nothing that is to be judged may be among them.
    ///
    /// # Errors
    /// [`DecodeError`] for call data of another function, and for an encoding that is not canonical.
    pub fn decode(call_data: &'a [u8]) -> Result<Self, DecodeError> {
        let (selector, arguments) =
            call_data.split_first_chunk::<4>().ok_or(DecodeError::NoSelector { len: call_data.len() })?;
        let mut matched = Matching::new(call_data);
        match *selector {
            selectors::EXECUTE_NCC | selectors::EXECUTE => {
                let call = read_call(arguments).ok_or(DecodeError::NotCanonical)?;
                match write_execute(*selector, &call, &mut matched) {
                    Ok(()) if matched.is_whole() => Ok(Self::Single(call)),
                    _ => Err(DecodeError::NotCanonical),
                }
            }
            selectors::EXECUTE_BATCH_Y6U | selectors::EXECUTE_BATCH => {
                let calls = BatchCalls::read(arguments).ok_or(DecodeError::NotCanonical)?;
                match write_batch(*selector, calls.clone(), &mut matched) {
                    Ok(()) if matched.is_whole() => Ok(Self::Batch(calls)),
                    _ => Err(DecodeError::NotCanonical),
                }
            }
            _ => Err(DecodeError::NotExecute { selector: FunctionSelector::new(*selector) }),
        }
    }

    /// The calls, in the order in which the account makes them.
    pub fn calls(&self) -> impl Iterator<Item = Call<'a>> + Clone + use<'a> {
        let (single, batch) = match self {
            Self::Single(call) => (Some(*call), None),
            Self::Batch(calls) => (None, Some(calls.clone())),
        };
        single.into_iter().chain(batch.into_iter().flatten())
    }
}

/// The calls of a batch, read as they are asked for.
#[derive(Clone, Debug)]
pub struct BatchCalls<'a> {
    /// The arguments, without the selector.
    arguments: &'a [u8],
    len: usize,
    next: usize,
}

impl<'a> BatchCalls<'a> {
    /// Reads the number of calls, and nothing else: what is not where the canonical encoding has it comes out
    /// differently when it is encoded again.
    fn read(arguments: &'a [u8]) -> Option<Self> {
        let len = length_at(arguments, 3 * WORD)?;
        // Each call takes four words at least, so that this bounds what follows.
        (len <= arguments.len() / (4 * WORD)).then_some(Self { arguments, len, next: 0 })
    }

    fn call(&self, index: usize) -> Option<Call<'a>> {
        // Three offsets; three arrays of `len` words, each after its length.
        let item = |array: usize| (3 + array * (1 + self.len) + 1 + index) * WORD;
        let data_items = item(2) - index * WORD;
        let data_at = data_items.checked_add(length_at(self.arguments, item(2))?)?;
        Some(Call {
            to: Address::from_word((*word_at(self.arguments, item(0))?).into()),
            value: U256::from_be_bytes(*word_at(self.arguments, item(1))?),
            data: bytes_at(self.arguments, data_at)?,
        })
    }
}

impl<'a> Iterator for BatchCalls<'a> {
    type Item = Call<'a>;

    fn next(&mut self) -> Option<Call<'a>> {
        if self.next == self.len {
            return None;
        }
        let call = self.call(self.next);
        self.next = if call.is_some() { self.next + 1 } else { self.len };
        call
    }
}

impl iter::FusedIterator for BatchCalls<'_> {}

/// Why call data is not taken for calls of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not even a selector.
    #[error("call data starts with a selector of 4 bytes, this has {len} bytes")]
    NoSelector {
        /// The number of bytes found.
        len: usize,
    },
    /// A function that makes no calls.
    #[error("the account's function {selector} is neither execute nor executeBatch")]
    NotExecute {
        /// The function found.
        selector: FunctionSelector,
    },
    /// An encoding that differs from the canonical one of what it says, if it says anything.
    #[error("the call data is not in canonical ABI encoding")]
    NotCanonical,
}

/// The account's functions that make calls.
pub(crate) mod selectors {
    /// `execute_ncC(address,uint256,bytes)`, the cheaper twin.
    pub(crate) const EXECUTE_NCC: [u8; 4] = [0x00, 0x00, 0x18, 0x9a];
    /// `execute(address,uint256,bytes)`.
    pub(crate) const EXECUTE: [u8; 4] = [0xb6, 0x1d, 0x27, 0xf6];
    /// `executeBatch_y6U(address[],uint256[],bytes[])`, the cheaper twin.
    pub(crate) const EXECUTE_BATCH_Y6U: [u8; 4] = [0x00, 0x00, 0x46, 0x80];
    /// `executeBatch(address[],uint256[],bytes[])`.
    pub(crate) const EXECUTE_BATCH: [u8; 4] = [0x47, 0xe1, 0xda, 0x2a];
}

fn read_call(arguments: &[u8]) -> Option<Call<'_>> {
    Some(Call {
        to: Address::from_word((*word_at(arguments, 0)?).into()),
        value: U256::from_be_bytes(*word_at(arguments, WORD)?),
        data: bytes_at(arguments, 3 * WORD)?,
    })
}

/// The bytes whose length stands at byte `at`.
fn bytes_at(arguments: &[u8], at: usize) -> Option<&[u8]> {
    arguments.get(at..)?.get(WORD..)?.get(..length_at(arguments, at)?)
}

fn execute_len(call: &Call<'_>) -> usize {
    4 + 4 * WORD + padded_len(call.data.len())
}

fn write_execute<S: Sink + ?Sized>(
    selector: [u8; 4],
    call: &Call<'_>,
    sink: &mut S,
) -> Result<(), BufferFull> {
    sink.put(&selector)?;
    sink.put(call.to.into_word().as_slice())?;
    sink.put(&call.value.to_be_bytes::<32>())?;
    sink.put(&word(3 * WORD))?;
    put_bytes(sink, call.data)
}

fn batch_len<'a>(calls: impl Iterator<Item = Call<'a>>) -> usize {
    // Three offsets and three lengths, and for each call address, value, offset and length.
    calls.fold(4 + 6 * WORD, |len, call| len + 4 * WORD + padded_len(call.data.len()))
}

fn write_batch<'a, S: Sink + ?Sized>(
    selector: [u8; 4],
    calls: impl Iterator<Item = Call<'a>> + Clone,
    sink: &mut S,
) -> Result<(), BufferFull> {
    let len = calls.clone().count();
    let array = (1 + len) * WORD;
    sink.put(&selector)?;
    for at in [3 * WORD, 3 * WORD + array, 3 * WORD + 2 * array] {
        sink.put(&word(at))?;
    }
    sink.put(&word(len))?;
    for call in calls.clone() {
        sink.put(call.to.into_word().as_slice())?;
    }
    sink.put(&word(len))?;
    for call in calls.clone() {
        sink.put(&call.value.to_be_bytes::<32>())?;
    }
    sink.put(&word(len))?;
    let mut at = len * WORD;
    for call in calls.clone() {
        sink.put(&word(at))?;
        at += WORD + padded_len(call.data.len());
    }
    for call in calls {
        put_bytes(sink, call.data)?;
    }
    Ok(())
}
