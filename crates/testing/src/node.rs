//! The chain's nodes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use quorate_contracts::{
    EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager,
    SessionValidationModule::validateSessionParamsCall, SmartAccount, SmartAccountFactory,
};
use quorate_core::{Call, Encode as _, Execute};
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    block::{Block, Log},
    chain::ScriptedChain,
    execution::{RevertData, revert},
    factory::NewAccount,
    fault::{Endpoint, Fault, Script, faults_on_demand},
    mempool::{error, invalid_fields},
    number::hex,
    params,
    state::{State, revert_reason},
    validation::evaluate_by,
};

sol! {
    error NoOwnerRegisteredForSmartAccount(address smartAccount);
}

/// A node of a [`ScriptedChain`].
#[derive(Debug)]
pub struct ScriptedNode {
    chain: ScriptedChain,
    endpoint: Endpoint,
    script: Script,
    lag: AtomicU64,
    /// The most blocks in one request for logs; 0 for any number.
    log_range: AtomicU64,
    no_block_hashes: AtomicBool,
}

impl ScriptedNode {
    pub(crate) fn new(chain: ScriptedChain, index: usize) -> Self {
        Self {
            chain,
            endpoint: Endpoint::Node(index),
            script: Script::default(),
            lag: AtomicU64::new(0),
            log_range: AtomicU64::new(0),
            no_block_hashes: AtomicBool::new(false),
        }
    }

    /// What it is called in [`ScriptedChain::requests`].
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Has the node answer as if the last `blocks` were not there yet.
    pub fn set_lag(&self, blocks: u64) {
        self.lag.store(blocks, Relaxed);
    }

    /// Refuses requests for the logs of more than `blocks` blocks; none lifts the limit.
    pub fn set_log_range(&self, blocks: Option<u64>) {
        self.log_range.store(blocks.unwrap_or_default(), Relaxed);
    }

    /// Whether state may be asked for by the hash of a block (EIP-1898); true at first.
    pub fn set_block_hashes(&self, supported: bool) {
        self.no_block_hashes.store(!supported, Relaxed);
    }

    faults_on_demand!("the node is down");

    /// Takes all faults and the hook away.
    pub fn clear_faults(&self) {
        self.script.clear();
    }

    fn answer(&self, state: &State, method: &str, params: &Value) -> Result<Value, RpcError> {
        let view = View {
            state,
            head: state.history.head().number.saturating_sub(self.lag.load(Relaxed)),
            log_range: self.log_range.load(Relaxed),
            block_hashes: !self.no_block_hashes.load(Relaxed),
        };
        view.answer(method, params)
    }
}

#[async_trait]
impl Transport for ScriptedNode {
    async fn request(&self, method: &str, params: Value, _repeat: Repeat) -> Result<Value, TransportError> {
        let act = |state: &mut State| self.answer(state, method, &params);
        self.chain.respond(self.endpoint, &self.script, method, &params, act).await
    }
}

/// The chain as a node sees it.
struct View<'a> {
    state: &'a State,
    head: u64,
    log_range: u64,
    block_hashes: bool,
}

