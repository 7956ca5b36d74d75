//! Strictly ordered text, read as it arrives.
//!
//! A key's permissions are JSON, of which the owner signs the keccak-256. A device cannot keep them, and has no use for JSON's
//! freedoms: it reads the one form that clients write, as a program of what comes next.

use super::KeyRequestError;

/// Steps, one after the other. Blocks go to each other, which is how lists and alternatives are read.
#[derive(Debug)]
pub(super) struct Block<V: 'static>(pub(super) &'static [Step<V>]);

/// What comes next.
#[derive(Debug)]
pub(super) enum Step<V: 'static> {
    /// These bytes.
    Text(&'static str),
    /// A value, up to the first byte that cannot be one of its.
    Value(V, Form),
    /// It goes on with the block that begins with the next byte.
    Choice(&'static [(u8, &'static Block<V>)]),
    /// It goes on there.
    Go(&'static Block<V>),
    /// Nothing.
    End,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Hexadecimal digits after `0x`, in lower case.
    Hex,
    /// Decimal digits.
    Decimal,
    /// Letters.
    Word,
}

/// Where a text is being read.
#[derive(Clone, Debug)]
pub(super) struct Reader<V: 'static> {
    /// The steps that are to come.
    steps: &'static [Step<V>],
    /// Bytes of the step's text that were there.
    matched: usize,
    /// The value so far: 32 bytes in hexadecimal are the longest.
    value: heapless::String<66>,
    /// Bytes before this one.
    at: usize,
}

impl<V: Copy> Reader<V> {
    pub(super) const fn new(first: &'static Block<V>) -> Self {
        Self { steps: first.0, matched: 0, value: heapless::String::new(), at: 0 }
    }

    /// Takes the next bytes, and hands over each value that is whole.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(V, &str) -> Result<(), KeyRequestError>,
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
        take: &mut dyn FnMut(V, &str) -> Result<(), KeyRequestError>,
    ) -> Result<bool, KeyRequestError> {
        let unreadable = KeyRequestError::Permissions { at: self.at };
        let Some((step, later)) = self.steps.split_first() else { return Err(unreadable) };
        match step {
            Step::Text(text) => {
                if text.as_bytes().get(self.matched) != Some(&byte) {
                    return Err(unreadable);
                }
                self.matched += 1;
                if self.matched == text.len() {
                    self.go(later);
                }
                Ok(true)
            }
            Step::Value(value, form) => {
                if form.takes(byte, self.value.len()) {
                    self.value.push(char::from(byte)).map_err(|_| unreadable)?;
                    return Ok(true);
                }
                if !form.is_whole(&self.value) {
                    return Err(unreadable);
                }
                take(*value, &self.value)?;
                self.go(later);
                Ok(false)
            }
            Step::Choice(choices) => {
                let (_, block) = choices.iter().find(|(first, _)| *first == byte).ok_or(unreadable)?;
                self.go(block.0);
                Ok(false)
            }
            Step::Go(block) => {
                self.go(block.0);
                Ok(false)
            }
            Step::End => Err(unreadable),
        }
    }

    fn go(&mut self, steps: &'static [Step<V>]) {
        self.steps = steps;
        self.matched = 0;
        self.value.clear();
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
            Self::Word => byte.is_ascii_lowercase(),
        }
    }

    /// A number has one spelling: no zero before its digits.
    fn is_whole(self, value: &str) -> bool {
        match self {
            Self::Hex => value.len() > 2,
            Self::Decimal => value == "0" || !(value.is_empty() || value.starts_with('0')),
            Self::Word => !value.is_empty(),
        }
    }
}
