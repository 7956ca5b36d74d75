//! Policies, rules, epochs, conditions, reference values and functions.

use alloc::{string::String, vec::Vec};
use core::fmt;

use alloy_primitives::{Address, B256, U256};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::value::{Checked, Number};
use crate::{
    abi::selector::FunctionSelector,
    policy::{
        Policy, Rule, condition::Condition, epoch::SessionEpoch, error::EncodeError,
        reference_value::ReferenceValue,
    },
};

/// `{ "contractAddress", "functionSelector", "valueLimit", "rules", "interval" }`; the last three may be missing, and
/// are then 0 wei, no rules, and no limit in time.
impl<'de, const RULES: usize> Deserialize<'de> for Policy<RULES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PolicyForm::deserialize(deserializer)?.into_policy().map_err(de::Error::custom)
    }
}

/// Writes every field, the value limit as a decimal string.
impl<const RULES: usize> Serialize for Policy<RULES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PolicyForm {
            contract_address: Checked(self.contract()),
            function_selector: self.selector(),
            value_limit: Number(U256::from(self.value_limit())),
            rules: self.rules().to_vec(),
            interval: self.epoch(),
        }
        .serialize(serializer)
    }
}

/// A policy and the key that may act under it: `{ "sessionKeyAddress" }` beside the policy's own fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy<const RULES: usize = 16> {
    /// The key.
    pub session_key: Address,
    /// What it may do.
    pub policy: Policy<RULES>,
}

impl<'de, const RULES: usize> Deserialize<'de> for SessionPolicy<RULES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Form {
            session_key_address: Checked,
            contract_address: Checked,
            function_selector: FunctionSelector,
            #[serde(default)]
            value_limit: Number<U256>,
            #[serde(default)]
            rules: Vec<Rule>,
            #[serde(default)]
            interval: SessionEpoch,
        }
        let Form { session_key_address, contract_address, function_selector, value_limit, rules, interval } =
            Form::deserialize(deserializer)?;
        let form = PolicyForm { contract_address, function_selector, value_limit, rules, interval };
        Ok(Self {
            session_key: session_key_address.0,
            policy: form.into_policy().map_err(de::Error::custom)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyForm {
    contract_address: Checked,
    function_selector: FunctionSelector,
    #[serde(default)]
    value_limit: Number<U256>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    interval: SessionEpoch,
}

impl PolicyForm {
    fn into_policy<const RULES: usize>(self) -> Result<Policy<RULES>, EncodeError> {
        let policy = Policy::empty(self.contract_address.0, self.function_selector)
            .with_epoch(self.interval)
            .with_value_limit_wei(self.value_limit.0)?;
        self.rules.into_iter().try_fold(policy, Policy::with_rule)
    }
}

/// `{ "offset", "condition", "referenceValue" }`.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = RuleForm::deserialize(deserializer)?;
        Ok(Self::new(form.offset.0, form.condition, form.reference_value))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RuleForm {
            offset: Number(self.offset()),
            condition: self.condition(),
            reference_value: self.reference(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleForm {
    offset: Number<u16>,
    condition: Condition,
    reference_value: ReferenceValue,
}

/// `{ "validAfter", "validUntil" }`, both in seconds since 1970 and both required.
impl<'de> Deserialize<'de> for SessionEpoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = EpochForm::deserialize(deserializer)?;
        Self::new(form.valid_after.0, form.valid_until.0).map_err(de::Error::custom)
    }
}

impl Serialize for SessionEpoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EpochForm { valid_after: Number(self.valid_after()), valid_until: Number(self.valid_until()) }
            .serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EpochForm {
    valid_after: Number<u64>,
    valid_until: Number<u64>,
}

/// The condition's number, 0 to 5.
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Number(number) = Number::<u8>::deserialize(deserializer)?;
        Self::try_from(number).map_err(de::Error::custom)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

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
        f.write_str(
            "a reference value: hex with 0x, a whole number (2^64 or more as a string), a bool, at most 32 bytes, or \
             { raw }",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ReferenceValue, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ReferenceValue, E> {
        Ok(number.into())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<ReferenceValue, E> {
        Ok(U256::from(number).into())
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
        raw.strip_prefix("0x")
            .and_then(|digits| digits.parse::<B256>().ok())
            .map(ReferenceValue::from)
            .ok_or_else(|| de::Error::custom("a raw reference value is 0x and exactly 64 hex digits"))
    }
}

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
        let mut signature = name.ok_or_else(|| de::Error::missing_field("name"))?;
        if !plain(&signature, "") {
            return Err(de::Error::custom("the ABI item's name is not a function's name"));
        }
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
    use std::string::ToString;

    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_policy_there_and_back() {
        let short = json!({
            "contractAddress": "0x1111111111111111111111111111111111111111",
            "functionSelector": "transfer(address,uint256)",
            "valueLimit": "0xde0b6b3a7640000",
            "rules": [{ "offset": "32", "condition": 1, "referenceValue": 1000 }],
            "interval": { "validAfter": 0, "validUntil": "1900000000" },
        });
        let policy = from_value::<Policy>(short).unwrap();
        let full = json!({
            "contractAddress": "0x1111111111111111111111111111111111111111",
            "functionSelector": "0xa9059cbb",
            "valueLimit": "1000000000000000000",
            "rules": [{
                "offset": 32,
                "condition": 1,
                "referenceValue": "0x00000000000000000000000000000000000000000000000000000000000003e8",
            }],
            "interval": { "validAfter": 0, "validUntil": 1_900_000_000 },
        });
        assert_eq!(to_value(&policy).unwrap(), full);
        assert_eq!(from_value::<Policy>(full).unwrap(), policy);
    }

    #[test]
    fn what_may_be_missing_and_what_may_not_be_there() {
        let base = json!({
            "contractAddress": "0x1111111111111111111111111111111111111111",
            "functionSelector": { "raw": "0xdeadbeef" },
        });
        let policy = from_value::<Policy>(base.clone()).unwrap();
        assert_eq!(policy.value_limit(), 0);
        assert_eq!(policy.epoch(), SessionEpoch::UNLIMITED);

        for (field, value) in [
            ("gas", json!(1)),
            ("valueLimit", json!("0x100000000000000000000000000000000")),
            ("valueLimit", json!(1.5)),
            ("valueLimit", json!(-1)),
            ("valueLimit", json!("")),
            ("interval", json!({ "validAfter": 1 })),
            ("interval", json!({ "validAfter": 1, "validUntil": 281_474_976_710_656_u64 })),
            ("rules", json!([{ "offset": 65_536, "condition": 0, "referenceValue": 0 }])),
            ("rules", json!([{ "offset": 0, "condition": 6, "referenceValue": 0 }])),
            ("rules", json!([{ "offset": 0, "condition": 0 }])),
        ] {
            let mut broken = base.clone();
            broken.as_object_mut().unwrap().insert(field.into(), value);
            assert!(from_value::<Policy>(broken.clone()).is_err(), "{broken}");
        }
    }

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
