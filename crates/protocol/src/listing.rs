//! Which ephemeral keys may ask for a key's signatures, as the nodes hold it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, hex};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{Answer, ClientError, NetworkDescriptor, NodeIndex, Says, Transcript, json};

/// A request to list the ephemeral keys of a key: the only frame of [`Operation::List`](crate::Operation::List).
///
/// Whoever knows the key's id may ask: what is listed are public keys and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSetup {
    /// The network that is meant.
    pub network: B256,
    /// Which key.
    pub key_id: String,
    /// 32 random bytes: no node's earlier answer is good for this request.
    pub nonce: B256,
}

/// A node's word for what it holds of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyListing {
    /// The node.
    pub node: NodeIndex,
    /// What its owner has said of it, with the registration that it was assigned with.
    pub says: Vec<Says>,
    /// An Ed25519 signature, 64 bytes, in hex with 0x in JSON.
    #[serde(serialize_with = "hex::serialize", deserialize_with = "json::bytes")]
    pub signature: Vec<u8>,
}

/// The ephemeral keys of a key. A node that is bad may leave some out or make some up: what *t* nodes hold is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EphemeralKeys {
    /// By Ed25519 public key.
    pub keys: BTreeMap<[u8; 32], EphemeralKeyStatus>,
    /// The nodes at which the key itself is revoked.
    pub key_revoked_at: BTreeSet<NodeIndex>,
    /// The nodes that have answered.
    pub listed_by: BTreeSet<NodeIndex>,
    /// The nodes that have not.
    pub missing: BTreeSet<NodeIndex>,
}

/// Where an ephemeral key is registered and revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EphemeralKeyStatus {
    /// Until when it may ask at each node that has it registered, in seconds since 1970.
    pub until: BTreeMap<NodeIndex, u64>,
    /// The nodes at which it is revoked, whatever else they hold.
    pub revoked_at: BTreeSet<NodeIndex>,
}

impl ListSetup {
    /// The frame.
    pub fn text(&self) -> String {
        crate::setup::list_text(self)
    }

    /// Takes the network's answer, and of the nodes' listings those that are genuine.
    ///
    /// # Errors
    /// A refusal, or an answer to something else.
    pub fn accept(&self, network: &NetworkDescriptor, answer: &str) -> Result<EphemeralKeys, ClientError> {
        let listings = match Answer::from_json(answer)? {
            Answer::Listed { listings } => listings,
            Answer::Refused(refusal) => return Err(ClientError::Refused(refusal)),
            _ => return Err(ClientError::OtherAnswer),
        };
        let mut keys = EphemeralKeys::default();
        for listing in listings.iter().filter(|listing| listing.is_genuine(network, self)) {
            keys.add(listing);
        }
        let all = network.nodes().map(|(node, _)| node);
        keys.missing = all.filter(|node| !keys.listed_by.contains(node)).collect();
        Ok(keys)
    }

    fn digest(&self, node: NodeIndex, says: &[Says]) -> B256 {
        let transcript = Transcript::new("ephemeral keys")
            .field(self.network.as_slice())
            .number(node.get().into())
            .field(self.nonce.as_slice())
            .number(says.len() as u64);
        let field = |transcript: Transcript, says: &Says| transcript.field(says.id(&self.key_id).as_slice());
        says.iter().fold(transcript, field).field(self.key_id.as_bytes()).finish()
    }
}

impl KeyListing {
    /// A node's own.
    pub fn sign(setup: &ListSetup, node: NodeIndex, says: Vec<Says>, identity: &SigningKey) -> Self {
        let signature = identity.sign(setup.digest(node, &says).as_slice()).to_bytes().to_vec();
        Self { node, says, signature }
    }

    /// Whether the named node signed it, for this request.
    pub fn is_genuine(&self, network: &NetworkDescriptor, setup: &ListSetup) -> bool {
        network.has_signed(self.node, setup.digest(self.node, &self.says), &self.signature)
    }
}

impl EphemeralKeys {
    fn add(&mut self, KeyListing { node, says, .. }: &KeyListing) {
        self.listed_by.insert(*node);
        for says in says {
            match *says {
                Says::Registers { ephemeral, until } => {
                    let latest = self.keys.entry(ephemeral).or_default().until.entry(*node).or_default();
                    *latest = until.max(*latest);
                }
                Says::Revokes { ephemeral } => {
                    self.keys.entry(ephemeral).or_default().revoked_at.insert(*node);
                }
                Says::RevokesKey => {
                    self.key_revoked_at.insert(*node);
                }
                Says::Permits { .. } => {}
            }
        }
    }

