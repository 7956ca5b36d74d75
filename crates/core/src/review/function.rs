//! Functions and their arguments, by name where it is known.

use core::fmt;

use crate::{
    abi::{
        WORD,
        elementary::ElementaryType,
        known_function::KnownFunction,
        signature_text::{Argument, ArgumentKind},
    },
    show::Safe,
    written::{TextSink, Written, displays, write_text},
};

/// A word of a function's arguments.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    function: Option<&'a KnownFunction<'a>>,
    offset: usize,
}

impl<'a> Subject<'a> {
    /// The word at `offset`, in bytes from the end of the selector, of this function.
    pub(crate) const fn new(function: Option<&'a KnownFunction<'a>>, offset: usize) -> Self {
        Self { function, offset }
    }

    /// Where the word begins, in bytes from the end of the selector.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The ABI type of which the word is a value, if that is known.
    pub(crate) fn kind(&self) -> Option<ElementaryType> {
        match self.argument()?.kind {
            ArgumentKind::Value(kind) => Some(kind),
            ArgumentKind::Pointer | ArgumentKind::Other => None,
        }
    }

    fn argument(&self) -> Option<Argument<'a>> {
        let index = self.offset.is_multiple_of(WORD).then_some(self.offset / WORD)?;
        self.function?.argument(index)
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
