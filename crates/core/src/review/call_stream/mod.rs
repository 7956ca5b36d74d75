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

type Report<'r> = dyn FnMut(Event<'_>) -> Result<(), ReviewError> + 'r;

/// Why a word is not one of calls.
#[derive(Clone, Copy, Debug)]
enum Misfit {
    /// It does not belong there.
    Word,
    TooManyCalls(u64),
}

/// The reader, with room for a batch of `CALLS` calls.
#[derive(Clone, Debug)]
pub(super) struct CallStream<const CALLS: usize> {
    /// The bytes taken so far.
    at: usize,
    place: Place,
    /// Which of an array's items, or which call.
    number: usize,
    /// The bytes of the call's data that are to come.
    rest: u64,
    /// What was read last ends a call, which is to be reported.
    call_ends: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not yet a word: the selector.
    Selector,
    /// Of a single call.
    To,
    Value,
    DataOffset,
    /// Where the three arrays of a batch stand.
    ArrayOffset,
    /// Each array's length, before its items.
    Calls,
    ToOf,
    Values,
    ValueOf,
    Datas,
    DataOffsetOf,
    /// The length of a call's data.
    Length,
    Data,
    End,
}

impl<const CALLS: usize> CallStream<CALLS> {
    pub(super) const fn new() -> Self {
        Self {
            at: 0,
            place: Place::Selector,
            number: 0,
            rest: 0,
            call_ends: false,
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
        report: &mut Report<'_>,
    ) -> Result<(), ReviewError> {
        let mut rest = bytes;
        let mut read = Ok(());
        while read.is_ok() && !rest.is_empty() {
            let before = rest;
            read = self.read(&mut rest, report);
            let (now, _) = before.split_at_checked(before.len() - rest.len()).unwrap_or_default();
            hasher.update(now);
            if read.is_ok() && self.call_ends {
                self.call_ends = false;
                read = report(Event::End { hasher });
            }
        }
        hasher.update(rest);
        read
    }

    /// Reads some of the bytes, up to the end of a call, and leaves the others.
    fn read(&mut self, rest: &mut &[u8], report: &mut Report<'_>) -> Result<(), ReviewError> {
        while !rest.is_empty() && !self.call_ends {
            if let Some(data) = self.whole_words_of_data(rest) {
                *rest = rest.get(data.len()..).unwrap_or_default();
                report(Event::Data(data))?;
                continue;
            }
            let wanted = match self.place {
                Place::Selector => 4,
                Place::End => return Err(ReviewError::Unreadable { at: self.at }),
                _ => WORD,
            };
            let take = rest.len().min(wanted - self.filled);
            let (now, later) = rest.split_at(take);
            if let Some(room) = self.word.get_mut(self.filled..self.filled + take) {
                room.copy_from_slice(now);
            }
            self.filled += take;
            *rest = later;
            if self.filled == wanted {
                self.take_word(report)?;
                self.at += wanted;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Takes a whole word, and reports what it is of a call.
    fn take_word(&mut self, report: &mut Report<'_>) -> Result<(), ReviewError> {
        let (place, number, word) = (self.place, self.number, self.word);
        let here = self.rest_of_word();
        self.place = self.next(&word).map_err(|misfit| match misfit {
            Misfit::Word => ReviewError::Unreadable { at: self.at },
            Misfit::TooManyCalls(calls) => ReviewError::TooManyCalls { calls, limit: CALLS },
        })?;
        match place {
            Place::Length => {
                let head = self.calls.get(number).copied().unwrap_or_default();
                let head = CallHead { data_len: self.rest, ..head };
                report(Event::Begin { number, of: self.calls.len(), head })?;
            }
            Place::Data => report(Event::Data(word.get(..here).unwrap_or_default()))?,
            _ => return Ok(()),
        }
        self.call_ends = self.place != Place::Data;
        Ok(())
    }
    /// Begins with other call data.
    pub(super) fn clear(&mut self) {
        self.at = 0;
        self.place = Place::Selector;
        self.number = 0;
        self.rest = 0;
        self.call_ends = false;
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
        let before_last = usize::try_from(self.rest.saturating_sub(1)).unwrap_or(usize::MAX);
        let len = bytes.len().min(before_last) / WORD * WORD;
        if self.place != Place::Data || self.filled > 0 || len == 0 {
            return None;
        }
        self.rest -= len as u64;
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

    /// What comes after this word, if it belongs there.
    fn next(&mut self, word: &[u8; WORD]) -> Result<Place, Misfit> {
        let len = self.calls.len();
        let unless = |wrong: bool| if wrong { Err(Misfit::Word) } else { Ok(()) };
        Ok(match self.place {
            Place::Selector => match word.first_chunk() {
                Some(&(selectors::EXECUTE | selectors::EXECUTE_NCC)) => Place::To,
                Some(&(selectors::EXECUTE_BATCH | selectors::EXECUTE_BATCH_Y6U)) => Place::ArrayOffset,
                _ => return Err(Misfit::Word),
            },
            Place::To | Place::ToOf => {
                let to = address(word).ok_or(Misfit::Word)?;
                let is_single = self.place == Place::To;
                if is_single {
                    self.make_room(1)?;
                }
                if let Some(call) = self.calls.get_mut(self.number) {
                    call.to = to;
                }
                self.after_item(if is_single { Place::Value } else { Place::Values })
            }
            Place::Value | Place::ValueOf => {
                if let Some(call) = self.calls.get_mut(self.number) {
                    call.value = U256::from_be_bytes(*word);
                }
                let is_single = self.place == Place::Value;
                self.after_item(if is_single { Place::DataOffset } else { Place::Datas })
            }
            Place::DataOffset => {
                unless(*word != abi_word(3))?;
                Place::Length
            }
            Place::ArrayOffset => {
                match self.number.checked_sub(1) {
                    None => unless(*word != abi_word(3))?,
                    Some(array) => {
                        if let Some(offset) = self.array_offsets.get_mut(array) {
                            *offset = *word;
                        }
                    }
                }
                self.number += 1;
                if self.number < 3 {
                    return Ok(Place::ArrayOffset);
                }
                self.number = 0;
                Place::Calls
            }
            Place::Calls => {
                self.make_room(number_in(word).ok_or(Misfit::Word)?)?;
                let len = self.calls.len();
                unless(self.array_offsets != [abi_word(4 + len), abi_word(5 + 2 * len)])?;
                self.data_offset = (len * WORD) as u64;
                if len == 0 { Place::Values } else { Place::ToOf }
            }
            Place::Values | Place::Datas => {
                unless(*word != self::word(len))?;
                match (self.place, len) {
                    (Place::Values, 0) => Place::Datas,
                    (Place::Values, _) => Place::ValueOf,
                    (_, 0) => Place::End,
                    _ => Place::DataOffsetOf,
                }
            }
            Place::DataOffsetOf => {
                // There is room: there are as many as calls.
                let _ = self.data_offsets.push(number_in(word).ok_or(Misfit::Word)?);
                self.after_item(Place::Length)
            }
            Place::Length => {
                self.rest = number_in(word).ok_or(Misfit::Word)?;
                unless(self.data_offsets.get(self.number).is_some_and(|offset| *offset != self.data_offset))?;
                let padded = self.rest.checked_next_multiple_of(WORD as u64);
                let next =
                    padded.and_then(|padded| self.data_offset.checked_add(WORD as u64)?.checked_add(padded));
                self.data_offset = next.ok_or(Misfit::Word)?;
                self.after_data()
            }
            Place::Data => {
                let here = self.rest_of_word();
                unless(word.iter().skip(here).any(|padding| *padding != 0))?;
                self.rest -= here as u64;
                self.after_data()
            }
            Place::End => return Err(Misfit::Word),
        })
    }

    fn make_room(&mut self, calls: u64) -> Result<(), Misfit> {
        let len = usize::try_from(calls).unwrap_or(usize::MAX);
        self.calls.resize_default(len).map_err(|_| Misfit::TooManyCalls(calls))
    }

    fn after_item(&mut self, after_last: Place) -> Place {
        self.number += 1;
        if self.number < self.calls.len() {
            return self.place;
        }
        self.number = 0;
        after_last
    }

    fn after_data(&mut self) -> Place {
        if self.rest > 0 {
            return Place::Data;
        }
        self.number += 1;
        if self.number < self.calls.len() { Place::Length } else { Place::End }
    }

    /// The bytes of data in the next word.
    fn rest_of_word(&self) -> usize {
        usize::try_from(self.rest).unwrap_or(WORD).min(WORD)
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
