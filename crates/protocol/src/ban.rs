//! A node's word that another one has cheated it.

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{NetworkDescriptor, NodeIndex, Transcript};

/// A node's word that it never uses a key together with another node again.
///
/// It is kept by the other nodes for the one that signed it, which may have to be restored from a backup. It shows nothing
/// against the accused: the maker may have made it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The key's id.
    pub key_id: String,
    /// Who signs.
    pub maker: NodeIndex,
    /// With whom the maker never uses the key again.
    pub accused: NodeIndex,
    /// The maker's Ed25519 signature, 64 bytes.
    pub signature: Vec<u8>,
}

impl Ban {
    /// A node's own.
    pub fn sign(
        network: B256,
        key_id: &str,
        maker: NodeIndex,
        accused: NodeIndex,
        identity: &SigningKey,
    ) -> Self {
        let digest = digest(network, key_id, maker, accused);
        let signature = identity.sign(digest.as_slice()).to_bytes().to_vec();
        Self { key_id: key_id.to_owned(), maker, accused, signature }
    }

    /// Whether its maker signed it, in this network, of another node of it.
    pub fn is_genuine(&self, network: &NetworkDescriptor) -> bool {
        let Self { key_id, maker, accused, signature } = self;
        maker != accused
            && network.identity(*accused).is_some()
            && network.has_signed(*maker, digest(network.id(), key_id, *maker, *accused), signature)
    }
}

fn digest(network: B256, key_id: &str, maker: NodeIndex, accused: NodeIndex) -> B256 {
    Transcript::new("ban")
        .field(network.as_slice())
        .field(key_id.as_bytes())
        .number(maker.get().into())
        .number(accused.get().into())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_of_one_key_one_maker_one_accused_and_one_network() {
        let identity = |node: u8| SigningKey::from_bytes(&[node; 32]);
        let network = |first: u8| {
            let identities = (first..first + 3).map(|node| identity(node).verifying_key()).collect();
            NetworkDescriptor::new(2, identities, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
        };
        let node = |index| NodeIndex::new(index).unwrap();
        let (own, other) = (network(1), network(9));
        let ban = Ban::sign(own.id(), "a key", node(1), node(2), &identity(1));
        assert!(ban.is_genuine(&own));
        let altered = [
            Ban { key_id: "another".to_owned(), ..ban.clone() },
            Ban { maker: node(3), ..ban.clone() },
            Ban { accused: node(3), ..ban.clone() },
            Ban::sign(other.id(), "a key", node(1), node(2), &identity(1)),
            Ban::sign(own.id(), "a key", node(1), node(2), &identity(3)),
            Ban::sign(own.id(), "a key", node(1), node(1), &identity(1)),
            Ban::sign(own.id(), "a key", node(1), node(4), &identity(1)),
        ];
        for ban in altered {
            assert!(!ban.is_genuine(&own), "{ban:?}");
        }
    }
}
