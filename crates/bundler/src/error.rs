use alloy_primitives::B256;
use quorate_transport::TransportError;
use serde_json::Value;

use crate::revert::{self, Revert};
use crate::{EntryPointCode, Fees, SendOutcome, number, outcome};

/// Why a bundler gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundlerError {
    /// The bundler, or the entry point that it asked, rejects the operation, as an answer to a send or an estimate.
    ///
    /// It is not final: an operation that was sent is valid bytes in somebody's hands. What a send came to is
    /// [`BundlerError::send_outcome`].
    #[error("the bundler rejects the operation ({code}): {message}{}", revert_suffix(revert_reason.as_deref(), message))]
    Rejected {
        /// The JSON-RPC error code; ERC-4337's are −32500 to −32507 and −32521.
        code: i64,
        /// The bundler's own words.
        message: String,
        /// What the bundler added, as it came.
        data: Option<Value>,
        /// The entry point's code, where the message or the data holds one.
        entry_point_code: Option<EntryPointCode>,
        /// Why the account or a module reverted, in words, where the error says so.
        revert_reason: Option<String>,
        /// The same as a type, also where it is an error of the contract's own.
        revert: Option<Revert>,
    },
    /// The bundler took the operation under another hash than the one computed here.
    #[error(
        "the bundler names the operation {named}, but it hashes to {computed}: it is for another chain or entry point"
    )]
    OtherHash {
        /// The bundler's hash.
        named: B256,
        /// Our hash.
        computed: B256,
    },
    /// The bundler gave the receipt of another operation.
    #[error("the bundler was asked for the receipt of {asked} and gave that of {named}; it is not used")]
    OtherReceipt {
        /// The hash in the receipt.
        named: B256,
        /// The hash asked for.
        asked: B256,
    },
    /// Bundlers that stand in for one another are of different chains.
    #[error("the bundlers are of different chains: one of {first}, another of {other}")]
    DifferentChains {
        /// The chain's id that the first of them names.
        first: u64,
        /// The chain's id that another one names.
        other: u64,
    },
    /// Whether the bundler takes a simulation type with an operation could not be found out, and nothing was sent.
    #[error("it is not known whether the bundler takes a simulation type, and nothing was sent")]
    UnknownDialect {
        /// What the bundler answered when its dialect was to be found out.
        source: Box<BundlerError>,
    },
    /// The request did not come through, or the bundler answered with an error that says nothing of the operation.
    #[error(transparent)]
    Transport(TransportError),
}

fn revert_suffix(reason: Option<&str>, message: &str) -> String {
    reason.filter(|reason| !message.contains(reason)).map(|reason| format!(" ({reason})")).unwrap_or_default()
}

impl BundlerError {
    /// Why the account or a module reverted, in words: the contract's own, or a description of a Solidity panic.
    pub fn revert_reason(&self) -> Option<&str> {
        match self {
            Self::Rejected { revert_reason, .. } => revert_reason.as_deref(),
            _ => None,
        }
    }

    /// Why the account or a module reverted, with the selector and arguments of an error of the contract's own.
    pub const fn revert(&self) -> Option<&Revert> {
        match self {
            Self::Rejected { revert, .. } => revert.as_ref(),
            _ => None,
        }
    }

    /// What became of an operation when sending it gave this error.
    ///
    /// A pure function of the error, by a closed table of what bundlers answer. No outcome is final: whether the
    /// operation can still be executed is decided by the chain alone.
    pub fn send_outcome(&self) -> SendOutcome {
        match self {
            Self::Rejected { code, message, .. } => outcome::of(*code, message),
            Self::Transport(TransportError::Rpc { error, .. }) => outcome::of(error.code, &error.message),
            Self::Transport(error) if !error.may_have_been_executed() => SendOutcome::NotSent,
            Self::UnknownDialect { .. } => SendOutcome::NotSent,
            Self::Transport(_)
            | Self::OtherHash { .. }
            | Self::OtherReceipt { .. }
            | Self::DifferentChains { .. } => SendOutcome::Open,
        }
    }

    /// Whether the bundler has as many operations of the sender waiting as it takes: the same one may be sent again when
    /// one of them is in a block.
    pub fn is_full_pool(&self) -> bool {
        match self {
            Self::Rejected { message, .. } => outcome::is_full(message),
            _ => false,
        }
    }

    /// The fees, in wei for each unit of gas, of the operation in the pool that this one could not replace; a
    /// replacement pays at least a tenth more of both.
    ///
    /// Rundler names them with its "replacement underpriced"; other bundlers do not.
    pub fn replacement_fees(&self) -> Option<Fees> {
        let Self::Rejected { data: Some(data), .. } = self else { return None };
        let fee = |names: [&str; 2]| {
            let value = names.into_iter().find_map(|name| data.get(name))?;
            number::from_json(value).ok()
        };
        Some(Fees {
            max_fee_per_gas: fee(["currentMaxFee", "current_max_fee"])?,
            max_priority_fee_per_gas: fee(["currentMaxPriorityFee", "current_max_priority_fee"])?,
        })
    }

