use std::sync::Arc;
use std::time::Duration;

use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, ChainId, Signature, eip191_hash_message};
use alloy_signer::{Error, Signer, UnsupportedSignerOperation};
use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::answer::verify;
use crate::shared::{Patience, Shared};
use crate::state::Payload;

/// An owner whose wallet is in a browser: it signs what the page of its [`Approval`](crate::Approval) shows.
///
/// It signs messages (`personal_sign`) and typed data (`eth_signTypedData_v4`) that the program has given a review of
/// ([`Approval::review`](crate::Approval::review)), one after the other, and gives only signatures that are the owner's over
/// what was asked. It does not sign bare hashes, as no wallet does. Why there is no signature is an
/// [`ApprovalError`](crate::ApprovalError) in alloy's [`Error::Other`].
#[derive(Clone, Debug)]
pub struct BrowserSigner {
    shared: Arc<Shared>,
    patience: Patience,
}

impl BrowserSigner {
    pub(crate) const fn new(shared: Arc<Shared>, patience: Patience) -> Self {
        Self { shared, patience }
    }

    /// The same which waits so long for each signature; otherwise as long as its [`Approval`](crate::Approval) does.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Patience(patience);
        self
    }

    async fn ask(&self, payload: Payload, digest: B256) -> Result<Signature, Error> {
        let review = self.shared.state().reviewed(digest).map_err(Error::other)?;
        let owner = self.address();
        let signed = self.shared.ask(payload, review, self.patience, |answer| verify(owner, digest, answer));
        signed.await.map_err(Error::other)
    }
}

#[async_trait]
impl Signer for BrowserSigner {
    async fn sign_hash(&self, _hash: &B256) -> Result<Signature, Error> {
        Err(Error::UnsupportedOperation(UnsupportedSignerOperation::SignHash))
    }

    async fn sign_message(&self, message: &[u8]) -> Result<Signature, Error> {
        let digest = eip191_hash_message(message);
        self.ask(Payload::Message(message.to_vec().into()), digest).await
    }

    async fn sign_dynamic_typed_data(&self, payload: &TypedData) -> Result<Signature, Error> {
        let digest = payload.eip712_signing_hash()?;
        self.ask(Payload::TypedData(document(payload).map_err(Error::other)?), digest).await
    }

    fn address(&self) -> Address {
        self.shared.state().owner()
    }

    fn chain_id(&self) -> Option<ChainId> {
        Some(self.shared.state().chain().id())
    }

    /// The chain is the page's: it was named when that was begun.
    fn set_chain_id(&mut self, _chain_id: Option<ChainId>) {}
}

/// The document as wallets take it. They hash a domain without a type as an empty one, so its type is always among the types.
fn document(payload: &TypedData) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(payload)?;
    let domain = document.get("domain").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(types) = document.get_mut("types").and_then(Value::as_object_mut) {
        types.entry("EIP712Domain").or_insert_with(|| domain_type(&domain));
    }
    Ok(document)
}

/// EIP-712's order of a domain's fields.
const DOMAIN: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

fn domain_type(domain: &Map<String, Value>) -> Value {
    let there =
        DOMAIN.into_iter().filter(|(name, _)| domain.get(*name).is_some_and(|value| !value.is_null()));
    there.map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
}
