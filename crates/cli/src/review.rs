//! What an owner is about to sign, in words that come from its bytes.

use quorate::{Draft, Leaf, ListedSession, OwnerIntent, SessionGrant, TreeUpdate};
use quorate_core::{Domain, KnownFunction, OperationHead, ReviewState, TrustedContext};

use crate::clock::now;
use crate::offline::shown::Shown;

/// The review of an operation of the owner's. It changes the sessions to those of `leaves`, in the order of their tree; the
/// functions are named where their signatures are known.
///
/// # Errors
/// What cannot be shown whole: it is not to be signed unseen.
pub(crate) fn review<T: OwnerIntent>(
    draft: &Draft<T>,
    leaves: &[Leaf],
    functions: &[KnownFunction<'_>],
) -> anyhow::Result<Shown> {
    let message = draft.operation();
    let mut shown = Shown::default();
    let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
    let mut state: ReviewState<'_, _, 64> =
        ReviewState::new(trusted, &mut shown).with_lints(Some(now()), &[]);
    let domain = Domain { entry_point: message.entry_point, chain_id: message.chain_id };
    let head = OperationHead::V0_6(message.operation.without_call_data());
    let mut sessions = state.review(domain, &head)?;
    for leaf in leaves {
        sessions = sessions.session(&leaf.borrow())?;
    }
    let hash = sessions.calls().piece(&message.operation.call_data)?.finish()?;
    anyhow::ensure!(
        hash == draft.user_op_hash(),
        "the review is of {hash}, and the draft of {}",
        draft.user_op_hash()
    );
    Ok(shown)
}

/// The leaves of a tree, of the sessions that are known: those of the account, and the one that is being granted.
///
/// # Errors
/// A leaf of a session that nobody here knows, which cannot be shown.
pub(crate) fn leaves_of(
    update: &TreeUpdate,
    sessions: &[ListedSession],
    granted: Option<&SessionGrant>,
) -> anyhow::Result<Vec<Leaf>> {
    let known = sessions.iter().flat_map(|session| session.record.policies());
    let known: Vec<_> = known.chain(granted.into_iter().flat_map(|grant| grant.session.policies())).collect();
    let find = |hash| {
        let leaf = known.iter().find(|leaf| leaf.hash() == hash).map(|leaf| (*leaf).clone());
        leaf.ok_or_else(|| {
            anyhow::anyhow!("the tree keeps the leaf {hash} of a session that is not in the store")
        })
    };
    update.leaves.iter().copied().map(find).collect()
}
