//! The chain as a state machine: what is asked of it happens at once and in the same way each time.

use std::{collections::VecDeque, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, keccak256};
use quorate_contracts::{Deployment, EntryPoint};
use quorate_transport::RpcError;

use crate::{
    block::{Block, History, MinedOperation, Transaction},
    execution::{Execution, OwnedCall, RevertData, Run},
    factory::{NewAccount, deploy},
    fault::Endpoint,
    mempool::{Mempool, Pending, error, invalid_fields},
    operation::Operation,
    paymaster::contract,
    validation::{Invalid, Mode, Valid, validate},
    world::{Rules, World, split_nonce},
};

/// What is put into the next block without a bundler.
#[derive(Debug)]
pub(crate) enum Queued {
    Operation(Pending),
    Calls(Address, Vec<OwnedCall>),
    Deployment(NewAccount),
}

/// What becomes of the operations of blocks that a reorganisation takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphaned {
    /// They go back to the mempool of the bundler that mined them. What no bundler mined is lost.
    BackToMempool,
    /// They are lost; whoever has them may send them again.
    Lost,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rules: Rules,
    pub(crate) history: History,
    /// The earliest time of the next block, in seconds since 1970.
    pub(crate) clock: u64,
    /// In wei, of the blocks to come.
    pub(crate) base_fee: U256,
    /// In wei.
    pub(crate) tip: U256,
    pub(crate) automine: bool,
    /// How many blocks back nodes have state; all where none.
    pub(crate) kept: Option<u64>,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) mempools: Vec<Mempool>,
    pub(crate) nodes: usize,
    pub(crate) paymasters: usize,
    pub(crate) requests: Vec<(Endpoint, String)>,
    /// Makes the hashes of blocks at the same height differ.
    mined: u64,
}

impl State {
    pub(crate) fn new(chain_id: u64, deployment: Deployment, genesis_time: u64) -> Self {
        let base_fee = U256::from(1_000_000_000);
        let genesis = Block {
            number: 0,
            hash: keccak256(chain_id.to_be_bytes()),
            parent: B256::ZERO,
            timestamp: genesis_time,
            base_fee,
            world: Arc::default(),
            transactions: Vec::new(),
            executions: Vec::new(),
        };
        Self {
            rules: Rules::new(chain_id, deployment),
            history: History::new(genesis),
            clock: genesis_time,
            base_fee,
            tip: U256::from(1_000_000_000),
            automine: true,
            kept: None,
            queue: VecDeque::new(),
            mempools: Vec::new(),
            nodes: 0,
            paymasters: 0,
            requests: Vec::new(),
            mined: 0,
        }
    }

    pub(crate) fn hash(&self, signed: &Operation) -> B256 {
        signed.operation.hash(self.rules.deployment.entry_point, self.rules.chain_id)
    }

    /// The time of the next block.
    pub(crate) fn next_timestamp(&self) -> u64 {
        self.clock.max(self.history.head().timestamp + 1)
    }

    /// Makes one block of what waits, and gives its number.
    pub(crate) fn mine(&mut self) -> u64 {
        let mut builder = Builder {
            number: self.history.head().number + 1,
            timestamp: self.next_timestamp(),
            base_fee: self.base_fee,
            world: World::clone(&self.history.head().world),
            transactions: Vec::new(),
            executions: Vec::new(),
        };
        for item in std::mem::take(&mut self.queue) {
            builder.add_queued(&self.rules, item, self.mined);
        }
        for (bundler, mempool) in self.mempools.iter_mut().enumerate() {
            builder.add_bundle(&self.rules, bundler, mempool);
        }
        let world = if builder.transactions.is_empty() {
            None
        } else {
            Some(Arc::new(std::mem::take(&mut builder.world)))
        };
        self.push_block(builder.timestamp, world, builder.transactions, builder.executions)
    }

    pub(crate) fn mine_if_automatic(&mut self) {
        if self.automine {
            self.mine();
        }
    }

