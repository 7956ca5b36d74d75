//! Policies and epochs.

use alloc::vec::Vec;

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{Checked, Number};
use crate::{
    abi::selector::FunctionSelector,
    policy::{Policy, Rule, epoch::SessionEpoch, error::EncodeError},
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
            value_limit: Number(self.value_limit()),
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
            value_limit: Number<u128>,
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
    value_limit: Number<u128>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    interval: SessionEpoch,
}

impl PolicyForm {
    fn into_policy<const RULES: usize>(self) -> Result<Policy<RULES>, EncodeError> {
        let policy = Policy::empty(self.contract_address.0, self.function_selector)
            .with_epoch(self.interval)
            .with_value_limit(self.value_limit.0);
        self.rules.into_iter().try_fold(policy, Policy::with_rule)
    }
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

#[cfg(test)]
mod tests {
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
}
