//! Who pays for an operation.

use alloy_primitives::{Address, B256};

use super::{
    entry_point::EntryPointVersion,
    packed::UnpackError,
    typed_hash::{HashError, joined},
};
use crate::keccak::hash_parts;
use crate::sink::{BufferFull, Encode, Sink};

/// Who pays for an operation from EntryPoint v0.7 on, and what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paymaster<B> {
    /// The paymaster. The zero address is none: at v0.7 the account pays, later entry points refuse it.
    pub paymaster: Address,
    /// The gas of its validation.
    pub verification_gas_limit: u128,
    /// The gas of its `postOp`.
    pub post_op_gas_limit: u128,
    /// What it is given. At EntryPoint v0.9 it may end in a [`PaymasterSignature`].
    pub data: B,
}

impl<'a> Paymaster<&'a [u8]> {
    pub(super) fn unpack(
        paymaster_and_data: &'a [u8],
        version: EntryPointVersion,
    ) -> Result<Option<Self>, UnpackError> {
        if paymaster_and_data.is_empty() {
            return Ok(None);
        }
        let paymaster = Self::split(paymaster_and_data);
        let len = paymaster_and_data.len();
        let paymaster = paymaster.ok_or(UnpackError::Paymaster { len, least: PAYMASTER_HEAD })?;
        if paymaster.account_pays() && version >= EntryPointVersion::V0_8 {
            return Err(UnpackError::ZeroPaymaster);
        }
        Ok(Some(paymaster))
    }

    fn split(paymaster_and_data: &'a [u8]) -> Option<Self> {
        let (paymaster, rest) = paymaster_and_data.split_first_chunk()?;
        let (verification_gas_limit, rest) = rest.split_first_chunk()?;
        let (post_op_gas_limit, data) = rest.split_first_chunk()?;
        Some(Self {
            paymaster: Address::new(*paymaster),
            verification_gas_limit: u128::from_be_bytes(*verification_gas_limit),
            post_op_gas_limit: u128::from_be_bytes(*post_op_gas_limit),
            data,
        })
    }
}

impl<B> Paymaster<B> {
    /// Whether the account pays all the same, since the paymaster is the zero address; at EntryPoint v0.7, for later ones
    /// refuse it.
    pub fn account_pays(&self) -> bool {
        self.paymaster.is_zero()
    }
}

impl<B: AsRef<[u8]>> Paymaster<B> {
    /// The paymaster's data without the signature that it may end in at EntryPoint v0.9, and that signature; empty
    /// where there is none.
    ///
    /// # Errors
    /// [`HashError::PaymasterSignature`] where the signature would start before the data does.
    pub fn split_signature(&self) -> Result<(&[u8], &[u8]), HashError> {
        split_signature(self.data.as_ref())
    }

    pub(super) fn head(&self) -> [u8; PAYMASTER_HEAD] {
        let mut head = [0; PAYMASTER_HEAD];
        let (address, limits) = head.split_at_mut(20);
        address.copy_from_slice(self.paymaster.as_slice());
        limits.copy_from_slice(joined(self.verification_gas_limit, self.post_op_gas_limit).as_slice());
        head
    }
}

/// The packed `paymasterAndData`.
impl<B: AsRef<[u8]>> Encode for Paymaster<B> {
    fn encoded_len(&self) -> usize {
        PAYMASTER_HEAD + self.data.as_ref().len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&self.head())?;
        sink.put(self.data.as_ref())
    }
}

/// Who pays for an operation of EntryPoint v0.6, and what it is given. Its gas is counted by the operation's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymasterV0_6<'a> {
    /// The paymaster. The zero address is none: the account pays.
    pub paymaster: Address,
    /// What it is given.
    pub data: &'a [u8],
}

impl<'a> PaymasterV0_6<'a> {
    pub(super) fn unpack(paymaster_and_data: &'a [u8]) -> Result<Option<Self>, UnpackError> {
        if paymaster_and_data.is_empty() {
            return Ok(None);
        }
        match paymaster_and_data.split_first_chunk::<20>() {
            Some((paymaster, data)) => Ok(Some(Self { paymaster: Address::new(*paymaster), data })),
            None => Err(UnpackError::Paymaster { len: paymaster_and_data.len(), least: 20 }),
        }
    }

    /// Whether the account pays all the same, since the paymaster is the zero address.
    pub fn account_pays(&self) -> bool {
        self.paymaster.is_zero()
    }
}

/// Encodes a paymaster's signature as the end of its data, where EntryPoint v0.9 leaves it out of the hash: so a
/// paymaster can sign after the account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymasterSignature<'a> {
    signature: &'a [u8],
    len: u16,
}

impl<'a> PaymasterSignature<'a> {
    /// A signature of 1 to 65535 bytes; none for any other.
    pub fn new(signature: &'a [u8]) -> Option<Self> {
        let len = u16::try_from(signature.len()).ok().filter(|len| *len > 0)?;
        Some(Self { signature, len })
    }
}

impl Encode for PaymasterSignature<'_> {
    fn encoded_len(&self) -> usize {
        self.signature.len() + SIGNATURE_SUFFIX
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.signature)?;
        sink.put(&self.len.to_be_bytes())?;
        sink.put(&SIGNATURE_MAGIC)
    }
}

/// What stands before the paymaster's data.
const PAYMASTER_HEAD: usize = 52;
/// The signature's length and the magic after it.
const SIGNATURE_SUFFIX: usize = 2 + SIGNATURE_MAGIC.len();
/// The start of keccak256("PaymasterSignature").
const SIGNATURE_MAGIC: [u8; 8] = [0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56];
/// The hash of `paymasterAndData` as an account signs it at EntryPoint v0.9.
pub(super) fn signed_paymaster_hash(head: &[u8], data: &[u8]) -> Result<B256, HashError> {
    Ok(match split_signature(data)? {
        (data, []) => hash_parts(&[head, data]),
        (data, _) => hash_parts(&[head, data, &SIGNATURE_MAGIC]),
    })
}

/// A paymaster's data without the signature at its end, and that signature. Where there is none or an empty one,
/// the data stays whole.
pub(super) fn split_signature(data: &[u8]) -> Result<(&[u8], &[u8]), HashError> {
    let announcement = data.strip_suffix(&SIGNATURE_MAGIC).and_then(|rest| rest.split_last_chunk());
    let Some((rest, announced)) = announcement else { return Ok((data, &[])) };
    match u16::from_be_bytes(*announced) {
        0 => Ok((data, &[])),
        announced => {
            let room = rest.len();
            let data_len = room.checked_sub(usize::from(announced));
            data_len
                .and_then(|len| rest.split_at_checked(len))
                .ok_or(HashError::PaymasterSignature { announced, room })
        }
    }
}

/// `paymasterAndData` before and from the paymaster's data.
pub(super) fn split_head(paymaster_and_data: &[u8]) -> (&[u8], &[u8]) {
    paymaster_and_data.split_at_checked(PAYMASTER_HEAD).unwrap_or((paymaster_and_data, &[]))
}
