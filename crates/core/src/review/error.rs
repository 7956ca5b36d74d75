//! Why nothing is signed.

use alloy_primitives::{Address, B256};

use super::item::NotShown;
use crate::{
    operation::{HashError, entry_point::EntryPointVersion, packed::UnpackError},
    session::{
        erc20::Erc20Refusal, evaluate::Refusal, merkle::TreeError, session_key_data::MalformedSessionKeyData,
    },
};

/// Why a review does not end in a hash to sign. Sessions and calls are counted from 1, as the items do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// A step that does not come now.
    #[error("{given} does not come now; {expected} does")]
    OutOfOrder {
        /// What came.
        given: &'static str,
        /// What may come.
        expected: &'static str,
    },
    /// A part of the operation that its entry point would not take.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// An operation that has no hash at its entry point.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A gas limit or fee that no entry point takes (AA94).
    #[error("a gas limit or a fee for one gas has more than 120 bits, which entry points refuse")]
    GasOverflow,
    /// An entry point of another version than the operation.
    #[error("the operation is one of EntryPoint {given}, but the entry point is {known}")]
    OtherEntryPoint {
        /// The operation's version.
        given: EntryPointVersion,
        /// The version of the contract at that address.
        known: EntryPointVersion,
    },
    /// Call data that is not in the one layout in which it can mean only one thing.
    #[error(
        "the call data cannot be read from byte {at} on: it is not calls of the account in canonical encoding"
    )]
    Unreadable {
        /// The first byte of what does not belong there.
        at: usize,
    },
    /// The call data ends within a call.
    #[error("the call data ends at byte {at}, within a call")]
    Ends {
        /// Its length.
        at: usize,
    },
    /// More calls than can be kept in mind.
    #[error("the operation makes {calls} calls, at most {limit} can be reviewed")]
    TooManyCalls {
        /// The number of calls.
        calls: u64,
        /// The reviewer's room.
        limit: usize,
    },
    /// A call of a contract that can change who controls the account, other than the functions that are read whole.
    #[error(
        "call {call} goes to {to}, which can change who controls the account, and is not one of the calls that are \
         read here to the last byte"
    )]
    UnknownControl {
        /// Which call.
        call: usize,
        /// The contract called.
        to: Address,
    },
    /// The sessions shown are not what the operation's root stands for.
    #[error(
        "the sessions shown make the root {shown}, but the operation sets {set}: other sessions would be granted"
    )]
    OtherRoot {
        /// The root of the sessions shown.
        shown: B256,
        /// The root in the call data.
        set: B256,
    },
    /// The operation sets a root, and no sessions came with it.
    #[error("the operation sets the session root {set}, but the sessions under it were not given")]
    SessionsMissing {
        /// The root in the call data.
        set: B256,
    },
    /// Sessions were given, and the operation sets no root, or more than one.
    #[error("sessions were given, but the operation sets {times} session roots instead of one")]
    NotOneRoot {
        /// How often it sets one.
        times: u32,
    },
    /// A session that another module checks.
    #[error(
        "session {session} is checked by {module}, which is unknown here: what it allows cannot be shown"
    )]
    UnknownModule {
        /// Which session.
        session: usize,
        /// Its session validation module.
        module: Address,
    },
    /// A session that is kept as it was, and was not under the root that this device signed.
    #[error("session {session} is to be kept, but was not granted by what was last signed here")]
    NotKept {
        /// Which session.
        session: usize,
    },
    /// A root in another module than the one that the kept sessions are from.
    #[error("sessions of {from} are kept, but the operation sets the root of {to}")]
    KeptElsewhere {
        /// The module in which they were granted.
        from: Address,
        /// The module whose root is set.
        to: Address,
    },
    /// Session key data that cannot be read.
    #[error("session {session}: {reason}")]
    Session {
        /// Which session.
        session: usize,
        /// What is wrong with it.
        reason: MalformedSessionKeyData,
    },
    /// A token's session whose data cannot be read.
    #[error("session {session}: {reason}")]
    Erc20Session {
        /// Which session.
        session: usize,
        /// What is wrong with it.
        reason: Erc20Refusal,
    },
    /// More sessions than a tree has.
    #[error("there are more sessions than a tree can hold")]
    TooManySessions(#[from] TreeError),
    /// The session does not allow the call.
    #[error("the session forbids the call: {0}")]
    Forbidden(Refusal),
    /// The token's session does not allow the call.
    #[error("the session forbids the call: {0}")]
    Erc20Forbidden(Erc20Refusal),
}
