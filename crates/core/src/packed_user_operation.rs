//! User operations of EntryPoint v0.7 and later, packed and unpacked, and their hashes.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, Keccak256, U256, keccak256};

use crate::{
    sink::{BufferFull, Encode, Sink},
    user_operation::{Hashed, bind_to_entry_point},
};

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

impl<B: AsRef<[u8]>, C: Hashed> PackedUserOperation<B, C> {
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
        Ok(typed_hash(self.words(hashes), entry_point, chain_id))
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
        Ok(typed_hash(self.words(hashes), entry_point, chain_id))
    }

    /// The operation with everything typed.
    ///
    /// `delegate` is as for [`hash_v0_8`](Self::hash_v0_8). An EIP-7702 marker whose last zeros are missing is packed
    /// again with them, which changes no hash from v0.8 on.
    ///
    /// # Errors
    /// [`UnpackError`] for bytes that the entry point would take for nothing.
    pub fn unpack(&self, delegate: Option<Address>) -> Result<UnpackedUserOperation<&[u8], &C>, UnpackError> {
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
        Ok(head.unpack_head(delegate)?.with_call_data(&self.call_data))
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
    /// [`UnpackError`] for bytes that the entry point would take for nothing.
    pub fn unpack_head(
        &self,
        delegate: Option<Address>,
    ) -> Result<UnpackedUserOperation<&'a [u8], ()>, UnpackError> {
        let (verification_gas_limit, call_gas_limit) = halves(self.account_gas_limits);
        let (max_priority_fee_per_gas, max_fee_per_gas) = halves(self.gas_fees);
        Ok(UnpackedUserOperation {
            sender: self.sender,
            nonce: self.nonce,
            init: Init::unpack(self.init_code, delegate)?,
            call_data: (),
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas: self.pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            paymaster: Paymaster::unpack(self.paymaster_and_data)?,
        })
    }
}

/// A user operation of EntryPoint v0.7 or later in the form that bundlers take, with everything typed, without its
/// signature.
///
/// ```
/// use quorate_core::{Address, Init, Paymaster, UnpackedUserOperation};
///
/// let operation = UnpackedUserOperation::<&[u8]> {
///     sender: Address::repeat_byte(1),
///     init: Init::Factory { factory: Address::repeat_byte(2), data: b"deploy" },
///     paymaster: Some(Paymaster { paymaster: Address::repeat_byte(3), ..Paymaster::default() }),
///     ..UnpackedUserOperation::default()
/// };
/// let (entry_point, chain_id) = (Address::repeat_byte(4), 1);
/// assert_ne!(operation.hash_v0_7(entry_point, chain_id), operation.hash_v0_8(entry_point, chain_id));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnpackedUserOperation<B, C = B> {
    /// The account that acts.
    pub sender: Address,
    /// The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    pub nonce: U256,
    /// How the account comes to be, where it is not there.
    pub init: Init<B>,
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
    /// Who pays, where it is not the account.
    pub paymaster: Option<Paymaster<B>>,
}

impl<B: AsRef<[u8]>, C: Hashed> UnpackedUserOperation<B, C> {
    /// The hash at EntryPoint v0.7.
    pub fn hash_v0_7(&self, entry_point: Address, chain_id: u64) -> B256 {
        let hashes = (hash_of(&self.init), self.paymaster_hash());
        hash_v0_7(self.words(hashes), entry_point, chain_id)
    }

    /// The hash at EntryPoint v0.8, EIP-712 typed data.
    pub fn hash_v0_8(&self, entry_point: Address, chain_id: u64) -> B256 {
        let hashes = (self.init.signed_hash(), self.paymaster_hash());
        typed_hash(self.words(hashes), entry_point, chain_id)
    }

