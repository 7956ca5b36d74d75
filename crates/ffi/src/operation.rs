//! Operations as C hands them in, and their hashes.

use quorate_core::{
    Address, B256, Domain, EntryPointVersion, OperationHead, PackedUserOperation, U256, UserOperation,
    signing_hash,
};

use crate::border::{Bytes, Output, read, read_array};
use crate::error::{Error, Reason, Status, end};

/// EntryPoint v0.6.
pub const QUORATE_V0_6: u32 = 6;
/// EntryPoint v0.7.
pub const QUORATE_V0_7: u32 = 7;
/// EntryPoint v0.8.
pub const QUORATE_V0_8: u32 = 8;
/// EntryPoint v0.9.
pub const QUORATE_V0_9: u32 = 9;

/// A user operation without its call data (ERC-4337).
///
/// v0.6 reads call_gas_limit to max_priority_fee_per_gas; later versions read account_gas_limits and gas_fees instead, packed
/// as the entry point takes them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The entry point's version, QUORATE_V0_6 to QUORATE_V0_9.
    pub version: u32,
    /// The entry point's address.
    pub entry_point: [u8; 20],
    /// The chain.
    pub chain_id: u64,
    /// The account that acts.
    pub sender: [u8; 20],
    /// The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    pub nonce: [u8; 32],
    /// The factory (20 bytes) and what it is called with, or empty.
    pub init_code: Bytes,
    /// v0.6: gas of the call.
    pub call_gas_limit: [u8; 32],
    /// v0.6: gas of the account's validation.
    pub verification_gas_limit: [u8; 32],
    /// Gas that is paid for and measured by nobody.
    pub pre_verification_gas: [u8; 32],
    /// v0.6: the most wei for one gas.
    pub max_fee_per_gas: [u8; 32],
    /// v0.6: the most of it that goes to the block's builder.
    pub max_priority_fee_per_gas: [u8; 32],
    /// From v0.7 on: gas of the validation, gas of the call, 16 bytes each.
    pub account_gas_limits: [u8; 32],
    /// From v0.7 on: wei for one gas to the block's builder, and in all, 16 bytes each.
    pub gas_fees: [u8; 32],
    /// The paymaster (20 bytes), from v0.7 on its two gas limits (16 bytes each), and its data, or empty.
    pub paymaster_and_data: Bytes,
    /// From v0.8 on, where init_code starts with the EIP-7702 marker: the account's delegate, 20 bytes; else null.
    pub delegate: *const u8,
}

/// The hash that names an operation, as its entry point computes it.
/// cbindgen:ptrs-as-arrays=[[hash; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_user_op_hash(
    operation: *const Operation,
    call_data: Bytes,
    hash: *mut u8,
    reason: *mut Reason,
) -> Status {
    let hashed = || {
        // SAFETY: the caller's promise, for all three.
        let (operation, call_data, hash) = unsafe {
            (read(operation, "the operation")?, call_data.read("the call data")?, Output::new(hash, "hash")?)
        };
        // SAFETY: as above.
        hash.write(unsafe { operation.hash(call_data)? }.0);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { end(hashed(), reason) }
}

/// What is signed for a user operation hash: EIP-191's digest of it.
/// cbindgen:ptrs-as-arrays=[[user_op_hash; 32], [digest; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_signing_hash(
    user_op_hash: *const u8,
    digest: *mut u8,
    reason: *mut Reason,
) -> Status {
    let hashed = || {
        // SAFETY: the caller's promise, for both.
        let (hash, digest) =
            unsafe { (read_array(user_op_hash, "user_op_hash")?, Output::new(digest, "digest")?) };
        digest.write(signing_hash(B256::new(*hash)).0);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { end(hashed(), reason) }
}

/// What of an operation is behind pointers.
struct Parts<'a> {
    init_code: &'a [u8],
    paymaster_and_data: &'a [u8],
    delegate: Option<Address>,
}

