#![doc = include_str!("../README.md")]

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
