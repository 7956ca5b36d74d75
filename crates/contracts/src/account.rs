//! An account's address before it exists, and what brings it into existence.

use alloy_sol_types::SolCall;
use quorate_core::{Address, BufferFull, Keccak256, Sink, SliceSink, U256};

use crate::{
    Deployment,
    generated::{EcdsaOwnershipModule, SmartAccount, SmartAccountFactory},
};

/// The length of [`init_code`] in bytes.
pub const INIT_CODE_LEN: usize = 20 + 4 + 4 * 32 + 64;

/// The address of the account of `owner`, whether it is deployed or not. An owner has one for each `index`.
///
/// The address is that of a `CREATE2` by the factory, with a salt made of what the account is initialised with and
/// the index.
pub fn address(deployment: &Deployment, owner: Address, index: U256) -> Address {
    let mut initializer = Keccak256::new();
    let mut salt = Keccak256::new();
    infallible(write_initializer(deployment, owner, &mut initializer));
    salt.update(initializer.finalize());
    salt.update(index.to_be_bytes::<32>());
    deployment.account_factory.create2(salt.finalize(), deployment.account_init_code_hash)
}

/// The `initCode` of the user operation that deploys the account of `owner` with that `index`.
///
/// ```
/// use quorate_contracts::{Deployment, account};
/// use quorate_core::{Address, U256};
///
/// let deployment = Deployment::canonical();
/// let init_code = account::init_code(&deployment, Address::repeat_byte(1), U256::ZERO);
/// assert!(init_code.starts_with(deployment.account_factory.as_slice()));
/// ```
pub fn init_code(deployment: &Deployment, owner: Address, index: U256) -> [u8; INIT_CODE_LEN] {
    let mut bytes = [0; INIT_CODE_LEN];
    infallible(write_init_code(deployment, owner, index, &mut SliceSink::new(&mut bytes)));
    bytes
}

/// Writes the call of the factory: `deployCounterFactualAccount(address, bytes, uint256)`.
fn write_init_code(
    deployment: &Deployment,
    owner: Address,
    index: U256,
    sink: &mut impl Sink,
) -> Result<(), BufferFull> {
    sink.put(deployment.account_factory.as_slice())?;
    sink.put(&SmartAccountFactory::deployCounterFactualAccountCall::SELECTOR)?;
    sink.put(deployment.ecdsa_ownership_module.into_word().as_slice())?;
    sink.put(&DYNAMIC_AFTER_THREE_WORDS)?;
    sink.put(&index.to_be_bytes::<32>())?;
    write_module_setup(owner, sink)
}

/// Writes the account's initialisation: `init(address, address, bytes)`.
fn write_initializer(
    deployment: &Deployment,
    owner: Address,
    sink: &mut impl Sink,
) -> Result<(), BufferFull> {
    sink.put(&SmartAccount::initCall::SELECTOR)?;
    sink.put(deployment.fallback_handler.into_word().as_slice())?;
    sink.put(deployment.ecdsa_ownership_module.into_word().as_slice())?;
    sink.put(&DYNAMIC_AFTER_THREE_WORDS)?;
    write_module_setup(owner, sink)
}

/// Writes `initForSmartAccount(owner)` as dynamic bytes: length, selector, owner, padding.
fn write_module_setup(owner: Address, sink: &mut impl Sink) -> Result<(), BufferFull> {
    sink.put(&word(4 + 32))?;
    sink.put(&EcdsaOwnershipModule::initForSmartAccountCall::SELECTOR)?;
    sink.put(owner.into_word().as_slice())?;
    sink.put(&[0; 28])
}

/// The offset of the only dynamic argument of three.
const DYNAMIC_AFTER_THREE_WORDS: [u8; 32] = word(3 * 32);

const fn word(number: u8) -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = number;
    word
}

/// Neither a hasher nor a buffer of the right length runs full.
fn infallible(written: Result<(), BufferFull>) {
    if written.is_err() {
        unreachable!("the buffer has the encoding's length");
    }
}
