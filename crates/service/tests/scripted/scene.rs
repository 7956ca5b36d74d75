//! An owner with an account on a scripted chain, and a service for it.

use std::sync::Arc;

use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::testing::{ScriptedBundler, ScriptedChain};
use quorate::{
    Address, Condition, FunctionSelector, Granted, LocalSessionKey, MemoryStore, Policy, Quorate, Rule,
    SmartAccount, U256, sign_as_owner,
};
use quorate_contracts::Erc721::safeMintCall;
use quorate_service::{Permissions, ServiceConfig, TokenFile};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Bearer, Server, config, permissions};

pub(crate) const NFT: Address = Address::repeat_byte(0x4e);

pub(crate) struct Scene {
    pub(crate) chain: ScriptedChain,
    pub(crate) bundler: Arc<ScriptedBundler>,
    pub(crate) client: Quorate,
    pub(crate) owner: PrivateKeySigner,
    pub(crate) account: SmartAccount,
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let chain = ScriptedChain::new();
        let (node, bundler) = (chain.node(), chain.bundler());
        let client = Quorate::connect_by(chain.deployment(), node, bundler.clone()).await.unwrap();
        let client = client.with_store(Arc::new(MemoryStore::new())).with_unlimited_requests();
        let owner = PrivateKeySigner::random();
        let account = client.account(owner.address(), 0);
        chain.fund(account.address(), U256::from(10).pow(U256::from(18)));
        Self { chain, bundler, client, owner, account, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> ServiceConfig {
        config(self.client.clone(), vec![self.account.clone()], self.folder.path())
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::start(self.config()).await
    }

    /// A new token's secret.
    pub(crate) fn token(&self, name: &str, permissions: Permissions) -> String {
        let tokens = TokenFile::new(self.folder.path().join("tokens.toml"));
        tokens.add(name, permissions).unwrap().to_string()
    }

    /// A service, and somebody who may do everything.
    pub(crate) async fn served(&self) -> (Server, Bearer) {
        let server = self.serve().await;
        let secret = self.token("all", permissions(&["*"]));
        let bearer = server.bearer(&secret);
        (server, bearer)
    }

    pub(crate) fn policy(&self) -> Policy {
        let own = Rule::new(0, Condition::Equal, self.account.address());
        Policy::new(NFT, FunctionSelector::parse("safeMint(address)").unwrap()).with_rule(own).unwrap()
    }

    pub(crate) async fn granted(&self, batches: bool) -> Granted {
        let grant = self.account.grant([self.policy()]).unwrap();
        let grant = if batches { grant.with_batches() } else { grant };
        let pending = self.account.send(grant, &LocalSessionKey::random(), &self.owner).await.unwrap();
        pending.wait().await.unwrap()
    }

    /// The policies as a client gives them.
    pub(crate) fn policies(&self) -> Value {
        json!({ "for": "7 days", "allow": [{
            "contract": NFT,
            "function": "safeMint(address to)",
            "rules": [format!("to == {}", self.account.address())],
        }] })
    }

    pub(crate) fn mint(&self) -> Value {
        self.mint_to(self.account.address())
    }

    pub(crate) fn mint_to(&self, to: Address) -> Value {
        let data = alloy_primitives::hex::encode_prefixed(safeMintCall { to }.abi_encode());
        json!({ "to": NFT, "data": data })
    }

    pub(crate) fn send_calls(&self, id: Option<&str>, calls: &[Value]) -> Value {
        let mut request = json!({
            "version": "2.0.0",
            "from": self.account.address(),
            "chainId": format!("{:#x}", self.chain.chain_id()),
            "atomicRequired": calls.len() > 1,
            "calls": calls,
        });
        if let Some(id) = id {
            request["id"] = id.into();
        }
        json!([request])
    }

    /// How often the account has minted.
    pub(crate) fn minted(&self) -> usize {
        self.chain.executions().iter().filter(|execution| execution.to == NFT).count()
    }

    /// The owner's signature over a hash, as a wallet's `personal_sign` gives it.
    pub(crate) async fn sign(&self, hash: &Value) -> String {
        let hash = serde_json::from_value(hash.clone()).unwrap();
        alloy_primitives::hex::encode_prefixed(sign_as_owner(&self.owner, hash).await.unwrap())
    }
}
