//! An account's address before it exists, and what brings it into existence.

use alloy_sol_types::SolCall;
use quorate_core::{Address, BufferFull, Keccak256, Sink, SliceSink, U256};

use crate::{
    Deployment,
    generated::{EcdsaOwnershipModule, SmartAccount, SmartAccountFactory},
};

/// The length of an account's `initCode` in bytes.
pub const INIT_CODE_LEN: usize = 20 + 4 + 4 * 32 + 64;

/// What an account is created from, which decides its address.
///
/// ```
/// use quorate_contracts::{Deployment, account::Creation};
/// use quorate_core::{Address, U256};
///
/// let deployment = Deployment::canonical();
/// let owner = Address::repeat_byte(1);
/// let one = Creation::by_ecdsa_module(&deployment, owner, U256::ZERO);
/// let other = Creation { owner_module: deployment.multichain_ecdsa_module, ..one };
/// assert_ne!(one.address(&deployment), other.address(&deployment));
/// assert!(one.init_code(&deployment).starts_with(deployment.account_factory.as_slice()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The module that first says who the owner is: `moduleSetupContract` of the factory.
    pub owner_module: Address,
    /// The owner that the module is told.
    pub owner: Address,
    /// One owner has an account for each index.
    pub index: U256,
}

impl Creation {
    /// By the ECDSA ownership module, as most accounts are.
    pub const fn by_ecdsa_module(deployment: &Deployment, owner: Address, index: U256) -> Self {
        Self { owner_module: deployment.ecdsa_ownership_module, owner, index }
    }

    /// The account's address, whether it is deployed or not.
    ///
    /// It is that of a `CREATE2` by the factory, with a salt made of what the account is initialised with and the index.
    pub fn address(&self, deployment: &Deployment) -> Address {
        let mut initializer = Keccak256::new();
        let mut salt = Keccak256::new();
        infallible(self.write_initializer(deployment, &mut initializer));
        salt.update(initializer.finalize());
        salt.update(self.index.to_be_bytes::<32>());
        deployment.account_factory.create2(salt.finalize(), deployment.account_init_code_hash)
    }

    /// The `initCode` of the user operation that deploys the account: the factory, and its call
    /// `deployCounterFactualAccount(address, bytes, uint256)`.
    pub fn init_code(&self, deployment: &Deployment) -> [u8; INIT_CODE_LEN] {
        let mut bytes = [0; INIT_CODE_LEN];
        infallible(self.write_init_code(deployment, &mut SliceSink::new(&mut bytes)));
        bytes
    }

    fn write_init_code(&self, deployment: &Deployment, sink: &mut impl Sink) -> Result<(), BufferFull> {
        sink.put(deployment.account_factory.as_slice())?;
        sink.put(&SmartAccountFactory::deployCounterFactualAccountCall::SELECTOR)?;
        sink.put(self.owner_module.into_word().as_slice())?;
        sink.put(&DYNAMIC_AFTER_THREE_WORDS)?;
        sink.put(&self.index.to_be_bytes::<32>())?;
        write_module_setup(self.owner, sink)
    }

    /// Writes the account's initialisation: `init(address, address, bytes)`.
    fn write_initializer(&self, deployment: &Deployment, sink: &mut impl Sink) -> Result<(), BufferFull> {
        sink.put(&SmartAccount::initCall::SELECTOR)?;
        sink.put(deployment.fallback_handler.into_word().as_slice())?;
        sink.put(self.owner_module.into_word().as_slice())?;
        sink.put(&DYNAMIC_AFTER_THREE_WORDS)?;
        write_module_setup(self.owner, sink)
    }
}

/// The address of the account of `owner` that the ECDSA ownership module was told of; see [`Creation::address`].
pub fn address(deployment: &Deployment, owner: Address, index: U256) -> Address {
    Creation::by_ecdsa_module(deployment, owner, index).address(deployment)
}

/// The `initCode` that deploys it; see [`Creation::init_code`].
pub fn init_code(deployment: &Deployment, owner: Address, index: U256) -> [u8; INIT_CODE_LEN] {
    Creation::by_ecdsa_module(deployment, owner, index).init_code(deployment)
}

/// Writes `initForSmartAccount(owner)` as dynamic bytes: length, selector, owner, padding.
pub(crate) fn write_module_setup(owner: Address, sink: &mut impl Sink) -> Result<(), BufferFull> {
    sink.put(&word(4 + 32))?;
    sink.put(&EcdsaOwnershipModule::initForSmartAccountCall::SELECTOR)?;
    sink.put(owner.into_word().as_slice())?;
    sink.put(&[0; 28])
}

/// The offset of the only dynamic argument of three.
const DYNAMIC_AFTER_THREE_WORDS: [u8; 32] = word(3 * 32);

pub(crate) const fn word(number: u8) -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = number;
    word
}

/// Neither a hasher nor a buffer of the right length runs full.
pub(crate) fn infallible(written: Result<(), BufferFull>) {
    if written.is_err() {
        unreachable!("the buffer has the encoding's length");
    }
}
