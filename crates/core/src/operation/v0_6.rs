//! User operations of EntryPoint v0.6 and their hash.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};

use super::{
    entry_point::EntryPointVersion, initialization::Initialization, packed::UnpackError,
    paymaster::PaymasterV0_6,
};
use crate::keccak::hash_parts;

/// A user operation of EntryPoint v0.6 that is not signed.
///
/// `B` is what holds its bytes: `&[u8]` without a heap, `Vec<u8>` with one. The call data may be held by something
/// else, `C`: a [`Digest`] where it is hashed in pieces as it arrives. Gas is in units of gas, fees in wei for one of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserOperation<B, C = B> {
    /// The account that acts.
    pub sender: Address,
    /// The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    pub nonce: U256,
    /// The factory and what it is called with, or empty for an account that is there.
    pub init_code: B,
    /// What the account is called with.
    pub call_data: C,
    /// The gas of that call.
    pub call_gas_limit: U256,
    /// The gas of the account's validation, and of its deployment.
    pub verification_gas_limit: U256,
    /// The gas that is paid for and measured by nobody: call data, the bundler's overhead.
    pub pre_verification_gas: U256,
    /// The most that one gas may cost.
    pub max_fee_per_gas: U256,
    /// The most of it that goes to the block's builder.
    pub max_priority_fee_per_gas: U256,
    /// The paymaster and what it is given, or empty where the account pays.
    pub paymaster_and_data: B,
}

impl<B: CallDataDigest, C: CallDataDigest> UserOperation<B, C> {
    /// The hash that is signed (by way of [`signing_hash`]) and that names the operation.
    ///
    /// Source: ERC-4337 in the form of EntryPoint v0.6, `getUserOpHash`.
    ///
    /// ```
    /// use quorate_core::{Address, UserOperation, address, b256};
    ///
    /// let operation = UserOperation::<&[u8]>::default();
    /// let entry_point = address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789");
    /// assert_ne!(operation.hash(entry_point, 1), operation.hash(entry_point, 137));
    /// ```
    pub fn hash(&self, entry_point: Address, chain_id: u64) -> B256 {
        let words = self.words(self.call_data.keccak256());
        bind_to_entry_point(hash_parts(&[words.as_flattened()]), entry_point, chain_id)
    }
}

impl<B: CallDataDigest, C> UserOperation<B, C> {
    /// What the hash covers.
    pub(super) fn words(&self, call_data: B256) -> [[u8; 32]; 10] {
        [
            self.sender.into_word().0,
            word_of(&self.nonce),
            self.init_code.keccak256().0,
            call_data.0,
            word_of(&self.call_gas_limit),
            word_of(&self.verification_gas_limit),
            word_of(&self.pre_verification_gas),
            word_of(&self.max_fee_per_gas),
            word_of(&self.max_priority_fee_per_gas),
            self.paymaster_and_data.keccak256().0,
        ]
    }
}

impl<B: AsRef<[u8]>, C> UserOperation<B, C> {
    /// How the account comes to be.
    ///
    /// # Errors
    /// [`UnpackError::InitCode`] for 1 to 19 bytes, which the entry point refuses.
    pub fn initialization(&self) -> Result<Initialization<&[u8]>, UnpackError> {
        Initialization::unpack(self.init_code.as_ref(), EntryPointVersion::V0_6, None)
    }

    /// Who pays, where it is not the account. The zero address is the account
    /// ([`account_pays`](PaymasterV0_6::account_pays)).
    ///
    /// ```
    /// use quorate_core::{Address, UserOperation};
    ///
    /// let paymaster_and_data = [[0xaa; 20].as_slice(), b"data"].concat();
    /// let operation = UserOperation { paymaster_and_data, ..UserOperation::<Vec<u8>>::default() };
    /// let paymaster = operation.paymaster()?.expect("a paymaster");
    /// assert_eq!((paymaster.paymaster, paymaster.data), (Address::repeat_byte(0xaa), b"data".as_slice()));
    /// # Ok::<(), quorate_core::UnpackError>(())
    /// ```
    ///
    /// # Errors
    /// [`UnpackError::Paymaster`] for 1 to 19 bytes, which the entry point refuses.
    pub fn paymaster(&self) -> Result<Option<PaymasterV0_6<'_>>, UnpackError> {
        PaymasterV0_6::unpack(self.paymaster_and_data.as_ref())
    }
}

