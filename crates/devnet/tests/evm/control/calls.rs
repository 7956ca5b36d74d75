//! The calls of one operation.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use quorate_contracts::{EcdsaOwnershipModule, SmartAccount};

use super::abi::{Account, OwnershipModule, StakeManager};
use super::chain::{ACCOUNT, AT, FRIEND, SENTINEL};
use super::kinds::{
    account_call, any_call, deposit_call, in_wei, module, name, owner_call, set_root, token_call, who,
};
use super::mutation::{self, Mutation};

/// A call of the account, and how it came about.
#[derive(Clone)]
pub(crate) struct ControlCall {
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) data: Vec<u8>,
    text: String,
}

impl ControlCall {
    pub(crate) fn new(to: Address, call: &(impl SolCall + fmt::Debug)) -> Self {
        Self::raw(to, call.abi_encode(), &format!("{call:?}"))
    }

    pub(crate) fn raw(to: Address, data: Vec<u8>, text: &str) -> Self {
        Self { to, value: U256::ZERO, data, text: text.to_owned() }
    }

    pub(crate) fn sent_to(self, to: Address) -> Self {
        Self { to, ..self }
    }

    fn mutated(mut self, mutation: &Mutation) -> Self {
        mutation.apply(&mut self.data);
        self.text += &format!(", then {mutation:?},");
        self
    }

    /// Whether the word stands in the call's data, as a first argument does.
    pub(crate) fn mentions(&self, word: B256) -> bool {
        self.data.get(4..36) == Some(word.as_slice())
    }

    pub(crate) fn with_value(self, value: U256) -> Self {
        Self { value, ..self }
    }
}

impl fmt::Debug for ControlCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, value, text, .. } = self;
        write!(f, "{text} of {}", name(*to))?;
        if !value.is_zero() {
            write!(f, " with {value} wei")?;
        }
        Ok(())
    }
}

pub(crate) type Calls = BoxedStrategy<Vec<ControlCall>>;

/// One to four calls, mostly independent of each other; their bytes are mostly sound.
fn calls(
    one: BoxedStrategy<ControlCall>,
    several: impl Strategy<Value = Vec<ControlCall>> + 'static,
) -> Calls {
    let one = (one, prop::option::weighted(0.3, mutation::of_call()))
        .prop_map(|(call, mutation)| mutation.iter().fold(call, ControlCall::mutated));
    prop_oneof![6 => prop::collection::vec(one, 1..=4), 1 => several].boxed()
}

pub(crate) fn on_roots() -> Calls {
    calls(set_root(), (set_root(), set_root()).prop_map(|(first, second)| vec![first, second]))
}

pub(crate) fn on_owners() -> Calls {
    let again = who().prop_map(|owner| {
        let module = AT.ecdsa_ownership_module;
        let init = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: owner };
        vec![
            ControlCall::new(module, &OwnershipModule::renounceOwnershipCall {}),
            ControlCall::new(module, &init),
        ]
    });
    calls(owner_call(), again)
}

pub(crate) fn on_account() -> Calls {
    calls(account_call(), prop_oneof![by_handler(), by_itself(), module_replaced()])
}

pub(crate) fn on_allowances() -> Calls {
    calls(token_call(), (token_call(), token_call()).prop_map(|(first, second)| vec![first, second]))
}

pub(crate) fn on_deposit() -> Calls {
    let unlocked = (1..=9_u64).prop_map(|ether| {
        vec![
            ControlCall::new(AT.entry_point, &StakeManager::addStakeCall { unstakeDelaySec: 60 })
                .with_value(in_wei(ether)),
            ControlCall::new(AT.entry_point, &StakeManager::unlockStakeCall {}),
        ]
    });
    calls(deposit_call(), unlocked)
}

/// Of no concern to anybody.
pub(crate) fn on_nothing() -> Calls {
    Just(vec![ControlCall::raw(FRIEND, Vec::new(), "no function")]).boxed()
}

pub(crate) fn on_anything() -> Calls {
    calls(any_call(), prop_oneof![by_handler(), by_itself(), module_replaced()])
}

/// A call that the account makes by way of its fallback handler, which is told what the account does not know.
fn by_handler() -> BoxedStrategy<Vec<ControlCall>> {
    prop_oneof![set_root(), owner_call(), token_call()]
        .prop_map(|call| {
            let handler = ControlCall::new(*ACCOUNT, &Account::setFallbackHandlerCall { handler: call.to });
            vec![handler, call.sent_to(*ACCOUNT)]
        })
        .boxed()
}

/// A call that the account makes as a module of its own.
fn by_itself() -> BoxedStrategy<Vec<ControlCall>> {
    (prop_oneof![set_root(), owner_call(), account_call()], 0..2_u8)
        .prop_map(|(call, operation)| {
            let execution = Account::execTransactionFromModuleCall {
                to: call.to,
                value: call.value,
                data: call.data.into(),
                operation,
                txGas: U256::ZERO,
            };
            let enable = SmartAccount::enableModuleCall { module: *ACCOUNT };
            vec![ControlCall::new(*ACCOUNT, &enable), ControlCall::new(*ACCOUNT, &execution)]
        })
        .boxed()
}

fn module_replaced() -> BoxedStrategy<Vec<ControlCall>> {
    module()
        .prop_map(|module| {
            let disable =
                SmartAccount::disableModuleCall { prevModule: SENTINEL, module: AT.session_key_manager };
            let enable = SmartAccount::enableModuleCall { module };
            vec![ControlCall::new(*ACCOUNT, &disable), ControlCall::new(*ACCOUNT, &enable)]
        })
        .boxed()
}
