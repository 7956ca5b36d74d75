use alloy_primitives::{Address, B256};
use quorate_core::{Encode as _, SessionEpoch, SessionKeyData, SessionLeaf};
use quorate_protocol::{Permissions, PermittedPolicy};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a session is: who may act for which account, under which policies. It holds no secret and can be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    permissions: Permissions,
    session_key: Address,
    key_id: Option<String>,
    /// The leaves of the account's other sessions, which stay under the same root.
    others: Vec<B256>,
}

/// A policy as the tree of the account's sessions holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPolicy {
    /// When it is valid.
    pub epoch: SessionEpoch,
    /// The session validation module that checks it.
    pub validation_module: Address,
    /// What that is given.
    pub session_key_data: Vec<u8>,
}

impl SessionRecord {
    pub(crate) const fn new(
        permissions: Permissions,
        session_key: Address,
        key_id: Option<String>,
        others: Vec<B256>,
    ) -> Self {
        Self { permissions, session_key, key_id, others }
    }

    /// The account that the session acts for.
    pub const fn account(&self) -> Address {
        self.permissions.account
    }

    /// The address whose signature the chain asks for.
    pub const fn session_key(&self) -> Address {
        self.session_key
    }

    /// The key's id at the signing network; none for a local key.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What the session may do, as registered with the network.
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Every leaf under the root: first those of the other sessions, then one for each policy.
    pub fn leaves(&self) -> Vec<B256> {
        let own = self.permissions.policies.iter().map(|policy| self.leaf(policy));
        self.others.iter().copied().chain(own).collect()
    }

    /// What the session's leaves are made of, one for each policy: for a device that shows it before its owner signs.
    pub fn encoded_policies(&self) -> impl Iterator<Item = EncodedPolicy> + '_ {
        self.permissions.policies.iter().map(|permitted| EncodedPolicy {
            epoch: permitted.policy.epoch(),
            validation_module: permitted.validation_module,
            session_key_data: self.session_key_data(permitted),
        })
    }

    pub(crate) fn session_key_data(&self, permitted: &PermittedPolicy) -> Vec<u8> {
        SessionKeyData::new(self.session_key, &permitted.policy).to_vec()
    }

    pub(crate) fn leaf(&self, permitted: &PermittedPolicy) -> B256 {
        let session_key_data = self.session_key_data(permitted);
        let validation_module = permitted.validation_module;
        SessionLeaf {
            epoch: permitted.policy.epoch(),
            validation_module,
            session_key_data: &session_key_data,
        }
        .hash()
    }

    /// The record as JSON.
    pub fn to_json(&self) -> String {
        let text = RecordText {
            permissions: self.permissions.to_json(),
            session_key: self.session_key,
            key_id: self.key_id.clone(),
            others: self.others.clone(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// Text that is no record, or one whose permissions cannot be read.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: RecordText =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "session record", source })?;
        Ok(Self {
            permissions: Permissions::from_json(&text.permissions)?,
            session_key: text.session_key,
            key_id: text.key_id,
            others: text.others,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordText {
    permissions: String,
    session_key: Address,
    key_id: Option<String>,
    others: Vec<B256>,
}
