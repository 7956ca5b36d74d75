use alloy_primitives::{Address, B256, FixedBytes, U256, keccak256};
use quorate_core::{
    AccountCall, Condition, Encode as _, EncodeError, FunctionSelector, Policy, ReferenceValue, Refusal,
    Rule, SessionEpoch, SessionKeyData, UserOperation, evaluate,
};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::limits::{Limits, Uncountable};

/// What a distributed key may sign, registered with the key when it is made (metadata tag 1).
///
/// The nodes hold every signature against it. The session key is not in it: that does not exist yet.
///
/// The text is versioned, strict JSON: unknown and duplicate fields are refused, and its keccak-256 is what the
/// owner signs ([`PermissionsClaim`](crate::PermissionsClaim)) and what the nodes attest to.
#[derive(Clone, Debug, PartialEq)]
pub struct Permissions {
    /// Who may add keys and whose signature made this one.
    pub owner: Address,
    /// The only smart account whose operations are signed.
    pub account: Address,
    /// The only chain.
    pub chain_id: u64,
    /// The only entry point.
    pub entry_point: Address,
    /// The module that the session is enabled on.
    pub session_key_manager: Address,
    /// The calls allowed; an operation must satisfy one of them.
    pub policies: Vec<PermittedPolicy>,
    /// What all operations may come to.
    pub limits: Limits,
}

/// A policy and the session validation module that enforces it on chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PermittedPolicy {
    /// The session validation module.
    pub validation_module: Address,
    /// What it checks.
    pub policy: Policy,
}

/// Why a permissions text is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionsError {
    /// Not the JSON of permissions.
    #[error("the permissions cannot be read")]
    Json(#[from] JsonError),
    /// A version that this network does not read.
    #[error("the permissions have version {found}; this network reads version {VERSION}")]
    Version {
        /// The version in the text.
        found: u32,
    },
    /// No policy at all: such a key could sign nothing.
    #[error("the permissions hold no policy, so the key could sign nothing; give at least one")]
    NoPolicies,
    /// A text that is too long.
    #[error("the permissions have {len} bytes, at most {limit} are taken")]
    TooLong {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// Too many policies, or too many argument limits.
    #[error("the permissions hold {found} {what}, at most {limit} are taken")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two limits of one argument.
    #[error(
        "argument limit {again} is of the argument that limit {first} is of; give the smaller total once"
    )]
    RepeatedArgumentLimit {
        /// The first one's place in the list, from 0.
        first: usize,
        /// The other's.
        again: usize,
    },
    /// A policy that has no encoding.
    #[error("policy {policy} of the permissions cannot be encoded")]
    Policy {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// A rule's condition is not one of 0 to 5.
    #[error("policy {policy}, rule {rule}: condition {condition} does not exist; it is a number from 0 to 5")]
    Condition {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// The rule's place in the policy, from 0.
        rule: usize,
        /// The number given.
        condition: u8,
    },
}

/// Why no policy allows an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Another account.
    #[error("the operation is of account {sender}, the key is permitted for {permitted}")]
    Account {
        /// The operation's sender.
        sender: Address,
        /// The permitted account.
        permitted: Address,
    },
    /// Another chain.
    #[error("the operation is for chain {chain_id}, the key is permitted on chain {permitted}")]
    Chain {
        /// The operation's chain.
        chain_id: u64,
        /// The permitted chain.
        permitted: u64,
    },
    /// Another entry point.
    #[error("the operation is for entry point {entry_point}, the key is permitted at {permitted}")]
    EntryPoint {
        /// The operation's entry point.
        entry_point: Address,
        /// The permitted entry point.
        permitted: Address,
    },
    /// A session never deploys.
    #[error("the operation carries init code; a session signs for deployed accounts only")]
    InitCode,
    /// The call data has another encoding than the account's canonical one.
    #[error("the call data is not the canonical encoding of an account's call, so it is not signed")]
    NotCanonical,
    /// The limits cannot be held.
    #[error(transparent)]
    Uncountable(#[from] Uncountable),
    /// The policy nearest to allowing the call starts later.
    #[error("policy {policy} is valid from {valid_after}, and it is {now} (seconds since 1970)")]
    NotYetValid {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// Its start.
        valid_after: u64,
        /// The judge's clock.
        now: u64,
    },
    /// The policy nearest to allowing the call is over.
    #[error("policy {policy} was valid until {valid_until}, and it is {now} (seconds since 1970)")]
    Expired {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// Its end.
        valid_until: u64,
        /// The judge's clock.
        now: u64,
    },
    /// The contract's own check refuses the call.
    #[error("policy {policy} forbids the call: {refusal}")]
    Policy {
        /// The place in the list, from 0, of the policy that came nearest to allowing the call.
        policy: usize,
        /// What it found.
        refusal: Refusal,
    },
}

