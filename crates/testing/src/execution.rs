//! What the calls of accounts do.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent, sol};
use quorate_contracts::{EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount};
use quorate_core::AccountCall;

use crate::{
    block::Log,
    world::{Rules, World},
};

sol! {
    interface Others {
        function incrementNonce(uint192 key) external;
        function renounceOwnership() external;
        function setupAndEnableModule(address setupContract, bytes memory setupData) external returns (address);
        function transferFrom(address from, address to, uint256 amount) external returns (bool);
        error ModuleAlreadyEnabled(address module);
        error ModuleCannotBeZeroOrSentinel(address module);
        error ModuleAndPrevModuleMismatch(address expectedModule, address returnedModule, address prevModule);
        error AlreadyInitedForSmartAccount(address smartAccount);
        error ZeroAddressNotAllowedAsOwner();
        error NotEOA(address account);
    }
}

/// A call that an account made, in the canonical chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The number of the block.
    pub block: u64,
    /// The operation that made it; none for [`execute_directly`](crate::ScriptedChain::execute_directly).
    pub user_op_hash: Option<B256>,
    /// The account.
    pub sender: Address,
    /// The contract or account called.
    pub to: Address,
    /// The value sent, in wei.
    pub value: U256,
    /// The call data.
    pub data: Bytes,
}

/// A call to be made: receiver, value in wei, call data.
pub(crate) type OwnedCall = (Address, U256, Bytes);

/// The data that a call reverts with.
pub(crate) type RevertData = Vec<u8>;

/// The calls and logs of one transaction, and the state that they change.
pub(crate) struct Run<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) world: World,
    pub(crate) logs: Vec<Log>,
    pub(crate) calls: Vec<(Address, OwnedCall)>,
}

/// Where a transaction stood.
pub(crate) struct Snapshot {
    world: World,
    logs: usize,
    calls: usize,
}

impl<'a> Run<'a> {
    pub(crate) const fn new(rules: &'a Rules, world: World) -> Self {
        Self { rules, world, logs: Vec::new(), calls: Vec::new() }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { world: self.world.clone(), logs: self.logs.len(), calls: self.calls.len() }
    }

    /// Undoes what came after a snapshot.
    pub(crate) fn restore(&mut self, before: Snapshot) {
        self.world = before.world;
        self.logs.truncate(before.logs);
        self.calls.truncate(before.calls);
    }

    /// Calls an account as the entry point does. Where it reverts, nothing of it stays.
    pub(crate) fn call_account(&mut self, account: Address, call_data: &[u8]) -> Result<(), RevertData> {
        // The entry point makes no call without data.
        if call_data.is_empty() {
            return Ok(());
        }
        let calls = match AccountCall::decode(call_data) {
            Ok(call) => call.calls().map(|c| (c.to, c.value, Bytes::copy_from_slice(c.data))).collect(),
            // The account's own functions; any other has no taker.
            Err(_) => vec![(account, U256::ZERO, Bytes::copy_from_slice(call_data))],
        };
        self.call_all(account, calls)
    }

    /// Has an account make calls. Where one reverts, nothing of them stays.
    pub(crate) fn call_all(&mut self, account: Address, calls: Vec<OwnedCall>) -> Result<(), RevertData> {
        let before = self.snapshot();
        for call in calls {
            if let Err(data) = self.call(account, &call) {
                self.restore(before);
                return Err(data);
            }
            self.calls.push((account, call));
        }
        Ok(())
    }

    fn call(&mut self, from: Address, (to, value, data): &OwnedCall) -> Result<(), RevertData> {
        if self.rules.reverting.contains(to) {
            return Err(revert("scripted to revert"));
        }
        let sender = self.world.entry(from);
        sender.balance = sender.balance.checked_sub(*value).ok_or_else(Vec::new)?;
        self.world.entry(*to).balance += *value;

        let deployment = &self.rules.deployment;
        if *to == from {
            self.call_self(from, data)
        } else if *to == deployment.session_key_manager {
            let call = SessionKeyManager::setMerkleRootCall::abi_decode(data).map_err(|_| Vec::new())?;
            self.world.entry(from).root = call._merkleRoot;
            Ok(())
        } else if *to == deployment.ecdsa_ownership_module || *to == deployment.multichain_ecdsa_module {
            self.call_ownership_module(*to, from, data)
        } else if *to == deployment.entry_point {
            self.call_entry_point(from, *value, data)
        } else if self.rules.tokens.contains(to) {
            self.call_token(from, *to, data)
        } else if self.world.get(*to).is_some_and(|holder| holder.deployed) && !data.is_empty() {
            // Accounts take orders from the entry point and from themselves.
            Err(Vec::new())
        } else {
            Ok(())
        }
    }

