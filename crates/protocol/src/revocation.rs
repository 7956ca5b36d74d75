//! The end of an ephemeral key or of a whole key, and what the nodes say when they have stored it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, U256, hex};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::json;
use crate::{
    Answer, Authentication, ClientError, NetworkDescriptor, NodeIndex, Operation, Owner, Says, Setup,
    Transcript, TypedData, TypedDataSignature,
};

/// A request to revoke an ephemeral key, or the key itself: the setup of [`Operation::Revoke`].
///
/// Its typed data has no challenge: a revocation can be signed ahead and handed in whenever it is needed, by anybody, and
/// as often as one likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeSetup {
    /// The network that is meant.
    pub network: B256,
    /// Which key.
    pub key_id: String,
    /// The ephemeral key to revoke; none revokes the key.
    pub ephemeral: Option<VerifyingKey>,
}

/// A revocation that waits for the owner's signature, or has it and is to be handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocation {
    owner: Owner,
    setup: String,
}

/// A node's word that it has stored a revocation, and signs nothing more that it forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledgement {
    /// The node.
    pub node: NodeIndex,
    /// The key's operations that the node began to sign within the last 60 seconds: some may be signed.
    pub recent: Vec<RecentOperation>,
    /// An Ed25519 signature, 64 bytes, in hex with 0x in JSON.
    #[serde(serialize_with = "hex::serialize", deserialize_with = "json::bytes")]
    pub signature: Vec<u8>,
}

/// An operation that may have been signed shortly before a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecentOperation {
    /// Its nonce.
    pub nonce: U256,
    /// Its hash.
    pub hash: B256,
}

/// What a revocation has come to: which nodes hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationStatus {
    /// The nodes that have stored it.
    pub stored_by: BTreeSet<NodeIndex>,
    /// The nodes that have not said so. Hand it in again until there is none; those that have it tell them, too.
    pub missing: BTreeSet<NodeIndex>,
    /// Operations that some node began to sign within the last 60 seconds before: whoever asked may have the signatures.
    pub recent: BTreeSet<RecentOperation>,
    threshold: u8,
}

impl RevokeSetup {
    /// What it says.
    pub fn says(&self) -> Says {
        self.ephemeral.map_or(Says::RevokesKey, |key| Says::Revokes { ephemeral: key.to_bytes() })
    }

    /// The first frame.
    pub fn text(&self) -> String {
        crate::setup::revoke_text(self)
    }

    /// What the owner's wallet signs.
    pub fn typed_data(&self) -> TypedData {
        crate::setup::revoke_typed_data(self)
    }
}

impl Revocation {
    /// Revokes an ephemeral key of the owner's key; or the key, where none is named.
    pub fn new(
        network: &NetworkDescriptor,
        owner: impl Into<Owner>,
        key_id: &str,
        ephemeral: Option<VerifyingKey>,
    ) -> Self {
        let setup = RevokeSetup { network: network.id(), key_id: key_id.to_owned(), ephemeral };
        Self { owner: owner.into(), setup: setup.text() }
    }

    /// Who has to sign.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The first frame.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// What the owner signs: without a challenge, so that it can be signed ahead.
    ///
    /// # Errors
    /// A stored revocation whose setup was altered into something else.
    pub fn typed_data(&self) -> Result<TypedData, ClientError> {
        Ok(self.revoke_setup()?.typed_data())
    }

    /// The second frame, with the owner's signature over [`typed_data`](Self::typed_data).
    ///
    /// # Errors
    /// A signature of the other kind of owner.
    pub fn authentication(&self, signature: impl Into<TypedDataSignature>) -> Result<String, ClientError> {
        Ok(Authentication::owner_text(self.owner, "", signature)?)
    }

    /// Takes the network's answer, and of the acknowledgements those that are genuine.
    ///
    /// # Errors
    /// A refusal, or an answer to something else.
    pub fn accept(&self, network: &NetworkDescriptor, answer: &str) -> Result<RevocationStatus, ClientError> {
        let acknowledgements = match Answer::from_json(answer)? {
            Answer::Revoked { acknowledgements } => acknowledgements,
            Answer::Refused(refusal) => return Err(ClientError::Refused(refusal)),
            _ => return Err(ClientError::OtherAnswer),
        };
        let setup = self.revoke_setup()?;
        let statement = setup.says().id(&setup.key_id);
        let genuine: BTreeMap<_, _> = acknowledgements
            .into_iter()
            .filter(|acknowledgement| acknowledgement.is_genuine(network, statement))
            .map(|acknowledgement| (acknowledgement.node, acknowledgement.recent))
            .collect();
        let (threshold, size) = (network.threshold(), network.size());
        let status = RevocationStatus::of_nodes(threshold, size, genuine.keys().copied());
        Ok(RevocationStatus { recent: genuine.into_values().flatten().collect(), ..status })
    }