    /// The hash at EntryPoint v0.9: as v0.8, without the signature that the paymaster's data may end in.
    ///
    /// # Errors
    /// [`HashError::PaymasterSignature`] where that would start before the data does.
    pub fn hash_v0_9(&self, entry_point: Address, chain_id: u64) -> Result<B256, HashError> {
        let paymaster = match &self.paymaster {
            Some(paymaster) => signed_paymaster_hash(&paymaster.head(), paymaster.data.as_ref())?,
            None => KECCAK256_EMPTY,
        };
        Ok(typed_hash(self.words((self.init.signed_hash(), paymaster)), entry_point, chain_id))
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

/// How an account comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Init<B> {
    /// It is there.
    #[default]
    Deployed,
    /// A factory deploys it.
    Factory {
        /// The factory.
        factory: Address,
        /// What the factory is called with.
        data: B,
    },
    /// The sender is an externally owned account that has delegated its code (EIP-7702).
    Delegated {
        /// The contract whose code it runs, which stands in no field of the operation but is covered by its hash.
        delegate: Address,
        /// What the account is called with before its first operation; mostly empty.
        data: B,
    },
}

impl<'a> Init<&'a [u8]> {
    fn unpack(init_code: &'a [u8], delegate: Option<Address>) -> Result<Self, UnpackError> {
        if init_code.is_empty() {
            return Ok(Self::Deployed);
        }
        if let Some(data) = delegated(init_code) {
            let delegate = delegate.ok_or(UnpackError::NoDelegate)?;
            return Ok(Self::Delegated { delegate, data });
        }
        match init_code.split_first_chunk::<20>() {
            Some((factory, data)) => Ok(Self::Factory { factory: Address::from(*factory), data }),
            None => Err(UnpackError::InitCode { len: init_code.len() }),
        }
    }
}

impl<B: AsRef<[u8]>> Init<B> {
    /// The hash of what the entry point puts in the place of the marker from v0.8 on.
    fn signed_hash(&self) -> B256 {
        match self {
            Self::Delegated { delegate, data } => hash_parts(&[delegate.as_slice(), data.as_ref()]),
            Self::Deployed | Self::Factory { .. } => hash_of(self),
        }
    }
}

/// The packed `initCode`.
impl<B: AsRef<[u8]>> Encode for Init<B> {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Deployed => 0,
            Self::Factory { data, .. } | Self::Delegated { data, .. } => 20 + data.as_ref().len(),
        }
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let (address, data) = match self {
            Self::Deployed => return Ok(()),
            Self::Factory { factory, data } => (factory.into_array(), data),
            Self::Delegated { data, .. } => (EIP_7702_MARKER, data),
        };
        sink.put(&address)?;
        sink.put(data.as_ref())
    }
}

/// Who pays for an operation, and what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paymaster<B> {
    /// The paymaster.
    pub paymaster: Address,
    /// The gas of its validation.
    pub verification_gas_limit: u128,
    /// The gas of its `postOp`.
    pub post_op_gas_limit: u128,
    /// What it is given. At EntryPoint v0.9 it may end in a [`PaymasterSignature`].
    pub data: B,
}

impl<'a> Paymaster<&'a [u8]> {
    fn unpack(paymaster_and_data: &'a [u8]) -> Result<Option<Self>, UnpackError> {
        if paymaster_and_data.is_empty() {
            return Ok(None);
        }
        if let Some((paymaster, rest)) = paymaster_and_data.split_first_chunk()
            && let Some((verification_gas_limit, rest)) = rest.split_first_chunk()
            && let Some((post_op_gas_limit, data)) = rest.split_first_chunk()
        {
            return Ok(Some(Self {
                paymaster: Address::new(*paymaster),
                verification_gas_limit: u128::from_be_bytes(*verification_gas_limit),
                post_op_gas_limit: u128::from_be_bytes(*post_op_gas_limit),
                data,
            }));
        }
        Err(UnpackError::Paymaster { len: paymaster_and_data.len() })
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

    fn head(&self) -> [u8; PAYMASTER_HEAD] {
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

/// Why a packed operation cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Too short for a factory.
    #[error("initCode: it starts with a factory of 20 bytes or is empty, this has {len} bytes")]
    InitCode {
        /// The number of bytes found.
        len: usize,
    },
    /// The EIP-7702 marker, without the delegate.
    #[error("initCode: it has the EIP-7702 marker 0x7702; give the address of the account's delegate")]
    NoDelegate,
    /// Too short for a paymaster and its gas limits.
    #[error(
        "paymasterAndData: it starts with 52 bytes of paymaster and gas limits or is empty, this has {len} bytes"
    )]
    Paymaster {
        /// The number of bytes found.
        len: usize,
    },
}

