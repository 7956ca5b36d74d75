//! A client of ERC-4337 bundlers, for EntryPoint v0.6, over any [`Transport`].
//!
//! Numbers are read in each form that bundlers write them in, and written as ERC-4337 says. An operation is sent
//! once: whether a failed send went through is asked by hash, never found out by sending again.

mod error;
mod number;
mod types;

use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};
use quorate_core::SignedUserOperation;
use quorate_transport::{Transport, TransportExt as _};
use serde::Deserialize;

pub use error::BundlerError;
pub use types::{Fees, GasEstimate, TransactionReceipt, UserOperationByHash, UserOperationReceipt};

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
    pub async fn estimate_user_operation_gas<B: AsRef<[u8]>>(
        &self,
        operation: &SignedUserOperation<B>,
        entry_point: Address,
    ) -> Result<GasEstimate, BundlerError> {
        let params = (types::to_wire(operation), entry_point);
        Ok(self.transport.call("eth_estimateUserOperationGas", params).await?)
    }

    /// Sends an operation, and gives its hash (`eth_sendUserOperation`).
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] if the bundler does not take it, [`BundlerError::OtherHash`] if it took something
    /// else. After a transport error it may have been taken all the same: ask for the hash.
    pub async fn send_user_operation<B: AsRef<[u8]>>(
        &self,
        operation: &SignedUserOperation<B>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<B256, BundlerError> {
        let params = (types::to_wire(operation), entry_point);
        let named: B256 = self.transport.call_once("eth_sendUserOperation", params).await?;
        let computed = operation.operation.hash(entry_point, chain_id);
        if named == computed { Ok(named) } else { Err(BundlerError::OtherHash { named, computed }) }
    }

    /// How an operation ended; none while it is not in a block (`eth_getUserOperationReceipt`).
    ///
    /// # Errors
    /// A transport error, or a receipt that cannot be read.
    pub async fn user_operation_receipt(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationReceipt>, BundlerError> {
        Ok(self.transport.call("eth_getUserOperationReceipt", (user_op_hash,)).await?)
    }

    /// An operation by its hash; none if the bundler does not know it (`eth_getUserOperationByHash`).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn user_operation_by_hash(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationByHash>, BundlerError> {
        Ok(self.transport.call("eth_getUserOperationByHash", (user_op_hash,)).await?)
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
        let id: U64 = self.transport.call("eth_chainId", ()).await?;
        Ok(id.to())
    }

    /// The fees that the bundler asks for at present (`pimlico_getUserOperationGasPrice`).
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] by bundlers that have not the method: ask the chain's node then.
    pub async fn gas_price(&self) -> Result<Fees, BundlerError> {
        #[derive(Deserialize)]
        struct Prices {
            standard: Fees,
        }
        let prices: Prices = self.transport.call("pimlico_getUserOperationGasPrice", ()).await?;
        Ok(prices.standard)
    }
}
