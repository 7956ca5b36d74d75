//! One call of each kind: what changes who controls an account, and what looks like it.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use proptest::sample::select;
use quorate_contracts::{EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount};

use super::abi::{Account, OwnershipModule, StakeManager, Token};
use super::calls::ControlCall;
use super::chain::{
    ACCOUNT, AT, ATTACKER, ETHER, FIRST_ROOT, FRIEND, OLD_MANAGER, OTHER_MODULE, PAYMASTER,
    SECOND_IMPLEMENTATION, SENTINEL, TOKEN, owner,
};
use super::sessions::GRANTS;

pub(crate) fn any_call() -> BoxedStrategy<ControlCall> {
    let misdirected = (control_call(), known()).prop_map(|(call, to)| call.sent_to(to));
    let unknown = (known(), any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..70)).prop_map(
        |(to, selector, arguments)| {
            ControlCall::raw(to, [selector.as_slice(), &arguments].concat(), "an unknown function")
        },
    );
    let plain = (prop_oneof![known(), who()], 0..=3_u64)
        .prop_map(|(to, ether)| ControlCall::raw(to, Vec::new(), "no function").with_value(in_wei(ether)));
    let nested = control_call().prop_map(|ControlCall { to, value, data, .. }| {
        ControlCall::new(*ACCOUNT, &SmartAccount::execute_ncCCall { dest: to, value, func: data.into() })
    });
    prop_oneof![10 => control_call(), 1 => misdirected, 1 => unknown, 1 => plain, 1 => nested].boxed()
}

pub(crate) fn control_call() -> BoxedStrategy<ControlCall> {
    prop_oneof![
        4 => set_root(),
        3 => owner_call(),
        4 => account_call(),
        2 => token_call(),
        3 => deposit_call(),
    ]
    .boxed()
}

pub(crate) fn set_root() -> BoxedStrategy<ControlCall> {
    let manager = prop_oneof![3 => Just(AT.session_key_manager), 1 => Just(OLD_MANAGER)];
    let granted = (0..GRANTS.len()).prop_map(|grant| GRANTS[grant].root);
    let root = prop_oneof![
        6 => granted,
        2 => Just(B256::ZERO),
        1 => Just(B256::repeat_byte(0xe1)),
        1 => Just(FIRST_ROOT)
    ];
    (manager, root)
        .prop_map(|(manager, root)| {
            ControlCall::new(manager, &SessionKeyManager::setMerkleRootCall { _merkleRoot: root })
        })
        .boxed()
}

pub(crate) fn owner_call() -> BoxedStrategy<ControlCall> {
    (ownership_module(), who(), 0..10_u8)
        .prop_map(|(module, who, which)| match which {
            0 => ControlCall::new(module, &OwnershipModule::renounceOwnershipCall {}),
            1..4 => {
                ControlCall::new(module, &EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: who })
            }
            _ => ControlCall::new(module, &EcdsaOwnershipModule::transferOwnershipCall { owner: who }),
        })
        .boxed()
}

pub(crate) fn account_call() -> BoxedStrategy<ControlCall> {
    let enable =
        module().prop_map(|module| ControlCall::new(*ACCOUNT, &SmartAccount::enableModuleCall { module }));
    let handler = prop_oneof![who(), known()]
        .prop_map(|handler| ControlCall::new(*ACCOUNT, &Account::setFallbackHandlerCall { handler }));
    let implementation =
        prop_oneof![3 => Just(SECOND_IMPLEMENTATION), 2 => known(), 1 => who()].prop_map(|implementation| {
            ControlCall::new(*ACCOUNT, &Account::updateImplementationCall { implementation })
        });
    prop_oneof![3 => enable, 2 => disable_module(), 3 => setup_and_enable(), 2 => handler, 2 => implementation]
        .boxed()
}

fn disable_module() -> BoxedStrategy<ControlCall> {
    let link = prop_oneof![
        3 => Just((SENTINEL, AT.session_key_manager)),
        3 => Just((AT.session_key_manager, AT.ecdsa_ownership_module)),
        1 => (module(), module()),
    ];
    link.prop_map(|(previous, module)| {
        ControlCall::new(*ACCOUNT, &SmartAccount::disableModuleCall { prevModule: previous, module })
    })
    .boxed()
}

/// Whatever the set-up is, the account makes it as a call, and enables what that answers.
fn setup_and_enable() -> BoxedStrategy<ControlCall> {
    let owner = prop_oneof![Just(OTHER_MODULE), Just(AT.multichain_ecdsa_module)];
    let tells_owner = (owner, who()).prop_map(|(module, owner)| {
        let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: owner };
        (module, setup.abi_encode())
    });
    let asks = Just((*ACCOUNT, SmartAccount::enableModuleCall { module: ATTACKER }.abi_encode()));
    let other = prop_oneof![owner_call(), set_root(), token_call()].prop_map(|call| (call.to, call.data));
    prop_oneof![4 => tells_owner, 1 => asks, 1 => other]
        .prop_map(|(module, setup)| {
            let call =
                SmartAccount::setupAndEnableModuleCall { setupContract: module, setupData: setup.into() };
            ControlCall::new(*ACCOUNT, &call)
        })
        .boxed()
}