impl<'a> View<'a> {
    fn answer(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        match method {
            "eth_chainId" => Ok(hex(self.state.rules.chain_id)),
            "net_version" => Ok(self.state.rules.chain_id.to_string().into()),
            "web3_clientVersion" => Ok("quorate-testing".into()),
            "eth_blockNumber" => Ok(hex(self.head)),
            "eth_getBlockByNumber" => {
                let number = params::block_number(params.get(0).unwrap_or(&Value::Null), self.head)?;
                Ok(self.visible(number).map_or(Value::Null, Block::to_json))
            }
            "eth_getBlockByHash" => {
                let hash: B256 = params::read(params, 0)?;
                let history = &self.state.history;
                let block = history.by_hash(hash).filter(|block| block.number <= self.head);
                Ok(block.or_else(|| history.orphan(hash)).map_or(Value::Null, Block::to_json))
            }
            "eth_getCode" => {
                let address: Address = params::read(params, 0)?;
                let block = self.block_with_state(params, 1)?;
                let code = self.state.rules.has_code(&block.world, address);
                Ok(if code { "0x60806040" } else { "0x" }.into())
            }
            "eth_getBalance" => {
                let address: Address = params::read(params, 0)?;
                let holder = self.block_with_state(params, 1)?.world.get(address);
                Ok(format!("{:#x}", holder.map(|holder| holder.balance).unwrap_or_default()).into())
            }
            "eth_getTransactionCount" => Ok("0x1".into()),
            "eth_call" => self.call(params),
            "eth_estimateGas" => {
                let Request { to, data, input } = params::read(params, 0)?;
                let world = &self.block_with_state(params, 1)?.world;
                if world.get(to).is_some_and(|holder| holder.deployed) {
                    let data = data.or(input).unwrap_or_default();
                    self.state.try_call(world, to, &data).map_err(reverted)?;
                }
                Ok(hex(100_000))
            }
            "eth_getTransactionReceipt" => {
                let found = self.state.history.transaction(params::read(params, 0)?);
                let found = found.filter(|(block, _)| block.number <= self.head);
                Ok(found.and_then(|(block, index)| block.receipt_json(index)).unwrap_or_default())
            }
            "eth_getTransactionByHash" => {
                let found = self.state.history.transaction(params::read(params, 0)?);
                let found = found.filter(|(block, _)| block.number <= self.head);
                Ok(found.map_or(Value::Null, |(block, index)| {
                    let transaction = &block.transactions[index];
                    json!({
                        "hash": transaction.hash,
                        "from": transaction.from,
                        "to": transaction.to,
                        "blockHash": block.hash,
                        "blockNumber": hex(block.number),
                        "transactionIndex": format!("{index:#x}"),
                    })
                }))
            }
            "eth_getLogs" => self.logs(params),
            "eth_gasPrice" => Ok(format!("{:#x}", self.state.base_fee.saturating_add(self.state.tip)).into()),
            "eth_maxPriorityFeePerGas" => Ok(format!("{:#x}", self.state.tip).into()),
            "eth_feeHistory" => self.fee_history(params),
            _ => Err(error(-32601, &format!("the method {method} does not exist/is not available"))),
        }
    }

