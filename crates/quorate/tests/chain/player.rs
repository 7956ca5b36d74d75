//! An owner with an account of its own on a chain that serves all tests of a program.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use alloy_primitives::{Address, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolValue as _};
use quorate::{
    Call, Condition, FunctionSelector, Granted, HttpTransport, LocalSessionKey, Policy, Quorate, Rule,
    Session, SmartAccount,
};
use quorate_contracts::{Erc20, Erc721};
use quorate_devnet::Devnet;
use quorate_transport::TransportExt as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// One chain serves all tests; each has an account of its own.
static DEVNET: LazyLock<(Runtime, Devnet)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    let devnet = runtime.block_on(Devnet::builder(cache).start()).unwrap();
    (runtime, devnet)
});

pub(crate) struct Player {
    pub(crate) client: Quorate,
    pub(crate) owner: PrivateKeySigner,
    pub(crate) account: SmartAccount,
}

impl Player {
    pub(crate) async fn new() -> Self {
        Self::with(connect().await).await
    }

    pub(crate) async fn with(client: Quorate) -> Self {
        let owner = PrivateKeySigner::random();
        let account = client.account(owner.address(), 0);
        devnet().set_balance(account.address(), ether()).await.unwrap();
        Self { client, owner, account }
    }

    /// The same owner and account, with an empty store.
    pub(crate) async fn on_another_device(&self) -> Self {
        self.by(connect().await)
    }

    pub(crate) fn by(&self, client: Quorate) -> Self {
        let account = client.account(self.owner.address(), 0);
        Self { client, owner: self.owner.clone(), account }
    }

    pub(crate) async fn session(&self) -> Session {
        let key = LocalSessionKey::random();
        let granted = self.granted_to(&key).await;
        self.client.session(granted, Arc::new(key)).unwrap()
    }

    /// A new session with a key that is in the store alone.
    pub(crate) async fn granted(&self) -> Granted {
        self.granted_to(&LocalSessionKey::random()).await
    }

    pub(crate) async fn granted_to(&self, key: &LocalSessionKey) -> Granted {
        let grant = self.account.grant([self.mint_policy()]).unwrap();
        self.account.send(grant, key, &self.owner).await.unwrap().wait().await.unwrap()
    }

    /// Mint to the account itself.
    pub(crate) fn mint_policy(&self) -> Policy {
        mint_policy().with_rule(Rule::new(0, Condition::Equal, self.account.address())).unwrap()
    }

    pub(crate) fn mint(&self) -> Vec<u8> {
        mint(self.account.address())
    }

    /// Uses a session to mint.
    pub(crate) async fn mint_with(&self, session: &Session) {
        session.send(call(&self.mint())).await.unwrap().wait().await.unwrap();
    }

    pub(crate) async fn minted(&self) -> u64 {
        balance_of(self.account.address()).await
    }
}

/// A devnet for one test alone, whose services it makes err.
pub(crate) async fn another_devnet() -> Devnet {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    Devnet::builder(cache).start().await.unwrap()
}

/// The same with another chain id.
pub(crate) async fn another_chain(chain_id: u64) -> Devnet {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    Devnet::builder(cache).chain_id(chain_id).start().await.unwrap()
}

pub(crate) fn devnet() -> &'static Devnet {
    &DEVNET.1
}

pub(crate) fn ether() -> U256 {
    U256::from(10).pow(U256::from(18))
}

pub(crate) async fn connect() -> Quorate {
    Quorate::connect(devnet().rpc_url().clone(), devnet().bundler_url().clone()).await.unwrap()
}

pub(crate) fn mint_policy() -> Policy {
    Policy::new(nft(), FunctionSelector::parse("safeMint(address)").unwrap())
}

pub(crate) fn nft() -> Address {
    devnet().nft()
}

pub(crate) fn mint(to: Address) -> Vec<u8> {
    Erc721::safeMintCall { to }.abi_encode()
}

pub(crate) fn call(data: &[u8]) -> Call {
    Call::raw(nft(), data.to_vec())
}

pub(crate) async fn rpc(method: &str, params: Value) -> Value {
    let chain = HttpTransport::builder(devnet().rpc_url().clone()).build().unwrap();
    chain.call(method, params).await.unwrap()
}

pub(crate) async fn balance_of(owner: Address) -> u64 {
    let data = Bytes::from(Erc721::balanceOfCall { owner }.abi_encode());
    let answer = rpc("eth_call", json!([{ "to": nft(), "data": data }, "latest"])).await;
    let answer: Bytes = serde_json::from_value(answer).unwrap();
    Erc721::balanceOfCall::abi_decode_returns(&answer).unwrap().to()
}

/// Deploys an ERC-20 token, all of which `holder` has.
pub(crate) async fn token(holder: Address, supply: U256) -> Address {
    let artifact = devnet()
        .toolchain()
        .folder()
        .join("node_modules/@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json");
    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(artifact).unwrap()).unwrap();
    let creation: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
    let arguments = ("Gold".to_owned(), "GLD".to_owned(), supply, holder).abi_encode_params();
    let data = Bytes::from([creation.as_ref(), &arguments].concat());
    let from = &rpc("eth_accounts", json!([])).await[0];
    let hash = rpc("eth_sendTransaction", json!([{ "from": from, "data": data, "gas": "0x2dc6c0" }])).await;
    let mined = tokio::time::timeout(std::time::Duration::from_secs(120), mined(&hash)).await;
    let receipt = mined.expect("the token is in a block");
    receipt["contractAddress"].as_str().unwrap().parse().unwrap()
}

/// So many seconds from now, in seconds since 1970.
pub(crate) fn soon(seconds: u64) -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + seconds
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    DEVNET.0.block_on(test)
}

pub(crate) async fn token_balance(token: Address, account: Address) -> U256 {
    let data = Bytes::from(Erc20::balanceOfCall { account }.abi_encode());
    serde_json::from_value(rpc("eth_call", json!([{ "to": token, "data": data }, "latest"])).await).unwrap()
}

/// The receipt of a transaction, once it is in a block.
pub(crate) async fn mined(hash: &Value) -> Value {
    loop {
        let receipt = rpc("eth_getTransactionReceipt", json!([hash])).await;
        if !receipt.is_null() {
            return receipt;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
