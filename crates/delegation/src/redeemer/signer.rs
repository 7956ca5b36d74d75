use alloy_primitives::{Address, Signature};
use async_trait::async_trait;
use quorate_protocol::Subject;

/// A key to which something is delegated.
#[async_trait]
pub trait DelegateSigner: std::fmt::Debug + Send + Sync {
    /// The key's address.
    fn address(&self) -> Address;

    /// Signs the 32 bytes of what it is given whole: a network's nodes judge it first.
    ///
    /// # Errors
    /// The signer refuses, cannot be reached, or gives a signature that is not the key's.
    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>>;
}

#[cfg(feature = "network")]
#[async_trait]
impl DelegateSigner for quorate_network::DistributedSigner {
    fn address(&self) -> Address {
        self.key().address
    }

    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.sign_subject(subject).await?)
    }
}
