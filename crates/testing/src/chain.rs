//! The scripted chain, as a test directs it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U192};
use quorate_contracts::Deployment;
use quorate_core::{Call, SignedUserOperation};
use quorate_transport::{RpcError, TransportError};
use serde_json::Value;

use crate::{
    bundler::ScriptedBundler,
    execution::Execution,
    factory::NewAccount,
    fault::{ChainHook, Endpoint, Fault, Script, lock},
    mempool::Pending,
    node::ScriptedNode,
    operation::owned,
    paymaster::ScriptedPaymaster,
    state::{Orphaned, Queued, State},
};

/// A chain in the process, with nodes, bundlers and paymasters that are [`Transport`](quorate_transport::Transport)s.
///
/// It is deterministic: time passes only as blocks are mined and [`advance`](Self::advance) is called, and the same
/// calls give the same hashes. Clones are the same chain.
///
/// Contracts are modelled and not executed: accounts of the factory, the entry point's nonces and payment, the ECDSA
/// ownership module and the multichain module, the session key manager with both session validation modules, the
/// batched session router, ERC-20 tokens, and once there is a [`paymaster`](Self::paymaster) its contracts. Any
/// other contract takes every call, and the call is recorded.
#[derive(Clone)]
pub struct ScriptedChain(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    hook: Mutex<Option<ChainHook>>,
}

impl ScriptedChain {
    /// The chain's id, where none is chosen.
    pub const CHAIN_ID: u64 = 31337;
    /// The time of the first block in seconds since 1970, where none is chosen.
    pub const GENESIS_TIME: u64 = 1_767_225_600;

