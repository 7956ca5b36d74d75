use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256, Bytes, U64, U256, address};
use alloy_sol_types::{SolCall, sol};
use quorate_bundler::EntryPointLogs;
use quorate_contracts::{
    Deployment, EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager,
    SessionValidationModule::validateSessionParamsCall, SmartAccount, SmartAccountFactory, account::Creation,
};
use quorate_transport::{Transport, TransportError, TransportExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::cost::Price;
use crate::life::facts::Block;

/// What the product reads from a chain's node.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    transport: Arc<dyn Transport>,
    deployment: Deployment,
    /// Whether the node takes no block's hash (EIP-1898), so that numbers have to do.
    by_number: Arc<AtomicBool>,
    /// How the chain charges for data, once that is known.
    layer_two: Arc<OnceLock<Option<LayerTwo>>>,
}

impl Chain {
    pub(crate) fn new(transport: Arc<dyn Transport>, deployment: Deployment) -> Self {
        Self { transport, deployment, by_number: Arc::default(), layer_two: Arc::default() }
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

    /// What the entry point has written of operations.
    pub(crate) fn logs(&self) -> EntryPointLogs<'_> {
        EntryPointLogs { node: &*self.transport, address: self.deployment.entry_point }
    }

    /// In wei.
    pub(crate) async fn balance(&self, address: Address) -> Result<U256, Error> {
        Ok(self.transport.call("eth_getBalance", (address, "latest")).await?)
    }

    /// What an account has at the entry point, in wei.
    pub(crate) async fn deposit(&self, account: Address) -> Result<U256, Error> {
        self.call(self.deployment.entry_point, EntryPoint::balanceOfCall { account }).await
    }

    pub(crate) async fn token_balance(&self, token: Address, account: Address) -> Result<U256, Error> {
        self.call(token, Erc20::balanceOfCall { account }).await
    }

    /// Whom a module names as an account's owner; both owner modules have this function. None where it reverts, as for
    /// an account that it was not set up for.
    pub(crate) async fn owner(&self, account: Address, module: Address) -> Result<Option<Address>, Error> {
        let call = EcdsaOwnershipModule::getOwnerCall { smartAccount: account };
        let owner = self.call_unless_reverted(module, call).await?;
        Ok(owner.filter(|owner| *owner != Address::ZERO))
    }

