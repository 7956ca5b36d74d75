//! What the caller does about a bundler's error, out of the error alone.

use std::time::Duration;

use alloy_primitives::U256;
use quorate_transport::TransportError;

use crate::{BundlerError, EntryPointCode, Revert, SendOutcome, number, outcome};

impl BundlerError {
    /// What the caller does about it, in one sentence without a full stop; none where nothing is known to help.
    ///
    /// It is made from the error alone, without a request, and names the value that is needed where the bundler does.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Rejected { .. } => self.remedy_of_rejection(),
            Self::OtherHash { .. } => {
                Some("name the chain and the entry point that the bundler serves, and sign again".to_owned())
            }
            Self::OtherReceipt { .. } => Some("ask another bundler, or read the chain's logs".to_owned()),
            Self::DifferentChains { first, .. } => {
                Some(format!("leave out the bundlers that are not of chain {first}, or those that are"))
            }
            Self::UnknownDialect { .. } => {
                Some("name the bundler's dialect, or send without a simulation type".to_owned())
            }
            Self::Transport(error) => of_transport(error),
        }
    }

    fn remedy_of_rejection(&self) -> Option<String> {
        let Self::Rejected { code, message, entry_point_code, revert, .. } = self else { return None };
        // What the bundler says in words is closer to the cause than a code, and Alto puts AA25 and AA10 before the
        // words of its own pool.
        if let Some(gas) = needed_pre_verification_gas(message) {
            return Some(format!(
                "raise preVerificationGas to at least {gas}, by a new estimate or a gas offset"
            ));
        }
        if self.is_full_pool() {
            return Some(
                "wait until one of the sender's operations is in a block, and send the same one again"
                    .to_owned(),
            );
        }
        if outcome::of(*code, message) == SendOutcome::Conflict {
            return Some(match self.replacement_fees() {
                Some(fees) => format!(
                    "wait for the operation that holds the nonce, or replace it at the same nonce with a maxFeePerGas of \
                     at least {} and a maxPriorityFeePerGas of at least {} wei",
                    a_tenth_more(fees.max_fee_per_gas),
                    a_tenth_more(fees.max_priority_fee_per_gas)
                ),
                None => "wait for the operation that holds the nonce, or replace it at the same nonce with both fees \
                         raised by a tenth or more"
                    .to_owned(),
            });
        }
        of_fees(message)
            .or_else(|| of_code(*entry_point_code, revert.as_ref()))
            .or_else(|| of_number(*code, message).map(str::to_owned))
            .or_else(|| revert.as_ref().map(of_revert))
    }
}

/// Rounded up.
fn a_tenth_more(wei: U256) -> U256 {
    wei.saturating_add(wei.div_ceil(U256::from(10)))
}

/// The N of `preVerificationGas is not enough, required: N, got: M`, in any case of letters; Rundler writes it with
/// `must be at least N`.
fn needed_pre_verification_gas(message: &str) -> Option<U256> {
    let message = message.to_ascii_lowercase();
    let (_, after) = message.split_once("preverificationgas")?;
    number_after(after, &["required: ", "required:", "at least "])
}

/// The number that follows the first of the labels that is there.
fn number_after(text: &str, labels: &[&str]) -> Option<U256> {
    let (_, after) = labels.iter().find_map(|label| text.split_once(label))?;
    let end = after.find(|next: char| !next.is_ascii_alphanumeric()).unwrap_or(after.len());
    after.get(..end).filter(|digits| !digits.is_empty()).and_then(|digits| number::parse(digits).ok())
}

/// `maxFeePerGas must be at least N` (Alto), `maxFeePerGas is M but must be at least N` (Rundler), and the same of the
/// priority fee.
fn of_fees(message: &str) -> Option<String> {
    let lower = message.to_ascii_lowercase();
    ["maxPriorityFeePerGas", "maxFeePerGas"].into_iter().find_map(|fee| {
        let (_, after) = lower.split_once(&fee.to_ascii_lowercase())?;
        let wei = number_after(after, &["must be at least ", "at least "])?;
        Some(format!("raise {fee} to at least {wei} wei, or take the fees that the bundler asks for"))
    })
}

fn of_code(code: Option<EntryPointCode>, revert: Option<&Revert>) -> Option<String> {
    let code = code?;
    let quotes_a_contract =
        matches!(code, EntryPointCode::AA23 | EntryPointCode::AA33 | EntryPointCode::AA50);
    Some(match revert {
        Some(revert @ (Revert::Panic { .. } | Revert::Reason(_))) if quotes_a_contract => {
            let whose =
                if code == EntryPointCode::AA23 { "the account or its module" } else { "the paymaster" };
            format!("mend what {whose} objects to: {revert}")
        }
        _ => code.remedy().to_owned(),
    })
}

