//! JSON-RPC for bundlers, paymasters and nodes of a chain.
//!
//! [`Transport`] is what the crates above depend on; [`HttpTransport`] is its implementation over HTTP (feature `http`),
//! and [`AlloyTransport`] by an application's own alloy provider (feature `alloy`). A call has
//! one deadline over all its attempts, is cancelled when its future is dropped, and is repeated only when that
//! cannot do a thing twice: the caller marks each request with [`Repeat`], and a connection that was never made may
//! always be tried again.
//!
//! WebSockets of other crates are encrypted by [`platform_tls`] or [`tls_with_roots`] (feature `tls`).
//!
//! A JSON-RPC error is a [`TransportError::Rpc`] whatever the HTTP status that carried it. No message, `Debug`
//! output or source of an error shows the secret parts of the endpoint's URL: see [`Endpoint`].
//!
//! ```
//! # #[cfg(feature = "http")] {
//! use quorate_transport::{HttpTransport, TransportError, TransportExt};
//! use std::time::Duration;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let chain = HttpTransport::builder("https://rpc.example.org/v2/4f0c1dd8ab3e72".parse()?)
//!     .deadline(Duration::from_secs(5))
//!     .build()?;
//! let chain_id: String = chain.call("eth_chainId", ()).await?;
//! # Ok(()) }
//! # }
//! ```

#[cfg(feature = "alloy")]
mod alloy;
mod endpoint;
#[cfg(feature = "http")]
mod envelope;
mod error;
#[cfg(any(feature = "http", feature = "alloy"))]
mod exact_json;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod retry_after;
#[cfg(feature = "tls")]
mod tls;
mod transport;

#[cfg(feature = "alloy")]
pub use alloy::AlloyTransport;
pub use endpoint::Endpoint;
#[cfg(feature = "http")]
pub use error::BuildError;
pub use error::{ConnectionFailure, InvalidResponse, RpcError, TransportError};
#[cfg(feature = "http")]
pub use http::{HttpTransport, HttpTransportBuilder};
#[cfg(feature = "tls")]
pub use tls::{RootCertificateError, platform_tls, tls_with_roots};
pub use transport::{Repeat, Transport, TransportExt, decode_result};