    fn push_block(
        &mut self,
        timestamp: u64,
        world: Option<Arc<World>>,
        transactions: Vec<Transaction>,
        executions: Vec<Execution>,
    ) -> u64 {
        self.mined += 1;
        self.clock = self.clock.max(timestamp);
        let head = self.history.head();
        let mut hasher = Keccak256::new();
        hasher.update(head.hash);
        hasher.update(self.mined.to_be_bytes());
        let block = Block {
            number: head.number + 1,
            hash: hasher.finalize(),
            parent: head.hash,
            timestamp,
            base_fee: self.base_fee,
            world: world.unwrap_or_else(|| Arc::clone(&head.world)),
            transactions,
            executions,
        };
        let number = block.number;
        self.history.push(block);
        number
    }

    pub(crate) fn reorganise(&mut self, depth: u64, orphaned: Orphaned) {
        let mut returned = Vec::new();
        let mut taken = 0;
        while taken < depth {
            let Some(operations) = self.history.pop() else { break };
            taken += 1;
            returned.splice(0..0, operations);
        }
        if orphaned == Orphaned::BackToMempool {
            for operation in returned.into_iter().rev() {
                let Some(mempool) = operation.bundler.and_then(|at| self.mempools.get_mut(at)) else {
                    continue;
                };
                if mempool.get(operation.hash).is_none() {
                    mempool.pending.insert(0, Pending { signed: operation.signed, hash: operation.hash });
                }
            }
        }
        for _ in 0..taken {
            let timestamp = self.history.head().timestamp + 1;
            self.push_block(timestamp, None, Vec::new(), Vec::new());
        }
        self.push_block(self.next_timestamp(), None, Vec::new(), Vec::new());
    }

    /// What a bundler does when it is sent an operation.
    pub(crate) fn send(&mut self, bundler: usize, signed: Operation) -> Result<B256, RpcError> {
        let hash = self.hash(&signed);
        let op = &signed.operation;
        let floor = self.mempool(bundler).fee_floor;
        if op.max_fee_per_gas < floor {
            return Err(invalid_fields(&format!(
                "maxFeePerGas must be at least {floor} (current maxFeePerGas: {}) - use pimlico_getUserOperationGasPrice to get the current gas price",
                op.max_fee_per_gas
            )));
        }
        let (key, _) = split_nonce(op.nonce);
        let head = self.history.head();
        let next = head.world.sequence(op.sender, key);
        let mut world = World::clone(&head.world);
        let now = self.next_timestamp();
        let valid = validate(&self.rules, &mut world, &signed, hash, now, Mode::Queued).map_err(refusal)?;
        // Alto wants some seconds in which to mine it.
        let until = valid.epoch.valid_until();
        if until != 0 && until < now + 5 {
            return Err(error(-32503, "User operation expires too soon"));
        }
        self.mempool(bundler).add(signed, hash, next)?;
        self.mine_if_automatic();
        Ok(hash)
    }

    /// Whether an operation would be valid and its call go through, whoever signed it and whoever pays.
    pub(crate) fn simulate(&self, signed: &Operation) -> Result<(), RpcError> {
        let head = self.history.head();
        let mut run = Run::new(&self.rules, World::clone(&head.world));
        let hash = self.hash(signed);
        let now = self.next_timestamp();
        validate(&self.rules, &mut run.world, signed, hash, now, Mode::Estimate).map_err(refusal)?;
        run.call_account(signed.operation.sender, &signed.operation.call_data).map_err(|data| {
            let reason = revert_reason(&data);
            let reason = reason.unwrap_or_else(|| Bytes::from(data.clone()).to_string());
            let message = format!("UserOperation reverted during simulation with reason: {reason}");
            RpcError { data: Some(Bytes::from(data).to_string().into()), ..error(-32521, &message) }
        })
    }

    /// Whether the call of an account by the entry point goes through at the end of a block.
    pub(crate) fn try_call(&self, world: &World, account: Address, data: &[u8]) -> Result<(), RevertData> {
        Run::new(&self.rules, world.clone()).call_account(account, data)
    }

