//! Rules and conditions.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::Number;
use crate::policy::{Rule, condition::Condition, reference_value::ReferenceValue};

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
