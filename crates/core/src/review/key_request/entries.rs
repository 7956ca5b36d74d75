//! What stands in a request's metadata.

use alloy_primitives::{B256, U256};

use super::error::KeyRequestError;
use crate::{
    lint::severity::Severity,
    review::{
        item::{Item, Show, Value},
        label::Label,
    },
};

/// The key in hex, and since protocol 0.3.0 the client's name for it and its end.
pub(super) struct EphemeralKey<'a> {
    key: B256,
    claim: Option<(&'a str, u64)>,
}

impl<'a> EphemeralKey<'a> {
    /// Reads exactly what clients write: JSON with its fields in their order and no spaces, or before 0.3.0 the key.
    pub(super) fn read(value: &'a str) -> Option<Self> {
        let Some(rest) = value.strip_prefix(r#"{"ephId":""#) else {
            return Some(Self { key: hex_of_32_bytes(value)?, claim: None });
        };
        let (id, rest) = rest.split_once(r#"","ephPK":""#)?;
        let (key, rest) = rest.split_once(r#"","expiry":"#)?;
        let expiry = decimal(rest.strip_suffix('}')?)?;
        let plain = !id.contains(['"', '\\']);
        plain.then_some(Self { key: hex_of_32_bytes(key)?, claim: Some((id, expiry)) })
    }

    pub(super) fn show(&self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        show.show(&Item::new(Label::EphemeralKey, Value::Hash(self.key)))?;
        let Some((id, expiry)) = self.claim else {
            let item = Item::new(Label::EphemeralWithoutEnd, Value::None);
            return Ok(show.show(&item.with_severity(Severity::Warning))?);
        };
        show.show(&Item::new(Label::EphemeralName, text("the ephemeral key's name", id, LONGEST_NAME)?))?;
        Ok(show.show(&Item::new(Label::EphemeralUntil, Value::Time(expiry)))?)
    }
}

/// The owner's statement of what the key is for.
#[derive(Debug)]
pub(super) struct PermissionsClaim {
    network: B256,
    pub(super) chain_id: u64,
    pub(super) permissions: B256,
}

impl PermissionsClaim {
    pub(super) fn read(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(r#"{"network":""#)?;
        let (network, rest) = rest.split_once(r#"","chainId":"#)?;
        let (chain_id, rest) = rest.split_once(r#","permissions":""#)?;
        let permissions = hex_of_32_bytes(rest.strip_suffix(r#""}"#)?)?;
        Some(Self { network: hex_of_32_bytes(network)?, chain_id: decimal(chain_id)?, permissions })
    }

    pub(super) fn show(&self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        show.show(&Item::new(Label::Chain, Value::Number(U256::from(self.chain_id))))?;
        show.show(&Item::new(Label::Network, Value::Hash(self.network)))?;
        Ok(show.show(&Item::new(Label::Permissions, Value::Hash(self.permissions)))?)
    }
}

/// 64 lower-case digits after `0x`, as clients write them: other spellings of the same bytes have another digest.
fn hex_of_32_bytes(text: &str) -> Option<B256> {
    let digits = text.strip_prefix("0x")?;
    let plain = digits.len() == 64 && !digits.bytes().any(|digit| digit.is_ascii_uppercase());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A number as JSON has it: digits, and no zero before others.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// A display has some 20 letters in a row.
const LONGEST_NAME: usize = 32;

/// Text from outside that is shown letter by letter, or not at all.
pub(super) fn text<'t>(
    what: &'static str,
    text: &'t str,
    limit: usize,
) -> Result<Value<'t>, KeyRequestError> {
    let plain = text.bytes().all(|letter| letter.is_ascii_graphic() || letter == b' ');
    let single_blanks = !text.contains("  ") && text.trim_ascii() == text;
    if text.len() <= limit && plain && single_blanks {
        Ok(Value::Text(text))
    } else {
        Err(KeyRequestError::Text { what, limit })
    }
}
