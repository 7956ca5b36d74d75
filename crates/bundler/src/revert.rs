//! Why a contract reverted, out of revert data, the objects around it, and bundlers' texts.

use std::fmt;

use alloy_primitives::{Bytes, Selector, U256, hex};
use alloy_sol_types::{Panic, PanicKind, Revert as ErrorString, SolError, sol};
use quorate_contracts::EntryPoint::FailedOp;
use serde_json::{Map, Value};

use crate::EntryPointCode;

sol! {
    /// EntryPoint v0.7's form of `FailedOp`, with the data of the inner revert.
    error FailedOpWithRevert(uint256 opIndex, string reason, bytes inner);
}

/// How deep objects and errors inside errors are followed.
const DEPTH: usize = 8;

/// Why the account, a module or the called contract reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revert {
    /// The contract's own words: Solidity's `Error(string)`, or what the bundler quotes.
    Reason(String),
    /// Solidity's `Panic(uint256)`: an overflow, a division by zero.
    Panic {
        /// The kind of panic, as Solidity numbers it: 0x11 is an overflow.
        code: U256,
    },
    /// An error that the contract declares by itself.
    Custom {
        /// Which error it is: the first four bytes of the hash of its signature.
        selector: Selector,
        /// Its arguments, ABI-encoded, without the selector.
        data: Bytes,
    },
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason(reason) => f.write_str(reason),
            Self::Panic { code } => {
                let kind = u32::try_from(*code).ok().and_then(PanicKind::from_number);
                write!(f, "panic: {} ({code:#04x})", kind.map_or("unknown", PanicKind::as_str))
            }
            Self::Custom { selector, data } => write!(f, "custom error {selector}{}", hex::encode(data)),
        }
    }
}

/// What an answer's data and message say of a revert. A reason in words goes before an undecoded error.
pub(crate) fn of_error(message: &str, data: Option<&Value>) -> Option<Revert> {
    let in_data = data.and_then(|data| in_json(data, false, DEPTH));
    match in_data {
        Some(Revert::Custom { .. }) | None => in_text(message).or(in_data),
        found => found,
    }
}

/// What a receipt's `reason` says, where it is more than an empty value.
pub(crate) fn of_receipt(reason: &Value) -> Option<String> {
    match reason {
        Value::String(text) if text.trim().is_empty() || text.trim().eq_ignore_ascii_case("0x") => None,
        Value::String(text) => Some(match hex_data(text).and_then(|data| in_bytes(&data, DEPTH)) {
            // As the bundler wrote it, so that it can be looked up.
            Some(Revert::Custom { .. }) | None => text.trim().to_owned(),
            Some(revert) => revert.to_string(),
        }),
        Value::Object(fields) if !fields.is_empty() => {
            let revert = in_json(reason, true, DEPTH);
            let message = || fields.get("message").and_then(Value::as_str).map(str::to_owned);
            Some(
                revert
                    .map(|revert| revert.to_string())
                    .or_else(message)
                    .unwrap_or_else(|| reason.to_string()),
            )
        }
        Value::Array(items) => items.iter().find_map(of_receipt),
        _ => None,
    }
}

/// The entry point's code, such as `AA23`, in the message or else in the data.
pub(crate) fn entry_point_code(message: &str, data: Option<&Value>) -> Option<EntryPointCode> {
    code_in_text(message).or_else(|| code_in_json(data?, DEPTH))
}

fn code_in_text(text: &str) -> Option<EntryPointCode> {
    code_and_rest(text).map(|(code, _)| code)
}

/// `AA` and two digits as a word of their own, and the text after it.
fn code_and_rest(text: &str) -> Option<(EntryPointCode, &str)> {
    let is_part_of_a_word = |next: char| next.is_alphanumeric() || next == '_';
    text.match_indices("AA").find_map(|(at, _)| {
        let rest = text.get(at + 4..)?;
        let digits = <[u8; 2]>::try_from(text.get(at + 2..at + 4)?.as_bytes()).ok()?;
        let is_word = !text[..at].ends_with(is_part_of_a_word) && !rest.starts_with(is_part_of_a_word);
        let is_code = is_word && digits.iter().all(u8::is_ascii_digit);
        is_code.then(|| (EntryPointCode::from_digits(digits), rest))
    })
}

fn code_in_json(json: &Value, depth: usize) -> Option<EntryPointCode> {
    let depth = depth.checked_sub(1)?;
    match json {
        Value::String(text) => {
            let by_entry_point = || {
                let data = hex_data(text)?;
                let reason = failed_op(&data).map(|(reason, _)| reason)?;
                code_in_text(&reason)
            };
            code_in_text(text).or_else(by_entry_point)
        }
        Value::Array(items) => items.iter().find_map(|item| code_in_json(item, depth)),
        Value::Object(fields) => fields.values().find_map(|field| code_in_json(field, depth)),
        _ => None,
    }
}

