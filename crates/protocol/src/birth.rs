use std::collections::BTreeSet;

use alloy_primitives::{B256, hex};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{NetworkDescriptor, NodeIndex, Owner, Transcript, json};

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
    #[serde(serialize_with = "hex::serialize", deserialize_with = "json::bytes")]
    pub public_key: [u8; 33],
    /// Who owns it.
    pub owner: Owner,
    /// The ephemeral Ed25519 key registered with it.
    #[serde(serialize_with = "hex::serialize", deserialize_with = "json::bytes")]
    pub ephemeral: [u8; 32],
    /// keccak-256 of the permissions text; zero where there are none.
    pub permissions: B256,
    /// The challenge under which it was asked for.
    pub challenge: String,
}

/// A node's word for a [`Birth`], with what its own clock made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attestation {
    /// The node.
    pub node: NodeIndex,
    /// When the node assigned the key, in seconds since 1970.
    pub assigned_at: u64,
    /// Until when the ephemeral key may ask for signatures at this node, in seconds since 1970.
    pub ephemeral_until: u64,
    /// The signature, 64 bytes, in hex with 0x in JSON.
    #[serde(serialize_with = "hex::serialize", deserialize_with = "json::bytes")]
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
    /// The digest of what all nodes attest to alike, bound to one network.
    pub fn digest(&self, network: B256) -> B256 {
        Transcript::new("birth")
            .field(network.as_slice())
            .field(self.key_id.as_bytes())
            .field(&self.public_key)
            .field(&self.owner.to_bytes())
            .field(&self.ephemeral)
            .field(self.permissions.as_slice())
            .field(self.challenge.as_bytes())
            .finish()
    }

    /// Attests to the birth as a node that assigns the key now, in seconds since 1970, with its ephemeral key's end.
    pub fn attest(
        &self,
        network: B256,
        node: NodeIndex,
        identity: &SigningKey,
        assigned_at: u64,
        ephemeral_until: u64,
    ) -> Attestation {
        let mut attestation = Attestation { node, assigned_at, ephemeral_until, signature: Vec::new() };
        attestation.signature =
            identity.sign(attestation.digest(self, network).as_slice()).to_bytes().to_vec();
        attestation
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
        let genuine = attestations.iter().filter(|attestation| attestation.is_genuine(self, network));
        let valid = genuine.map(|attestation| attestation.node).collect::<BTreeSet<_>>().len();
        if valid < usize::from(network.bind_quorum()) {
            return Err(Unattested { valid, needed: network.bind_quorum() });
        }
        Ok(())
    }
}

impl Attestation {
    /// Whether the named node of the network signed it, for this birth.
    pub fn is_genuine(&self, birth: &Birth, network: &NetworkDescriptor) -> bool {
        network.has_signed(self.node, self.digest(birth, network.id()), &self.signature)
    }

    fn digest(&self, birth: &Birth, network: B256) -> B256 {
        Transcript::new("attestation")
            .field(birth.digest(network).as_slice())
            .number(self.node.get().into())
            .number(self.assigned_at)
            .number(self.ephemeral_until)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, b256};

    use super::*;
    use crate::ContractAccount;

    fn digest(owner: Owner) -> B256 {
        let (key_id, public_key, ephemeral) = ("7e57".to_owned(), [2; 33], [3; 32]);
        let permissions = B256::repeat_byte(4);
        let birth = Birth { key_id, public_key, owner, ephemeral, permissions, challenge: "c".to_owned() };
        birth.digest(B256::repeat_byte(1))
    }

    #[test]
    fn a_birth_covers_a_contract_s_chain_and_is_for_an_account_what_it_always_was() {
        let address = Address::repeat_byte(5);
        let of_account = b256!("0xd89dd78491adb891a82acb61d18ee652dd283c2a27ce9f543093300690793cb5");
        assert_eq!(digest(address.into()), of_account);
        let [one, other] = [1, 2].map(|chain_id| digest(ContractAccount { chain_id, address }.into()));
        assert!(one != other && one != of_account);
    }
}
