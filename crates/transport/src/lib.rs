//! JSON-RPC for bundlers, paymasters and nodes of a chain.
//!
//! [`Transport`] is what the crates above depend on; [`HttpTransport`] is its implementation over HTTP. A call has
//! one deadline over all its attempts, is cancelled when its future is dropped, and is repeated only when that
//! cannot do a thing twice: the caller marks each request with [`Repeat`], and a connection that was never made may
//! always be tried again.
//!
//! A JSON-RPC error is a [`TransportError::Rpc`] whatever the HTTP status that carried it. No message, `Debug`
//! output or source of an error shows the secret parts of the endpoint's URL: see [`Endpoint`].
//!
//! ```
//! use quorate_transport::{HttpTransport, TransportError, TransportExt};
//! use std::time::Duration;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let chain = HttpTransport::builder("https://rpc.example.org/v2/4f0c1dd8ab3e72".parse()?)
//!     .deadline(Duration::from_secs(5))
//!     .build()?;
//! let chain_id: String = chain.call("eth_chainId", ()).await?;
//! # Ok(()) }
//! ```

mod endpoint;
mod envelope;
mod error;
mod http;
mod retry_after;
mod transport;

pub use endpoint::Endpoint;
pub use error::{BuildError, ConnectionFailure, InvalidResponse, RpcError, TransportError};
pub use http::{HttpTransport, HttpTransportBuilder};
pub use transport::{Repeat, Transport, TransportExt, decode_result};
