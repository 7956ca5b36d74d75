//! JSON-RPC over HTTP POST.

use crate::{
    BuildError, ConnectionFailure, Endpoint, InvalidResponse, Repeat, RpcError, Transport, TransportError,
    endpoint::Secrets,
    envelope::{self, Request},
    retry_after,
};
use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use serde_json::Value;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};
use url::Url;

/// A [`Transport`] over HTTP, with connections that are kept for later calls.
///
/// `Debug` shows the endpoint without its secrets.
pub struct HttpTransport {
    client: Client,
    url: Url,
    endpoint: Endpoint,
    secrets: Secrets,
    deadline: Duration,
    backoff: ExponentialBuilder,
    longest_response: usize,
    next_id: AtomicU64,
}

impl HttpTransport {
    /// Starts a transport to `url`, which may hold a user name and password for HTTP basic authentication.
    pub fn builder(url: Url) -> HttpTransportBuilder {
        HttpTransportBuilder {
            url,
            client: None,
            deadline: Duration::from_secs(10),
            retries: 3,
            first_delay: Duration::from_millis(200),
            longest_response: 16 << 20,
        }
    }

    /// The endpoint, without its secrets.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn attempt(&self, method: &str, id: u64, body: Vec<u8>) -> Result<Value, TransportError> {
        let response = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(|error| self.connection_error(method, error))?;

        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.to_str().ok()?, SystemTime::now()));
        let outcome = match self.body(method, response).await {
            Ok(body) => envelope::read(&body, id, &self.secrets)
                .map_err(|reason| TransportError::InvalidResponse { method: method.to_owned(), reason }),
            Err(error) => Err(error),
        };
        if status.is_success() {
            return outcome?.map_err(|error| TransportError::Rpc { method: method.to_owned(), error });
        }
        // What the body of a failure holds besides a JSON-RPC error adds nothing to the status.
        let answer = outcome.ok().and_then(Result::err);
        Err(self.status_error(method, status, retry_after, answer))
    }

    /// The body, read as far as the limit allows.
    async fn body(&self, method: &str, mut response: Response) -> Result<Vec<u8>, TransportError> {
        let limit = self.longest_response;
        let too_long = || TransportError::InvalidResponse {
            method: method.to_owned(),
            reason: InvalidResponse::TooLong { limit },
        };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.connection_error(method, error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn connection_error(&self, method: &str, error: reqwest::Error) -> TransportError {
        let (method, endpoint) = (method.to_owned(), self.endpoint.clone());
        let source = ConnectionFailure::http(error);
        if source.before_sending() {
            TransportError::Unreachable { method, endpoint, source }
        } else {
            TransportError::Interrupted { method, endpoint, source }
        }
    }

    fn status_error(
        &self,
        method: &str,
        status: StatusCode,
        retry_after: Option<Duration>,
        answer: Option<RpcError>,
    ) -> TransportError {
        let (method, endpoint, status) = (method.to_owned(), self.endpoint.clone(), status.as_u16());
        match (status, answer) {
            (429, answer) => TransportError::RateLimited { method, endpoint, status, retry_after, answer },
            (503, answer) if retry_after.is_some() => {
                TransportError::RateLimited { method, endpoint, status, retry_after, answer }
            }
            (_, Some(error)) => TransportError::Rpc { method, error },
            (_, None) => TransportError::Http { method, endpoint, status },
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    #[tracing::instrument(level = "debug", skip_all, fields(method, endpoint = %self.endpoint), err(level = "debug"))]
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::to_vec(&Request::new(id, method, params))
            .map_err(|source| TransportError::Params { method: method.to_owned(), source })?;

        // None where the deadline is further away than the clock goes: the call ends only by an answer.
        let end = Instant::now().checked_add(self.deadline);
        let attempts = (|| self.attempt(method, id, body.clone()))
            .retry(self.backoff)
            .when(|error| may_be_repeated(error, repeat))
            .adjust(|error, delay| {
                let delay = delay?.max(asked_delay(error));
                // An answer that says why is worth more than a deadline spent waiting.
                let again = Instant::now().checked_add(delay)?;
                end.is_none_or(|end| again < end).then_some(delay)
            });
        let Some(end) = end else { return attempts.await };
        timeout_at(end, attempts).await.unwrap_or_else(|_| {
            let (endpoint, after) = (self.endpoint.clone(), self.deadline);
            Err(TransportError::Timeout { method: method.to_owned(), endpoint, after })
        })
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("endpoint", &self.endpoint)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

fn may_be_repeated(error: &TransportError, repeat: Repeat) -> bool {
    match error {
        TransportError::Unreachable { .. } => true,
        TransportError::Interrupted { .. } | TransportError::RateLimited { .. } => repeat == Repeat::Safe,
        TransportError::Http { status: 502..=504, .. } => repeat == Repeat::Safe,
        _ => false,
    }
}

fn asked_delay(error: &TransportError) -> Duration {
    match error {
        TransportError::RateLimited { retry_after: Some(delay), .. } => *delay,
        _ => Duration::ZERO,
    }
}

/// Settings of an [`HttpTransport`].
///
/// `Debug` shows the endpoint without its secrets.
#[must_use = "a builder does nothing until `build` is called"]
pub struct HttpTransportBuilder {
    url: Url,
    client: Option<Client>,
    deadline: Duration,
    retries: usize,
    first_delay: Duration,
    longest_response: usize,
}

impl HttpTransportBuilder {
    /// How long a call may take with all its attempts and the waiting between them; 10 seconds by default.
    ///
    /// A deadline beyond what the clock can count, such as [`Duration::MAX`], is none.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many times a call is repeated at most, where repeating it is safe; 3 by default.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// The wait before the first repetition; 200 milliseconds by default. It doubles each time, and up to as much
    /// again is added at random.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The longest body of a response that is read, in bytes; 16 MiB by default.
    pub fn longest_response(mut self, bytes: usize) -> Self {
        self.longest_response = bytes;
        self
    }

    /// Uses `client`, for example one with a proxy, headers or root certificates of its own.
    ///
    /// Without this, the transport's client follows no redirect and uses no proxy.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Finishes the transport. No connection is made yet.
    ///
    /// # Errors
    /// [`BuildError::Scheme`] when the URL is not an `http` or `https` URL, and [`BuildError::Client`] when the HTTP
    /// client cannot be set up.
    pub fn build(self) -> Result<HttpTransport, BuildError> {
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(BuildError::Scheme { scheme: self.url.scheme().to_owned() });
        }
        let client = match self.client {
            Some(client) => client,
            None => Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .build()
                .map_err(|error| BuildError::Client(ConnectionFailure::http(error)))?,
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_times(self.retries)
            .with_jitter();
        Ok(HttpTransport {
            client,
            endpoint: Endpoint::new(&self.url),
            secrets: Secrets::of(&self.url),
            url: self.url,
            deadline: self.deadline,
            backoff,
            longest_response: self.longest_response,
            next_id: AtomicU64::new(1),
        })
    }
}

impl fmt::Debug for HttpTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransportBuilder")
            .field("endpoint", &Endpoint::new(&self.url))
            .field("deadline", &self.deadline)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
