use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use quorate_contracts::{
    Deployment, EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount,
};
use quorate_transport::{Transport, TransportExt as _};

use crate::Error;

/// What the product reads from a chain's node.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    transport: Arc<dyn Transport>,
    deployment: Deployment,
}

impl Chain {
    pub(crate) fn new(transport: Arc<dyn Transport>, deployment: Deployment) -> Self {
        Self { transport, deployment }
    }

    pub(crate) async fn id(&self) -> Result<u64, Error> {
        let id: U64 = self.transport.call("eth_chainId", ()).await?;
        Ok(id.to())
    }

    pub(crate) async fn is_deployed(&self, contract: Address) -> Result<bool, Error> {
        let code: Bytes = self.transport.call("eth_getCode", (contract, "latest")).await?;
        Ok(!code.is_empty())
    }

    /// The next nonce of one of the account's parallel streams.
    pub(crate) async fn nonce(&self, account: Address, key: u64) -> Result<U256, Error> {
        let key = alloy_primitives::Uint::from(key);
        self.call(self.deployment.entry_point, EntryPoint::getNonceCall { sender: account, key }).await
    }

    /// The root of the account's sessions; zero where there are none.
    pub(crate) async fn session_root(&self, account: Address) -> Result<B256, Error> {
        self.session_root_at(account, None).await
    }

    /// The same at the end of a block; the latest where none is given.
    pub(crate) async fn session_root_at(&self, account: Address, block: Option<u64>) -> Result<B256, Error> {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        let block = block.map_or_else(|| "latest".to_owned(), |number| format!("{number:#x}"));
        Ok(self.call_at(self.deployment.session_key_manager, call, &block).await?.merkleRoot)
    }

    /// The number of the latest block.
    pub(crate) async fn block_number(&self) -> Result<u64, Error> {
        let number: U64 = self.transport.call("eth_blockNumber", ()).await?;
        Ok(number.to())
    }

    /// Whether a transaction is in a block.
    pub(crate) async fn is_mined(&self, transaction_hash: B256) -> Result<bool, Error> {
        let receipt: Option<serde_json::Value> =
            self.transport.call("eth_getTransactionReceipt", (transaction_hash,)).await?;
        Ok(receipt.is_some())
    }

    /// In wei.
    pub(crate) async fn balance(&self, address: Address) -> Result<U256, Error> {
        Ok(self.transport.call("eth_getBalance", (address, "latest")).await?)
    }

    pub(crate) async fn token_balance(&self, token: Address, account: Address) -> Result<U256, Error> {
        self.call(token, Erc20::balanceOfCall { account }).await
    }

    pub(crate) async fn owner(&self, account: Address) -> Result<Address, Error> {
        let call = EcdsaOwnershipModule::getOwnerCall { smartAccount: account };
        self.call(self.deployment.ecdsa_ownership_module, call).await
    }

    pub(crate) async fn is_module_enabled(&self, account: Address, module: Address) -> Result<bool, Error> {
        self.call(account, SmartAccount::isModuleEnabledCall { module }).await
    }

    /// The node's own gas price, in wei.
    pub(crate) async fn gas_price(&self) -> Result<U256, Error> {
        Ok(self.transport.call("eth_gasPrice", ()).await?)
    }

    async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        self.call_at(to, call, "latest").await
    }

    async fn call_at<C: SolCall>(&self, to: Address, call: C, block: &str) -> Result<C::Return, Error> {
        let request = serde_json::json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.transport.call("eth_call", (request, block)).await?;
        C::abi_decode_returns(&answer).map_err(|source| Error::Contract {
            function: C::SIGNATURE,
            contract: to,
            source,
        })
    }
}
