//! What host and device say to each other.

mod codec;
mod head;
mod reader;
mod writer;

use quorate_core::{Address, B256, Domain, OperationHead, SessionEpoch, SessionLeaf};
use serde::{Deserialize, Serialize};

#[cfg(feature = "use")]
pub(crate) use self::reader::read_message;
pub use self::{
    codec::{FrameBuffer, FrameError, MAX_FRAME, encode},
    writer::encode_from_device,
};

/// A message with the number of the request that it belongs to.
///
/// The host chooses a new number for each request, and the device repeats it in each answer: an answer to a request that
/// the host has given up is told from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<M> {
    /// The request. 0 is the device's, for what it cannot read outside of a request.
    pub request: u32,
    /// The message.
    pub message: M,
}

/// What the host sends.
///
/// To have an operation signed: `Begin`, each `Session` or `KeptSession` of a grant, the `CallData` in pieces, `End`.
/// To have a request for a key signed: `KeyRequest`, its `Permissions` in pieces, `End`. To have a session's use signed:
/// `Use`, the `CallData` in pieces, the `Session`, `End`. To have a delegation signed: `Delegation`, its `Permissions` in pieces,
/// `End`. Each is answered by [`FromDevice::Ready`], and `End` by [`FromDevice::Waiting`], or any by [`FromDevice::Refused`],
/// which ends the request. `Address`, `Begin`, `KeyRequest`, `Use` and `Delegation` are taken at any time, and end the request
/// before them.
///
/// No message makes a device sign a hash, and none stands for its button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "without a heap there is nowhere to put the large one")]
pub enum ToDevice<'a> {
    /// Asks whose signatures the device makes.
    Address,
    /// Starts the review of an operation.
    Begin(#[serde(borrow)] OperationFrame<'a>),
    /// The next session that the account is to have, or the one that is used.
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
    /// The next session, which cannot be shown, and was granted by what this device last signed for the account.
    KeptSession {
        /// The session's leaf.
        leaf: [u8; 32],
        /// The session key manager in which it was granted.
        manager: [u8; 20],
        /// The leaf's siblings under the root that was signed, 32 bytes each.
        proof: &'a [u8],
    },
    /// The next piece of the call data.
    CallData(&'a [u8]),
    /// Starts the review of a request for a distributed key.
    KeyRequest(#[serde(borrow)] KeyRequestFrame<'a>),
    /// The next piece of what a key may do: the permissions of a request for it, or the canonical `abi.encode` of an array of one
    /// delegation.
    Permissions(&'a [u8]),
    /// Starts the review of a session's use.
    Use(#[serde(borrow)] OperationFrame<'a>),
    /// All of it was sent.
    End,
    /// The host gives the request up.
    Cancel,
    /// Starts the review of a delegation.
    Delegation {
        /// The chain.
        chain_id: u64,
        /// The manager that it is redeemed at.
        manager: [u8; 20],
    },
}

/// What the device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDevice<'a> {
    /// Whose signatures it makes.
    Address([u8; 20]),
    /// It has taken the message, and shown what is in it.
    Ready,
    /// It has shown everything, and waits for its button. The hash of the operation, or the digest of a request for a key or a
    /// delegation.
    Waiting([u8; 32]),
    /// r ‖ s ‖ v, v 27 or 28, low s: over the EIP-191 digest of an operation's hash, or the digest of a request for a key or a
    /// delegation.
    Signature(&'a [u8]),
    /// It signs nothing, and why.
    Refused(&'a str),
}

/// An operation without its call data, and where it is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationFrame<'a> {
    /// The entry point.
    pub entry_point: [u8; 20],
    /// The chain.
    pub chain_id: u64,
    /// The operation without its call data.
    #[serde(borrow, with = "head")]
    pub head: OperationHead<'a>,
}

impl OperationFrame<'_> {
    /// Where the operation is to run.
    pub(crate) fn domain(&self) -> Domain {
        Domain { entry_point: self.entry_point.into(), chain_id: self.chain_id }
    }
}

/// What an owner signs to have a signing network make a key; see [`quorate_core::KeyRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequestFrame<'a> {
    /// How many nodes sign.
    pub threshold: u32,
    /// How many nodes hold a share.
    pub nodes: u32,
    /// Tags and values of the metadata that is signed, in its order.
    #[serde(borrow)]
    pub metadata: [Option<(u16, &'a str)>; MAX_METADATA],
    /// The network's challenge.
    pub challenge: &'a str,
}

/// The most entries of a key request's metadata: one of each kind that the protocol signs.
pub const MAX_METADATA: usize = 3;

impl<'a> ToDevice<'a> {
    /// The message for a session.
    pub fn session(leaf: &SessionLeaf<'a>) -> Self {
        Self::Session {
            valid_after: leaf.epoch.valid_after(),
            valid_until: leaf.epoch.valid_until(),
            validation_module: leaf.validation_module.into_array(),
            session_key_data: leaf.session_key_data,
        }
    }

    /// The message for a session that is kept; `proof` is the siblings without anything between them.
    pub fn kept_session(leaf: B256, manager: Address, proof: &'a [u8]) -> Self {
        Self::KeptSession { leaf: leaf.0, manager: manager.into_array(), proof }
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
