//! One socket at one gateway.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Operation, RequestId, SUBPROTOCOL, gateway_name, socket_url};
use quorate_transport::platform_tls;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tracing::{Span, field};
use url::Url;

use crate::NetworkError;

/// What is asked for at a gateway: the socket's path and query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// The challenge of a draft that is taken up.
    pub(crate) challenge: Option<&'a str>,
    /// Whether challenges come with their nonces, or the draft's go with it.
    pub(crate) with_nonces: bool,
}

/// A socket, of which the gateway knows what is asked for.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    gateway: String,
    /// What the request is called in logs: its connection by a name that goes to the gateway, and itself once there is a
    /// challenge.
    span: Span,
}

/// The longest frame that a gateway's client takes, in bytes: what 255 nodes hold of a key is the most that one sends.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long one gateway's name, address, TLS and handshake may take.
const DIAL: Duration = Duration::from_secs(10);

impl Call<'_> {
    /// A call that ends on the socket on which it began.
    pub(crate) const fn of(operation: Operation) -> Self {
        Self { operation, challenge: None, with_nonces: false }
    }

    fn url(&self, gateway: &Url) -> Url {
        let mut url = socket_url(gateway, self.operation.path());
        if let Some(challenge) = self.challenge {
            url.query_pairs_mut().append_pair("challenge", challenge);
        }
        if self.with_nonces {
            url.query_pairs_mut().append_pair("nonces", "");
        }
        url
    }
}

impl Connection {
    pub(crate) async fn dial(
        gateway: &Url,
        call: Call<'_>,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, NetworkError> {
        let name = gateway_name(gateway);
        let failed = |source| NetworkError::Connection { gateway: name.clone(), source: Box::new(source) };
        let mut request = call.url(gateway).as_str().into_client_request().map_err(failed)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let name_in_logs = RequestId::new(getrandom::u64()?.to_be_bytes());
        if let Ok(name) = HeaderValue::try_from(name_in_logs.to_string()) {
            request.headers_mut().insert(RequestId::HEADER, name);
        }
        let operation = call.operation.path();
        let span =
            tracing::info_span!("request", operation, connection = %name_in_logs, request = field::Empty);
        tracing::debug!(parent: &span, gateway = name, "connecting");
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_ANSWER)).max_frame_size(Some(MAX_ANSWER));
        let connector = match gateway.scheme() {
            "wss" => Connector::Rustls(tls.cloned().unwrap_or_else(platform_tls)),
            _ => Connector::Plain,
        };
        let connected = connect_async_tls_with_config(request, Some(limits), true, Some(connector));
        let late = |_| NetworkError::Deadline { gateway: name.clone(), after: DIAL };
        let (socket, _) = tokio::time::timeout(DIAL, connected).await.map_err(late)?.map_err(failed)?;
        Ok(Self { socket, gateway: name, span })
    }

    /// Names the request by its challenge from here on.
    pub(crate) fn is_challenged(&self, challenge: &str) {
        if let Some(request) = RequestId::of_challenge(challenge) {
            self.is_about(request);
        }
    }

    pub(crate) fn is_about(&self, request: RequestId) {
        self.span.record("request", field::display(request));
        tracing::debug!(parent: &self.span, "asking");
    }

    pub(crate) async fn send(&mut self, text: &str) -> Result<(), NetworkError> {
        self.socket.send(Message::Text(text.into())).await.map_err(|source| self.broken(source))
    }

    pub(crate) async fn receive(&mut self) -> Result<String, NetworkError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    tracing::debug!(parent: &self.span, bytes = text.len(), "received");
                    return Ok(text.to_string());
                }
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(NetworkError::Closed { reason });
                }
                Some(Ok(_)) => {}
                Some(Err(source)) => return Err(self.broken(source)),
                None => return Err(NetworkError::Closed { reason: String::new() }),
            }
        }
    }

    fn broken(&self, source: tungstenite::Error) -> NetworkError {
        NetworkError::Connection { gateway: self.gateway.clone(), source: Box::new(source) }
    }
}
