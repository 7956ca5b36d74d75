//! What a chain's accounts are at the end of a block.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use alloy_primitives::{Address, B256, U256, aliases::U192};
use quorate_contracts::Deployment;

/// Who signed what, by digest and signature.
type Recovered = HashMap<(B256, [u8; 65]), Option<Address>>;

/// What holds at every block: the same contracts are there from the first block on.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) chain_id: u64,
    pub(crate) deployment: Deployment,
    /// Contracts with code; deployed accounts are in the [`World`].
    pub(crate) contracts: BTreeSet<Address>,
    pub(crate) tokens: BTreeSet<Address>,
    /// Whether the two contracts of [`ScriptedPaymaster`](crate::ScriptedPaymaster) are there; any other paymaster
    /// takes every operation.
    pub(crate) signing_paymasters: bool,
    /// Whatever they are called with, they revert.
    pub(crate) reverting: BTreeSet<Address>,
    /// Who signed what: each signature is checked when it is sent and again in a block, and checking is what takes
    /// the time here.
    pub(crate) recovered: RefCell<Recovered>,
}

impl Rules {
    pub(crate) fn new(chain_id: u64, deployment: Deployment) -> Self {
        let contracts = BTreeSet::from([
            deployment.entry_point,
            deployment.account_implementation,
            deployment.account_factory,
            deployment.fallback_handler,
            deployment.ecdsa_ownership_module,
            deployment.session_key_manager,
            deployment.abi_session_validation_module,
            deployment.erc20_session_validation_module,
            deployment.batched_session_router,
            deployment.multichain_ecdsa_module,
            deployment.deterministic_deployer,
        ]);
        Self {
            chain_id,
            deployment,
            contracts,
            tokens: BTreeSet::new(),
            signing_paymasters: false,
            reverting: BTreeSet::new(),
            recovered: RefCell::default(),
        }
    }

    pub(crate) fn has_code(&self, world: &World, address: Address) -> bool {
        self.contracts.contains(&address) || world.get(address).is_some_and(|holder| holder.deployed)
    }
}

/// All addresses that hold something. A clone shares what is not changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(BTreeMap<Address, Arc<Holder>>);

/// What the contracts keep about one address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holder {
    /// In wei.
    pub(crate) balance: U256,
    /// At the entry point, in wei.
    pub(crate) deposit: U256,
    /// Whether a smart account is there.
    pub(crate) deployed: bool,
    pub(crate) modules: BTreeSet<Address>,
    /// By the module that has it: the ECDSA ownership module and the multichain module each have their own.
    pub(crate) owners: BTreeMap<Address, Address>,
    /// At the session key manager.
    pub(crate) root: B256,
    /// At the entry point: the next sequence of each key.
    pub(crate) nonces: BTreeMap<U192, u64>,
    /// By token.
    pub(crate) tokens: BTreeMap<Address, U256>,
    /// By token and spender.
    pub(crate) allowances: BTreeMap<(Address, Address), U256>,
    /// To the token paymaster, by token; never zero.
    pub(crate) owed: BTreeMap<Address, U256>,
}

impl Holder {
    pub(crate) fn sequence(&self, key: U192) -> u64 {
        self.nonces.get(&key).copied().unwrap_or_default()
    }
}

impl World {
    pub(crate) fn get(&self, address: Address) -> Option<&Holder> {
        self.0.get(&address).map(Arc::as_ref)
    }

    pub(crate) fn entry(&mut self, address: Address) -> &mut Holder {
        Arc::make_mut(self.0.entry(address).or_default())
    }

    pub(crate) fn sequence(&self, account: Address, key: U192) -> u64 {
        self.get(account).map_or(0, |holder| holder.sequence(key))
    }

    /// Key and next sequence in one word, as `getNonce` gives them.
    pub(crate) fn nonce(&self, account: Address, key: U192) -> U256 {
        (U256::from(key) << 64) | U256::from(self.sequence(account, key))
    }
}

/// The key of a nonce, and its sequence.
pub(crate) fn split_nonce(nonce: U256) -> (U192, u64) {
    let sequence = nonce.as_limbs()[0];
    let [_, limbs @ ..] = *nonce.as_limbs();
    (U192::from_limbs(limbs), sequence)
}
