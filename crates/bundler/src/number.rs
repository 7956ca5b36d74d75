//! Numbers as bundlers write them: JSON numbers, decimal strings, hex strings, or `{"_hex": "0x…"}`.

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Number(u64),
    Text(String),
    Object {
        #[serde(rename = "_hex")]
        hex: String,
    },
}

/// Reads a number in any of the forms.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    let text = match Form::deserialize(deserializer)? {
        Form::Number(number) => return Ok(U256::from(number)),
        Form::Text(text) | Form::Object { hex: text } => text,
    };
    parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is neither a decimal nor a 0x-hex number")))
}

/// The same where the number may be missing or null.
pub(crate) fn read_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    #[derive(Deserialize)]
    struct Number(#[serde(deserialize_with = "read")] U256);
    Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
}

fn parse(text: &str) -> Option<U256> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let plain = digits.chars().all(|digit| digit.is_digit(radix)) && (radix == 16 || !digits.is_empty());
    if digits.is_empty() && radix == 16 {
        return Some(U256::ZERO);
    }
    plain.then(|| U256::from_str_radix(digits, radix.into()).ok()).flatten()
}
