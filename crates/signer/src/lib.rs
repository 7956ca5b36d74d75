#![doc = include_str!("../README.md")]

mod alloy;
mod local;
mod signature;

use alloy_primitives::Address;
use async_trait::async_trait;
use quorate_core::UserOperation;

pub use alloy::AlloySessionKey;
pub use local::LocalSessionKey;
pub use signature::{
    SIGNATURE_LEN, SignerError, normalize_signature, normalized, sign_as_owner, sign_typed_data,
    verify_signature,
};

/// Signs a session's user operations.
///
/// It is given the whole operation, not a hash: a signing network evaluates it before it signs.
#[async_trait]
pub trait SessionSigner: std::fmt::Debug + Send + Sync {
    /// The session key.
    fn address(&self) -> Address;

    /// The key's id at the signing network that holds it; none for a key held elsewhere.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// Signs the EIP-191 digest of the operation's hash: r ‖ s ‖ v, v 27 or 28, low s.
    ///
    /// # Errors
    /// The signer refuses, cannot be reached, or gives a signature that is not the session key's.
    async fn sign_user_operation(
        &self,
        operation: &UserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError>;

    /// Signs a batch for the batched session router: the EIP-191 digest of [`routed_hash`](quorate_core::routed_hash).
    ///
    /// # Errors
    /// As [`sign_user_operation`](Self::sign_user_operation); [`SignerError::NoBatches`] from signers that do not
    /// sign batches, as any does that says nothing else.
    async fn sign_routed_user_operation(
        &self,
        _operation: &UserOperation<Vec<u8>>,
        _entry_point: Address,
        _chain_id: u64,
        _session_key_manager: Address,
    ) -> Result<[u8; SIGNATURE_LEN], SignerError> {
        Err(SignerError::NoBatches { address: self.address() })
    }
}