    /// The address that the factory gives an account.
    pub(crate) async fn address_by_factory(&self, creation: &Creation) -> Result<Address, Error> {
        let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: creation.owner };
        let call = SmartAccountFactory::getAddressForCounterFactualAccountCall {
            moduleSetupContract: creation.owner_module,
            moduleSetupData: setup.abi_encode().into(),
            index: creation.index,
        };
        self.call(self.deployment.account_factory, call).await
    }

    /// The modules that may validate a deployed account's operations, the one enabled last first.
    pub(crate) async fn modules(&self, account: Address) -> Result<Vec<Address>, Error> {
        let mut modules = Vec::new();
        let mut start = FIRST_MODULE;
        loop {
            let page = SmartAccount::getModulesPaginatedCall { start, pageSize: MODULES_PER_PAGE };
            let page = self.call(account, page).await?;
            modules.extend(page.array);
            // A page begins after its `start`, so that `next`, which this one has not, would be left out as a start.
            match modules.last() {
                Some(last) if page.next != FIRST_MODULE && *last != start => start = *last,
                _ => return Ok(modules),
            }
        }
    }

    /// How many of a token's digits stand behind the point; none for a token that does not say.
    pub(crate) async fn decimals(&self, token: Address) -> Result<Option<u8>, Error> {
        self.call_unless_reverted(token, Erc20::decimalsCall {}).await
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

    pub(crate) async fn allowance(
        &self,
        token: Address,
        owner: Address,
        spender: Address,
    ) -> Result<U256, Error> {
        self.call(token, Erc20::allowanceCall { owner, spender }).await
    }

    /// Whether a token takes an allowance as it is asked for; some want the one before it to be zero first.
    pub(crate) async fn takes_approval(
        &self,
        token: Address,
        owner: Address,
        spender: Address,
        amount: U256,
    ) -> Result<bool, Error> {
        let data = Bytes::from(Erc20::approveCall { spender, amount }.abi_encode());
        let request = json!({ "from": owner, "to": token, "data": data });
        match self.transport.call::<Bytes>("eth_call", (request, "latest")).await {
            Ok(_) => Ok(true),
            Err(TransportError::Rpc { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose session allows a call, as a session validation module says.
    pub(crate) async fn session_key_by(
        &self,
        module: Address,
        call: validateSessionParamsCall,
    ) -> Result<Address, Error> {
        self.call(module, call).await
    }

    /// Whether a session validation module allows a call.
    pub(crate) async fn takes_session_call(
        &self,
        module: Address,
        call: validateSessionParamsCall,
    ) -> Result<bool, Error> {
        Ok(self.call_unless_reverted(module, call).await?.is_some())
    }

    /// The price of gas, by what was paid lately, or where the node has no history by its own price.
    pub(crate) async fn price(&self) -> Result<Price, Error> {
        let blocks = format!("{PRICED_BLOCKS:#x}");
        let history = self.transport.call::<FeeHistory>("eth_feeHistory", (blocks, "latest", [75]));
        let tip = self.transport.call::<U256>("eth_maxPriorityFeePerGas", ());
        let (history, tip) = tokio::join!(history, tip);
        match history {
            Ok(history) => {
                let rewards: Vec<U256> = history.reward.iter().flatten().flatten().copied().collect();
                if let Some(price) = Price::from_history(&history.base_fee_per_gas, &rewards, tip.ok()) {
                    return Ok(price);
                }
            }
            Err(TransportError::Rpc { .. } | TransportError::InvalidResponse { .. }) => {}
            Err(error) if error.is_unsupported_method() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Price::Legacy { gas_price: self.transport.call("eth_gasPrice", ()).await? })
    }

    /// What an account's call takes, in gas, with half of that on top; 2 000 000 where the account does not exist yet or
    /// the node cannot say.
    pub(crate) async fn call_gas(
        &self,
        account: Address,
        call_data: &[u8],
        is_new: bool,
    ) -> Result<U256, Error> {
        let unknown = U256::from(2_000_000);
        if is_new {
            return Ok(unknown);
        }
        let call = json!({
            "from": self.deployment.entry_point,
            "to": account,
            "data": Bytes::copy_from_slice(call_data),
        });
        match self.transport.call::<U256>("eth_estimateGas", (call,)).await {
            Ok(gas) => Ok(gas.saturating_mul(U256::from(3)) / U256::from(2)),
            Err(TransportError::Rpc { .. } | TransportError::InvalidResponse { .. }) => Ok(unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// What a layer two charges for an operation's data, in wei; zero on other chains.
    ///
    /// Which of the two kinds the chain is of is found out once, by who answers.
    pub(crate) async fn data_fee(
        &self,
        account: Address,
        call_data: &[u8],
        encoded_len: usize,
    ) -> Result<U256, Error> {
        match self.layer_two.get() {
            Some(None) => Ok(U256::ZERO),
            Some(Some(LayerTwo::Optimism)) => {
                Ok(self.optimism_fee(call_data, encoded_len).await?.unwrap_or_default())
            }
            Some(Some(LayerTwo::Arbitrum)) => {
                Ok(self.arbitrum_fee(account, call_data, encoded_len).await?.unwrap_or_default())
            }
            None => {
                let (optimism, arbitrum) = tokio::try_join!(
                    self.optimism_fee(call_data, encoded_len),
                    self.arbitrum_fee(account, call_data, encoded_len)
                )?;
                let kind = match (optimism, arbitrum) {
                    (Some(_), _) => Some(LayerTwo::Optimism),
                    (None, Some(_)) => Some(LayerTwo::Arbitrum),
                    (None, None) => None,
                };
                self.layer_two.get_or_init(|| kind);
                Ok(optimism.or(arbitrum).unwrap_or_default())
            }
        }
    }

    async fn optimism_fee(&self, call_data: &[u8], encoded_len: usize) -> Result<Option<U256>, Error> {
        let call = IGasPriceOracle::getL1FeeCall { data: padded(call_data, encoded_len) };
        self.call_if_there(OPTIMISM_GAS_PRICE_ORACLE, call).await
    }

    async fn arbitrum_fee(
        &self,
        account: Address,
        call_data: &[u8],
        encoded_len: usize,
    ) -> Result<Option<U256>, Error> {
        let data = padded(call_data, encoded_len);
        let call = INodeInterface::gasEstimateL1ComponentCall { to: account, contractCreation: false, data };
        let answer = self.call_if_there(ARBITRUM_NODE_INTERFACE, call).await?;
        Ok(answer.map(|answer| U256::from(answer.gasEstimateForL1).saturating_mul(answer.baseFee)))
    }

    /// What a contract answers that not every chain has.
    async fn call_if_there<C: SolCall>(&self, to: Address, call: C) -> Result<Option<C::Return>, Error> {
        match self.call(to, call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Contract { .. } | Error::Chain(TransportError::Rpc { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a contract answers; none where it reverts, or has not the function.
    async fn call_unless_reverted<C: SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<Option<C::Return>, Error> {
        match self.call(to, call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Contract { .. }) => Ok(None),
            Err(Error::Chain(TransportError::Rpc { error, .. })) if is_revert(&error) => Ok(None),
            Err(error) => Err(error),
        }
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

/// What stands before the first and after the last module of an account.
const FIRST_MODULE: Address = Address::with_last_byte(1);
const MODULES_PER_PAGE: U256 = U256::from_limbs([32, 0, 0, 0]);

/// The blocks whose rewards say what is usual.
const PRICED_BLOCKS: u64 = 20;

const OPTIMISM_GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");
const ARBITRUM_NODE_INTERFACE: Address = address!("00000000000000000000000000000000000000C8");

sol! {
    interface IGasPriceOracle {
        function getL1Fee(bytes data) external view returns (uint256);
    }
    interface INodeInterface {
        function gasEstimateL1Component(address to, bool contractCreation, bytes data)
            external view returns (uint64 gasEstimateForL1, uint256 baseFee, uint256 l1BaseFeeEstimate);
    }
}

/// Chains that charge for data apart from gas.
#[derive(Clone, Copy, Debug)]
enum LayerTwo {
    Optimism,
    Arbitrum,
}

/// Data as long as an operation's encoding, of which the call is the part that does not compress.
fn padded(call_data: &[u8], encoded_len: usize) -> Bytes {
    let mut data = call_data.to_vec();
    // Signatures and proofs do not compress either.
    data.resize(encoded_len.max(call_data.len()), 0xA5);
    data.into()
}

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

/// Nodes say 3 of an `eth_call` that reverts, and older ones only in words.
fn is_revert(error: &quorate_transport::RpcError) -> bool {
    error.code == 3 || error.message.to_lowercase().contains("revert")
}

fn takes_no_hash(error: &quorate_transport::RpcError) -> bool {
    let message = error.message.to_lowercase();
    matches!(error.code, -32600 | -32602) && !message.contains("canonical") && !message.contains("not found")
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
struct FeeHistory {
    base_fee_per_gas: Vec<U256>,
    #[serde(default)]
    reward: Option<Vec<Vec<U256>>>,
}
