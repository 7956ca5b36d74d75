//! Accounts as the factory makes them: by the ECDSA ownership module or by the multichain module.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use quorate_contracts::{Deployment, EcdsaOwnershipModule, SmartAccountFactory, account::Creation};

use crate::world::{Rules, World};

/// An account that is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewAccount {
    pub(crate) address: Address,
    pub(crate) owner: Address,
    /// The module that sets it up and is its first.
    pub(crate) module: Address,
}

impl NewAccount {
    /// None where the module is no owner's module of the deployment's.
    pub(crate) fn new(deployment: &Deployment, module: Address, owner: Address, index: U256) -> Option<Self> {
        if ![deployment.ecdsa_ownership_module, deployment.multichain_ecdsa_module].contains(&module) {
            return None;
        }
        let address = Creation { owner_module: module, owner, index }.address(deployment);
        Some(Self { address, owner, module })
    }

    /// From the factory's arguments.
    pub(crate) fn from_setup(
        deployment: &Deployment,
        module: Address,
        setup: &[u8],
        index: U256,
    ) -> Option<Self> {
        let setup = EcdsaOwnershipModule::initForSmartAccountCall::abi_decode(setup).ok()?;
        Self::new(deployment, module, setup.eoaOwner, index)
    }
}

/// What the factory does for an owner.
pub(crate) fn deploy(world: &mut World, account: &NewAccount) {
    let holder = world.entry(account.address);
    holder.deployed = true;
    holder.owners.insert(account.module, account.owner);
    holder.modules.insert(account.module);
}

pub(crate) fn read_init_code(rules: &Rules, init_code: &[u8]) -> Option<NewAccount> {
    let (factory, data) = init_code.split_at_checked(20)?;
    if factory != rules.deployment.account_factory.as_slice() {
        return None;
    }
    let call = SmartAccountFactory::deployCounterFactualAccountCall::abi_decode(data).ok()?;
    let account = NewAccount::from_setup(
        &rules.deployment,
        call.moduleSetupContract,
        &call.moduleSetupData,
        call.index,
    )?;
    (account.owner != Address::ZERO).then_some(account)
}
