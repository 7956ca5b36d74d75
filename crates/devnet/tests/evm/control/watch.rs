//! Who controls an account, and what an operation changed about it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Log, U256, b256, keccak256};
use alloy_sol_types::{SolEvent, SolValue};
use quorate_contracts::{EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager};
use quorate_core::UserOperation;

use super::abi::{StakeManager, Token};
use super::chain::{AT, ATTACKER, FRIEND, OLD_MANAGER, SENTINEL, TOKEN};
use crate::machine::Machine;

const OWNERSHIP_MODULES: [Address; 2] = [AT.ecdsa_ownership_module, AT.multichain_ecdsa_module];
const MANAGERS: [Address; 2] = [AT.session_key_manager, OLD_MANAGER];
const SPENDERS: [Address; 2] = [ATTACKER, FRIEND];

/// Source: `FallbackManager.sol`.
const HANDLER_SLOT: B256 = b256!("6c9a6c4a39284e37ed1cf53d337577d14212a4870fb976a4366c693b939918d4");

/// All that is watched. What the account itself keeps is read from its storage, since its code may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    implementation: Address,
    handler: Address,
    pub(crate) modules: Vec<Address>,
    /// In each of [`OWNERSHIP_MODULES`], zero for none.
    pub(crate) owners: [Address; 2],
    /// In each of [`MANAGERS`].
    roots: [B256; 2],
    /// For each of [`SPENDERS`].
    allowances: [U256; 2],
    deposit: StakeManager::DepositInfo,
}

impl Control {
    pub(crate) fn read(machine: &mut Machine, account: Address) -> Self {
        let word = |slot: B256| Address::from_word(machine.storage(account, slot.into()).into());
        let (implementation, handler) = (word(account.into_word()), word(HANDLER_SLOT));
        // `_modules` is in slot 0.
        let after = |module: Address| word(keccak256((module, U256::ZERO).abi_encode()));
        let list = std::iter::successors(Some(after(SENTINEL)), |module| Some(after(*module)));
        let modules =
            list.take_while(|module| ![SENTINEL, Address::ZERO].contains(module)).take(16).collect();

        let owners = OWNERSHIP_MODULES.map(|module| {
            let question = EcdsaOwnershipModule::getOwnerCall { smartAccount: account };
            // It reverts where there is none.
            machine.ask(module, &question).unwrap_or(Address::ZERO)
        });
        let roots = MANAGERS.map(|manager| {
            let question = SessionKeyManager::getSessionKeysCall { smartAccount: account };
            machine.ask(manager, &question).unwrap().merkleRoot
        });
        let allowances = SPENDERS
            .map(|spender| machine.ask(TOKEN, &Erc20::allowanceCall { owner: account, spender }).unwrap());
        let deposit = machine.ask(AT.entry_point, &StakeManager::getDepositInfoCall { account }).unwrap();
        Self { implementation, handler, modules, owners, roots, allowances, deposit }
    }
}

/// One thing that is other than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Root {
        manager: Address,
        root: B256,
    },
    /// Zero for none.
    Owner {
        module: Address,
        owner: Address,
    },
    Enabled(Address),
    Disabled(Address),
    Handler(Address),
    Implementation(Address),
    Allowance {
        spender: Address,
        before: U256,
        amount: U256,
    },
    /// From the account to its deposit at the entry point, in wei.
    Deposited(U256),
    /// From that deposit.
    Withdrawn {
        receiver: Address,
    },
    Stake(StakeManager::DepositInfo),
    StakeWithdrawn {
        receiver: Address,
    },
    /// The account was deployed by what the first 20 bytes of its `initCode` name.
    Deployed(Address),
    /// Who paid: a paymaster, or the account.
    Paid(Option<Address>),
}

impl Change {
    /// What is counted together.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Root { root: B256::ZERO, .. } => "sessions ended",
            Self::Root { .. } => "root",
            Self::Owner { owner: Address::ZERO, .. } => "owner renounced",
            Self::Owner { .. } => "owner",
            Self::Enabled(_) => "module enabled",
            Self::Disabled(_) => "module disabled",
            Self::Handler(_) => "handler",
            Self::Implementation(_) => "implementation",
            Self::Allowance { .. } => "allowance",
            Self::Deposited(_) => "deposited",
            Self::Withdrawn { .. } => "deposit withdrawn",
            Self::Stake(_) => "stake",
            Self::StakeWithdrawn { .. } => "stake withdrawn",
            Self::Deployed(_) => "deployed",
            Self::Paid(None) => "paid by the account",
            Self::Paid(Some(_)) => "paid by a paymaster",
        }
    }
}

