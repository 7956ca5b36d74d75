use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::Generate as _;
use quorate_core::{UserOperation, routed_hash, signing_hash};
use zeroize::Zeroizing;

use crate::{SIGNATURE_LEN, SessionSigner, SignerError};

/// A session key in this process's memory.
///
/// ```
/// use quorate_signer::{LocalSessionKey, SessionSigner};
///
/// let key = LocalSessionKey::random();
/// assert!(format!("{key:?}").contains(&key.address().to_string()));
/// ```
#[derive(Clone)]
pub struct LocalSessionKey {
    /// Its memory is overwritten when it is dropped.
    key: SigningKey,
    address: Address,
}

impl LocalSessionKey {
    /// A fresh key from the system's randomness.
    pub fn random() -> Self {
        Self::new(SigningKey::generate())
    }

    /// The key with this secret, 32 bytes; none where they are no private key.
    pub fn from_bytes(secret: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(secret).ok().map(Self::new)
    }

    fn new(key: SigningKey) -> Self {
        let public_key = key.verifying_key().to_sec1_point(false);
        // The first byte only says that both coordinates follow.
        let address = Address::from_raw_public_key(&public_key.as_bytes()[1..]);
        Self { key, address }
    }

    /// The secret, for storage under encryption.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }

    /// Signs a message of 32 bytes (EIP-191). The key's own signature is not verified again, which would take thrice the
    /// time of making it.
    fn sign(&self, hash: B256) -> [u8; SIGNATURE_LEN] {
        let (signature, recovery_id) = self.key.sign_prehash_recoverable(signing_hash(hash).as_slice());
        let mut bytes = [0; SIGNATURE_LEN];
        let (rs, v) = bytes.split_at_mut(64);
        rs.copy_from_slice(&signature.to_bytes());
        v.copy_from_slice(&[27 + u8::from(recovery_id.is_y_odd())]);
        bytes
    }
}

#[async_trait]
impl SessionSigner for LocalSessionKey {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        Ok(self.sign(operation.hash(entry_point, chain_id)))
    }

    async fn sign_routed_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
        session_key_manager: Address,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        Ok(self.sign(routed_hash(operation.hash(entry_point, chain_id), session_key_manager)))
    }
}

impl std::fmt::Debug for LocalSessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSessionKey({}, [redacted])", self.address)
    }
}
