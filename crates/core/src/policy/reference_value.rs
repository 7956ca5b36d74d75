//! The word that a rule compares an argument with.

use core::{fmt, str::FromStr};

use alloy_primitives::{Address, B256, U256};

/// One 32-byte word, big-endian, as the chain sees the argument it is compared with.
///
/// ```
/// use quorate_core::{ReferenceValue, U256};
///
/// assert_eq!("100".parse::<ReferenceValue>()?, ReferenceValue::from(U256::from(100)));
/// assert_eq!("0x64".parse::<ReferenceValue>()?, ReferenceValue::from(100_u64));
/// # Ok::<(), quorate_core::ReferenceValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReferenceValue(B256);

impl ReferenceValue {
    /// Bytes on the left of which zeros are put, as the ABI does with numbers and addresses.
    ///
    /// # Errors
    /// [`ReferenceValueError::TooLong`] for more than 32 bytes.
    pub fn try_from_slice(bytes: &[u8]) -> Result<Self, ReferenceValueError> {
        U256::try_from_be_slice(bytes)
            .filter(|_| bytes.len() <= 32)
            .map(Self::from)
            .ok_or(ReferenceValueError::TooLong { len: bytes.len() })
    }

    /// The word.
    pub const fn word(&self) -> B256 {
        self.0
    }

    /// The word as a number.
    pub fn to_uint(&self) -> U256 {
        self.0.into()
    }
}

impl From<B256> for ReferenceValue {
    fn from(word: B256) -> Self {
        Self(word)
    }
}

impl From<U256> for ReferenceValue {
    fn from(number: U256) -> Self {
        Self(number.into())
    }
}

impl From<u64> for ReferenceValue {
    fn from(number: u64) -> Self {
        Self::from(U256::from(number))
    }
}

impl From<bool> for ReferenceValue {
    fn from(truth: bool) -> Self {
        Self::from(u64::from(truth))
    }
}

impl From<Address> for ReferenceValue {
    fn from(address: Address) -> Self {
        Self(address.into_word())
    }
}

/// Reads `0x` and at most 64 hex digits (padded with zeros on the left), or a decimal number below 2^256.
impl FromStr for ReferenceValue {
    type Err = ReferenceValueError;

    fn from_str(text: &str) -> Result<Self, ReferenceValueError> {
        let (digits, radix, start) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16, 2),
            None => (text, 10, 0),
        };
        if let Some((at, _)) = digits.char_indices().find(|(_, digit)| !digit.is_digit(radix)) {
            return Err(ReferenceValueError::NotADigit { at: start + at });
        }
        if radix == 16 && digits.len() > 64 {
            return Err(ReferenceValueError::TooLong { len: digits.len().div_ceil(2) });
        }
        if radix == 10 && digits.is_empty() {
            return Err(ReferenceValueError::Empty);
        }
        U256::from_str_radix(digits, u64::from(radix))
            .map(Self::from)
            .map_err(|_| ReferenceValueError::TooLarge)
    }
}

/// Prints the word, `0x` and 64 hex digits.
impl fmt::Display for ReferenceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Why something is not a reference value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceValueError {
    /// Too many bytes.
    #[error("a reference value has at most 32 bytes, this one has {len}")]
    TooLong {
        /// The number of bytes found.
        len: usize,
    },
    /// A character that is no digit; hex needs its `0x`.
    #[error("byte {at} of the reference value is not a digit; give 0x and hex digits, or a decimal number")]
    NotADigit {
        /// Where it stands, counted in bytes from the start of the text.
        at: usize,
    },
    /// A decimal number of 2^256 or more.
    #[error("the reference value is 2^256 or more")]
    TooLarge,
    /// No text at all.
    #[error("the reference value is empty; give 0x and hex digits, or a decimal number")]
    Empty,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<U256, ReferenceValueError> {
        text.parse::<ReferenceValue>().map(|value| value.to_uint())
    }

    #[test]
    fn text() {
        assert_eq!(parse("0x0100"), Ok(U256::from(256)));
        assert_eq!(parse("0x1"), Ok(U256::from(1)));
        assert_eq!(parse("100"), Ok(U256::from(100)));
        assert_eq!(parse("0xg"), Err(ReferenceValueError::NotADigit { at: 2 }));
        assert_eq!(parse("1_0"), Err(ReferenceValueError::NotADigit { at: 1 }));
        assert_eq!(parse("-1"), Err(ReferenceValueError::NotADigit { at: 0 }));
        assert_eq!(parse("ff"), Err(ReferenceValueError::NotADigit { at: 0 }));
        assert_eq!(parse(""), Err(ReferenceValueError::Empty));
    }

    #[test]
    fn limits() {
        let most = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
        assert_eq!(parse(most), Ok(U256::MAX));
        assert_eq!(parse(&std::format!("{most}f")), Err(ReferenceValueError::TooLong { len: 33 }));
        let most = std::string::ToString::to_string(&U256::MAX);
        assert_eq!(parse(&most), Ok(U256::MAX));
        assert_eq!(parse(&std::format!("{most}0")), Err(ReferenceValueError::TooLarge));
    }

    #[test]
    fn bytes() {
        assert_eq!(ReferenceValue::try_from_slice(&[1, 0]), Ok(ReferenceValue::from(256_u64)));
        assert_eq!(ReferenceValue::try_from_slice(&[0; 33]), Err(ReferenceValueError::TooLong { len: 33 }));
        assert_eq!(ReferenceValue::from(Address::repeat_byte(7)).word(), Address::repeat_byte(7).into_word());
        assert_eq!(ReferenceValue::from(true), ReferenceValue::from(1_u64));
    }
}