    fn call_self(&mut self, account: Address, data: &[u8]) -> Result<(), RevertData> {
        if data.is_empty() {
            return Ok(());
        }
        if let Ok(call) = SmartAccount::enableModuleCall::abi_decode(data) {
            self.enable(account, call.module)
        } else if let Ok(call) = Others::setupAndEnableModuleCall::abi_decode(data) {
            self.call(account, &(call.setupContract, U256::ZERO, call.setupData))?;
            self.enable(account, call.setupContract)
        } else if let Ok(call) = SmartAccount::disableModuleCall::abi_decode(data) {
            if self.world.entry(account).modules.remove(&call.module) {
                Ok(())
            } else {
                let mismatch = Others::ModuleAndPrevModuleMismatch {
                    expectedModule: call.module,
                    returnedModule: Address::ZERO,
                    prevModule: call.prevModule,
                };
                Err(mismatch.abi_encode())
            }
        } else {
            Err(Vec::new())
        }
    }

    fn enable(&mut self, account: Address, module: Address) -> Result<(), RevertData> {
        if module <= Address::with_last_byte(1) {
            Err(Others::ModuleCannotBeZeroOrSentinel { module }.abi_encode())
        } else if self.world.entry(account).modules.insert(module) {
            Ok(())
        } else {
            Err(Others::ModuleAlreadyEnabled { module }.abi_encode())
        }
    }

    fn call_ownership_module(
        &mut self,
        module: Address,
        account: Address,
        data: &[u8],
    ) -> Result<(), RevertData> {
        if let Ok(call) = EcdsaOwnershipModule::transferOwnershipCall::abi_decode(data) {
            self.check_owner(call.owner)?;
            self.world.entry(account).owners.insert(module, call.owner);
            Ok(())
        } else if let Ok(call) = EcdsaOwnershipModule::initForSmartAccountCall::abi_decode(data) {
            if self.world.entry(account).owners.contains_key(&module) {
                return Err(Others::AlreadyInitedForSmartAccount { smartAccount: account }.abi_encode());
            }
            self.check_owner(call.eoaOwner)?;
            self.world.entry(account).owners.insert(module, call.eoaOwner);
            Ok(())
        } else if Others::renounceOwnershipCall::abi_decode(data).is_ok() {
            self.world.entry(account).owners.remove(&module);
            Ok(())
        } else {
            Err(Vec::new())
        }
    }

    fn check_owner(&self, owner: Address) -> Result<(), RevertData> {
        if owner == Address::ZERO {
            Err(Others::ZeroAddressNotAllowedAsOwner {}.abi_encode())
        } else if self.rules.has_code(&self.world, owner) {
            Err(Others::NotEOA { account: owner }.abi_encode())
        } else {
            Ok(())
        }
    }

    fn call_entry_point(&mut self, from: Address, value: U256, data: &[u8]) -> Result<(), RevertData> {
        if let Ok(call) = Others::incrementNonceCall::abi_decode(data) {
            *self.world.entry(from).nonces.entry(call.key).or_default() += 1;
            Ok(())
        } else if let Ok(call) = EntryPoint::depositToCall::abi_decode(data) {
            self.world.entry(call.account).deposit += value;
            Ok(())
        } else if data.is_empty() {
            self.world.entry(from).deposit += value;
            Ok(())
        } else {
            Err(Vec::new())
        }
    }

    fn call_token(&mut self, from: Address, token: Address, data: &[u8]) -> Result<(), RevertData> {
        if let Ok(call) = Erc20::transferCall::abi_decode(data) {
            self.move_token(token, from, call.to, call.amount)
        } else if let Ok(call) = Others::transferFromCall::abi_decode(data) {
            self.take_token(token, call.from, from, call.to, call.amount)
        } else if let Ok(call) = Erc20::approveCall::abi_decode(data) {
            self.world.entry(from).allowances.insert((token, call.spender), call.amount);
            Ok(())
        } else {
            Err(Vec::new())
        }
    }

    /// `transferFrom` by a spender.
    pub(crate) fn take_token(
        &mut self,
        token: Address,
        from: Address,
        spender: Address,
        to: Address,
        amount: U256,
    ) -> Result<(), RevertData> {
        if self.rules.reverting.contains(&token) {
            return Err(revert("scripted to revert"));
        }
        if !self.rules.tokens.contains(&token) {
            return Err(revert("Address: call to non-contract"));
        }
        let allowance = self.world.entry(from).allowances.entry((token, spender)).or_default();
        *allowance = allowance.checked_sub(amount).ok_or_else(|| revert("ERC20: insufficient allowance"))?;
        self.move_token(token, from, to, amount)
    }

    fn move_token(
        &mut self,
        token: Address,
        from: Address,
        to: Address,
        amount: U256,
    ) -> Result<(), RevertData> {
        let balance = self.world.entry(from).tokens.entry(token).or_default();
        let too_little = || revert("ERC20: transfer amount exceeds balance");
        *balance = balance.checked_sub(amount).ok_or_else(too_little)?;
        *self.world.entry(to).tokens.entry(token).or_default() += amount;
        self.log(token, &Erc20::Transfer { from, to, value: amount });
        Ok(())
    }

    pub(crate) fn log(&mut self, address: Address, event: &impl SolEvent) {
        let data = event.encode_log_data();
        self.logs.push(Log { address, topics: data.topics().to_vec(), data: data.data });
    }
}

/// Solidity's `Error(string)`.
pub(crate) fn revert(reason: &str) -> RevertData {
    Revert::from(reason).abi_encode()
}
