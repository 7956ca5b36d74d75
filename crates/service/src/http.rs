//! The door: whose request is let in, how much of it, and what goes back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::error::RecvError;
use tower_http::cors::CorsLayer;

use crate::error::RpcError;
use crate::json_rpc::{Body, Response as RpcResponse};
use crate::methods::{Caller, OPENRPC};
use crate::service::Shared;
use crate::tokens::Token;

/// How long a body may take to come.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A refusal at the door, before anything is read.
type Refused = (StatusCode, RpcError);

/// What is checked of every request.
#[derive(Clone, Debug)]
struct Door {
    service: Arc<Shared>,
    port: u16,
}

pub(crate) fn router(service: &Arc<Shared>, port: u16) -> Router {
    let origins = service.config.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let pages = CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE]);
    let door = Door { service: Arc::clone(service), port };
    Router::new()
        .route("/", post(rpc))
        .route("/events", get(events))
        .route("/openrpc.json", get(openrpc))
        .layer(pages)
        .layer(from_fn_with_state(door, guard))
        .with_state(Arc::clone(service))
}

/// Refuses what comes by a name that is not this service's, as after DNS rebinding, and pages that are not listed.
async fn guard(State(Door { service, port }): State<Door>, request: Request, next: Next) -> Response {
    let host = authority(request.uri(), request.headers());
    if !host.is_some_and(|host| is_own_host(host, port, &service.config.hosts)) {
        let why = "the Host header does not name this service; list the name by `--host`";
        return refused((StatusCode::MISDIRECTED_REQUEST, RpcError::unauthorized(why)));
    }
    if let Some(origin) = request.headers().get(ORIGIN)
        && !service.config.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
    {
        let why = "pages of this origin may not use the service; list it by `--origin`";
        return refused((StatusCode::FORBIDDEN, RpcError::unauthorized(why)));
    }
    next.run(request).await
}

async fn rpc(State(service): State<Arc<Shared>>, request: Request) -> Response {
    let (token, body) = match admit(&service, request).await {
        Ok(admitted) => admitted,
        Err(why) => return refused(why),
    };
    let requests = match Body::read(&body) {
        Ok(requests) => requests,
        Err(response) => return answered(&response),
    };
    if let Err(why) = check_rate(&service, &token, requests.len()) {
        return refused(why);
    }
    let Ok(permit) = Arc::clone(&service.permits).try_acquire_owned() else {
        let most = service.config.limits.requests_at_once;
        let why = RpcError::limit_exceeded(format_args!("{most} requests are answered at once; try again"));
        return refused((StatusCode::SERVICE_UNAVAILABLE, why));
    };
    // A client that goes away does not stop what it has begun: an operation that was sent is followed.
    let tasks = service.requests.clone();
    let answering = {
        let service = Arc::clone(&service);
        async move {
            let response = answer(Caller { service: &service, token: &token }, requests).await;
            drop(permit);
            response
        }
    };
    tasks
        .spawn(answering)
        .await
        .unwrap_or_else(|error| refused((StatusCode::INTERNAL_SERVER_ERROR, RpcError::internal(&error))))
}

async fn answer(caller: Caller<'_>, requests: Body) -> Response {
    match requests {
        Body::Single(request) => match caller.answer(request).await {
            Some(response) => answered(&response),
            None => StatusCode::NO_CONTENT.into_response(),
        },
        Body::Batch(requests) => {
            let mut responses = Vec::new();
            for request in requests {
                responses.extend(caller.answer(request).await);
            }
            match responses.is_empty() {
                true => StatusCode::NO_CONTENT.into_response(),
                false => answered(&responses),
            }
        }
    }
}

/// Who asks, and the body, which is read once that is known.
async fn admit(service: &Shared, request: Request) -> Result<(Token, Bytes), Refused> {
    let (parts, body) = request.into_parts();
    let token = bearer(service, &parts.headers)?;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        let why = RpcError::invalid_request("the Content-Type is not application/json");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok((token, read_body(body, service.config.limits.body_bytes).await?))
}

async fn read_body(body: HttpBody, most: usize) -> Result<Bytes, Refused> {
    let refused = |status, why: String| (status, RpcError::invalid_request(why));
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes, or was cut off"),
        )),
        Err(_) => {
            let seconds = BODY_DEADLINE.as_secs();
            Err(refused(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {seconds} s")))
        }
    }
}