impl Operation {
    pub(crate) fn domain(&self) -> Domain {
        Domain { entry_point: Address::from(self.entry_point), chain_id: self.chain_id }
    }

    /// # Safety
    /// The pointers are good for as long as `'a`.
    pub(crate) unsafe fn head<'a>(&self) -> Result<OperationHead<'a>, Error> {
        // SAFETY: the caller's promise.
        let parts = unsafe { self.parts()? };
        Ok(match self.version()? {
            EntryPointVersion::V0_6 => OperationHead::V0_6(self.v0_6(&parts, ())),
            version => OperationHead::unpack(version, &self.packed(&parts, ()), parts.delegate)?,
        })
    }

    /// # Safety
    /// The pointers are good.
    unsafe fn hash(&self, call_data: &[u8]) -> Result<B256, Error> {
        let Domain { entry_point, chain_id } = self.domain();
        // SAFETY: the caller's promise.
        let parts = unsafe { self.parts()? };
        let packed = self.packed(&parts, call_data);
        Ok(match self.version()? {
            EntryPointVersion::V0_6 => self.v0_6(&parts, call_data).hash(entry_point, chain_id),
            EntryPointVersion::V0_7 => packed.hash_v0_7(entry_point, chain_id),
            EntryPointVersion::V0_8 => packed.hash_v0_8(entry_point, chain_id, parts.delegate)?,
            EntryPointVersion::V0_9 => packed.hash_v0_9(entry_point, chain_id, parts.delegate)?,
        })
    }

    fn version(&self) -> Result<EntryPointVersion, Error> {
        Ok(match self.version {
            QUORATE_V0_6 => EntryPointVersion::V0_6,
            QUORATE_V0_7 => EntryPointVersion::V0_7,
            QUORATE_V0_8 => EntryPointVersion::V0_8,
            QUORATE_V0_9 => EntryPointVersion::V0_9,
            _ => {
                return Err(Error::Malformed {
                    what: "version",
                    wanted: "it is 6, 7, 8 or 9, for v0.6 to v0.9",
                });
            }
        })
    }

    /// # Safety
    /// The pointers are good for as long as `'a`.
    unsafe fn parts<'a>(&self) -> Result<Parts<'a>, Error> {
        // SAFETY: the caller's promise, for all three.
        unsafe {
            Ok(Parts {
                init_code: self.init_code.read("init_code")?,
                paymaster_and_data: self.paymaster_and_data.read("paymaster_and_data")?,
                delegate: match self.delegate.is_null() {
                    true => None,
                    false => Some(Address::from(*read_array::<20>(self.delegate, "delegate")?)),
                },
            })
        }
    }

    fn v0_6<'a, C>(&self, parts: &Parts<'a>, call_data: C) -> UserOperation<&'a [u8], C> {
        UserOperation {
            sender: Address::from(self.sender),
            nonce: number(self.nonce),
            init_code: parts.init_code,
            call_data,
            call_gas_limit: number(self.call_gas_limit),
            verification_gas_limit: number(self.verification_gas_limit),
            pre_verification_gas: number(self.pre_verification_gas),
            max_fee_per_gas: number(self.max_fee_per_gas),
            max_priority_fee_per_gas: number(self.max_priority_fee_per_gas),
            paymaster_and_data: parts.paymaster_and_data,
        }
    }

    fn packed<'a, C>(&self, parts: &Parts<'a>, call_data: C) -> PackedUserOperation<&'a [u8], C> {
        PackedUserOperation {
            sender: Address::from(self.sender),
            nonce: number(self.nonce),
            init_code: parts.init_code,
            call_data,
            account_gas_limits: B256::new(self.account_gas_limits),
            pre_verification_gas: number(self.pre_verification_gas),
            gas_fees: B256::new(self.gas_fees),
            paymaster_and_data: parts.paymaster_and_data,
        }
    }
}

const fn number(bytes: [u8; 32]) -> U256 {
    U256::from_be_bytes(bytes)
}