/// What the hashes of all versions cover: sender, nonce, the hashes of initCode and call data, gas limits,
/// pre-verification gas, fees, the hash of the paymaster's part.
type Words = [[u8; 32]; 8];

/// What stands before the paymaster's data.
const PAYMASTER_HEAD: usize = 52;
/// The signature's length and the magic after it.
const SIGNATURE_SUFFIX: usize = 2 + SIGNATURE_MAGIC.len();
/// The start of keccak256("PaymasterSignature").
const SIGNATURE_MAGIC: [u8; 8] = [0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56];
/// Stands where a factory would.
const EIP_7702_MARKER: [u8; 20] = {
    let mut marker = [0; 20];
    marker[0] = 0x77;
    marker[1] = 0x02;
    marker
};

fn hash_v0_7(words: Words, entry_point: Address, chain_id: u64) -> B256 {
    bind_to_entry_point(keccak256(words.as_flattened()), entry_point, chain_id)
}

/// Source: EIP-712, with the domain and type of EntryPoint v0.8.
fn typed_hash(words: Words, entry_point: Address, chain_id: u64) -> B256 {
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

fn packed_init_hash(init_code: &[u8], delegate: Option<Address>) -> Result<B256, HashError> {
    match delegated(init_code) {
        Some(data) => {
            Ok(Init::Delegated { delegate: delegate.ok_or(HashError::NoDelegate)?, data }.signed_hash())
        }
        None => Ok(init_code.keccak256()),
    }
}

/// What follows the EIP-7702 marker, if `init_code` starts with it. Zeros at the marker's end may be missing.
fn delegated(init_code: &[u8]) -> Option<&[u8]> {
    let (start, data) = init_code.split_at_checked(20).unwrap_or((init_code, &[]));
    (start.len() >= 2 && EIP_7702_MARKER.starts_with(start)).then_some(data)
}

/// The hash of `paymasterAndData` as an account signs it at EntryPoint v0.9.
fn signed_paymaster_hash(head: &[u8], data: &[u8]) -> Result<B256, HashError> {
    Ok(match split_signature(data)? {
        (data, []) => hash_parts(&[head, data]),
        (data, _) => hash_parts(&[head, data, &SIGNATURE_MAGIC]),
    })
}

/// A paymaster's data without the signature at its end, and that signature. Where there is none or an empty one,
/// the data stays whole.
fn split_signature(data: &[u8]) -> Result<(&[u8], &[u8]), HashError> {
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
fn split_head(paymaster_and_data: &[u8]) -> (&[u8], &[u8]) {
    paymaster_and_data.split_at_checked(PAYMASTER_HEAD).unwrap_or((paymaster_and_data, &[]))
}

fn hash_of(value: &impl Encode) -> B256 {
    let mut hasher = Keccak256::new();
    match value.write_to(&mut hasher) {
        Ok(()) => hasher.finalize(),
        Err(BufferFull) => unreachable!("a hasher takes any number of bytes"),
    }
}

fn hash_parts(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Two 128-bit numbers in one word.
fn joined(high: u128, low: u128) -> B256 {
    let numbers: [[u8; 16]; 2] = [high.to_be_bytes(), low.to_be_bytes()];
    B256::from_slice(numbers.as_flattened())
}

fn halves(word: B256) -> (u128, u128) {
    let number = U256::from_be_bytes(word.0);
    ((number >> 128_usize).to::<u128>(), (number & U256::from(u128::MAX)).to::<u128>())
}
