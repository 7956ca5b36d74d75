//! Functions that are known by their signatures, read at compile time or at run time.

use super::{
    error::SelectorError,
    selector::FunctionSelector,
    signature_text::{self, Argument},
};

/// A function whose signature is known, with the names of its arguments.
///
/// Firmware names its functions by [`known_functions!`](crate::known_functions), which reads them while the firmware is
/// compiled. Others read them at run time:
///
/// ```
/// use quorate_core::{FunctionSelector, KnownFunction};
///
/// let mint = KnownFunction::parse("safeMint(address to)")?;
/// assert_eq!(mint.selector(), FunctionSelector::new([0x40, 0xd0, 0x97, 0xc3]));
/// assert_eq!(mint.signature(), "safeMint(address to)");
/// # Ok::<(), quorate_core::SelectorError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KnownFunction<'a> {
    selector: FunctionSelector,
    signature: &'a str,
    arguments: Arguments<'a>,
}

/// The words of a function's arguments.
#[derive(Clone, Copy, Debug)]
enum Arguments<'a> {
    Read(&'a [Argument<'a>]),
    /// By its address, so that a program that reads no signature at run time does not hold the code for it.
    InText(for<'t> fn(&'t str, usize) -> Option<Argument<'t>>),
}

impl<'a> KnownFunction<'a> {
    /// Reads a signature, as [`FunctionSelector::parse`] does.
    ///
    /// # Errors
    /// [`SelectorError`] says where the text is wrong.
    pub const fn parse(signature: &'a str) -> Result<Self, SelectorError> {
        match signature_text::read(signature) {
            Ok(read) => Ok(Self {
                selector: FunctionSelector::new(read.selector),
                signature,
                arguments: Arguments::InText(signature_text::argument),
            }),
            Err(error) => Err(error),
        }
    }

    /// The first four bytes of a call's data.
    pub const fn selector(&self) -> FunctionSelector {
        self.selector
    }

    /// The signature, with the names of the arguments.
    pub const fn signature(&self) -> &'a str {
        self.signature
    }

    /// What the `word`th word of the arguments is. `None` past them, where what pointers point at may be.
    pub(crate) fn argument(&self, word: usize) -> Option<Argument<'a>> {
        match self.arguments {
            Arguments::Read(arguments) => arguments.get(word).copied(),
            Arguments::InText(argument) => argument(self.signature, word),
        }
    }
}

/// By the signature, on which all else depends.
impl PartialEq for KnownFunction<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature
    }
}

impl Eq for KnownFunction<'_> {}

/// The functions of these signatures, which are read while the program is compiled: `&'static [KnownFunction<'static>]`.
///
/// ```
/// use quorate_core::{KnownFunction, TrustedContext, known_functions};
///
/// const FUNCTIONS: &[KnownFunction<'static>] =
///     known_functions!["safeMint(address to)", "transfer(address to, uint256 amount)"];
///
/// let trusted = TrustedContext { functions: FUNCTIONS, ..TrustedContext::CANONICAL };
/// assert_eq!(trusted.functions[0], KnownFunction::parse("safeMint(address to)")?);
/// # Ok::<(), quorate_core::SelectorError>(())
/// ```
///
/// A text that is no signature does not compile:
///
/// ```compile_fail
/// quorate_core::known_functions!["safeMint(address to"];
/// ```
#[macro_export]
macro_rules! known_functions {
    ($($signature:expr),* $(,)?) => {
        const {
            &[$({
                const WORDS: usize = $crate::KnownFunction::words($signature);
                $crate::KnownFunction::read($signature, &const { $crate::KnownFunction::arguments::<WORDS>($signature) })
            }),*]
        }
    };
}

/// What [`known_functions!`](crate::known_functions) is made of.
#[doc(hidden)]
impl KnownFunction<'static> {
    pub const fn words(signature: &str) -> usize {
        match signature_text::read(signature) {
            Ok(read) => read.head_words,
            Err(_) => panic!("this is not the signature of a function"),
        }
    }

    pub const fn arguments<const WORDS: usize>(signature: &'static str) -> [Argument<'static>; WORDS] {
        let mut arguments = [Argument::POINTER; WORDS];
        let mut rest = arguments.as_mut_slice();
        while let [before @ .., last] = rest {
            if let Some(argument) = signature_text::argument(signature, before.len()) {
                *last = argument;
            }
            rest = before;
        }
        arguments
    }

    pub const fn read(signature: &'static str, arguments: &'static [Argument<'static>]) -> Self {
        let Ok(Self { selector, .. }) = Self::parse(signature) else {
            panic!("this is not the signature of a function");
        };
        Self { selector, signature, arguments: Arguments::Read(arguments) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_compile_time_as_at_run_time() {
        const TEXTS: [&str; 4] = [
            "f()",
            "transfer(address to, uint256 amount)",
            "exchange(address[11] route, (uint8 a, bytes4[2] b)[2] swaps, bytes data, int24 tick) returns (uint256)",
            "f(fixed128x18 x, function callback, string memory text, (bytes) y)",
        ];
        const FUNCTIONS: &[KnownFunction<'static>] = known_functions![TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3]];
        for (function, text) in FUNCTIONS.iter().zip(TEXTS) {
            let parsed = KnownFunction::parse(text).unwrap();
            assert_eq!((function.selector(), function.signature()), (parsed.selector(), text));
            for word in 0..30 {
                assert_eq!(function.argument(word), parsed.argument(word), "{text}: {word}");
            }
        }
    }
}
