//! A chain that serves all tests of the program, and an owner with an account of its own for each.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use alloy_primitives::{B256, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use quorate::{
    Biconomy, HttpTransport, Options, Quorate, SealingKey, SigningNetwork, SqliteStore, sign_as_owner,
    sign_typed_data,
};
use quorate_contracts::Erc721::balanceOfCall;
use quorate_devnet::Devnet;
use quorate_service::ServiceConfig;
use quorate_transport::TransportExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::server::{Bearer, Server, config, permissions};

static DEVNET: LazyLock<(Runtime, Devnet)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    let devnet = runtime.block_on(Devnet::builder(cache).start()).unwrap();
    (runtime, devnet)
});

pub(crate) fn devnet() -> &'static Devnet {
    &DEVNET.1
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    DEVNET.0.block_on(test)
}

pub(crate) struct Stage {
    pub(crate) owner: PrivateKeySigner,
    pub(crate) secret: String,
    network: Option<SigningNetwork>,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn new(network: Option<SigningNetwork>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        SealingKey::create_file(folder.path().join("sealing.key")).unwrap();
        let tokens = quorate_service::TokenFile::new(folder.path().join("tokens.toml"));
        let secret = tokens.add("app", permissions(&["*"])).unwrap().to_string();
        Self { owner: PrivateKeySigner::random(), secret, network, folder }
    }

    /// Serves what is in the folder; another process would find it as it is.
    pub(crate) async fn serve(&self) -> (Server, Bearer) {
        let server = Server::start(self.config().await).await;
        let bearer = server.bearer(&self.secret);
        (server, bearer)
    }

    async fn config(&self) -> ServiceConfig {
        let folder = self.folder.path();
        let key = SealingKey::read_file(folder.join("sealing.key")).unwrap();
        let store = SqliteStore::open(folder.join("sessions.db"), key).await.unwrap();
        let client =
            Quorate::connect(devnet().rpc_url().clone(), devnet().bundler_url().clone()).await.unwrap();
        let mut client = client.with_store(Arc::new(store));
        if let Some(network) = &self.network {
            client = client.with_network(network.clone());
        }
        let service = HttpTransport::builder(devnet().paymaster_url().clone()).build().unwrap();
        let sponsor = Biconomy::new(Arc::new(service)).with_sponsor(devnet().verifying_paymaster());
        let account = client.account(self.owner.address(), 0);
        let account = account.with_options(Options::new().sponsored_by(&sponsor));
        ServiceConfig { network: self.network.clone(), ..config(client, vec![account], folder) }
    }

    /// What a policy file would say in JSON: the account may mint to itself.
    pub(crate) fn policies(&self, account: &str) -> Value {
        json!({ "for": "7 days", "allow": [{
            "contract": devnet().nft(),
            "function": "safeMint(address to)",
            "rules": [format!("to == {account}")],
        }] })
    }

    /// Grants a session through the service, signed by the owner.
    pub(crate) async fn grant(&self, app: &Bearer) -> Value {
        let account = account_of(app).await;
        let request = json!([{ "policies": self.policies(&account), "key": "store", "batches": true }]);
        let to_sign = app.ask("quorate_prepareGrant", request).await;
        self.submit_grant(app, &to_sign).await
    }

    pub(crate) async fn submit_grant(&self, app: &Bearer, to_sign: &Value) -> Value {
        let signature = self.sign(&to_sign["hash"]).await;
        let request = json!([{ "draft": to_sign["draft"], "signature": signature }]);
        let sent = app.ask("quorate_submitGrant", request).await;
        app.until_session_is(&sent["session"], "active").await;
        sent["session"].clone()
    }

    /// As `personal_sign`.
    pub(crate) async fn sign(&self, hash: &Value) -> String {
        let hash: B256 = serde_json::from_value(hash.clone()).unwrap();
        hex::encode_prefixed(sign_as_owner(&self.owner, hash).await.unwrap())
    }

    /// As `eth_signTypedData_v4`.
    pub(crate) async fn sign_typed_data(&self, to_sign: &Value) -> String {
        let document = serde_json::from_value(to_sign["typedData"].clone()).unwrap();
        let hash = serde_json::from_value(to_sign["hash"].clone()).unwrap();
        let signature = sign_typed_data(&self.owner, &document, hash).await.unwrap();
        hex::encode_prefixed(signature.as_bytes())
    }
}

pub(crate) async fn account_of(app: &Bearer) -> String {
    app.ask("eth_accounts", json!([])).await[0].as_str().unwrap().to_owned()
}

/// How many tokens an account has.
pub(crate) async fn minted(account: &str) -> U256 {
    use alloy_sol_types::SolCall as _;

    let call = balanceOfCall { owner: account.parse().unwrap() };
    let request = json!({ "to": devnet().nft(), "data": hex::encode_prefixed(call.abi_encode()) });
    let chain = HttpTransport::builder(devnet().rpc_url().clone()).build().unwrap();
    let answer: String = chain.call("eth_call", (request, "latest")).await.unwrap();
    balanceOfCall::abi_decode_returns(&hex::decode(answer).unwrap()).unwrap()
}
