//! The contracts around one account, and what an operation of it does.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolError, SolValue};
use quorate_contracts::{
    Deployment, EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount,
    SmartAccountFactory, account,
};
use quorate_core::{Encode, ModuleSignature, UserOperation, signing_hash};

use super::abi::{Paymaster, StakeManager, Token};
use super::fields::PaymasterData;
use super::operations::Case;
use super::watch::{Change, Control, changes};
use crate::contracts;
use crate::machine::{Machine, Refused};

pub(crate) const CHAIN_ID: u64 = 137;
pub(crate) const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// Where the contracts are.
pub(crate) const AT: Deployment = Deployment::canonical();
/// The session key manager 1.0.0, which many accounts have enabled.
pub(crate) const OLD_MANAGER: Address = address!("000000456b395c4e107e0302553B90D1eF4a32e9");
pub(crate) const SECOND_IMPLEMENTATION: Address = Address::repeat_byte(0x21);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x22);
pub(crate) const PAYMASTER: Address = Address::repeat_byte(0x23);
/// An ownership module that nobody knows.
pub(crate) const OTHER_MODULE: Address = Address::repeat_byte(0x24);
/// The end of an account's list of modules.
pub(crate) const SENTINEL: Address = address!("0000000000000000000000000000000000000001");

// Nothing is at these.
pub(crate) const ATTACKER: Address = Address::repeat_byte(0x66);
pub(crate) const FRIEND: Address = Address::repeat_byte(0x67);
const BENEFICIARY: Address = Address::repeat_byte(0x68);
/// Who pays for what the paymaster sponsors.
const SPONSOR: Address = Address::repeat_byte(0x69);

/// The root that the account has in both managers.
pub(crate) const FIRST_ROOT: B256 = B256::repeat_byte(0x11);

/// The account that is there.
pub(crate) static ACCOUNT: LazyLock<Address> =
    LazyLock::new(|| account::address(&AT, owner().address(), U256::ZERO));
/// An account of the same owner that is not there, though it has money.
pub(crate) static ABSENT: LazyLock<Address> =
    LazyLock::new(|| account::address(&AT, owner().address(), U256::ONE));

const NOW: u64 = 1_800_000_000;

/// The accounts, and all that they have to do with.
pub(crate) struct Chain {
    machine: Machine,
    /// Who controls the account that is there.
    control: Control,
    /// Who controls the other one once it is there.
    absent_control: Control,
}

/// What becomes of an operation.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The entry point does not take it.
    Refused(String),
    /// The entry point refuses it whatever the chain's state is.
    Impossible(String),
    /// It ran, or tried to: the call that it makes may have failed.
    Ran { succeeded: bool, changes: Vec<Change> },
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut machine = with_contracts();
        let (account, absent) = (*ACCOUNT, *ABSENT);
        deploy(&mut machine, U256::ZERO);
        prepare(&mut machine, account, absent);
        let control = Control::read(&mut machine, account);
        assert_eq!(
            control.modules,
            modules(&mut machine, account),
            "the storage is read as the account does"
        );
        assert_eq!(control.owners[0], owner().address());

        let mut deployed = machine.fork();
        deploy(&mut deployed, U256::ONE);
        let absent_control = Control::read(&mut deployed, absent);
        Self { machine, control, absent_control }
    }

    /// The operation of a case, with what its paymaster signs.
    pub(crate) fn complete(case: &Case) -> UserOperation<Vec<u8>> {
        let mut operation = case.operation.clone();
        operation.paymaster_and_data = match &case.paymaster {
            PaymasterData::Bytes(bytes) => bytes.0.clone(),
            PaymasterData::Sponsored { then } => [sponsor(&operation), then.0.clone()].concat(),
        };
        operation
    }

    /// Runs an operation that the owner signs, and forgets what that changes.
    pub(crate) fn run(&self, operation: &UserOperation<Vec<u8>>) -> Outcome {
        let mut machine = self.machine.fork();
        let ops = vec![signed(operation)];
        let call = EntryPoint::handleOpsCall { ops, beneficiary: BENEFICIARY };
        let events = match machine.commit(BENEFICIARY, AT.entry_point, call.abi_encode()) {
            Ok(events) => events,
            Err(refused) => return refusal(operation, refused),
        };
        let before = if operation.sender == *ABSENT { &self.absent_control } else { &self.control };
        let after = Control::read(&mut machine, operation.sender);
        let (succeeded, changes) = changes(operation, before, &after, &events);
        Outcome::Ran { succeeded, changes }
    }
}

