//! Functions and their arguments, by name where it is known.

use core::fmt;

use crate::{
    abi::signature_text::{self, Argument},
    show::Safe,
};

/// A word of a function's arguments.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    function: Option<&'a str>,
    offset: usize,
}

impl<'a> Subject<'a> {
    /// The word at `offset`, in bytes from the end of the selector, of a function with this signature.
    pub(crate) const fn new(function: Option<&'a str>, offset: usize) -> Self {
        Self { function, offset }
    }

    /// Where the word begins, in bytes from the end of the selector.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The ABI type of the argument whose word it is, if that is known.
    pub(crate) fn kind(&self) -> Option<&'a str> {
        self.argument().and_then(|argument| argument.kind)
    }

    fn argument(&self) -> Option<Argument<'a>> {
        let index = self.offset.is_multiple_of(32).then_some(self.offset / 32)?;
        signature_text::argument(self.function?, index)
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument().and_then(|argument| argument.name) {
            Some(name) => write!(f, "{}", Safe(name)),
            None if self.offset.is_multiple_of(32) => write!(f, "argument word {}", self.offset / 32),
            None => write!(f, "the word at byte {} of the arguments", self.offset),
        }
    }
}
