//! What a client that nobody knows can do to a network: send the largest and the oddest frames there are. All nodes stay
//! connected throughout, and sign afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{SinkExt as _, StreamExt as _};
use local::{ACCOUNT, LocalNetwork, claim, free_address, mint_to, permissions, resident_megabytes};
use quorate_network::{EphemeralKey, Refusal};
use quorate_node::{ClientLimits, Gateway, GatewayConfig, init};
use quorate_protocol::{Answer, SUBPROTOCOL, ShortText, SignedRequest};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_util::sync::CancellationToken;

/// Tests that hold the machine or measure its memory have it one after the other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PATHS: [&str; 3] = ["keygen", "signgen", "addEphemeralKey"];

/// A frame that is sent once the one before it was answered.
type Frames = Vec<Message>;

fn text(text: impl Into<String>) -> Message {
    Message::text(text.into())
}

/// As long as a setup may be, and made so that whoever names what is wrong in it repeats most of it.
fn echoing_setup() -> String {
    let frame = r#"{"":0}"#.len();
    format!(r#"{{"{}":0}}"#, "A".repeat(SignedRequest::MAX_SETUP - frame))
}

/// A setup that can be read, at one of the gateway's doors.
fn readable_setup(path: &str) -> String {
    let ephemeral = claim(&EphemeralKey::random().unwrap()).to_json();
    let key = "7e".repeat(32);
    let (claim, key_id) = (json!({ "tag": 2, "value": ephemeral }), json!({ "tag": 3, "value": key }));
    match path {
        "keygen" => json!({ "t": 3, "n": 5, "metadata": [claim] }),
        "signgen" => json!({ "t": 3, "key_id": key, "message": "e30=" }),
        _ => json!({ "n": 5, "key_id": key, "metadata": [claim, key_id] }),
    }
    .to_string()
}

/// The same, as long as it may be where a setup may be long.
fn longest_readable_setup(path: &str) -> String {
    let setup = readable_setup(path);
    let message = "e30=".to_owned();
    let room = (SignedRequest::MAX_SETUP - setup.len()) / 4 * 4;
    setup.replace(&message, &format!("{}{message}", "ICAg".repeat(room / 4)))
}

/// What a client sends that would be the most for everyone, and what is none of the protocol's.
fn attacks(path: &str) -> Vec<(&'static str, Frames)> {
    let setup = || "s".repeat(SignedRequest::MAX_SETUP);
    let authentication = || "a".repeat(SignedRequest::MAX_AUTHENTICATION);
    let nested = "[".repeat(SignedRequest::MAX_SETUP);
    vec![
        ("the most of both", vec![text(setup()), text(authentication())]),
        ("the most that can be read", vec![text(longest_readable_setup(path)), text(authentication())]),
        ("a setup that is repeated", vec![text(echoing_setup()), text(authentication())]),
        ("a nested setup", vec![text(nested), text("{}")]),
        ("a setup that is one byte too long", vec![text(format!("{}s", setup()))]),
        (
            "an authentication that is one byte too long",
            vec![text(readable_setup(path)), text(format!("{}a", authentication()))],
        ),
        ("a frame of two mebibytes", vec![text("s".repeat(2 << 20))]),
        ("a frame that is no text", vec![Message::binary(vec![0xff; SignedRequest::MAX_SETUP])]),
        ("an authentication that is none", vec![text(readable_setup(path)), text(authentication())]),
        ("nothing", vec![text("")]),
        ("nothing after a setup", vec![text(readable_setup(path)), Message::Close(None)]),
    ]
}

/// Sends the frames to one of the gateway's doors, and gives the last answer that is one.
async fn attack(network: &LocalNetwork, path: &str, frames: Frames) -> Option<Answer> {
    let client = network.client();
    let mut url = client.descriptor().gateways()[0].clone();
    url.set_path(path);
    let mut request = url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut last = None;
    for frame in frames {
        if socket.send(frame).await.is_err() {
            break;
        }
        match socket.next().await {
            Some(Ok(Message::Text(answer))) => last = Answer::from_json(&answer).ok(),
            _ => break,
        }
    }
    last
}

/// C2: one anonymous socket and two frames took all five nodes away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_of_a_client_s_disconnects_a_node() {
    let _turn = TURN.lock().await;
    let network = Arc::new(LocalNetwork::start().await);
    let key = network.key(permissions).await;
    let (fewest, is_over) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicBool::new(false)));
    let watch = tokio::spawn({
        let (network, fewest, is_over) = (Arc::clone(&network), Arc::clone(&fewest), Arc::clone(&is_over));
        async move {
            while !is_over.load(Ordering::Relaxed) {
                fewest.fetch_min(network.health().await.unwrap_or_default(), Ordering::Relaxed);
            }
        }
    });
    for path in PATHS {
        for (what, frames) in attacks(path) {
            let answer = attack(&network, path, frames).await;
            if let Some(Answer::Refused(refusal)) = &answer {
                assert!(refusal.to_string().len() < 3 * ShortText::MAX_LEN, "{what}: the answer is short");
            }
            if what.contains("too long") {
                let is_named = matches!(answer, Some(Answer::Refused(Refusal::TooLong { .. })));
                assert!(is_named, "{what} at {path}: {answer:?}");
            }
            assert_eq!(network.health().await, Some(5), "after {what} at {path}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    watch.await.unwrap();
    assert_eq!(fewest.load(Ordering::Relaxed), 5, "at no moment");
    key.sign(&mint_to(ACCOUNT)).await.unwrap();
}

/// A gateway without nodes, and the folder that its network is in.
async fn gateway(change: impl FnOnce(&mut GatewayConfig)) -> (SocketAddr, TempDir) {
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    init(folder.path(), 3, 5, address, 0, None).unwrap();
    let mut config = GatewayConfig::load(&folder.path().join("gateway/gateway.toml")).unwrap();
    change(&mut config);
    tokio::spawn(Gateway::open(config).await.unwrap().serve(CancellationToken::new()));
    (address, folder)
}

#[tokio::test]
async fn an_address_with_too_many_sockets_is_told_to_come_later_by_a_close_and_no_frame() {
    let limits = ClientLimits { sockets: 1, loopback: true, ..ClientLimits::default() };
    let (address, _folder) = gateway(|config| config.limits = limits).await;
    let url = format!("ws://{address}/signgen");
    let (mut first, _) = connect_async(&url).await.unwrap();
    let close = async || {
        let (mut socket, _) = connect_async(&url).await.unwrap();
        match socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => u16::from(frame.code),
            other => panic!("{other:?}"),
        }
    };
    // The first socket counts once the gateway has got to it.
    first.send(Message::Ping(Vec::new().into())).await.unwrap();
    assert!(matches!(first.next().await, Some(Ok(Message::Pong(_)))));
    assert_eq!(close().await, 1013);
}

/// Ten thousand sockets that say nothing, or as many as this process may open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sockets_of_one_address_take_no_place_of_nodes_or_of_other_clients() {
    let _turn = TURN.lock().await;
    let idle = (descriptors() / 2).saturating_sub(500).min(10_000);
    let network = LocalNetwork::start_with(|config| config.limits.loopback = true).await;
    let key = network.key(permissions).await;
    let before = resident_megabytes();
    let gateway = network.client().descriptor().gateways()[0].socket_addrs(|| None).unwrap()[0];
    let mut sockets = Vec::new();
    for _ in 0..idle {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // At no address that is another program's.
        socket.bind("127.99.0.1:0".parse().unwrap()).unwrap();
        sockets.push(socket.connect(gateway).await.unwrap());
    }
    let refused = sockets.last_mut().unwrap().read(&mut [0; 64]).await.unwrap();
    assert_eq!(refused, 0, "closed at once: one that waits for a request is told that it was late");
    assert_eq!(network.health().await, Some(5), "with {idle} idle sockets");
    key.sign(&mint_to(ACCOUNT)).await.unwrap();
    let grown = resident_megabytes().saturating_sub(before);
    assert!(grown < 100, "{grown} MB for {idle} idle sockets");
}

/// How many descriptors this process may have; as many as it can are allowed.
fn descriptors() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    usize::try_from(most).unwrap()
}

#[tokio::test]
async fn nodes_come_by_a_listener_of_their_own_if_there_is_one() {
    let for_nodes = free_address();
    let (for_clients, _folder) = gateway(|config| config.listen_nodes = Some(for_nodes)).await;
    let is_served =
        async |address: SocketAddr, path: &str| connect_async(format!("ws://{address}/{path}")).await.is_ok();
    assert!(is_served(for_nodes, "node").await);
    assert!(is_served(for_clients, "signgen").await);
    assert!(!is_served(for_clients, "node").await);
    assert!(!is_served(for_nodes, "signgen").await);
}
