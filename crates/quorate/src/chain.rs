use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use quorate_contracts::{Deployment, EntryPoint, SessionKeyManager, SmartAccount};
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
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        Ok(self.call(self.deployment.session_key_manager, call).await?.merkleRoot)
    }

    pub(crate) async fn is_module_enabled(&self, account: Address, module: Address) -> Result<bool, Error> {
        self.call(account, SmartAccount::isModuleEnabledCall { module }).await
    }

    /// The node's own gas price, in wei.
    pub(crate) async fn gas_price(&self) -> Result<U256, Error> {
        Ok(self.transport.call("eth_gasPrice", ()).await?)
    }

    async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        let request = serde_json::json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.transport.call("eth_call", (request, "latest")).await?;
        C::abi_decode_returns(&answer).map_err(|source| Error::Contract {
            function: C::SIGNATURE,
            contract: to,
            source,
        })
    }
}
