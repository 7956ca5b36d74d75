//! A node that is bad from inside, where a test says so: it signs whatever it is asked for, and lies to the other signers of
//! what it has charged. What signers say in a run is sealed, so that nobody in front of a node can lie for it.

use alloy_primitives::B256;
use quorate_ledger::{Bookmark, JournalId, Limits, PageRequest, Place};
use quorate_protocol::NodeIndex;

use crate::fail_points::Lie;

/// The limits that a node holds operations against: a liar none.
pub(crate) fn limits(node: NodeIndex, limits: &Limits) -> Limits {
    let lies = [Lie::NothingCharged, Lie::ReadAgain, Lie::ChargedEarlier];
    if lies.into_iter().any(|lie| is_told(lie, node)) { Limits::default() } else { limits.clone() }
}

/// When a node charges what it charges at a time, in seconds since 1970.
pub(crate) fn charged_at(node: NodeIndex, now: u64) -> u64 {
    if is_told(Lie::ChargedEarlier, node) { now.saturating_sub(Lie::EARLIER) } else { now }
}

/// After which place a node reads its journal out to who asks.
pub(crate) fn asked(node: NodeIndex, journal: B256, asked: PageRequest) -> PageRequest {
    let last = || Place::try_from(i64::MAX.unsigned_abs()).ok();
    let bookmark = |place| Bookmark { journal: JournalId::new(journal), place };
    if is_told(Lie::ReadAgain, node) {
        PageRequest { after: None }
    } else if is_told(Lie::NothingCharged, node) {
        PageRequest { after: last().map(bookmark) }
    } else {
        asked
    }
}

fn is_told(lie: Lie, node: NodeIndex) -> bool {
    fail::eval(&lie.at(node), |_| ()).is_some()
}
