//! What a delegation manager is called with.

use alloy_primitives::{B256, U256};

use super::{
    context::{Context, ContextError, read_delegation},
    execution::{BatchExecution, CallType, Mode, SingleExecution, UnknownMode},
    reader::{Malformed, Reader},
    typed::Delegation,
};
use crate::{
    abi::{WORD, padded_len, put_bytes, selector::FunctionSelector, word},
    sink::{BufferFull, Encode, Sink},
    texts,
};

/// A call of a delegation manager that says one thing in one way.
///
/// ```
/// use quorate_core::Encode;
/// use quorate_core::delegation::{DelegationCall, NoRedemption};
///
/// let mut call_data = heapless::Vec::<u8, 256>::new();
/// NoRedemption.write_to(&mut call_data)?;
/// assert_eq!(DelegationCall::decode(&call_data), Ok(DelegationCall::Nothing));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegationCall<'a> {
    /// One execution under one context.
    Redeem(Redeem<'a>),
    /// No execution: all that it does is to use up a transaction's nonce.
    Nothing,
    /// The end of a delegation of the caller's.
    Disable(Disable<'a>),
}

impl<'a> DelegationCall<'a> {
    /// Reads call data in its canonical encoding.
    ///
    /// # Errors
    /// [`DelegationCallError`] for other functions, other than one context, mode and execution, and for what is not
    /// canonical.
    #[inline(never)]
    pub fn decode(call_data: &'a [u8]) -> Result<Self, DelegationCallError> {
        let (selector, arguments) = call_data
            .split_first_chunk::<4>()
            .ok_or(DelegationCallError::NoSelector { len: call_data.len() })?;
        match *selector {
            REDEEM if arguments == NOTHING.as_flattened() => Ok(Self::Nothing),
            REDEEM => Redeem::read(arguments).map(Self::Redeem),
            DISABLE => Disable::read(arguments).map(Self::Disable),
            _ => Err(DelegationCallError::OtherFunction { selector: FunctionSelector::new(*selector) }),
        }
    }
}

/// Encodes `redeemDelegations(bytes[],bytes32[],bytes[])` of one context, one mode and one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeem<'a> {
    /// The delegations.
    pub context: Context<'a>,
    /// How it is executed.
    pub mode: Mode,
    /// What is executed; see [`SingleExecution`] and [`BatchExecution`].
    pub execution: &'a [u8],
}

impl<'a> Redeem<'a> {
    #[inline(never)]
    fn read(arguments: &'a [u8]) -> Result<Self, DelegationCallError> {
        let mut reader = Reader::new(arguments);
        reader.expect(3 * WORD)?;
        let [modes, executions] = [reader.skip_words(1)?, reader.skip_words(1)?];
        // First, since what a context of no delegation executes is nobody's but the caller's.
        let context = Context::parse(read_one(&mut reader)?)?;
        reader.expect_offset_at(modes, 0)?;
        expect_one(&mut reader)?;
        let mode = Mode::decode(reader.word()?)?;
        reader.expect_offset_at(executions, 0)?;
        let execution = read_one(&mut reader)?;
        reader.finish()?;
        match mode.call {
            CallType::Single if SingleExecution::parse(execution).is_none() => {
                return Err(DelegationCallError::ExecutionTooShort { len: execution.len() });
            }
            CallType::Single => {}
            CallType::Batch => {
                BatchExecution::parse(execution).map_err(DelegationCallError::Batch)?;
            }
        }
        Ok(Self { context, mode, execution })
    }
}

impl Encode for Redeem<'_> {
    fn encoded_len(&self) -> usize {
        // Three offsets; of each array the number; of two of them an offset and a length; the mode.
        let bytes = padded_len(self.context.as_bytes().len()) + padded_len(self.execution.len());
        4 + (3 + 3 + 4 + 1) * WORD + bytes
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let modes = 6 * WORD + padded_len(self.context.as_bytes().len());
        sink.put(&REDEEM)?;
        for number in [3 * WORD, modes, modes + 2 * WORD, 1, WORD] {
            sink.put(&word(number))?;
        }
        put_bytes(sink, self.context.as_bytes())?;
        sink.put(&word(1))?;
        sink.put(self.mode.word().as_slice())?;
        sink.put(&word(1))?;
        sink.put(&word(WORD))?;
        put_bytes(sink, self.execution)
    }
}

