//! Functions and their arguments, by name where it is known.

use core::fmt;

use crate::{
    abi::{
        WORD,
        signature_text::{self, Argument},
    },
    show::Safe,
    written::{TextSink, Written, displays, write_text},
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
        let index = self.offset.is_multiple_of(WORD).then_some(self.offset / WORD)?;
        signature_text::argument(self.function?, index)
    }
}

impl Written for Subject<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        match self.argument().and_then(|argument| argument.name) {
            Some(name) => Safe(name).write(out),
            None if self.offset.is_multiple_of(WORD) => {
                write_text("argument word {}", &[&(self.offset / WORD)], out)
            }
            None => write_text("the word at byte {} of the arguments", &[&self.offset], out),
        }
    }
}

displays!(Subject<'_>);
