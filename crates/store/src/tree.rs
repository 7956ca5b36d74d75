use alloy_primitives::B256;
use quorate_core::merkle;

/// A tree of an account's sessions, which an operation puts on chain.
///
/// A root says nothing of its leaves. A store remembers the newest [`KEPT`](Self::KEPT) trees of an account, so that
/// the root on chain can be told apart: it is one of theirs, or somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The leaves' hashes, in order; none where the last session ends.
    pub leaves: Vec<B256>,
    /// The root that the operation expects to replace; zero where there are no sessions.
    pub replaces: B256,
    /// The user operation that puts it on chain; none for a tree that was found there.
    pub user_op_hash: Option<B256>,
    /// That operation, signed, to be sent again after a crash; the store does not read it.
    pub operation: String,
}

impl Tree {
    /// How many trees of an account are remembered.
    pub const KEPT: usize = 16;

    /// The root as the chain has it: zero for a tree without leaves.
    pub fn root(&self) -> B256 {
        merkle::root(&self.leaves).unwrap_or_default()
    }
}
