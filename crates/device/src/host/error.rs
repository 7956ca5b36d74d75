//! Why a device gives no signature.

use std::string::String;

use quorate_core::{Address, B256, HashError, delegation::ContextError};

use crate::frame::FrameError;

/// Why a device gives no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The stream to the device.
    #[error("the connection to the device broke")]
    Connection(#[from] std::io::Error),
    /// The device did not answer in time. The request is given up.
    #[error("the device did not answer in time, while {doing}")]
    Deadline {
        /// What the host waited for.
        doing: &'static str,
    },
    /// A part of the request that no frame can carry. Nothing was sent.
    #[error("{what} does not fit into a frame")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Why.
        source: FrameError,
    },
    /// An operation that its entry point would not take. Nothing was sent.
    #[error("the operation has no hash at its entry point")]
    Hash(#[from] HashError),
    /// An answer to something else.
    #[error("the device answers something else than it was asked")]
    Unexpected,
    /// The device refuses, or the person in front of it does.
    #[error("the device refuses: {reason}")]
    Refused {
        /// Why, in the device's words.
        reason: String,
    },
    /// The device shows another hash than was to be signed. The request is given up.
    #[error("the device reviewed an operation with hash {reviewed}, but {asked} was to be signed")]
    OtherHash {
        /// The device's.
        reviewed: B256,
        /// The caller's.
        asked: B256,
    },
    /// Bytes that are no delegations, or a delegation over the bounds of the core. Nothing was sent.
    #[error("the delegation is none that a device can read")]
    Delegation(#[from] ContextError),
    /// Not one delegation, but several. Nothing was sent.
    #[error("a device signs one delegation at a time, not {found}")]
    NotOneDelegation {
        /// How many.
        found: usize,
    },
    /// Typed data that is neither a request for a distributed key nor a delegation.
    #[error("the device signs no typed data but requests for distributed keys and delegations")]
    OtherTypedData,
    /// A signature that is not the device's over what was to be signed.
    #[error("the device's signature is not one of {address}'s over what was to be signed")]
    Unverified {
        /// Whose it should be.
        address: Address,
    },
}
