use alloy_primitives::{Address, Signature};
use async_trait::async_trait;
use quorate_core::UserOperation;
use quorate_protocol::{AttestedKey, ClientError, OperationMessage, Subject};
use quorate_signer::{SIGNATURE_LEN, SessionSigner, SignerError};

use crate::{EphemeralKey, NetworkError, SigningNetwork};

/// A session key that a network holds: each signature is asked of a quorum, which evaluates the operation first.
#[derive(Debug)]
pub struct DistributedSigner {
    network: SigningNetwork,
    key: AttestedKey,
    ephemeral: EphemeralKey,
}

impl DistributedSigner {
    /// The signer for a key that the network made under `ephemeral`.
    pub const fn new(network: SigningNetwork, key: AttestedKey, ephemeral: EphemeralKey) -> Self {
        Self { network, key, ephemeral }
    }

    /// The signer for a key that was stored, whose evidence is checked again.
    ///
    /// # Errors
    /// [`ClientError::Evidence`] for text that is no evidence, [`ClientError::Unattested`] for a key of another network,
    /// and [`ClientError::OtherEphemeral`] for a key that was made under another ephemeral key.
    pub fn restore(
        network: SigningNetwork,
        evidence: &str,
        ephemeral: EphemeralKey,
    ) -> Result<Self, ClientError> {
        let key = AttestedKey::from_json(network.descriptor(), evidence)?;
        if key.birth.ephemeral != ephemeral.public().to_bytes() {
            return Err(ClientError::OtherEphemeral { key_id: key.key_id });
        }
        Ok(Self::new(network, key, ephemeral))
    }

    /// What the client asks for signatures under. It is a secret, to be stored encrypted beside the session: with
    /// the [`AttestedKey`] it makes this signer again.
    pub const fn ephemeral(&self) -> &EphemeralKey {
        &self.ephemeral
    }

    /// The key, with the evidence of its birth.
    pub const fn key(&self) -> &AttestedKey {
        &self.key
    }

    /// Asks a quorum for the signature over what redeems delegations or passes them on.
    ///
    /// # Errors
    /// As [`SigningNetwork::sign_subject`].
    pub async fn sign_subject(&self, subject: &Subject) -> Result<Signature, NetworkError> {
        let AttestedKey { key_id, address, .. } = &self.key;
        self.network.sign_subject(key_id, *address, subject, &self.ephemeral).await
    }

    fn refused(&self, source: NetworkError) -> SignerError {
        SignerError::Session { address: self.key.address, source: Box::new(source) }
    }
}

#[async_trait]
impl SessionSigner for DistributedSigner {
    fn address(&self) -> Address {
        self.key.address
    }

    fn key_id(&self) -> Option<&str> {
        Some(&self.key.key_id)
    }

    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        let message = OperationMessage { operation: operation.clone(), entry_point, chain_id };
        let AttestedKey { key_id, address, .. } = &self.key;
        let signed = self.network.sign(key_id, *address, &message, &self.ephemeral).await;
        Ok(signed.map_err(|source| self.refused(source))?.as_bytes())
    }

    async fn sign_routed_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
        session_key_manager: Address,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        let message = OperationMessage { operation: operation.clone(), entry_point, chain_id };
        let AttestedKey { key_id, address, .. } = &self.key;
        let signed =
            self.network.sign_routed(key_id, *address, session_key_manager, &message, &self.ephemeral).await;
        Ok(signed.map_err(|source| self.refused(source))?.as_bytes())
    }
}