    /// The revocation as JSON, to be signed elsewhere.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored revocation.
    ///
    /// # Errors
    /// Text that is no revocation.
    pub fn from_json(text: &str) -> Result<Self, ClientError> {
        json::read(text).map_err(ClientError::Draft)
    }

    fn revoke_setup(&self) -> Result<RevokeSetup, ClientError> {
        match Setup::parse(Operation::Revoke, &self.setup)? {
            Setup::Revoke(setup) => Ok(setup),
            _ => Err(ClientError::OtherAnswer),
        }
    }
}

impl RevocationStatus {
    /// Against how many bad nodes the revocation holds; none while a quorum without any node that has stored it is left.
    ///
    /// Of *n* nodes *t* sign: with *n* − *t* + 1 + *f* that have stored it, every quorum has at least one honest node
    /// that refuses, if *f* of them are bad. It holds against all that the network withstands from *t* − 1 on.
    ///
    /// ```
    /// # use quorate_protocol::RevocationStatus;
    /// # let node = |index| quorate_protocol::NodeIndex::new(index).unwrap();
    /// # let revoked = |nodes: &[u8]| RevocationStatus::of_nodes(3, 5, nodes.iter().map(|index| node(*index)));
    /// // 3 of 5.
    /// assert_eq!(revoked(&[1, 2]).bad_nodes_withstood(), None);
    /// assert_eq!(revoked(&[1, 2, 3]).bad_nodes_withstood(), Some(0));
    /// assert_eq!(revoked(&[1, 2, 3, 4, 5]).bad_nodes_withstood(), Some(2));
    /// ```
    pub fn bad_nodes_withstood(&self) -> Option<u8> {
        let size = self.stored_by.len() + self.missing.len();
        let needed = size + 1 - usize::from(self.threshold);
        self.stored_by.len().checked_sub(needed).and_then(|bad| u8::try_from(bad).ok())
    }

    /// What both say of one network: a node that has stored it is not missing.
    pub fn merged(self, other: Self) -> Self {
        let stored_by: BTreeSet<_> = &self.stored_by | &other.stored_by;
        let missing = &(&self.missing | &other.missing) - &stored_by;
        Self { stored_by, missing, recent: &self.recent | &other.recent, threshold: self.threshold }
    }

    /// What it has come to once these nodes of a network have stored it.
    pub fn of_nodes(threshold: u8, size: u8, stored_by: impl IntoIterator<Item = NodeIndex>) -> Self {
        let stored_by: BTreeSet<_> = stored_by.into_iter().collect();
        let all = (1..=size).filter_map(NodeIndex::new);
        let missing = all.filter(|node| !stored_by.contains(node)).collect();
        Self { stored_by, missing, recent: BTreeSet::new(), threshold }
    }
}

impl Acknowledgement {
    /// A node's own, of the statement with this id.
    pub fn sign(
        network: B256,
        node: NodeIndex,
        statement: B256,
        recent: Vec<RecentOperation>,
        identity: &SigningKey,
    ) -> Self {
        let digest = digest(network, node, statement, &recent);
        Self { node, recent, signature: identity.sign(digest.as_slice()).to_bytes().to_vec() }
    }

    /// Whether the named node signed it, for this statement.
    pub fn is_genuine(&self, network: &NetworkDescriptor, statement: B256) -> bool {
        let digest = digest(network.id(), self.node, statement, &self.recent);
        network.has_signed(self.node, digest, &self.signature)
    }
}

fn digest(network: B256, node: NodeIndex, statement: B256, recent: &[RecentOperation]) -> B256 {
    let transcript = Transcript::new("acknowledgement")
        .field(network.as_slice())
        .number(node.get().into())
        .field(statement.as_slice())
        .number(recent.len() as u64);
    let field = |transcript: Transcript, RecentOperation { nonce, hash }: &RecentOperation| {
        transcript.field(&nonce.to_be_bytes::<32>()).field(hash.as_slice())
    };
    recent.iter().fold(transcript, field).finish()
}
