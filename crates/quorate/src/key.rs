use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use quorate_core::UserOperation;
use quorate_network::{DistributedSigner, EphemeralKey, NetworkError, SigningNetwork};
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
        store::Key::Distributed {
            key_id: self.key().key_id.clone(),
            attested_key: self.key().to_json(),
            ephemeral: store::Secret::from(*self.ephemeral().to_bytes()),
        }
    }
}

/// A signer whose secret is nothing for the store: a device, a service.
#[derive(Clone, Debug)]
pub struct ExternalKey<S>(pub S);

impl<S: SessionSigner> StorableKey for ExternalKey<S> {
    fn to_stored(&self) -> store::Key {
        store::Key::External
    }
}

#[async_trait]
impl<S: SessionSigner> SessionSigner for ExternalKey<S> {
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
        store::Key::Distributed { key_id, attested_key, ephemeral } => {
            let network = network.cloned().ok_or(Error::NoNetwork { key_id })?;
            let ephemeral = EphemeralKey::from_bytes(ephemeral.expose());
            let signer = DistributedSigner::restore(network, &attested_key, ephemeral);
            Ok(Arc::new(signer.map_err(NetworkError::from)?))
        }
        store::Key::External => Err(Error::ExternalKey { session: session.id.clone(), address }),
    }
}
