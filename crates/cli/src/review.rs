//! What an owner is about to sign, in words that come from its bytes.

use quorate::{Draft, Leaf, ListedSession, OwnerIntent, SessionGrant, TreeUpdate};
use quorate_core::KnownFunction;

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
    let mut shown = Shown::default();
    draft.review(leaves, functions, now(), &mut shown)?;
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
    Ok(update.known_leaves(sessions, granted)?)
}
