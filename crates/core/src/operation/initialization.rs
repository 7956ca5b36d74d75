//! How an account comes to be.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY};

use super::{
    entry_point::EntryPointVersion, packed::UnpackError, typed_hash::HashError, v0_6::CallDataDigest as _,
};
use crate::keccak::hash_parts;
use crate::sink::{BufferFull, Encode, Sink};

/// How an account comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initialization<B> {
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
    /// The sender is an externally owned account that has delegated its code (EIP-7702); from EntryPoint v0.8 on.
    Delegated {
        /// The contract whose code it runs, which stands in no field of the operation but is covered by its hash.
        delegate: Address,
        /// What the account is called with before its first operation; mostly empty.
        data: B,
    },
}

impl<'a> Initialization<&'a [u8]> {
    pub(super) fn unpack(
        init_code: &'a [u8],
        version: EntryPointVersion,
        delegate: Option<Address>,
    ) -> Result<Self, UnpackError> {
        if init_code.is_empty() {
            return Ok(Self::Deployed);
        }
        if version.knows_delegates()
            && let Some(data) = delegated(init_code)
        {
            let delegate = delegate.ok_or(HashError::NoDelegate)?;
            return Ok(Self::Delegated { delegate, data });
        }
        match init_code.split_first_chunk::<20>() {
            Some((factory, data)) => Ok(Self::Factory { factory: Address::from(*factory), data }),
            None => Err(UnpackError::InitCode { len: init_code.len() }),
        }
    }
}

impl<B: AsRef<[u8]>> Initialization<B> {
    /// The hash at v0.7, where no marker stands for a delegate.
    pub(super) fn hash_v0_7(&self) -> Result<B256, HashError> {
        match self {
            Self::Delegated { .. } => Err(HashError::DelegatedAtV0_7),
            Self::Deployed | Self::Factory { .. } => Ok(self.signed_hash()),
        }
    }

    /// The hash of what the entry point puts in the place of the marker from v0.8 on.
    pub(super) fn signed_hash(&self) -> B256 {
        match self {
            Self::Deployed => KECCAK256_EMPTY,
            Self::Factory { factory: address, data } | Self::Delegated { delegate: address, data } => {
                hash_parts(&[address.as_slice(), data.as_ref()])
            }
        }
    }
}

/// The packed `initCode`.
impl<B: AsRef<[u8]>> Encode for Initialization<B> {
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

/// Stands where a factory would.
const EIP_7702_MARKER: [u8; 20] = {
    let mut marker = [0; 20];
    marker[0] = 0x77;
    marker[1] = 0x02;
    marker
};

pub(super) fn packed_init_hash(init_code: &[u8], delegate: Option<Address>) -> Result<B256, HashError> {
    match delegated(init_code) {
        Some(data) => {
            Ok(Initialization::Delegated { delegate: delegate.ok_or(HashError::NoDelegate)?, data }
                .signed_hash())
        }
        None => Ok(init_code.keccak256()),
    }
}

/// What follows the EIP-7702 marker, if `init_code` starts with it. Zeros at the marker's end may be missing.
pub(super) fn delegated(init_code: &[u8]) -> Option<&[u8]> {
    let (start, data) = init_code.split_at_checked(20).unwrap_or((init_code, &[]));
    (start.len() >= 2 && EIP_7702_MARKER.starts_with(start)).then_some(data)
}
