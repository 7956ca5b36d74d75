//! What host and device say to each other.

use alloy_primitives::U256;
use quorate_core::{
    Initialization, OperationHead, Paymaster, SessionEpoch, SessionLeaf, UnpackedUserOperation, UserOperation,
};
use serde::{Deserialize, Serialize};

/// What the host sends.
///
/// To have an operation signed: `Begin`, each `Session` of a grant, the `CallData` in pieces, `End`. Each is answered
/// by `Ready`, with the screen's lines before it, or by `Refused`, which ends the request. After the answer to `End`
/// the device waits for its button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "without a heap there is nowhere to put the large one")]
pub enum ToDevice<'a> {
    /// Asks whose signatures the device makes.
    Address,
    /// Starts a request.
    Begin {
        /// The entry point.
        entry_point: [u8; 20],
        /// The chain.
        chain_id: u64,
        /// The operation without its call data.
        #[serde(borrow)]
        head: Head<'a>,
    },
    /// The next session that the account is to have.
    Session {
        /// The first second, 0 for none.
        valid_after: u64,
        /// The last second, 0 for none.
        valid_until: u64,
        /// The session validation module.
        validation_module: [u8; 20],
        /// What it is given.
        session_key_data: &'a [u8],
    },
    /// The next piece of the call data.
    CallData(&'a [u8]),
    /// All of it was sent.
    End,
    /// The button: yes. On a device with a button of its own this frame does not exist.
    Approve,
    /// The button: no.
    Reject,
}

/// What the device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDevice<'a> {
    /// Whose signatures it makes.
    Address([u8; 20]),
    /// A line on its screen.
    Line(&'a str),
    /// It has taken the frame.
    Ready,
    /// The operation's hash; the device waits for its button.
    Approval([u8; 32]),
    /// r ‖ s ‖ v over the EIP-191 digest of the hash, v 27 or 28, low s.
    Signature(&'a [u8]),
    /// It signs nothing, and why.
    Refused(&'a str),
}

/// An operation without its call data. Numbers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Head<'a> {
    #[serde(borrow)]
    V0_6(V0_6Frame<'a>),
    V0_7(UnpackedFrame<'a>),
    V0_8(UnpackedFrame<'a>),
    V0_9(UnpackedFrame<'a>),
}

/// The fields of EntryPoint v0.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the operation's")]
pub struct V0_6Frame<'a> {
    pub sender: [u8; 20],
    pub nonce: [u8; 32],
    pub init_code: &'a [u8],
    pub call_gas_limit: [u8; 32],
    pub verification_gas_limit: [u8; 32],
    pub pre_verification_gas: [u8; 32],
    pub max_fee_per_gas: [u8; 32],
    pub max_priority_fee_per_gas: [u8; 32],
    pub paymaster_and_data: &'a [u8],
}

/// The fields of the later entry points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the operation's")]
pub struct UnpackedFrame<'a> {
    pub sender: [u8; 20],
    pub nonce: [u8; 32],
    #[serde(borrow)]
    pub init: InitializationFrame<'a>,
    pub call_gas_limit: u128,
    pub verification_gas_limit: u128,
    pub pre_verification_gas: [u8; 32],
    pub max_fee_per_gas: u128,
    pub max_priority_fee_per_gas: u128,
    pub paymaster: Option<PaymasterFrame<'a>>,
}

/// How the account comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in quorate_core::Initialization")]
pub enum InitializationFrame<'a> {
    Deployed,
    Factory { factory: [u8; 20], data: &'a [u8] },
    Delegated { delegate: [u8; 20], data: &'a [u8] },
}

/// Who pays, and what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in quorate_core::Paymaster")]
pub struct PaymasterFrame<'a> {
    pub paymaster: [u8; 20],
    pub verification_gas_limit: u128,
    pub post_op_gas_limit: u128,
    pub data: &'a [u8],
}

impl<'a> ToDevice<'a> {
    /// The frame for a session.
    pub fn session(leaf: &SessionLeaf<'a>) -> Self {
        Self::Session {
            valid_after: leaf.epoch.valid_after(),
            valid_until: leaf.epoch.valid_until(),
            validation_module: leaf.validation_module.into_array(),
            session_key_data: leaf.session_key_data,
        }
    }
}

/// Reads the session of a frame; `None` for times of more than 48 bits.
pub(crate) fn session_leaf<'a>(
    valid_after: u64,
    valid_until: u64,
    validation_module: [u8; 20],
    session_key_data: &'a [u8],
) -> Option<SessionLeaf<'a>> {
    let epoch = SessionEpoch::new(valid_after, valid_until).ok()?;
    Some(SessionLeaf { epoch, validation_module: validation_module.into(), session_key_data })
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

/// The longest frame in bytes, COBS and the zero at its end included.
pub const MAX_FRAME: usize = 1024;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More bytes than a frame may have.
    #[error("a frame has more than {MAX_FRAME} bytes")]
    TooLong,
    /// Not the postcard of a frame in COBS.
    #[error("a frame cannot be read")]
    Malformed,
}

/// Writes a frame into `buffer`, and gives the bytes to send.
///
/// # Errors
/// [`FrameError::TooLong`] where the buffer is too short.
pub fn encode<'b>(frame: &impl Serialize, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
    postcard::to_slice_cobs(frame, buffer).map(|bytes| &*bytes).map_err(|_| FrameError::TooLong)
}

/// The bytes of one frame as they arrive.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: heapless::Vec<u8, MAX_FRAME>,
    overlong: bool,
}

impl FrameBuffer {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: heapless::Vec::new(), overlong: false }
    }

    /// Takes the next byte, and says whether it was a frame's last.
    pub fn push(&mut self, byte: u8) -> bool {
        self.overlong |= self.bytes.push(byte).is_err();
        byte == 0
    }

    /// Starts over, for the next frame.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.overlong = false;
    }

    /// Reads the frame, which borrows from the buffer. It can be read once.
    ///
    /// # Errors
    /// [`FrameError`] for bytes that are no frame.
    pub fn decode<'b, T: Deserialize<'b>>(&'b mut self) -> Result<T, FrameError> {
        if self.overlong {
            return Err(FrameError::TooLong);
        }
        postcard::from_bytes_cobs(&mut self.bytes).map_err(|_| FrameError::Malformed)
    }
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::new()
    }
}
