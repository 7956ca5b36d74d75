//! Server-sent events: ends of operations and changes of sessions, each to whom it concerns.

use futures_util::StreamExt as _;
use quorate_service::Permissions;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::server::{Bearer, PATIENCE, permissions};

/// The events that come.
struct Listener {
    response: futures_util::stream::BoxStream<'static, Vec<u8>>,
    text: String,
}

impl Listener {
    async fn new(bearer: &Bearer) -> Self {
        let response = bearer.get("/events").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let response = response.bytes_stream().map(|piece| piece.unwrap().to_vec()).boxed();
        Self { response, text: String::new() }
    }

    /// The next event's name and data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                let found = field("event:").zip(field("data:"));
                self.text = rest.to_owned();
                if let Some((name, data)) = found {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.next()).await.expect("an event comes");
            self.text.push_str(std::str::from_utf8(&piece?).unwrap());
        }
    }
}

#[tokio::test]
async fn ends_of_operations_and_changes_of_sessions_are_told() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let mut listener = Listener::new(&app).await;
    let other = server.bearer(&scene.token("other", Permissions::default()));
    let mut others = Listener::new(&other).await;

    let to_sign = app.ask("quorate_prepareGrant", json!([{ "policies": scene.policies() }])).await;
    let signature = scene.sign(&to_sign["hash"]).await;
    app.ask("quorate_submitGrant", json!([{ "draft": to_sign["draft"], "signature": signature }])).await;
    let (mut granted, mut active) = (false, false);
    while !(granted && active) {
        let (name, data) = listener.next().await.unwrap();
        granted |= name == "operation" && data["userOpHash"] == to_sign["hash"] && data["status"] == 200;
        active |= name == "session" && data["session"] == to_sign["session"] && data["status"] == "active";
    }

    let sent = app.ask("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint()])).await;
    let (name, data) = loop {
        let (name, data) = listener.next().await.unwrap();
        if data["id"] == sent["id"] {
            break (name, data);
        }
    };
    assert_eq!(
        (name.as_str(), &data["status"], &data["session"]),
        ("operation", &json!(200), &to_sign["session"])
    );

    // All that the other token has heard by the end of the service is of the owner and of sessions.
    server.shutdown().await;
    while let Some((_, data)) = others.next().await {
        assert!(data.get("id").is_none(), "{data}");
    }
}

#[tokio::test]
async fn listening_needs_the_permission() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let app = server.bearer(&scene.token("app", permissions(&["wallet_*"])));
    assert_eq!(app.send(app.get("/events")).await.0, StatusCode::FORBIDDEN);
    let nobody = server.bearer("nobody");
    assert_eq!(nobody.send(nobody.get("/events")).await.0, StatusCode::UNAUTHORIZED);
    server.shutdown().await;
}
