//! A scripted chain whose endpoints another process reaches.

#![allow(unreachable_pub, reason = "a module of several tests")]

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use quorate::Transport;
use quorate_transport::Repeat;
use serde_json::{Value, json};

/// An endpoint of the scripted chain, for another process.
pub async fn over_http(endpoint: Arc<dyn Transport>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(endpoint);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn answer(State(endpoint): State<Arc<dyn Transport>>, Json(body): Json<Value>) -> Json<Value> {
    let method = body["method"].as_str().unwrap_or_default();
    let id = &body["id"];
    Json(match endpoint.request(method, body["params"].clone(), Repeat::Safe).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => {
            let (code, message) =
                error.rpc().map_or((-32603, error.to_string()), |error| (error.code, error.message.clone()));
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    })
}
