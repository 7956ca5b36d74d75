//! An alloy provider as a transport.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use alloy_json_rpc::RpcError as AlloyError;
use alloy_provider::network::Ethereum;
use alloy_provider::transport::TransportErrorKind;
use alloy_provider::{Network, Provider};
use async_trait::async_trait;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::{
    ConnectionFailure, Endpoint, InvalidResponse, Repeat, RpcError, Transport, TransportError, exact_json,
};

/// A [`Transport`] by way of an alloy provider, for applications that have one: with its connection, layers and
/// credentials.
///
/// A call waits for ten seconds unless [`with_deadline`](Self::with_deadline) says otherwise. Nothing is repeated here; a
/// provider with a layer that repeats requests does so without regard to what they do, and is for the chain's node, not
/// for a bundler. What alloy says of a failed connection may hold the endpoint's credentials, and is left out of errors.
///
/// ```
/// use alloy_provider::ProviderBuilder;
/// use quorate_transport::{AlloyTransport, TransportError, TransportExt};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = alloy_provider::mock::Asserter::new();
/// # client.push_success(&"0x1");
/// # let provider = ProviderBuilder::new().connect_mocked_client(client);
/// let node = AlloyTransport::new(provider);
/// assert_eq!(node.call::<String>("eth_chainId", ()).await?, "0x1");
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
pub struct AlloyTransport<P, N = Ethereum> {
    provider: P,
    deadline: Duration,
    network: PhantomData<fn() -> N>,
}

impl<P, N> AlloyTransport<P, N> {
    /// A transport that sends by this provider.
    pub const fn new(provider: P) -> Self {
        Self { provider, deadline: Duration::from_secs(10), network: PhantomData }
    }

    /// The same with another deadline for each call.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl<P, N> fmt::Debug for AlloyTransport<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlloyTransport").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[async_trait]
impl<N: Network, P: Provider<N>> Transport for AlloyTransport<P, N> {
    async fn request(&self, method: &str, params: Value, _: Repeat) -> Result<Value, TransportError> {
        let params = exact_json::params(params);
        let answer = self.provider.raw_request::<Value, Box<RawValue>>(method.to_owned().into(), params);
        match timeout(self.deadline, answer).await {
            Ok(Ok(result)) => {
                exact_json::read(result.get().as_bytes()).map_err(|source| not_json(method, source))
            }
            Ok(Err(error)) => read_error(method, error),
            Err(_) => Err(TransportError::Timeout {
                method: method.to_owned(),
                endpoint: endpoint(),
                after: self.deadline,
            }),
        }
    }
}

fn read_error(method: &str, error: AlloyError<TransportErrorKind>) -> Result<Value, TransportError> {
    let interrupted = || TransportError::Interrupted {
        method: method.to_owned(),
        endpoint: endpoint(),
        source: ConnectionFailure::new("the provider's connection failed"),
    };
    Err(match error {
        AlloyError::NullResp => return Ok(Value::Null),
        AlloyError::ErrorResp(answer) => {
            let data = answer.data.and_then(|data| exact_json::read(data.get().as_bytes()).ok());
            let error = RpcError { code: answer.code, message: answer.message.into_owned(), data };
            TransportError::Rpc { method: method.to_owned(), error }
        }
        AlloyError::SerError(source) => TransportError::Params { method: method.to_owned(), source },
        AlloyError::DeserError { err, .. } => not_json(method, err),
        AlloyError::Transport(TransportErrorKind::HttpError(failure)) => {
            let (method, endpoint, status) = (method.to_owned(), endpoint(), failure.status);
            match status {
                429 => {
                    TransportError::RateLimited { method, endpoint, status, retry_after: None, answer: None }
                }
                _ => TransportError::Http { method, endpoint, status },
            }
        }
        _ => interrupted(),
    })
}

fn not_json(method: &str, source: serde_json::Error) -> TransportError {
    TransportError::InvalidResponse { method: method.to_owned(), reason: InvalidResponse::NotJson(source) }
}

fn endpoint() -> Endpoint {
    Endpoint::named("the alloy provider")
}