    /// Whether the same read may be repeated later with hope: the bundler was not reached, failed, asked for fewer
    /// requests, or gave something that is no answer.
    ///
    /// Says nothing of sends; see [`send_outcome`](Self::send_outcome).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_transient() || is_not_found(error),
            // Answers to an estimate that are failures of the server, whatever they quote.
            Self::Rejected { code, .. } => matches!(code, -32603 | -32005),
            Self::UnknownDialect { source } => source.is_transient(),
            Self::OtherHash { .. } | Self::OtherReceipt { .. } | Self::DifferentChains { .. } => false,
        }
    }
}

/// Whether a bundler says by an error, where ERC-4337 has `null`, that it does not find an operation.
pub(crate) fn is_not_found(error: &TransportError) -> bool {
    let TransportError::Rpc { method, error } = error else { return false };
    match method.as_str() {
        "eth_getUserOperationReceipt" | "eth_getUserOperationByHash" | "pimlico_getUserOperationStatus" => {}
        // Biconomy's own code for it.
        "biconomy_getUserOperationStatus" if error.code == -32094 => return true,
        "biconomy_getUserOperationStatus" => {}
        _ => return false,
    }
    // "The method eth_getUserOperationReceipt is not found" is another matter.
    let message = error.message.to_ascii_lowercase();
    let found_nothing = ["not found", "notfound", "could not find", "couldn't find", "cannot find"];
    found_nothing.iter().any(|text| message.contains(text)) && !message.contains("method")
}

impl From<TransportError> for BundlerError {
    /// An error that says something of an operation, in answer to a send or an estimate, is
    /// [`BundlerError::Rejected`]; every other error is kept as it is.
    fn from(error: TransportError) -> Self {
        let TransportError::Rpc { method, error: rpc } = &error else { return Self::Transport(error) };
        let sends = method == "eth_sendUserOperation";
        if !sends && method != "eth_estimateUserOperationGas" {
            return Self::Transport(error);
        }
        let revert = revert::of_error(&rpc.message, rpc.data.as_ref());
        let entry_point_code = revert::entry_point_code(&rpc.message, rpc.data.as_ref());
        let is_of_the_operation = outcome::of(rpc.code, &rpc.message) != SendOutcome::Open
            || revert.is_some()
            || entry_point_code.is_some()
            // Nodes' "execution reverted", by whatever code bundlers hand it on.
            || !sends && (rpc.code == 3 || rpc.message.to_ascii_lowercase().contains("revert"));
        if !is_of_the_operation {
            return Self::Transport(error);
        }
        let revert_reason = match &revert {
            Some(Revert::Custom { .. }) | None => None,
            Some(revert) => Some(revert.to_string()),
        };
        let (code, message, data) = (rpc.code, rpc.message.clone(), rpc.data.clone());
        Self::Rejected { code, message, data, entry_point_code, revert_reason, revert }
    }
}

#[cfg(test)]
mod tests {
    use quorate_transport::RpcError;

    use super::*;
    use quorate_transport::{ConnectionFailure, Endpoint, InvalidResponse};
    use serde_json::json;
    use std::io;
    use std::time::Duration;

    const SEND: &str = "eth_sendUserOperation";
    const RECEIPT: &str = "eth_getUserOperationReceipt";

    fn rpc(method: &str, code: i64, message: &str, data: Value) -> BundlerError {
        let error = RpcError { code, message: message.to_owned(), data: Some(data) };
        TransportError::Rpc { method: method.to_owned(), error }.into()
    }

    fn endpoint() -> Endpoint {
        Endpoint::new(&"http://127.0.0.1/".parse().unwrap())
    }

    fn http(status: u16) -> BundlerError {
        TransportError::Http { method: SEND.to_owned(), endpoint: endpoint(), status }.into()
    }

    fn invalid(reason: InvalidResponse) -> BundlerError {
        TransportError::InvalidResponse { method: SEND.to_owned(), reason }.into()
    }

    fn html() -> BundlerError {
        invalid(InvalidResponse::NotJson(serde_json::from_str::<Value>("<html>").unwrap_err()))
    }

    fn connection() -> ConnectionFailure {
        ConnectionFailure::new(io::Error::from(io::ErrorKind::ConnectionReset))
    }

    fn unreachable() -> BundlerError {
        let (method, endpoint) = (SEND.to_owned(), endpoint());
        TransportError::Unreachable { method, endpoint, source: connection() }.into()
    }

    fn interrupted() -> BundlerError {
        let (method, endpoint) = (SEND.to_owned(), endpoint());
        TransportError::Interrupted { method, endpoint, source: connection() }.into()
    }

    fn timeout() -> BundlerError {
        let after = Duration::from_secs(1);
        TransportError::Timeout { method: SEND.to_owned(), endpoint: endpoint(), after }.into()
    }

    fn limited(answer: Option<RpcError>) -> BundlerError {
        let (method, endpoint, retry_after) = (SEND.to_owned(), endpoint(), Some(Duration::from_secs(3)));
        TransportError::RateLimited { method, endpoint, status: 429, retry_after, answer }.into()
    }

