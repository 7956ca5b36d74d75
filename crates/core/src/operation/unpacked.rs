//! User operations of EntryPoint v0.7 and later as bundlers take them.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};

#[cfg(feature = "alloc")]
use super::packed::PackedUserOperation;
use super::{
    entry_point::EntryPointVersion,
    initialization::Initialization,
    paymaster::{Paymaster, signed_paymaster_hash},
    typed_hash::{HashError, Words, hash_v0_7, joined, typed_hash},
    v0_6::{CallDataDigest, word_of},
};
use crate::keccak::hash_parts;
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
        let words = self.words_at(EntryPointVersion::V0_7, self.call_data.keccak256())?;
        Ok(hash_v0_7(words, entry_point, chain_id))
    }

    /// The hash at EntryPoint v0.8, EIP-712 typed data.
    pub fn hash_v0_8(&self, entry_point: Address, chain_id: u64) -> B256 {
        let (init_code, paymaster) = (self.init.signed_hash(), self.paymaster_hash());
        typed_hash(&self.words(init_code, self.call_data.keccak256(), paymaster), entry_point, chain_id)
    }

    /// The hash at EntryPoint v0.9: as v0.8, without the signature that the paymaster's data may end in.
    ///
    /// # Errors
    /// [`HashError::PaymasterSignature`] where that would start before the data does.
    pub fn hash_v0_9(&self, entry_point: Address, chain_id: u64) -> Result<B256, HashError> {
        let words = self.words_at(EntryPointVersion::V0_9, self.call_data.keccak256())?;
        Ok(typed_hash(&words, entry_point, chain_id))
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
}

impl<B: AsRef<[u8]>, C> UnpackedUserOperation<B, C> {
    /// What the hash covers at an entry point from v0.7 on, with this digest of the call data.
    pub(super) fn words_at(&self, version: EntryPointVersion, call_data: B256) -> Result<Words, HashError> {
        let init_code = match version {
            EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => self.init.hash_v0_7()?,
            EntryPointVersion::V0_8 | EntryPointVersion::V0_9 => self.init.signed_hash(),
        };
        let paymaster = match &self.paymaster {
            Some(paymaster) if version >= EntryPointVersion::V0_9 => {
                signed_paymaster_hash(&paymaster.head(), paymaster.data.as_ref())?
            }
            _ => self.paymaster_hash(),
        };
        Ok(self.words(init_code, call_data, paymaster))
    }

    fn paymaster_hash(&self) -> B256 {
        let paymaster = self.paymaster.as_ref();
        paymaster.map_or(KECCAK256_EMPTY, |it| hash_parts(&[&it.head(), it.data.as_ref()]))
    }

    fn words(&self, init_code: B256, call_data: B256, paymaster: B256) -> Words {
        [
            self.sender.into_word().0,
            word_of(&self.nonce),
            init_code.0,
            call_data.0,
            joined(self.verification_gas_limit, self.call_gas_limit).0,
            word_of(&self.pre_verification_gas),
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
