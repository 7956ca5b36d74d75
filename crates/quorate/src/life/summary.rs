//! What a session is and where it stands, without its key: for people and for other programs.

use alloy_primitives::{Address, B256};
use quorate_core::{Leaf, ParsedSessionKeyData};
use serde::Serialize;

use crate::SessionId;
use crate::life::sessions::ListedSession;

/// A session, as programs show it. It has nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionSummary {
    /// Its id in the store.
    pub session: SessionId,
    /// The account that it acts for.
    pub account: Address,
    /// Where it stands: [`Status`](crate::Status) as a word.
    pub status: String,
    /// The address of its key.
    pub session_key: Address,
    /// The network's name for the key, where a network holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The newest user operation that grants it, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_op_hash: Option<B256>,
    /// What it may do.
    pub policies: Vec<PolicySummary>,
}

/// One of a session's policies, as its leaf has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PolicySummary {
    /// The session validation module that holds it.
    pub validation_module: Address,
    /// From when it is valid, in seconds since 1970; 0 for always.
    pub valid_after: u64,
    /// Until when it is valid, in seconds since 1970; 0 for always.
    pub valid_until: u64,
    /// The hash of its leaf.
    pub leaf: B256,
    /// The contract that may be called, where the policy is of the ABI session validation module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<Address>,
    /// The function that may be called, likewise: its selector in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// How many rules there are for its arguments, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<u16>,
}

impl SessionSummary {
    /// When all its policies have ended, in seconds since 1970; 0 for never.
    pub fn end(&self) -> u64 {
        let ends = self.policies.iter().map(|policy| policy.valid_until);
        ends.reduce(|one, other| if one == 0 || other == 0 { 0 } else { one.max(other) }).unwrap_or_default()
    }
}

impl From<&ListedSession> for SessionSummary {
    fn from(listed: &ListedSession) -> Self {
        let record = &listed.record;
        Self {
            session: record.id().clone(),
            account: record.account(),
            status: listed.status.to_string(),
            session_key: record.session_key(),
            key_id: record.key_id().map(ToOwned::to_owned),
            created: listed.created,
            user_op_hash: listed.user_op_hash,
            policies: record.policies().iter().map(PolicySummary::from).collect(),
        }
    }
}

impl From<&Leaf> for PolicySummary {
    fn from(leaf: &Leaf) -> Self {
        let parsed = ParsedSessionKeyData::parse(&leaf.session_key_data).ok();
        Self {
            validation_module: leaf.validation_module,
            valid_after: leaf.epoch.valid_after(),
            valid_until: leaf.epoch.valid_until(),
            leaf: leaf.hash(),
            contract: parsed.as_ref().map(ParsedSessionKeyData::contract),
            selector: parsed.as_ref().map(|data| data.selector().to_string()),
            rules: parsed.as_ref().map(ParsedSessionKeyData::rule_count),
        }
    }
}
