use alloy_primitives::{Address, U256};
use quorate_transport::TransportError;

use crate::{DecimalError, Payment};

/// Why a paymaster does not pay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymasterError {
    /// The service does not pay for the operation, in its own words.
    #[error("the paymaster's service refuses ({code}): {message}")]
    Refused {
        /// The JSON-RPC error code.
        code: i64,
        /// The service's own words.
        message: String,
    },
    /// The service was not reached, or gave no answer that can be read.
    #[error(transparent)]
    Transport(TransportError),
    /// The answer names no paymaster, so that the account would pay.
    #[error(
        "the paymaster's service gave {len} bytes of data; it needs an address of 20 bytes and what follows"
    )]
    NoPaymaster {
        /// The length of the data.
        len: usize,
    },
    /// The answer has the operation paid by a contract that nobody named.
    #[error("the paymaster's service gave data of {found}, and expected is {expected:?}; it is not used")]
    OtherPaymaster {
        /// The contracts that were configured, or that the quote or the stub named.
        expected: Vec<Address>,
        /// The one in the answer.
        found: Address,
    },
    /// The answer takes something else for the operation.
    #[error("asked for {expected:?}, the paymaster's service gave data for {found:?}; it is not used")]
    OtherPayment {
        /// What was asked for.
        expected: Payment,
        /// What the data says.
        found: Payment,
    },
    /// The final data is longer or shorter than what gas was estimated with.
    #[error(
        "the paymaster's data has {found} bytes, and its stub had {expected}; gas was estimated for that"
    )]
    OtherLength {
        /// The stub's length.
        expected: usize,
        /// The data's.
        found: usize,
    },
    /// The service changed gas that it was to sign.
    #[error(
        "the paymaster's service answers with {field} {answered}, and the operation has {sent}; it is not used"
    )]
    GasChanged {
        /// The field's name in ERC-4337.
        field: &'static str,
        /// What the operation has.
        sent: U256,
        /// What the service says.
        answered: U256,
    },
    /// Nobody says what gas the paymaster's validation takes.
    #[error(
        "neither the paymaster's service nor the bundler names a gas limit for the paymaster's validation (`paymasterVerificationGasLimit`)"
    )]
    NoGasLimit,
    /// The data's time is over, so that the chain refuses it (AA32).
    #[error(
        "the paymaster's data is valid until {valid_until}, and the chain's time is {now}; prepare the operation again"
    )]
    Over {
        /// The last second at which it is valid, since 1970.
        valid_until: u64,
        /// The newest block's, in seconds since 1970.
        now: u64,
    },
    /// The data charges far more than the quote.
    #[error(
        "the paymaster's data charges up to {charged} of token {token}, and its quote was {quoted}; it is not used"
    )]
    Overcharged {
        /// The token.
        token: Address,
        /// The quote's maximum, in the token's smallest unit.
        quoted: U256,
        /// The data's.
        charged: U256,
    },
    /// Fields of EntryPoint v0.7 in an answer for v0.6.
    #[error("the paymaster's service answers for EntryPoint v0.7 (`{field}`), and the operation is for v0.6")]
    OtherVersion {
        /// The field.
        field: &'static str,
    },
    /// The service has no quotes.
    #[error("the paymaster gives no quotes in tokens; say how much it may take (`up_to`)")]
    NoQuotes,
    /// The service does not take the token.
    #[error("the paymaster does not take the token {token}; it takes {supported:?}")]
    UnsupportedToken {
        /// The token asked for.
        token: Address,
        /// Those that it gave quotes for.
        supported: Vec<Address>,
    },
    /// A quote's amount that is none.
    #[error("the quote for {token} cannot be read: {source}")]
    Quote {
        /// The token.
        token: Address,
        /// What is wrong with it.
        source: DecimalError,
    },
}

impl PaymasterError {
    /// Whether the same request may succeed later: the service was not reached, is busy, or failed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<TransportError> for PaymasterError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Rpc { error: rpc, .. } if !matches!(rpc.code, -32603 | -32005) => {
                Self::Refused { code: rpc.code, message: rpc.message }
            }
            error => Self::Transport(error),
        }
    }
}
