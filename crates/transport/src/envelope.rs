//! JSON-RPC 2.0 request and response objects.

use crate::{InvalidResponse, RpcError, endpoint::Secrets, exact_json};
use serde::Serialize;
use serde_json::Value;

/// A request. Its id is a number, the one form that every server takes.
#[derive(Serialize)]
pub(crate) struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: Value,
}

impl<'a> Request<'a> {
    pub(crate) fn new(id: u64, method: &'a str, params: Value) -> Self {
        Self { jsonrpc: "2.0", id, method, params: exact_json::params(params) }
    }
}

/// The outcome in the response `body` to the request `id`.
///
/// An error may come without an id or with `null`, as the specification has it for requests that could not be read.
/// A number that is no 64-bit integer, such as 0.1 or 2^64, becomes a string of its own digits: a double would lose some.
pub(crate) fn read(
    body: &[u8],
    id: u64,
    secrets: &Secrets,
) -> Result<Result<Value, RpcError>, InvalidResponse> {
    let response = exact_json::read(body).map_err(InvalidResponse::NotJson)?;
    let Value::Object(mut response) = response else { return Err(InvalidResponse::NotAResponse) };
    let answered = response.remove("id").unwrap_or(Value::Null);
    let error = response.remove("error").filter(|error| !error.is_null());

    if answered.as_u64() != Some(id) && !(answered.is_null() && error.is_some()) {
        let actual = secrets.remove_from(&answered.to_string()).chars().take(32).collect();
        return Err(InvalidResponse::IdMismatch { expected: id, actual });
    }
    match error {
        Some(error) => read_error(error, secrets).map(Err),
        None => response.remove("result").map(Ok).ok_or(InvalidResponse::Empty),
    }
}

fn read_error(error: Value, secrets: &Secrets) -> Result<RpcError, InvalidResponse> {
    let Value::Object(mut error) = error else { return Err(InvalidResponse::MalformedError) };
    let code = error.get("code").and_then(Value::as_i64).ok_or(InvalidResponse::MalformedError)?;
    let message = error.get("message").and_then(Value::as_str).ok_or(InvalidResponse::MalformedError)?;
    let message = secrets.remove_from(message);
    let data =
        error.remove("data").filter(|data| !data.is_null()).map(|data| secrets.remove_from_value(data));
    Ok(RpcError { code, message, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &str) -> Result<Result<Value, RpcError>, InvalidResponse> {
        super::read(body.as_bytes(), 7, &Secrets::of(&"http://example.org".parse().unwrap()))
    }

    #[test]
    fn a_request_has_a_number_as_id_and_an_array_as_params() {
        let request = serde_json::to_value(Request::new(7, "eth_chainId", Value::Null)).unwrap();
        assert_eq!(request, json!({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId", "params": []}));
    }

    #[test]
    fn results_are_read_also_null_and_beside_a_null_error() {
        assert_eq!(read(r#"{"id":7,"result":null}"#).unwrap(), Ok(Value::Null));
        assert_eq!(read(r#"{"id":7,"result":"0x1","error":null}"#).unwrap(), Ok(json!("0x1")));
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let body = r#" {"id": 7, "result": {"fee": 0.12345678901234567891, "rates": [18446744073709551616, 1e3, -2, 5]}}"#;
        let expected =
            json!({ "fee": "0.12345678901234567891", "rates": ["18446744073709551616", "1e3", -2, 5] });
        assert_eq!(read(body).unwrap(), Ok(expected));
    }

    #[test]
    fn an_error_may_come_without_an_id() {
        let error = RpcError { code: -32700, message: "bad".into(), data: None };
        for body in [
            r#"{"id":null,"error":{"code":-32700,"message":"bad"}}"#,
            r#"{"error":{"code":-32700,"message":"bad","data":null}}"#,
            r#"{"id":7,"result":1,"error":{"code":-32700,"message":"bad"}}"#,
        ] {
            assert_eq!(read(body).unwrap(), Err(error.clone()), "{body}");
        }
    }

    #[test]
    fn other_ids_are_refused() {
        for body in [
            r#"{"id":8,"result":1}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"id":null,"result":1}"#,
            r#"{"result":1}"#,
            r#"{"id":8,"error":{"code":1,"message":"for another"}}"#,
        ] {
            assert!(matches!(read(body), Err(InvalidResponse::IdMismatch { expected: 7, .. })), "{body}");
        }
    }

    #[test]
    fn malformed_answers_say_what_is_wrong() {
        assert!(matches!(read("<html>"), Err(InvalidResponse::NotJson(_))));
        assert!(matches!(read("[]"), Err(InvalidResponse::NotAResponse)));
        assert!(matches!(read(r#"{"id":7}"#), Err(InvalidResponse::Empty)));
        assert!(matches!(read(r#"{"id":7,"error":"no"}"#), Err(InvalidResponse::MalformedError)));
        assert!(matches!(read(r#"{"id":7,"error":{"code":1}}"#), Err(InvalidResponse::MalformedError)));
    }
}
