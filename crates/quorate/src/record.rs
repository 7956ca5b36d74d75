use alloy_primitives::{Address, B256};
use quorate_core::Leaf;
use quorate_store::{self as store, SessionId};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a session is: who may act for which account, under which policies. It holds no secret and can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRecord {
    pub(crate) id: SessionId,
    pub(crate) account: Address,
    pub(crate) chain_id: u64,
    pub(crate) session_key: Address,
    pub(crate) key_id: Option<String>,
    pub(crate) policies: Vec<Leaf>,
}

impl SessionRecord {
    /// Its id among the sessions of its account.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

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

    /// The session's leaves, one for each policy: for a device that shows them before the owner signs.
    pub fn policies(&self) -> &[Leaf] {
        &self.policies
    }

    /// The hashes of the session's leaves, as the tree of the account's sessions holds them.
    pub fn leaves(&self) -> impl Iterator<Item = B256> + '_ {
        self.policies.iter().map(Leaf::hash)
    }

    /// The record as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// Text that is no record.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|source| Error::Stored { what: "session record", source })
    }
}

impl From<store::Session> for SessionRecord {
    fn from(session: store::Session) -> Self {
        Self {
            id: session.id,
            account: session.account.address,
            chain_id: session.account.chain_id,
            session_key: session.session_key,
            key_id: session.key_id,
            policies: session.leaves,
        }
    }
}
