//! The chain's bundlers.

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use serde_json::{Value, json};

use crate::{
    block::{Block, MinedOperation},
    chain::ScriptedChain,
    dialect::BundlerDialect,
    fault::{Endpoint, Fault, Script, faults_on_demand},
    mempool::{Mempool, error, estimate, invalid_fields},
    number::{Numbers, hex},
    operation::{self, Operation, paymaster},
    params,
    state::{State, revert_reason},
    status::{Status, transaction_of},
};

/// A bundler of a [`ScriptedChain`], with alto's rules and texts, and at first with Pimlico's methods.
#[derive(Debug)]
pub struct ScriptedBundler {
    chain: ScriptedChain,
    index: usize,
    script: Script,
}

impl ScriptedBundler {
    pub(crate) fn new(chain: ScriptedChain, index: usize) -> Self {
        Self { chain, index, script: Script::default() }
    }

    /// What it is called in [`ScriptedChain::requests`].
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::Bundler(self.index)
    }

    faults_on_demand!("the bundler is down");

    /// Takes all faults and the hook away.
    pub fn clear_faults(&self) {
        self.script.clear();
    }

    /// The hashes of the operations that wait in the mempool, in the order in which they would be mined.
    pub fn pending(&self) -> Vec<B256> {
        self.mempool(|mempool| mempool.pending.iter().map(|pending| pending.hash).collect())
    }

    /// Drops an operation from the mempool without a word, so that its status is unknown; whether it was there.
    pub fn drop_operation(&self, user_op_hash: B256) -> bool {
        self.mempool(|mempool| {
            let before = mempool.pending.len();
            mempool.pending.retain(|pending| pending.hash != user_op_hash);
            mempool.pending.len() < before
        })
    }

    /// Drops all operations from the mempool and forgets what was rejected, as a restart does.
    pub fn drop_all(&self) {
        self.mempool(|mempool| {
            mempool.pending.clear();
            mempool.rejected.clear();
        });
    }

    /// Takes an operation out of the mempool and says so from then on, until it is sent again: `rejected`, or
    /// `DROPPED_FROM_BUNDLER_MEMPOOL` with the reason. Gives whether it was there.
    pub fn reject_operation(&self, user_op_hash: B256, reason: impl Into<String>) -> bool {
        let was_there = self.drop_operation(user_op_hash);
        if was_there {
            self.mempool(|mempool| mempool.rejected.insert(user_op_hash, reason.into()));
        }
        was_there
    }

    /// Puts an operation that waits into a transaction of its own that is in no block yet, so that its status is
    /// submitted; whether it waits. When it is mined, it may be by another transaction, with other operations.
    pub fn submit_operation(&self, user_op_hash: B256) -> bool {
        self.mempool(|mempool| {
            let waits = mempool.get(user_op_hash).is_some();
            if waits {
                mempool.submitted.insert(user_op_hash);
            }
            waits
        })
    }

    /// Does not mine an operation, which may be sent later, until it is released.
    pub fn hold(&self, user_op_hash: B256) {
        self.mempool(|mempool| {
            mempool.released.remove(&user_op_hash);
            mempool.held.insert(user_op_hash)
        });
    }

    /// Mines an operation that was held: at once where blocks are mined automatically.
    pub fn release(&self, user_op_hash: B256) {
        self.mempool(|mempool| {
            mempool.held.remove(&user_op_hash);
            mempool.released.insert(user_op_hash)
        });
        self.chain.state().mine_if_automatic();
    }

    /// Whether every operation is held, but those that were [released](Self::release) by their hash; false at first.
    pub fn hold_all(&self, hold: bool) {
        self.mempool(|mempool| mempool.hold_all = hold);
        if !hold {
            self.chain.state().mine_if_automatic();
        }
    }

    /// Finds receipts and operations of the last `blocks` blocks only, and answers `null` for older ones; none looks
    /// at all blocks, as at first.
    pub fn set_receipt_window(&self, blocks: Option<u64>) {
        self.mempool(|mempool| mempool.receipt_window = blocks);
    }

    /// Whether `eth_getUserOperationByHash` answers `null` while the operation waits, as alto does; true at first.
    pub fn set_null_while_waiting(&self, null: bool) {
        self.mempool(|mempool| mempool.null_while_waiting = null);
    }

    /// Which methods the bundler has beyond the standard's.
    pub fn set_dialect(&self, dialect: BundlerDialect) {
        self.mempool(|mempool| mempool.dialect = dialect);
    }

    /// The form of numbers in answers.
    pub fn set_numbers(&self, numbers: Numbers) {
        self.mempool(|mempool| mempool.numbers = numbers);
    }

    /// How many streams of a sender may have operations waiting; 10 at first, as alto's.
    pub fn set_parallel_limit(&self, streams: usize) {
        self.mempool(|mempool| mempool.parallel_limit = streams);
    }

    /// How many operations of a stream may wait behind the first; none at first, as alto's.
    pub fn set_queue_limit(&self, operations: usize) {
        self.mempool(|mempool| mempool.queue_limit = operations);
    }

    /// The least `maxFeePerGas` that the bundler takes, in wei; 0 at first.
    pub fn set_fee_floor(&self, wei: U256) {
        self.mempool(|mempool| mempool.fee_floor = wei);
    }

    /// Answers for receipts and operations as if the last `blocks` were not there yet.
    pub fn set_lag(&self, blocks: u64) {
        self.mempool(|mempool| mempool.lag = blocks);
    }

    /// The gas that estimates name: before verification, verification and call. 150 000 is added for verification
    /// where the account is deployed.
    pub fn set_gas(&self, pre_verification: u64, verification: u64, call: u64) {
        self.mempool(|mempool| mempool.gas = [pre_verification, verification, call]);
    }

    /// The price that the bundler names, in percent of twice the base fee and the priority fee; 100 at first.
    pub fn set_price_percent(&self, percent: u64) {
        self.mempool(|mempool| mempool.price_percent = percent);
    }

    fn mempool<T>(&self, change: impl FnOnce(&mut Mempool) -> T) -> T {
        change(self.chain.state().mempool(self.index))
    }

    fn answer(&self, state: &mut State, method: &str, params: &Value) -> Result<Value, RpcError> {
        let dialect = state.mempool(self.index).dialect;
        match method {
            "eth_chainId" => Ok(hex(state.rules.chain_id)),
            "eth_supportedEntryPoints" => Ok(json!([state.rules.deployment.entry_point])),
            "eth_sendUserOperation" => {
                if params.get(2).is_some() && dialect != BundlerDialect::Biconomy {
                    return Err(invalid_fields("Validation error: Array must contain at most 2 element(s)"));
                }
                let operation = read_operation(state, params)?;
                Ok(json!(state.send(self.index, operation)?))
            }
            "eth_estimateUserOperationGas" => {
                let operation = read_operation(state, params)?;
                state.simulate(&operation)?;
                let mempool = state.mempool(self.index);
                let [before, verification, call] = estimate(mempool.gas, &operation);
                let write = |gas: u64| mempool.numbers.write(U256::from(gas));
                Ok(json!({
                    "preVerificationGas": write(before),
                    "verificationGasLimit": write(verification),
                    "callGasLimit": write(call),
                }))
            }
            "eth_getUserOperationReceipt" => {
                let hash: B256 = params::read(params, 0)?;
                Ok(match self.status(state, hash) {
                    Status::Included { receipt, .. } => receipt,
                    _ => Value::Null,
                })
            }
            "eth_getUserOperationByHash" => self.by_hash(state, params::read(params, 0)?),
            "pimlico_getUserOperationStatus" if dialect == BundlerDialect::Pimlico => {
                Ok(self.status(state, params::read(params, 0)?).pimlico())
            }
            "biconomy_getUserOperationStatus" if dialect == BundlerDialect::Biconomy => {
                let hash: B256 = params::read(params, 0)?;
                let chain_id = state.rules.chain_id;
                self.status(state, hash).biconomy(hash, chain_id)
            }
            "pimlico_getUserOperationGasPrice" if dialect == BundlerDialect::Pimlico => {
                let numbers = state.mempool(self.index).numbers;
                let level = |percent| self.price(state, percent, numbers);
                let [slow, standard, fast] = [100, 105, 110].map(level);
                Ok(json!({ "slow": slow, "standard": standard, "fast": fast }))
            }
            "biconomy_getGasFeeValues" if dialect == BundlerDialect::Biconomy => {
                Ok(self.price(state, 100, Numbers::Decimal))
            }
            "rundler_maxPriorityFeePerGas" if dialect == BundlerDialect::Rundler => {
                let numbers = state.mempool(self.index).numbers;
                Ok(self.price(state, 100, numbers)["maxPriorityFeePerGas"].take())
            }
            _ => Err(error(-32601, &format!("Method {method} not supported"))),
        }
    }

    /// What became of an operation: first what the chain says, as far as the bundler looks back.
    fn status(&self, state: &mut State, hash: B256) -> Status {
        let mempool = state.mempool(self.index);
        let (numbers, dialect) = (mempool.numbers, mempool.dialect);
        let in_mempool = Status::in_mempool(mempool, hash);
        let entry_point = state.rules.deployment.entry_point;
        let Some((block, index, operation)) = self.find(state, hash) else { return in_mempool };
        let mut receipt = receipt(block, index, operation, entry_point, numbers);
        if dialect == BundlerDialect::Biconomy {
            receipt["success"] = operation.success.to_string().into();
        }
        Status::Included { transaction: block.transactions[index].hash, success: operation.success, receipt }
    }

    /// An operation of the canonical chain, if the bundler looks back so far.
    fn find<'a>(&self, state: &'a mut State, hash: B256) -> Option<(&'a Block, usize, &'a MinedOperation)> {
        let mempool = state.mempool(self.index);
        let (window, lag) = (mempool.receipt_window, mempool.lag);
        let head = state.history.head().number.saturating_sub(lag);
        let found = state.history.operation(hash)?;
        let number = found.0.number;
        let seen = number <= head && window.is_none_or(|window| number.saturating_add(window) > head);
        seen.then_some(found)
    }

    fn by_hash(&self, state: &mut State, hash: B256) -> Result<Value, RpcError> {
        let entry_point = state.rules.deployment.entry_point;
        let mempool = state.mempool(self.index);
        let numbers = mempool.numbers;
        if !mempool.null_while_waiting
            && let Some(pending) = mempool.get(hash)
        {
            let transaction = mempool.submitted.contains(&hash).then(|| transaction_of(hash));
            return Ok(json!({
                "userOperation": operation::write(&pending.signed, numbers),
                "entryPoint": entry_point,
                "transactionHash": transaction,
                "blockHash": null,
                "blockNumber": null,
            }));
        }
        Ok(self.find(state, hash).map_or(Value::Null, |(block, index, mined)| {
            json!({
                "userOperation": operation::write(&mined.signed, numbers),
                "entryPoint": entry_point,
                "transactionHash": block.transactions[index].hash,
                "blockHash": block.hash,
                "blockNumber": numbers.write(U256::from(block.number)),
            })
        }))
    }

    /// Both fees, of which a level is so many percent.
    fn price(&self, state: &mut State, level: u64, numbers: Numbers) -> Value {
        let (base_fee, tip) = (state.base_fee, state.tip);
        let percent = U256::from(state.mempool(self.index).price_percent.saturating_mul(level));
        let part = |wei: U256| numbers.write(wei.saturating_mul(percent) / U256::from(10_000));
        let max = base_fee.saturating_mul(U256::from(2)).saturating_add(tip);
        json!({ "maxFeePerGas": part(max), "maxPriorityFeePerGas": part(tip) })
    }
}

