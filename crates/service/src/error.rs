//! What the service answers where something went wrong: JSON-RPC's codes, those of EIP-1193, EIP-1474 and EIP-5792.

use std::fmt::Display;

use quorate::{Concern, Error, NetworkError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::call_ids::CallIdsError;
use crate::refusal::Refusal;

/// An error as JSON-RPC writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

pub(crate) const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;
const REFUSED: i64 = -32001;
const UNAVAILABLE: i64 = -32002;
const REJECTED: i64 = -32003;
const LIMIT_EXCEEDED: i64 = -32005;
const UNAUTHORIZED: i64 = 4100;

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Display) -> Self {
        Self { code, message: message.to_string(), data: None }
    }

    fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub(crate) fn not_json(error: &serde_json::Error) -> Self {
        Self::new(-32700, format_args!("the body is no JSON: {error}"))
    }

    pub(crate) fn invalid_request(why: impl Display) -> Self {
        Self::new(INVALID_REQUEST, why)
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(-32601, format_args!("no method {method:?}; `rpc.discover` names those that there are"))
    }

    pub(crate) fn invalid_params(why: impl Display) -> Self {
        Self::new(INVALID_PARAMS, why)
    }

    /// Parameters with mistakes that have places.
    pub(crate) fn mistakes(message: impl Display, mistakes: &impl Serialize) -> Self {
        Self::invalid_params(message).with_data(json!({ "mistakes": mistakes }))
    }

    pub(crate) fn unauthorized(why: impl Display) -> Self {
        Self::new(UNAUTHORIZED, why)
    }

    pub(crate) fn unsupported_method(why: impl Display) -> Self {
        Self::new(4200, why)
    }

    pub(crate) fn limit_exceeded(why: impl Display) -> Self {
        Self::new(LIMIT_EXCEEDED, why)
    }

    pub(crate) fn unsupported_capability(why: impl Display) -> Self {
        Self::new(5700, why)
    }

    pub(crate) fn unsupported_chain(asked: u64, served: u64) -> Self {
        Self::new(5710, format_args!("the service is on chain {served:#x}, and the calls are for {asked:#x}"))
    }

    pub(crate) fn used_id(id: &str) -> Self {
        Self::new(
            5720,
            format_args!("the id {id:?} was used; wallet_getCallsStatus says what became of its calls"),
        )
    }

    pub(crate) fn unknown_id(id: &str) -> Self {
        Self::new(5730, format_args!("no calls were sent under the id {id:?} with this token"))
    }

    /// Several calls that cannot be one operation; none is sent.
    pub(crate) fn no_batches(is_atomic_required: bool) -> Self {
        let why = "no live session of the account can make several calls in one operation, and they are not sent one by one; \
                   grant one with `batches`";
        Self::new(if is_atomic_required { 5760 } else { 5740 }, why)
    }

    pub(crate) fn refused(message: impl Display, refusal: &Refusal) -> Self {
        Self::new(REFUSED, message).with_data(json!(refusal))
    }

    /// A draft that cannot be shown whole, and is not to be signed unseen.
    pub(crate) fn not_shown(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(REJECTED, format_args!("the draft cannot be shown: {}", written(error)))
    }

    /// The service's own failure, whose cause is its operator's to read.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(-32603, "the service failed; its log says why")
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        if let Some(refusal) = Refusal::of(&error) {
            return Self::refused(written(&error), &refusal);
        }
        let code = match error.concern() {
            Concern::Store => return Self::internal(&error),
            Concern::Input => INVALID_PARAMS,
            _ if is_transient(&error) => UNAVAILABLE,
            _ => REJECTED,
        };
        Self::new(code, written(&error)).with_data(json!({
            "kind": error.code(),
            "concern": error.concern().to_string(),
            "remedy": error.remedy(),
            "userOpHash": error.user_op_hash(),
        }))
    }
}

/// Whether the same request may succeed later.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::NotSent { source, .. } | Error::Unsettled { source, .. } => return is_transient(source),
        // A transparent error's cause is not among its sources.
        Error::Network(error) => return error.is_transient(),
        _ => {}
    }
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| (*cause).source());
    causes.any(|cause| {
        cause.downcast_ref().is_some_and(Error::is_transient)
            || cause.downcast_ref().is_some_and(NetworkError::is_transient)
    })
}

impl From<CallIdsError> for RpcError {
    fn from(error: CallIdsError) -> Self {
        Self::internal(&error)
    }
}

/// An error with its causes, where they say more.
pub(crate) fn written(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
