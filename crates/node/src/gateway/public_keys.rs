//! Which public key belongs to a key id, as far as enough nodes have said so.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, Signature};
use quorate_protocol::{NetworkDescriptor, address_of};

use super::connections::{Event, NodeConnections};
use crate::wire::ToNode;

/// A bounded cache of the keys' public keys.
#[derive(Default)]
pub(super) struct PublicKeys(Mutex<Known>);

#[derive(Default)]
struct Known {
    keys: HashMap<String, [u8; 33]>,
    /// The keys of `keys`, the oldest first.
    order: VecDeque<String>,
}

const MOST_KEYS: usize = 65_536;

/// How long nodes have to say what a key's public key is; they read it from their database.
const DEADLINE: Duration = Duration::from_secs(2);

impl PublicKeys {
    /// Notes a key whose assignment enough nodes attest to.
    pub(super) fn insert(&self, key_id: &str, public_key: [u8; 33]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.keys.insert(key_id.to_owned(), public_key).is_none() {
            known.order.push_back(key_id.to_owned());
        }
        if known.order.len() > MOST_KEYS
            && let Some(oldest) = known.order.pop_front()
        {
            known.keys.remove(&oldest);
        }
    }

    /// The address of a key. Nodes are asked for one that is not known; as many as sign must say the same, so that one of
    /// them is honest.
    pub(super) async fn address(
        &self,
        key_id: &str,
        network: &NetworkDescriptor,
        connections: &NodeConnections,
    ) -> Option<Address> {
        if let Some(public_key) = self.known(key_id) {
            return address_of(&public_key);
        }
        let public_key = ask(key_id, network, connections).await?;
        self.insert(key_id, public_key);
        address_of(&public_key)
    }

    fn known(&self, key_id: &str) -> Option<[u8; 33]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.get(key_id).copied()
    }
}

async fn ask(key_id: &str, network: &NetworkDescriptor, connections: &NodeConnections) -> Option<[u8; 33]> {
    let nodes = connections.ready();
    let mut waiting = nodes.len();
    let mut task = connections.open(nodes);
    task.send_all(|task| ToNode::PublicKey { task, key_id: key_id.to_owned() });
    let mut said = BTreeMap::<[u8; 33], u8>::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while waiting > 0 {
        let (_, event) = tokio::time::timeout_at(deadline, task.next()).await.ok()??;
        waiting -= 1;
        if let Event::PublicKey(Some(public_key)) = event {
            let times = said.entry(public_key).or_default();
            *times += 1;
            if *times >= network.threshold() {
                return Some(public_key);
            }
        }
    }
    None
}

/// Whether a signature over the digest is the session key's, in the one form that chains take.
pub(super) fn is_by(session_key: Address, digest: &B256, signature: &Signature) -> bool {
    let is_low = signature.normalize_s().is_none();
    is_low && signature.recover_address_from_prehash(digest).is_ok_and(|signer| signer == session_key)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, uint};

    use super::*;

    /// The order of secp256k1's group (SEC 2, section 2.4.1).
    const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

    #[test]
    fn only_the_key_s_own_low_signature_of_the_digest_is_its_signature() {
        let (digest, other) = (B256::repeat_byte(7), B256::repeat_byte(8));
        // The x coordinate of the group's generator, so that a point belongs to it.
        let r = uint!(0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798_U256);
        let signature = Signature::new(r, U256::from(5), false);
        let signer = signature.recover_address_from_prehash(&digest).expect("a signer");
        assert!(is_by(signer, &digest, &signature));
        assert!(!is_by(signer, &other, &signature));
        assert!(!is_by(Address::ZERO, &digest, &signature));
        let high = Signature::new(r, ORDER - U256::from(5), true);
        assert_eq!(high.recover_address_from_prehash(&digest).ok(), Some(signer));
        assert!(!is_by(signer, &digest, &high));
    }

    #[test]
    fn the_oldest_keys_make_room() {
        let keys = PublicKeys::default();
        for index in 0..=MOST_KEYS {
            keys.insert(&index.to_string(), [2; 33]);
        }
        assert_eq!(keys.known("0"), None);
        assert_eq!(keys.known("1"), Some([2; 33]));
    }
}