#[async_trait]
impl Transport for ScriptedBundler {
    async fn request(&self, method: &str, params: Value, _repeat: Repeat) -> Result<Value, TransportError> {
        let act = |state: &mut State| self.answer(state, method, &params);
        self.chain.respond(self.endpoint(), &self.script, method, &params, act).await
    }
}

fn read_operation(state: &State, params: &Value) -> Result<Operation, RpcError> {
    let operation = params.get(0).unwrap_or(&Value::Null);
    let operation = operation::read(operation)
        .map_err(|reason| invalid_fields(&format!("Validation error: {reason} at \"params[0]\"")))?;
    let entry_point: Address = params::read(params, 1)?;
    let supported = state.rules.deployment.entry_point;
    if entry_point != supported {
        return Err(invalid_fields(&format!(
            "EntryPoint {entry_point} not supported, supported EntryPoints: {supported}"
        )));
    }
    Ok(operation)
}

fn receipt(
    block: &Block,
    index: usize,
    operation: &MinedOperation,
    entry_point: Address,
    numbers: Numbers,
) -> Value {
    let op = &operation.signed.operation;
    let logs = block.logs_json(index);
    let mut transaction = block.receipt_json(index).unwrap_or_default();
    transaction["blockNumber"] = numbers.write(U256::from(block.number));
    let mut receipt = json!({
        "userOpHash": operation.hash,
        "entryPoint": entry_point,
        "sender": op.sender,
        "nonce": numbers.write(op.nonce),
        "paymaster": paymaster(&operation.signed),
        "actualGasCost": numbers.write(operation.cost),
        "actualGasUsed": numbers.write(U256::from(operation.gas_used)),
        "success": operation.success,
        "logs": logs.get(operation.logs.clone()).unwrap_or_default(),
        "receipt": transaction,
    });
    if !operation.success {
        let reason = revert_reason(&operation.revert);
        let reason = reason.unwrap_or_else(|| Bytes::clone(&operation.revert).to_string());
        receipt["reason"] = reason.into();
    }
    receipt
}
