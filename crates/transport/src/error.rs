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

    /// The JSON-RPC error in the answer, if there was one; also that of a rate limit. Whoever takes the error for the
    /// endpoint's last word matches [`TransportError::Rpc`] instead.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { error, .. } => Some(error),
            Self::RateLimited { answer, .. } => answer.as_ref(),
            _ => None,
        }
    }

    /// Whether the same read may succeed later: nothing came, or a server that is busy, limits requests, or failed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Rpc { error, .. } => error.is_transient() && !self.is_unsupported_method(),
            Self::Http { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::InvalidResponse { reason, .. } => {
                !matches!(reason, InvalidResponse::Result { .. } | InvalidResponse::TooLong { .. })
            }
            Self::Params { .. } => false,
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::RateLimited { .. } => true,
        }
    }

    /// Whether the request may have taken effect in spite of the error.
    ///
    /// False only where nothing was sent: no connection was made, or the parameters have no JSON form. Every other
    /// error leaves it open, an answer with an error too: a JSON-RPC error or a rate limit may come from a proxy behind
    /// which the request went through. Only who knows the method's own errors can say more; for
    /// `eth_sendUserOperation` that is the bundler's crate.
    pub fn may_have_been_executed(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::Params { .. })
    }

    /// Whether the endpoint says that it has no such method.
    ///
    /// That is a JSON-RPC error with code −32601 or −32004 (EIP-1474), or with another code and a message that says so
    /// of the method; or HTTP status 400, 404, 405, 422 or 501 without a JSON-RPC error. A rate limit, a timeout and a
    /// failure of the server are no such answer: the method may be there.
    ///
    /// Some servers also answer −32601 when they do not find what was asked *for*; see the error's message.
    pub fn is_unsupported_method(&self) -> bool {
        match self {
            Self::Http { status, .. } => matches!(status, 400 | 404 | 405 | 422 | 501),
            Self::Rpc { error, .. } => {
                matches!(error.code, -32601 | -32004) || says_no_such_method(&error.message)
            }
            _ => false,
        }
    }
}

fn says_no_such_method(message: &str) -> bool {
    const ABSENT: [&str; 11] = [
        "not found",
        "not supported",
        "unsupported",
        "does not exist",
        "not exist",
        "not available",
        "not implemented",
        "not allowed",
        "unknown",
        "unrecognized",
        "invalid method",
    ];
    let message = message.to_ascii_lowercase();
    message.contains("method") && ABSENT.iter().any(|absent| message.contains(absent))
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

impl RpcError {
    /// Whether it is the server's own failure or limit, by its code or by what it says.
    fn is_transient(&self) -> bool {
        const TEXTS: [&str; 6] =
            ["rate limit", "too many requests", "timed out", "timeout", "try again", "temporarily"];
        let message = self.message.to_ascii_lowercase();
        matches!(self.code, -32603 | -32005 | -32002 | -32000 | 429 | 500..=599)
            || TEXTS.iter().any(|text| message.contains(text))
    }
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
pub struct ConnectionFailure(Cause);

#[derive(Debug)]
enum Cause {
    #[cfg(feature = "http")]
    Http(reqwest::Error),
    Other(Box<dyn Error + Send + Sync>),
}

impl ConnectionFailure {
    /// What a [`Transport`](crate::Transport) of another kind says of its connection, for
    /// [`TransportError::Unreachable`] and [`TransportError::Interrupted`].
    ///
    /// `error` and its sources are shown in messages and in `Debug`: none of them may hold a secret of the endpoint.
    ///
    /// ```
    /// # use quorate_transport::{ConnectionFailure, Endpoint, TransportError};
    /// use std::{error::Error, io};
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// let error = TransportError::Unreachable {
    ///     method: "eth_chainId".to_owned(),
    ///     endpoint: Endpoint::new(&"wss://node.example.org/".parse()?),
    ///     source: ConnectionFailure::new(refused),
    /// };
    /// assert!(!error.may_have_been_executed());
    /// assert_eq!(error.source().unwrap().to_string(), "connection refused");
    /// # Ok::<(), Box<dyn Error>>(())
    /// ```
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Cause::Other(error.into()))
    }

    #[cfg(feature = "http")]
    pub(crate) fn http(error: reqwest::Error) -> Self {
        Self(Cause::Http(error.without_url()))
    }

    /// Whether the failure happened before anything of the request was sent.
    #[cfg(feature = "http")]
    pub(crate) fn before_sending(&self) -> bool {
        matches!(&self.0, Cause::Http(error) if error.is_connect())
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "http")]
            Cause::Http(error) => error.fmt(f),
            Cause::Other(error) => error.fmt(f),
        }
    }
}

impl Error for ConnectionFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            #[cfg(feature = "http")]
            Cause::Http(error) => error.source(),
            Cause::Other(error) => error.source(),
        }
    }
}

/// Why a transport cannot be made.
#[cfg(feature = "http")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn rpc(code: i64, message: &str) -> TransportError {
        let error = RpcError { code, message: message.to_owned(), data: None };
        TransportError::Rpc { method: "pimlico_getUserOperationGasPrice".to_owned(), error }
    }

    fn http(status: u16) -> TransportError {
        let endpoint = Endpoint::new(&Url::parse("http://127.0.0.1/").unwrap());
        TransportError::Http { method: "pimlico_getUserOperationGasPrice".to_owned(), endpoint, status }
    }

    #[test]
    fn a_method_that_is_not_there_is_told_from_a_server_that_fails() {
        for (code, message) in [
            (-32601, "Method not found"),
            (-32601, ""),
            (-32004, "Method not supported"),
            (-32600, "Unsupported method: pimlico_getUserOperationGasPrice on ETH_MAINNET"),
            (-32602, "Method not supported"),
            (-32000, "the METHOD pimlico_getUserOperationGasPrice does not exist/is not available"),
            (-32603, "Unknown RPC method"),
            (0, "rpc method is not whitelisted or not allowed"),
        ] {
            assert!(rpc(code, message).is_unsupported_method(), "{code} {message}");
        }
        for status in [400, 404, 405, 422, 501] {
            assert!(http(status).is_unsupported_method(), "{status}");
        }
        for (code, message) in [
            (-32603, "Internal error"),
            (-32005, "rate limit exceeded"),
            (-32000, "header not found"),
            (429, "compute units exceeded for this method"),
            (-32602, "invalid params"),
        ] {
            assert!(!rpc(code, message).is_unsupported_method(), "{code} {message}");
        }
        for status in [301, 401, 403, 408, 429, 500, 502, 503, 504] {
            assert!(!http(status).is_unsupported_method(), "{status}");
        }
    }
}
