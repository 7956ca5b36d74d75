use alloy_primitives::Address;
use quorate_transport::TransportError;
use serde_json::{Value, json};

const PARSE_ERROR: i64 = -32700;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;
/// Among those that JSON-RPC leaves to servers.
const REFUSED: i64 = -32001;

/// A request cannot be answered with a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the body is not a JSON-RPC request: {0}")]
    Parse(serde_json::Error),
    #[error("there is no method {0}")]
    UnknownMethod(String),
    #[error("the parameters of {method} cannot be read: {source}")]
    Params { method: &'static str, source: serde_json::Error },
    #[error("ERC20 mode needs the address of a token in tokenInfo.feeTokenAddress")]
    NoToken,
    #[error("the token {0} is not supported")]
    UnsupportedToken(Address),
    #[error("the entry point {actual} is not supported; the paymasters are for {expected}")]
    UnsupportedEntryPoint { actual: Address, expected: Address },
    #[error("the chain {actual} is not supported; the paymasters are on {expected}")]
    UnsupportedChain { actual: String, expected: u64 },
    #[error("the account {0} owes the token paymaster for an operation whose payment failed")]
    Debt(Address),
    #[error("the paymaster service refuses")]
    Refused,
    #[error("the gas could not be estimated: {0}")]
    Estimate(TransportError),
    #[error("the chain could not be asked: {0}")]
    Chain(#[from] TransportError),
    #[error("the paymaster service cannot sign: {0}")]
    Sign(#[from] alloy_signer::Error),
}

impl RequestError {
    /// The `error` of a JSON-RPC answer.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "code": self.code(), "message": self.to_string() })
    }

    fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => PARSE_ERROR,
            Self::UnknownMethod(_) => METHOD_NOT_FOUND,
            Self::Params { .. }
            | Self::NoToken
            | Self::UnsupportedToken(_)
            | Self::UnsupportedEntryPoint { .. }
            | Self::UnsupportedChain { .. } => INVALID_PARAMS,
            Self::Debt(_) | Self::Refused => REFUSED,
            // A bundler tells by the code why an operation fails.
            Self::Estimate(error) => error.rpc().map_or(INTERNAL_ERROR, |error| error.code),
            Self::Chain(_) | Self::Sign(_) => INTERNAL_ERROR,
        }
    }
}
