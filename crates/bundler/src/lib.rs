//! A client of ERC-4337 bundlers, for EntryPoint v0.6, over any [`Transport`].
//!
//! Numbers, receipts and errors are read in each form that bundlers write them in, and written as ERC-4337 says. An
//! operation is sent once: what a send that gave no hash came to is told by [`BundlerError::send_outcome`], and whether
//! the bundler has the operation is then asked by its hash, by whoever sends.

mod error;
pub mod number;
mod outcome;
mod receipt;
mod revert;
mod types;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use quorate_core::SignedUserOperation;
use quorate_transport::{Transport, TransportError, TransportExt as _, decode_result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use error::BundlerError;
pub use outcome::SendOutcome;
pub use receipt::{Log, TransactionReceipt, UserOperationReceipt};
pub use revert::Revert;
pub use types::{Fees, GasEstimate, UserOperationByHash};

/// A bundler.
#[derive(Clone, Debug)]
pub struct Bundler {
    transport: Arc<dyn Transport>,
}

impl Bundler {
    /// The bundler at the other end of a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Asks what an operation needs in gas. Its signature has to be of the right form, not right
    /// (`eth_estimateUserOperationGas`).
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] if the operation's validation or its call reverts.
    pub async fn estimate_user_operation_gas(
        &self,
        operation: &SignedUserOperation<Vec<u8>>,
        entry_point: Address,
    ) -> Result<GasEstimate, BundlerError> {
        let params = (operation, entry_point);
        Ok(self.transport.call("eth_estimateUserOperationGas", params).await?)
    }

    /// Sends an operation, and gives its hash (`eth_sendUserOperation`). That the bundler knows it already is the same
    /// answer.
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] if the bundler does not take it, [`BundlerError::OtherHash`] if it took something
    /// else. What any error says of the operation is [`BundlerError::send_outcome`].
    pub async fn send_user_operation(
        &self,
        operation: &SignedUserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<B256, BundlerError> {
        let params = (operation, entry_point);
        let computed = operation.operation.hash(entry_point, chain_id);
        match self.transport.call_once("eth_sendUserOperation", params).await.map_err(BundlerError::from) {
            Ok(named) if named == computed => Ok(computed),
            Ok(named) => Err(BundlerError::OtherHash { named, computed }),
            Err(error) if error.send_outcome() == SendOutcome::Taken => Ok(computed),
            Err(error) => Err(error),
        }
    }

    /// How an operation ended; none while it is not in a block (`eth_getUserOperationReceipt`).
    ///
    /// None is also an error by which the bundler says that it does not find the operation. A receipt without a hash is
    /// taken for that of the operation asked for.
    ///
    /// # Errors
    /// A transport error, a receipt that cannot be read, or [`BundlerError::OtherReceipt`]. After some of them,
    /// [`BundlerError::is_transient`], asking again may help.
    pub async fn user_operation_receipt(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationReceipt>, BundlerError> {
        let fill_in = |answer: &mut Map<String, Value>| receipt::fill_in(answer, user_op_hash);
        let receipt: Option<UserOperationReceipt> =
            self.find("eth_getUserOperationReceipt", user_op_hash, fill_in).await?;
        match receipt {
            Some(receipt) if receipt.user_op_hash != user_op_hash => {
                Err(BundlerError::OtherReceipt { named: receipt.user_op_hash, asked: user_op_hash })
            }
            receipt => Ok(receipt),
        }
    }

    /// An operation by its hash; none if the bundler does not know it, also if it says so by an error
    /// (`eth_getUserOperationByHash`).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn user_operation_by_hash(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationByHash>, BundlerError> {
        self.find("eth_getUserOperationByHash", user_op_hash, |_| {}).await
    }

    /// What the bundler gives for a hash. `{}`, `false` and an empty string are read as the `null` that ERC-4337 has.
    async fn find<T: DeserializeOwned>(
        &self,
        method: &'static str,
        user_op_hash: B256,
        fill_in: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Option<T>, BundlerError> {
        let mut answer: Value = match self.transport.call(method, (user_op_hash,)).await {
            Ok(answer) => answer,
            Err(error) if error::is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match &mut answer {
            Value::Null | Value::Bool(false) => return Ok(None),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::Object(fields) if fields.is_empty() => return Ok(None),
            Value::Object(fields) => fill_in(fields),
            _ => {}
        }
        Ok(Some(decode_result(method, answer)?))
    }

    /// The entry points that the bundler serves (`eth_supportedEntryPoints`).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn supported_entry_points(&self) -> Result<Vec<Address>, BundlerError> {
        Ok(self.transport.call("eth_supportedEntryPoints", ()).await?)
    }

    /// The bundler's chain (`eth_chainId`).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn chain_id(&self) -> Result<u64, BundlerError> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct ChainId(#[serde(deserialize_with = "types::chain_id")] u64);
        let ChainId(id) = self.transport.call("eth_chainId", ()).await?;
        Ok(id)
    }

    /// The fees that the bundler asks for at present (`pimlico_getUserOperationGasPrice`, its `standard` tier).
    ///
    /// None where the bundler has no such method, whether it says so by a JSON-RPC error, by an HTTP status such as 404,
    /// by `null` or by another shape of answer. Ask the chain's node then.
    ///
    /// # Errors
    /// A transport error that says nothing of the method: a rate limit, a timeout, a server that fails. The bundler's
    /// fees are not known then, and another source may be too low for it.
    pub async fn gas_price(&self) -> Result<Option<Fees>, BundlerError> {
        #[derive(Deserialize)]
        struct Prices {
            standard: Fees,
        }
        match self.transport.call::<Prices>("pimlico_getUserOperationGasPrice", ()).await {
            Ok(prices) => Ok(Some(prices.standard)),
            Err(TransportError::InvalidResponse { .. }) => Ok(None),
            Err(error) if error.is_unsupported_method() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
