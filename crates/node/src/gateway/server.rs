//! Sockets and routes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use quorate_protocol::{Answer, NetworkDescriptor, Operation, RequestId, SUBPROTOCOL, SignedRequest};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, field};

use super::admission::client_address;
use super::client::{Clients, Visitor, close, stopping};
use super::connections::NodeConnections;
use super::keys::Keys;
use super::places::{Place, Places};
use super::tls::Certificate;
use crate::channel_binding::ChannelBinding;
use crate::observe::{GatewayHealth, GatewayMetrics, Occasionally};
use crate::wire::MAX_FRAME;

/// What the routes share.
pub(super) struct Door {
    pub(super) network: NetworkDescriptor,
    pub(super) connections: Arc<NodeConnections>,
    pub(super) keys: Arc<Keys>,
    pub(super) clients: Clients,
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) trusted_proxies: Vec<IpAddr>,
    /// With what connections are encrypted; none where they are in the clear.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Nothing new is begun from then on.
    pub(super) stop: CancellationToken,
    /// Everything ends.
    pub(super) cut: CancellationToken,
    /// What goes on after a socket was upgraded.
    pub(super) client_sockets: TaskTracker,
    pub(super) node_sockets: TaskTracker,
}

/// Whose socket it is, and its place among those that are open.
#[derive(Clone)]
struct Peer {
    address: IpAddr,
    place: Arc<Place>,
    /// What a node's hello has to cover of the connection; none if it is in the clear.
    binding: Option<ChannelBinding>,
}

/// What our own client says in the query. Third-party clients say nothing there.
#[derive(Deserialize)]
struct Draft {
    /// The challenge of a draft that it takes up.
    challenge: Option<String>,
    /// It asks for the challenge's nonces, or has those of the draft.
    nonces: Option<String>,
}

/// The newest version of the frames that a node speaks. The first program did not say it.
#[derive(Deserialize)]
struct Speaks {
    #[serde(default)]
    version: u8,
}

/// A client's largest frame that is refused by name; a larger one ends the connection.
const MAX_CLIENT_FRAME: usize = 2 * SignedRequest::MAX_SETUP;

/// How long a client may take over the head of its request.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait after a socket could not be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients find.
pub(super) fn client_routes(door: &Arc<Door>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/keygen", get(keygen))
        .route("/signgen", get(signgen))
        .route("/addEphemeralKey", get(add_ephemeral_key))
        .route("/permit", get(permit))
        .route("/revoke", get(revoke))
        .route("/ephemeralKeys", get(ephemeral_keys))
        .with_state(Arc::clone(door))
}

/// What nodes find.
pub(super) fn node_routes(door: &Arc<Door>) -> Router {
    Router::new().route("/node", get(node)).with_state(Arc::clone(door))
}

/// Accepts connections until the gateway stops.
pub(super) async fn serve(listener: TcpListener, routes: Router, places: Places, door: &Door) {
    let refused = Occasionally::new();
    let accept = async {
        while let Some(permit) = places.free().await {
            match listener.accept().await {
                Ok((stream, from)) => {
                    // Whoever has opened too many is not told so: that would cost more than opening one.
                    let Some(place) = places.take(permit, from.ip()) else { continue };
                    let certificate = door.certificate.clone();
                    let connection = serve_connection(stream, from, place, certificate, routes.clone());
                    let cut = door.cut.clone();
                    tokio::spawn(async move { cut.run_until_cancelled(connection).await });
                }
                Err(error) => {
                    if let Some(times) = refused.count() {
                        tracing::warn!(%error, times, "a connection cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    door.stop.run_until_cancelled(accept).await;
}

async fn serve_connection(
    stream: TcpStream,
    from: SocketAddr,
    place: Place,
    certificate: Option<Arc<Certificate>>,
    routes: Router,
) {
    // The rounds of a signature are many small messages, each of which the next one waits for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small messages may be delayed on a socket");
    }
    let peer = Peer { address: from.ip(), place: Arc::new(place), binding: None };
    let Some(certificate) = certificate else { return serve_http(stream, peer, routes).await };
    match certificate.accept(stream).await {
        Ok((stream, binding)) => serve_http(stream, Peer { binding: Some(binding), ..peer }, routes).await,
        Err(error) => tracing::debug!(%error, "a connection was not encrypted"),
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    routes: Router,
) {
    let routes = TowerToHyperService::new(routes);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        hyper::service::Service::call(&routes, request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn health(State(door): State<Arc<Door>>) -> Json<GatewayHealth> {
    Json(door.health())
}

async fn node(
    State(door): State<Arc<Door>>,
    Extension(peer): Extension<Peer>,
    Query(speaks): Query<Speaks>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    upgrade.on_upgrade(move |socket| {
        let tracker = door.node_sockets.clone();
        tracker.track_future(async move {
            let _place = peer.place;
            let attend = door.connections.attend(socket, speaks.version, peer.binding);
            door.cut.run_until_cancelled(attend).await;
        })
    })
}

/// The parts of a client's request.
type Parts = (State<Arc<Door>>, Extension<Peer>, HeaderMap, Query<Draft>, WebSocketUpgrade);

async fn keygen(parts: Parts) -> Response {
    client(parts, Operation::Keygen)
}

async fn signgen(parts: Parts) -> Response {
    client(parts, Operation::Sign)
}

async fn add_ephemeral_key(parts: Parts) -> Response {
    client(parts, Operation::AddEphemeralKey)
}

async fn permit(parts: Parts) -> Response {
    client(parts, Operation::Permit)
}

async fn revoke(parts: Parts) -> Response {
    client(parts, Operation::Revoke)
}

async fn ephemeral_keys(parts: Parts) -> Response {
    client(parts, Operation::List)
}

fn client(parts: Parts, operation: Operation) -> Response {
    let (State(door), Extension(peer), headers, Query(draft), upgrade) = parts;
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let address = client_address(peer.address, forwarded, &door.trusted_proxies);
    let with_nonces = draft.nonces.is_some();
    let visitor = Visitor { operation, resume: draft.challenge, with_nonces, address };
    let span = span(operation, &headers);
    let upgrade =
        upgrade.protocols([SUBPROTOCOL]).max_message_size(MAX_CLIENT_FRAME).max_frame_size(MAX_CLIENT_FRAME);
    upgrade.on_upgrade(move |mut socket| {
        let tracker = door.client_sockets.clone();
        let served = async move {
            let _place = peer.place;
            let served = door.clients.serve(&mut socket, visitor, &door.stop);
            let answer = door.cut.run_until_cancelled(served).await;
            close(socket, &answer.unwrap_or_else(|| Answer::Refused(stopping()))).await;
        };
        tracker.track_future(served.instrument(span))
    })
}

/// What a client's request is called in the log: what the client calls its connection, and from the challenge on what everybody
/// calls the request.
fn span(operation: Operation, headers: &HeaderMap) -> Span {
    let named = headers.get(RequestId::HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let connection =
        named.unwrap_or_else(|| RequestId::new(getrandom::u64().unwrap_or_default().to_be_bytes()));
    tracing::info_span!("client", operation = operation.path(), %connection, request = field::Empty)
}
