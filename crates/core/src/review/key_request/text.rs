//! Strictly ordered text, read as it arrives.
//!
//! What an owner signs of a key is JSON, or the keccak-256 of JSON. A device has no use for JSON's freedoms: it reads the one form
//! that clients write, as a program of what comes next, and keeps one value at a time.

use alloy_primitives::{Address, B256, U256};

use super::{KeyRequestError, part::Part};

/// Steps, one after the other. Blocks go to each other, which is how lists and alternatives are read.
#[derive(Debug)]
pub(super) struct Block(pub(super) &'static [Step]);

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// These bytes.
    Text(&'static str),
    /// A value, up to the first byte that cannot be one of its.
    Value(Part, Form),
    /// The next byte says with which block it goes on.
    Choice(&'static [(u8, &'static Block)]),
    /// It goes on there.
    Go(&'static Block),
    /// Nothing.
    End,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Hexadecimal digits after `0x`, in lower case, of at most 32 bytes.
    Hex,
    /// Decimal digits without zeros before them, of a number below 2^64.
    Decimal,
    /// Printable ASCII without quotation marks and backslashes.
    Name,
}

/// A value that was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'v> {
    Hex {
        /// The digits at its end.
        word: B256,
        digits: usize,
    },
    Decimal(u64),
    Name(&'v str),
}

impl<'v> Scalar<'v> {
    /// As many bytes as there are digits for.
    pub(super) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        match self {
            Self::Hex { word, digits } if *digits == 2 * N => word.last_chunk().copied(),
            _ => None,
        }
    }

    pub(super) fn address(&self) -> Option<Address> {
        self.bytes().map(Address::new)
    }

    /// A number, in hexadecimal without zeros before its digits.
    pub(super) fn number(&self) -> Option<U256> {
        match self {
            Self::Hex { word, digits } => {
                let number = U256::from_be_bytes(word.0);
                (number.bit_len().div_ceil(4).max(1) == *digits).then_some(number)
            }
            Self::Decimal(number) => Some(U256::from(*number)),
            Self::Name(_) => None,
        }
    }

    pub(super) const fn decimal(&self) -> Option<u64> {
        match self {
            Self::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) const fn name(&self) -> Option<&'v str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Where a text is being read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// The steps that are to come.
    steps: &'static [Step],
    /// Bytes of the step that were there.
    matched: usize,
    /// The value so far, by its form.
    word: [u8; 32],
    number: u64,
    name: Name,
    /// Bytes before this one.
    at: usize,
}

/// A display has some 20 letters in a row.
pub(super) type Name = heapless::String<32>;

impl Reader {
    pub(super) const fn new(first: &'static Block) -> Self {
        Self { steps: first.0, matched: 0, word: [0; 32], number: 0, name: heapless::String::new(), at: 0 }
    }

    /// Takes the next bytes, and hands over each value that is whole.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Part, Scalar<'_>) -> Result<(), KeyRequestError>,
    ) -> Result<(), KeyRequestError> {
        for byte in bytes {
            while !self.consume(*byte, take)? {}
            self.at += 1;
        }
        Ok(())
    }

    pub(super) const fn is_at_end(&self) -> bool {
        matches!(self.steps.first(), Some(Step::End))
    }

    /// One step with a byte; says whether the byte was the step's, and not the next one's.
    fn consume(
        &mut self,
        byte: u8,
        take: &mut dyn FnMut(Part, Scalar<'_>) -> Result<(), KeyRequestError>,
    ) -> Result<bool, KeyRequestError> {
        let unreadable = KeyRequestError::Permissions { at: self.at };
        let Some((step, later)) = self.steps.split_first() else { return Err(unreadable) };
        let (next, was_read) = match step {
            Step::Text(text) => {
                if text.as_bytes().get(self.matched) != Some(&byte) {
                    return Err(unreadable);
                }
                self.matched += 1;
                if self.matched < text.len() {
                    return Ok(true);
                }
                (later, true)
            }
            Step::Value(part, form) => {
                if form.takes(byte, self.matched) {
                    self.add(*form, byte).ok_or(unreadable)?;
                    self.matched += 1;
                    return Ok(true);
                }
                take(*part, self.scalar(*form).ok_or(unreadable)?)?;
                (later, false)
            }
            Step::Choice(choices) => {
                let (_, block) = choices.iter().find(|(first, _)| *first == byte).ok_or(unreadable)?;
                (block.0, true)
            }
            Step::Go(block) => (block.0, false),
            Step::End => return Err(unreadable),
        };
        self.go(next);
        Ok(was_read)
    }

    /// Adds a byte to the value; none where there is no room for it.
    fn add(&mut self, form: Form, byte: u8) -> Option<()> {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match form {
            Form::Hex if self.matched < 2 => {}
            Form::Hex => {
                if self.matched == 2 + 64 {
                    return None;
                }
                let mut carry = digit?;
                for byte in self.word.iter_mut().rev() {
                    (*byte, carry) = (*byte << 4 | carry, *byte >> 4);
                }
            }
            Form::Decimal => {
                if self.matched > 0 && self.number == 0 {
                    return None;
                }
                self.number = self.number.checked_mul(10)?.checked_add(digit?.into())?;
            }
            Form::Name => self.name.push(char::from(byte)).ok()?,
        }
        Some(())
    }

    /// The value, if there is any of it.
    fn scalar(&self, form: Form) -> Option<Scalar<'_>> {
        match form {
            Form::Hex => {
                let digits = self.matched.checked_sub(2).filter(|digits| *digits > 0)?;
                Some(Scalar::Hex { word: B256::new(self.word), digits })
            }
            Form::Decimal => (self.matched > 0).then_some(Scalar::Decimal(self.number)),
            Form::Name => Some(Scalar::Name(&self.name)),
        }
    }

    fn go(&mut self, steps: &'static [Step]) {
        self.steps = steps;
        self.matched = 0;
        self.word = [0; 32];
        self.number = 0;
        self.name.clear();
    }
}

impl Form {
    const fn takes(self, byte: u8, place: usize) -> bool {
        match self {
            Self::Hex => match place {
                0 => byte == b'0',
                1 => byte == b'x',
                _ => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            },
            Self::Decimal => byte.is_ascii_digit(),
            Self::Name => (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\'),
        }
    }
}
