//! One EVM that answers any number of calls.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{Revert, SolCall, SolError};
use revm::bytecode::Bytecode;
use revm::context::result::ExecutionResult;
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::state::AccountInfo;
use revm::{Context, DatabaseRef, MainBuilder, MainContext, MainnetEvm, SystemCallCommitEvm, SystemCallEvm};

/// Calls cost nothing and come from whom one likes; neither nonces nor balances of callers matter.
pub(crate) struct Machine {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { evm: Context::mainnet().with_db(InMemoryDB::default()).build_mainnet() }
    }

    /// Another one with the same state, which goes its own way from here.
    pub(crate) fn fork(&self) -> Self {
        Self { evm: self.evm.ctx.clone().build_mainnet() }
    }

    pub(crate) fn set_chain_id(&mut self, chain_id: u64) {
        self.evm.ctx.cfg.chain_id = chain_id;
    }

    /// Sets the time of the block, in seconds since 1970.
    pub(crate) fn set_time(&mut self, seconds: u64) {
        self.evm.ctx.block.timestamp = U256::from(seconds);
    }

    /// Sets the number of the block.
    pub(crate) fn set_block(&mut self, number: u64) {
        self.evm.ctx.block.number = U256::from(number);
    }

    /// Runs a constructor at an address of choice, and leaves there what it returns.
    pub(crate) fn place(&mut self, address: Address, creation: &Bytes, arguments: &[B256]) {
        let creation = creation.iter().chain(arguments.iter().flatten()).copied().collect();
        self.set_code(address, Bytecode::new_raw(creation));
        let answer = self.evm.system_call_commit(address, Bytes::new()).unwrap();
        let runtime = read(answer).unwrap();
        assert!(!runtime.is_empty(), "nothing was made at {address}");
        self.set_code(address, Bytecode::new_raw(runtime));
    }

    /// Replaces the code at an address, and makes it rich.
    pub(crate) fn set_code(&mut self, address: Address, code: Bytecode) {
        let database = &mut self.evm.ctx.journaled_state.database;
        let balance = U256::MAX >> 1;
        // As under EIP-161, so that what a constructor creates has the address that it has elsewhere.
        let info = AccountInfo::from_bytecode(code).with_balance(balance).with_nonce(1);
        database.insert_account_info(address, info);
    }

    /// Sets what an address owns, in wei.
    pub(crate) fn set_balance(&mut self, address: Address, wei: U256) {
        let database = &mut self.evm.ctx.journaled_state.database;
        let info = database.load_account(address).unwrap().info.clone();
        database.insert_account_info(address, info.with_balance(wei));
    }

    /// A word of a contract's storage.
    pub(crate) fn storage(&self, address: Address, slot: U256) -> U256 {
        self.evm.ctx.journaled_state.database.storage_ref(address, slot).unwrap()
    }

    /// Replaces a word of a contract's storage.
    pub(crate) fn set_storage(&mut self, address: Address, slot: U256, word: U256) {
        let database = &mut self.evm.ctx.journaled_state.database;
        database.insert_account_storage(address, slot, word).unwrap();
    }

    /// Calls a contract, and forgets what that changes.
    pub(crate) fn call(&mut self, from: Address, to: Address, data: Vec<u8>) -> Result<Bytes, Refused> {
        read(self.evm.system_call_with_caller(from, to, data.into()).unwrap().result)
    }

    /// Calls a function from nobody in particular, and forgets what that changes.
    pub(crate) fn ask<C: SolCall>(&mut self, to: Address, call: &C) -> Result<C::Return, Refused> {
        self.call(Address::ZERO, to, call.abi_encode()).map(|answer| C::abi_decode_returns(&answer).unwrap())
    }

    /// Calls a function, and keeps what that changes.
    pub(crate) fn transact(&mut self, from: Address, to: Address, call: &impl SolCall) {
        self.commit(from, to, call.abi_encode()).unwrap();
    }

    /// Calls a contract, keeps what that changes, and gives the events.
    pub(crate) fn commit(&mut self, from: Address, to: Address, data: Vec<u8>) -> Result<Vec<Log>, Refused> {
        let answer = self.evm.system_call_with_caller_commit(from, to, data.into()).unwrap();
        let events = answer.logs().to_vec();
        read(answer).map(|_| events)
    }
}

/// How a contract refuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It reverts and says nothing.
    Silently,
    /// It reverts with a reason.
    Because(String),
    /// It reverts with something else, such as an error of its own or a panic.
    With(Bytes),
    /// It runs out of gas, or does what no contract may.
    Broken(String),
}

impl Refused {
    /// As the core has it: the reason, if there is one.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Because(reason) => Some(reason),
            Self::Silently => None,
            other => panic!("{other:?} is no refusal by intent"),
        }
    }
}

fn read(result: ExecutionResult) -> Result<Bytes, Refused> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } if output.is_empty() => Err(Refused::Silently),
        ExecutionResult::Revert { output, .. } => Err(match Revert::abi_decode(&output) {
            Ok(revert) => Refused::Because(revert.reason),
            Err(_) => Refused::With(output),
        }),
        ExecutionResult::Halt { reason, .. } => Err(Refused::Broken(format!("{reason:?}"))),
    }
}

/// Bytes that are printed as hex.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloy_primitives::hex::encode_prefixed(&self.0))
    }
}

impl AsRef<[u8]> for Hex {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
