//! The calls that prepare an account for sessions. The account makes them itself.

use alloy_sol_types::SolCall;
use quorate_core::{Address, B256, Call, Sink, SliceSink, U256};

use crate::{
    account::{infallible, word, write_module_setup},
    generated::{SessionKeyManager, SmartAccount},
};

/// A call without value, and with one word for an argument where its length is not another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupCall<const LEN: usize = 36> {
    /// The contract called.
    pub to: Address,
    /// The call data: selector and arguments.
    pub data: [u8; LEN],
}

impl<const LEN: usize> SetupCall<LEN> {
    /// The call, as [`Execute`](quorate_core::Execute) and [`ExecuteBatch`](quorate_core::ExecuteBatch) take it.
    pub const fn as_call(&self) -> Call<'_> {
        Call { to: self.to, value: U256::ZERO, data: &self.data }
    }
}

impl SetupCall {
    fn new(to: Address, selector: [u8; 4], argument: B256) -> Self {
        let mut data = [0; 36];
        let (head, word) = data.split_at_mut(4);
        head.copy_from_slice(&selector);
        word.copy_from_slice(argument.as_slice());
        Self { to, data }
    }
}

/// Lets `module` validate the user operations of `account`. Which modules are enabled,
/// `SmartAccount::isModuleEnabled` says; enabling one again reverts.
pub fn enable_module(account: Address, module: Address) -> SetupCall {
    SetupCall::new(account, SmartAccount::enableModuleCall::SELECTOR, module.into_word())
}

/// The length of [`setup_and_enable_module`]'s call data in bytes.
pub const SETUP_AND_ENABLE_MODULE_LEN: usize = 4 + 2 * 32 + 32 + 64;

/// Tells the owner module `module` that `owner` owns `account`, and lets it validate the account's user operations.
///
/// [`enable_module`] alone leaves the account without an owner in that module. The module is told once: the call reverts
/// where it knows an owner of the account.
pub fn setup_and_enable_module(
    account: Address,
    module: Address,
    owner: Address,
) -> SetupCall<SETUP_AND_ENABLE_MODULE_LEN> {
    let mut data = [0; SETUP_AND_ENABLE_MODULE_LEN];
    let mut sink = SliceSink::new(&mut data);
    infallible((|| {
        sink.put(&SmartAccount::setupAndEnableModuleCall::SELECTOR)?;
        sink.put(module.into_word().as_slice())?;
        sink.put(&word(2 * 32))?;
        write_module_setup(owner, &mut sink)
    })());
    SetupCall { to: account, data }
}

/// Makes `root` the root of the sessions of the account that makes the call. Sessions that are not under it end.
pub fn set_merkle_root(session_key_manager: Address, root: B256) -> SetupCall {
    SetupCall::new(session_key_manager, SessionKeyManager::setMerkleRootCall::SELECTOR, root)
}
