//! Functions, by their selectors, their signatures and their items of an ABI.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

use crate::abi::selector::FunctionSelector;

/// A string as [`FunctionSelector::parse`] reads it, `{ "raw" }` with four bytes of hex, or the function's item of a
/// contract's ABI.
impl<'de> Deserialize<'de> for FunctionSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SelectorVisitor)
    }
}

/// Writes `0x` and eight hex digits.
impl Serialize for FunctionSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct SelectorVisitor;

impl<'de> Visitor<'de> for SelectorVisitor {
    type Value = FunctionSelector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function: its selector in hex, its signature, { raw }, or its item of an ABI")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FunctionSelector, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<FunctionSelector, A::Error> {
        let (mut raw, mut kind, mut name, mut inputs) = (None, None, None, None);
        let mut others = false;
        while let Some(field) = fields.next_key::<String>()? {
            match field.as_str() {
                "raw" => set(&mut raw, fields.next_value::<String>()?, "raw")?,
                "type" => set(&mut kind, fields.next_value::<String>()?, "type")?,
                "name" => set(&mut name, fields.next_value::<String>()?, "name")?,
                "inputs" => set(&mut inputs, fields.next_value::<Vec<AbiParameter>>()?, "inputs")?,
                // Compilers put more into an ABI's items than the specification names.
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    others = true;
                }
            }
        }
        if let Some(raw) = raw {
            if others || kind.is_some() || name.is_some() || inputs.is_some() {
                return Err(de::Error::custom("a raw selector has no other field than `raw`"));
            }
            let digits = raw.strip_prefix("0x").filter(|digits| digits.len() == 8);
            return match digits.and(raw.parse().ok()) {
                Some(selector) => Ok(selector),
                None => Err(de::Error::custom("a raw selector is 0x and exactly 8 hex digits")),
            };
        }
        if kind.as_deref() != Some("function") {
            return Err(de::Error::custom("the ABI item's type is not `function`"));
        }
        let name = name.ok_or_else(|| de::Error::missing_field("name"))?;
        if !plain(&name, "") {
            return Err(de::Error::custom("the ABI item's name is not a function's name"));
        }
        let mut signature = format!("function {name}");
        write_types(&inputs.ok_or_else(|| de::Error::missing_field("inputs"))?, &mut signature)?;
        signature.parse().map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
struct AbiParameter {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    components: Vec<Self>,
}

/// Writes the parameters' types in parentheses.
fn write_types<E: de::Error>(parameters: &[AbiParameter], out: &mut String) -> Result<(), E> {
    out.push('(');
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let suffix = match parameter.kind.strip_prefix("tuple") {
            Some(suffix) => {
                write_types(&parameter.components, out)?;
                suffix
            }
            None => &parameter.kind,
        };
        if !plain(suffix, "[]") {
            return Err(E::custom("an input of the ABI item has a type that is none"));
        }
        out.push_str(suffix);
    }
    out.push(')');
    Ok(())
}

/// Whether `text` is made of the letters of names and of `more`, and so is read as one word of a signature.
fn plain(text: &str, more: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "_$".contains(letter) || more.contains(letter))
}

fn set<T, E: de::Error>(field: &mut Option<T>, value: T, name: &'static str) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn functions() {
        let item = json!({
            "type": "function",
            "name": "fill",
            "inputs": [
                { "type": "tuple[2]", "components": [{ "type": "address", "name": "a" }, { "type": "uint8[]" }] },
                { "type": "bytes" },
            ],
            "outputs": [],
            "stateMutability": "payable",
        });
        let selector = from_value::<FunctionSelector>(item.clone()).unwrap();
        assert_eq!(selector, "fill((address,uint8[])[2],bytes)".parse().unwrap());
        assert_eq!(to_value(selector).unwrap(), json!(selector.to_string()));

        for (field, value) in [
            ("type", json!("event")),
            ("name", json!("f(bool)")),
            ("inputs", json!([{ "type": "bool,bool" }])),
            ("inputs", json!([{ "type": "Order" }])),
            ("raw", json!("0xdeadbeef")),
        ] {
            let mut broken = item.clone();
            broken.as_object_mut().unwrap().insert(field.into(), value);
            assert!(from_value::<FunctionSelector>(broken.clone()).is_err(), "{broken}");
        }
        assert!(from_value::<FunctionSelector>(json!({ "raw": "0xdeadbe" })).is_err());
        assert!(from_value::<FunctionSelector>(json!({ "raw": "f()" })).is_err());
    }
}
