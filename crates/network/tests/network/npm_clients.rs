//! The unmodified npm clients of the wallet-provider protocol, run by Node.js against five nodes and a gateway.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::local::{ACCOUNT, CHAIN, ENTRY_POINT, LocalNetwork, mint_to, permissions};
use alloy_primitives::{Address, hex};
use alloy_signer_local::PrivateKeySigner;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_devnet::{Quiet, Toolchain};
use quorate_network::EphemeralKey;
use quorate_protocol::{OperationMessage, address_of};
use quorate_signer::verify_signature;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

/// What both clients' promises are rejected with when the socket closes early: they look at no close reason.
const REJECTED: &str = "Incorrect protocol state";

/// These clients wait for 20 s at most and try nothing again, so that one network at a time has the machine.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// 0.1.0 as the account SDK uses it: a bare ephemeral key, no key is ever added.
#[tokio::test(flavor = "multi_thread")]
async fn client_0_1_0_makes_a_key_and_signs() {
    let _machine = MACHINE.lock().await;
    let network = LocalNetwork::start_stocked().await;
    let client = Client::new(&network, "0.1.0").await;

    let key = client.make_key(Some(&permissions(&client.owner).to_json())).await;
    key.check(&client.sign(&key, &mint_to(ACCOUNT)).await.resolved(), &mint_to(ACCOUNT));
    let reason = client.sign(&key, &mint_to(Address::repeat_byte(0xcc))).await.refused();
    for part in ["policy 0 forbids the call: rule 0", "cccc", "aaaa"] {
        assert!(reason.contains(part), "{reason}");
    }
    let reason = client.with_other_ephemeral_key().sign(&key, &mint_to(ACCOUNT)).await.refused();
    assert!(reason.contains("the ephemeral key is not registered for key"), "{reason}");

    // To the account SDK "no permissions" means that everything is allowed; here it means nothing.
    let bare = client.make_key(None).await;
    let reason = client.sign(&bare, &mint_to(ACCOUNT)).await.refused();
    assert!(reason.contains("the key was made without permissions, so it signs nothing"), "{reason}");

    let foreign = permissions(&PrivateKeySigner::random()).to_json();
    let reason = client.run("keygen", json!({ "permissions": foreign })).await.refused();
    assert!(reason.starts_with("the permissions are for another owner: 0x"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_0_3_0_makes_a_key_signs_and_adds_an_ephemeral_key() {
    let _machine = MACHINE.lock().await;
    let mut network = LocalNetwork::start_stocked().await;
    let client = Client::new(&network, "0.3.0").await;

    let key = client.make_key(Some(&permissions(&client.owner).to_json())).await;
    key.check(&client.sign(&key, &mint_to(ACCOUNT)).await.resolved(), &mint_to(ACCOUNT));
    let reason = client.sign(&key, &mint_to(Address::repeat_byte(0xcc))).await.refused();
    assert!(reason.contains("policy 0 forbids the call: rule 0"), "{reason}");

    let second = client.with_other_ephemeral_key();
    let reason = second.sign(&key, &mint_to(ACCOUNT)).await.refused();
    assert!(reason.contains("the ephemeral key is not registered for key"), "{reason}");
    let thief = Client { owner: PrivateKeySigner::random(), ..second.clone() };
    let reason = thief.add_ephemeral_key(&key).await.refused();
    assert!(reason.contains(&format!("belongs to {}", client.owner.address())), "{reason}");
    second.sign(&key, &mint_to(ACCOUNT)).await.refused();

    assert_eq!(second.add_ephemeral_key(&key).await.resolved(), json!({ "status": "registered" }));
    network.stop(2).await;
    network.stop(5).await;
    for asking in [&second, &client] {
        key.check(&asking.sign(&key, &mint_to(ACCOUNT)).await.resolved(), &mint_to(ACCOUNT));
    }
    let reason = client.run("keygen", json!({})).await.refused();
    assert_eq!(reason, "5 nodes are needed and 3 are ready; missing: 2, 5");
}

/// What our own client refuses: no node attests to this key, which is the gateway's alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_takes_a_key_that_the_gateway_made_for_itself() {
    let _machine = MACHINE.lock().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let own = PrivateKeySigner::random();
    let public_key = hex::encode(own.credential().verifying_key().to_sec1_bytes());
    let answer = format!("keyId={}:publicKey={public_key}", "0a".repeat(32));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            for frame in ["0b".repeat(32), answer.clone()] {
                socket.next().await.unwrap().unwrap();
                socket.send(frame.into()).await.unwrap();
            }
        }
    });
    for version in ["0.1.0", "0.3.0"] {
        let client = Client::of(url.clone(), version).await;
        let key = client.make_key(Some(&permissions(&client.owner).to_json())).await;
        assert_eq!(key.address, own.address(), "{version}");
    }
}