/// Whose account it is.
pub(crate) fn owner() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x0e)).unwrap()
}

fn paymaster_signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x0f)).unwrap()
}

fn with_contracts() -> Machine {
    let contracts = contracts();
    let mut machine = Machine::new();
    machine.set_chain_id(CHAIN_ID);
    machine.set_time(NOW - 10);
    let entry_point = AT.entry_point.into_word();
    let signer = paymaster_signer().address().into_word();
    let token = words(&("Token", "TKN", false).abi_encode_params());
    let places: [(Address, &Bytes, &[B256]); 14] = [
        (AT.entry_point, &contracts.entry_point, &[]),
        (AT.account_implementation, &contracts.smart_account, &[entry_point]),
        (SECOND_IMPLEMENTATION, &contracts.smart_account, &[entry_point]),
        (AT.account_factory, &contracts.factory, &[AT.account_implementation.into_word(), entry_point]),
        (AT.ecdsa_ownership_module, &contracts.ecdsa_module, &[]),
        (OTHER_MODULE, &contracts.ecdsa_module, &[]),
        (AT.multichain_ecdsa_module, &contracts.multichain_module, &[]),
        (AT.session_key_manager, &contracts.session_key_manager, &[]),
        (OLD_MANAGER, &contracts.session_key_manager, &[]),
        (AT.batched_session_router, &contracts.batched_router, &[]),
        (AT.abi_session_validation_module, &contracts.abi_module, &[]),
        (AT.erc20_session_validation_module, &contracts.erc20_module, &[]),
        (TOKEN, &contracts.token, &token),
        (PAYMASTER, &contracts.verifying_paymaster, &[SPONSOR.into_word(), entry_point, signer]),
    ];
    for (place, code, arguments) in places {
        machine.place(place, code, arguments);
    }
    // What a rich contract sends to another rich one must not overflow.
    for place in places.map(|(place, ..)| place) {
        machine.set_balance(place, U256::ZERO);
    }
    machine.set_balance(AT.entry_point, ETHER * U256::from(1_000));
    machine
}

/// Deploys the account of the owner with this index.
fn deploy(machine: &mut Machine, index: U256) {
    let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: owner().address() };
    let call = SmartAccountFactory::deployCounterFactualAccountCall {
        moduleSetupContract: AT.ecdsa_ownership_module,
        moduleSetupData: setup.abi_encode().into(),
        index,
    };
    machine.transact(FRIEND, AT.account_factory, &call);
}

/// The `initCode` of the account that is not there.
pub(crate) fn init_code() -> Vec<u8> {
    account::init_code(&AT, owner().address(), U256::ONE).to_vec()
}

/// Gives the accounts money, and the one that is there something to lose of each kind.
fn prepare(machine: &mut Machine, account: Address, absent: Address) {
    machine.set_balance(account, ETHER * U256::from(1_000));
    machine.set_balance(absent, ETHER * U256::from(1_000));
    let mut pay = |to: Address, ether: u64, data: Vec<u8>| {
        let call =
            SmartAccount::execute_ncCCall { dest: to, value: ETHER * U256::from(ether), func: data.into() };
        machine.transact(AT.entry_point, account, &call);
    };
    pay(AT.entry_point, 10, EntryPoint::depositToCall { account }.abi_encode());
    pay(AT.entry_point, 10, EntryPoint::depositToCall { account: absent }.abi_encode());
    pay(AT.entry_point, 1, StakeManager::addStakeCall { unstakeDelaySec: 1 }.abi_encode());
    pay(AT.entry_point, 0, StakeManager::unlockStakeCall {}.abi_encode());
    pay(PAYMASTER, 30, Paymaster::depositForCall { paymasterId: SPONSOR }.abi_encode());

    let module = AT.session_key_manager;
    machine.transact(AT.entry_point, account, &SmartAccount::enableModuleCall { module });
    for manager in [AT.session_key_manager, OLD_MANAGER] {
        let call = SessionKeyManager::setMerkleRootCall { _merkleRoot: FIRST_ROOT };
        machine.transact(account, manager, &call);
    }
    let amount = U256::from(1_000_000);
    machine.transact(FRIEND, TOKEN, &Token::mintCall { to: account, amount });
    machine.transact(account, TOKEN, &Erc20::approveCall { spender: FRIEND, amount: U256::from(777) });
    machine.set_time(NOW);
}

