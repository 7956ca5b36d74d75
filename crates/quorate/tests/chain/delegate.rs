//! Keys to which something is delegated, and what they are reached by.

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, Signature, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use async_trait::async_trait;
use quorate::delegation::DelegateSigner;
use quorate::{DistributedSigner, EphemeralKey, HttpTransport, Transport, TransportError};
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::Call;
use quorate_protocol::{Subject, Target};
use quorate_transport::Repeat;
use serde_json::Value;
use url::Url;

use crate::local::{LocalNetwork, claim, sign};
use crate::player::devnet;

/// A key of the network that signs nothing yet.
pub(crate) async fn key(network: &LocalNetwork, owner: &PrivateKeySigner) -> DistributedSigner {
    let (client, ephemeral) = (network.client(), EphemeralKey::random().unwrap());
    let draft = client.prepare_key_without_permissions(owner.address(), &claim(&ephemeral)).await.unwrap();
    let key = client.submit_key(&draft, sign(owner, &draft)).await.unwrap();
    DistributedSigner::new(client, key, ephemeral)
}

pub(crate) async fn permit(
    network: &LocalNetwork,
    key: &DistributedSigner,
    owner: &PrivateKeySigner,
    target: Target,
) {
    let client = network.client();
    let pending = client.prepare_permit(owner.address(), &key.key().key_id, &target).await.unwrap();
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(owner.sign_hash_sync(&digest).unwrap()).await.unwrap();
}

pub(crate) fn mint_to(recipient: Address) -> Vec<u8> {
    safeMintCall { to: recipient }.abi_encode()
}

pub(crate) fn mint(data: &[u8]) -> Call<'_> {
    Call { to: devnet().nft(), value: U256::ZERO, data }
}

/// A key in this process.
#[derive(Debug)]
pub(crate) struct LocalKey(pub(crate) PrivateKeySigner);

#[async_trait]
impl DelegateSigner for LocalKey {
    fn address(&self) -> Address {
        self.0.address()
    }

    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.sign_hash_sync(&subject.digest(None))?)
    }
}

/// What is lost of the next one that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loses {
    Nothing,
    /// Who it is sent to never gets it.
    Request,
    /// They get it, and their answer is lost.
    Answer,
}

#[derive(Debug)]
pub(crate) struct Wire {
    server: Arc<HttpTransport>,
    /// The method by which it is sent.
    sends: &'static str,
    loses: Mutex<Loses>,
}

impl Wire {
    pub(crate) fn new(url: &Url, sends: &'static str) -> Self {
        let server = Arc::new(HttpTransport::builder(url.clone()).build().unwrap());
        Self { server, sends, loses: Mutex::new(Loses::Nothing) }
    }

    pub(crate) fn loses(&self, next: Loses) {
        *self.loses.lock().unwrap() = next;
    }
}

#[async_trait]
impl Transport for Wire {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let loses = if method == self.sends {
            std::mem::replace(&mut *self.loses.lock().unwrap(), Loses::Nothing)
        } else {
            Loses::Nothing
        };
        if loses != Loses::Request {
            let answer = self.server.request(method, params, repeat).await?;
            if loses == Loses::Nothing {
                return Ok(answer);
            }
        }
        Err(TransportError::Http {
            method: method.to_owned(),
            endpoint: self.server.endpoint().clone(),
            status: 502,
        })
    }
}

pub(crate) fn node() -> Arc<HttpTransport> {
    Arc::new(HttpTransport::builder(devnet().rpc_url().clone()).build().unwrap())
}
