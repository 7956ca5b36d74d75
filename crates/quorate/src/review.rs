//! What an owner is about to sign, as items that come from its bytes.

use alloy_primitives::B256;
use quorate_core::{
    Domain, KnownFunction, Leaf, OperationHead, ReviewError, ReviewState, Show, TrustedContext,
};

use crate::life::update::OwnerIntent;
use crate::{Draft, ListedSession, SessionGrant, TreeUpdate};

/// Why a draft cannot be shown whole. It is not to be signed unseen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftReviewError {
    /// Bytes that cannot be read in exactly one way.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The draft's own hash is another than that of the bytes shown.
    #[error("the review is of {shown}, and the draft of {draft}")]
    OtherHash {
        /// The hash of what was shown.
        shown: B256,
        /// The draft's.
        draft: B256,
    },
    /// A session that nobody here knows, and that the operation keeps alive.
    #[error("the tree keeps the leaf {leaf} of a session that is not in the store")]
    UnknownLeaf {
        /// The leaf.
        leaf: B256,
    },
}

impl<T: OwnerIntent> Draft<T> {
    /// Shows the operation, which changes the sessions to those of `leaves`, in the order of their tree. Functions are named
    /// where their signatures are known; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// What cannot be shown whole.
    pub fn review<S: Show>(
        &self,
        leaves: &[Leaf],
        functions: &[KnownFunction<'_>],
        now: u64,
        show: &mut S,
    ) -> Result<(), DraftReviewError> {
        let message = self.operation();
        let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
        let mut state: ReviewState<'_, _, 64> = ReviewState::new(trusted, show).with_lints(Some(now), &[]);
        let domain = Domain { entry_point: message.entry_point, chain_id: message.chain_id };
        let head = OperationHead::V0_6(message.operation.without_call_data());
        let mut sessions = state.review(domain, &head)?;
        for leaf in leaves {
            sessions = sessions.session(&leaf.borrow())?;
        }
        let shown = sessions.calls().piece(&message.operation.call_data)?.finish()?;
        let draft = self.user_op_hash();
        if shown == draft { Ok(()) } else { Err(DraftReviewError::OtherHash { shown, draft }) }
    }
}

impl TreeUpdate {
    /// The leaves of the tree as it will be, of the sessions that are known: those of the account, and the one that is being
    /// granted.
    ///
    /// # Errors
    /// A leaf of a session that nobody here knows, which cannot be shown.
    pub fn known_leaves(
        &self,
        sessions: &[ListedSession],
        granted: Option<&SessionGrant>,
    ) -> Result<Vec<Leaf>, DraftReviewError> {
        let known = sessions.iter().flat_map(|session| session.record.policies());
        let known: Vec<_> =
            known.chain(granted.into_iter().flat_map(|grant| grant.session.policies())).collect();
        let find = |leaf| {
            let found = known.iter().find(|known| known.hash() == leaf).map(|leaf| (*leaf).clone());
            found.ok_or(DraftReviewError::UnknownLeaf { leaf })
        };
        self.leaves.iter().copied().map(find).collect()
    }
}
