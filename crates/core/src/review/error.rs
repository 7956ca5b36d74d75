//! Why nothing is signed.

use alloy_primitives::{Address, B256};

use super::item::NotShown;
use crate::{
    operation::{HashError, entry_point::EntryPointVersion, packed::UnpackError},
    session::{
        erc20::Erc20Refusal, evaluate::Refusal, merkle::TreeError, session_key_data::MalformedSessionKeyData,
    },
    texts,
};

/// Why a review does not end in a hash to sign. Sessions and calls are counted from 1, as the items do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// A step that does not come now.
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
    GasOverflow,
    /// An entry point of another version than the operation.
    OtherEntryPoint {
        /// The operation's version.
        given: EntryPointVersion,
        /// The version of the contract at that address.
        known: EntryPointVersion,
    },
    /// Call data that is not in the one layout in which it can mean only one thing.
    Unreadable {
        /// The first byte of what does not belong there.
        at: usize,
    },
    /// The call data ends within a call.
    Ends {
        /// Its length.
        at: usize,
    },
    /// More calls than can be kept in mind.
    TooManyCalls {
        /// The number of calls.
        calls: u64,
        /// The reviewer's room.
        limit: usize,
    },
    /// A call of a contract that can change who controls the account, other than the functions that are read whole.
    UnknownControl {
        /// Which call.
        call: usize,
        /// The contract called.
        to: Address,
    },
    /// The sessions shown are not what the operation's root stands for.
    OtherRoot {
        /// The root of the sessions shown.
        shown: B256,
        /// The root in the call data.
        set: B256,
    },
    /// The operation sets a root, and no sessions came with it.
    SessionsMissing {
        /// The root in the call data.
        set: B256,
    },
    /// Sessions were given, and the operation sets no root, or more than one.
    NotOneRoot {
        /// How often it sets one.
        times: u32,
    },
    /// A session that another module checks.
    UnknownModule {
        /// Which session.
        session: usize,
        /// Its session validation module.
        module: Address,
    },
    /// A session that is kept as it was, and was not under the root that this device signed.
    NotKept {
        /// Which session.
        session: usize,
    },
    /// A root in another module than the one that the kept sessions are from.
    KeptElsewhere {
        /// The module in which they were granted.
        from: Address,
        /// The module whose root is set.
        to: Address,
    },
    /// Session key data that cannot be read.
    Session {
        /// Which session.
        session: usize,
        /// What is wrong with it.
        reason: MalformedSessionKeyData,
    },
    /// A token's session whose data cannot be read.
    Erc20Session {
        /// Which session.
        session: usize,
        /// What is wrong with it.
        reason: Erc20Refusal,
    },
    /// More sessions than a tree has.
    TooManySessions(#[from] TreeError),
}

texts!(ReviewError {
    NotShown(error) => "{}",
    OutOfOrder { given, expected } => "{} does not come now; {} does",
    Unpack(error) => "{}",
    Hash(error) => "{}",
    GasOverflow => "a gas limit or fee has more than 120 bits, which entry points refuse",
    OtherEntryPoint { given, known } => "the operation is one of EntryPoint {}, but the entry point is {}",
    Unreadable { at } =>
        "from byte {} on, the call data is not calls of the account in canonical encoding",
    Ends { at } => "the call data ends at byte {}, within a call",
    TooManyCalls { calls, limit } => "the operation makes {} calls, at most {} can be reviewed",
    UnknownControl { call, to } =>
        "call {} goes to {}, which can change who controls the account, and is none that is known here",
    OtherRoot { shown, set } =>
        "the sessions shown make the root {}, but the operation sets {}: other sessions would be granted",
    SessionsMissing { set } => "the operation sets the session root {}, but its sessions were not given",
    NotOneRoot { times } => "sessions were given, but the operation sets {} session roots instead of one",
    UnknownModule { session, module } =>
        "session {} is checked by {}, which is unknown here: what it allows cannot be shown",
    NotKept { session } => "session {} is to be kept, but was not granted by what was last signed here",
    KeptElsewhere { from, to } => "sessions of {} are kept, but the operation sets the root of {}",
    Session { session, reason } => "session {}: {}",
    Erc20Session { session, reason } => "session {}: {}",
    TooManySessions => "there are more sessions than a tree can hold",
});

/// Why the review of a session's use does not end in a hash to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionUseError {
    /// An operation, or a session, that no review takes.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The session does not allow the call.
    Forbidden(#[from] Refusal),
    /// The token's session does not allow the call.
    Erc20Forbidden(#[from] Erc20Refusal),
}

texts!(SessionUseError {
    Review(error) => "{}",
    Forbidden(reason) => "the session forbids the call: {}",
    Erc20Forbidden(reason) => "the session forbids the call: {}",
});

impl From<NotShown> for SessionUseError {
    fn from(error: NotShown) -> Self {
        ReviewError::from(error).into()
    }
}
