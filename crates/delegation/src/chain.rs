//! What a redemption reads from a chain's node, and sends by it.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolCall, SolError as _, sol};
use quorate_bundler::{OperationEvent, UserOperationReceipt};
use quorate_transport::{RpcError, Transport, TransportError, TransportExt as _};
use serde::Deserialize;
use serde_json::json;

use crate::RedeemError;

sol! {
    interface DelegationManager {
        function paused() external view returns (bool);
        function disabledDelegations(bytes32 delegationHash) external view returns (bool);
    }

    interface CaveatEnforcer {
        function beforeHook(bytes terms, bytes args, bytes32 mode, bytes executionCalldata, bytes32 delegationHash, address delegator, address redeemer) external;
        function currentNonce(address delegationManager, address delegator) external view returns (uint256);
        function callCounts(address delegationManager, bytes32 delegationHash) external view returns (uint256);
        function spentMap(address delegationManager, bytes32 delegationHash) external view returns (uint256);
        function getAvailableAmount(bytes32 delegationHash, address delegationManager, bytes terms) external view returns (uint256 available, bool isNewPeriod, uint256 period);
        function streamingAllowances(address delegationManager, bytes32 delegationHash) external view returns (uint256 initial, uint256 max, uint256 perSecond, uint256 start, uint256 spent);
        function getIsUsed(address delegationManager, address delegator, uint256 id) external view returns (bool);
    }

    error Error(string reason);
}

#[derive(Clone, Debug)]
pub(crate) struct Chain(pub(crate) Arc<dyn Transport>);

/// What became of a transaction, or of a user operation, that is in a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// The number of its block, where it is said.
    pub block_number: Option<U64>,
    /// The gas that it took; of an operation, what it paid for.
    pub gas_used: U256,
    /// What one gas has cost, in wei.
    pub effective_gas_price: U256,
    /// 1 where it did what it should, 0 where it reverted.
    status: U64,
    /// Why it reverted, where somebody says so: a bundler does, of an operation.
    #[serde(skip)]
    pub reason: Option<String>,
}

impl Receipt {
    /// Whether the redemption was executed; where it reverted, its fees are paid all the same.
    pub fn is_executed(&self) -> bool {
        self.status == U64::from(1)
    }
}

impl From<UserOperationReceipt> for Receipt {
    fn from(receipt: UserOperationReceipt) -> Self {
        let gas_used = receipt.actual_gas_used.unwrap_or_default();
        let cost = receipt.actual_gas_cost.unwrap_or_default();
        Self {
            transaction_hash: receipt.receipt.transaction_hash,
            block_number: receipt.receipt.block_number.map(|number| number.saturating_to()),
            gas_used,
            effective_gas_price: cost.checked_div(gas_used).unwrap_or_default(),
            status: U64::from(u8::from(receipt.success)),
            reason: receipt.reason,
        }
    }
}

impl From<OperationEvent> for Receipt {
    fn from(event: OperationEvent) -> Self {
        let OperationEvent { actual_gas_cost: cost, actual_gas_used: gas_used, .. } = event;
        Self {
            transaction_hash: event.transaction_hash,
            block_number: Some(U64::from(event.block)),
            gas_used,
            effective_gas_price: cost.checked_div(gas_used).unwrap_or_default(),
            status: U64::from(u8::from(event.success)),
            reason: None,
        }
    }
}

/// What gas costs now, in wei.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    pub(crate) base: u128,
    pub(crate) tip: u128,
    /// The newest block's number.
    pub(crate) block: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    number: U64,
    timestamp: U64,
    base_fee_per_gas: U256,
}

impl Chain {
    /// How many transactions of an address are in blocks up to one, such as `pending`.
    pub(crate) async fn transaction_count(
        &self,
        address: Address,
        block: &'static str,
    ) -> Result<u64, TransportError> {
        Ok(self.0.call::<U64>("eth_getTransactionCount", (address, block)).await?.to())
    }

    pub(crate) async fn code(&self, address: Address) -> Result<Bytes, TransportError> {
        self.0.call("eth_getCode", (address, "latest")).await
    }

    pub(crate) async fn balance(&self, address: Address) -> Result<U256, TransportError> {
        self.0.call("eth_getBalance", (address, "latest")).await
    }