    /// Until when an ephemeral key may ask at one of the nodes, in seconds since 1970; none if it may not.
    ///
    /// ```
    /// # use quorate_protocol::{EphemeralKeys, EphemeralKeyStatus};
    /// # let node = |index| quorate_protocol::NodeIndex::new(index).unwrap();
    /// let mut keys = EphemeralKeys::default();
    /// let until = [(node(1), 2_000), (node(2), 2_000)].into();
    /// keys.keys.insert([7; 32], EphemeralKeyStatus { until, revoked_at: [node(1)].into() });
    /// assert_eq!(keys.until_at(&[7; 32], node(1)), None, "revoked for good");
    /// assert_eq!(keys.until_at(&[7; 32], node(2)), Some(2_000), "it has not heard of it yet");
    /// ```
    pub fn until_at(&self, ephemeral: &[u8; 32], node: NodeIndex) -> Option<u64> {
        let status = self.keys.get(ephemeral)?;
        let is_revoked = self.key_revoked_at.contains(&node) || status.revoked_at.contains(&node);
        status.until.get(&node).copied().filter(|_| !is_revoked)
    }

    /// Until when it may ask at as many nodes as sign, in seconds since 1970; none if at so many it may not.
    pub fn until(&self, ephemeral: &[u8; 32], threshold: u8) -> Option<u64> {
        let mut ends: Vec<_> =
            self.listed_by.iter().filter_map(|node| self.until_at(ephemeral, *node)).collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        ends.get(usize::from(threshold).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u8) -> SigningKey {
        SigningKey::from_bytes(&[node; 32])
    }

    fn network() -> NetworkDescriptor {
        let identities = (1..=3).map(|node| identity(node).verifying_key()).collect();
        NetworkDescriptor::new(2, identities, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
    }

    fn node(index: u8) -> NodeIndex {
        NodeIndex::new(index).unwrap()
    }

    fn setup(nonce: u8) -> ListSetup {
        ListSetup { network: network().id(), key_id: "0a".repeat(32), nonce: B256::repeat_byte(nonce) }
    }

    fn registers(ephemeral: u8, until: u64) -> Says {
        Says::Registers { ephemeral: [ephemeral; 32], until }
    }

    fn listing(by: u8, says: &[Says]) -> KeyListing {
        KeyListing::sign(&setup(1), node(by), says.to_vec(), &identity(by))
    }

    fn accept(listings: Vec<KeyListing>) -> EphemeralKeys {
        setup(1).accept(&network(), &Answer::Listed { listings }.to_json()).unwrap()
    }

    #[test]
    fn what_as_many_nodes_hold_as_sign_is_in_force() {
        let revoked = Says::Revokes { ephemeral: [8; 32] };
        let keys = accept(vec![
            listing(1, &[registers(7, 1000), registers(7, 2000), registers(8, 3000), registers(9, 4000)]),
            listing(2, &[registers(7, 1500), registers(8, 3000), revoked]),
        ]);
        assert_eq!(keys.until(&[7; 32], 2), Some(1500), "of two nodes");
        assert_eq!(keys.until(&[8; 32], 2), None, "revoked at one of two");
        assert_eq!(keys.until(&[9; 32], 2), None, "one node makes it up");
        assert_eq!(keys.until(&[7; 32], 1), Some(2000));
        assert_eq!((keys.listed_by, keys.missing), ([node(1), node(2)].into(), [node(3)].into()));

        let ended = accept(vec![listing(1, &[registers(7, 1000), Says::RevokesKey])]);
        assert_eq!((ended.until(&[7; 32], 1), ended.key_revoked_at), (None, [node(1)].into()));
    }

    #[test]
    fn a_listing_is_one_node_s_for_one_request() {
        let genuine = listing(1, &[registers(7, 1000)]);
        for altered in [
            KeyListing { node: node(2), ..genuine.clone() },
            KeyListing { says: vec![registers(7, 1001)], ..genuine.clone() },
            KeyListing { says: Vec::new(), ..genuine.clone() },
            KeyListing::sign(&setup(2), node(1), genuine.says.clone(), &identity(1)),
        ] {
            assert!(accept(vec![altered]).listed_by.is_empty());
        }
        assert_eq!(accept(vec![genuine]).listed_by, [node(1)].into());
    }
}
