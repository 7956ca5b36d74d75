use alloy_primitives::Address;
use async_trait::async_trait;
use quorate_core::UserOperation;
use quorate_protocol::{AttestedKey, OperationMessage};
use quorate_signer::{SIGNATURE_LEN, SessionSigner, SignerError};

use crate::{EphemeralKey, SigningNetwork};

/// A session key that a network holds: each signature is asked of a quorum, which evaluates the operation first.
#[derive(Debug)]
pub struct DistributedSigner {
    network: SigningNetwork,
    key_id: String,
    session_key: Address,
    ephemeral: EphemeralKey,
}

impl DistributedSigner {
    /// The signer for a key that the network made under `ephemeral`.
    pub fn new(network: SigningNetwork, key: &AttestedKey, ephemeral: EphemeralKey) -> Self {
        Self { network, key_id: key.key_id.clone(), session_key: key.address, ephemeral }
    }

    /// The key's id at the network.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

#[async_trait]
impl SessionSigner for DistributedSigner {
    fn address(&self) -> Address {
        self.session_key
    }

    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        let message = OperationMessage { operation: operation.clone(), entry_point, chain_id };
        let signed = self.network.sign(&self.key_id, self.session_key, &message, &self.ephemeral).await;
        let refused = |source| SignerError::Session { address: self.session_key, source: Box::new(source) };
        Ok(signed.map_err(refused)?.as_bytes())
    }
}