    pub(crate) fn mempool(&mut self, bundler: usize) -> &mut Mempool {
        while self.mempools.len() <= bundler {
            self.mempools.push(Mempool::default());
        }
        &mut self.mempools[bundler]
    }
}

/// The text of Solidity's `Error(string)`.
pub(crate) fn revert_reason(data: &[u8]) -> Option<String> {
    let revert = <alloy_sol_types::Revert as alloy_sol_types::SolError>::abi_decode(data).ok()?;
    Some(revert.reason)
}

/// How alto words what the entry point says.
fn refusal(Invalid(reason): Invalid) -> RpcError {
    let simulated = || format!("UserOperation reverted during simulation with reason: {reason}");
    match reason.get(..4) {
        Some("AA24") => {
            error(-32507, "Invalid UserOperation signature or paymaster signature: AA24 signature error")
        }
        Some("AA22") => {
            error(-32503, "User operation is not valid yet or expires too soon: AA22 expired or not due")
        }
        Some("AA34") => {
            error(-32507, "Invalid UserOperation signature or paymaster signature: AA34 signature error")
        }
        Some("AA32") => error(
            -32503,
            "User operation is not valid yet or expires too soon: AA32 paymaster expired or not due",
        ),
        Some(code) if code.starts_with("AA3") => error(-32501, &simulated()),
        _ => error(-32500, &simulated()),
    }
}

/// A block in the making.
struct Builder {
    number: u64,
    timestamp: u64,
    base_fee: U256,
    world: World,
    transactions: Vec<Transaction>,
    executions: Vec<Execution>,
}

/// Who sends the transactions of bundlers, and of nobody's.
const SENDER: Address = Address::repeat_byte(0xb0);

impl Builder {
    fn add_queued(&mut self, rules: &Rules, item: Queued, salt: u64) {
        let place = [salt.to_be_bytes(), self.transactions.len().to_be_bytes()].concat();
        match item {
            Queued::Operation(pending) => {
                let mut run = Run::new(rules, std::mem::take(&mut self.world));
                match self.handle(&mut run, &pending, None) {
                    Ok(mined) => {
                        self.finish(run, rules.deployment.entry_point, vec![mined], Some(keccak256(place)))
                    }
                    Err(_) => self.world = run.world,
                }
            }
            Queued::Calls(account, calls) => {
                let mut run = Run::new(rules, std::mem::take(&mut self.world));
                // As on a chain, a transaction that reverts changes nothing.
                let _: Result<(), RevertData> = run.call_all(account, calls);
                self.note_calls(&mut run, None);
                self.finish(run, account, Vec::new(), Some(keccak256(place)));
            }
            Queued::Deployment(account) => {
                if !rules.has_code(&self.world, account.address) {
                    deploy(&mut self.world, &account);
                }
                let run = Run::new(rules, std::mem::take(&mut self.world));
                self.finish(run, rules.deployment.account_factory, Vec::new(), Some(keccak256(place)));
            }
        }
    }

    /// One transaction with all that a bundler can put into it.
    fn add_bundle(&mut self, rules: &Rules, bundler: usize, mempool: &mut Mempool) {
        if mempool.pending.is_empty() {
            return;
        }
        let mut run = Run::new(rules, std::mem::take(&mut self.world));
        let mut mined = Vec::new();
        for pending in std::mem::take(&mut mempool.pending) {
            let op = &pending.signed.operation;
            let (key, sequence) = split_nonce(op.nonce);
            let early = sequence > run.world.sequence(op.sender, key);
            if early || mempool.is_held(pending.hash) || op.max_fee_per_gas < self.base_fee {
                mempool.pending.push(pending);
            } else {
                mempool.submitted.remove(&pending.hash);
                match self.handle(&mut run, &pending, Some(bundler)) {
                    Ok(operation) => mined.push(operation),
                    // What is not valid any more is dropped, as bundlers do.
                    Err(Invalid(reason)) => {
                        mempool.rejected.insert(pending.hash, reason);
                    }
                }
            }
        }
        if mined.is_empty() {
            self.world = run.world;
        } else {
            self.finish(run, rules.deployment.entry_point, mined, None);
        }
    }

