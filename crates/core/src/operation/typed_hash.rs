//! What the hashes of EntryPoint v0.7 and later have in common.

use alloy_primitives::{Address, B256, U256, b256};

use super::v0_6::bind_to_entry_point;
use crate::{keccak::hash_parts, texts};

/// Why an operation has no hash: the entry point would revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The hash covers the account's delegate, which stands in the account's code and not in the operation.
    NoDelegate,
    /// A delegated account at an entry point that does not know the EIP-7702 marker, and would call a factory of that
    /// address.
    DelegatedAtV0_7,
    /// A paymaster's signature that starts before the paymaster's data.
    PaymasterSignature {
        /// The length that the signature is said to have.
        announced: u16,
        /// The bytes between the paymaster's gas limits and the announcement.
        room: usize,
    },
}

texts!(HashError {
    NoDelegate =>
        "initCode: the EIP-7702 marker 0x7702 has the hash cover the account's delegate; give its address",
    DelegatedAtV0_7 => "factory: the EIP-7702 marker 0x7702 means something from EntryPoint v0.8 on; this is v0.7",
    PaymasterSignature { announced, room } =>
        "paymasterAndData: its end announces a signature of {} bytes, but its data has room for {}",
});

/// What the hashes of all versions cover: sender, nonce, the hashes of initCode and call data, gas limits,
/// pre-verification gas, fees, the hash of the paymaster's part.
pub(super) type Words = [[u8; 32]; 8];

pub(super) fn hash_v0_7(words: Words, entry_point: Address, chain_id: u64) -> B256 {
    bind_to_entry_point(hash_parts(&[words.as_flattened()]), entry_point, chain_id)
}

/// Source: EIP-712, with the domain and type of EntryPoint v0.8.
pub(super) fn typed_hash(words: &[[u8; 32]], entry_point: Address, chain_id: u64) -> B256 {
    let operation = hash_parts(&[OPERATION_TYPE.as_slice(), words.as_flattened()]);
    in_domain(DOMAIN_NAME, chain_id, entry_point, operation)
}

/// What the Hybrid account of MetaMask's framework has its owner sign: the operation and its entry point, in the account's
/// own domain.
///
/// Source: `getPackedUserOperationTypedDataHash` of that account, version 1.3.0.
#[cfg(feature = "delegation")]
pub(super) fn hybrid_hash(words: &Words, account: Address, entry_point: Address, chain_id: u64) -> B256 {
    let entry_point = entry_point.into_word();
    let operation =
        hash_parts(&[HYBRID_OPERATION_TYPE.as_slice(), words.as_flattened(), entry_point.as_slice()]);
    in_domain(HYBRID_DOMAIN_NAME, chain_id, account, operation)
}

/// The digest of a value in the domain, of version 1, of a contract.
fn in_domain(name: B256, chain_id: u64, contract: Address, value: B256) -> B256 {
    let domain: [[u8; 32]; 5] =
        [DOMAIN_TYPE.0, name.0, DOMAIN_VERSION.0, U256::from(chain_id).to_be_bytes(), contract.into_word().0];
    hash_parts(&[&[0x19, 0x01], hash_parts(&[domain.as_flattened()]).as_slice(), value.as_slice()])
}

/// The hash of `PackedUserOperation(address sender,…)`.
const OPERATION_TYPE: B256 = b256!("29a0bca4af4be3421398da00295e58e6d7de38cb492214754cb6a47507dd6f8e");
/// The hash of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
/// The hash of `ERC4337`.
const DOMAIN_NAME: B256 = b256!("364da28a5c92bcc87fe97c8813a6c6b8a3a049b0ea0a328fcb0b4f0e00337586");
/// The hash of `1`.
const DOMAIN_VERSION: B256 = b256!("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");
/// The hash of `PackedUserOperation(address sender,…,address entryPoint)`.
#[cfg(feature = "delegation")]
const HYBRID_OPERATION_TYPE: B256 = b256!("bc37962d8bd1d319c95199bdfda6d3f92baa8903a61b32d5f4ec1f4b36a3bc18");
/// The hash of `HybridDeleGator`.
#[cfg(feature = "delegation")]
const HYBRID_DOMAIN_NAME: B256 = b256!("bf838c9b47d9d027be2b5f5d5d56cccf97c5c8f854682d0ba052ed46c3cc1d15");

/// Two 128-bit numbers in one word.
pub(super) fn joined(high: u128, low: u128) -> B256 {
    let numbers: [[u8; 16]; 2] = [high.to_be_bytes(), low.to_be_bytes()];
    B256::from_slice(numbers.as_flattened())
}

pub(super) fn halves(word: B256) -> (u128, u128) {
    let number = U256::from_be_bytes(word.0);
    ((number >> 128_usize).to::<u128>(), (number & U256::from(u128::MAX)).to::<u128>())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn the_constants_of_the_typed_data() {
        for (hash, text) in [
            (
                OPERATION_TYPE,
                "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,\
                 bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)",
            ),
            (
                DOMAIN_TYPE,
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
            ),
            (DOMAIN_NAME, "ERC4337"),
            (DOMAIN_VERSION, "1"),
        ] {
            assert_eq!(hash, keccak256(text), "{text}");
        }
    }

    #[cfg(feature = "delegation")]
    #[test]
    fn the_constants_of_a_hybrid_account() {
        for (hash, text) in [
            (
                HYBRID_OPERATION_TYPE,
                "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,\
                 bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData,\
                 address entryPoint)",
            ),
            (HYBRID_DOMAIN_NAME, "HybridDeleGator"),
        ] {
            assert_eq!(hash, keccak256(text), "{text}");
        }
    }
}
