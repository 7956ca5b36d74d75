//! The trait that the crates above depend on, and its typed calls.

use crate::{InvalidResponse, TransportError};
use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt::Debug, future::Future, sync::Arc};

/// Carries JSON-RPC requests to one endpoint.
///
/// Dropping the future of a call cancels it; whether the endpoint had acted on the request by then is not known.
#[async_trait]
pub trait Transport: Debug + Send + Sync {
    /// Sends one request and returns the `result` member of its answer, which may be `null`.
    ///
    /// `params` is an array, an object, or `null` for none. An implementation repeats the request by itself only as
    /// `repeat` allows.
    ///
    /// # Errors
    /// [`TransportError::Rpc`] when the endpoint answered with an error; the other variants when it did not answer.
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError>;
}

/// Whether a request may be sent again when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// A second request changes nothing: a read, or a write that names its own outcome.
    Safe,
    /// A second request could act a second time. Repeated only when no connection was made, so nothing was sent.
    Never,
}

/// Typed calls over any [`Transport`].
pub trait TransportExt: Transport {
    /// Calls a method that only reads, and so may be repeated, and decodes its result.
    ///
    /// `params` is what the method takes as its array: a tuple, a `Vec`, or `()` for none.
    ///
    /// # Errors
    /// As [`Transport::request`]; [`TransportError::Params`] when the parameters have no JSON form, and
    /// [`InvalidResponse::Result`], with the path to the field, when the result is not a `T`.
    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize + Send,
    ) -> impl Future<Output = Result<T, TransportError>> + Send {
        typed(self, method, params, Repeat::Safe)
    }

    /// Calls a method that acts, and so is never repeated once it may have arrived, and decodes its result.
    ///
    /// # Errors
    /// As [`TransportExt::call`]. After an error, [`TransportError::may_have_been_executed`] says whether the
    /// request may have taken effect all the same.
    fn call_once<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize + Send,
    ) -> impl Future<Output = Result<T, TransportError>> + Send {
        typed(self, method, params, Repeat::Never)
    }
}

impl<X: Transport + ?Sized> TransportExt for X {}

async fn typed<T: DeserializeOwned>(
    transport: &(impl Transport + ?Sized),
    method: &str,
    params: impl Serialize + Send,
    repeat: Repeat,
) -> Result<T, TransportError> {
    let params = serde_json::to_value(params)
        .map_err(|source| TransportError::Params { method: method.to_owned(), source })?;
    decode_result(method, transport.request(method, params, repeat).await?)
}

/// Decodes the `result` that a [`Transport`] gave for `method`, for callers that look at it first.
///
/// # Errors
/// [`InvalidResponse::Result`], with the path to the field, when the result is not a `T`.
pub fn decode_result<T: DeserializeOwned>(method: &str, result: Value) -> Result<T, TransportError> {
    serde_path_to_error::deserialize(result).map_err(|error| {
        let path = error.path().to_string();
        let reason = InvalidResponse::Result { path, source: error.into_inner() };
        TransportError::InvalidResponse { method: method.to_owned(), reason }
    })
}

#[async_trait]
impl<X: Transport + ?Sized> Transport for Arc<X> {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        X::request(self, method, params, repeat).await
    }
}
