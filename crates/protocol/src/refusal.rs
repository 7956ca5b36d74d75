use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{Forbidden, NodeIndex};

/// Why the network answers a request with no: what a node or the gateway found, in a form that travels.
///
/// Our own client is given it whole; a third-party client sees the code as the reason of the socket's close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Refusal {
    /// A frame that is not what the protocol expects.
    #[error("the request is malformed: {reason}")]
    Malformed {
        /// What is wrong, and where.
        reason: String,
    },
    /// Nobody showed that they may ask.
    #[error("the request is not authenticated: {reason}")]
    Unauthenticated {
        /// What the signature lacks.
        reason: String,
    },
    /// The challenge is too old, or not one that this node took part in.
    #[error("the challenge has expired or is unknown; ask for a new one")]
    Challenge,
    /// The nonce stands in another request already.
    #[error("the challenge was used for another request; ask for a new one")]
    Replayed,
    /// A quorum that the network has not.
    #[error("the request is for {asked}, the network is {has}")]
    Quorum {
        /// As asked for.
        asked: String,
        /// As it is.
        has: String,
    },
    /// No such key.
    #[error("the network holds no key with id {key_id}")]
    UnknownKey {
        /// The id asked for.
        key_id: String,
    },
    /// A key under which nobody registered to ask.
    #[error("the ephemeral key is not registered for key {key_id}, or it has ended")]
    EphemeralKey {
        /// The key that was to sign.
        key_id: String,
    },
    /// Somebody else's key.
    #[error("key {key_id} belongs to {owner}")]
    Owner {
        /// The key.
        key_id: String,
        /// Its owner.
        owner: Address,
    },
    /// An owner whom the nodes do not serve.
    #[error("the network makes no keys for {owner}; ask its operator to admit this owner")]
    NotAdmitted {
        /// The owner.
        owner: Address,
    },
    /// An owner with too many keys.
    #[error("{owner} has {keys} keys, the network allows {limit}")]
    Quota {
        /// The owner.
        owner: Address,
        /// The keys they have.
        keys: u64,
        /// The keys they may have.
        limit: u64,
    },
    /// A key made without permissions.
    #[error("the key was made without permissions, so it signs nothing; make one with a policy")]
    NoPermissions,
    /// The permissions name another network, chain or owner than the request.
    #[error("the permissions are for another {what}: {found}, not {expected}")]
    OtherPermissions {
        /// Network, chain or owner.
        what: String,
        /// As in the permissions.
        found: String,
        /// As in the request.
        expected: String,
    },
    /// What was asked for is not permitted.
    #[error("{reason}")]
    Forbidden {
        /// Which check failed, with both values.
        reason: String,
        /// The contract's own revert reason, where it would refuse too.
        revert: Option<String>,
    },
    /// Nodes are missing.
    #[error("{needed} nodes are needed and {ready} are ready; missing: {missing:?}")]
    Nodes {
        /// How many are connected.
        ready: u8,
        /// How many the operation needs.
        needed: u8,
        /// Those that did not answer.
        missing: Vec<NodeIndex>,
    },
    /// One of the chosen signers has banned another.
    #[error(
        "node {node} never uses this key together with node {peer} again, which cheated it; other nodes can sign"
    )]
    Banned {
        /// Who refuses.
        node: NodeIndex,
        /// With whom.
        peer: NodeIndex,
    },
    /// The nodes did not come to a result; the same request may be tried again.
    #[error("the network did not come to a result: {reason}; try again")]
    Unfinished {
        /// What went wrong.
        reason: String,
    },
    /// Too much at once.
    #[error("the network is busy; try again later")]
    Busy,
}

impl Refusal {
    /// Whether the same request may succeed when other nodes are asked.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Banned { .. } | Self::Unfinished { .. } | Self::Nodes { .. } | Self::Busy)
    }

    /// Short enough for the reason of a WebSocket close (123 bytes).
    pub fn close_reason(&self) -> String {
        let mut reason = self.to_string();
        while reason.len() > 123 {
            reason.pop();
        }
        reason
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        let revert = match &forbidden {
            Forbidden::Policy { refusal, .. } => refusal.revert_reason().map(str::to_owned),
            _ => None,
        };
        Self::Forbidden { reason: forbidden.to_string(), revert }
    }
}