    /// A chain with id 31337, the canonical deployment and a first block of 2026-01-01. Operations are mined as soon
    /// as a bundler takes them.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Self::CHAIN_ID, Deployment::canonical(), Self::GENESIS_TIME)
    }

    /// A chain with an id, a deployment and a time of the first block, in seconds since 1970.
    #[must_use]
    pub fn with(chain_id: u64, deployment: Deployment, genesis_time: u64) -> Self {
        let state = Mutex::new(State::new(chain_id, deployment, genesis_time));
        Self(Arc::new(Shared { state, hook: Mutex::new(None) }))
    }

    /// Another node.
    pub fn node(&self) -> Arc<ScriptedNode> {
        let mut state = self.state();
        state.nodes += 1;
        Arc::new(ScriptedNode::new(self.clone(), state.nodes - 1))
    }

    /// Another bundler, with a mempool of its own.
    pub fn bundler(&self) -> Arc<ScriptedBundler> {
        let mut state = self.state();
        let index = state.mempools.len();
        state.mempool(index);
        Arc::new(ScriptedBundler::new(self.clone(), index))
    }

    /// Another paymaster's service. All have the same two contracts, which the first puts on the chain, from the first
    /// block on, with a deposit of 100 ether each.
    pub fn paymaster(&self) -> Arc<ScriptedPaymaster> {
        let mut state = self.state();
        if !state.rules.signing_paymasters {
            state.rules.signing_paymasters = true;
            let deposit = U256::from(100) * U256::from(10).pow(U256::from(18));
            for contract in [ScriptedPaymaster::VERIFYING_PAYMASTER, ScriptedPaymaster::TOKEN_PAYMASTER] {
                state.rules.contracts.insert(contract);
                state.history.edit(|world| world.entry(contract).deposit += deposit);
            }
        }
        state.paymasters += 1;
        Arc::new(ScriptedPaymaster::new(self.clone(), state.paymasters - 1))
    }

    /// The contracts.
    pub fn deployment(&self) -> Deployment {
        self.state().rules.deployment
    }

    /// The chain's id.
    pub fn chain_id(&self) -> u64 {
        self.state().rules.chain_id
    }

    /// The number of the latest block.
    pub fn block_number(&self) -> u64 {
        self.state().history.head().number
    }

    /// The hash of a block of the canonical chain.
    pub fn block_hash(&self, number: u64) -> Option<B256> {
        self.state().history.block(number).map(|block| block.hash)
    }

    /// Gives `wei` to an address, as if it had had them from the first block on: no reorganisation takes them back.
    pub fn fund(&self, address: Address, wei: U256) {
        self.state().history.edit(|world| world.entry(address).balance += wei);
    }

    /// Makes `paymaster` a contract that sponsors every operation, out of `wei` at the entry point. A contract of
    /// [`paymaster`](Self::paymaster)'s sponsors as before, and has so much more.
    pub fn fund_paymaster(&self, paymaster: Address, wei: U256) {
        let mut state = self.state();
        state.rules.contracts.insert(paymaster);
        state.history.edit(|world| world.entry(paymaster).deposit += wei);
    }

    /// Sets what an address has at the entry point, in wei, as if it had had that from the first block on.
    pub fn set_deposit(&self, address: Address, wei: U256) {
        self.state().history.edit(|world| world.entry(address).deposit = wei);
    }

    /// Makes `token` an ERC-20 contract, if it is none, and gives `amount` of it to `holder`, from the first block on.
    pub fn fund_token(&self, token: Address, holder: Address, amount: U256) {
        let mut state = self.state();
        state.rules.contracts.insert(token);
        state.rules.tokens.insert(token);
        state.history.edit(|world| *world.entry(holder).tokens.entry(token).or_default() += amount);
    }

    /// Whether there is code at an address that is no account of the factory's. The contracts of the deployment
    /// have code at first.
    pub fn set_code(&self, address: Address, code: bool) {
        let mut state = self.state();
        if code {
            state.rules.contracts.insert(address);
        } else {
            state.rules.contracts.remove(&address);
        }
    }

    /// Makes every call of `address` revert, from now on.
    pub fn reverting(&self, address: Address) {
        self.state().rules.reverting.insert(address);
    }

    /// Undoes [`reverting`](Self::reverting).
    pub fn not_reverting(&self, address: Address) {
        self.state().rules.reverting.remove(&address);
    }

    /// Mines one block of what the bundlers and [`inject`](Self::inject) hold ready, and gives its number.
    pub fn mine(&self) -> u64 {
        self.state().mine()
    }

    /// Whether a block is mined for each operation that a bundler takes, and for each thing done directly; true at
    /// first.
    pub fn set_automine(&self, automine: bool) {
        self.state().automine = automine;
    }

    /// Lets `seconds` pass. The latest block's time stays as it is until another is mined, which is at once where
    /// blocks are mined automatically.
    pub fn advance(&self, seconds: u64) {
        let mut state = self.state();
        state.clock = state.clock.saturating_add(seconds);
        state.mine_if_automatic();
    }

    /// The chain's time, in seconds since 1970: the next block is not earlier.
    pub fn now(&self) -> u64 {
        self.state().clock
    }

    /// Sets the base fee of the blocks to come, in wei; 1 gwei at first. Operations that pay less wait.
    pub fn set_base_fee(&self, wei: U256) {
        self.state().base_fee = wei;
    }

    /// Sets the priority fee that the nodes name, in wei; 1 gwei at first.
    pub fn set_priority_fee(&self, wei: U256) {
        self.state().tip = wei;
    }

    /// Has nodes know the state of the last `keep` blocks only.
    pub fn prune(&self, keep: u64) {
        self.state().kept = Some(keep);
    }

    /// Takes back the last `depth` blocks and mines one more than that, all empty and with other hashes. The first
    /// block stays.
    pub fn reorganise(&self, depth: u64, orphaned: Orphaned) {
        self.state().reorganise(depth, orphaned);
    }

    /// The root of an account's sessions at the latest block.
    pub fn root(&self, account: Address) -> B256 {
        self.state().history.head().world.get(account).map(|holder| holder.root).unwrap_or_default()
    }

    /// The next nonce of one of an account's streams at the latest block, key and sequence in one word.
    pub fn nonce(&self, account: Address, key: U192) -> U256 {
        self.state().history.head().world.nonce(account, key)
    }

    /// The owner of an account by the ECDSA ownership module at the latest block.
    pub fn owner(&self, account: Address) -> Option<Address> {
        self.owner_by(account, self.deployment().ecdsa_ownership_module)
    }

    /// The owner of an account by a module at the latest block: the ECDSA ownership module and the multichain module
    /// each have their own.
    pub fn owner_by(&self, account: Address, module: Address) -> Option<Address> {
        let state = self.state();
        state.history.head().world.get(account)?.owners.get(&module).copied()
    }

    /// Whether a module is enabled on an account at the latest block.
    pub fn is_module_enabled(&self, account: Address, module: Address) -> bool {
        let state = self.state();
        state.history.head().world.get(account).is_some_and(|holder| holder.modules.contains(&module))
    }

    /// The balance of an address at the latest block, in wei.
    pub fn balance(&self, address: Address) -> U256 {
        self.state().history.head().world.get(address).map(|holder| holder.balance).unwrap_or_default()
    }

    /// What an address has at the entry point at the latest block, in wei.
    pub fn deposit(&self, address: Address) -> U256 {
        self.state().history.head().world.get(address).map(|holder| holder.deposit).unwrap_or_default()
    }

    /// What an account owes the token paymaster at the latest block, since a payment failed.
    pub fn owed(&self, token: Address, account: Address) -> U256 {
        let state = self.state();
        let holder = state.history.head().world.get(account);
        holder.and_then(|holder| holder.owed.get(&token)).copied().unwrap_or_default()
    }

    /// What an address holds of a token at the latest block.
    pub fn token_balance(&self, token: Address, holder: Address) -> U256 {
        let state = self.state();
        let holder = state.history.head().world.get(holder);
        holder.and_then(|holder| holder.tokens.get(&token)).copied().unwrap_or_default()
    }

    /// Whether an account is deployed at the latest block.
    pub fn is_deployed(&self, account: Address) -> bool {
        self.state().history.head().world.get(account).is_some_and(|holder| holder.deployed)
    }

    /// The calls that accounts made, in the canonical chain and in their order. Calls that were reverted are not
    /// among them.
    pub fn executions(&self) -> Vec<Execution> {
        let state = self.state();
        state.history.blocks().iter().flat_map(|block| block.executions.iter().cloned()).collect()
    }

    /// Whether an operation is in the canonical chain, and its call went through.
    pub fn outcome(&self, user_op_hash: B256) -> Option<bool> {
        self.state().history.operation(user_op_hash).map(|(.., operation)| operation.success)
    }

    /// The block of the canonical chain that an operation is in.
    pub fn block_of(&self, user_op_hash: B256) -> Option<u64> {
        self.state().history.operation(user_op_hash).map(|(block, ..)| block.number)
    }

    /// Has an account make calls without an operation, as other software can by a module. They come first in the
    /// next block, and all revert if one does.
    pub fn execute_directly(&self, account: Address, calls: &[Call<'_>]) {
        let calls = calls.iter().map(|call| (call.to, call.value, Bytes::copy_from_slice(call.data)));
        self.enqueue(Queued::Calls(account, calls.collect()));
    }

    /// Deploys the account of an owner without an operation, as anyone may, in the next block. Gives its address.
    pub fn deploy_directly(&self, owner: Address, index: U256) -> Address {
        self.deploy_by(self.deployment().ecdsa_ownership_module, owner, index)
    }

    /// As [`deploy_directly`](Self::deploy_directly), an account whose first module is the multichain module. Its
    /// address is another one.
    ///
    /// ```
    /// use alloy_primitives::{Address, U256};
    /// use quorate_contracts::account::Creation;
    /// use quorate_testing::ScriptedChain;
    ///
    /// let chain = ScriptedChain::new();
    /// let owner = Address::repeat_byte(1);
    /// let address = chain.deploy_multichain_directly(owner, U256::ZERO);
    /// let owner_module = chain.deployment().multichain_ecdsa_module;
    /// assert_eq!(chain.owner_by(address, owner_module), Some(owner));
    /// let creation = Creation { owner_module, owner, index: U256::ZERO };
    /// assert_eq!(address, creation.address(&chain.deployment()));
    /// ```
    pub fn deploy_multichain_directly(&self, owner: Address, index: U256) -> Address {
        self.deploy_by(self.deployment().multichain_ecdsa_module, owner, index)
    }

    fn deploy_by(&self, module: Address, owner: Address, index: U256) -> Address {
        let Some(account) = NewAccount::new(&self.deployment(), module, owner, index) else {
            unreachable!("the module is one of the deployment's")
        };
        self.enqueue(Queued::Deployment(account));
        account.address
    }

    /// Puts a signed operation into the next block before all others, whether or not a bundler has it. It is left
    /// out where it is not valid. Gives its hash.
    pub fn inject<B: AsRef<[u8]>>(&self, operation: &SignedUserOperation<B>) -> B256 {
        let signed = owned(operation);
        let hash = self.state().hash(&signed);
        self.enqueue(Queued::Operation(Pending { signed: Arc::new(signed), hash }));
        hash
    }

    fn enqueue(&self, item: Queued) {
        let mut state = self.state();
        state.queue.push_back(item);
        state.mine_if_automatic();
    }

    /// All requests so far: who was asked, and the method.
    pub fn requests(&self) -> Vec<(Endpoint, String)> {
        self.state().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state().requests.clear();
    }

    /// Decides for each request to any endpoint whether it meets a fault, before the endpoint's own faults are
    /// looked at. Such a hook counts requests, for example, and ends the task at the n-th.
    pub fn on_request(&self, hook: impl Fn(Endpoint, &str, &Value) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.0.hook) = Some(Arc::new(hook));
    }

    /// Takes the hook of [`on_request`](Self::on_request) away.
    pub fn clear_hook(&self) {
        *lock(&self.0.hook) = None;
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Answers a request: looks for a fault, and acts.
    pub(crate) async fn respond(
        &self,
        endpoint: Endpoint,
        script: &Script,
        method: &str,
        params: &Value,
        act: impl FnOnce(&mut State) -> Result<Value, RpcError>,
    ) -> Result<Value, TransportError> {
        self.state().requests.push((endpoint, method.to_owned()));
        let hook = lock(&self.0.hook).clone();
        let fault = hook.and_then(|hook| hook(endpoint, method, params));
        let Some(fault) = fault.or_else(|| script.next(method, params)) else {
            let answer = act(&mut self.state());
            return answer.map_err(|error| TransportError::Rpc { method: method.to_owned(), error });
        };
        if matches!(fault, Fault::ActThen(_)) {
            // The answer is lost, whatever it is.
            let _lost: Result<Value, RpcError> = act(&mut self.state());
        }
        fault.happen(endpoint, method).await
    }
}

impl Default for ScriptedChain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ScriptedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let rules = &state.rules;
        f.debug_struct("ScriptedChain")
            .field("chain_id", &rules.chain_id)
            .field("block_number", &state.history.head().number)
            .finish_non_exhaustive()
    }
}