/// Encodes `redeemDelegations([],[],[])`, which succeeds and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRedemption;

impl Encode for NoRedemption {
    fn encoded_len(&self) -> usize {
        4 + NOTHING.as_flattened().len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&REDEEM)?;
        sink.put(NOTHING.as_flattened())
    }
}

/// Encodes `disableDelegation(Delegation)`, which the delegator itself calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disable<'a>(pub Delegation<'a>);

impl<'a> Disable<'a> {
    fn read(arguments: &'a [u8]) -> Result<Self, DelegationCallError> {
        let mut reader = Reader::new(arguments);
        reader.expect(WORD)?;
        let delegation = read_delegation(&mut reader, 0)?;
        reader.finish()?;
        Ok(Self(delegation))
    }
}

impl Encode for Disable<'_> {
    fn encoded_len(&self) -> usize {
        4 + WORD + self.0.encoded_len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&DISABLE)?;
        sink.put(&word(WORD))?;
        self.0.write_to(sink)
    }
}

/// The only item of an array of bytes.
fn read_one<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DelegationCallError> {
    expect_one(reader)?;
    reader.expect(WORD)?;
    let len = reader.number()?;
    Ok(reader.padded(len)?)
}

fn expect_one(reader: &mut Reader<'_>) -> Result<(), DelegationCallError> {
    match reader.number()? {
        1 => Ok(()),
        len => Err(DelegationCallError::NotOne { at: reader.at() - WORD, len }),
    }
}

/// `redeemDelegations(bytes[],bytes32[],bytes[])`.
const REDEEM: [u8; 4] = [0xce, 0xf6, 0xd2, 0x09];
/// `disableDelegation((address,address,bytes32,(address,bytes,bytes)[],uint256,bytes))`.
const DISABLE: [u8; 4] = [0x49, 0x93, 0x40, 0x47];

/// Three arrays of nothing: their offsets, and their numbers of items.
const NOTHING: [[u8; WORD]; 6] = [
    U256::from_limbs([0x60, 0, 0, 0]).to_be_bytes(),
    U256::from_limbs([0x80, 0, 0, 0]).to_be_bytes(),
    U256::from_limbs([0xa0, 0, 0, 0]).to_be_bytes(),
    B256::ZERO.0,
    B256::ZERO.0,
    B256::ZERO.0,
];

/// Why call data is not taken for a call of a delegation manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationCallError {
    /// Not even a selector.
    NoSelector {
        /// The number of bytes.
        len: usize,
    },
    /// Another function.
    OtherFunction {
        /// The function found.
        selector: FunctionSelector,
    },
    /// An array has not one item.
    NotOne {
        /// Where its number of items stands, in bytes from the end of the selector.
        at: usize,
        /// The number.
        len: usize,
    },
    /// The arguments are not the canonical encoding of anything.
    Malformed(#[from] Malformed),
    /// The delegations are not taken.
    Context(#[from] ContextError),
    /// The mode is none of the four.
    Mode(#[from] UnknownMode),
    /// One call that ends before its contract and its value do.
    ExecutionTooShort {
        /// The number of bytes.
        len: usize,
    },
    /// A batch that is not the canonical encoding of calls.
    Batch(#[source] Malformed),
}

texts!(DelegationCallError {
    NoSelector { len } => "call data starts with a selector of 4 bytes, this has {} bytes",
    OtherFunction { selector } =>
        "the manager's function {} is called, which is neither redeemDelegations nor disableDelegation",
    NotOne { at, len } => "the array at byte {} of the arguments has {} items; it has to have one",
    Malformed(reason) => "the arguments are malformed: {}",
    Context(reason) => "{}",
    Mode(reason) => "{}",
    Batch(reason) => "the batch is malformed: {}",
    ExecutionTooShort { len } => "the execution has {} bytes; contract and value alone have 52",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selectors() {
        for (selector, signature) in [
            (REDEEM, "redeemDelegations(bytes[],bytes32[],bytes[])"),
            (DISABLE, "disableDelegation((address,address,bytes32,(address,bytes,bytes)[],uint256,bytes))"),
        ] {
            assert_eq!(Ok(FunctionSelector::new(selector)), signature.parse());
        }
    }
}