fn of_revert(revert: &Revert) -> String {
    match revert {
        Revert::Reason(reason) => format!("mend what the contract objects to: {reason}"),
        Revert::Panic { .. } => {
            format!("check the call's arguments and amounts: the contract stops with a {revert}")
        }
        Revert::Custom { selector, .. } => {
            format!(
                "look the error {selector} up in the contract's ABI; it says what the contract objects to"
            )
        }
    }
}

/// By ERC-4337's error codes, and Rundler's −32000.
fn of_number(code: i64, message: &str) -> Option<&'static str> {
    Some(match code {
        -32501 => "ask the paymaster for new data and sign again with the same nonce, or let the account pay",
        -32502 => {
            "use an account, a module and a paymaster whose validation keeps to ERC-7562's opcodes and storage"
        }
        -32503 if message.to_ascii_lowercase().contains("soon") => {
            "sign again with a validUntil that is a minute or more away, of the session and of the paymaster"
        }
        -32503 => "wait until the operation is valid, or sign again with times that hold now",
        -32504 => "wait or send to another bundler: this one throttles or bans the paymaster or the factory",
        -32505 => {
            "wait for the sender's other operations or send to another bundler: the paymaster, the factory or the \
             account has too little stake for so many"
        }
        -32506 => {
            "send to a bundler that takes the account's signature aggregator, or use an account without one"
        }
        -32507 => {
            "sign with the account's owner or the session's key, for this chain and entry point, and change nothing after it"
        }
        -32508 => "fund the paymaster's deposit for all its operations that wait, or let the account pay",
        -32521 => return None,
        -32602 => {
            "check that the bundler takes the operation's form, for EntryPoint v0.6, and its number of parameters"
        }
        -32000 => "mend what the bundler's check names, and send with the same nonce",
        _ => return None,
    })
}

