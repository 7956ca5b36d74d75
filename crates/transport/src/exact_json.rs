//! JSON without doubles, which would lose digits.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters that are `null`, as `()` becomes, are sent as an empty array: some servers insist on one.
pub(crate) fn params(params: Value) -> Value {
    if params.is_null() { Value::Array(Vec::new()) } else { params }
}

/// Reads JSON. A number that is no 64-bit integer, such as 0.1 or 2^64, becomes a string of its own digits.
pub(crate) fn read(text: &[u8]) -> serde_json::Result<Value> {
    let json = serde_json::from_slice(text)?;
    if has_doubles(&json) { serde_json::from_slice(text).and_then(exact) } else { Ok(json) }
}

fn has_doubles(json: &Value) -> bool {
    match json {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_doubles),
        Value::Object(fields) => fields.values().any(has_doubles),
        _ => false,
    }
}

/// The same JSON, where numbers that would be doubles are strings.
fn exact(json: &RawValue) -> serde_json::Result<Value> {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            let fields = fields.into_iter().map(|(name, value)| Ok((name, exact(value)?)));
            fields.collect::<serde_json::Result<Map<_, _>>>().map(Value::Object)
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            values.into_iter().map(exact).collect::<serde_json::Result<_>>().map(Value::Array)
        }
        _ => Ok(match serde_json::from_str(text)? {
            Value::Number(number) if number.is_f64() => Value::String(text.to_owned()),
            value => value,
        }),
    }
}
