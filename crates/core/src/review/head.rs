//! Who acts, where, and who pays how much.

use alloy_primitives::{Address, U256};

use super::{
    error::ReviewError,
    item::{Item, NotShown, Show, Value},
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
        Ok(self.hashed()?.finish(call_data, domain.entry_point, domain.chain_id))
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

/// Gas limits with what they are.
type Gas<'a> = &'a [(Label, U256)];

/// Shows an operation but for its call data.
pub(super) fn show_head(
    show: &mut dyn Show,
    trusted: &TrustedContext<'_>,
    domain: Domain,
    head: &OperationHead<'_>,
) -> Result<(), ReviewError> {
    show.show(&Item::new(Label::Account, Value::Address(head.sender())))?;
    show.show(&Item::new(Label::Chain, Value::Number(U256::from(domain.chain_id))))?;
    show_entry_point(show, trusted, domain.entry_point, head.version())?;
    match head {
        OperationHead::V0_6(operation) => show_v0_6(show, operation),
        OperationHead::V0_7(operation) | OperationHead::V0_8(operation) | OperationHead::V0_9(operation) => {
            show_unpacked(show, operation, head.version())
        }
    }
}

fn show_entry_point(
    show: &mut dyn Show,
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
    let item = Item::new(label, Value::EntryPoint { version, address });
    Ok(show.show(&item.with_severity(severity))?)
}

fn show_v0_6(show: &mut dyn Show, operation: &UserOperation<&[u8], ()>) -> Result<(), ReviewError> {
    show.show(&Item::new(Label::Nonce, Value::Hex(operation.nonce)))?;
    show_initialization(show, &operation.initialization()?)?;
    let paymaster = operation.paymaster()?;
    let pays = paymaster.as_ref().is_some_and(|paymaster| !paymaster.account_pays());
    let validations = U256::from(if pays { 3 } else { 1 });
    let most = operation
        .call_gas_limit
        .saturating_add(operation.verification_gas_limit.saturating_mul(validations))
        .saturating_add(operation.pre_verification_gas);
    let gas = [
        (Label::CallGas, operation.call_gas_limit),
        (Label::VerificationGas, operation.verification_gas_limit),
        (Label::PreVerificationGas, operation.pre_verification_gas),
    ];
    show_fees(show, most, operation.max_fee_per_gas, operation.max_priority_fee_per_gas, &gas)?;
    Ok(show_payer(show, paymaster.map(|it| (it.paymaster, it.data)), None)?)
}

fn show_unpacked(
    show: &mut dyn Show,
    operation: &UnpackedUserOperation<&[u8], ()>,
    version: EntryPointVersion,
) -> Result<(), ReviewError> {
    show.show(&Item::new(Label::Nonce, Value::Hex(operation.nonce)))?;
    show_initialization(show, &operation.init)?;
    let (verification, post_op) = operation
        .paymaster
        .as_ref()
        .map_or((0, 0), |paymaster| (paymaster.verification_gas_limit, paymaster.post_op_gas_limit));
    let gas = [
        (Label::CallGas, U256::from(operation.call_gas_limit)),
        (Label::VerificationGas, U256::from(operation.verification_gas_limit)),
        (Label::PreVerificationGas, operation.pre_verification_gas),
        (Label::PaymasterVerificationGas, U256::from(verification)),
        (Label::PostOpGas, U256::from(post_op)),
    ];
    let most = gas.iter().fold(U256::ZERO, |sum, (_, limit)| sum.saturating_add(*limit));
    let shown = gas.get(..if operation.paymaster.is_some() { 5 } else { 3 }).unwrap_or(&gas);
    let (fee, priority_fee) =
        (U256::from(operation.max_fee_per_gas), U256::from(operation.max_priority_fee_per_gas));
    show_fees(show, most, fee, priority_fee, shown)?;
    let Some(paymaster) = &operation.paymaster else { return Ok(show_payer(show, None, None)?) };
    if paymaster.account_pays() && version >= EntryPointVersion::V0_8 {
        return Err(UnpackError::ZeroPaymaster.into());
    }
    let (data, signature) = signed_part(paymaster, version)?;
    Ok(show_payer(show, Some((paymaster.paymaster, data)), signature)?)
}

/// What of a paymaster's data is signed, and the length of what is not.
fn signed_part<'p>(
    paymaster: &'p Paymaster<&[u8]>,
    version: EntryPointVersion,
) -> Result<(&'p [u8], Option<usize>), ReviewError> {
    if version < EntryPointVersion::V0_9 {
        return Ok((paymaster.data, None));
    }
    let (data, signature) = paymaster.split_signature()?;
    Ok((data, (!signature.is_empty()).then_some(signature.len())))
}

fn show_initialization(show: &mut dyn Show, initialization: &Initialization<&[u8]>) -> Result<(), NotShown> {
    match *initialization {
        Initialization::Deployed => Ok(()),
        Initialization::Factory { factory, data } => {
            show.show(&Item::new(Label::Factory, Value::Address(factory)))?;
            show.show(&Item::new(Label::FactoryData, bytes(data)))
        }
        Initialization::Delegated { delegate, data } => {
            let runs = Item::new(Label::Delegate, Value::Address(delegate));
            show.show(&runs.with_severity(Severity::Warning))?;
            show.show(&Item::new(Label::DelegateData, bytes(data)))
        }
    }
}

fn show_fees(
    show: &mut dyn Show,
    most_gas: U256,
    max_fee_per_gas: U256,
    max_priority_fee_per_gas: U256,
    gas: Gas<'_>,
) -> Result<(), ReviewError> {
    let mut numbers = gas.iter().map(|(_, limit)| *limit).chain([max_fee_per_gas, max_priority_fee_per_gas]);
    if numbers.any(|number| number.bit_len() > 120) {
        return Err(ReviewError::GasOverflow);
    }
    show.show(&Item::new(Label::Fees, Value::Coin(most_gas.saturating_mul(max_fee_per_gas))))?;
    show.show(&Item::new(Label::MaxFeePerGas, Value::Coin(max_fee_per_gas)))?;
    show.show(&Item::new(Label::MaxPriorityFeePerGas, Value::Coin(max_priority_fee_per_gas)))?;
    let mut gas = gas.iter().map(|(label, limit)| Item::new(*label, Value::Number(*limit)));
    Ok(gas.try_for_each(|limit| show.show(&limit))?)
}

/// Where the paymaster is the zero address, entry points that take that have the account pay.
fn show_payer(
    show: &mut dyn Show,
    paymaster: Option<(Address, &[u8])>,
    unsigned: Option<usize>,
) -> Result<(), NotShown> {
    let Some((paymaster, data)) = paymaster else {
        return show.show(&Item::new(Label::PaidByAccount, Value::None));
    };
    if paymaster.is_zero() {
        show.show(&Item::new(Label::PaidByAccount, Value::None))?;
        return show.show(&Item::new(Label::IgnoredPaymasterData, bytes(data)));
    }
    show.show(&Item::new(Label::Paymaster, Value::Address(paymaster)))?;
    show.show(&Item::new(Label::PaymasterData, bytes(data)))?;
    match unsigned {
        Some(len) => show.show(&Item::new(Label::UnsignedPaymasterBytes, Value::Number(U256::from(len)))),
        None => Ok(()),
    }
}

pub(super) fn bytes(bytes: &[u8]) -> Value<'static> {
    Value::Bytes { len: bytes.len() as u64, digest: bytes.keccak256() }
}