/// Whose token it is.
fn bearer(service: &Shared, headers: &HeaderMap) -> Result<Token, Refused> {
    let credentials = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = credentials.and_then(|credentials| {
        let (scheme, secret) = credentials.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let found = match secret {
        Some(secret) => service.config.tokens.bearer_of(secret),
        None => Ok(None),
    };
    match found {
        Ok(Some(token)) => Ok(token),
        Ok(None) => {
            let why = "no token that is known: send `Authorization: Bearer <token>`; `quorate serve token add` makes one";
            Err((StatusCode::UNAUTHORIZED, RpcError::unauthorized(why)))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, RpcError::internal(&error))),
    }
}

fn check_rate(service: &Shared, token: &Token, requests: usize) -> Result<(), Refused> {
    let requests = u32::try_from(requests).ok().and_then(std::num::NonZeroU32::new);
    let requests = requests.unwrap_or(std::num::NonZeroU32::MIN);
    if matches!(service.rate.check_key_n(&token.name, requests), Ok(Ok(()))) {
        return Ok(());
    }
    let most = service.config.limits.requests_per_second;
    let why = RpcError::limit_exceeded(format_args!("a token has {most} requests a second; try again later"));
    Err((StatusCode::TOO_MANY_REQUESTS, why))
}

/// Events from now on. Who falls behind is told so, and asks for what there is.
async fn events(State(service): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let token = match bearer(&service, &headers) {
        Ok(token) if token.permissions.allow_method("quorate_events") => token,
        Ok(token) => {
            let why = format!("the token {} may not listen to events (`quorate_events`)", token.name);
            return refused((StatusCode::FORBIDDEN, RpcError::unauthorized(why)));
        }
        Err(why) => return refused(why),
    };
    let most = service.config.limits.requests_at_once;
    if service.events.receiver_count() >= most {
        let why = RpcError::limit_exceeded(format_args!("{most} listen to events already"));
        return refused((StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let until_stopped = service.stop.clone().cancelled_owned();
    let sent = stream_of(&service, token).take_until(until_stopped);
    Sse::new(sent).keep_alive(KeepAlive::default()).into_response()
}

fn stream_of(
    service: &Arc<Shared>,
    token: Token,
) -> impl Stream<Item = Result<Sent, std::convert::Infallible>> + use<> {
    let received = stream::unfold(service.events.subscribe(), |mut events| async move {
        match events.recv().await {
            Ok(event) => Some((Some(event), events)),
            Err(RecvError::Lagged(_)) => Some((None, events)),
            Err(RecvError::Closed) => None,
        }
    });
    let service = Arc::clone(service);
    received.filter_map(move |event| {
        // A token that was removed in the meantime hears nothing more.
        let is_known = service.config.tokens.tokens().is_ok_and(|tokens| tokens.contains(&token));
        let sent = match event {
            _ if !is_known => None,
            Some(event) if event.is_for(&token) => {
                Some(Sent::default().event(event.name()).data(event.to_json()))
            }
            Some(_) => None,
            None => Some(Sent::default().event("behind").data("{}")),
        };
        std::future::ready(sent.map(Ok))
    })
}

async fn openrpc() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENRPC).into_response()
}

/// What HTTP/1.1 names in the header, and a proxy may name in the request's line.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// Whether a name is one of this service's: an address that was dialled, which no DNS server gave, this machine's own name, or
/// one that is listed.
fn is_own_host(authority: &str, port: u16, listed: &[String]) -> bool {
    let (name, asked) = match authority.rsplit_once(':') {
        Some((name, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, digits.parse().ok())
        }
        _ => (authority, Some(80)),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_local = name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_listed =
        |listed: &String| listed.eq_ignore_ascii_case(name) || listed.eq_ignore_ascii_case(authority);
    is_local && asked == Some(port) || listed.iter().any(is_listed)
}

fn answered(response: &impl serde::Serialize) -> Response {
    let body = serde_json::to_string(response).unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn refused((status, why): Refused) -> Response {
    let mut response = (status, answered(&RpcResponse::to_nobody(why))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_listed_ones_are_own() {
        let listed = ["quorate.example".to_owned(), "box:9000".to_owned()];
        let own = |authority: &str| is_own_host(authority, 4337, &listed);
        for authority in
            ["localhost:4337", "LOCALHOST:4337", "127.0.0.1:4337", "[::1]:4337", "127.1.2.3:4337"]
        {
            assert!(own(authority), "{authority}");
        }
        for authority in ["quorate.example", "Quorate.Example:443", "box:9000"] {
            assert!(own(authority), "{authority}");
        }
        for authority in [
            "localhost",
            "localhost:80",
            "evil.example:4337",
            "127.0.0.1.evil.example:4337",
            "box",
            "192.168.1.2:4337",
            "",
            "localhost.:4337",
            "localhost:4337:4337",
        ] {
            assert!(!own(authority), "{authority}");
        }
    }
}
