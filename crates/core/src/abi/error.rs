//! Why a text names no function.

/// Why a text names no function. Positions count bytes from the start of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// `0x` and a number of digits other than eight.
    #[error("a selector has 8 hex digits after 0x, this one has {digits}")]
    WrongLength {
        /// The number of digits found.
        digits: usize,
    },
    /// `0x` and something that is no hex digit.
    #[error("byte {at} of the selector is not a hex digit")]
    NotHex {
        /// Where it stands.
        at: usize,
    },
    /// Something else was due, such as a name, a parenthesis or a comma.
    #[error("byte {at} of the function's signature: expected {expected}")]
    Expected {
        /// Where it was due.
        at: usize,
        /// What was due.
        expected: &'static str,
    },
    /// `receive`, `fallback` or `constructor`, which have no selector.
    #[error(
        "byte {at} of the function's signature: this is called without a selector; write `function` before it if a \
         function has this name"
    )]
    NoFunction {
        /// Where it stands.
        at: usize,
    },
    /// A type that the ABI does not know.
    #[error(
        "byte {at} of the function's signature: not an ABI type; write structs as tuples, enums as uint8 and \
         contracts as address"
    )]
    UnknownType {
        /// Where the type starts.
        at: usize,
    },
    /// Tuples within tuples beyond what any contract has.
    #[error("tuples are nested more than {limit} deep")]
    TooDeep {
        /// The depth that is read.
        limit: usize,
    },
}
