use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use quorate_core::UserOperation;
use zeroize::Zeroizing;

use crate::{AlloySessionKey, SIGNATURE_LEN, SessionSigner, SignerError};

/// A session key in this process's memory.
///
/// ```
/// use quorate_signer::{LocalSessionKey, SessionSigner};
///
/// let key = LocalSessionKey::random();
/// assert!(format!("{key:?}").contains(&key.address().to_string()));
/// ```
#[derive(Clone)]
pub struct LocalSessionKey(AlloySessionKey<PrivateKeySigner>);

impl LocalSessionKey {
    /// A fresh key from the system's randomness.
    pub fn random() -> Self {
        Self::new(PrivateKeySigner::random())
    }

    /// The key of an existing signer.
    pub const fn new(signer: PrivateKeySigner) -> Self {
        Self(AlloySessionKey::new(signer))
    }

    /// The key with this secret, 32 bytes; none where they are no private key.
    pub fn from_bytes(secret: &[u8; 32]) -> Option<Self> {
        PrivateKeySigner::from_slice(secret).ok().map(Self::new)
    }

    /// The secret, for storage under encryption.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.signer().to_bytes().0)
    }
}

#[async_trait]
impl SessionSigner for LocalSessionKey {
    fn address(&self) -> Address {
        self.0.address()
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

impl std::fmt::Debug for LocalSessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSessionKey({}, [redacted])", self.0.address())
    }
}
