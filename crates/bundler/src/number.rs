//! Numbers as bundlers write them.
//!
//! Read are JSON numbers, strings in decimal or in hex with `0x` or `0X`, and the objects that JavaScript's big numbers
//! become in JSON: `{"_hex": …}` and `{"type": "BigNumber", "hex": …}` (ethers 5) and `{"value": …}` around any of
//! these. Leading zeros count for nothing, and `0x` is zero. A decimal may have a fraction and an exponent, as large
//! JSON numbers have, where its value is whole.
//!
//! A JSON number of 2^64 or more has the precision of a double, because JSON's readers give no more; a string is exact.
//!
//! ```
//! use quorate_bundler::number;
//! use quorate_core::U256;
//! use serde_json::json;
//!
//! for form in [json!(40_000), json!("40000"), json!("0x9c40"), json!("0X9C40"), json!({ "_hex": "0x9c40" })] {
//!     assert_eq!(number::from_json(&form)?, U256::from(40_000));
//! }
//! # Ok::<(), number::NumberError>(())
//! ```

use alloy_primitives::U256;
use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::Value;

/// Why something is not a number from 0 to 2^256 − 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Text that is neither a decimal nor a hex number.
    #[error("`{text}` is neither a decimal number nor a hex number with 0x")]
    Malformed {
        /// The text.
        text: String,
    },
    /// A number below zero.
    #[error("{text} is negative")]
    Negative {
        /// The number.
        text: String,
    },
    /// A number with a fraction.
    #[error("{text} is not a whole number")]
    Fraction {
        /// The number.
        text: String,
    },
    /// A number beyond 256 bits.
    #[error("{text} does not fit into 256 bits")]
    TooLarge {
        /// The number.
        text: String,
    },
    /// JSON of another kind.
    #[error("{found} is not a number, nor a string or an object that holds one")]
    Kind {
        /// What kind of JSON it is.
        found: &'static str,
    },
}

/// Reads a number from text: decimal, or hex with `0x` or `0X`. White space around it is ignored.
///
/// # Errors
/// [`NumberError`] for text that is no number from 0 to 2^256 − 1.
pub fn parse(text: &str) -> Result<U256, NumberError> {
    let text = text.trim();
    if text.starts_with('-') && text.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err(NumberError::Negative { text: text.to_owned() });
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            whole(digits, 16).ok_or_else(|| NumberError::TooLarge { text: text.to_owned() })
        }
        Some(_) => Err(NumberError::Malformed { text: text.to_owned() }),
        None => decimal(text),
    }
}

/// Reads a number from JSON in any form of this module.
///
/// # Errors
/// [`NumberError`] for JSON that is no number from 0 to 2^256 − 1.
pub fn from_json(json: &Value) -> Result<U256, NumberError> {
    match json {
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text),
        Value::Object(fields) => {
            let inner = ["_hex", "hex", "value"].into_iter().find_map(|name| fields.get(name));
            match inner {
                Some(inner @ (Value::Number(_) | Value::String(_))) => from_json(inner),
                _ => Err(NumberError::Kind { found: "an object without `_hex`, `hex` or `value`" }),
            }
        }
        Value::Null => Err(NumberError::Kind { found: "null" }),
        Value::Bool(_) => Err(NumberError::Kind { found: "a boolean" }),
        Value::Array(_) => Err(NumberError::Kind { found: "an array" }),
    }
}

/// For serde's `deserialize_with`: a number in any form of this module.
///
/// # Errors
/// The deserializer's, with a [`NumberError`] as its text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For serde's `deserialize_with`, beside `default`: none where the number is missing, null or an empty string.
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        json => from_json(&json).map(Some).map_err(D::Error::custom),
    }
}

