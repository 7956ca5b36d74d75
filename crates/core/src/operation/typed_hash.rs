//! What the hashes of EntryPoint v0.7 and later have in common.

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};

use super::v0_6::bind_to_entry_point;
use crate::sink::{BufferFull, Encode};

/// Why an operation has no hash: the entry point would revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The hash covers the account's delegate, which stands in the account's code and not in the operation.
    #[error(
        "initCode: it has the EIP-7702 marker 0x7702, so the hash covers the account's delegate; give its address"
    )]
    NoDelegate,
    /// A paymaster's signature that starts before the paymaster's data.
    #[error(
        "paymasterAndData: its end announces a signature of {announced} bytes, but its data has room for {room}"
    )]
    PaymasterSignature {
        /// The length that the signature is said to have.
        announced: u16,
        /// The bytes between the paymaster's gas limits and the announcement.
        room: usize,
    },
}

/// What the hashes of all versions cover: sender, nonce, the hashes of initCode and call data, gas limits,
/// pre-verification gas, fees, the hash of the paymaster's part.
pub(super) type Words = [[u8; 32]; 8];

pub(super) fn hash_v0_7(words: Words, entry_point: Address, chain_id: u64) -> B256 {
    bind_to_entry_point(keccak256(words.as_flattened()), entry_point, chain_id)
}

/// Source: EIP-712, with the domain and type of EntryPoint v0.8.
pub(super) fn typed_hash(words: Words, entry_point: Address, chain_id: u64) -> B256 {
    let operation = hash_parts(&[
        keccak256(
            "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,\
             uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)",
        )
        .as_slice(),
        words.as_flattened(),
    ]);
    let domain: [[u8; 32]; 5] = [
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").0,
        keccak256("ERC4337").0,
        keccak256("1").0,
        U256::from(chain_id).to_be_bytes(),
        entry_point.into_word().0,
    ];
    hash_parts(&[&[0x19, 0x01], keccak256(domain.as_flattened()).as_slice(), operation.as_slice()])
}

pub(super) fn hash_of(value: &impl Encode) -> B256 {
    let mut hasher = Keccak256::new();
    match value.write_to(&mut hasher) {
        Ok(()) => hasher.finalize(),
        Err(BufferFull) => unreachable!("a hasher takes any number of bytes"),
    }
}

pub(super) fn hash_parts(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Two 128-bit numbers in one word.
pub(super) fn joined(high: u128, low: u128) -> B256 {
    let numbers: [[u8; 16]; 2] = [high.to_be_bytes(), low.to_be_bytes()];
    B256::from_slice(numbers.as_flattened())
}

pub(super) fn halves(word: B256) -> (u128, u128) {
    let number = U256::from_be_bytes(word.0);
    ((number >> 128_usize).to::<u128>(), (number & U256::from(u128::MAX)).to::<u128>())
}
