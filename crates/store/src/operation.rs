use alloy_primitives::{B256, U256};

use crate::SessionId;

/// A signed user operation of an account, from before it is sent until what became of it cannot change any more.
///
/// The hash covers everything but the signature, so that of two operations with one hash the first one's signature
/// serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its hash, which no other operation of the account has.
    pub user_op_hash: B256,
    /// Its nonce: the stream in the upper 192 bits, the sequence in the lower 64. At most one operation with it can
    /// get on chain.
    pub nonce: U256,
    /// The session that it grants where it sets a root, and otherwise the session that makes the call; none for the
    /// owner's.
    pub session: Option<SessionId>,
    /// What it does to the account's tree; none where it leaves the tree alone.
    pub root_change: Option<RootChange>,
    /// What the last bundler that was given it said.
    pub answer: Answer,
    /// Whether whoever made it knows that it is under way, or what became of it. Until then the same call made again is
    /// the same intent.
    pub told: bool,
    /// The newest block when it was signed. It is in no earlier one.
    pub signed_at_block: u64,
    /// The block in which it was first seen to be over: its nonce used, or itself impossible.
    pub closed_at_block: Option<u64>,
    /// The operation and its signature, to be sent again; the store does not read it.
    pub message: String,
}

/// What an operation does to an account's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootChange {
    /// The root that it was made for; zero where there are no sessions.
    pub replaces: B256,
    /// The root that it sets; zero where it ends the last session.
    pub sets: B256,
}

/// What a bundler said of an operation that it was given. No answer is final: a signed operation stays valid in the
/// hands of whoever has it, until the chain says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It has another operation with this nonce.
    Conflict,
    /// It does not have it, and says why.
    Refused,
    /// It has not been asked yet, or its answer does not tell.
    Open,
    /// Whatever it said, nobody follows the operation any more. It is kept for the sake of its tree, as it may still get on
    /// chain.
    Abandoned,
}

#[cfg(feature = "sqlite")]
impl Answer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Taken, Self::Conflict, Self::Refused, Self::Open, Self::Abandoned];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::Abandoned => "abandoned",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == text)
    }
}
