use alloy_primitives::Address;
use quorate_core::delegation::{Enforcer, Enforcers, MANAGER_V1_3_0};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{PermissionsError, json};

/// A delegation manager, and which contracts are which enforcers. What is not among them is unknown, and not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Deployment {
    /// Version 1.3.0 of MetaMask's framework, the same on every chain that it is deployed on.
    #[serde(rename = "v1.3.0")]
    V1_3_0,
    /// Another one, such as a development chain's.
    #[serde(rename = "other")]
    Other {
        /// The manager.
        #[serde(deserialize_with = "json::address")]
        manager: Address,
        /// The enforcers, no address twice.
        #[serde(serialize_with = "write", deserialize_with = "read")]
        enforcers: Vec<(Address, Enforcer)>,
    },
}

impl Deployment {
    /// The most enforcers of another deployment.
    pub const MAX_ENFORCERS: usize = 64;

    /// The manager.
    pub const fn manager(&self) -> Address {
        match self {
            Self::V1_3_0 => MANAGER_V1_3_0,
            Self::Other { manager, .. } => *manager,
        }
    }

    /// The enforcers.
    pub fn enforcers(&self) -> Enforcers<'_> {
        match self {
            Self::V1_3_0 => Enforcers::V1_3_0,
            Self::Other { enforcers, .. } => Enforcers::new(enforcers),
        }
    }

    /// Where an enforcer is; none where it is not among those that are known.
    pub fn address_of(&self, enforcer: Enforcer) -> Option<Address> {
        match self {
            Self::V1_3_0 => Some(enforcer.address_v1_3_0()),
            Self::Other { enforcers, .. } => {
                enforcers.iter().find(|(_, known)| *known == enforcer).map(|(address, _)| *address)
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), PermissionsError> {
        let Self::Other { enforcers, .. } = self else { return Ok(()) };
        let (found, limit) = (enforcers.len(), Self::MAX_ENFORCERS);
        if found > limit {
            return Err(PermissionsError::TooMany { what: "enforcers", found, limit });
        }
        let mut addresses = std::collections::BTreeSet::new();
        match enforcers.iter().position(|(address, _)| !addresses.insert(*address)) {
            Some(again) => Err(PermissionsError::Repeated { what: "enforcers", again }),
            None => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnforcerText {
    name: String,
    #[serde(deserialize_with = "json::address")]
    address: Address,
}

fn write<S: Serializer>(enforcers: &[(Address, Enforcer)], json: S) -> Result<S::Ok, S::Error> {
    json.collect_seq(
        enforcers
            .iter()
            .map(|(address, enforcer)| EnforcerText { name: enforcer.name().to_owned(), address: *address }),
    )
}

fn read<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<(Address, Enforcer)>, D::Error> {
    let texts = Vec::<EnforcerText>::deserialize(json)?;
    let enforcer = |EnforcerText { name, address }| {
        let known = Enforcer::ALL.iter().find(|known| known.name() == name);
        let unknown = || {
            D::Error::custom(format_args!("`{}` is no known enforcer", crate::ShortText::from(name.as_str())))
        };
        Ok((address, *known.ok_or_else(unknown)?))
    };
    texts.into_iter().map(enforcer).collect()
}
