//! The JSON of permissions whose target is a delegation.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, Bytes, U256};
use quorate_core::SessionEpoch;
use quorate_core::delegation::CaveatPlace;
use serde::{Deserialize, Serialize};

use super::{DelegationPermissions, Deployment, FeeCaps, NodeLimit, PinnedContext, Redeemer};
use crate::limits::Limits;
use crate::{PermissionsError, json};

/// The version that is written, and the only one that is read here.
pub(crate) const VERSION: u32 = 2;

pub(super) fn read(text: &str) -> Result<DelegationPermissions, PermissionsError> {
    json::read::<PermissionsText>(text)?.try_into()
}

pub(super) fn write(permissions: &DelegationPermissions) -> String {
    serde_json::to_string(&PermissionsText::from(permissions)).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PermissionsText {
    version: u32,
    #[serde(deserialize_with = "json::address")]
    owner: Address,
    target: TargetText,
    fees: FeeCaps,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given_up: Vec<NodeLimit>,
    valid_after: u64,
    valid_until: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    limits: Limits,
}

fn is_default(limits: &Limits) -> bool {
    *limits == Limits::default()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TargetText {
    Delegation(DelegationText),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DelegationText {
    chain_id: NonZeroU64,
    deployment: Deployment,
    #[serde(deserialize_with = "json::bytes")]
    context: Bytes,
    redeemer: Redeemer,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nonces: Vec<NonceText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unjudged: Vec<PlaceText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NonceText {
    #[serde(deserialize_with = "json::address")]
    delegator: Address,
    #[serde(deserialize_with = "json::number")]
    nonce: U256,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlaceText {
    delegation: usize,
    caveat: usize,
}

impl From<&DelegationPermissions> for PermissionsText {
    fn from(permissions: &DelegationPermissions) -> Self {
        let nonce =
            |(delegator, nonce): (&Address, &U256)| NonceText { delegator: *delegator, nonce: *nonce };
        let place = |place: &CaveatPlace| PlaceText { delegation: place.delegation, caveat: place.caveat };
        let target = DelegationText {
            chain_id: permissions.chain_id,
            deployment: permissions.deployment.clone(),
            context: Bytes::copy_from_slice(permissions.context.as_bytes()),
            redeemer: permissions.redeemer,
            nonces: permissions.nonces.iter().map(nonce).collect(),
            unjudged: permissions.unjudged.iter().map(place).collect(),
        };
        Self {
            version: VERSION,
            owner: permissions.owner,
            target: TargetText::Delegation(target),
            fees: permissions.fees,
            given_up: permissions.given_up.iter().copied().collect(),
            valid_after: permissions.epoch.valid_after(),
            valid_until: permissions.epoch.valid_until(),
            limits: permissions.limits.clone(),
        }
    }
}

impl TryFrom<PermissionsText> for DelegationPermissions {
    type Error = PermissionsError;

    fn try_from(text: PermissionsText) -> Result<Self, PermissionsError> {
        if text.version != VERSION {
            return Err(PermissionsError::UnknownVersion { found: text.version });
        }
        let TargetText::Delegation(target) = text.target;
        let place = |PlaceText { delegation, caveat }| CaveatPlace { delegation, caveat };
        Ok(Self {
            owner: text.owner,
            chain_id: target.chain_id,
            deployment: target.deployment,
            context: PinnedContext::new(target.context.into()).map_err(PermissionsError::Context)?,
            redeemer: target.redeemer,
            nonces: nonces(target.nonces)?,
            unjudged: set("unjudged", target.unjudged.into_iter().map(place))?,
            fees: text.fees,
            given_up: set("givenUp", text.given_up)?,
            epoch: SessionEpoch::new(text.valid_after, text.valid_until).map_err(PermissionsError::Epoch)?,
            limits: text.limits,
        })
    }
}

fn nonces(texts: Vec<NonceText>) -> Result<BTreeMap<Address, U256>, PermissionsError> {
    let mut nonces = BTreeMap::new();
    for (again, NonceText { delegator, nonce }) in texts.into_iter().enumerate() {
        if nonces.insert(delegator, nonce).is_some() {
            return Err(PermissionsError::Repeated { what: "nonces", again });
        }
    }
    Ok(nonces)
}

fn set<T: Ord>(
    what: &'static str,
    items: impl IntoIterator<Item = T>,
) -> Result<BTreeSet<T>, PermissionsError> {
    let mut set = BTreeSet::new();
    for (again, item) in items.into_iter().enumerate() {
        if !set.insert(item) {
            return Err(PermissionsError::Repeated { what, again });
        }
    }
    Ok(set)
}
