//! By what a signature is known to be a key's, as far as enough nodes have said so.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::Signature;
use quorate_protocol::{NetworkDescriptor, Subject, address_of};

use super::connections::{Event, NodeConnections};
use crate::wire::{KeyRecord, ToNode};

/// A bounded cache of what nodes say of keys.
#[derive(Default)]
pub(super) struct KeyRecords(Mutex<Known>);

#[derive(Default)]
struct Known {
    keys: HashMap<String, KeyRecord>,
    /// The keys of `keys`, the oldest first.
    order: VecDeque<String>,
}

const MOST_KEYS: usize = 65_536;

/// How long nodes have to say what a key is; they read it from their database.
const DEADLINE: Duration = Duration::from_secs(2);

impl KeyRecords {
    /// What a key's signatures are known by. Nodes are asked about a key that is not known; as many as sign must say the
    /// same, so that one of them is honest.
    pub(super) async fn of(
        &self,
        key_id: &str,
        network: &NetworkDescriptor,
        connections: &NodeConnections,
    ) -> Option<KeyRecord> {
        if let Some(record) = self.known(key_id) {
            return Some(record);
        }
        let record = ask(key_id, network, connections).await?;
        self.insert(key_id, record.clone());
        Some(record)
    }

    fn insert(&self, key_id: &str, record: KeyRecord) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.keys.insert(key_id.to_owned(), record).is_none() {
            known.order.push_back(key_id.to_owned());
        }
        if known.order.len() > MOST_KEYS
            && let Some(oldest) = known.order.pop_front()
        {
            known.keys.remove(&oldest);
        }
    }

    fn known(&self, key_id: &str) -> Option<KeyRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.get(key_id).cloned()
    }
}

async fn ask(key_id: &str, network: &NetworkDescriptor, connections: &NodeConnections) -> Option<KeyRecord> {
    let nodes = connections.ready();
    let mut waiting = nodes.len();
    let mut task = connections.open(nodes);
    task.send_all(|task| ToNode::KeyRecord { task, key_id: key_id.to_owned() });
    let mut said = BTreeMap::<KeyRecord, u8>::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while waiting > 0 {
        let (_, event) = tokio::time::timeout_at(deadline, task.next()).await.ok()??;
        waiting -= 1;
        if let Event::KeyRecord(Some(record)) = event {
            let times = said.entry(record.clone()).or_default();
            *times += 1;
            if *times >= network.threshold() {
                return Some(record);
            }
        }
    }
    None
}

/// Whether a signature is the key's over what was asked for, in the one form that chains take.
pub(super) fn is_by(record: &KeyRecord, subject: &Subject, signature: &Signature) -> bool {
    let session_key = record.public_key.as_slice().try_into().ok().and_then(address_of);
    let digest = subject.digest(record.session_key_manager);
    let signer = signature.recover_address_from_prehash(&digest).ok();
    signature.normalize_s().is_none() && signer.is_some() && signer == session_key
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use k256::ecdsa::SigningKey;
    use quorate_core::{Call, Encode as _, Execute, ExecuteBatch, UserOperation, routed_hash, signing_hash};
    use quorate_protocol::OperationMessage;
    use serde_bytes::ByteBuf;

    use super::*;

    const MANAGER: Address = Address::repeat_byte(0x5e);

    fn record(key: &SigningKey) -> KeyRecord {
        let public_key = ByteBuf::from(key.verifying_key().to_sec1_point(true).as_bytes());
        KeyRecord { public_key, session_key_manager: Some(MANAGER) }
    }

    fn operation(call_data: Vec<u8>) -> Subject {
        let operation = UserOperation {
            sender: Address::repeat_byte(1),
            nonce: U256::ZERO,
            init_code: Vec::new(),
            call_data,
            call_gas_limit: U256::ZERO,
            verification_gas_limit: U256::ZERO,
            pre_verification_gas: U256::ZERO,
            max_fee_per_gas: U256::ZERO,
            max_priority_fee_per_gas: U256::ZERO,
            paymaster_and_data: Vec::new(),
        };
        Subject::Operation(OperationMessage { operation, entry_point: Address::repeat_byte(2), chain_id: 1 })
    }

    fn sign(key: &SigningKey, hash: alloy_primitives::B256) -> Signature {
        let (signature, recovery) = key.sign_prehash_recoverable(signing_hash(hash).as_slice());
        let (r, s) = signature.split_bytes();
        Signature::new(U256::from_be_slice(&r), U256::from_be_slice(&s), recovery.is_y_odd())
    }

    #[test]
    fn only_the_key_s_own_low_signature_of_the_operation_is_its_signature() {
        let (key, other) =
            (SigningKey::from_slice(&[7; 32]).unwrap(), SigningKey::from_slice(&[8; 32]).unwrap());
        let call = Call { to: Address::repeat_byte(3), value: U256::ZERO, data: &[1, 2, 3, 4] };
        let single = operation(Execute(call).to_vec());
        let signature = sign(&key, single.hash());
        assert!(is_by(&record(&key), &single, &signature));
        assert!(!is_by(&record(&other), &single, &signature), "another key");
        assert!(!is_by(&record(&key), &operation(vec![1]), &signature), "another operation");
        let order =
            U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16);
        let high = Signature::new(signature.r(), order.unwrap() - signature.s(), !signature.v());
        assert!(!is_by(&record(&key), &single, &high), "the other form");

        let batch = operation(ExecuteBatch(&[call, call]).to_vec());
        let hash = batch.hash();
        assert!(is_by(&record(&key), &batch, &sign(&key, routed_hash(hash, MANAGER))));
        assert!(!is_by(&record(&key), &batch, &sign(&key, hash)), "what the router does not check");
    }

    #[test]
    fn the_oldest_keys_make_room() {
        let (keys, key) = (KeyRecords::default(), record(&SigningKey::from_slice(&[7; 32]).unwrap()));
        for index in 0..=MOST_KEYS {
            keys.insert(&index.to_string(), key.clone());
        }
        assert_eq!(keys.known("0"), None);
        assert_eq!(keys.known("1"), Some(key));
    }
}
