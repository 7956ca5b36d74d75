//! User operations of EntryPoint v0.7 and later as bundlers take them.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};

#[cfg(feature = "alloc")]
use super::packed::PackedUserOperation;
use super::{
    initialization::Initialization,
    paymaster::{Paymaster, signed_paymaster_hash},
    typed_hash::{HashError, Words, hash_of, hash_v0_7, joined, typed_hash},
    v0_6::CallDataDigest,
};
#[cfg(feature = "alloc")]
use crate::sink::Encode;

/// A user operation of EntryPoint v0.7 or later in the form that bundlers take, with everything typed, without its
/// signature.
///
/// ```
/// use quorate_core::{Address, Initialization, Paymaster, UnpackedUserOperation};
///
/// let operation = UnpackedUserOperation::<&[u8]> {
///     sender: Address::repeat_byte(1),
///     init: Initialization::Factory { factory: Address::repeat_byte(2), data: b"deploy" },
///     paymaster: Some(Paymaster { paymaster: Address::repeat_byte(3), ..Paymaster::default() }),
///     ..UnpackedUserOperation::default()
/// };
/// let (entry_point, chain_id) = (Address::repeat_byte(4), 1);
/// assert_ne!(operation.hash_v0_7(entry_point, chain_id)?, operation.hash_v0_8(entry_point, chain_id));
/// # Ok::<(), quorate_core::HashError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnpackedUserOperation<B, C = B> {
    /// The account that acts.
    pub sender: Address,
    /// The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    pub nonce: U256,
    /// How the account comes to be, where it is not there.
    pub init: Initialization<B>,
    /// What the account is called with.
    pub call_data: C,
    /// The gas of that call.
    pub call_gas_limit: u128,
    /// The gas of the account's validation, and of its deployment.
    pub verification_gas_limit: u128,
    /// The gas that is paid for and measured by nobody: call data, the bundler's overhead.
    pub pre_verification_gas: U256,
    /// The most that one gas may cost, in wei.
    pub max_fee_per_gas: u128,
    /// The most of it that goes to the block's builder, in wei.
    pub max_priority_fee_per_gas: u128,
    /// Who pays, where it is not the account. At v0.7 the zero address is the account
    /// ([`account_pays`](Paymaster::account_pays)); later entry points refuse it.
    pub paymaster: Option<Paymaster<B>>,
}

impl<B: AsRef<[u8]>, C: CallDataDigest> UnpackedUserOperation<B, C> {
    /// The hash at EntryPoint v0.7.
    ///
    /// # Errors
    /// [`HashError::DelegatedAtV0_7`] for [`Initialization::Delegated`], which that version does not know.
    pub fn hash_v0_7(&self, entry_point: Address, chain_id: u64) -> Result<B256, HashError> {
        Ok(hash_v0_7(self.words_v0_7()?, entry_point, chain_id))
    }

    /// The hash at EntryPoint v0.8, EIP-712 typed data.
    pub fn hash_v0_8(&self, entry_point: Address, chain_id: u64) -> B256 {
        typed_hash(self.words_v0_8(), entry_point, chain_id)
    }

    /// The hash at EntryPoint v0.9: as v0.8, without the signature that the paymaster's data may end in.
    ///
    /// # Errors
    /// [`HashError::PaymasterSignature`] where that would start before the data does.
    pub fn hash_v0_9(&self, entry_point: Address, chain_id: u64) -> Result<B256, HashError> {
        Ok(typed_hash(self.words_v0_9()?, entry_point, chain_id))
    }

    pub(super) fn words_v0_7(&self) -> Result<Words, HashError> {
        Ok(self.words((self.init.hash_v0_7()?, self.paymaster_hash())))
    }

    pub(super) fn words_v0_8(&self) -> Words {
        self.words((self.init.signed_hash(), self.paymaster_hash()))
    }

    pub(super) fn words_v0_9(&self) -> Result<Words, HashError> {
        let paymaster = match &self.paymaster {
            Some(paymaster) => signed_paymaster_hash(&paymaster.head(), paymaster.data.as_ref())?,
            None => KECCAK256_EMPTY,
        };
        Ok(self.words((self.init.signed_hash(), paymaster)))
    }

    /// The operation as the contract takes it.
    #[cfg(feature = "alloc")]
    pub fn pack(self) -> PackedUserOperation<alloc::vec::Vec<u8>, C> {
        PackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init_code: self.init.to_vec(),
            account_gas_limits: joined(self.verification_gas_limit, self.call_gas_limit),
            pre_verification_gas: self.pre_verification_gas,
            gas_fees: joined(self.max_priority_fee_per_gas, self.max_fee_per_gas),
            paymaster_and_data: self.paymaster.as_ref().map(Encode::to_vec).unwrap_or_default(),
            call_data: self.call_data,
        }
    }

    fn paymaster_hash(&self) -> B256 {
        self.paymaster.as_ref().map_or(KECCAK256_EMPTY, hash_of)
    }

    fn words(&self, (init_code, paymaster): (B256, B256)) -> Words {
        [
            self.sender.into_word().0,
            self.nonce.to_be_bytes(),
            init_code.0,
            self.call_data.keccak256().0,
            joined(self.verification_gas_limit, self.call_gas_limit).0,
            self.pre_verification_gas.to_be_bytes(),
            joined(self.max_priority_fee_per_gas, self.max_fee_per_gas).0,
            paymaster.0,
        ]
    }
}

impl<B, C> UnpackedUserOperation<B, C> {
    /// The same operation with other call data.
    pub fn with_call_data<D>(self, call_data: D) -> UnpackedUserOperation<B, D> {
        UnpackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init: self.init,
            call_data,
            call_gas_limit: self.call_gas_limit,
            verification_gas_limit: self.verification_gas_limit,
            pre_verification_gas: self.pre_verification_gas,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            paymaster: self.paymaster,
        }
    }
}
