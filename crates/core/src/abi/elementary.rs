//! The elementary types of the ABI, and which words are values of them.
//!
//! Source: the Solidity documentation, "Contract ABI Specification", sections "Types" and "Formal Specification of the
//! Encoding".

use alloy_primitives::U256;

use crate::texts;

/// The canonical form of an elementary type, in two parts, if it is one.
pub(crate) fn canonical(kind: &str) -> Option<(&str, &'static str)> {
    let (base, digits) = split_where(kind, |byte| byte.is_ascii_digit());
    let suffix = match (base, digits) {
        ("address" | "bool" | "string" | "bytes" | "function", "") => "",
        ("uint" | "int", "") => "256",
        ("fixed" | "ufixed", "") => "128x18",
        ("fixed" | "ufixed", digits) => {
            let (bits, decimals) = split_where(digits, |byte| byte == b'x');
            bit_width(bits)?;
            decimal(decimals.get(1..)?).filter(|decimals| *decimals <= 80)?;
            ""
        }
        _ => {
            ElementaryType::with_digits(base, digits)?;
            ""
        }
    };
    Some((kind, suffix))
}

/// The text up to the first byte of ASCII for which this holds, and the rest.
pub(super) fn split_where(text: &str, ends: fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// A number's bits: 8, 16 and so on up to 256.
fn bit_width(digits: &str) -> Option<u16> {
    decimal(digits)
        .and_then(|bits| u16::try_from(bits).ok())
        .filter(|bits| *bits <= 256 && bits.is_multiple_of(8))
}

/// A number from 1 in decimal digits, without zeros before it; the greatest one where it is greater.
pub(super) fn decimal(digits: &str) -> Option<usize> {
    if digits.is_empty() || digits.starts_with('0') {
        return None;
    }
    digits.bytes().try_fold(0_usize, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// A type whose values are one word, of those that a contract's arguments usually have.
///
/// ```
/// use quorate_core::ElementaryType;
///
/// assert_eq!(ElementaryType::Uint { bits: 8 }.to_string(), "uint8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementaryType {
    /// `address`: 20 bytes, on the right of their word.
    Address,
    /// `bool`: 0 or 1.
    Bool,
    /// `uint8` to `uint256`.
    Uint {
        /// The number of bits.
        bits: u16,
    },
    /// `int8` to `int256`, in two's complement over the whole word.
    Int {
        /// The number of bits.
        bits: u16,
    },
    /// `bytes1` to `bytes32`, on the left of their word.
    FixedBytes {
        /// The number of bytes.
        len: u16,
    },
}

impl ElementaryType {
    /// The type of this name, aliases included.
    pub(crate) fn parse(kind: &str) -> Option<Self> {
        let (base, digits) = split_where(kind, |byte| byte.is_ascii_digit());
        match (base, digits) {
            ("address", "") => Some(Self::Address),
            ("bool", "") => Some(Self::Bool),
            ("uint", "") => Some(Self::Uint { bits: 256 }),
            ("int", "") => Some(Self::Int { bits: 256 }),
            _ => Self::with_digits(base, digits),
        }
    }

    fn with_digits(base: &str, digits: &str) -> Option<Self> {
        match base {
            "uint" => Some(Self::Uint { bits: bit_width(digits)? }),
            "int" => Some(Self::Int { bits: bit_width(digits)? }),
            "bytes" => {
                let len = u16::try_from(decimal(digits)?).ok().filter(|len| *len <= 32)?;
                Some(Self::FixedBytes { len })
            }
            _ => None,
        }
    }

    /// The greatest value, where the type's values are the words from 0 to it.
    pub(crate) fn max(self) -> Option<U256> {
        let bits = match self {
            Self::Address => 160,
            Self::Bool => 1,
            Self::Uint { bits } => bits,
            Self::Int { .. } | Self::FixedBytes { .. } => return None,
        };
        Some(U256::MAX.wrapping_shr(256_usize.saturating_sub(usize::from(bits))))
    }

    /// Where a value stands in its word, in words.
    pub(crate) const fn place(self) -> &'static str {
        match self {
            Self::FixedBytes { .. } => "bytesN stand on the left of their word, zeros on the right",
            Self::Int { .. } => "negative numbers have all bits above their own set",
            _ => "values stand on the right of their word, zeros on the left",
        }
    }

    /// Whether the word is the encoding of one of its values.
    pub(crate) fn has_value(self, word: U256) -> bool {
        match self {
            // All bits above the value's own are its sign.
            Self::Int { bits } => {
                let above = word.wrapping_shr(usize::from(bits).saturating_sub(1));
                above == U256::ZERO || above == U256::MAX.wrapping_shr(usize::from(bits).saturating_sub(1))
            }
            Self::FixedBytes { len } => len >= 32 || word.wrapping_shl(8 * usize::from(len)) == U256::ZERO,
            Self::Address | Self::Bool | Self::Uint { .. } => self.max().is_none_or(|max| word <= max),
        }
    }
}

texts!(ElementaryType {
    Address => "address",
    Bool => "bool",
    Uint { bits } => "uint{}",
    Int { bits } => "int{}",
    FixedBytes { len } => "bytes{}",
});

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn names_there_and_back() {
        for name in ["address", "bool", "uint8", "uint256", "int128", "bytes1", "bytes32"] {
            assert_eq!(ElementaryType::parse(name).unwrap().to_string(), name);
        }
        for name in ["bytes", "string", "bytes33", "bytes01", "uint7", "int0", "uint264", "uint+8", "u", ""] {
            assert_eq!(ElementaryType::parse(name), None, "{name}");
        }
        assert_eq!(canonical("fixed"), Some(("fixed", "128x18")));
        for (name, known) in
            [("ufixed8x1", true), ("fixed8x81", false), ("fixed7x1", false), ("fixed8", false)]
        {
            assert_eq!(canonical(name).is_some(), known, "{name}");
        }
    }

    #[test]
    fn words_that_are_values() {
        let one = U256::ONE;
        let minus_one = U256::MAX;
        for (name, word, is_one) in [
            ("bool", one, true),
            ("bool", U256::from(2), false),
            ("address", (one << 160) - one, true),
            ("address", one << 160, false),
            ("uint8", U256::from(255), true),
            ("uint8", U256::from(256), false),
            ("uint256", U256::MAX, true),
            ("int8", U256::from(127), true),
            ("int8", U256::from(128), false),
            ("int8", minus_one, true),
            ("int8", U256::MAX - U256::from(127), true),
            ("int8", U256::MAX - U256::from(128), false),
            ("int256", one << 255, true),
            ("bytes4", U256::from(0x1234_5678) << 224, true),
            ("bytes4", U256::from(0x1234_5678), false),
            ("bytes32", one, true),
        ] {
            assert_eq!(ElementaryType::parse(name).unwrap().has_value(word), is_one, "{name} {word}");
        }
    }
}
