//! The address at which operators and their tools ask.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::wire::VERSION;

/// A socket that waits for those who ask; none where none is configured.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Option<TcpListener>,
    /// Seconds since 1970.
    since: u64,
}

/// What can be asked of a node or a gateway.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Whether it can do its work, and what it says about that.
    fn readiness(&self) -> impl Future<Output = (bool, Value)> + Send;

    /// All metrics, in the text format of OpenMetrics.
    fn metrics(&self) -> impl Future<Output = String> + Send;
}

/// The media type of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Listener {
    /// Binds the address, if there is one.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub(crate) async fn bind(address: Option<SocketAddr>) -> Result<Self, (SocketAddr, std::io::Error)> {
        let socket = match address {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|source| (address, source))?),
            None => None,
        };
        Ok(Self { socket, since: clock::now() })
    }

    /// Answers until `stop` is cancelled.
    pub(crate) async fn serve(self, observed: Arc<impl Observed>, stop: CancellationToken) {
        let Self { socket: Some(socket), since } = self else { return };
        let alive = json!({
            "alive": true,
            "version": env!("CARGO_PKG_VERSION"),
            "wireVersion": VERSION,
            "since": since,
        });
        let serving = async { axum::serve(socket, routes(observed, alive)).await };
        if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
            tracing::error!(%error, "health and metrics are answered no more");
        }
    }
}

fn routes<O: Observed>(observed: Arc<O>, alive: Value) -> Router {
    Router::new()
        .route("/health", get(async move || Json(alive)))
        .route("/ready", get(ready::<O>))
        .route("/metrics", get(metrics::<O>))
        .with_state(observed)
}

async fn ready<O: Observed>(State(observed): State<Arc<O>>) -> Response {
    let (is_ready, said) = observed.readiness().await;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(said)).into_response()
}

async fn metrics<O: Observed>(State(observed): State<Arc<O>>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], observed.metrics().await).into_response()
}
