//! The page and what it asks, over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::error::AnswerError;
use crate::guard::Door;
use crate::shared::Shared;
use crate::tabs::GRACE;

const MOST_BODY: usize = 16 * 1024;
/// A grant's context has 64 KiB at most, which are twice that in hex; what stands beside it is small.
const MOST_GRANT: usize = 192 * 1024;

/// How long a tab waits for news before it asks again.
const PATIENCE: Duration = Duration::from_secs(25);
/// The same for one that does not sign: it may take the other's place.
const PATIENCE_BESIDE: Duration = Duration::from_millis(500);

const PAGE: &str = include_str!("../page/page.html");

/// What the page is made of; nothing of it is a secret.
const PARTS: [(&str, &str, &str); 7] = [
    ("/page.css", STYLE, include_str!("../page/page.css")),
    ("/parts.css", STYLE, include_str!("../page/parts.css")),
    ("/page.js", SCRIPT, include_str!("../page/page.js")),
    ("/program.js", SCRIPT, include_str!("../page/program.js")),
    ("/wallet.js", SCRIPT, include_str!("../page/wallet.js")),
    ("/view.js", SCRIPT, include_str!("../page/view.js")),
    ("/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
];
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Wallets' icons are data (EIP-6963).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    door: Arc<Door>,
}

/// Serves until the approval is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, door: Door) {
    let closing = shared.closing.clone();
    let service = Service { shared, door: Arc::new(door) };
    let mut router = Router::new()
        .route("/state", post(state))
        .route("/sign", post(sign))
        .route("/grant", post(grant).layer(DefaultBodyLimit::max(MOST_GRANT)))
        .route("/reject", post(reject))
        .route("/close", post(close))
        .route("/{token}", get(page));
    for (path, kind, text) in PARTS {
        router = router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }));
    }
    let router = router
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn_with_state(service.clone(), guard))
        .with_state(service);
    // Where the listener breaks, nobody answers, and the deadline ends the wait.
    let _ = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await;
}

async fn guard(State(service): State<Service>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let checked = service
        .door
        .check_host(headers)
        .and_then(|()| if is_read { Ok(()) } else { service.door.check_page(headers) });
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page(State(service): State<Service>, Path(token): Path<String>) -> Response {
    if service.door.is_token(&token) {
        Html(PAGE).into_response()
    } else {
        (StatusCode::NOT_FOUND, "There is no such page; use the whole address that the program printed.\n")
            .into_response()
    }
}

#[derive(Deserialize)]
struct Seen {
    tab: String,
    /// The version that the tab has shown, 0 for none.
    version: u64,
    /// Whether it was the one that signs then.
    leads: bool,
}

#[derive(Deserialize)]
struct Signed {
    tab: String,
    number: u32,
    signature: Bytes,
}

#[derive(Deserialize)]
struct Granted {
    tab: String,
    number: u32,
    /// The wallet's answer, as JSON in a text.
    grant: String,
}

#[derive(Deserialize)]
struct Rejected {
    tab: String,
    number: u32,
}

#[derive(Deserialize)]
struct Closed {
    tab: String,
}

/// Answers as soon as there is something that the tab has not shown.
async fn state(State(Service { shared, .. }): State<Service>, Json(seen): Json<Seen>) -> Response {
    let Some(tab) = Tab::arrive(&shared, &seen.tab) else { return too_long() };
    shared.note_shown(&seen.tab, seen.version);
    let mut version = shared.version();
    let news = async {
        let is_over = || shared.state().has_ended();
        let is_shown = |version| tab.leads == seen.leads && version == seen.version && !is_over();
        while is_shown(*version.borrow_and_update()) && version.changed().await.is_ok() {}
    };
    let patience = if tab.leads { PATIENCE } else { PATIENCE_BESIDE };
    tokio::select! {
        _ = timeout(patience, news) => {}
        () = shared.closing.cancelled() => {}
    }
    let view = serde_json::to_value(shared.state().view(tab.leads, Instant::now()));
    view.map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |view| Json(view).into_response())
}

async fn sign(State(Service { shared, .. }): State<Service>, Json(signed): Json<Signed>) -> Response {
    let Signed { tab, number, signature } = signed;
    answered(shared.answer(&tab, number, Answer::Signature(signature)).await)
}

async fn grant(State(Service { shared, .. }): State<Service>, Json(granted): Json<Granted>) -> Response {
    let Granted { tab, number, grant } = granted;
    answered(shared.answer(&tab, number, Answer::Grant(grant)).await)
}

async fn reject(State(Service { shared, .. }): State<Service>, Json(rejected): Json<Rejected>) -> Response {
    answered(shared.change(|state| state.reject(&rejected.tab, rejected.number)))
}

/// A tab says that it closes, or is loaded anew.
async fn close(
    State(Service { shared, .. }): State<Service>,
    Json(Closed { tab }): Json<Closed>,
) -> StatusCode {
    shared.state().tabs.close(&tab);
    note_presence_later(&shared);
    StatusCode::NO_CONTENT
}

fn answered(taken: Result<(), AnswerError>) -> Response {
    match taken {
        Ok(()) => Json(json!({})).into_response(),
        // Not a failure of the exchange: the page is to show it.
        Err(error) => Json(json!({ "error": error.to_string() })).into_response(),
    }
}

fn too_long() -> Response {
    StatusCode::BAD_REQUEST.into_response()
}

/// A tab whose request waits for an answer. A closed tab's request is dropped.
struct Tab<'a> {
    shared: &'a Arc<Shared>,
    name: &'a str,
    leads: bool,
}

/// As long as a UUID.
const LONGEST_TAB: usize = 36;

impl<'a> Tab<'a> {
    fn arrive(shared: &'a Arc<Shared>, name: &'a str) -> Option<Self> {
        (name.len() <= LONGEST_TAB).then(|| {
            let leads = shared.state().tabs.arrive(name, Instant::now());
            shared.note_presence();
            Self { shared, name, leads }
        })
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        self.shared.state().tabs.depart(self.name, Instant::now());
        note_presence_later(self.shared);
    }
}

/// A tab that is loaded anew is back in a moment, and one beside it takes its place.
fn note_presence_later(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(2 * GRACE) => shared.note_presence(),
            () = shared.closing.cancelled() => {}
        }
    });
}
