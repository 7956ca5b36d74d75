use alloy_primitives::Address;
use alloy_signer::Signer;
use async_trait::async_trait;
use quorate_core::{UserOperation, routed_hash};

use crate::{SIGNATURE_LEN, SessionSigner, SignerError, sign_as_owner};

/// Any alloy [`Signer`] as the signer of a session: a key in a cloud's KMS, a hardware wallet, a remote signer.
///
/// It has the hash signed as a message (EIP-191); the signer does not see the operation. `Debug` shows the address only.
///
/// ```
/// use alloy_signer_local::PrivateKeySigner;
/// use quorate_signer::{AlloySessionKey, SessionSigner};
///
/// let signer = PrivateKeySigner::random();
/// let key = AlloySessionKey::new(signer.clone());
/// assert_eq!(SessionSigner::address(&key), signer.address());
/// assert_eq!(format!("{key:?}"), format!("AlloySessionKey({})", signer.address()));
/// ```
#[derive(Clone)]
pub struct AlloySessionKey<S>(S);

impl<S> AlloySessionKey<S> {
    /// The session key that this signer holds.
    pub const fn new(signer: S) -> Self {
        Self(signer)
    }

    /// The signer.
    pub const fn signer(&self) -> &S {
        &self.0
    }
}

#[async_trait]
impl<S: Signer + Send + Sync> SessionSigner for AlloySessionKey<S> {
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

    async fn sign_routed_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
        session_key_manager: Address,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        let hash = routed_hash(operation.hash(entry_point, chain_id), session_key_manager);
        sign_as_owner(&self.0, hash).await
    }
}

impl<S: Signer> std::fmt::Debug for AlloySessionKey<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlloySessionKey({})", self.0.address())
    }
}