/// The account's modules as it tells them.
fn modules(machine: &mut Machine, account: Address) -> Vec<Address> {
    let question = SmartAccount::getModulesPaginatedCall { start: SENTINEL, pageSize: U256::from(9) };
    machine.ask(account, &question).unwrap().array
}

/// The operation as the entry point takes it, with the owner's signature.
fn signed(operation: &UserOperation<Vec<u8>>) -> EntryPoint::UserOperation {
    let hash = operation.hash(AT.entry_point, CHAIN_ID);
    let signature = owner().sign_hash_sync(&signing_hash(hash)).unwrap().as_bytes();
    let module = AT.ecdsa_ownership_module;
    EntryPoint::UserOperation {
        sender: operation.sender,
        nonce: operation.nonce,
        initCode: operation.init_code.clone().into(),
        callData: operation.call_data.clone().into(),
        callGasLimit: operation.call_gas_limit,
        verificationGasLimit: operation.verification_gas_limit,
        preVerificationGas: operation.pre_verification_gas,
        maxFeePerGas: operation.max_fee_per_gas,
        maxPriorityFeePerGas: operation.max_priority_fee_per_gas,
        paymasterAndData: operation.paymaster_and_data.clone().into(),
        signature: ModuleSignature { module_signature: signature.as_slice(), module }.to_vec().into(),
    }
}

/// The paymaster and its signature, good at any time.
///
/// Source: `VerifyingSingletonPaymaster.getHash`.
fn sponsor(operation: &UserOperation<Vec<u8>>) -> Vec<u8> {
    let covered = (
        (
            operation.sender,
            operation.nonce,
            keccak256(&operation.init_code),
            keccak256(&operation.call_data),
            operation.call_gas_limit,
            operation.verification_gas_limit,
            operation.pre_verification_gas,
        ),
        (operation.max_fee_per_gas, operation.max_priority_fee_per_gas, U256::from(CHAIN_ID), PAYMASTER),
        (SPONSOR, U256::ZERO, U256::ZERO),
    );
    let hash = signing_hash(keccak256(covered.abi_encode()));
    let signature = paymaster_signer().sign_hash_sync(&hash).unwrap().as_bytes();
    let data = (SPONSOR, U256::ZERO, U256::ZERO, Bytes::from(signature)).abi_encode_params();
    [PAYMASTER.as_slice(), &data].concat()
}

/// Why the entry point does not take an operation, and whether it could in another state.
fn refusal(operation: &UserOperation<Vec<u8>>, refused: Refused) -> Outcome {
    let reason = match refused {
        Refused::Because(reason) => reason,
        Refused::With(error) => EntryPoint::FailedOp::abi_decode(&error).unwrap().reason,
        // It takes the factory's address from so few bytes.
        Refused::Silently if (1..20).contains(&operation.init_code.len()) => {
            return Outcome::Impossible("it cannot read the factory's address".to_owned());
        }
        Refused::Silently => "silently".to_owned(),
        Refused::Broken(reason) => panic!("{reason}"),
    };
    match reason.get(..4) {
        Some("AA93" | "AA94") => Outcome::Impossible(reason),
        _ => Outcome::Refused(reason),
    }
}

fn words(bytes: &[u8]) -> Vec<B256> {
    bytes.chunks(32).map(B256::from_slice).collect()
}
