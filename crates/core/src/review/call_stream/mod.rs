//! Reads an account's call data as it arrives, and only in its canonical layout.
//!
//! That layout is words after the selector, each of which is determined by those before it or is a value of its own;
//! so one word is kept, and of a batch the addresses and values until their data comes.

use alloy_primitives::{Address, Keccak256, U256};

use super::error::ReviewError;
use crate::{
    abi::{WORD, word},
    operation::call::selectors,
};

/// What a call is, before its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CallHead {
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) data_len: u64,
}

/// What the reader comes upon.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A call begins, the `number`th from 0.
    Begin { number: usize, of: usize, head: CallHead },
    /// The next bytes of its data.
    Data(&'a [u8]),
    /// It is whole.
    End {
        /// Of all call data up to here.
        hasher: &'a Keccak256,
    },
}

/// A part of a call, as it is read.
#[derive(Clone, Copy)]
enum Part<'a> {
    Begin { number: usize, of: usize, head: CallHead },
    Data(&'a [u8]),
    End,
}

type Report<'r> = dyn FnMut(Part<'_>, &[u8]) -> Result<(), ReviewError> + 'r;

/// The reader, with room for a batch of `CALLS` calls.
#[derive(Clone, Debug)]
pub(super) struct CallStream<const CALLS: usize> {
    /// The bytes taken so far.
    at: usize,
    place: Place,
    word: [u8; WORD],
    filled: usize,
    calls: heapless::Vec<CallHead, CALLS>,
    /// The words of a batch's head that come before the number of calls, on which they depend.
    array_offsets: [[u8; WORD]; 2],
    /// Where a batch says that its calls' data stand in their array.
    data_offsets: heapless::Vec<u64, CALLS>,
    /// Where the next one does.
    data_offset: u64,
}

/// What the next word is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Not yet a word: the selector.
    Selector,
    Single(SingleField),
    Batch(BatchField),
    /// The length of a call's data.
    Length {
        number: usize,
    },
    /// The data, of which so many bytes are to come.
    Data {
        number: usize,
        rest: u64,
    },
    End,
}

#[derive(Clone, Copy, Debug)]
enum SingleField {
    To,
    Value,
    Offset,
}

#[derive(Clone, Copy, Debug)]
enum BatchField {
    /// Where the three arrays stand.
    Offset(u8),
    /// Their lengths: of the addresses, the values, the data.
    Len(u8),
    To(usize),
    Value(usize),
    DataOffset(usize),
}

impl<const CALLS: usize> CallStream<CALLS> {
    pub(super) const fn new() -> Self {
        Self {
            at: 0,
            place: Place::Selector,
            word: [0; WORD],
            filled: 0,
            calls: heapless::Vec::new(),
            array_offsets: [[0; WORD]; 2],
            data_offsets: heapless::Vec::new(),
            data_offset: 0,
        }
    }

    /// Takes the next bytes, and reports what they hold. All of them get into the hash, also where they cannot be read.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        hasher: &mut Keccak256,
        report: &mut dyn FnMut(Event<'_>) -> Result<(), ReviewError>,
    ) -> Result<(), ReviewError> {
        let mut to_hash = bytes;
        let read = self.read(bytes, &mut |part, after: &[u8]| {
            report(match part {
                Part::Begin { number, of, head } => Event::Begin { number, of, head },
                Part::Data(data) => Event::Data(data),
                Part::End => {
                    let (now, later) =
                        to_hash.split_at_checked(to_hash.len() - after.len()).unwrap_or_default();
                    hasher.update(now);
                    to_hash = later;
                    Event::End { hasher }
                }
            })
        });
        hasher.update(to_hash);
        read
    }

