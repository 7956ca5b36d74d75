//! The elementary types of the ABI, and which words are values of them.
//!
//! Source: the Solidity documentation, "Contract ABI Specification", sections "Types" and "Formal Specification of the
//! Encoding".

use alloy_primitives::U256;

use crate::texts;

/// What the canonical form of an elementary type has after its name, if it is one.
pub(crate) const fn canonical_suffix(kind: &str) -> Option<&'static str> {
    let (base, digits) = split_at_digit(kind.as_bytes());
    match (base, digits) {
        (b"address" | b"bool" | b"string" | b"bytes" | b"function", b"") => Some(""),
        (b"uint" | b"int", b"") => Some("256"),
        (b"fixed" | b"ufixed", b"") => Some("128x18"),
        (b"fixed" | b"ufixed", digits) if is_fixed_point(digits) => Some(""),
        _ if ElementaryType::with_digits(base, digits).is_some() => Some(""),
        _ => None,
    }
}

/// Whether these are the bits and decimals of a fixed point type, as in `128x18`.
const fn is_fixed_point(digits: &[u8]) -> bool {
    let ([bits @ .., b'x', _] | [bits @ .., b'x', _, _]) = digits else { return false };
    let (_, [_, decimals @ ..]) = digits.split_at(bits.len()) else { return false };
    bit_width(bits).is_some() && matches!(decimal(decimals), Some(..=80))
}

/// The letters up to the first digit, and the rest.
const fn split_at_digit(text: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = text;
    while let [letter, after @ ..] = rest {
        if letter.is_ascii_digit() {
            break;
        }
        rest = after;
    }
    text.split_at(text.len() - rest.len())
}

/// A number's bits: 8, 16 and so on up to 256.
const fn bit_width(digits: &[u8]) -> Option<u16> {
    match decimal_up_to(digits, 256) {
        Some(bits) if bits.is_multiple_of(8) => Some(bits),
        _ => None,
    }
}

/// A number from 1 in decimal digits, without zeros before it; the greatest one where it is greater.
pub(super) const fn decimal(digits: &[u8]) -> Option<usize> {
    let mut rest = digits;
    if matches!(rest, [] | [b'0', ..]) {
        return None;
    }
    let mut number = 0_usize;
    while let [digit, after @ ..] = rest {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.saturating_mul(10).saturating_add((*digit - b'0') as usize);
        rest = after;
    }
    Some(number)
}

#[allow(clippy::cast_possible_truncation, reason = "it is compared before, and `try_from` is not const yet")]
const fn decimal_up_to(digits: &[u8], most: u16) -> Option<u16> {
    match decimal(digits) {
        Some(number) if number <= most as usize => Some(number as u16),
        _ => None,
    }
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
    pub(crate) const fn parse(kind: &str) -> Option<Self> {
        let (base, digits) = split_at_digit(kind.as_bytes());
        match (base, digits) {
            (b"address", b"") => Some(Self::Address),
            (b"bool", b"") => Some(Self::Bool),
            (b"uint", b"") => Some(Self::Uint { bits: 256 }),
            (b"int", b"") => Some(Self::Int { bits: 256 }),
            _ => Self::with_digits(base, digits),
        }
    }

    const fn with_digits(base: &[u8], digits: &[u8]) -> Option<Self> {
        match (base, bit_width(digits), decimal_up_to(digits, 32)) {
            (b"uint", Some(bits), _) => Some(Self::Uint { bits }),
            (b"int", Some(bits), _) => Some(Self::Int { bits }),
            (b"bytes", _, Some(len)) => Some(Self::FixedBytes { len }),
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
        assert_eq!(canonical_suffix("fixed"), Some("128x18"));
        for (name, known) in
            [("ufixed8x1", true), ("fixed8x81", false), ("fixed7x1", false), ("fixed8", false)]
        {
            assert_eq!(canonical_suffix(name).is_some(), known, "{name}");
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
