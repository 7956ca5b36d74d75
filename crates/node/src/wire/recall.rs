//! What a restored node asks and is told.

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use quorate_ledger::PageRequest;
use quorate_protocol::{Ban, NetworkDescriptor, NodeIndex, Transcript};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Evidence, Frame, ShownStatement, encode};

/// What a restored node asks another one about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recall {
    /// Drawn when the node was restored: no answer from before counts.
    pub(crate) journal: B256,
    pub(crate) key_id: String,
    pub(crate) part: RecallPart,
}

/// Which part of what is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecallPart {
    /// Whose it is, and whom the asker has banned from it.
    Owner,
    /// What its owner has said, after a place in the teller's order.
    Statements { after: u64 },
    /// A page of the teller's ledger.
    Ledger { after: PageRequest },
}

/// What a node answers a restored one. The gateway carries it, so it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recalled {
    pub(crate) question: Recall,
    /// Whether the teller was restored itself, and does not know all yet.
    pub(crate) is_quarantined: bool,
    pub(crate) memory: KeyMemory,
    signature: Vec<u8>,
}

/// What a node knows of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyMemory {
    Owner { evidence: Option<Evidence>, bans: Vec<Ban> },
    Statements { statements: Vec<(u64, ShownStatement)>, more: bool },
    Ledger { page: ByteBuf },
}

impl Frame for Recall {
    fn since(&self) -> u8 {
        2
    }
}

impl Frame for KeyMemory {
    fn since(&self) -> u8 {
        2
    }
}

impl Recalled {
    /// A node's own answer to `asker`.
    pub(crate) fn sign(
        network: B256,
        (teller, identity): (NodeIndex, &SigningKey),
        asker: NodeIndex,
        question: Recall,
        is_quarantined: bool,
        memory: KeyMemory,
    ) -> Self {
        let mut told = Self { question, is_quarantined, memory, signature: Vec::new() };
        let digest = told.digest(network, teller, asker);
        told.signature = identity.sign(digest.as_slice()).to_bytes().to_vec();
        told
    }

    /// Whether `teller` said this to `asker`.
    pub(crate) fn is_genuine(
        &self,
        network: &NetworkDescriptor,
        teller: NodeIndex,
        asker: NodeIndex,
    ) -> bool {
        network.has_signed(teller, self.digest(network.id(), teller, asker), &self.signature)
    }

    fn digest(&self, network: B256, teller: NodeIndex, asker: NodeIndex) -> B256 {
        Transcript::new("recalled")
            .field(network.as_slice())
            .number(teller.get().into())
            .number(asker.get().into())
            .field(&encode(&self.question))
            .number(self.is_quarantined.into())
            .field(&encode(&self.memory))
            .finish()
    }
}
