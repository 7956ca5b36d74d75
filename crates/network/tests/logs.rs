//! What client, gateway and nodes log: one name for a request in all of them, and little of what strangers choose.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::{SinkExt as _, StreamExt as _};
use local::{ACCOUNT, LocalNetwork, mint_with_nonce, permissions};
use quorate_network::SigningNetwork;
use quorate_node::NodeConfig;
use quorate_node::adversary::{BadNode, Misbehaviour};
use quorate_protocol::socket_url;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tracing_subscriber::filter::LevelFilter;

/// What is logged by this process, which is all there is.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Tests read the log one after the other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Log {
    /// Logs as the program does, but for the refusals, which it tells only if it is asked to.
    fn begin() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG);
            subscriber.with_writer(move || writer.clone()).json().with_span_list(false).init();
            log
        });
        log.0.lock().unwrap().clear();
        log.clone()
    }

    /// The lines of our own crates so far, whole ones only.
    fn lines(&self) -> Vec<(Value, usize)> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(|line| (serde_json::from_str::<Value>(line).unwrap(), line.len()));
        lines.filter(|(line, _)| line["target"].as_str().unwrap().starts_with("quorate_")).collect()
    }

    /// What signatures are called by those whose lines begin with this target.
    fn signatures(&self, target: &str) -> BTreeSet<String> {
        let lines = self.lines().into_iter().map(|(line, _)| line);
        let of_target = lines.filter(|line| line["target"].as_str().unwrap().starts_with(target));
        let of_signatures = of_target.filter(|line| line["span"]["operation"] == "signgen");
        of_signatures.filter_map(|line| Some(line["span"]["request"].as_str()?.to_owned())).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gateway_and_nodes_call_a_request_by_one_name() {
    let _turn = TURN.lock().await;
    let network = LocalNetwork::start().await;
    let session = network.key(permissions).await;
    let log = Log::begin();
    session.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap();

    let client = log.signatures("quorate_network");
    assert_eq!(client.len(), 1, "one request: {client:?}");
    assert_eq!(log.signatures("quorate_node::gateway"), client);
    // The signers other than the one that answered first may still be about to tell.
    assert_eq!(log.signatures("quorate_node::node"), client);
    // Before there is a challenge the connection has a name, which the client gives it.
    let connections = |target: &str| -> BTreeSet<String> {
        let lines = log.lines().into_iter().map(|(line, _)| line);
        let of_target = lines.filter(|line| line["target"].as_str().unwrap().starts_with(target));
        of_target.filter_map(|line| Some(line["span"]["connection"].as_str()?.to_owned())).collect()
    };
    assert_eq!(connections("quorate_network").len(), 1);
    assert_eq!(connections("quorate_node::gateway"), connections("quorate_network"));
}

/// Sends a client's frames as they come, and waits for the end.
async fn send(client: &SigningNetwork, path: &str, frames: &[String]) {
    let url = socket_url(&client.descriptor().gateways()[0], path);
    let mut request = url.as_str().into_client_request().unwrap();
    let name = "x".repeat(4096) + "{\"level\":\"ERROR\"}";
    request.headers_mut().insert("x-request-id", HeaderValue::try_from(name).unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for frame in frames {
        if socket.send(Message::Text(frame.into())).await.is_err() {
            break;
        }
    }
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_choose_fills_no_log() {
    const TIMES: usize = 40;
    let _turn = TURN.lock().await;
    let mut network = LocalNetwork::start().await;
    let session = network.key(permissions).await;
    network.stop(5).await;
    let config = NodeConfig::load(&network.home(5).join("node.toml")).unwrap();
    let bad = BadNode::start(config, Misbehaviour::Junk).await.unwrap();
    network.until_ready().await;

    let log = Log::begin();
    let client = network.client();
    let noise = "\u{1b}[31m\n\"\\\u{202e}".repeat(10_000);
    let unknown_key = json!({ "t": 3, "key_id": "0f".repeat(32), "message": "e30=" }).to_string();
    for _ in 0..TIMES {
        send(&client, "signgen", &[json!({ noise.as_str(): 1 }).to_string()]).await;
        send(&client, "signgen", &[json!({ "t": 3, "key_id": noise, "message": "" }).to_string()]).await;
        send(&client, "signgen", &[unknown_key.clone(), json!({ "method": noise }).to_string()]).await;
        send(&client, "signgen", &[noise.repeat(5)]).await;
        send(&client, "ephemeralKeys", &[json!({ noise.as_str(): 1 }).to_string()]).await;
    }
    for nonce in 0..5 {
        session.sign(&mint_with_nonce(ACCOUNT, nonce)).await.unwrap();
    }
    bad.stop().await;

    let lines = log.lines();
    for (line, bytes) in &lines {
        let fields = line["fields"].to_string();
        assert!(*bytes <= 700 && fields.len() <= 300, "{bytes} bytes: {line}");
    }
    let told: Vec<_> = lines.iter().filter(|(line, _)| line["level"] != "DEBUG").collect();
    let bytes: usize = told.iter().map(|(_, bytes)| bytes).sum();
    // 5 signatures, each told by gateway and signers, and what is told at most so many times in ten seconds.
    assert!(bytes < 32 * 1024, "{bytes} bytes in {} lines: {told:#?}", told.len());
    let refused = lines.iter().filter(|(line, _)| line["fields"]["message"] == "refused").count();
    assert!(refused >= 4 * TIMES, "{refused} refusals are told to whoever asks for them");
}
