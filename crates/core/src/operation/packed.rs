//! User operations of EntryPoint v0.7 and later as the contract takes them.

use alloy_primitives::{Address, B256, U256};

use super::{
    entry_point::EntryPointVersion,
    initialization::{Initialization, packed_init_hash},
    paymaster::{Paymaster, signed_paymaster_hash, split_head},
    typed_hash::{HashError, Words, halves, hash_v0_7, typed_hash},
    unpacked::UnpackedUserOperation,
    v0_6::CallDataDigest,
};
use crate::texts;

/// A user operation of EntryPoint v0.7 or later in the form that the contract takes, without its signature.
///
/// `B` is what holds its bytes. The call data may be held by something else, `C`: a [`Digest`](crate::Digest) where
/// it is hashed in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedUserOperation<B, C = B> {
    /// The account that acts.
    pub sender: Address,
    /// The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    pub nonce: U256,
    /// The factory and what it is called with; the EIP-7702 marker and what the account is called with; or empty.
    pub init_code: B,
    /// What the account is called with.
    pub call_data: C,
    /// Gas of the account's validation and deployment (16 bytes) and gas of the call (16 bytes).
    pub account_gas_limits: B256,
    /// The gas that is paid for and measured by nobody: call data, the bundler's overhead.
    pub pre_verification_gas: U256,
    /// Wei for one gas: at most to the block's builder (16 bytes), at most in all (16 bytes).
    pub gas_fees: B256,
    /// Paymaster (20 bytes), gas of its validation (16), gas of its `postOp` (16) and its data, or empty.
    pub paymaster_and_data: B,
}

impl<B: AsRef<[u8]>, C: CallDataDigest> PackedUserOperation<B, C> {
    /// The hash at EntryPoint v0.7.
    ///
    /// Source: `getUserOpHash` of that contract.
    pub fn hash_v0_7(&self, entry_point: Address, chain_id: u64) -> B256 {
        let hashes = (self.init_code.keccak256(), self.paymaster_and_data.keccak256());
        hash_v0_7(self.words(hashes), entry_point, chain_id)
    }

    /// The hash at EntryPoint v0.8, EIP-712 typed data.
    ///
    /// `delegate` is the contract whose code an EIP-7702 account runs. It is needed where `init_code` starts with
    /// the marker, and not looked at elsewhere.
    ///
    /// # Errors
    /// [`HashError::NoDelegate`] where it is needed and missing.
    pub fn hash_v0_8(
        &self,
        entry_point: Address,
        chain_id: u64,
        delegate: Option<Address>,
    ) -> Result<B256, HashError> {
        let hashes =
            (packed_init_hash(self.init_code.as_ref(), delegate)?, self.paymaster_and_data.keccak256());
        Ok(typed_hash(&self.words(hashes), entry_point, chain_id))
    }

    /// The hash at EntryPoint v0.9: as v0.8, without the signature that `paymaster_and_data` may end in.
    ///
    /// # Errors
    /// As [`hash_v0_8`](Self::hash_v0_8), and [`HashError::PaymasterSignature`].
    pub fn hash_v0_9(
        &self,
        entry_point: Address,
        chain_id: u64,
        delegate: Option<Address>,
    ) -> Result<B256, HashError> {
        let (head, data) = split_head(self.paymaster_and_data.as_ref());
        let hashes =
            (packed_init_hash(self.init_code.as_ref(), delegate)?, signed_paymaster_hash(head, data)?);
        Ok(typed_hash(&self.words(hashes), entry_point, chain_id))
    }

    /// What the owner of the sender signs where that is a Hybrid account of MetaMask's framework, which is at EntryPoint
    /// v0.7: EIP-712 typed data in the account's own domain, not [`hash_v0_7`](Self::hash_v0_7).
    #[cfg(feature = "delegation")]
    pub fn hybrid_digest(&self, entry_point: Address, chain_id: u64) -> B256 {
        let hashes = (self.init_code.keccak256(), self.paymaster_and_data.keccak256());
        super::typed_hash::hybrid_hash(&self.words(hashes), self.sender, entry_point, chain_id)
    }

