#![doc = include_str!("../README.md")]

mod biconomy;
mod data;
mod decimal;
mod erc7677;
mod error;
mod quote;

use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use quorate_bundler::number;
use quorate_core::UserOperation;
use serde::{Deserialize, Serialize};

pub use biconomy::{Biconomy, SmartAccountInfo};
pub use data::{PaymasterData, Terms};
pub use decimal::DecimalError;
pub use erc7677::{Erc7677, PackedStub};
pub use error::PaymasterError;
pub use quote::{FeeQuote, FeeQuotes, TokenList};

/// What a paymaster is to take for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payment {
    /// Nothing from the account.
    Sponsored,
    /// So much of this token as the operation costs.
    Token(Address),
}

/// An operation for which a paymaster is to pay.
#[derive(Clone, Copy, Debug)]
pub struct PaymasterRequest<'a> {
    /// The operation, without its paymaster's data. Gas that is not known yet is zero.
    pub operation: &'a UserOperation<Vec<u8>>,
    /// A signature of the right form and length, for services that estimate gas.
    pub dummy_signature: &'a [u8],
    /// The entry point.
    pub entry_point: Address,
    /// The chain.
    pub chain_id: u64,
    /// What is taken for it.
    pub payment: Payment,
    /// Whether the caller estimates gas whatever the service can do, as with an assumed state of the chain.
    pub caller_estimates: bool,
}

/// Gas limits that a paymaster's service names; those that it does not name are the caller's to estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GasLimits {
    /// For the bundler's own costs.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub pre_verification_gas: Option<U256>,
    /// For validation; it also bounds what the paymaster does after the call.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub verification_gas_limit: Option<U256>,
    /// For the call.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub call_gas_limit: Option<U256>,
}

/// What stands in an operation for its paymaster's data while gas is estimated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Data of the final length and of the final paymaster.
    pub data: PaymasterData,
    /// Gas limits, where the service estimates.
    pub gas: GasLimits,
    /// Whether the data is final for an operation with exactly these gas limits and the fees that it was asked with.
    pub is_final: bool,
    /// What the paymaster needs after the call, in gas, which EntryPoint v0.6 bounds by the verification's gas limit. An
    /// estimate that ends at the dummy signature does not see it.
    pub post_op_gas: U256,
}

/// Pays for operations.
///
/// The first 20 bytes of what it gives are the paymaster's contract. An implementation gives only data of contracts that
/// its user configured or that a quote named: with other data, an account that approved a token to some paymaster could
/// be made to pay.
#[async_trait]
pub trait Paymaster: Debug + Send + Sync {
    /// What stands for the data while gas is estimated. The operation has its nonce, calls and fees.
    ///
    /// # Errors
    /// The service refuses, does not answer, or answers with data of another paymaster.
    async fn stub(&self, request: &PaymasterRequest<'_>) -> Result<Stub, PaymasterError>;

    /// The final data for an operation whose gas and fees stand.
    ///
    /// # Errors
    /// As [`stub`](Self::stub).
    async fn data(&self, request: &PaymasterRequest<'_>) -> Result<PaymasterData, PaymasterError>;

    /// What the operation would cost in tokens.
    ///
    /// # Errors
    /// As [`stub`](Self::stub); [`PaymasterError::NoQuotes`] from one that gives none, as any does that says nothing else.
    async fn quotes(
        &self,
        _request: &PaymasterRequest<'_>,
        _tokens: &TokenList,
    ) -> Result<FeeQuotes, PaymasterError> {
        Err(PaymasterError::NoQuotes)
    }

    /// The contract that takes tokens where no quote names it, to which an account gives its allowance.
    fn token_paymaster(&self) -> Option<Address> {
        None
    }
}

#[async_trait]
impl<P: Paymaster + ?Sized> Paymaster for Arc<P> {
    async fn stub(&self, request: &PaymasterRequest<'_>) -> Result<Stub, PaymasterError> {
        P::stub(self, request).await
    }

    async fn data(&self, request: &PaymasterRequest<'_>) -> Result<PaymasterData, PaymasterError> {
        P::data(self, request).await
    }

    async fn quotes(
        &self,
        request: &PaymasterRequest<'_>,
        tokens: &TokenList,
    ) -> Result<FeeQuotes, PaymasterError> {
        P::quotes(self, request, tokens).await
    }

    fn token_paymaster(&self) -> Option<Address> {
        P::token_paymaster(self)
    }
}

impl Stub {
    /// Checks that final data fits: of the same paymaster, and as long as the stub, since a longer one costs more gas than
    /// was estimated.
    ///
    /// # Errors
    /// [`PaymasterError::OtherPaymaster`], [`PaymasterError::OtherLength`].
    pub fn check(&self, data: &PaymasterData) -> Result<(), PaymasterError> {
        if data.paymaster() != self.data.paymaster() {
            let expected = vec![self.data.paymaster()];
            return Err(PaymasterError::OtherPaymaster { expected, found: data.paymaster() });
        }
        let (expected, found) = (self.data.as_bytes().len(), data.as_bytes().len());
        if found == expected { Ok(()) } else { Err(PaymasterError::OtherLength { expected, found }) }
    }
}
