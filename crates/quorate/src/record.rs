use alloy_primitives::{Address, B256, Bytes};
use quorate_core::{SessionEpoch, SessionLeaf};
use quorate_store as store;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a session is: who may act for which account, under which policies. It holds no secret and can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub(crate) account: Address,
    pub(crate) chain_id: u64,
    pub(crate) session_key: Address,
    pub(crate) key_id: Option<String>,
    pub(crate) policies: Vec<EncodedPolicy>,
    /// The leaves of the tree that the session was granted in.
    pub(crate) tree: Vec<B256>,
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

impl EncodedPolicy {
    /// The policy's leaf in the tree.
    pub fn leaf(&self) -> B256 {
        let Self { epoch, validation_module, ref session_key_data } = *self;
        SessionLeaf { epoch, validation_module, session_key_data }.hash()
    }
}

impl SessionRecord {
    /// The account that the session acts for.
    pub const fn account(&self) -> Address {
        self.account
    }

    /// The chain that it is granted on.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The address whose signature the chain asks for.
    pub const fn session_key(&self) -> Address {
        self.session_key
    }

    /// The key's id at the signing network; none for a key held elsewhere.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Every leaf of the tree that the session was granted in: those of other sessions, and one for each policy.
    pub fn leaves(&self) -> Vec<B256> {
        self.tree.clone()
    }

    /// What the session's own leaves are made of, one for each policy: for a device that shows it before its owner
    /// signs.
    pub fn encoded_policies(&self) -> impl Iterator<Item = EncodedPolicy> + '_ {
        self.policies.iter().cloned()
    }

    pub(crate) fn from_stored(session: &store::Session, tree: Vec<B256>) -> Self {
        let policies = session.leaves.iter().map(|leaf| EncodedPolicy {
            epoch: leaf.epoch,
            validation_module: leaf.validation_module,
            session_key_data: leaf.session_key_data.clone(),
        });
        Self {
            account: session.account.address,
            chain_id: session.account.chain_id,
            session_key: session.session_key,
            key_id: session.key_id.clone(),
            policies: policies.collect(),
            tree,
        }
    }

    pub(crate) fn stored_leaves(&self) -> Vec<store::Leaf> {
        let leaf = |policy: EncodedPolicy| store::Leaf {
            epoch: policy.epoch,
            validation_module: policy.validation_module,
            session_key_data: policy.session_key_data,
        };
        self.encoded_policies().map(leaf).collect()
    }

    /// The record as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&RecordText::from(self)).unwrap_or_default()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// Text that is no record.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: RecordText =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "session record", source })?;
        text.read()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecordText {
    account: Address,
    chain_id: u64,
    session_key: Address,
    key_id: Option<String>,
    policies: Vec<PolicyText>,
    tree: Vec<B256>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyText {
    valid_after: u64,
    valid_until: u64,
    validation_module: Address,
    session_key_data: Bytes,
}

impl From<&SessionRecord> for RecordText {
    fn from(record: &SessionRecord) -> Self {
        let policy = |policy: EncodedPolicy| PolicyText {
            valid_after: policy.epoch.valid_after(),
            valid_until: policy.epoch.valid_until(),
            validation_module: policy.validation_module,
            session_key_data: policy.session_key_data.into(),
        };
        Self {
            account: record.account,
            chain_id: record.chain_id,
            session_key: record.session_key,
            key_id: record.key_id.clone(),
            policies: record.encoded_policies().map(policy).collect(),
            tree: record.tree.clone(),
        }
    }
}

impl RecordText {
    pub(crate) fn read(self) -> Result<SessionRecord, Error> {
        let policy = |text: PolicyText| {
            Ok(EncodedPolicy {
                epoch: SessionEpoch::new(text.valid_after, text.valid_until).map_err(Error::Encode)?,
                validation_module: text.validation_module,
                session_key_data: text.session_key_data.into(),
            })
        };
        Ok(SessionRecord {
            account: self.account,
            chain_id: self.chain_id,
            session_key: self.session_key,
            key_id: self.key_id,
            policies: self.policies.into_iter().map(policy).collect::<Result<_, Error>>()?,
            tree: self.tree,
        })
    }
}