/// The revert that JSON tells of; `quoted` where a string is a reason by itself.
fn in_json(json: &Value, quoted: bool, depth: usize) -> Option<Revert> {
    let depth = depth.checked_sub(1)?;
    match json {
        Value::String(text) => match hex_data(text) {
            Some(data) => in_bytes(&data, depth),
            None => in_text(text).or_else(|| quoted.then(|| stripped(text)).flatten()),
        },
        Value::Array(items) => best(items.iter().filter_map(|item| in_json(item, quoted, depth))),
        Value::Object(fields) => in_object(fields, depth),
        _ => None,
    }
}

fn in_object(fields: &Map<String, Value>, depth: usize) -> Option<Revert> {
    // The innermost first. What stands under the first six is a reason by itself, in the others only what looks like one.
    const QUOTED: usize = 6;
    const NAMES: [&str; 19] = [
        "innerReason",
        "inner_reason",
        "innerRevertReason",
        "revertReason",
        "revert_reason",
        "reason",
        "revertData",
        "revert_data",
        "innerRevertData",
        "inner_revert_data",
        "data",
        "originalError",
        "error",
        "cause",
        "details",
        "result",
        "returnData",
        "output",
        "message",
    ];
    let named = NAMES.iter().enumerate().filter_map(|(place, name)| Some((place, fields.get(*name)?)));
    best(named.filter_map(|(place, field)| in_json(field, place < QUOTED, depth)))
}

/// The first that is in words, or else the first.
fn best(reverts: impl Iterator<Item = Revert>) -> Option<Revert> {
    let mut undecoded = None;
    for revert in reverts {
        match revert {
            Revert::Custom { .. } => undecoded = undecoded.or(Some(revert)),
            decoded => return Some(decoded),
        }
    }
    undecoded
}

/// The bytes of a string that is nothing but hex with `0x`.
fn hex_data(text: &str) -> Option<Bytes> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    hex::decode(digits).ok().map(Bytes::from)
}

/// What revert data says. Where an error of Solidity's stands inside another one, it is the inner one.
fn in_bytes(data: &[u8], depth: usize) -> Option<Revert> {
    let depth = depth.checked_sub(1)?;
    if let Some((reason, inner)) = failed_op(data) {
        let inner = inner.and_then(|inner| in_bytes(&inner, depth));
        return inner.or_else(|| in_text(&reason));
    }
    if let Some(revert) = of_solidity(data) {
        return Some(revert);
    }
    if data.len() > 4 && data.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return String::from_utf8(data.to_vec())
            .ok()
            .and_then(|text| in_text(&text).or_else(|| stripped(&text)));
    }
    let inner = (1..data.len()).find_map(|at| of_solidity(&data[at..]));
    inner.or_else(|| custom(data))
}

/// The reason of the entry point's own error, and the data of the revert inside it (v0.7).
fn failed_op(data: &[u8]) -> Option<(String, Option<Bytes>)> {
    if let Ok(failed) = FailedOp::abi_decode(data) {
        return Some((failed.reason, None));
    }
    FailedOpWithRevert::abi_decode(data).ok().map(|failed| (failed.reason, Some(failed.inner)))
}

fn of_solidity(data: &[u8]) -> Option<Revert> {
    if data.starts_with(&ErrorString::SELECTOR) {
        let reason = ErrorString::abi_decode(data).ok()?.reason;
        return in_text(&reason).or_else(|| stripped(&reason));
    }
    if data.starts_with(&Panic::SELECTOR) {
        return Panic::abi_decode(data).ok().map(|panic| Revert::Panic { code: panic.code });
    }
    None
}

/// An error is a selector and words; other bytes, a hash for example, are none.
fn custom(data: &[u8]) -> Option<Revert> {
    let (selector, arguments) = data.split_first_chunk()?;
    (arguments.len() % 32 == 0).then(|| Revert::Custom {
        selector: Selector::from(*selector),
        data: Bytes::copy_from_slice(arguments),
    })
}

