use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolCall, SolEvent as _};
use quorate_contracts::{
    Deployment, EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount,
};
use quorate_transport::{Transport, TransportError, TransportExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::life::facts::Block;

/// What the product reads from a chain's node.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    transport: Arc<dyn Transport>,
    deployment: Deployment,
    /// Whether the node takes no block's hash (EIP-1898), so that numbers have to do.
    by_number: Arc<AtomicBool>,
}

/// An operation's event, as the entry point wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperationEvent {
    pub(crate) user_op_hash: B256,
    pub(crate) sender: Address,
    pub(crate) paymaster: Address,
    pub(crate) nonce: U256,
    pub(crate) success: bool,
    pub(crate) actual_gas_cost: U256,
    pub(crate) actual_gas_used: U256,
    pub(crate) transaction_hash: B256,
    pub(crate) block: u64,
}

impl Chain {
    pub(crate) fn new(transport: Arc<dyn Transport>, deployment: Deployment) -> Self {
        Self { transport, deployment, by_number: Arc::default() }
    }

    pub(crate) async fn id(&self) -> Result<u64, Error> {
        let id: U64 = self.transport.call("eth_chainId", ()).await?;
        Ok(id.to())
    }

    pub(crate) async fn latest_block(&self) -> Result<Block, Error> {
        self.block_of(json!("latest")).await
    }

    pub(crate) async fn block(&self, number: u64) -> Result<Block, Error> {
        self.block_of(json!(format!("{number:#x}"))).await
    }

    async fn block_of(&self, block: Value) -> Result<Block, Error> {
        let head: Option<Head> = self.transport.call("eth_getBlockByNumber", (&block, false)).await?;
        let head = head.ok_or_else(|| Error::NoBlock { block: block.to_string() })?;
        Ok(Block {
            number: head.number.to(),
            hash: head.hash,
            timestamp: head.timestamp.to(),
            base_fee: head.base_fee_per_gas,
        })
    }

    pub(crate) async fn is_deployed(&self, contract: Address) -> Result<bool, Error> {
        let code: Bytes = self.transport.call("eth_getCode", (contract, "latest")).await?;
        Ok(!code.is_empty())
    }

    pub(crate) async fn is_deployed_at(&self, contract: Address, block: &Block) -> Result<bool, Error> {
        let code: Bytes = self.read_at("eth_getCode", json!(contract), block).await?;
        Ok(!code.is_empty())
    }

    /// The next nonce of one of the account's parallel streams, by the upper 192 bits.
    pub(crate) async fn nonce_at(
        &self,
        account: Address,
        stream: U256,
        block: &Block,
    ) -> Result<U256, Error> {
        self.call_at(self.deployment.entry_point, get_nonce(account, stream), block).await
    }

    pub(crate) async fn nonce(&self, account: Address, stream: U256) -> Result<U256, Error> {
        self.call(self.deployment.entry_point, get_nonce(account, stream)).await
    }

    /// The root of the account's sessions; zero where there are none.
    pub(crate) async fn session_root(&self, account: Address) -> Result<B256, Error> {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        Ok(self.call(self.deployment.session_key_manager, call).await?.merkleRoot)
    }

    /// The same at the end of a block.
    pub(crate) async fn session_root_at(&self, account: Address, block: &Block) -> Result<B256, Error> {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        Ok(self.call_at(self.deployment.session_key_manager, call, block).await?.merkleRoot)
    }

    /// The same at the end of the block with this number, whichever that is.
    pub(crate) async fn session_root_at_number(&self, account: Address, number: u64) -> Result<B256, Error> {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        let block = format!("{number:#x}");
        Ok(self.call_by_name(self.deployment.session_key_manager, call, &block).await?.merkleRoot)
    }

    /// What a transaction says of operations; nothing while it is in no block that the node knows.
    pub(crate) async fn events_of(&self, hash: B256) -> Result<Vec<OperationEvent>, Error> {
        let receipt: Option<Receipt> = self.transport.call("eth_getTransactionReceipt", (hash,)).await?;
        let Some(receipt) = receipt else { return Ok(Vec::new()) };
        let block = receipt.block_number.to();
        let logs = receipt.logs.iter().filter(|log| log.address == self.deployment.entry_point);
        Ok(logs.filter_map(|log| read_event(log, hash, block)).collect())
    }

