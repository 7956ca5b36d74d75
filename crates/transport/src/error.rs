//! What can go wrong with a call, as types.

use crate::Endpoint;
use serde_json::Value;
use std::{error::Error, fmt, time::Duration};

/// Why a call has no result.
///
/// No variant shows a secret of the endpoint's URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The deadline passed before an answer came.
    #[error("{method}: no answer from {endpoint} within {after:?}")]
    Timeout {
        /// The method called.
        method: String,
        /// The endpoint, redacted.
        endpoint: Endpoint,
        /// The deadline of the call.
        after: Duration,
    },
    /// No connection could be made; nothing was sent.
    #[error("{method}: cannot connect to {endpoint}")]
    Unreachable {
        /// The method called.
        method: String,
        /// The endpoint, redacted.
        endpoint: Endpoint,
        /// What the network said.
        source: ConnectionFailure,
    },
    /// The connection failed after it was made; the request may have arrived.
    #[error("{method}: the connection to {endpoint} failed before the answer was complete")]
    Interrupted {
        /// The method called.
        method: String,
        /// The endpoint, redacted.
        endpoint: Endpoint,
        /// What the network said.
        source: ConnectionFailure,
    },
    /// The endpoint answered with an HTTP status that is not a success, and with no JSON-RPC error in the body.
    #[error("{method}: {endpoint} answered with HTTP status {status}")]
    Http {
        /// The method called.
        method: String,
        /// The endpoint, redacted.
        endpoint: Endpoint,
        /// The HTTP status.
        status: u16,
    },
    /// The endpoint refused the request for now: HTTP status 429, or 503 with a `Retry-After` header.
    #[error("{method}: {endpoint} asks to send less or later (HTTP status {status}{})", RetryIn(*.retry_after))]
    RateLimited {
        /// The method called.
        method: String,
        /// The endpoint, redacted.
        endpoint: Endpoint,
        /// The HTTP status, 429 or 503.
        status: u16,
        /// How long to wait before the next request, when the endpoint said so.
        retry_after: Option<Duration>,
        /// The JSON-RPC error that came with it, if any.
        #[source]
        answer: Option<RpcError>,
    },
    /// The endpoint answered with a JSON-RPC error, whatever the HTTP status.
    #[error("{method}: {error}")]
    Rpc {
        /// The method called.
        method: String,
        /// The error as the endpoint gave it.
        error: RpcError,
    },
    /// The endpoint answered with something that is not an answer to the request.
    #[error("{method}: the answer is invalid")]
    InvalidResponse {
        /// The method called.
        method: String,
        /// What is wrong with the answer.
        #[source]
        reason: InvalidResponse,
    },
    /// The parameters have no JSON form; nothing was sent.
    #[error("{method}: the parameters cannot be written as JSON")]
    Params {
        /// The method called.
        method: String,
        /// Why not.
        source: serde_json::Error,
    },
}

impl TransportError {
    /// The method that was called.
    pub fn method(&self) -> &str {
        match self {
            Self::Timeout { method, .. }
            | Self::Unreachable { method, .. }
            | Self::Interrupted { method, .. }
            | Self::Http { method, .. }
            | Self::RateLimited { method, .. }
            | Self::Rpc { method, .. }
            | Self::InvalidResponse { method, .. }
            | Self::Params { method, .. } => method,
        }
    }

    /// The JSON-RPC error that the endpoint answered with, if it answered with one.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { error, .. } => Some(error),
            Self::RateLimited { answer, .. } => answer.as_ref(),
            _ => None,
        }
    }

    /// Whether the request may have taken effect in spite of the error.
    ///
    /// True when the request was sent and no answer to it was understood. Whoever sent it must look before sending
    /// it again.
    pub fn may_have_been_executed(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Interrupted { .. } | Self::InvalidResponse { .. } => true,
            // A gateway gives these when its upstream failed in the middle.
            Self::Http { status, .. } => *status >= 500,
            Self::Unreachable { .. } | Self::RateLimited { .. } | Self::Rpc { .. } | Self::Params { .. } => {
                false
            }
        }
    }
}

/// A JSON-RPC error object.
///
/// Secrets of the endpoint's URL that the endpoint repeated in its message or data are replaced.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} (JSON-RPC error {code})")]
pub struct RpcError {
    /// The error's number.
    pub code: i64,
    /// The endpoint's own words.
    pub message: String,
    /// What the endpoint added, for example revert data.
    pub data: Option<Value>,
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// The body is longer than the transport accepts.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body is not JSON.
    #[error("the body is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The body is JSON but not a JSON-RPC response object.
    #[error("the body is not a JSON-RPC response object")]
    NotAResponse,
    /// The response belongs to another request.
    #[error("the response's id is {actual}, and the request's was {expected}")]
    IdMismatch {
        /// The id of the request.
        expected: u64,
        /// The id in the response as JSON, shortened to 32 characters.
        actual: String,
    },
    /// The response has neither a result nor an error.
    #[error("the response has neither `result` nor `error`")]
    Empty,
    /// The error object lacks a number as `code` or a string as `message`.
    #[error("the response's `error` lacks a number as `code` or a string as `message`")]
    MalformedError,
    /// The result is not of the expected type.
    #[error("the result is not as expected at `{path}`")]
    Result {
        /// The path to the field inside the result, `.` for the result itself.
        path: String,
        /// What was found and what was expected.
        source: serde_json::Error,
    },
}

/// Why a connection failed, without the URL.
#[derive(Debug)]
pub struct ConnectionFailure(reqwest::Error);

impl ConnectionFailure {
    pub(crate) fn new(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }

    /// Whether the failure happened before anything of the request was sent.
    pub(crate) fn before_sending(&self) -> bool {
        self.0.is_connect()
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ConnectionFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Why a transport cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not one that HTTP can be spoken to.
    #[error("the endpoint's URL has the scheme `{scheme}`; it must be `http` or `https`")]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// The HTTP client could not be set up, for example because the system's root certificates cannot be read.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] ConnectionFailure),
}

struct RetryIn(Option<Duration>);

impl fmt::Display for RetryIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, ", again in {wait:?}"),
            None => Ok(()),
        }
    }
}