const VERSION: u32 = 1;

impl Permissions {
    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 128 * 1024;
    /// The most policies.
    pub const MAX_POLICIES: usize = 64;

    /// Reads the strict JSON text.
    ///
    /// # Errors
    /// Text that is not permissions, a policy that cannot be encoded, and what [`check`](Self::check) refuses; the error
    /// says where.
    pub fn from_json(text: &str) -> Result<Self, PermissionsError> {
        check_at_most(text.len(), Self::MAX_LEN, |len, limit| PermissionsError::TooLong { len, limit })?;
        let permissions = Self::try_from(json::read::<PermissionsText>(text)?)?;
        permissions.check_lists()?;
        Ok(permissions)
    }

    /// Whether a network takes them for a key: a client learns it here, before it asks.
    ///
    /// # Errors
    /// No policy, or more than [`MAX_POLICIES`](Self::MAX_POLICIES); more than [`Limits::MAX_ARGUMENTS`] argument limits,
    /// or two of one argument; a text of more than [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn check(&self) -> Result<(), PermissionsError> {
        self.check_lists()?;
        let len = self.to_json().len();
        check_at_most(len, Self::MAX_LEN, |len, limit| PermissionsError::TooLong { len, limit })
    }

    fn check_lists(&self) -> Result<(), PermissionsError> {
        if self.policies.is_empty() {
            return Err(PermissionsError::NoPolicies);
        }
        let too_many = |what| move |found, limit| PermissionsError::TooMany { what, found, limit };
        check_at_most(self.policies.len(), Self::MAX_POLICIES, too_many("policies"))?;
        let arguments = self.limits.arguments.len();
        check_at_most(arguments, Limits::MAX_ARGUMENTS, too_many("argument limits"))?;
        match self.limits.repeated_argument() {
            Some((first, again)) => Err(PermissionsError::RepeatedArgumentLimit { first, again }),
            None => Ok(()),
        }
    }

    /// The text that [`from_json`](Self::from_json) reads, which is what is registered and hashed.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&PermissionsText::from(self)).unwrap_or_default()
    }

    /// The keccak-256 of a permissions text, as it stands in the owner's claim and in the nodes' attestations.
    pub fn hash_of(text: &str) -> B256 {
        keccak256(text)
    }

    /// Holds one operation against the permissions: the only judgement by which a node signs.
    ///
    /// Returns the place of the policy that allows it, and what it adds to each of the limits'
    /// [`counters`](Limits::counters). `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The reason of the policy that came nearest to allowing the operation.
    pub fn judge<B: AsRef<[u8]>>(
        &self,
        operation: &UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
        session_key: Address,
        now: u64,
    ) -> Result<(usize, Vec<U256>), Forbidden> {
        let amounts = self.amounts(operation, entry_point, chain_id)?;
        let call_data = operation.call_data.as_ref();

        let verdicts = self.policies.iter().enumerate().map(|(place, permitted)| {
            permitted.judge(session_key, call_data, now).map(|()| place).map_err(|unfit| (place, unfit))
        });
        let mut nearest = None;
        for verdict in verdicts {
            match verdict {
                Ok(place) => return Ok((place, amounts)),
                Err(unfit) => {
                    nearest = nearest.into_iter().chain([unfit]).max_by_key(|(_, unfit)| unfit.progress())
                }
            }
        }
        let (policy, unfit) = nearest.ok_or(Forbidden::NotCanonical)?;
        Err(unfit.at(policy, now))
    }

    /// What one operation adds to each of the limits' [`counters`](Limits::counters), whether a policy allows it or not.
    ///
    /// # Errors
    /// An operation of another account, chain or entry point, or one that the limits cannot count.
    pub fn amounts<B: AsRef<[u8]>>(
        &self,
        operation: &UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<Vec<U256>, Forbidden> {
        self.judge_frame(operation, entry_point, chain_id)?;
        let calls = AccountCall::decode(operation.call_data.as_ref()).map_err(|_| Forbidden::NotCanonical)?;
        Ok(self.limits.amounts(operation, &calls)?)
    }

    fn judge_frame<B: AsRef<[u8]>>(
        &self,
        operation: &UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<(), Forbidden> {
        if operation.sender != self.account {
            return Err(Forbidden::Account { sender: operation.sender, permitted: self.account });
        }
        if chain_id != self.chain_id {
            return Err(Forbidden::Chain { chain_id, permitted: self.chain_id });
        }
        if entry_point != self.entry_point {
            return Err(Forbidden::EntryPoint { entry_point, permitted: self.entry_point });
        }
        if !operation.init_code.as_ref().is_empty() {
            return Err(Forbidden::InitCode);
        }
        Ok(())
    }
}

fn check_at_most(
    found: usize,
    limit: usize,
    error: impl FnOnce(usize, usize) -> PermissionsError,
) -> Result<(), PermissionsError> {
    if found <= limit { Ok(()) } else { Err(error(found, limit)) }
}

impl PermittedPolicy {
    fn judge(&self, session_key: Address, call_data: &[u8], now: u64) -> Result<(), Unfit> {
        let data = SessionKeyData::new(session_key, &self.policy).to_vec();
        evaluate(&data, call_data).map_err(Unfit::Call)?;
        let epoch = self.policy.epoch();
        if now < epoch.valid_after() {
            return Err(Unfit::Early(epoch.valid_after()));
        }
        if epoch.valid_until() != 0 && now > epoch.valid_until() {
            return Err(Unfit::Late(epoch.valid_until()));
        }
        Ok(())
    }
}

enum Unfit {
    Call(Refusal),
    Early(u64),
    Late(u64),
}

impl Unfit {
    /// How far the check came, so that the refusal shown is of the policy that was meant.
    fn progress(&self) -> u8 {
        match self {
            Self::Call(Refusal::DestinationForbidden { .. }) => 1,
            Self::Call(Refusal::SelectorForbidden { .. }) => 2,
            Self::Call(Refusal::ValueExceeded { .. }) => 3,
            Self::Call(Refusal::RuleViolated { .. } | Refusal::WordOutOfBounds { .. }) => 4,
            Self::Call(_) => 0,
            Self::Early(_) | Self::Late(_) => 5,
        }
    }

    fn at(self, policy: usize, now: u64) -> Forbidden {
        match self {
            Self::Call(refusal) => Forbidden::Policy { policy, refusal },
            Self::Early(valid_after) => Forbidden::NotYetValid { policy, valid_after, now },
            Self::Late(valid_until) => Forbidden::Expired { policy, valid_until, now },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PermissionsText {
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyText {
    #[serde(deserialize_with = "json::address")]
    validation_module: Address,
    #[serde(deserialize_with = "json::address")]
    contract: Address,
    #[serde(deserialize_with = "json::fixed_bytes")]
    selector: FixedBytes<4>,
    rules: Vec<RuleText>,
    #[serde(deserialize_with = "json::number")]
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
    fn from(permitted: &PermittedPolicy) -> Self {
        let policy = &permitted.policy;
        let rules = policy.rules().iter().map(|rule| RuleText {
            offset: rule.offset(),
            condition: rule.condition() as u8,
            reference_value: rule.reference().word(),
        });
        Self {
            validation_module: permitted.validation_module,
            contract: policy.contract(),
            selector: policy.selector().as_bytes().into(),
            rules: rules.collect(),
            value_limit: U256::from(policy.value_limit()),
            valid_after: policy.epoch().valid_after(),
            valid_until: policy.epoch().valid_until(),
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
        Ok(PermittedPolicy { validation_module: self.validation_module, policy })
    }
}
