//! Who is let in, how much is taken, and what JSON-RPC's frames are answered with.

use std::num::NonZeroU32;

use quorate::testing::Fault;
use quorate_service::{Permissions, ServiceConfig, ServiceLimits, TokenFile};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::server::Server;

fn chain_id(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId" })
}

#[tokio::test]
async fn nobody_without_a_token_is_let_in_and_a_removed_token_is_none() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let (status, answer) =
        server.bearer("quorate_0000").send(server.bearer("x").post().json(&chain_id(1))).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!(4100)));
    let bare = reqwest::Client::new().post(&server.url).json(&chain_id(1)).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bare.headers()["www-authenticate"], "Bearer");

    let send = || app.send(app.post().json(&chain_id(1)));
    assert_eq!(send().await.0, StatusCode::OK);
    TokenFile::new(scene.folder.path().join("tokens.toml")).remove("all").unwrap();
    assert_eq!(send().await.0, StatusCode::UNAUTHORIZED);
    server.shutdown().await;
}

#[tokio::test]
async fn names_and_pages_that_are_not_listed_are_refused() {
    let scene = Scene::new().await;
    let origins = vec!["https://app.example".to_owned()];
    let server = Server::start(ServiceConfig { origins, ..scene.config() }).await;
    let app = server.bearer(&scene.token("app", Permissions::default()));
    let rebound = app.post().header(HOST, "evil.example").json(&chain_id(1));
    assert_eq!(app.send(rebound).await.0, StatusCode::MISDIRECTED_REQUEST);
    let page = |origin: &str| app.post().header(ORIGIN, origin).json(&chain_id(1));
    assert_eq!(app.send(page("https://evil.example")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.send(page("null")).await.0, StatusCode::FORBIDDEN);
    let listed = page("https://app.example").send().await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
    assert_eq!(listed.headers()["access-control-allow-origin"], "https://app.example");
    // The document needs no token, and the same names.
    let document =
        |host: &str| reqwest::Client::new().get(format!("{}/openrpc.json", server.url)).header(HOST, host);
    assert_eq!(app.send(document("evil.example")).await.0, StatusCode::MISDIRECTED_REQUEST);
    server.shutdown().await;
}

#[tokio::test]
async fn frames_are_those_of_json_rpc() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let send = async |body: Value| app.send(app.post().json(&body)).await;

    // A batch is answered in part: a notification not at all, what is no request with an error.
    let notification = json!({ "jsonrpc": "2.0", "method": "eth_chainId" });
    let (status, answer) =
        send(json!([chain_id(1), notification, 5, { "jsonrpc": "2.0", "id": "b", "method": "no" }])).await;
    assert_eq!((status, answer.as_array().unwrap().len()), (StatusCode::OK, 3), "{answer}");
    assert_eq!((&answer[0]["id"], &answer[1]["error"]["code"]), (&json!(1), &json!(-32600)));
    assert_eq!((&answer[2]["id"], &answer[2]["error"]["code"]), (&json!("b"), &json!(-32601)));
    for silent in [notification.clone(), json!([notification])] {
        assert_eq!(send(silent).await, (StatusCode::NO_CONTENT, Value::Null));
    }
    assert_eq!(send(json!([])).await.1["error"]["code"], -32600);
    let many: Vec<_> = (0..21).map(chain_id).collect();
    assert_eq!(send(json!(many)).await.1["error"]["code"], -32600);
    let (_, answer) = app.send(app.post().header(CONTENT_TYPE, "application/json").body("{")).await;
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null));
    let (status, _) =
        app.send(app.post().header(CONTENT_TYPE, "text/plain").body(chain_id(1).to_string())).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.shutdown().await;
}

#[tokio::test]
async fn no_more_is_taken_than_the_limits_say() {
    let scene = Scene::new().await;
    let limits = ServiceLimits {
        body_bytes: 1000,
        requests_per_second: NonZeroU32::new(3).unwrap(),
        ..ServiceLimits::default()
    };
    let server = Server::start(ServiceConfig { limits, ..scene.config() }).await;
    let app = server.bearer(&scene.token("app", Permissions::default()));
    let other = server.bearer(&scene.token("other", Permissions::default()));
    let large = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": ["x".repeat(1000)] });
    assert_eq!(app.send(app.post().json(&large)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    // A batch counts by what is in it: more than fits into any second never does.
    let four: Vec<_> = (0..4).map(chain_id).collect();
    let (status, answer) = app.send(app.post().json(&four)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!(-32005)));
    let three: Vec<_> = (0..3).map(chain_id).collect();
    assert_eq!(app.send(app.post().json(&three)).await.0, StatusCode::OK);
    assert_eq!(other.send(other.post().json(&three)).await.0, StatusCode::OK, "each token has its own");
    server.shutdown().await;
}

/// One request waits for a bundler that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_requests_are_answered_at_once_and_those_under_way_to_the_end() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (held, gate) = (tokio::sync::oneshot::channel::<()>(), std::sync::mpsc::channel::<()>());
    let (entered, entering) = held;
    let (open, opened) = gate;
    let state = std::sync::Mutex::new(Some((entered, opened)));
    scene.bundler.on_request(move |method, _| {
        if method == "eth_sendUserOperation"
            && let Some((entered, opened)) = state.lock().unwrap().take()
        {
            let _ = entered.send(());
            tokio::task::block_in_place(|| opened.recv().unwrap());
        }
        None::<Fault>
    });
    let limits = ServiceLimits { requests_at_once: 1, ..scene.config().limits };
    let server = Server::start(ServiceConfig { limits, ..scene.config() }).await;
    let app = server.bearer(&scene.token("app", Permissions::default()));
    let under_way = {
        let (app, request) = (app.clone(), scene.send_calls(Some("a"), &[scene.mint()]));
        tokio::spawn(async move { app.ask("wallet_sendCalls", request).await })
    };
    entering.await.unwrap();
    let (status, answer) = app.send(app.post().json(&chain_id(1))).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(-32005)));

    // Told to stop, it takes nothing new and answers what was asked.
    server.stop.cancel();
    let address = server.url.strip_prefix("http://").unwrap();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    open.send(()).unwrap();
    assert_eq!(under_way.await.unwrap()["id"], "a");
    server.shutdown().await;
    assert_eq!(scene.minted(), 1);
}