    fn visible(&self, number: u64) -> Option<&'a Block> {
        self.state.history.block(number).filter(|_| number <= self.head)
    }

    /// The block that the parameter at a place names, if its state is kept.
    fn block_with_state(&self, params: &Value, at: usize) -> Result<&'a Block, RpcError> {
        let value = params.get(at).unwrap_or(&Value::Null);
        if value.is_object() && !self.block_hashes {
            return Err(invalid_fields(&format!(
                "invalid argument {at}: json: cannot unmarshal object into Go value of type string"
            )));
        }
        let block = params::block(&self.state.history, value, self.head)?;
        let pruned = self.state.kept.is_some_and(|keep| block.number.saturating_add(keep) <= self.head);
        if pruned {
            let hash = hex_of(block.hash);
            return Err(error(
                -32000,
                &format!("missing trie node {hash} (path ) state 0x{hash} is not available"),
            ));
        }
        Ok(block)
    }

    fn call(&self, params: &Value) -> Result<Value, RpcError> {
        let request: Request = params::read(params, 0)?;
        let block = self.block_with_state(params, 1)?;
        let data = request.data.or(request.input).unwrap_or_default();
        match self.read_contract(block, request.to, &data) {
            Ok(answer) => Ok(Bytes::from(answer).to_string().into()),
            Err(data) => Err(reverted(data)),
        }
    }

    /// What a contract answers, or reverts with.
    fn read_contract(&self, block: &Block, to: Address, data: &[u8]) -> Result<Vec<u8>, RevertData> {
        let rules = &self.state.rules;
        let deployment = &rules.deployment;
        let world = &block.world;
        if !rules.has_code(world, to) {
            return Ok(Vec::new());
        }
        if rules.reverting.contains(&to) {
            return Err(revert("scripted to revert"));
        }
        if to == deployment.entry_point {
            if let Ok(call) = EntryPoint::getNonceCall::abi_decode(data) {
                let nonce = world.nonce(call.sender, call.key);
                return Ok(EntryPoint::getNonceCall::abi_encode_returns(&nonce));
            }
            if let Ok(call) = EntryPoint::balanceOfCall::abi_decode(data) {
                let deposit = world.get(call.account).map(|holder| holder.deposit).unwrap_or_default();
                return Ok(EntryPoint::balanceOfCall::abi_encode_returns(&deposit));
            }
        } else if to == deployment.session_key_manager {
            if let Ok(call) = SessionKeyManager::getSessionKeysCall::abi_decode(data) {
                let root = world.get(call.smartAccount).map(|holder| holder.root).unwrap_or_default();
                let answer = SessionKeyManager::SessionStorage { merkleRoot: root };
                return Ok(SessionKeyManager::getSessionKeysCall::abi_encode_returns(&answer));
            }
        } else if to == deployment.ecdsa_ownership_module || to == deployment.multichain_ecdsa_module {
            if let Ok(call) = EcdsaOwnershipModule::getOwnerCall::abi_decode(data) {
                let owner = world.get(call.smartAccount).and_then(|holder| holder.owners.get(&to).copied());
                let missing = NoOwnerRegisteredForSmartAccount { smartAccount: call.smartAccount };
                let owner = owner.ok_or_else(|| alloy_sol_types::SolError::abi_encode(&missing))?;
                return Ok(EcdsaOwnershipModule::getOwnerCall::abi_encode_returns(&owner));
            }
        } else if to == deployment.account_factory {
            type Counterfactual = SmartAccountFactory::getAddressForCounterFactualAccountCall;
            if let Ok(call) = Counterfactual::abi_decode(data)
                && let (module, setup) = (call.moduleSetupContract, &call.moduleSetupData)
                && let Some(account) = NewAccount::from_setup(deployment, module, setup, call.index)
            {
                return Ok(Counterfactual::abi_encode_returns(&account.address));
            }
        } else if (to == deployment.abi_session_validation_module
            || to == deployment.erc20_session_validation_module)
            && let Ok(call) = validateSessionParamsCall::abi_decode(data)
        {
            let made = Call { to: call.destinationContract, value: call.callValue, data: &call.funcCallData };
            let session_key = evaluate_by(rules, to, &call.sessionKeyData, &Execute(made).to_vec())
                .map_err(|invalid| invalid.module_reason().map(revert).unwrap_or_default())?;
            return Ok(validateSessionParamsCall::abi_encode_returns(&session_key));
        } else if rules.tokens.contains(&to) {
            if let Ok(call) = Erc20::balanceOfCall::abi_decode(data) {
                let balance = world.get(call.account).and_then(|holder| holder.tokens.get(&to));
                return Ok(Erc20::balanceOfCall::abi_encode_returns(&balance.copied().unwrap_or_default()));
            }
            if let Ok(call) = Erc20::allowanceCall::abi_decode(data) {
                let allowance =
                    world.get(call.owner).and_then(|holder| holder.allowances.get(&(to, call.spender)));
                return Ok(Erc20::allowanceCall::abi_encode_returns(&allowance.copied().unwrap_or_default()));
            }
            if Erc20::decimalsCall::abi_decode(data).is_ok() {
                return Ok(Erc20::decimalsCall::abi_encode_returns(&18));
            }
        } else if let Some(account) = world.get(to).filter(|holder| holder.deployed)
            && let Ok(call) = SmartAccount::isModuleEnabledCall::abi_decode(data)
        {
            let enabled = account.modules.contains(&call.module);
            return Ok(SmartAccount::isModuleEnabledCall::abi_encode_returns(&enabled));
        }
        Err(Vec::new())
    }

    fn logs(&self, params: &Value) -> Result<Value, RpcError> {
        let filter: Filter = params::read(params, 0)?;
        let blocks = match filter.block_hash {
            Some(_) if filter.from_block.is_some() || filter.to_block.is_some() => {
                return Err(invalid_fields(
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
                ));
            }
            Some(hash) => {
                let block = self.state.history.by_hash(hash).filter(|block| block.number <= self.head);
                std::slice::from_ref(block.ok_or_else(|| error(-32000, "unknown block"))?)
            }
            None => {
                let bound = |value: &Option<Value>| {
                    params::block_number(value.as_ref().unwrap_or(&Value::Null), self.head)
                };
                let (from, to) = (bound(&filter.from_block)?, bound(&filter.to_block)?);
                if from > to {
                    return Err(invalid_fields("invalid block range params"));
                }
                if self.log_range > 0 && to - from >= self.log_range {
                    let limit = self.log_range;
                    return Err(error(
                        -32005,
                        &format!("range too large: at most {limit} blocks are searched"),
                    ));
                }
                let blocks = self.state.history.blocks();
                let end = usize::try_from(to.min(self.head)).unwrap_or(usize::MAX).saturating_add(1);
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(end);
                blocks.get(start..end.min(blocks.len())).unwrap_or_default()
            }
        };
        let mut found = Vec::new();
        for block in blocks {
            let mut log_index = 0;
            for (index, transaction) in block.transactions.iter().enumerate() {
                for log in &transaction.logs {
                    if filter.matches(log) {
                        found.push(block.log_json(log, transaction.hash, index, log_index));
                    }
                    log_index += 1;
                }
            }
        }
        Ok(found.into())
    }

    fn fee_history(&self, params: &Value) -> Result<Value, RpcError> {
        let count = match params.get(0) {
            Some(Value::Number(number)) => number.as_u64().unwrap_or_default(),
            _ => params::read::<U64>(params, 0)?.to(),
        };
        let newest = params::block_number(params.get(1).unwrap_or(&Value::Null), self.head)?;
        if newest > self.head {
            return Err(error(-32000, "request beyond head block"));
        }
        let percentiles = params.get(2).and_then(Value::as_array).map_or(0, Vec::len);
        let count = count.clamp(1, 1024).min(newest + 1);
        let oldest = newest + 1 - count;
        let price = |fee: U256| Value::from(format!("{fee:#x}"));
        let blocks = (oldest..=newest).filter_map(|number| self.visible(number));
        let mut base_fees = blocks.map(|block| price(block.base_fee)).collect::<Vec<_>>();
        // The fee of the block after the newest is known as well.
        base_fees.push(price(self.visible(newest + 1).map_or(self.state.base_fee, |block| block.base_fee)));
        let blocks = base_fees.len() - 1;
        Ok(json!({
            "oldestBlock": hex(oldest),
            "baseFeePerGas": base_fees,
            "gasUsedRatio": vec![0.5; blocks],
            "reward": vec![vec![price(self.state.tip); percentiles]; blocks],
        }))
    }
}

