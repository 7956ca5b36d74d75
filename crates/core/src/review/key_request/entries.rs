//! What stands in a request's metadata.

use alloy_primitives::{B256, U256};

use super::{
    error::KeyRequestError,
    part::Part,
    text::{
        Block,
        Form::{self, Decimal, Hex},
        Name, Reader, Scalar,
        Step::{End, Text, Value as Read},
    },
};
use crate::{
    lint::severity::Severity,
    review::{item::Value, items::Items, label::Label},
};

static EPHEMERAL_KEY: Block = Block(&[
    Text(r#"{"ephId":""#),
    Read(Part::EphemeralName, Form::Name),
    Text(r#"","ephPK":""#),
    Read(Part::EphemeralKey, Hex),
    Text(r#"","expiry":"#),
    Read(Part::Expiry, Decimal),
    Text("}"),
    End,
]);

/// Before protocol 0.3.0, the key alone. The line's end is ours.
static BARE_KEY: Block = Block(&[Read(Part::EphemeralKey, Hex), Text("\n"), End]);

static CLAIM: Block = Block(&[
    Text(r#"{"network":""#),
    Read(Part::Network, Hex),
    Text(r#"","chainId":"#),
    Read(Part::Chain, Decimal),
    Text(r#","permissions":""#),
    Read(Part::Permissions, Hex),
    Text(r#""}"#),
    End,
]);

/// Reads exactly what clients write: JSON with its fields in their order and no spaces. Other spellings have another digest.
fn read(
    block: &'static Block,
    text: &[&str],
    take: &mut dyn FnMut(Part, Scalar<'_>) -> Option<()>,
) -> Option<()> {
    let mut reader = Reader::new(block);
    let mut take = |part, scalar: Scalar<'_>| take(part, scalar).ok_or(KeyRequestError::PermissionsValue);
    text.iter().try_for_each(|text| reader.push(text.as_bytes(), &mut take)).ok()?;
    reader.is_at_end().then_some(())
}

/// The key, and since protocol 0.3.0 the client's name for it and its end.
#[derive(Default)]
pub(super) struct EphemeralKey {
    key: B256,
    name: Name,
    expiry: Option<u64>,
}

impl EphemeralKey {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut key = Self::default();
        let mut take = |part, scalar: Scalar<'_>| {
            match part {
                Part::EphemeralName => key.name.push_str(scalar.name()?).ok()?,
                Part::Expiry => key.expiry = Some(scalar.decimal()?),
                _ => key.key = B256::new(scalar.bytes()?),
            }
            Some(())
        };
        match value.as_bytes().first() {
            Some(b'{') => read(&EPHEMERAL_KEY, &[value], &mut take)?,
            _ => read(&BARE_KEY, &[value, "\n"], &mut take)?,
        }
        Some(key)
    }

    pub(super) fn show(&self, items: &mut Items<'_>) -> Result<(), KeyRequestError> {
        items.hash(Label::EphemeralKey, &self.key);
        match self.expiry {
            None => items.with_severity(Severity::Warning).label(Label::EphemeralWithoutEnd),
            Some(expiry) => {
                let name = text("the ephemeral key's name", &self.name, self.name.capacity())?;
                items.put(Label::EphemeralName, name);
                items.put(Label::EphemeralUntil, Value::Time(expiry));
            }
        }
        Ok(())
    }
}

/// The owner's statement of what the key is for.
#[derive(Debug, Default)]
pub(super) struct PermissionsClaim {
    network: B256,
    pub(super) chain_id: u64,
    pub(super) permissions: B256,
}

impl PermissionsClaim {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut claim = Self::default();
        read(&CLAIM, &[value], &mut |part, scalar| {
            match part {
                Part::Network => claim.network = B256::new(scalar.bytes()?),
                Part::Chain => claim.chain_id = scalar.decimal()?,
                _ => claim.permissions = B256::new(scalar.bytes()?),
            }
            Some(())
        })?;
        Some(claim)
    }

    pub(super) fn show(&self, items: &mut Items<'_>) {
        items.number(Label::Chain, &U256::from(self.chain_id));
        items.hash(Label::Network, &self.network);
        items.hash(Label::Permissions, &self.permissions);
    }
}

/// Text from outside that is shown letter by letter, or not at all.
pub(super) fn text<'t>(
    what: &'static str,
    text: &'t str,
    limit: usize,
) -> Result<Value<'t>, KeyRequestError> {
    let bytes = text.as_bytes();
    let plain = bytes.iter().all(|letter| letter.is_ascii_graphic() || *letter == b' ');
    let single_blanks = !bytes.windows(2).any(|pair| pair == b"  ") && bytes.trim_ascii() == bytes;
    if text.len() <= limit && plain && single_blanks {
        Ok(Value::Text(text))
    } else {
        Err(KeyRequestError::Text { what, limit })
    }
}
