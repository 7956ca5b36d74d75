//! The four bytes that name a function.

use core::{fmt, str::FromStr};

use super::{error::SelectorError, signature_text};
use crate::written::{TextSink, Written, displays, write_hex};

/// The first four bytes of the keccak256 of a function's canonical signature.
///
/// ```
/// use quorate_core::FunctionSelector;
///
/// let mint: FunctionSelector = "function safeMint(address to) external returns (uint256)".parse()?;
/// assert_eq!(mint, "safeMint(address)".parse()?);
/// assert_eq!(mint, FunctionSelector::new([0x40, 0xd0, 0x97, 0xc3]));
/// assert_eq!(mint.to_string(), "0x40d097c3");
/// # Ok::<(), quorate_core::SelectorError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FunctionSelector([u8; 4]);

impl FunctionSelector {
    /// Takes the four bytes as they are.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Reads `0x` and eight hex digits, or a function's signature.
    ///
    /// The signature may begin with `function`, name its arguments, give their data locations, and go on with
    /// modifiers and `returns (...)`; tuples are written `(…)` or `tuple(…)`. Aliases such as `uint` are
    /// resolved. Names of structs, enums and contracts are refused, since their types cannot be known, and so are
    /// `receive`, `fallback` and `constructor`, unless `function` says that a function has this name.
    ///
    /// # Errors
    /// [`SelectorError`] says where the text is wrong.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        match text.strip_prefix("0x") {
            Some(digits) => Self::from_hex(digits),
            None => signature_text::read(text, &mut |_| {}).map(|signature| Self(signature.selector)),
        }
    }

    /// The four bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    fn from_hex(digits: &str) -> Result<Self, SelectorError> {
        if let Some((at, _)) = digits.char_indices().find(|(_, digit)| !digit.is_ascii_hexdigit()) {
            return Err(SelectorError::NotHex { at: at + 2 });
        }
        match u32::from_str_radix(digits, 16) {
            Ok(number) if digits.len() == 8 => Ok(Self(number.to_be_bytes())),
            _ => Err(SelectorError::WrongLength { digits: digits.len() }),
        }
    }
}

impl FromStr for FunctionSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl From<[u8; 4]> for FunctionSelector {
    fn from(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

/// Prints `0x` and eight hex digits.
impl Written for FunctionSelector {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        write_hex(&self.0, out)
    }
}

displays!(FunctionSelector);

impl fmt::Debug for FunctionSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionSelector({self})")
    }
}