    fn params() -> BundlerError {
        let source = serde_json::from_str::<Value>("").unwrap_err();
        TransportError::Params { method: SEND.to_owned(), source }.into()
    }

    #[test]
    fn a_send_that_gave_no_answer_is_open_unless_nothing_was_sent() {
        let answer = |code, message: &str| RpcError { code, message: message.to_owned(), data: None };
        for error in [
            timeout(),
            interrupted(),
            html(),
            invalid(InvalidResponse::Empty),
            limited(None),
            limited(Some(answer(-32500, "AA21 didn't pay prefund"))),
            limited(Some(answer(-32602, "already known"))),
            http(500),
            http(502),
            http(404),
            BundlerError::OtherHash { named: B256::ZERO, computed: B256::ZERO },
        ] {
            assert_eq!(error.send_outcome(), SendOutcome::Open, "{error:?}");
        }
        for error in [unreachable(), params()] {
            assert_eq!(error.send_outcome(), SendOutcome::NotSent, "{error:?}");
        }
        for (code, message, expected) in [
            (-32602, "already known", SendOutcome::Taken),
            (-32602, "replacement underpriced", SendOutcome::Conflict),
            (-32500, "AA23 reverted", SendOutcome::Refused),
            (-32603, "AA23 reverted", SendOutcome::Open),
            (-32603, "Internal error: upstream timed out", SendOutcome::Open),
        ] {
            assert_eq!(rpc(SEND, code, message, Value::Null).send_outcome(), expected, "{code} {message}");
        }
    }

    #[test]
    fn a_rate_limit_with_a_json_rpc_body_is_no_rejection() {
        let answer = RpcError { code: -32005, message: "over capacity".to_owned(), data: None };
        let error = limited(Some(answer));
        assert!(matches!(
            error,
            BundlerError::Transport(TransportError::RateLimited { retry_after: Some(_), .. })
        ));
        assert!(error.is_transient());
    }

    #[test]
    fn a_failure_of_the_server_is_no_rejection_of_the_operation() {
        for (method, code, message) in [
            (SEND, -32603, "Internal error: upstream timed out"),
            (SEND, -32005, "limit exceeded"),
            (SEND, -32000, "too many requests"),
            ("eth_estimateUserOperationGas", -32603, "Internal error"),
            (RECEIPT, -32603, "Internal error"),
            (RECEIPT, -32500, "AA23 reverted"),
            ("eth_chainId", -32602, "invalid params"),
        ] {
            let error = rpc(method, code, message, Value::Null);
            assert!(matches!(error, BundlerError::Transport(TransportError::Rpc { .. })), "{error:?}");
        }
    }

    #[test]
    fn a_read_is_repeated_where_that_may_help() {
        for error in [
            timeout(),
            interrupted(),
            unreachable(),
            limited(None),
            html(),
            invalid(InvalidResponse::Empty),
            http(500),
            http(503),
            http(504),
            http(408),
            rpc(RECEIPT, -32603, "Internal error", Value::Null),
            rpc(RECEIPT, -32005, "limit exceeded", Value::Null),
            rpc(RECEIPT, -32000, "header not found", Value::Null),
            rpc(RECEIPT, 429, "compute units exceeded", Value::Null),
            rpc(RECEIPT, -32097, "Too Many Requests", Value::Null),
            rpc(RECEIPT, -32601, "UserOperation not found", Value::Null),
            rpc("eth_estimateUserOperationGas", -32603, "Internal error", Value::Null),
        ] {
            assert!(error.is_transient(), "{error:?}");
        }
        let shape = InvalidResponse::Result {
            path: "success".to_owned(),
            source: serde_json::from_str::<Value>("").unwrap_err(),
        };
        for error in [
            params(),
            invalid(shape),
            http(401),
            http(404),
            rpc(RECEIPT, -32601, "Method not found", Value::Null),
            rpc(RECEIPT, -32603, "Method not found", Value::Null),
            rpc(RECEIPT, -32602, "invalid params", Value::Null),
            rpc("eth_estimateUserOperationGas", -32500, "AA23 reverted", Value::Null),
            BundlerError::OtherReceipt { named: B256::ZERO, asked: B256::ZERO },
        ] {
            assert!(!error.is_transient(), "{error:?}");
        }
    }

    #[test]
    fn the_fees_to_outbid_are_read_from_rundlers_data() {
        let data = json!({ "currentMaxPriorityFee": "0x3b9aca00", "currentMaxFee": "2000000000" });
        let error = rpc(SEND, -32602, "replacement underpriced", data);
        let fees = error.replacement_fees().unwrap();
        assert_eq!(fees.max_priority_fee_per_gas.to_string(), "1000000000");
        assert_eq!(fees.max_fee_per_gas.to_string(), "2000000000");
        assert_eq!(rpc(SEND, -32602, "replacement underpriced", Value::Null).replacement_fees(), None);
    }
}
