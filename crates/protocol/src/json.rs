use alloy_primitives::Address;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};

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

/// For `deserialize_with`: an address in lower case or with its checksum (EIP-55), so that a slip of a digit in what
/// a person wrote is found.
pub(crate) fn address<'de, D: Deserializer<'de>>(json: D) -> Result<Address, D::Error> {
    let text = String::deserialize(json)?;
    let address: Address = text
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 40)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| D::Error::custom(format_args!("`{text}` is not an address: 0x and 40 hex digits")))?;
    let plain = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain || address.to_checksum(None) == text {
        return Ok(address);
    }
    let wrong = "has a wrong checksum (EIP-55); correct it, or write it in lower case if it is right";
    Err(D::Error::custom(format_args!("the address `{text}` {wrong}")))
}