fn of_transport(error: &TransportError) -> Option<String> {
    match error {
        TransportError::RateLimited { retry_after: Some(after), .. } => {
            Some(format!("send less, and wait {} seconds before the next request", seconds(*after)))
        }
        TransportError::RateLimited { .. } => Some("send less, and wait before the next request".to_owned()),
        TransportError::Unreachable { .. } => {
            Some("check the bundler's address, and that this machine reaches it".to_owned())
        }
        TransportError::Http { status: 401 | 403, .. } => {
            Some("check the key in the bundler's address".to_owned())
        }
        error if error.is_unsupported_method() => {
            Some(format!("check that the address is a bundler's: it has no {}", error.method()))
        }
        _ => None,
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, hex};
    use alloy_sol_types::{Panic, Revert as ErrorString, SolError as _};
    use quorate_transport::{Endpoint, RpcError};
    use serde_json::{Value, json};

    const SEND: &str = "eth_sendUserOperation";

    fn remedy(method: &str, code: i64, message: &str, data: Value) -> Option<String> {
        let error = RpcError { code, message: message.to_owned(), data: Some(data) };
        BundlerError::from(TransportError::Rpc { method: method.to_owned(), error }).remedy()
    }

    #[test]
    fn each_rejection_has_a_remedy_that_names_what_is_needed() {
        let fees = json!({ "currentMaxFee": "0x65", "currentMaxPriorityFee": 10 });
        let nope = json!(hex::encode_prefixed(ErrorString::from("nope").abi_encode()));
        let panic = json!(hex::encode_prefixed(Panic { code: U256::from(0x11) }.abi_encode()));
        for (code, message, data, expected) in [
            (-32500, "AA21 didn't pay prefund", json!(null), "native coin"),
            (-32500, "AA22 expired or not due", json!(null), "session is valid"),
            (-32500, "AA25 invalid account nonce", json!(null), "read the nonce from the chain"),
            (-32500, "AA23 reverted (or OOG)", json!(null), "verification gas offset"),
            (
                -32500,
                "AA23 reverted: Rule Violated",
                json!(null),
                "the account or its module objects to: Rule Violated",
            ),
            (
                -32500,
                "validation reverted",
                json!({ "reason": "AA23 reverted", "revertData": panic }),
                "panic",
            ),
            (-32501, "AA33 reverted: too poor", json!(null), "the paymaster objects to: too poor"),
            (-32501, "AA31 paymaster deposit too low", json!(null), "fund the paymaster's deposit"),
            (-32501, "AA32 paymaster expired or not due", json!(null), "new data"),
            (-32501, "paymaster rejected", json!(null), "let the account pay"),
            (
                -32500,
                "preVerificationGas is not enough, required: 51204, got: 50000",
                json!(null),
                "at least 51204",
            ),
            (
                -32000,
                "precheck failed: preVerificationGas is 1 but must be at least 77",
                json!(null),
                "at least 77",
            ),
            (
                -32000,
                "precheck failed: maxFeePerGas is 1 but must be at least 2",
                json!(null),
                "maxFeePerGas to at least 2",
            ),
            (
                -32602,
                "maxPriorityFeePerGas must be at least 9 (current maxPriorityFeePerGas: 3)",
                json!(null),
                "maxPriorityFeePerGas to at least 9 wei",
            ),
            (-32000, "precheck failed: sender is not a contract", json!(null), "the bundler's check names"),
            (-32602, "replacement underpriced", json!(null), "by a tenth"),
            (-32602, "replacement underpriced", fees.clone(), "maxFeePerGas of at least 112 "),
            (-32602, "replacement underpriced", fees, "maxPriorityFeePerGas of at least 11 "),
            (
                -32602,
                "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%",
                json!(null),
                "wait for the operation that holds the nonce",
            ),
            (
                -32602,
                "AA25 invalid account nonce: Maximum number of parallel user operations for this sender is 10",
                json!(null),
                "wait until one of the sender's operations",
            ),
            (
                -32602,
                "AA25 invalid account nonce: Maximum number of queued user operations reached for this sender: 0",
                json!(null),
                "wait until one of the sender's operations",
            ),
            (-32502, "account uses banned opcode: TIMESTAMP", json!(null), "ERC-7562"),
            (-32503, "expires too soon", json!(null), "validUntil"),
            (-32503, "not due", json!(null), "wait until the operation is valid"),
            (-32504, "paymaster is throttled", json!(null), "throttles or bans"),
            (-32505, "Max operations (4) reached for entity", json!(null), "stake"),
            (-32506, "unsupported aggregator", json!(null), "aggregator"),
            (-32507, "invalid signature", json!(null), "sign with"),
            (-32508, "paymaster deposit too low", json!(null), "deposit for all its operations"),
            (-32521, "execution reverted", nope, "the contract objects to: nope"),
            (-32521, "execution reverted", panic.clone(), "arguments and amounts"),
            (-32521, "execution reverted", json!(format!("0xdeadbeef{}", "00".repeat(32))), "0xdeadbeef"),
            (-32602, "Validation error: invalid hex", json!(null), "EntryPoint v0.6"),
        ] {
            let remedy = remedy(SEND, code, message, data.clone()).unwrap_or_default();
            assert!(remedy.contains(expected), "{code} {message} {data}: {remedy}");
            assert!(!remedy.ends_with('.') && !remedy.contains("  "), "{remedy}");
        }
        for (code, message) in [(-32521, "execution reverted"), (-32500, "rejected")] {
            assert_eq!(remedy(SEND, code, message, Value::Null), None, "{code} {message}");
        }
    }

    #[test]
    fn errors_of_other_kinds_have_remedies_where_something_helps() {
        let endpoint = || Endpoint::new(&"http://127.0.0.1/".parse().unwrap());
        let limited = |retry_after| {
            let (method, endpoint) = (SEND.to_owned(), endpoint());
            TransportError::RateLimited { method, endpoint, status: 429, retry_after, answer: None }
        };
        let http = |status| TransportError::Http { method: SEND.to_owned(), endpoint: endpoint(), status };
        let unknown = BundlerError::UnknownDialect { source: Box::new(http(503).into()) };
        for (error, expected) in [
            (limited(Some(Duration::from_millis(2_001))).into(), Some("wait 3 seconds")),
            (limited(None).into(), Some("wait before")),
            (http(403).into(), Some("key")),
            (http(404).into(), Some("it has no eth_sendUserOperation")),
            (http(500).into(), None),
            (BundlerError::OtherHash { named: B256::ZERO, computed: B256::ZERO }, Some("entry point")),
            (BundlerError::OtherReceipt { named: B256::ZERO, asked: B256::ZERO }, Some("another bundler")),
            (BundlerError::DifferentChains { first: 137, other: 1 }, Some("137")),
            (unknown, Some("dialect")),
        ] {
            let remedy = error.remedy();
            match expected {
                Some(expected) => {
                    assert!(remedy.as_deref().unwrap_or_default().contains(expected), "{error:?}")
                }
                None => assert_eq!(remedy, None, "{error:?}"),
            }
        }
    }
}