/// One version of the client, with its owner's wallet and its ephemeral key.
#[derive(Clone)]
struct Client {
    version: &'static str,
    toolchain: Toolchain,
    url: String,
    owner: PrivateKeySigner,
    ephemeral: String,
}

/// A key as the client was told of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    key_id: String,
    public_key: String,
    address: Address,
}

#[derive(Deserialize)]
struct Outcome {
    value: Option<Value>,
    error: Option<String>,
    close: Option<Close>,
}

#[derive(Deserialize)]
struct Close {
    code: u16,
    reason: String,
}

impl Client {
    async fn new(network: &LocalNetwork, version: &'static str) -> Self {
        let gateway = network.client().descriptor().gateways()[0].to_string();
        Self::of(gateway.trim_end_matches('/').to_owned(), version).await
    }

    /// A client of the gateway at a URL.
    async fn of(url: String, version: &'static str) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
        let toolchain = Toolchain::install(&cache, &Quiet).await.unwrap();
        Self { version, toolchain, url, owner: PrivateKeySigner::random(), ephemeral: random_ephemeral_key() }
    }

    fn with_other_ephemeral_key(&self) -> Self {
        Self { ephemeral: random_ephemeral_key(), ..self.clone() }
    }

    async fn make_key(&self, permissions: Option<&str>) -> Key {
        let key = self.run("keygen", json!({ "permissions": permissions })).await.resolved();
        let key: Key = serde_json::from_value(key).unwrap();
        let public_key = hex::decode_to_array(&key.public_key).unwrap();
        assert_eq!(address_of(&public_key), Some(key.address));
        key
    }

    async fn sign(&self, key: &Key, message: &OperationMessage) -> Outcome {
        self.run("sign", json!({ "keyId": key.key_id, "message": message.to_json() })).await
    }

    async fn add_ephemeral_key(&self, key: &Key) -> Outcome {
        self.run("addEphemeralKey", json!({ "keyId": key.key_id })).await
    }

    async fn run(&self, operation: &str, mut job: Value) -> Outcome {
        job["client"] = self.version.into();
        job["operation"] = operation.into();
        job["url"] = self.url.clone().into();
        job["owner"] = hex::encode_prefixed(self.owner.to_bytes()).into();
        job["ephemeral"] = self.ephemeral.clone().into();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm_clients/client.mjs");
        let mut node = Command::new("node");
        node.arg(script).arg(self.toolchain.folder()).arg(job.to_string());
        node.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), node.output()).await;
        let output = output.expect("the client comes to an end within 120 s").unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Outcome {
    fn resolved(self) -> Value {
        let Self { value, error, close } = self;
        value.unwrap_or_else(|| panic!("{error:?}, closed with {:?}", close.map(|close| close.reason)))
    }

    /// The reason that a browser or an application finds in the socket's close.
    fn refused(self) -> String {
        let close = self.close.unwrap_or_else(|| panic!("not refused: {:?}", self.value));
        assert_eq!(self.error.as_deref(), Some(REJECTED));
        assert_eq!(close.code, 1008, "{}", close.reason);
        close.reason
    }
}

impl Key {
    /// Checks the client's result as the account's module would.
    fn check(&self, result: &Value, message: &OperationMessage) {
        let r_and_s: [u8; 64] = hex::decode_to_array(result["sign"].as_str().unwrap()).unwrap();
        let v = 27 + u8::try_from(result["recid"].as_u64().unwrap()).unwrap();
        let mut signature = [v; 65];
        signature[..64].copy_from_slice(&r_and_s);
        verify_signature(self.address, message.operation.hash(ENTRY_POINT, CHAIN), &signature).unwrap();
    }
}

fn random_ephemeral_key() -> String {
    hex::encode_prefixed(EphemeralKey::random().unwrap().to_bytes().as_slice())
}
