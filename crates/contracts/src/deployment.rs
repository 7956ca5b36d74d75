//! Where the contracts are.

use quorate_core::{Address, B256, address, b256};

/// The contracts of one chain.
///
/// They have the same addresses on every chain that they were deployed to by their makers, which are
/// [`Deployment::canonical`]; for other chains, replace what differs.
///
/// ```
/// use quorate_contracts::Deployment;
/// use quorate_core::Address;
///
/// let elsewhere = Deployment::canonical().with_batched_session_router(Address::repeat_byte(1));
/// assert_eq!(elsewhere.entry_point, Deployment::canonical().entry_point);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deployment {
    /// The entry point, v0.6.
    pub entry_point: Address,
    /// What the proxies of accounts delegate to, V2.
    pub account_implementation: Address,
    /// The factory of accounts, V2.
    pub account_factory: Address,
    /// What answers calls that the account does not know.
    pub fallback_handler: Address,
    /// The module by which the owner's key signs.
    pub ecdsa_ownership_module: Address,
    /// The module that keeps the root of an account's sessions, 1.0.1.
    pub session_key_manager: Address,
    /// The session validation module that checks calls against rules.
    pub abi_session_validation_module: Address,
    /// The session validation module for transfers of ERC-20 tokens.
    pub erc20_session_validation_module: Address,
    /// The module that checks each call of a batch against a session.
    pub batched_session_router: Address,
    /// The module by which one signature of the owner's is good on several chains.
    pub multichain_ecdsa_module: Address,
    /// The deployer through which contracts get the same address everywhere.
    pub deterministic_deployer: Address,
    /// keccak256 of the proxy's creation code and the implementation's address, of which an account's address is
    /// made.
    pub account_init_code_hash: B256,
}

impl Deployment {
    /// The contracts as their makers deployed them.
    pub const fn canonical() -> Self {
        Self {
            entry_point: address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            account_implementation: address!("0000002512019Dafb59528B82CB92D3c5D2423aC"),
            account_factory: address!("000000a56Aaca3e9a4C479ea6b6CD0DbcB6634F5"),
            fallback_handler: address!("0bBa6d96BD616BedC6BFaa341742FD43c60b83C1"),
            ecdsa_ownership_module: address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e"),
            session_key_manager: address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489"),
            abi_session_validation_module: address!("000006bC2eCdAe38113929293d241Cf252D91861"),
            erc20_session_validation_module: address!("000000D50C68705bd6897B2d17c7de32FB519fDA"),
            batched_session_router: address!("00000D09967410f8C76752A104c9848b57ebba55"),
            multichain_ecdsa_module: address!("000000824dc138db84FD9109fc154bdad332Aa8E"),
            deterministic_deployer: address!("4e59b44847b379578588920ca78fbf26c0b4956c"),
            account_init_code_hash: b256!("9e23d82770fbe728cd88babbb4dd51431b0a3c40bfd053a9fba2db0c3edaa369"),
        }
    }

    /// Replaces the entry point.
    #[must_use]
    pub const fn with_entry_point(mut self, address: Address) -> Self {
        self.entry_point = address;
        self
    }

    /// Replaces the implementation of accounts, and with it the hash of their proxies' creation code, since the two
    /// belong together.
    #[must_use]
    pub const fn with_account_implementation(mut self, address: Address, init_code_hash: B256) -> Self {
        self.account_implementation = address;
        self.account_init_code_hash = init_code_hash;
        self
    }

    /// Replaces the factory of accounts.
    #[must_use]
    pub const fn with_account_factory(mut self, address: Address) -> Self {
        self.account_factory = address;
        self
    }

    /// Replaces the fallback handler.
    #[must_use]
    pub const fn with_fallback_handler(mut self, address: Address) -> Self {
        self.fallback_handler = address;
        self
    }

    /// Replaces the owner's module.
    #[must_use]
    pub const fn with_ecdsa_ownership_module(mut self, address: Address) -> Self {
        self.ecdsa_ownership_module = address;
        self
    }

    /// Replaces the session key manager.
    #[must_use]
    pub const fn with_session_key_manager(mut self, address: Address) -> Self {
        self.session_key_manager = address;
        self
    }

    /// Replaces the session validation module that checks rules.
    #[must_use]
    pub const fn with_abi_session_validation_module(mut self, address: Address) -> Self {
        self.abi_session_validation_module = address;
        self
    }

    /// Replaces the session validation module for ERC-20 tokens.
    #[must_use]
    pub const fn with_erc20_session_validation_module(mut self, address: Address) -> Self {
        self.erc20_session_validation_module = address;
        self
    }

    /// Replaces the batched session router.
    #[must_use]
    pub const fn with_batched_session_router(mut self, address: Address) -> Self {
        self.batched_session_router = address;
        self
    }

    /// Replaces the module for several chains.
    #[must_use]
    pub const fn with_multichain_ecdsa_module(mut self, address: Address) -> Self {
        self.multichain_ecdsa_module = address;
        self
    }

    /// Replaces the deterministic deployer.
    #[must_use]
    pub const fn with_deterministic_deployer(mut self, address: Address) -> Self {
        self.deterministic_deployer = address;
        self
    }
}

impl Default for Deployment {
    /// The canonical one.
    fn default() -> Self {
        Self::canonical()
    }
}