    /// What the entry point does with one operation. Where it is not valid, nothing of it stays.
    fn handle(
        &mut self,
        run: &mut Run<'_>,
        pending: &Pending,
        bundler: Option<usize>,
    ) -> Result<MinedOperation, Invalid> {
        let signed = &pending.signed;
        let op = &signed.operation;
        let before = run.world.clone();
        let first_log = run.logs.len();
        let valid = validate(run.rules, &mut run.world, signed, pending.hash, self.timestamp, Mode::Whole);
        let Valid { deployed, payer, prefund, charge, .. } = valid.inspect_err(|_| run.world = before)?;
        let entry_point = run.rules.deployment.entry_point;
        let paymaster = crate::operation::paymaster(signed);
        if deployed {
            let factory = run.rules.deployment.account_factory;
            let (user_op_hash, sender) = (pending.hash, op.sender);
            let event = EntryPoint::AccountDeployed { userOpHash: user_op_hash, sender, factory, paymaster };
            run.log(entry_point, &event);
        }

        let price = op.max_fee_per_gas.min(self.base_fee.saturating_add(op.max_priority_fee_per_gas));
        let limits = op.call_gas_limit + op.verification_gas_limit + op.pre_verification_gas;
        let gas_used = u64::try_from(limits).unwrap_or(u64::MAX).min(100_000);
        let cost = price.saturating_mul(U256::from(gas_used)).min(prefund);

        let before_calls = run.snapshot();
        let outcome = run.call_account(op.sender, &op.call_data);
        let mut success = outcome.is_ok();
        let mut revert = Bytes::from(outcome.err().unwrap_or_default());
        if !revert.is_empty() {
            let event = EntryPoint::UserOperationRevertReason {
                userOpHash: pending.hash,
                sender: op.sender,
                nonce: op.nonce,
                revertReason: revert.clone(),
            };
            run.log(entry_point, &event);
        }

        if let Some(charge) = charge {
            let (token, amount) = (charge.token, charge.for_cost(cost, price));
            if run.take_token(token, op.sender, contract::TOKEN, contract::TOKEN, amount).is_err() {
                // The entry point undoes the calls and comes again, and the paymaster notes what it is owed.
                run.restore(before_calls);
                (success, revert) = (false, Bytes::new());
                if !amount.is_zero() {
                    *run.world.entry(op.sender).owed.entry(token).or_default() += amount;
                }
            }
        }
        self.note_calls(run, Some(pending.hash));
        run.world.entry(payer).deposit += prefund - cost;
        let event = EntryPoint::UserOperationEvent {
            userOpHash: pending.hash,
            sender: op.sender,
            paymaster,
            nonce: op.nonce,
            success,
            actualGasCost: cost,
            actualGasUsed: U256::from(gas_used),
        };
        run.log(entry_point, &event);
        Ok(MinedOperation {
            signed: Arc::clone(signed),
            hash: pending.hash,
            bundler,
            success,
            revert,
            cost,
            gas_used,
            logs: first_log..run.logs.len(),
        })
    }

    fn note_calls(&mut self, run: &mut Run<'_>, user_op_hash: Option<B256>) {
        let block = self.number;
        self.executions.extend(run.calls.drain(..).map(|(sender, (to, value, data))| Execution {
            block,
            user_op_hash,
            sender,
            to,
            value,
            data,
        }));
    }

    /// Without a hash of its own, a transaction is named by its operations, and so has the same name when it is
    /// mined again.
    fn finish(&mut self, run: Run<'_>, to: Address, operations: Vec<MinedOperation>, hash: Option<B256>) {
        let hash = hash.unwrap_or_else(|| {
            let mut hasher = Keccak256::new();
            operations.iter().for_each(|operation| hasher.update(operation.hash));
            hasher.finalize()
        });
        self.world = run.world;
        self.transactions.push(Transaction { hash, from: SENDER, to, operations, logs: run.logs });
    }
}