    pub(crate) async fn price(&self) -> Result<Price, TransportError> {
        let head = self.head();
        let tip = self.0.call::<U256>("eth_maxPriorityFeePerGas", ());
        let (head, tip) = tokio::try_join!(head, tip)?;
        let (base, tip) = (head.base_fee_per_gas.saturating_to(), tip.saturating_to());
        Ok(Price { base, tip, block: head.number.to() })
    }

    /// The newest block's time, in seconds since 1970.
    pub(crate) async fn timestamp(&self) -> Result<u64, TransportError> {
        Ok(self.head().await?.timestamp.to())
    }

    /// The newest block's number.
    pub(crate) async fn block(&self) -> Result<u64, TransportError> {
        Ok(self.head().await?.number.to())
    }

    async fn head(&self) -> Result<Head, TransportError> {
        self.0.call("eth_getBlockByNumber", ("latest", false)).await
    }

    /// What a call takes; the revert's data where it reverts.
    pub(crate) async fn gas(
        &self,
        from: Address,
        to: Address,
        data: &[u8],
    ) -> Result<Result<u64, Bytes>, TransportError> {
        let call = json!({ "from": from, "to": to, "data": Bytes::copy_from_slice(data) });
        match self.0.call::<U64>("eth_estimateGas", (call,)).await {
            Ok(gas) => Ok(Ok(gas.to())),
            Err(TransportError::Rpc { error, .. }) if is_revert(&error) => Ok(Err(revert_data(&error))),
            Err(error) => Err(error),
        }
    }

    /// Hands a signed transaction to the node. One that it has, or whose nonce is used, is no error.
    pub(crate) async fn send(&self, encoded: &[u8]) -> Result<(), RedeemError> {
        let encoded = Bytes::copy_from_slice(encoded);
        match self.0.call::<B256>("eth_sendRawTransaction", (encoded,)).await {
            Ok(_) => Ok(()),
            Err(TransportError::Rpc { error, .. }) if is_there_already(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, TransportError> {
        self.0.call("eth_getTransactionReceipt", (hash,)).await
    }

    pub(crate) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
    ) -> Result<C::Return, RedeemError> {
        let request = json!({ "to": contract, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.0.call("eth_call", (request, "latest")).await?;
        let unread = |source| RedeemError::Contract { contract, function: C::SIGNATURE, source };
        C::abi_decode_returns(&answer).map_err(unread)
    }

    /// What a contract answers that may be no such contract: nothing where it reverts, or what it gives cannot be read.
    pub(crate) async fn ask<C: SolCall>(
        &self,
        contract: Address,
        call: C,
    ) -> Result<Option<C::Return>, RedeemError> {
        match self.read(contract, call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(RedeemError::Contract { .. }) => Ok(None),
            Err(RedeemError::Transport(TransportError::Rpc { error, .. })) if is_revert(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The revert's data of a call from an address; none where it does not revert.
    pub(crate) async fn revert<C: SolCall>(
        &self,
        from: Address,
        contract: Address,
        call: C,
    ) -> Result<Option<Bytes>, TransportError> {
        let request = json!({ "from": from, "to": contract, "data": Bytes::from(call.abi_encode()) });
        match self.0.call::<Bytes>("eth_call", (request, "latest")).await {
            Ok(_) => Ok(None),
            Err(TransportError::Rpc { error, .. }) if is_revert(&error) => Ok(Some(revert_data(&error))),
            Err(error) => Err(error),
        }
    }
}

/// What a revert says, in words.
pub(crate) fn words(data: &[u8]) -> String {
    match Error::abi_decode(data) {
        Ok(error) => error.reason,
        Err(_) if data.is_empty() => "it reverts without data".to_owned(),
        Err(_) => Bytes::copy_from_slice(data).to_string(),
    }
}

fn is_revert(error: &RpcError) -> bool {
    error.code == 3 || error.message.to_lowercase().contains("revert")
}

fn revert_data(error: &RpcError) -> Bytes {
    let data = error.data.as_ref().and_then(serde_json::Value::as_str).and_then(|data| data.parse().ok());
    data.unwrap_or_default()
}

/// Nodes have words for it, and no code.
fn is_there_already(error: &RpcError) -> bool {
    let message = error.message.to_lowercase();
    ["already known", "already imported", "known transaction", "nonce too low"]
        .iter()
        .any(|known| message.contains(known))
}
