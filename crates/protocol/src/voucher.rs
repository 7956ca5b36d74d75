//! A node's word that it has asked a contract about a statement.

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{NetworkDescriptor, NodeIndex, Transcript};

/// A node's word that the contract that owns a key has confirmed a statement about it.
///
/// Later the contract may say otherwise, and the block in which it was asked may be out of reach: nodes that were away take
/// the statement on the word of t others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// The node.
    pub node: NodeIndex,
    /// An Ed25519 signature, 64 bytes.
    pub signature: Vec<u8>,
}

impl Voucher {
    /// A node's own, of the statement with this id.
    pub fn sign(network: B256, node: NodeIndex, statement: B256, identity: &SigningKey) -> Self {
        let digest = digest(network, node, statement);
        Self { node, signature: identity.sign(digest.as_slice()).to_bytes().to_vec() }
    }

    /// Whether the named node signed it, for this statement.
    pub fn is_genuine(&self, network: &NetworkDescriptor, statement: B256) -> bool {
        network.has_signed(self.node, digest(network.id(), self.node, statement), &self.signature)
    }
}

fn digest(network: B256, node: NodeIndex, statement: B256) -> B256 {
    Transcript::new("statement voucher")
        .field(network.as_slice())
        .number(node.get().into())
        .field(statement.as_slice())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Acknowledgement;

    fn identity(node: u8) -> SigningKey {
        SigningKey::from_bytes(&[node; 32])
    }

    fn network(first: u8) -> NetworkDescriptor {
        let identities = (first..first + 3).map(|node| identity(node).verifying_key()).collect();
        NetworkDescriptor::new(2, identities, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
    }

    #[test]
    fn a_voucher_is_of_one_node_one_statement_and_one_network() {
        let (own, statement) = (network(1), B256::repeat_byte(7));
        let node = |index| NodeIndex::new(index).unwrap();
        let voucher = Voucher::sign(own.id(), node(2), statement, &identity(2));
        assert!(voucher.is_genuine(&own, statement));
        assert!(!voucher.is_genuine(&own, B256::repeat_byte(8)), "another statement");
        assert!(!Voucher { node: node(3), ..voucher.clone() }.is_genuine(&own, statement), "another node");
        assert!(!Voucher { node: node(4), ..voucher.clone() }.is_genuine(&own, statement), "no node");
        assert!(
            !Voucher::sign(network(9).id(), node(2), statement, &identity(2)).is_genuine(&own, statement)
        );
        let mut altered = voucher;
        altered.signature[10] ^= 1;
        assert!(!altered.is_genuine(&own, statement));
        // What a node signs for other ends is none.
        let acknowledgement = Acknowledgement::sign(own.id(), node(2), statement, Vec::new(), &identity(2));
        let Acknowledgement { node, signature, .. } = acknowledgement;
        assert!(!Voucher { node, signature }.is_genuine(&own, statement));
    }
}
