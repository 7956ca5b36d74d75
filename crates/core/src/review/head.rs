//! Who acts, where, and who pays how much.

use alloy_primitives::{Address, U256};

use super::{
    error::ReviewError,
    gas::{Gas, narrow},
    item::Value,
    items::Items,
    label::Label,
};
use crate::{
    lint::severity::Severity,
    operation::{
        HashError,
        entry_point::EntryPointVersion,
        hashed_head::HashedHead,
        initialization::Initialization,
        packed::{PackedUserOperation, UnpackError},
        paymaster::Paymaster,
        unpacked::UnpackedUserOperation,
        v0_6::{CallDataDigest as _, Digest, UserOperation},
    },
    trusted::{ContractRole, TrustedContext},
};

/// Where an operation is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The entry point.
    pub entry_point: Address,
    /// The chain.
    pub chain_id: u64,
}

/// A user operation of some entry point, all but its call data, which comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum OperationHead<'a> {
    V0_6(UserOperation<&'a [u8], ()>),
    V0_7(UnpackedUserOperation<&'a [u8], ()>),
    V0_8(UnpackedUserOperation<&'a [u8], ()>),
    V0_9(UnpackedUserOperation<&'a [u8], ()>),
}

impl<'a> OperationHead<'a> {
    /// An operation of EntryPoint v0.7 or later as the contract takes it.
    ///
    /// `delegate` is the contract whose code an EIP-7702 account runs: it is needed where `initCode` has that marker, which
    /// means something from v0.8 on.
    ///
    /// # Errors
    /// [`UnpackError`] for bytes that the entry point would take for nothing.
    pub fn unpack(
        version: EntryPointVersion,
        packed: &PackedUserOperation<&'a [u8], ()>,
        delegate: Option<Address>,
    ) -> Result<Self, UnpackError> {
        let operation = packed.unpack_head(version, delegate)?;
        Ok(match version {
            EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => Self::V0_7(operation),
            EntryPointVersion::V0_8 => Self::V0_8(operation),
            EntryPointVersion::V0_9 => Self::V0_9(operation),
        })
    }

    /// The account that acts.
    pub const fn sender(&self) -> Address {
        match self {
            Self::V0_6(operation) => operation.sender,
            Self::V0_7(operation) | Self::V0_8(operation) | Self::V0_9(operation) => operation.sender,
        }
    }

    /// The version of the entry point that takes it.
    pub const fn version(&self) -> EntryPointVersion {
        match self {
            Self::V0_6(_) => EntryPointVersion::V0_6,
            Self::V0_7(_) => EntryPointVersion::V0_7,
            Self::V0_8(_) => EntryPointVersion::V0_8,
            Self::V0_9(_) => EntryPointVersion::V0_9,
        }
    }

    /// The operation's hash with the digest of its call data.
    ///
    /// # Errors
    /// An operation that has no hash at its entry point.
    pub fn hash(&self, call_data: Digest, domain: Domain) -> Result<alloy_primitives::B256, HashError> {
        Ok(self.hashed()?.finish(&call_data.0, domain.entry_point, domain.chain_id))
    }

    pub(super) fn hashed(&self) -> Result<HashedHead, HashError> {
        match self {
            Self::V0_6(operation) => Ok(HashedHead::v0_6(operation)),
            Self::V0_7(operation) | Self::V0_8(operation) | Self::V0_9(operation) => {
                HashedHead::packed(self.version(), operation)
            }
        }
    }
}

/// Shows an operation but for its call data.
pub(super) fn show_head(
    items: &mut Items<'_>,
    trusted: &TrustedContext<'_>,
    domain: Domain,
    head: &OperationHead<'_>,
) -> Result<(), ReviewError> {
    items.address(Label::Account, &head.sender());
    items.number(Label::Chain, &U256::from(domain.chain_id));
    show_entry_point(items, trusted, domain.entry_point, head.version())?;
    match head {
        OperationHead::V0_6(operation) => show_v0_6(items, operation),
        OperationHead::V0_7(operation) | OperationHead::V0_8(operation) | OperationHead::V0_9(operation) => {
            show_unpacked(items, operation, head.version())
        }
    }
}

fn show_entry_point(
    items: &mut Items<'_>,
    trusted: &TrustedContext<'_>,
    address: Address,
    version: EntryPointVersion,
) -> Result<(), ReviewError> {
    let (label, severity) = match trusted.role(address) {
        Some(ContractRole::EntryPoint(known)) if known != version => {
            return Err(ReviewError::OtherEntryPoint { given: version, known });
        }
        Some(ContractRole::EntryPoint(_)) => (Label::EntryPoint, Severity::Info),
        _ => (Label::UnknownEntryPoint, Severity::Warning),
    };
    items.with_severity(severity).put(label, Value::EntryPoint { version, address });
    Ok(())
}

fn show_v0_6(items: &mut Items<'_>, operation: &UserOperation<&[u8], ()>) -> Result<(), ReviewError> {
    items.put(Label::Nonce, Value::Hex(operation.nonce));
    show_initialization(items, &operation.initialization()?);
    let paymaster = operation.paymaster()?;
    let pays = paymaster.as_ref().is_some_and(|paymaster| !paymaster.account_pays());
    let numbers = [
        &operation.max_fee_per_gas,
        &operation.max_priority_fee_per_gas,
        &operation.call_gas_limit,
        &operation.verification_gas_limit,
        &operation.pre_verification_gas,
        &U256::ZERO,
        &U256::ZERO,
    ];
    let gas = Gas { numbers: numbers.map(narrow), has_paymaster: false, verifies_thrice: pays };
    gas.show(items)?;
    show_payer(items, paymaster.map(|it| (it.paymaster, it.data)), 0);
    Ok(())
}

fn show_unpacked(
    items: &mut Items<'_>,
    operation: &UnpackedUserOperation<&[u8], ()>,
    version: EntryPointVersion,
) -> Result<(), ReviewError> {
    items.put(Label::Nonce, Value::Hex(operation.nonce));
    show_initialization(items, &operation.init);
    let paymaster = operation.paymaster.as_ref();
    let numbers = [
        operation.max_fee_per_gas,
        operation.max_priority_fee_per_gas,
        operation.call_gas_limit,
        operation.verification_gas_limit,
        narrow(&operation.pre_verification_gas),
        paymaster.map_or(0, |paymaster| paymaster.verification_gas_limit),
        paymaster.map_or(0, |paymaster| paymaster.post_op_gas_limit),
    ];
    let gas = Gas { numbers, has_paymaster: paymaster.is_some(), verifies_thrice: false };
    gas.show(items)?;
    let Some(paymaster) = paymaster else {
        show_payer(items, None, 0);
        return Ok(());
    };
    if paymaster.account_pays() && version >= EntryPointVersion::V0_8 {
        return Err(UnpackError::ZeroPaymaster.into());
    }
    let (data, unsigned) = signed_part(paymaster, version)?;
    show_payer(items, Some((paymaster.paymaster, data)), unsigned);
    Ok(())
}

/// What of a paymaster's data is signed, and the length of what is not.
fn signed_part<'p>(
    paymaster: &'p Paymaster<&[u8]>,
    version: EntryPointVersion,
) -> Result<(&'p [u8], usize), ReviewError> {
    if version < EntryPointVersion::V0_9 {
        return Ok((paymaster.data, 0));
    }
    let (data, signature) = paymaster.split_signature()?;
    Ok((data, signature.len()))
}

fn show_initialization(items: &mut Items<'_>, initialization: &Initialization<&[u8]>) {
    match initialization {
        Initialization::Deployed => {}
        Initialization::Factory { factory, data } => {
            items.address(Label::Factory, factory);
            items.bytes(Label::FactoryData, data);
        }
        Initialization::Delegated { delegate, data } => {
            items.with_severity(Severity::Warning).address(Label::Delegate, delegate);
            items.bytes(Label::DelegateData, data);
        }
    }
}

/// Where the paymaster is the zero address, entry points that take that have the account pay.
fn show_payer(items: &mut Items<'_>, paymaster: Option<(Address, &[u8])>, unsigned: usize) {
    match paymaster {
        None => items.label(Label::PaidByAccount),
        Some((paymaster, data)) if paymaster.is_zero() => {
            items.label(Label::PaidByAccount);
            items.bytes(Label::IgnoredPaymasterData, data);
        }
        Some((paymaster, data)) => {
            items.address(Label::Paymaster, &paymaster);
            items.bytes(Label::PaymasterData, data);
            if unsigned > 0 {
                items.number(Label::UnsignedPaymasterBytes, &U256::from(unsigned));
            }
        }
    }
}

pub(super) fn bytes(bytes: &[u8]) -> Value<'static> {
    Value::Bytes { len: bytes.len() as u64, digest: bytes.keccak256() }
}
