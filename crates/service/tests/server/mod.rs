//! A service that is being served, and what to ask of it.

#![allow(dead_code, reason = "each test program uses its part")]

use std::path::Path;
use std::time::Duration;

use quorate_service::{Permissions, Service, ServiceConfig, ServiceLimits, TokenFile};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::document::DOCUMENT;

/// Longer than anything takes under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) stop: CancellationToken,
    serving: JoinHandle<()>,
    http: reqwest::Client,
}

/// A bearer of a token.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) url: String,
    pub(crate) secret: String,
    http: reqwest::Client,
}

/// What most tests serve.
pub(crate) fn config(
    client: quorate::Quorate,
    accounts: Vec<quorate::SmartAccount>,
    folder: &Path,
) -> ServiceConfig {
    ServiceConfig {
        client,
        accounts,
        network: None,
        paymasters: Vec::new(),
        tokens: TokenFile::new(folder.join("tokens.toml")),
        calls: folder.join("calls.db"),
        hosts: Vec::new(),
        origins: Vec::new(),
        limits: ServiceLimits { requests_per_second: 10_000.try_into().unwrap(), ..ServiceLimits::default() },
    }
}

/// A token that may do all, or what is said.
pub(crate) fn permissions(methods: &[&str]) -> Permissions {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Permissions { methods, ..Permissions::default() }
}

impl Server {
    pub(crate) async fn start(config: ServiceConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let service = Service::open(config).await.unwrap();
        let serving = service.serve(listener, stop.clone());
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, stop, serving, http: reqwest::Client::new() }
    }

    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it ends").unwrap();
    }

    pub(crate) fn bearer(&self, secret: &str) -> Bearer {
        Bearer { url: self.url.clone(), secret: secret.to_owned(), http: self.http.clone() }
    }
}

impl Bearer {
    pub(crate) fn post(&self) -> RequestBuilder {
        self.http.post(&self.url).bearer_auth(&self.secret)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.secret)
    }

    /// The status and the body of an answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// The result or the error of a method, which is as the document says.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let (status, answer) = self.send(self.post().json(&body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        let outcome = match answer.get("error") {
            Some(error) => Err(error),
            None => Ok(&answer["result"]),
        };
        DOCUMENT.check(method, &params, outcome);
        outcome.cloned().map_err(Clone::clone)
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) async fn refused(&self, method: &str, params: Value) -> Value {
        match self.call(method, params).await {
            Ok(result) => panic!("{method} is not refused: {result}"),
            Err(error) => error,
        }
    }

    pub(crate) async fn code(&self, method: &str, params: Value) -> i64 {
        self.refused(method, params).await["code"].as_i64().unwrap()
    }

    /// The status of calls, once it is no longer pending.
    pub(crate) async fn end_of(&self, id: &Value) -> Value {
        let ended = async {
            loop {
                let status = self.ask("wallet_getCallsStatus", json!([id])).await;
                if status["status"] != 100 {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the calls come to an end")
    }

    /// Waits until a session stands somewhere.
    pub(crate) async fn until_session_is(&self, session: &Value, wanted: &str) {
        let reached = async {
            loop {
                let sessions = self.ask("quorate_sessions", json!([])).await;
                let found = sessions.as_array().unwrap().iter().find(|listed| listed["session"] == *session);
                if found.is_some_and(|listed| listed["status"] == wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the session gets there");
    }
}