/// The reason in a text in which a bundler or an entry point says that something reverted.
fn in_text(text: &str) -> Option<Revert> {
    // Rundler's, the innermost first.
    for label in ["[inner reason]: ", "[reason]: "] {
        if let Some((_, reason)) = text.split_once(label) {
            let reason = reason.split(" | [").next().unwrap_or(reason);
            if let Some(found) = in_text(reason).or_else(|| stripped(reason)) {
                return Some(found);
            }
        }
    }
    if text.contains("[reason]: ") {
        return None;
    }
    // The entry point's, `AA23 reverted: …`, inside whatever the bundler writes around it.
    if let Some((_, reason)) = code_and_rest(text) {
        let reason = reason.trim_start().strip_prefix("reverted")?;
        return stripped(reason.trim_start_matches(':'));
    }
    [
        "with reason string ",
        "with reason: ",
        "revert reason: ",
        "reverted: ",
        "revert: ",
        "Reverted ",
        "reverted 0x",
    ]
    .into_iter()
    .find_map(|label| {
        let (_, reason) = text.split_once(label)?;
        if label.ends_with("0x") { stripped(&format!("0x{reason}")) } else { stripped(reason) }
    })
}

/// A quoted reason without its quotation marks, or what the hex that stands there says.
fn stripped(reason: &str) -> Option<Revert> {
    let marks = |next: char| matches!(next, '"' | '\'' | '`') || next.is_whitespace();
    // `FailedOp(0, "AA23 reverted: …")`
    let reason = reason.trim().trim_end_matches("\")").trim_matches(marks);
    if reason.starts_with("0x") || reason.starts_with("0X") {
        let end = reason.find(|next: char| !next.is_ascii_alphanumeric()).unwrap_or(reason.len());
        return in_bytes(&hex_data(&reason[..end])?, DEPTH / 2);
    }
    // `AA23 reverted (or OOG)`, and the entry point's errors that quote no other contract.
    if reason.is_empty()
        || reason == "(or OOG)"
        || code_in_text(reason).is_some_and(|code| reason.starts_with(&code.to_string()))
    {
        return None;
    }
    Some(Revert::Reason(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RULE: &str = "ABISV Arg Rule Violated";

    fn reason(text: &str) -> Option<Revert> {
        Some(Revert::Reason(text.to_owned()))
    }

    fn error_string(text: &str) -> String {
        hex::encode_prefixed(ErrorString::from(text).abi_encode())
    }

    fn failed(reason: &str) -> FailedOp {
        FailedOp { opIndex: U256::ZERO, reason: reason.to_owned() }
    }

    #[test]
    fn entry_point_codes_are_words() {
        for (text, expected) in [
            ("AA23 reverted: nope", Some("AA23")),
            ("FailedOp(0,\"AA21 didn't pay prefund\")", Some("AA21")),
            ("validation reverted: [reason]: AA23 reverted | [inner reason]: x", Some("AA23")),
            ("AA25", Some("AA25")),
            ("AA10: sender already constructed", Some("AA10")),
            ("0x5FbDB2315678afecb367f032d93F642f64180AA3 unknown", None),
            ("sender 0xAA12bDB2315678afecb367f032d93F642f641800 unknown", None),
            ("sender 0x5FbDAA12 315678", None),
            ("sender 5FbDB2315678afecb367f032d93F642f6418AA12", None),
            ("AA12bDB2315678afecb367f032d93F642f641800 unknown", None),
            ("AAA23 reverted", None),
            ("AA234 reverted", None),
            ("AA2x", None),
            ("XAA23", None),
            ("ÄAA23", None),
            ("AA2", None),
            ("AAA21 and then AA31 paymaster deposit too low", Some("AA31")),
        ] {
            assert_eq!(
                entry_point_code(text, None).map(|code| code.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
        let data = json!({ "reason": "AA24 signature error" });
        assert_eq!(entry_point_code("validation failed", Some(&data)), Some(EntryPointCode::AA24));
        let data = json!(hex::encode_prefixed(failed("AA33 reverted: no").abi_encode()));
        assert_eq!(entry_point_code("validation failed", Some(&data)), Some(EntryPointCode::AA33));
    }

    #[test]
    fn reasons_are_read_out_of_texts() {
        for (text, expected) in [
            ("AA23 reverted: ABISV Arg Rule Violated", reason(RULE)),
            ("UserOperation reverted with reason: AA23 reverted: ABISV Arg Rule Violated", reason(RULE)),
            ("FailedOp(0,\"AA23 reverted: ABISV Arg Rule Violated\")", reason(RULE)),
            (
                "validation reverted: [reason]: AA23 reverted | [inner reason]: ABISV Arg Rule Violated",
                reason(RULE),
            ),
            ("validation reverted: [reason]: AA23 reverted: ABISV Arg Rule Violated", reason(RULE)),
            ("validation reverted: [reason]: AA23 reverted", None),
            ("validation reverted: [reason]: AA24 signature error", None),
            ("0xAA23dB2315678afecb367f032d93F642f6418000: AA23 reverted: nope", reason("nope")),
            ("execution reverted: nope", reason("nope")),
            ("VM Exception while processing transaction: reverted with reason string 'nope'", reason("nope")),
            ("execution reverted", None),
            ("AA23 reverted (or OOG)", None),
            ("AA21 didn't pay prefund", None),
            ("execution reverted: 0x", None),
            ("Internal error", None),
        ] {
            assert_eq!(in_text(text), expected, "{text}");
        }
        let data = error_string(RULE);
        for text in [
            format!("UserOperation reverted during simulation with reason: {data}"),
            format!("AA23 reverted {data}"),
            format!("Reverted {data}"),
            format!("execution reverted: {data}"),
        ] {
            assert_eq!(in_text(&text), reason(RULE), "{text}");
        }
    }

    #[test]
    fn reasons_are_read_out_of_data_however_deep() {
        let plain = error_string(RULE);
        let failed_op = hex::encode_prefixed(failed(&format!("AA23 reverted: {RULE}")).abi_encode());
        let with_revert = FailedOpWithRevert {
            opIndex: U256::ZERO,
            reason: "AA23 reverted".to_owned(),
            inner: ErrorString::from(RULE).abi_encode().into(),
        };
        let wrapped = format!("0xdeadbeef{}", plain.trim_start_matches("0x"));
        for data in [
            json!(plain),
            json!(plain.to_uppercase()),
            json!(failed_op),
            json!(hex::encode_prefixed(with_revert.abi_encode())),
            json!(wrapped),
            json!({ "data": plain }),
            json!({ "revertData": plain }),
            json!({ "reason": RULE }),
            json!({ "reason": "AA23 reverted", "innerReason": RULE, "revertData": null }),
            json!({ "reason": "AA23 reverted", "innerReason": null, "revertData": plain }),
            json!({ "reason": format!("AA23 reverted: {RULE}") }),
            json!({ "originalError": { "code": 3, "data": { "data": plain } } }),
            json!({ "originalError": { "message": format!("execution reverted: {RULE}") } }),
            json!([{ "data": plain }]),
            json!(format!("Reverted {plain}")),
        ] {
            assert_eq!(of_error("validation failed", Some(&data)), reason(RULE), "{data}");
        }
    }

    #[test]
    fn panics_and_errors_of_the_contract_are_typed() {
        let panic = hex::encode_prefixed(Panic { code: U256::from(0x11) }.abi_encode());
        let found = of_error("execution reverted", Some(&json!(panic))).unwrap();
        assert_eq!(found, Revert::Panic { code: U256::from(0x11) });
        assert_eq!(found.to_string(), "panic: arithmetic underflow or overflow (0x11)");

        let own = format!("0xdeadbeef{}", "00".repeat(32));
        let custom = of_error("execution reverted", Some(&json!({ "data": own }))).unwrap();
        assert_eq!(
            custom,
            Revert::Custom { selector: [0xde, 0xad, 0xbe, 0xef].into(), data: [0; 32].into() }
        );
        assert_eq!(custom.to_string(), format!("custom error {own}"));
        assert_eq!(of_error("execution reverted: nope", Some(&json!(own))), reason("nope"));
    }

    #[test]
    fn what_is_no_revert_data_is_none() {
        let mut deep = json!(error_string(RULE));
        for _ in 0..20 {
            deep = json!({ "data": deep });
        }
        for data in
            [json!(null), json!("0x"), json!(7), json!(format!("0x{}", "11".repeat(32))), json!({}), deep]
        {
            assert_eq!(of_error("validation failed", Some(&data)), None, "{data}");
        }
    }

    #[test]
    fn a_receipts_reason_is_read_in_every_form() {
        let panic = hex::encode_prefixed(Panic { code: U256::from(0x12) }.abi_encode());
        for (form, expected) in [
            (json!(RULE), Some(RULE)),
            (json!(error_string(RULE)), Some(RULE)),
            (json!(panic), Some("panic: division or modulo by zero (0x12)")),
            (json!({ "reason": RULE }), Some(RULE)),
            (json!({ "data": error_string(RULE) }), Some(RULE)),
            (json!({ "message": RULE }), Some(RULE)),
            (json!({ "code": 3 }), Some("{\"code\":3}")),
            (json!("0xdeadbeef"), Some("0xdeadbeef")),
            (json!("0x"), None),
            (json!(""), None),
            (json!(null), None),
            (json!({}), None),
            (json!(false), None),
        ] {
            assert_eq!(of_receipt(&form).as_deref(), expected, "{form}");
        }
    }
}
