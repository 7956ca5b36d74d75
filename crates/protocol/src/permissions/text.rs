//! The JSON of permissions.

use alloy_primitives::{Address, B256, FixedBytes, U256};
use quorate_core::{Condition, Erc20Policy, FunctionSelector, Policy, ReferenceValue, Rule, SessionEpoch};
use serde::{Deserialize, Serialize};

use super::{CallPolicy, Permissions, PermissionsError, PermittedPolicy};
use crate::json;
use crate::limits::Limits;

/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PermissionsText {
    version: u32,
    #[serde(deserialize_with = "json::address")]
    owner: Address,
    #[serde(deserialize_with = "json::address")]
    account: Address,
    chain_id: u64,
    #[serde(deserialize_with = "json::address")]
    entry_point: Address,
    #[serde(deserialize_with = "json::address")]
    session_key_manager: Address,
    policies: Vec<PolicyText>,
    #[serde(default, skip_serializing_if = "is_default")]
    limits: Limits,
}

/// A policy of either kind; one that names none is of the ABI module.
#[derive(Serialize, Deserialize)]
#[serde(untagged, try_from = "PolicyFields")]
enum PolicyText {
    Abi(AbiText),
    Erc20(Erc20Text),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AbiText {
    validation_module: Address,
    contract: Address,
    selector: FixedBytes<4>,
    rules: Vec<RuleText>,
    value_limit: U256,
    valid_after: u64,
    valid_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleText {
    offset: u16,
    condition: u8,
    #[serde(deserialize_with = "json::fixed_bytes")]
    reference_value: B256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Erc20Text {
    validation_module: Address,
    kind: KindText,
    token: Address,
    recipient: Address,
    max_amount: U256,
    valid_after: u64,
    valid_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum KindText {
    Erc20,
}

impl From<&Permissions> for PermissionsText {
    fn from(permissions: &Permissions) -> Self {
        Self {
            version: VERSION,
            owner: permissions.owner,
            account: permissions.account,
            chain_id: permissions.chain_id,
            entry_point: permissions.entry_point,
            session_key_manager: permissions.session_key_manager,
            policies: permissions.policies.iter().map(PolicyText::from).collect(),
            limits: permissions.limits.clone(),
        }
    }
}

fn is_default(limits: &Limits) -> bool {
    *limits == Limits::default()
}

impl From<&PermittedPolicy> for PolicyText {
    fn from(&PermittedPolicy { validation_module, ref policy }: &PermittedPolicy) -> Self {
        let (valid_after, valid_until) = (policy.epoch().valid_after(), policy.epoch().valid_until());
        match policy {
            CallPolicy::Abi(policy) => Self::Abi(AbiText {
                validation_module,
                contract: policy.contract(),
                selector: policy.selector().as_bytes().into(),
                rules: policy.rules().iter().map(RuleText::from).collect(),
                value_limit: U256::from(policy.value_limit()),
                valid_after,
                valid_until,
            }),
            &CallPolicy::Erc20(Erc20Policy { token, recipient, max_amount, .. }) => Self::Erc20(Erc20Text {
                validation_module,
                kind: KindText::Erc20,
                token,
                recipient,
                max_amount,
                valid_after,
                valid_until,
            }),
        }
    }
}

impl From<&Rule> for RuleText {
    fn from(rule: &Rule) -> Self {
        Self {
            offset: rule.offset(),
            condition: rule.condition() as u8,
            reference_value: rule.reference().word(),
        }
    }
}

impl TryFrom<PermissionsText> for Permissions {
    type Error = PermissionsError;

    fn try_from(text: PermissionsText) -> Result<Self, PermissionsError> {
        if text.version != VERSION {
            return Err(PermissionsError::Version { found: text.version });
        }
        let policies = text.policies.into_iter().enumerate().map(|(place, policy)| policy.read(place));
        Ok(Self {
            owner: text.owner,
            account: text.account,
            chain_id: text.chain_id,
            entry_point: text.entry_point,
            session_key_manager: text.session_key_manager,
            policies: policies.collect::<Result<_, _>>()?,
            limits: text.limits,
        })
    }
}

impl PolicyText {
    fn read(self, place: usize) -> Result<PermittedPolicy, PermissionsError> {
        match self {
            Self::Abi(text) => text.read(place),
            Self::Erc20(text) => text.read(place),
        }
    }
}

impl AbiText {
    fn read(self, place: usize) -> Result<PermittedPolicy, PermissionsError> {
        let refused = |source| PermissionsError::Policy { policy: place, source };
        let epoch = SessionEpoch::new(self.valid_after, self.valid_until).map_err(refused)?;
        let mut policy = Policy::new(self.contract, FunctionSelector::new(self.selector.0))
            .with_value_limit_wei(self.value_limit)
            .map_err(refused)?
            .with_epoch(epoch);
        for (rule, text) in self.rules.into_iter().enumerate() {
            let condition = Condition::try_from(text.condition).map_err(|_| PermissionsError::Condition {
                policy: place,
                rule,
                condition: text.condition,
            })?;
            policy = policy
                .with_rule(Rule::new(text.offset, condition, ReferenceValue::from(text.reference_value)))
                .map_err(refused)?;
        }
        Ok(PermittedPolicy { validation_module: self.validation_module, policy: policy.into() })
    }
}

impl Erc20Text {
    fn read(self, place: usize) -> Result<PermittedPolicy, PermissionsError> {
        let epoch = SessionEpoch::new(self.valid_after, self.valid_until)
            .map_err(|source| PermissionsError::Policy { policy: place, source })?;
        let Self { validation_module, token, recipient, max_amount, .. } = self;
        let policy = Erc20Policy { token, recipient, max_amount, epoch };
        Ok(PermittedPolicy { validation_module, policy: policy.into() })
    }
}

/// The fields of both kinds, so that a field twice, an unknown one and what is wrong in one are found where they stand.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyFields {
    #[serde(deserialize_with = "json::address")]
    validation_module: Address,
    #[serde(default, deserialize_with = "json::present")]
    kind: Option<KindText>,
    #[serde(default, deserialize_with = "json::optional_address")]
    contract: Option<Address>,
    #[serde(default, deserialize_with = "json::optional_fixed_bytes")]
    selector: Option<FixedBytes<4>>,
    #[serde(default, deserialize_with = "json::present")]
    rules: Option<Vec<RuleText>>,
    #[serde(default, deserialize_with = "json::optional_number")]
    value_limit: Option<U256>,
    #[serde(default, deserialize_with = "json::optional_address")]
    token: Option<Address>,
    #[serde(default, deserialize_with = "json::optional_address")]
    recipient: Option<Address>,
    #[serde(default, deserialize_with = "json::optional_number")]
    max_amount: Option<U256>,
    valid_after: u64,
    valid_until: u64,
}

/// A field that a policy of its kind lacks, or has and may not have.
#[derive(Debug, thiserror::Error)]
enum FieldError {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("unknown field `{0}` of an ABI policy; an ERC-20 policy has it, and says `\"kind\":\"erc20\"`")]
    OfErc20(&'static str),
    #[error("unknown field `{0}` of an ERC-20 policy; an ABI policy has it, and says no kind")]
    OfAbi(&'static str),
}

impl TryFrom<PolicyFields> for PolicyText {
    type Error = FieldError;

    fn try_from(fields: PolicyFields) -> Result<Self, FieldError> {
        match fields.kind {
            None => fields.abi().map(Self::Abi),
            Some(KindText::Erc20) => fields.erc20().map(Self::Erc20),
        }
    }
}

impl PolicyFields {
    fn abi(self) -> Result<AbiText, FieldError> {
        let others = [
            ("token", self.token.is_some()),
            ("recipient", self.recipient.is_some()),
            ("maxAmount", self.max_amount.is_some()),
        ];
        let missing = FieldError::Missing;
        match given(others) {
            Some(field) => Err(FieldError::OfErc20(field)),
            None => Ok(AbiText {
                validation_module: self.validation_module,
                contract: self.contract.ok_or(missing("contract"))?,
                selector: self.selector.ok_or(missing("selector"))?,
                rules: self.rules.ok_or(missing("rules"))?,
                value_limit: self.value_limit.ok_or(missing("valueLimit"))?,
                valid_after: self.valid_after,
                valid_until: self.valid_until,
            }),
        }
    }

    fn erc20(self) -> Result<Erc20Text, FieldError> {
        let others = [
            ("contract", self.contract.is_some()),
            ("selector", self.selector.is_some()),
            ("rules", self.rules.is_some()),
            ("valueLimit", self.value_limit.is_some()),
        ];
        let missing = FieldError::Missing;
        match given(others) {
            Some(field) => Err(FieldError::OfAbi(field)),
            None => Ok(Erc20Text {
                validation_module: self.validation_module,
                kind: KindText::Erc20,
                token: self.token.ok_or(missing("token"))?,
                recipient: self.recipient.ok_or(missing("recipient"))?,
                max_amount: self.max_amount.ok_or(missing("maxAmount"))?,
                valid_after: self.valid_after,
                valid_until: self.valid_until,
            }),
        }
    }
}

fn given<const N: usize>(fields: [(&'static str, bool); N]) -> Option<&'static str> {
    fields.into_iter().find_map(|(field, is_given)| is_given.then_some(field))
}