fn reverted(data: RevertData) -> RpcError {
    let reason = revert_reason(&data).map(|reason| format!(": {reason}")).unwrap_or_default();
    let data = (!data.is_empty()).then(|| Bytes::from(data).to_string().into());
    RpcError { code: 3, message: format!("execution reverted{reason}"), data }
}

fn hex_of(hash: B256) -> String {
    alloy_primitives::hex::encode(hash)
}

/// A call that is not sent.
#[derive(Deserialize)]
struct Request {
    to: Address,
    #[serde(default)]
    data: Option<Bytes>,
    #[serde(default)]
    input: Option<Bytes>,
}

/// What logs are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    address: Option<OneOrMany<Address>>,
    #[serde(default)]
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
    #[serde(default)]
    from_block: Option<Value>,
    #[serde(default)]
    to_block: Option<Value>,
    #[serde(default)]
    block_hash: Option<B256>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    fn allows(&self, value: &T) -> bool {
        match self {
            Self::One(one) => one == value,
            // An empty list is no condition.
            Self::Many(many) => many.is_empty() || many.contains(value),
        }
    }
}

impl Filter {
    fn matches(&self, log: &Log) -> bool {
        self.address.as_ref().is_none_or(|address| address.allows(&log.address))
            && self.topics.iter().flatten().enumerate().all(|(at, wanted)| {
                match (wanted, log.topics.get(at)) {
                    (None, topic) => topic.is_some(),
                    (Some(wanted), Some(topic)) => wanted.allows(topic),
                    (Some(_), None) => false,
                }
            })
    }
}