    /// Reads bytes, and reports each part of a call with the bytes that come after it.
    fn read(&mut self, mut bytes: &[u8], report: &mut Report<'_>) -> Result<(), ReviewError> {
        while !bytes.is_empty() {
            if let Some(data) = self.whole_words_of_data(bytes) {
                bytes = bytes.get(data.len()..).unwrap_or_default();
                report(Part::Data(data), bytes)?;
                continue;
            }
            let wanted = match self.place {
                Place::Selector => 4,
                Place::End => return Err(ReviewError::Unreadable { at: self.at }),
                _ => WORD,
            };
            let take = bytes.len().min(wanted - self.filled);
            let (now, later) = bytes.split_at(take);
            if let Some(room) = self.word.get_mut(self.filled..self.filled + take) {
                room.copy_from_slice(now);
            }
            self.filled += take;
            bytes = later;
            if self.filled == wanted {
                let word = self.word;
                self.place = self.next(&word, &mut |part| report(part, bytes))?;
                self.at += wanted;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Begins with other call data.
    pub(super) fn clear(&mut self) {
        self.at = 0;
        self.place = Place::Selector;
        self.filled = 0;
        self.calls.clear();
        self.data_offsets.clear();
        self.data_offset = 0;
    }

    /// Whether the call data, which is whole, is a batch of no calls.
    pub(super) fn is_without_calls(&self) -> bool {
        self.calls.is_empty()
    }

    /// The whole words of a call's data that `bytes` begins with, but for the last one, behind which the call ends.
    fn whole_words_of_data<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let Place::Data { rest, .. } = &mut self.place else { return None };
        let before_last = usize::try_from(rest.saturating_sub(1)).unwrap_or(usize::MAX);
        let len = bytes.len().min(before_last) / WORD * WORD;
        if self.filled > 0 || len == 0 {
            return None;
        }
        *rest -= len as u64;
        self.at += len;
        bytes.get(..len)
    }

    /// Whether any call data was there.
    pub(super) const fn has_begun(&self) -> bool {
        self.at + self.filled > 0
    }

    /// All of the call data was there.
    pub(super) fn finish(&self) -> Result<(), ReviewError> {
        match self.place {
            Place::End if self.filled == 0 => Ok(()),
            _ => Err(ReviewError::Ends { at: self.at + self.filled }),
        }
    }

    /// Takes a whole word, and says what the next one is.
    fn next(
        &mut self,
        word: &[u8; WORD],
        report: &mut dyn FnMut(Part<'_>) -> Result<(), ReviewError>,
    ) -> Result<Place, ReviewError> {
        let unreadable = ReviewError::Unreadable { at: self.at };
        let must = |right: bool| if right { Ok(()) } else { Err(unreadable) };
        Ok(match self.place {
            Place::Selector => match word.first_chunk() {
                Some(&(selectors::EXECUTE | selectors::EXECUTE_NCC)) => Place::Single(SingleField::To),
                Some(&(selectors::EXECUTE_BATCH | selectors::EXECUTE_BATCH_Y6U)) => {
                    Place::Batch(BatchField::Offset(0))
                }
                _ => return Err(unreadable),
            },
            Place::Single(SingleField::To) => {
                let to = address(word).ok_or(unreadable)?;
                let head = CallHead { to, ..CallHead::default() };
                self.calls.push(head).map_err(|_| ReviewError::TooManyCalls { calls: 1, limit: CALLS })?;
                Place::Single(SingleField::Value)
            }
            Place::Single(SingleField::Value) => {
                self.set_value(0, word);
                Place::Single(SingleField::Offset)
            }
            Place::Single(SingleField::Offset) => {
                must(*word == abi_word(3))?;
                Place::Length { number: 0 }
            }
            Place::Batch(field) => self.batch(field, word)?,
            Place::Length { number } => {
                let data_len = number_in(word).ok_or(unreadable)?;
                must(self.data_offsets.get(number).is_none_or(|offset| *offset == self.data_offset))?;
                let padded = data_len.checked_next_multiple_of(WORD as u64);
                let next =
                    padded.and_then(|padded| self.data_offset.checked_add(WORD as u64)?.checked_add(padded));
                self.data_offset = next.ok_or(unreadable)?;

                let head = self.calls.get(number).copied().unwrap_or_default();
                report(Part::Begin { number, of: self.calls.len(), head: CallHead { data_len, ..head } })?;
                match data_len {
                    0 => self.end_call(number, report)?,
                    rest => Place::Data { number, rest },
                }
            }
            Place::Data { number, rest } => {
                let here = usize::try_from(rest).unwrap_or(WORD).min(WORD);
                let (data, padding) = word.split_at(here);
                must(padding.iter().all(|byte| *byte == 0))?;
                report(Part::Data(data))?;
                match rest - here as u64 {
                    0 => self.end_call(number, report)?,
                    rest => Place::Data { number, rest },
                }
            }
            Place::End => return Err(unreadable),
        })
    }

    fn batch(&mut self, field: BatchField, word: &[u8; WORD]) -> Result<Place, ReviewError> {
        let unreadable = ReviewError::Unreadable { at: self.at };
        let must = |right: bool| if right { Ok(()) } else { Err(unreadable) };
        let len = self.calls.len();
        Ok(Place::Batch(match field {
            BatchField::Offset(0) => {
                must(*word == abi_word(3))?;
                BatchField::Offset(1)
            }
            BatchField::Offset(array) => {
                if let Some(offset) = self.array_offsets.get_mut(usize::from(array) - 1) {
                    *offset = *word;
                }
                if array == 1 { BatchField::Offset(2) } else { BatchField::Len(0) }
            }
            BatchField::Len(0) => {
                let calls = number_in(word).ok_or(unreadable)?;
                let room = usize::try_from(calls).ok().filter(|calls| *calls <= CALLS);
                let len = room.ok_or(ReviewError::TooManyCalls { calls, limit: CALLS })?;
                must(self.array_offsets == [abi_word(4 + len), abi_word(5 + 2 * len)])?;
                for _ in 0..len {
                    // There is room: `len` was compared with it.
                    let _ = self.calls.push(CallHead::default());
                }
                self.data_offset = (len * WORD) as u64;
                if len == 0 { BatchField::Len(1) } else { BatchField::To(0) }
            }
            BatchField::To(number) => {
                let to = address(word).ok_or(unreadable)?;
                if let Some(call) = self.calls.get_mut(number) {
                    call.to = to;
                }
                if number + 1 < len { BatchField::To(number + 1) } else { BatchField::Len(1) }
            }
            BatchField::Len(array) => {
                must(*word == self::word(len))?;
                match (array, len) {
                    (1, 0) => BatchField::Len(2),
                    (1, _) => BatchField::Value(0),
                    (_, 0) => return Ok(Place::End),
                    _ => BatchField::DataOffset(0),
                }
            }
            BatchField::Value(number) => {
                self.set_value(number, word);
                if number + 1 < len { BatchField::Value(number + 1) } else { BatchField::Len(2) }
            }
            BatchField::DataOffset(number) => {
                // There is room: there are as many as calls.
                let _ = self.data_offsets.push(number_in(word).ok_or(unreadable)?);
                if number + 1 == len {
                    return Ok(Place::Length { number: 0 });
                }
                BatchField::DataOffset(number + 1)
            }
        }))
    }

    fn end_call(
        &self,
        number: usize,
        report: &mut dyn FnMut(Part<'_>) -> Result<(), ReviewError>,
    ) -> Result<Place, ReviewError> {
        report(Part::End)?;
        Ok(if number + 1 < self.calls.len() { Place::Length { number: number + 1 } } else { Place::End })
    }

    fn set_value(&mut self, number: usize, word: &[u8; WORD]) {
        if let Some(call) = self.calls.get_mut(number) {
            call.value = U256::from_be_bytes(*word);
        }
    }
}

/// So many words, in bytes.
fn abi_word(words: usize) -> [u8; WORD] {
    word(words * WORD)
}

/// An address in its canonical word, which starts with zeros.
fn address(word: &[u8; WORD]) -> Option<Address> {
    let (zeros, address) = word.split_at(12);
    zeros.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
}

/// A number below 2^64: no length is greater.
fn number_in(word: &[u8; WORD]) -> Option<u64> {
    u64::try_from(U256::from_be_bytes(*word)).ok()
}

#[cfg(test)]
mod tests;