    /// The operation with everything typed, as an entry point of that version reads it. Its hash there is that of the
    /// packed operation.
    ///
    /// `delegate` is as for [`hash_v0_8`](Self::hash_v0_8); at v0.7, which does not know the EIP-7702 marker, it is not
    /// looked at. A marker whose last zeros are missing is packed again with them, which changes no hash from v0.8 on.
    ///
    /// ```
    /// use quorate_core::{Address, EntryPointVersion, Initialization, PackedUserOperation};
    ///
    /// let operation = PackedUserOperation::<&[u8]> { init_code: &[0x77, 0x02], ..Default::default() };
    /// let delegate = Address::repeat_byte(0xde);
    /// let unpacked = operation.unpack(EntryPointVersion::V0_8, Some(delegate))?;
    /// assert_eq!(unpacked.init, Initialization::Delegated { delegate, data: &[][..] });
    /// assert!(operation.unpack(EntryPointVersion::V0_7, None).is_err(), "too short for a factory");
    /// # Ok::<(), quorate_core::UnpackError>(())
    /// ```
    ///
    /// # Errors
    /// [`UnpackError`] for what that entry point refuses whatever the chain's state is.
    pub fn unpack(
        &self,
        version: EntryPointVersion,
        delegate: Option<Address>,
    ) -> Result<UnpackedUserOperation<&[u8], &C>, UnpackError> {
        let head = PackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init_code: self.init_code.as_ref(),
            call_data: (),
            account_gas_limits: self.account_gas_limits,
            pre_verification_gas: self.pre_verification_gas,
            gas_fees: self.gas_fees,
            paymaster_and_data: self.paymaster_and_data.as_ref(),
        };
        Ok(head.unpack_head(version, delegate)?.with_call_data(&self.call_data))
    }

    fn words(&self, (init_code, paymaster): (B256, B256)) -> Words {
        [
            self.sender.into_word().0,
            self.nonce.to_be_bytes(),
            init_code.0,
            self.call_data.keccak256().0,
            self.account_gas_limits.0,
            self.pre_verification_gas.to_be_bytes(),
            self.gas_fees.0,
            paymaster.0,
        ]
    }
}

impl<'a> PackedUserOperation<&'a [u8], ()> {
    /// An operation without its call data, with everything typed; as [`unpack`](PackedUserOperation::unpack), for as long
    /// as the bytes live.
    ///
    /// # Errors
    /// As [`unpack`](PackedUserOperation::unpack).
    pub fn unpack_head(
        &self,
        version: EntryPointVersion,
        delegate: Option<Address>,
    ) -> Result<UnpackedUserOperation<&'a [u8], ()>, UnpackError> {
        if version == EntryPointVersion::V0_6 {
            return Err(UnpackError::PackedAtV0_6);
        }
        let (verification_gas_limit, call_gas_limit) = halves(self.account_gas_limits);
        let (max_priority_fee_per_gas, max_fee_per_gas) = halves(self.gas_fees);
        Ok(UnpackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init: Initialization::unpack(self.init_code, version, delegate)?,
            call_data: (),
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas: self.pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            paymaster: Paymaster::unpack(self.paymaster_and_data, version)?,
        })
    }
}

/// Why an operation has no typed form: the entry point refuses it whatever the chain's state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Too short for a factory (AA99 from v0.8 on, before it a revert without a reason).
    InitCode {
        /// The number of bytes found.
        len: usize,
    },
    /// Too short for a paymaster, or from v0.7 on for a paymaster and its gas limits (AA93).
    Paymaster {
        /// The number of bytes found.
        len: usize,
        /// The least number of bytes: 20 at v0.6, 52 later.
        least: usize,
    },
    /// The zero address as the paymaster, from v0.8 on (AA98).
    ZeroPaymaster,
    /// A packed operation at v0.6.
    PackedAtV0_6,
    /// It has no hash either.
    #[error(transparent)]
    NoHash(#[from] HashError),
}

texts!(UnpackError {
    InitCode { len } => "initCode: it starts with a factory of 20 bytes or is empty, this has {} bytes",
    Paymaster { least, len } =>
        "paymasterAndData: it starts with {} bytes of paymaster and gas limits or is empty, this has {} bytes",
    ZeroPaymaster => "paymasterAndData: the paymaster is the zero address, which EntryPoint v0.8 and later refuse",
    PackedAtV0_6 => "EntryPoint v0.6 takes no packed user operation",
    NoHash(error) => "{}",
});
