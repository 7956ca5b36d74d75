use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use quorate_core::UserOperation;
#[cfg(feature = "network")]
use quorate_network::{DistributedSigner, EphemeralKey, NetworkError};
use quorate_signer::{AlloySessionKey, LocalSessionKey, SIGNATURE_LEN, SessionSigner, SignerError};
use quorate_store as store;

use crate::{Error, Quorate};

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

#[cfg(feature = "network")]
impl StorableKey for DistributedSigner {
    fn to_stored(&self) -> store::Key {
        store::Key::Distributed {
            key_id: self.key().key_id.clone(),
            attested_key: self.key().to_json(),
            ephemeral: store::Secret::from(*self.ephemeral().to_bytes()),
        }
    }
}

/// What an alloy signer keeps, a key or a connection to a device or a service, is its own.
impl<S> StorableKey for AlloySessionKey<S>
where
    Self: SessionSigner,
{
    fn to_stored(&self) -> store::Key {
        store::Key::External
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
    client: &Quorate,
) -> Result<Arc<dyn SessionSigner>, Error> {
    let address = session.session_key;
    match key {
        store::Key::Local(secret) => match LocalSessionKey::from_bytes(secret.expose()) {
            Some(key) if key.address() == address => Ok(Arc::new(key)),
            _ => Err(Error::OtherKey { session: session.id.clone(), address }),
        },
        #[cfg(not(feature = "network"))]
        store::Key::Distributed { key_id, .. } => {
            let _ = client;
            Err(Error::NoNetwork { key_id })
        }
        #[cfg(feature = "network")]
        store::Key::Distributed { key_id, attested_key, ephemeral } => {
            Ok(Arc::new(restored(client, key_id, &attested_key, &ephemeral)?))
        }
        store::Key::External => Err(Error::ExternalKey { session: session.id.clone(), address }),
    }
}

/// The signer of a key that a network holds, whose evidence is checked again.
#[cfg(feature = "network")]
pub(crate) fn restored(
    client: &Quorate,
    key_id: String,
    attested_key: &str,
    ephemeral: &store::Secret,
) -> Result<DistributedSigner, Error> {
    let network = client.network.clone().ok_or(Error::NoNetwork { key_id })?;
    let ephemeral = EphemeralKey::from_bytes(ephemeral.expose());
    Ok(DistributedSigner::restore(network, attested_key, ephemeral).map_err(NetworkError::from)?)
}