impl<B, C> UserOperation<B, C> {
    /// The same operation with other call data.
    pub fn with_call_data<D>(self, call_data: D) -> UserOperation<B, D> {
        UserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init_code: self.init_code,
            call_data,
            call_gas_limit: self.call_gas_limit,
            verification_gas_limit: self.verification_gas_limit,
            pre_verification_gas: self.pre_verification_gas,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            paymaster_and_data: self.paymaster_and_data,
        }
    }
}

impl<B: AsRef<[u8]>> UserOperation<B> {
    /// The operation with what a bundler is sent as its signature.
    pub const fn sign(self, signature: B) -> SignedUserOperation<B> {
        SignedUserOperation { operation: self, signature }
    }

    /// The operation for which the call data is yet to come.
    pub fn without_call_data(&self) -> UserOperation<&[u8], ()> {
        self.as_slices().with_call_data(())
    }

    /// The same operation over borrowed bytes.
    pub fn as_slices(&self) -> UserOperation<&[u8]> {
        UserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init_code: self.init_code.as_ref(),
            call_data: self.call_data.as_ref(),
            call_gas_limit: self.call_gas_limit,
            verification_gas_limit: self.verification_gas_limit,
            pre_verification_gas: self.pre_verification_gas,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            paymaster_and_data: self.paymaster_and_data.as_ref(),
        }
    }
}

/// A user operation and its signature: an encoded [`ModuleSignature`](crate::ModuleSignature).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedUserOperation<B> {
    /// What was signed.
    pub operation: UserOperation<B>,
    /// The signature, which the hash does not cover.
    pub signature: B,
}

/// The digest that an owner or a session key signs for a user operation's hash, and an owner for the root of several
/// operations ([`multichain`](crate::multichain)).
///
/// Source: EIP-191, version 0x45 (`personal_sign`) over 32 bytes.
pub fn signing_hash(user_op_hash: B256) -> B256 {
    hash_parts(&[b"\x19Ethereum Signed Message:\n32", user_op_hash.as_slice()])
}

/// Bytes whose hash is known or can be had.
///
/// Everything that gives a byte slice is, and so is a [`Digest`] of bytes that are no longer there.
pub trait CallDataDigest {
    /// The bytes' keccak-256.
    fn keccak256(&self) -> B256;
}

impl<T: AsRef<[u8]> + ?Sized> CallDataDigest for T {
    fn keccak256(&self) -> B256 {
        let bytes = self.as_ref();
        if bytes.is_empty() { KECCAK256_EMPTY } else { hash_parts(&[bytes]) }
    }
}

/// The keccak-256 of bytes that were hashed in pieces.
///
/// A device hashes call data of any length as it arrives, and keeps none of it:
///
/// ```
/// use quorate_core::{Address, Digest, Keccak256, UserOperation};
///
/// let mut hasher = Keccak256::new();
/// for piece in [b"call ", b"data "] {
///     hasher.update(piece);
/// }
/// let operation = UserOperation::<&[u8], _> { call_data: Digest(hasher.finalize()), ..UserOperation::default() };
/// let whole = UserOperation::<&[u8]> { call_data: b"call data ", ..UserOperation::default() };
/// assert_eq!(operation.hash(Address::ZERO, 1), whole.hash(Address::ZERO, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub B256);

/// The digest of no bytes.
impl Default for Digest {
    fn default() -> Self {
        Self(KECCAK256_EMPTY)
    }
}

impl CallDataDigest for Digest {
    fn keccak256(&self) -> B256 {
        self.0
    }
}

/// The last step of the hash up to EntryPoint v0.7.
pub(crate) fn bind_to_entry_point(operation: B256, entry_point: Address, chain_id: u64) -> B256 {
    let bound: [[u8; 32]; 3] = [operation.0, entry_point.into_word().0, U256::from(chain_id).to_be_bytes()];
    hash_parts(&[bound.as_flattened()])
}

/// A number as it is hashed. Not inlined: operations have many.
#[inline(never)]
pub(super) fn word_of(number: &U256) -> [u8; 32] {
    number.to_be_bytes()
}
