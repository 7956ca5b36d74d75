use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, hex};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{NetworkDescriptor, NodeIndex, Transcript};

/// A key's birth, as each node that holds a share of it attests: which key was made, for whom, and to what end.
///
/// A client takes a key only with attestations of [`NetworkDescriptor::bind_quorum`] nodes, so that neither a
/// gateway nor t − 1 nodes can hand out a key of their own or one key twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Birth {
    /// The key's id.
    pub key_id: String,
    /// The public key, compressed SEC1.
    #[serde(with = "hex::serde")]
    pub public_key: [u8; 33],
    /// Who owns it.
    pub owner: Address,
    /// The ephemeral Ed25519 key registered with it.
    #[serde(with = "hex::serde")]
    pub ephemeral: [u8; 32],
    /// keccak-256 of the permissions text; zero where there are none.
    pub permissions: B256,
    /// The challenge under which it was asked for.
    pub challenge: String,
}

/// A node's Ed25519 signature over a [`Birth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The node.
    pub node: NodeIndex,
    /// The signature, 64 bytes, in hex with 0x in JSON.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// Too few nodes attest to a key.
#[derive(Debug, thiserror::Error)]
#[error(
    "only {valid} nodes of the pinned network attest to the key, {needed} are needed: it is not accepted"
)]
pub struct Unattested {
    /// How many distinct nodes' attestations are valid.
    pub valid: usize,
    /// How many are needed.
    pub needed: u8,
}

impl Birth {
    /// The digest that nodes sign, bound to one network.
    pub fn digest(&self, network: B256) -> B256 {
        Transcript::new("birth")
            .field(network.as_slice())
            .field(self.key_id.as_bytes())
            .field(&self.public_key)
            .field(self.owner.as_slice())
            .field(&self.ephemeral)
            .field(self.permissions.as_slice())
            .field(self.challenge.as_bytes())
            .finish()
    }

    /// Attests to the birth as a node.
    pub fn attest(&self, network: B256, node: NodeIndex, identity: &SigningKey) -> Attestation {
        Attestation { node, signature: identity.sign(self.digest(network).as_slice()).to_bytes().to_vec() }
    }

    /// Checks that enough nodes of the pinned network attest to the birth.
    ///
    /// # Errors
    /// Fewer than the bind quorum of distinct nodes with a valid signature.
    pub fn verify(
        &self,
        network: &NetworkDescriptor,
        attestations: &[Attestation],
    ) -> Result<(), Unattested> {
        let digest = self.digest(network.id());
        let genuine = attestations.iter().filter(|attestation| {
            let signature = ed25519_dalek::Signature::from_slice(&attestation.signature);
            let identity = network.identity(attestation.node);
            matches!((identity, signature), (Some(identity), Ok(signature))
                if identity.verify_strict(digest.as_slice(), &signature).is_ok())
        });
        let valid = genuine.map(|attestation| attestation.node).collect::<BTreeSet<_>>().len();
        if valid < usize::from(network.bind_quorum()) {
            return Err(Unattested { valid, needed: network.bind_quorum() });
        }
        Ok(())
    }
}
