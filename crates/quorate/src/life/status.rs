//! Where a session stands: by its leaves in the tree under the account's root, never by its operation.

use std::collections::HashSet;
use std::fmt;

use alloy_primitives::B256;
use quorate_core::Leaf;
use quorate_store::Session;

/// Where a session stands, as the chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Not under the root yet, and its grant can still get on chain; or under it without the confirmations asked for.
    Pending,
    /// Under the account's root, with every leaf.
    Active,
    /// Some of its leaves are under the root, and others are not: some of its policies still work.
    Partial,
    /// Under the root, and past its time by the block's timestamp.
    Expired,
    /// It was under the root, and is no longer.
    Revoked,
    /// It was never seen under the root, and its grant cannot get there any more.
    Inactive,
    /// The root on chain is of a tree whose leaves the store does not know, so that the session may be live or not.
    Unknown,
}

impl Status {
    /// Whether the session can be used, at least in part.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Active | Self::Partial)
    }

    /// Whether the session has ended or never began, so that nothing is lost by forgetting it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Inactive)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Partial => "partial",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::Unknown => "unknown",
        })
    }
}

/// The leaves under the account's root; none where the store does not know the tree.
pub(crate) type Leaves = Option<HashSet<B256>>;

/// What the chain says of an account's tree at one moment.
#[derive(Clone, Debug)]
pub(crate) struct TreesOnChain {
    /// At the newest block.
    pub(crate) latest: Leaves,
    /// At the newest block with the confirmations asked for.
    pub(crate) settled: Leaves,
    /// The newest block's timestamp, in seconds since 1970.
    pub(crate) now: u64,
}

/// Where a session stands. `grant_is_open` says whether an operation that grants it can still get on chain.
pub(crate) fn status(session: &Session, trees: &TreesOnChain, grant_is_open: bool) -> Status {
    let (Some(latest), settled) = (&trees.latest, &trees.settled) else { return Status::Unknown };
    let live_in = |leaves: &HashSet<B256>| {
        session.leaves.iter().filter(|leaf| leaves.contains(&leaf.hash())).collect::<Vec<_>>()
    };
    let live = settled.as_ref().map(live_in).unwrap_or_default();
    if !live.is_empty() {
        return if live.iter().all(|leaf| has_ended(leaf, trees.now)) {
            Status::Expired
        } else if live.len() < session.leaves.len() {
            Status::Partial
        } else {
            Status::Active
        };
    }
    if grant_is_open || !live_in(latest).is_empty() {
        Status::Pending
    } else if session.landed.is_some() {
        Status::Revoked
    } else {
        Status::Inactive
    }
}

/// Whether a leaf is valid at no time from `now` on.
pub(crate) fn has_ended(leaf: &Leaf, now: u64) -> bool {
    leaf.epoch.valid_until() != 0 && leaf.epoch.valid_until() < now
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use quorate_store::{AccountId, SessionEpoch};

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn leaf(number: u8, valid_until: u64) -> Leaf {
        Leaf {
            epoch: SessionEpoch::new(0, valid_until).unwrap(),
            validation_module: Address::repeat_byte(1),
            session_key_data: vec![number],
        }
    }

    fn session(leaves: &[Leaf], landed: bool) -> Session {
        Session {
            id: "a".parse().unwrap(),
            account: AccountId { chain_id: 1, address: Address::repeat_byte(2) },
            session_key: Address::repeat_byte(3),
            key_id: None,
            leaves: leaves.to_vec(),
            created: 0,
            user_op_hash: None,
            landed: landed.then_some(5),
        }
    }

    /// Each row: the session's leaves, the known leaves under the settled and the latest root, whether the session was
    /// seen before, whether its grant is open, and where it stands.
    #[test]
    fn a_session_stands_where_its_leaves_are() {
        use Status::{Active, Expired, Inactive, Partial, Pending, Revoked, Unknown};
        let (a, b, old) = (&leaf(1, 0), &leaf(2, NOW + 1), &leaf(3, NOW - 1));
        let other = &leaf(9, 0);
        type Row<'a> = (&'a [&'a Leaf], Option<&'a [&'a Leaf]>, Option<&'a [&'a Leaf]>, bool, bool, Status);
        let rows: &[Row<'_>] = &[
            (&[a, b], Some(&[a, b, other]), Some(&[a, b, other]), false, false, Active),
            (&[a], Some(&[a]), Some(&[]), true, false, Active), // the revocation has not the confirmations yet
            (&[a, b], Some(&[other, b]), Some(&[other, b]), true, false, Partial),
            (&[a, old], Some(&[old]), Some(&[old]), true, false, Expired), // what is left has ended
            (&[old], Some(&[old]), Some(&[old]), true, false, Expired),
            (&[a, old], Some(&[a, old]), Some(&[a, old]), true, false, Active),
            (&[a], Some(&[]), Some(&[a]), false, false, Pending), // not enough confirmations
            (&[a], None, Some(&[a]), false, false, Pending),
            (&[a], Some(&[other]), Some(&[other]), false, true, Pending), // its grant can still land
            (&[a], Some(&[other]), Some(&[other]), true, true, Pending),  // taken back by a reorganisation
            (&[a], Some(&[other]), Some(&[other]), true, false, Revoked),
            (&[a], Some(&[]), Some(&[]), false, false, Inactive),
            (&[a], Some(&[a]), None, true, false, Unknown), // another device set a root
            (&[a], None, None, false, true, Unknown),
            (&[old], None, None, true, false, Unknown),
        ];
        for (number, (leaves, settled, latest, landed, open, expected)) in rows.iter().enumerate() {
            let leaves: Vec<_> = leaves.iter().map(|leaf| (*leaf).clone()).collect();
            let set = |leaves: &Option<&[&Leaf]>| {
                leaves.map(|leaves| leaves.iter().map(|leaf| leaf.hash()).collect::<HashSet<_>>())
            };
            let trees = TreesOnChain { latest: set(latest), settled: set(settled), now: NOW };
            assert_eq!(status(&session(&leaves, *landed), &trees, *open), *expected, "row {number}");
        }
    }
}
