use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use quorate_core::UserOperation;

use crate::{SIGNATURE_LEN, SessionSigner, SignerError, sign_as_owner};

/// A session key in this process's memory.
///
/// ```
/// use quorate_signer::{LocalSessionKey, SessionSigner};
///
/// let key = LocalSessionKey::random();
/// assert!(format!("{key:?}").contains(&key.address().to_string()));
/// ```
#[derive(Clone)]
pub struct LocalSessionKey(PrivateKeySigner);

impl LocalSessionKey {
    /// A fresh key from the system's randomness.
    pub fn random() -> Self {
        Self(PrivateKeySigner::random())
    }

    /// The key of an existing signer.
    pub const fn new(signer: PrivateKeySigner) -> Self {
        Self(signer)
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
        sign_as_owner(&self.0, operation.hash(entry_point, chain_id)).await
    }
}

impl std::fmt::Debug for LocalSessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSessionKey({}, [redacted])", self.0.address())
    }
}
