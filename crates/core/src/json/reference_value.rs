//! Reference values.

use alloc::string::String;
use core::fmt;

use alloy_primitives::U256;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use super::value;
use crate::policy::reference_value::ReferenceValue;

/// A string as its `FromStr` reads it, a number, a bool, an array of at most 32 bytes, or `{ "raw" }`
/// with exactly 32 bytes of hex.
impl<'de> Deserialize<'de> for ReferenceValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceValueVisitor)
    }
}

/// Writes the word, `0x` and 64 hex digits.
impl Serialize for ReferenceValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct ReferenceValueVisitor;

impl<'de> Visitor<'de> for ReferenceValueVisitor {
    type Value = ReferenceValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference value: hex with 0x, a whole number, a bool, at most 32 bytes, or { raw }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ReferenceValue, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ReferenceValue, E> {
        self.visit_u128(number.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ReferenceValue, E> {
        self.visit_i128(number.into())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<ReferenceValue, E> {
        Ok(U256::from(number).into())
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<ReferenceValue, E> {
        value::whole(number).map(ReferenceValue::from)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<ReferenceValue, E> {
        Err(value::not_whole())
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<ReferenceValue, E> {
        Ok(truth.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ReferenceValue, A::Error> {
        let mut bytes = heapless::Vec::<u8, 32>::new();
        while let Some(byte) = items.next_element()? {
            if bytes.push(byte).is_err() {
                return Err(de::Error::invalid_length(33, &"at most 32 bytes"));
            }
        }
        ReferenceValue::try_from_slice(&bytes).map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<ReferenceValue, A::Error> {
        let mut raw = None;
        while let Some(field) = fields.next_key::<String>()? {
            match field.as_str() {
                "raw" if raw.is_none() => raw = Some(fields.next_value::<String>()?),
                "raw" => return Err(de::Error::duplicate_field("raw")),
                other => return Err(de::Error::unknown_field(other, &["raw"])),
            }
        }
        let raw = raw.ok_or_else(|| de::Error::missing_field("raw"))?;
        value::word(&raw)
            .map(ReferenceValue::from)
            .ok_or_else(|| de::Error::custom("a raw reference value is 0x and exactly 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn reference_values() {
        let sixteen = ReferenceValue::from(16_u64);
        for form in [
            json!("0x10"),
            json!("16"),
            json!(16),
            json!([0, 16]),
            json!({ "raw": std::format!("{:#x}", sixteen.word()) }),
        ] {
            assert_eq!(from_value::<ReferenceValue>(form.clone()).unwrap(), sixteen, "{form}");
        }
        assert_eq!(from_value::<ReferenceValue>(json!(true)).unwrap(), ReferenceValue::from(1_u64));
        for form in [
            json!(null),
            json!(-1),
            json!(0.5),
            json!(1e30),
            json!([256]),
            json!(std::vec![0; 33]),
            json!({ "raw": "0x10" }),
            json!({}),
            json!({ "raw": std::format!("{:#x}", sixteen.word()), "type": "raw" }),
        ] {
            assert!(from_value::<ReferenceValue>(form.clone()).is_err(), "{form}");
        }
    }
}
