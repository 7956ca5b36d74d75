use std::fmt;

use alloy_primitives::{Address, FixedBytes, U256, hex};
use serde::de::{self, DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ShortText;

/// JSON that is not what was expected, and where.
#[derive(Debug, thiserror::Error)]
#[error("not valid at `{path}`: {source}")]
pub struct JsonError {
    path: String,
    source: serde_json::Error,
}

/// Reads one whole document; anything after it is an error.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| JsonError { path: error.path().to_string(), source: error.into_inner() })?;
    json.end().map_err(|source| JsonError { path: ".".to_owned(), source })?;
    Ok(value)
}

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not 20 bytes of hex.
    #[error("`{found}` is not an address: 0x and 40 hex digits")]
    Form {
        /// What stands in its place.
        found: ShortText,
    },
    /// In mixed case, and not as EIP-55 has it.
    #[error(
        "the address `{found}` has a wrong checksum (EIP-55); correct it, or write it in lower case if it is right"
    )]
    Checksum {
        /// The address as it was written.
        found: ShortText,
    },
}

/// Reads an address in lower case or with its checksum (EIP-55), so that a slip of a digit in what a person wrote is found.
pub(crate) fn read_address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
    let address: Address = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| AddressError::Form { found: text.into() })?;
    let plain = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain || address.to_checksum(None) == text {
        return Ok(address);
    }
    Err(AddressError::Checksum { found: text.into() })
}

/// For `deserialize_with`: as [`read_address`].
pub(crate) fn address<'de, D: Deserializer<'de>>(json: D) -> Result<Address, D::Error> {
    read_address(&String::deserialize(json)?).map_err(D::Error::custom)
}

/// As [`address`], for a field that may be missing.
pub(crate) fn optional_address<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Address>, D::Error> {
    address(json).map(Some)
}

/// For `deserialize_with`, for a field that may be missing and is not null where it is there.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    json: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}

/// For `deserialize_with`: a number below 2^256 in its one decimal or its one hex spelling, so that nodes, devices and web
/// pages read the same in it or all refuse it.
///
/// A JSON number of 2^53 and more is refused, since JavaScript would read another.
pub(crate) fn number<'de, D: Deserializer<'de>>(json: D) -> Result<U256, D::Error> {
    json.deserialize_any(NumberVisitor)
}

/// As [`number`], for a field that may be missing.
pub(crate) fn optional_number<'de, D: Deserializer<'de>>(json: D) -> Result<Option<U256>, D::Error> {
    number(json).map(Some)
}

/// As [`number`], of no more than `T` holds.
pub(crate) fn bounded_number<'de, D: Deserializer<'de>, T: TryFrom<U256>>(json: D) -> Result<T, D::Error> {
    let number = number(json)?;
    T::try_from(number)
        .map_err(|_| D::Error::custom(format_args!("{number} is greater than any such number")))
}

/// For `deserialize_with`: bytes, as many as `T` has, 0x and two hex digits each.
pub(crate) fn bytes<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(json: D) -> Result<T, D::Error> {
    let text = String::deserialize(json)?;
    let digits =
        text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let bytes = digits.and_then(|digits| hex::decode(digits).ok()?.try_into().ok());
    bytes.ok_or_else(|| {
        let text = ShortText::from(text.as_str());
        D::Error::custom(format_args!("`{text}` is not 0x and two hex digits for each of the bytes here"))
    })
}

/// For `deserialize_with`: exactly `N` bytes, 0x and two hex digits each.
pub(crate) fn fixed_bytes<'de, D: Deserializer<'de>, const N: usize>(
    json: D,
) -> Result<FixedBytes<N>, D::Error> {
    let text = String::deserialize(json)?;
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * N);
    let bytes = digits.and_then(|digits| hex::decode_to_array(digits).ok().map(FixedBytes));
    bytes.ok_or_else(|| {
        let text = ShortText::from(text.as_str());
        D::Error::custom(format_args!("`{text}` is not {N} bytes: 0x and {} hex digits", 2 * N))
    })
}

/// As [`fixed_bytes`], for a field that may be missing.
pub(crate) fn optional_fixed_bytes<'de, D: Deserializer<'de>, const N: usize>(
    json: D,
) -> Result<Option<FixedBytes<N>>, D::Error> {
    fixed_bytes(json).map(Some)
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = U256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a number below 2^256: decimal digits or 0x and hex digits, without leading zeros, as a string from 2^53 on",
        )
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<U256, E> {
        if number >= 1 << 53 {
            return Err(E::invalid_value(de::Unexpected::Unsigned(number), &self));
        }
        Ok(U256::from(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U256, E> {
        let refused = || E::invalid_value(de::Unexpected::Str(&ShortText::from(text)), &self);
        let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        let padded = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || padded || !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(refused());
        }
        U256::from_str_radix(digits, radix.into()).map_err(|_| refused())
    }
}
