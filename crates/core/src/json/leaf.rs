//! Leaves that own their data.

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{Checked, Hex, Number};
use crate::{policy::epoch::SessionEpoch, session::leaf::Leaf};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeafForm {
    valid_after: Number<u64>,
    valid_until: Number<u64>,
    validation_module: Checked,
    session_key_data: Hex,
}

impl Serialize for Leaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LeafForm {
            valid_after: Number(self.epoch.valid_after()),
            valid_until: Number(self.epoch.valid_until()),
            validation_module: Checked(self.validation_module),
            session_key_data: Hex(self.session_key_data.clone()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = LeafForm::deserialize(deserializer)?;
        let validation_module: Address = form.validation_module.0;
        Ok(Self {
            epoch: SessionEpoch::new(form.valid_after.0, form.valid_until.0).map_err(de::Error::custom)?,
            validation_module,
            session_key_data: form.session_key_data.0,
        })
    }
}