/// Whether the call of an operation that ran succeeded, and all that the operation changed.
pub(crate) fn changes(
    operation: &UserOperation<Vec<u8>>,
    before: &Control,
    after: &Control,
    events: &[Log],
) -> (bool, Vec<Change>) {
    let run = events.iter().find_map(|event| EntryPoint::UserOperationEvent::decode_log(event).ok()).unwrap();
    let paymaster = Some(run.paymaster).filter(|paymaster| !paymaster.is_zero());

    let mut changes = vec![Change::Paid(paymaster)];
    if let Some((factory, _)) = operation.init_code.split_first_chunk::<20>() {
        changes.push(Change::Deployed(factory.into()));
    }
    changes.extend(settings(before, after));

    let execution =
        events.iter().skip_while(|event| StakeManager::BeforeExecution::decode_log(event).is_err());
    let execution: Vec<&Log> = execution.collect();
    changes.extend(allowances(operation.sender, before, after, &execution));
    let fees = if paymaster.is_none() { Fees::of(operation, run.actualGasCost) } else { Fees::default() };
    changes.extend(deposit(operation.sender, fees, before, after, &execution));
    (run.success, changes)
}

/// What is one value before and after.
fn settings(before: &Control, after: &Control) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((manager, old), new) in MANAGERS.into_iter().zip(before.roots).zip(after.roots) {
        changes.extend((old != new).then_some(Change::Root { manager, root: new }));
    }
    for ((module, old), new) in OWNERSHIP_MODULES.into_iter().zip(before.owners).zip(after.owners) {
        changes.extend((old != new).then_some(Change::Owner { module, owner: new }));
    }
    let without = |list: &[Address], other: &[Address]| -> Vec<Address> {
        list.iter().filter(|module| !other.contains(module)).copied().collect()
    };
    changes.extend(without(&after.modules, &before.modules).into_iter().map(Change::Enabled));
    changes.extend(without(&before.modules, &after.modules).into_iter().map(Change::Disabled));
    changes.extend((before.handler != after.handler).then_some(Change::Handler(after.handler)));
    let changed = before.implementation != after.implementation;
    changes.extend(changed.then_some(Change::Implementation(after.implementation)));
    let stake = StakeManager::DepositInfo { deposit: before.deposit.deposit, ..after.deposit.clone() };
    changes.extend((before.deposit != stake).then_some(Change::Stake(stake)));
    changes
}

/// Each step of an allowance, as the token tells it; where they end is what the token answers.
fn allowances(account: Address, before: &Control, after: &Control, execution: &[&Log]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut allowed: BTreeMap<Address, U256> = SPENDERS.into_iter().zip(before.allowances).collect();
    for event in execution.iter().filter(|event| event.address == TOKEN) {
        let Ok(approval) = Token::Approval::decode_log(event) else { continue };
        if approval.owner != account {
            continue;
        }
        let (spender, amount) = (approval.spender, approval.value);
        let before = allowed.insert(spender, amount).unwrap_or_default();
        changes.extend((before != amount).then_some(Change::Allowance { spender, before, amount }));
    }
    let allowed = SPENDERS.map(|spender| allowed[&spender]);
    assert_eq!(allowed, after.allowances, "an allowance changed without an event");
    changes
}

/// What an account pays for an operation, in wei.
#[derive(Default)]
struct Fees {
    /// Taken before, as far as the deposit has it; the account pays in what is missing.
    prefund: U256,
    cost: U256,
}

impl Fees {
    fn of(operation: &UserOperation<Vec<u8>>, cost: U256) -> Self {
        let gas =
            operation.call_gas_limit + operation.verification_gas_limit + operation.pre_verification_gas;
        Self { prefund: gas * operation.max_fee_per_gas, cost }
    }
}

/// Each step of the deposit but the fees; where they end is what the entry point answers.
fn deposit(
    account: Address,
    fees: Fees,
    before: &Control,
    after: &Control,
    execution: &[&Log],
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut deposit = U256::from(before.deposit.deposit).max(fees.prefund) - fees.prefund;
    for event in execution.iter().filter(|event| event.address == AT.entry_point) {
        if let Ok(event) = StakeManager::Deposited::decode_log(event)
            && event.account == account
        {
            let amount = event.totalDeposit - deposit;
            deposit = event.totalDeposit;
            changes.extend((!amount.is_zero()).then_some(Change::Deposited(amount)));
        }
        if let Ok(event) = StakeManager::Withdrawn::decode_log(event)
            && event.account == account
        {
            deposit -= event.amount;
            let receiver = event.withdrawAddress;
            changes.extend((!event.amount.is_zero()).then_some(Change::Withdrawn { receiver }));
        }
        if let Ok(event) = StakeManager::StakeWithdrawn::decode_log(event)
            && event.account == account
        {
            changes.push(Change::StakeWithdrawn { receiver: event.withdrawAddress });
        }
    }
    deposit += fees.prefund - fees.cost;
    assert_eq!(deposit, U256::from(after.deposit.deposit), "the deposit changed without an event");
    changes
}
