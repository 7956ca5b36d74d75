use std::sync::Arc;

use alloy_primitives::{Address, hex};
use async_trait::async_trait;
use quorate_core::UserOperation;
use quorate_network::{DistributedSigner, EphemeralKey, SigningNetwork};
use quorate_protocol::OperationMessage;
use quorate_signer::{LocalSessionKey, SIGNATURE_LEN, SessionSigner, SignerError};
use quorate_store as store;

use crate::Error;

/// A session's signer that a store can keep.
pub trait StorableKey: SessionSigner {
    /// What the store is given: a secret, which it encrypts, or [`External`](store::Key::External).
    fn to_stored(&self) -> store::Key;
}

impl StorableKey for LocalSessionKey {
    fn to_stored(&self) -> store::Key {
        store::Key::Local(store::Secret::from(*self.to_bytes()))
    }
}

impl StorableKey for DistributedSigner {
    fn to_stored(&self) -> store::Key {
        let key = self.key();
        let evidence = serde_json::json!({
            "keyId": key.key_id,
            "publicKey": hex::encode_prefixed(key.public_key),
            "address": key.address,
            "attestations": key.attestations,
        });
        store::Key::Distributed {
            key_id: key.key_id.clone(),
            attested_key: evidence.to_string(),
            ephemeral: store::Secret::from(*self.ephemeral().to_bytes()),
        }
    }
}

/// A signer whose secret is nothing for the store: a device, a service.
#[derive(Clone, Debug)]
pub struct KeyElsewhere<S>(pub S);

impl<S: SessionSigner> StorableKey for KeyElsewhere<S> {
    fn to_stored(&self) -> store::Key {
        store::Key::External
    }
}

#[async_trait]
impl<S: SessionSigner> SessionSigner for KeyElsewhere<S> {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn key_id(&self) -> Option<&str> {
        self.0.key_id()
    }

    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        self.0.sign_user_operation(operation, entry_point, chain_id).await
    }

    async fn sign_routed_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
        session_key_manager: Address,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        self.0.sign_routed_user_operation(operation, entry_point, chain_id, session_key_manager).await
    }
}

/// A key of a network, as the store gives it back.
#[derive(Debug)]
struct StoredDistributedKey {
    network: SigningNetwork,
    key_id: String,
    address: Address,
    ephemeral: EphemeralKey,
}

#[async_trait]
impl SessionSigner for StoredDistributedKey {
    fn address(&self) -> Address {
        self.address
    }

    fn key_id(&self) -> Option<&str> {
        Some(&self.key_id)
    }

    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        let message = OperationMessage { operation: operation.clone(), entry_point, chain_id };
        let signed = self.network.sign(&self.key_id, self.address, &message, &self.ephemeral).await;
        let refused = |source| SignerError::Session { address: self.address, source: Box::new(source) };
        Ok(signed.map_err(refused)?.as_bytes())
    }
}

/// The signer of a session's key, from the store.
pub(crate) fn signer(
    session: &store::Session,
    key: store::Key,
    network: Option<&SigningNetwork>,
) -> Result<Arc<dyn SessionSigner>, Error> {
    let address = session.session_key;
    match key {
        store::Key::Local(secret) => match LocalSessionKey::from_bytes(secret.expose()) {
            Some(key) if key.address() == address => Ok(Arc::new(key)),
            _ => Err(Error::OtherKey { session: session.id.clone(), address }),
        },
        store::Key::Distributed { key_id, ephemeral, .. } => {
            let network = network.cloned().ok_or_else(|| Error::NoNetwork { key_id: key_id.clone() })?;
            let ephemeral = EphemeralKey::from_bytes(ephemeral.expose());
            Ok(Arc::new(StoredDistributedKey { network, key_id, address, ephemeral }))
        }
        store::Key::External => Err(Error::KeyElsewhere { session: session.id.clone(), address }),
    }
}