    /// The events of an account's operations in these blocks, and of one of them alone where its hash is given; none
    /// where the node does not look so far back.
    pub(crate) async fn operation_events(
        &self,
        account: Address,
        user_op_hash: Option<B256>,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<OperationEvent>>, Error> {
        let mut events = Vec::new();
        let mut pages = vec![(from, to)];
        let mut requests = 0;
        while let Some((from, to)) = pages.pop() {
            requests += 1;
            if requests > MOST_LOG_REQUESTS {
                return Ok(None);
            }
            let filter = json!({
                "address": self.deployment.entry_point,
                "topics": [EntryPoint::UserOperationEvent::SIGNATURE_HASH, user_op_hash, account.into_word()],
                "fromBlock": format!("{from:#x}"),
                "toBlock": format!("{to:#x}"),
            });
            match self.transport.call::<Vec<Log>>("eth_getLogs", (filter,)).await {
                Ok(logs) => events.extend(logs.iter().filter_map(|log| {
                    let (transaction, block) = (log.transaction_hash?, log.block_number?);
                    read_event(log, transaction, block.to())
                })),
                // The range is too large for the node.
                Err(TransportError::Rpc { .. } | TransportError::Http { .. }) if to > from => {
                    let middle = from + (to - from) / 2;
                    pages.extend([(middle + 1, to), (from, middle)]);
                }
                Err(TransportError::Rpc { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(events))
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

    pub(crate) async fn is_module_enabled_at(
        &self,
        account: Address,
        module: Address,
        block: &Block,
    ) -> Result<bool, Error> {
        self.call_at(account, SmartAccount::isModuleEnabledCall { module }, block).await
    }

    /// The node's own gas price, in wei.
    pub(crate) async fn gas_price(&self) -> Result<U256, Error> {
        Ok(self.transport.call("eth_gasPrice", ()).await?)
    }

    async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        self.call_by_name(to, call, "latest").await
    }

    /// Calls at the block with this number in hex, or with a tag.
    async fn call_by_name<C: SolCall>(&self, to: Address, call: C, block: &str) -> Result<C::Return, Error> {
        let request = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.transport.call("eth_call", (request, block)).await?;
        decode::<C>(to, &answer)
    }

    async fn call_at<C: SolCall>(&self, to: Address, call: C, block: &Block) -> Result<C::Return, Error> {
        let request = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.read_at("eth_call", request, block).await?;
        decode::<C>(to, &answer)
    }

    /// Reads at one block: by its hash (EIP-1898), or where the node takes none by its number, with a look at whether
    /// that is still the same block.
    async fn read_at(&self, method: &str, what: Value, block: &Block) -> Result<Bytes, Error> {
        if !self.by_number.load(Ordering::Relaxed) {
            let place = json!({ "blockHash": block.hash, "requireCanonical": true });
            match self.transport.call(method, (&what, place)).await {
                Err(TransportError::Rpc { error, .. }) if takes_no_hash(&error) => {
                    self.by_number.store(true, Ordering::Relaxed);
                }
                answer => return Ok(answer?),
            }
        }
        let answer = self.transport.call(method, (what, format!("{:#x}", block.number))).await?;
        let still = self.block(block.number).await?;
        if still.hash == block.hash {
            Ok(answer)
        } else {
            Err(Error::Behind { found: block.number, newest: block.number })
        }
    }
}

/// A range of 1 to 2^63 blocks is halved no more often.
const MOST_LOG_REQUESTS: u32 = 64;

fn get_nonce(sender: Address, stream: U256) -> EntryPoint::getNonceCall {
    EntryPoint::getNonceCall { sender, key: stream.wrapping_to() }
}

fn decode<C: SolCall>(contract: Address, answer: &[u8]) -> Result<C::Return, Error> {
    C::abi_decode_returns(answer).map_err(|source| Error::Contract {
        function: C::SIGNATURE,
        contract,
        source,
    })
}

fn takes_no_hash(error: &quorate_transport::RpcError) -> bool {
    let message = error.message.to_lowercase();
    matches!(error.code, -32600 | -32602) && !message.contains("canonical") && !message.contains("not found")
}

fn read_event(log: &Log, transaction_hash: B256, block: u64) -> Option<OperationEvent> {
    let event = EntryPoint::UserOperationEvent::decode_raw_log(log.topics.iter().copied(), &log.data).ok()?;
    Some(OperationEvent {
        user_op_hash: event.userOpHash,
        sender: event.sender,
        paymaster: event.paymaster,
        nonce: event.nonce,
        success: event.success,
        actual_gas_cost: event.actualGasCost,
        actual_gas_used: event.actualGasUsed,
        transaction_hash,
        block,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    number: U64,
    hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: U64,
    #[serde(default)]
    logs: Vec<Log>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    transaction_hash: Option<B256>,
    block_number: Option<U64>,
}