pub(crate) fn token_call() -> BoxedStrategy<ControlCall> {
    let amount = prop_oneof![
        1 => Just(U256::ZERO),
        2 => Just(U256::MAX),
        4 => any::<u64>().prop_map(U256::from),
    ];
    (who(), amount, 0..6_u8)
        .prop_map(|(who, amount, which)| match which {
            0 => ControlCall::new(TOKEN, &Erc20::transferCall { to: who, amount: amount >> 50 }),
            1 => {
                let call = Token::increaseAllowanceCall { spender: who, addedValue: amount >> 8 };
                ControlCall::new(TOKEN, &call)
            }
            _ => ControlCall::new(TOKEN, &Erc20::approveCall { spender: who, amount }),
        })
        .boxed()
}

pub(crate) fn deposit_call() -> BoxedStrategy<ControlCall> {
    let entry_point = AT.entry_point;
    let receiver = prop_oneof![who(), Just(*ACCOUNT)];
    (receiver, 0..=4_u64, 0..10_u8)
        .prop_map(move |(who, ether, which)| match which {
            0 => ControlCall::new(*ACCOUNT, &Account::addDepositCall {}).with_value(in_wei(ether)),
            1..3 => {
                let call =
                    SmartAccount::withdrawDepositToCall { withdrawAddress: who, amount: in_wei(ether) };
                ControlCall::new(*ACCOUNT, &call)
            }
            3 => ControlCall::new(entry_point, &EntryPoint::depositToCall { account: who })
                .with_value(in_wei(ether)),
            4 => ControlCall::new(entry_point, &StakeManager::addStakeCall { unstakeDelaySec: 60 })
                .with_value(in_wei(ether)),
            5 => ControlCall::new(entry_point, &StakeManager::unlockStakeCall {}),
            6 => ControlCall::new(entry_point, &StakeManager::withdrawStakeCall { withdrawAddress: who }),
            7 => ControlCall::raw(entry_point, Vec::new(), "no function").with_value(in_wei(ether)),
            8 if ether == 0 => {
                ControlCall::new(entry_point, &EntryPoint::incrementNonceCall { key: Default::default() })
            }
            _ => {
                let call =
                    StakeManager::withdrawToCall { withdrawAddress: who, withdrawAmount: in_wei(ether) };
                ControlCall::new(entry_point, &call)
            }
        })
        .boxed()
}

/// Mostly an address where nothing is.
pub(crate) fn who() -> BoxedStrategy<Address> {
    prop_oneof![
        5 => Just(ATTACKER),
        3 => Just(FRIEND),
        1 => Just(owner().address()),
        1 => Just(Address::ZERO),
        1 => known(),
        1 => any::<[u8; 20]>().prop_map(Address::from),
    ]
    .boxed()
}

fn ownership_module() -> BoxedStrategy<Address> {
    prop_oneof![3 => Just(AT.ecdsa_ownership_module), 2 => Just(AT.multichain_ecdsa_module)].boxed()
}

/// One that is enabled, or that may be.
pub(crate) fn module() -> BoxedStrategy<Address> {
    let modules = [
        AT.multichain_ecdsa_module,
        AT.batched_session_router,
        OLD_MANAGER,
        OTHER_MODULE,
        ATTACKER,
        AT.session_key_manager,
        AT.ecdsa_ownership_module,
        *ACCOUNT,
        SENTINEL,
    ];
    select(modules.to_vec()).boxed()
}

fn known() -> BoxedStrategy<Address> {
    select(NAMES.iter().map(|(address, _)| *address).chain([*ACCOUNT]).collect::<Vec<_>>()).boxed()
}

/// The contracts, by names for whoever reads of a failure.
const NAMES: [(Address, &str); 15] = [
    (AT.entry_point, "the entry point"),
    (AT.ecdsa_ownership_module, "the ownership module"),
    (AT.multichain_ecdsa_module, "the multichain module"),
    (AT.session_key_manager, "the session key manager"),
    (OLD_MANAGER, "the old session key manager"),
    (AT.batched_session_router, "the router"),
    (AT.abi_session_validation_module, "the ABI module"),
    (AT.erc20_session_validation_module, "the ERC-20 module"),
    (AT.account_implementation, "the implementation"),
    (SECOND_IMPLEMENTATION, "the second implementation"),
    (AT.account_factory, "the factory"),
    (AT.fallback_handler, "the fallback handler"),
    (TOKEN, "the token"),
    (PAYMASTER, "the paymaster"),
    (OTHER_MODULE, "the other module"),
];

pub(crate) fn name(address: Address) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == address);
    match known {
        Some((_, name)) => (*name).to_owned(),
        None if address == *ACCOUNT => "the account itself".to_owned(),
        None => address.to_string(),
    }
}

/// So many ether.
pub(crate) fn in_wei(ether: u64) -> U256 {
    ETHER * U256::from(ether)
}
