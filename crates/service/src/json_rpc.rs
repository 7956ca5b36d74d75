//! JSON-RPC 2.0: what comes in a body, and what goes out.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::RpcError;

/// The most requests in a batch.
pub(crate) const MOST_IN_BATCH: usize = 20;

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Body {
    Single(Result<Request, Response>),
    Batch(Vec<Result<Request, Response>>),
}

/// One request; without an id nobody waits for its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    jsonrpc: String,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) params: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) id: Option<Value>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Response {
    jsonrpc: &'static str,
    id: Value,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(RpcError),
}

impl Response {
    pub(crate) fn new(id: Value, outcome: Result<Value, RpcError>) -> Self {
        let outcome = match outcome {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error),
        };
        Self { jsonrpc: "2.0", id, outcome }
    }

    /// An answer to a request that could not be read.
    pub(crate) fn to_nobody(error: RpcError) -> Self {
        Self::new(Value::Null, Err(error))
    }
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// The one answer to what is no JSON, an empty batch, or one that is too long.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Response> {
        let body: &RawValue =
            serde_json::from_slice(bytes).map_err(|error| Response::to_nobody(RpcError::not_json(&error)))?;
        if !body.get().starts_with('[') {
            return Ok(Self::Single(Request::read(body)));
        }
        let requests: Vec<&RawValue> = serde_json::from_str(body.get())
            .map_err(|error| Response::to_nobody(RpcError::not_json(&error)))?;
        let refused = |why: String| Err(Response::to_nobody(RpcError::invalid_request(why)));
        match requests.len() {
            0 => refused("a batch has at least one request".to_owned()),
            1..=MOST_IN_BATCH => Ok(Self::Batch(requests.into_iter().map(Request::read).collect())),
            len => refused(format!("the batch has {len} requests, at most {MOST_IN_BATCH} are taken")),
        }
    }

    /// How many requests there are.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Batch(requests) => requests.len(),
        }
    }
}

impl Request {
    fn read(request: &RawValue) -> Result<Self, Response> {
        let invalid =
            |why: String| Response::to_nobody(RpcError::invalid_request(format!("no request: {why}")));
        let request: Self =
            serde_json::from_str(request.get()).map_err(|error| invalid(error.to_string()))?;
        if request.jsonrpc != "2.0" {
            return Err(invalid(format!("`jsonrpc` is {:?}, not \"2.0\"", request.jsonrpc)));
        }
        match request.id {
            None | Some(Value::Null | Value::String(_) | Value::Number(_)) => Ok(request),
            Some(_) => Err(invalid("`id` is a text or a number".to_owned())),
        }
    }

    /// The parameters by their places: so many as the tuple has, of which the last may be missing where they are options.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    pub(crate) fn params<T: DeserializeOwned>(&self) -> Result<T, RpcError> {
        let text = self.params.as_deref().map_or("[]", RawValue::get);
        let mut reader = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (path, why) = (error.path().to_string(), error.inner().to_string());
            RpcError::invalid_params(format_args!("params{path}: {why}"))
        })
    }

    /// The one parameter.
    ///
    /// # Errors
    /// As [`params`](Self::params).
    pub(crate) fn param<T: DeserializeOwned>(&self) -> Result<T, RpcError> {
        let [parameter] = self.params::<[T; 1]>()?;
        Ok(parameter)
    }
}

/// `null` is an id, and a missing one is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> i64 {
        let response = match Body::read(text.as_bytes()) {
            Ok(Body::Single(request)) => request.unwrap_err(),
            Ok(Body::Batch(_)) => panic!("a batch is read"),
            Err(response) => response,
        };
        serde_json::to_value(response).unwrap()["error"]["code"].as_i64().unwrap()
    }

    #[test]
    fn what_is_no_request_says_so() {
        assert_eq!(code("{"), -32700);
        assert_eq!(code("[]"), -32600);
        for text in [
            "1",
            r#"{"jsonrpc":"1.0","method":"a","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","method":"a","id":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"a","id":1,"parms":[]}"#,
        ] {
            assert_eq!(code(text), -32600, "{text}");
        }
        let many = format!("[{}1]", "1,".repeat(MOST_IN_BATCH));
        assert_eq!(code(&many), -32600);
    }

    #[test]
    fn a_request_without_an_id_is_a_notification() {
        let id = |text: &str| match Body::read(text.as_bytes()) {
            Ok(Body::Single(Ok(request))) => request.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"a"}"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"a","id":null}"#), Some(Value::Null));
    }

    #[test]
    fn wrong_parameters_say_where() {
        let text = r#"{"jsonrpc":"2.0","method":"a","params":[{"a":[1,"x"]}]}"#;
        let Ok(Body::Single(Ok(request))) = Body::read(text.as_bytes()) else { panic!() };
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "it is not read")]
        struct A {
            a: Vec<u8>,
        }
        let error = request.param::<A>().unwrap_err();
        assert!(error.message.starts_with("params[0].a[1]: "), "{}", error.message);
    }
}
