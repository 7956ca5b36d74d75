//! The calls that prepare an account for sessions. The account makes them itself.

use alloy_sol_types::SolCall;
use quorate_core::{Address, B256, Call, U256};

use crate::generated::{SessionKeyManager, SmartAccount};

/// A call without value and with one word for an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupCall {
    /// The contract called.
    pub to: Address,
    /// The call data: selector and word.
    pub data: [u8; 36],
}

impl SetupCall {
    /// The call, as [`Execute`](quorate_core::Execute) and [`ExecuteBatch`](quorate_core::ExecuteBatch) take it.
    pub const fn as_call(&self) -> Call<'_> {
        Call { to: self.to, value: U256::ZERO, data: &self.data }
    }

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

/// Makes `root` the root of the sessions of the account that makes the call. Sessions that are not under it end.
pub fn set_merkle_root(session_key_manager: Address, root: B256) -> SetupCall {
    SetupCall::new(session_key_manager, SessionKeyManager::setMerkleRootCall::SELECTOR, root)
}