/// Digits, `.`, digits, `e`, an exponent; all but one run of digits may be missing.
fn decimal(text: &str) -> Result<U256, NumberError> {
    let malformed = || NumberError::Malformed { text: text.to_owned() };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().map_err(|_| malformed())?),
        None => (text, 0_i64),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{before}{after}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(malformed());
    }
    // The number is `digits` with so many zeros more, or fewer.
    let after = i64::try_from(after.len()).unwrap_or(i64::MAX);
    let mut zeros = exponent.saturating_sub(after);
    let significant = digits.trim_end_matches('0').len();
    if significant == 0 {
        return Ok(U256::ZERO);
    }
    while zeros < 0 && digits.len() > significant {
        digits.pop();
        zeros += 1;
    }
    if zeros < 0 {
        return Err(NumberError::Fraction { text: text.to_owned() });
    }
    let too_large = || NumberError::TooLarge { text: text.to_owned() };
    // 2^256 has 78 digits.
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros < 78).ok_or_else(too_large)?;
    digits.extend(std::iter::repeat_n('0', zeros));
    whole(&digits, 10).ok_or_else(too_large)
}

/// The value of digits that were checked; none if it is too large.
fn whole(digits: &str, radix: u64) -> Option<U256> {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { Some(U256::ZERO) } else { U256::from_str_radix(digits, radix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_in_every_form() {
        let two_to_the_64 = U256::from(1) << 64;
        for (form, expected) in [
            (json!(0), U256::ZERO),
            (json!(50_000), U256::from(50_000)),
            (json!(u64::MAX), U256::from(u64::MAX)),
            (json!(5.0), U256::from(5)),
            (json!(1e18), U256::from(1_000_000_000_000_000_000_u64)),
            (json!(1e21), U256::from(10).pow(U256::from(21))),
            (json!("70000"), U256::from(70_000)),
            (json!(" 7 "), U256::from(7)),
            (json!("007"), U256::from(7)),
            (json!("1e3"), U256::from(1000)),
            (json!("1.50e1"), U256::from(15)),
            (json!("18446744073709551616"), two_to_the_64),
            (json!("0x"), U256::ZERO),
            (json!("0X"), U256::ZERO),
            (json!("0x0"), U256::ZERO),
            (json!("0x00ff"), U256::from(255)),
            (json!("0XFF"), U256::from(255)),
            (json!(format!("0x{}1", "0".repeat(80))), U256::from(1)),
            (json!(format!("0x{}", "f".repeat(64))), U256::MAX),
            (json!({ "_hex": "0x9c40", "_isBigNumber": true }), U256::from(40_000)),
            (json!({ "type": "BigNumber", "hex": "0x9c40" }), U256::from(40_000)),
            (json!({ "hex": "0X9C40" }), U256::from(40_000)),
            (json!({ "type": "bigint", "value": "40000" }), U256::from(40_000)),
        ] {
            assert_eq!(from_json(&form), Ok(expected), "{form}");
        }
    }

    #[test]
    fn a_json_number_beyond_64_bits_is_what_javascript_wrote() {
        let json: Value = serde_json::from_str("18446744073709552000").unwrap();
        assert_eq!(from_json(&json), parse("18446744073709552000"));
    }

    #[test]
    fn what_is_no_number_says_what_it_is() {
        let malformed = |text: &str| NumberError::Malformed { text: text.to_owned() };
        for text in ["", "ff", "0xg", "1_000", "+1", "12n", ".", "1e", "e3", "0x-1", "NaN", "0x1.0"] {
            assert_eq!(parse(text), Err(malformed(text)), "{text}");
        }
        for (form, expected) in [
            (json!(-1), NumberError::Negative { text: "-1".to_owned() }),
            (json!("-0x1"), NumberError::Negative { text: "-0x1".to_owned() }),
            (json!(1.5), NumberError::Fraction { text: "1.5".to_owned() }),
            (json!("1e-1"), NumberError::Fraction { text: "1e-1".to_owned() }),
            (json!("1e78"), NumberError::TooLarge { text: "1e78".to_owned() }),
            (json!("1e99999999999"), NumberError::TooLarge { text: "1e99999999999".to_owned() }),
            (json!(null), NumberError::Kind { found: "null" }),
            (json!(true), NumberError::Kind { found: "a boolean" }),
            (json!([1]), NumberError::Kind { found: "an array" }),
            (json!({}), NumberError::Kind { found: "an object without `_hex`, `hex` or `value`" }),
        ] {
            assert_eq!(from_json(&form), Err(expected), "{form}");
        }
        assert!(matches!(parse(&format!("0x1{}", "0".repeat(64))), Err(NumberError::TooLarge { .. })));
    }
}
