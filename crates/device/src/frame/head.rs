//! An operation without its call data, as a frame carries it.

use alloy_primitives::U256;
use quorate_core::{Initialization, OperationHead, Paymaster, UnpackedUserOperation, UserOperation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(head: &OperationHead<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    Head::from(*head).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<OperationHead<'de>, D::Error> {
    Head::deserialize(deserializer).map(OperationHead::from)
}

/// An operation without its call data. Numbers are big-endian.
#[derive(Serialize, Deserialize)]
enum Head<'a> {
    #[serde(borrow)]
    V0_6(V0_6Frame<'a>),
    V0_7(UnpackedFrame<'a>),
    V0_8(UnpackedFrame<'a>),
    V0_9(UnpackedFrame<'a>),
}

/// The fields of EntryPoint v0.6.
#[derive(Serialize, Deserialize)]
struct V0_6Frame<'a> {
    sender: [u8; 20],
    nonce: [u8; 32],
    init_code: &'a [u8],
    call_gas_limit: [u8; 32],
    verification_gas_limit: [u8; 32],
    pre_verification_gas: [u8; 32],
    max_fee_per_gas: [u8; 32],
    max_priority_fee_per_gas: [u8; 32],
    paymaster_and_data: &'a [u8],
}

/// The fields of the later entry points.
#[derive(Serialize, Deserialize)]
struct UnpackedFrame<'a> {
    sender: [u8; 20],
    nonce: [u8; 32],
    #[serde(borrow)]
    init: InitializationFrame<'a>,
    call_gas_limit: u128,
    verification_gas_limit: u128,
    pre_verification_gas: [u8; 32],
    max_fee_per_gas: u128,
    max_priority_fee_per_gas: u128,
    paymaster: Option<PaymasterFrame<'a>>,
}

/// How the account comes to be.
#[derive(Serialize, Deserialize)]
enum InitializationFrame<'a> {
    Deployed,
    Factory { factory: [u8; 20], data: &'a [u8] },
    Delegated { delegate: [u8; 20], data: &'a [u8] },
}

/// Who pays, and what it is given.
#[derive(Serialize, Deserialize)]
struct PaymasterFrame<'a> {
    paymaster: [u8; 20],
    verification_gas_limit: u128,
    post_op_gas_limit: u128,
    data: &'a [u8],
}

impl<'a> From<OperationHead<'a>> for Head<'a> {
    fn from(head: OperationHead<'a>) -> Self {
        match head {
            OperationHead::V0_6(operation) => Self::V0_6(V0_6Frame {
                sender: operation.sender.into_array(),
                nonce: operation.nonce.to_be_bytes(),
                init_code: operation.init_code,
                call_gas_limit: operation.call_gas_limit.to_be_bytes(),
                verification_gas_limit: operation.verification_gas_limit.to_be_bytes(),
                pre_verification_gas: operation.pre_verification_gas.to_be_bytes(),
                max_fee_per_gas: operation.max_fee_per_gas.to_be_bytes(),
                max_priority_fee_per_gas: operation.max_priority_fee_per_gas.to_be_bytes(),
                paymaster_and_data: operation.paymaster_and_data,
            }),
            OperationHead::V0_7(operation) => Self::V0_7(operation.into()),
            OperationHead::V0_8(operation) => Self::V0_8(operation.into()),
            OperationHead::V0_9(operation) => Self::V0_9(operation.into()),
        }
    }
}

impl<'a> From<Head<'a>> for OperationHead<'a> {
    fn from(head: Head<'a>) -> Self {
        match head {
            Head::V0_6(frame) => Self::V0_6(UserOperation {
                sender: frame.sender.into(),
                nonce: U256::from_be_bytes(frame.nonce),
                init_code: frame.init_code,
                call_data: (),
                call_gas_limit: U256::from_be_bytes(frame.call_gas_limit),
                verification_gas_limit: U256::from_be_bytes(frame.verification_gas_limit),
                pre_verification_gas: U256::from_be_bytes(frame.pre_verification_gas),
                max_fee_per_gas: U256::from_be_bytes(frame.max_fee_per_gas),
                max_priority_fee_per_gas: U256::from_be_bytes(frame.max_priority_fee_per_gas),
                paymaster_and_data: frame.paymaster_and_data,
            }),
            Head::V0_7(frame) => Self::V0_7(frame.into()),
            Head::V0_8(frame) => Self::V0_8(frame.into()),
            Head::V0_9(frame) => Self::V0_9(frame.into()),
        }
    }
}

impl<'a> From<UnpackedUserOperation<&'a [u8], ()>> for UnpackedFrame<'a> {
    fn from(operation: UnpackedUserOperation<&'a [u8], ()>) -> Self {
        Self {
            sender: operation.sender.into_array(),
            nonce: operation.nonce.to_be_bytes(),
            init: match operation.init {
                Initialization::Deployed => InitializationFrame::Deployed,
                Initialization::Factory { factory, data } => {
                    InitializationFrame::Factory { factory: factory.into_array(), data }
                }
                Initialization::Delegated { delegate, data } => {
                    InitializationFrame::Delegated { delegate: delegate.into_array(), data }
                }
            },
            call_gas_limit: operation.call_gas_limit,
            verification_gas_limit: operation.verification_gas_limit,
            pre_verification_gas: operation.pre_verification_gas.to_be_bytes(),
            max_fee_per_gas: operation.max_fee_per_gas,
            max_priority_fee_per_gas: operation.max_priority_fee_per_gas,
            paymaster: operation.paymaster.map(|paymaster| PaymasterFrame {
                paymaster: paymaster.paymaster.into_array(),
                verification_gas_limit: paymaster.verification_gas_limit,
                post_op_gas_limit: paymaster.post_op_gas_limit,
                data: paymaster.data,
            }),
        }
    }
}

impl<'a> From<UnpackedFrame<'a>> for UnpackedUserOperation<&'a [u8], ()> {
    fn from(frame: UnpackedFrame<'a>) -> Self {
        Self {
            sender: frame.sender.into(),
            nonce: U256::from_be_bytes(frame.nonce),
            init: match frame.init {
                InitializationFrame::Deployed => Initialization::Deployed,
                InitializationFrame::Factory { factory, data } => {
                    Initialization::Factory { factory: factory.into(), data }
                }
                InitializationFrame::Delegated { delegate, data } => {
                    Initialization::Delegated { delegate: delegate.into(), data }
                }
            },
            call_data: (),
            call_gas_limit: frame.call_gas_limit,
            verification_gas_limit: frame.verification_gas_limit,
            pre_verification_gas: U256::from_be_bytes(frame.pre_verification_gas),
            max_fee_per_gas: frame.max_fee_per_gas,
            max_priority_fee_per_gas: frame.max_priority_fee_per_gas,
            paymaster: frame.paymaster.map(|paymaster| Paymaster {
                paymaster: paymaster.paymaster.into(),
                verification_gas_limit: paymaster.verification_gas_limit,
                post_op_gas_limit: paymaster.post_op_gas_limit,
                data: paymaster.data,
            }),
        }
    }
}
