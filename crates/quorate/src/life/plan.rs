//! What an update makes of an account's tree.

use std::collections::{HashMap, HashSet};

use alloy_primitives::B256;
use quorate_core::Leaf;
use quorate_store::{AccountId, Session, SessionId, StoreError};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::life::status::has_ended;

/// What is to become of the sessions of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpdateRequest {
    /// The leaves of the present tree, where the store does not know it.
    pub(crate) kept: Vec<B256>,
    /// Sessions to end.
    pub(crate) revoked: Vec<SessionId>,
    /// A root of which nobody here knows the leaves, and that is to be replaced.
    pub(crate) foreign: Option<B256>,
    /// What is added at the end.
    pub(crate) added: Vec<Leaf>,
    /// Whether every session ends.
    pub(crate) all: bool,
    /// Sessions that were prepared with one of the added leaves and never sent: what is added takes their place.
    pub(crate) unsent: Vec<SessionId>,
}

/// The sessions that an update of the tree ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoked {
    /// Those asked for, and those that share a leaf with them: a leaf has no owner, so that ending it ends all of them.
    pub sessions: Vec<SessionId>,
    /// Those whose time was over by the block's timestamp.
    pub expired: Vec<SessionId>,
    /// A root of which the store does not know the leaves: whatever is under it ends.
    pub foreign_root: Option<B256>,
}

/// What an account's tree is when it is updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present<'a> {
    pub(crate) account: AccountId,
    /// The root on chain.
    pub(crate) root: B256,
    /// Its leaves, where the store knows them.
    pub(crate) leaves: Option<&'a [B256]>,
    /// The sessions that the store knows.
    pub(crate) sessions: &'a [Session],
    /// The block's timestamp, in seconds since 1970.
    pub(crate) now: u64,
}

/// The leaves of the next tree, and what it ends.
pub(crate) fn plan(request: &UpdateRequest, present: Present<'_>) -> Result<(Vec<B256>, Revoked), Error> {
    refuse_unknown_sessions(request, present)?;
    refuse_duplicate_leaves(request, present)?;
    let added = request.added.iter().map(Leaf::hash);

    let kept_root = quorate_core::merkle::root(&request.kept).unwrap_or_default();
    let leaves = match present.leaves {
        _ if !request.kept.is_empty() && kept_root == present.root => &request.kept,
        Some(leaves) => leaves,
        None if request.foreign == Some(present.root) => {
            let foreign_root = Some(present.root);
            return Ok((added.collect(), Revoked { foreign_root, ..Revoked::default() }));
        }
        None => return Err(Error::ForeignRoot { expected: kept_root, found: present.root }),
    };

    let in_tree: HashSet<B256> = leaves.iter().copied().collect();
    let everything = request.all || request.foreign == Some(present.root);
    let asked: HashSet<&SessionId> = request.revoked.iter().collect();
    let is_live = |session: &&Session| session.leaves.iter().any(|leaf| in_tree.contains(&leaf.hash()));
    let live: Vec<&Session> = present.sessions.iter().filter(is_live).collect();

    let expired = |session: &&&Session| session.leaves.iter().all(|leaf| has_ended(leaf, present.now));
    let expired: Vec<&Session> = live.iter().filter(expired).copied().collect();
    let revoked = live.iter().filter(|session| everything || asked.contains(&session.id));
    let mut gone: HashSet<B256> = revoked.flat_map(|session| leaves_of(session)).collect();
    let is_revoked = |session: &&&Session| everything || leaves_of(session).any(|leaf| gone.contains(&leaf));
    let sessions: Vec<SessionId> = live.iter().filter(is_revoked).map(|session| session.id.clone()).collect();
    let expired: Vec<&Session> =
        expired.into_iter().filter(|session| !sessions.contains(&session.id)).collect();
    gone.extend(expired.iter().flat_map(|session| leaves_of(session)));

    if request.added.is_empty() && sessions.is_empty() && !(everything && present.root != B256::ZERO) {
        return Err(Error::NothingToRevoke { sessions: request.revoked.clone() });
    }
    let stays = leaves.iter().copied().filter(|leaf| !everything && !gone.contains(leaf));
    let next = stays.chain(added).collect();
    let expired = expired.into_iter().map(|session| session.id.clone()).collect();
    Ok((next, Revoked { sessions, expired, foreign_root: None }))
}

fn leaves_of(session: &Session) -> impl Iterator<Item = B256> + '_ {
    session.leaves.iter().map(Leaf::hash)
}

fn refuse_unknown_sessions(request: &UpdateRequest, present: Present<'_>) -> Result<(), Error> {
    let known: HashSet<&SessionId> = present.sessions.iter().map(|session| &session.id).collect();
    match request.revoked.iter().find(|id| !known.contains(id)) {
        Some(id) => Err(StoreError::UnknownSession { account: present.account, id: id.clone() }.into()),
        None => Ok(()),
    }
}

/// A leaf has no salt: a second session with it would be ended with the first, and a session that ended would come back
/// with it, and with it each signed call that never landed.
fn refuse_duplicate_leaves(request: &UpdateRequest, present: Present<'_>) -> Result<(), Error> {
    if request.added.is_empty() {
        return Ok(());
    }
    let sent = present.sessions.iter().filter(|session| !request.unsent.contains(&session.id));
    let stored = sent.flat_map(|session| leaves_of(session).map(move |leaf| (leaf, session)));
    let stored: HashMap<B256, &Session> = stored.collect();
    let in_tree: HashSet<&B256> = present.leaves.into_iter().flatten().collect();
    let mut seen = HashSet::new();
    for leaf in request.added.iter().map(Leaf::hash) {
        if let Some(session) = stored.get(&leaf) {
            return Err(Error::DuplicateLeaf { leaf, session: Some(session.id.clone()) });
        }
        if in_tree.contains(&leaf) || !seen.insert(leaf) {
            return Err(Error::DuplicateLeaf { leaf, session: None });
        }
    }
    Ok(())
}

/// What an update did to a tree that it was not made for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwritten {
    /// Nothing: it replaced the tree that it was made for.
    Nothing,
    /// Not known: the node does not have the state of the block before any more.
    Unknown,
    /// Another tree, which another device or another program had put there in the meantime.
    Tree {
        /// Its root.
        root: B256,
        /// Whether the store knows its leaves. If not, sessions that nobody here knows of may have ended.
        is_known: bool,
        /// Sessions under it that the update ended.
        ended: Vec<SessionId>,
        /// Sessions that it had ended, and that the update brought back.
        revived: Vec<SessionId>,
    },
}

/// What an update that set `ours`, made to replace `replaced`, did to the tree `found` that was there. Leaves are none
/// where the store does not know them.
pub(crate) fn overwritten(
    root: B256,
    found: Option<&[B256]>,
    replaced: Option<&[B256]>,
    ours: Option<&[B256]>,
    sessions: &[Session],
) -> Overwritten {
    let set = |leaves: Option<&[B256]>| leaves.unwrap_or_default().iter().copied().collect::<HashSet<B256>>();
    let (there, before, now) = (set(found), set(replaced), set(ours));
    let with = |is_it: &dyn Fn(B256) -> bool| {
        let has = |session: &&Session| leaves_of(session).any(is_it);
        sessions.iter().filter(has).map(|session| session.id.clone()).collect::<Vec<_>>()
    };
    let ended = with(&|leaf| there.contains(&leaf) && !now.contains(&leaf));
    let revived = if found.is_some() {
        with(&|leaf| now.contains(&leaf) && before.contains(&leaf) && !there.contains(&leaf))
    } else {
        Vec::new()
    };
    Overwritten::Tree { root, is_known: found.is_some(), ended, revived }
}

/// The same update for another tree: what `sets` had more than `replaces` is added to `present`, and what it had less is
/// taken away.
pub(crate) fn rebased(replaces: &[B256], sets: &[B256], present: &[B256]) -> Vec<B256> {
    let before: HashSet<&B256> = replaces.iter().collect();
    let after: HashSet<&B256> = sets.iter().collect();
    let stays = present.iter().filter(|leaf| after.contains(leaf) || !before.contains(leaf));
    let there: HashSet<&B256> = present.iter().collect();
    let added = sets.iter().filter(|leaf| !before.contains(leaf) && !there.contains(leaf));
    stays.chain(added).copied().collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use quorate_core::merkle;
    use quorate_store::SessionEpoch;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn leaf(number: u8) -> Leaf {
        leaf_until(number, 0)
    }

    fn leaf_until(number: u8, valid_until: u64) -> Leaf {
        Leaf {
            epoch: SessionEpoch::new(0, valid_until).unwrap(),
            validation_module: Address::repeat_byte(1),
            session_key_data: vec![number],
        }
    }

    const ACCOUNT: AccountId = AccountId { chain_id: 1, address: Address::repeat_byte(2) };

    fn session(id: &str, leaves: &[Leaf]) -> Session {
        Session {
            id: id.parse().unwrap(),
            account: ACCOUNT,
            session_key: Address::repeat_byte(3),
            key_id: None,
            leaves: leaves.to_vec(),
            created: 0,
            user_op_hash: None,
            landed: None,
        }
    }

    fn ids(ids: &[SessionId]) -> Vec<&str> {
        ids.iter().map(SessionId::as_str).collect()
    }

    fn revoke(ids: &[&str]) -> UpdateRequest {
        UpdateRequest {
            revoked: ids.iter().map(|id| id.parse().unwrap()).collect(),
            ..UpdateRequest::default()
        }
    }

    fn run(
        request: &UpdateRequest,
        leaves: &[Leaf],
        sessions: &[Session],
    ) -> Result<(Vec<B256>, Revoked), Error> {
        let hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        let root = merkle::root(&hashes).unwrap_or_default();
        plan(request, Present { account: ACCOUNT, root, leaves: Some(&hashes), sessions, now: NOW })
    }

    #[test]
    fn a_revocation_takes_its_leaves_out_and_lists_who_shares_them() {
        let shared = leaf(1);
        let sessions = [
            session("a", &[shared.clone(), leaf(2)]),
            session("b", std::slice::from_ref(&shared)),
            session("c", &[leaf(3)]),
        ];
        let tree = [shared, leaf(3), leaf(2), leaf(9)];
        let (next, revoked) = run(&revoke(&["a"]), &tree, &sessions).unwrap();
        assert_eq!(next, [leaf(3).hash(), leaf(9).hash()], "what others made stays, in its order");
        assert_eq!(ids(&revoked.sessions), ["a", "b"]);
    }

    #[test]
    fn nothing_is_paid_for_a_revocation_of_what_is_not_there() {
        let sessions = [session("a", &[leaf(1)]), session("b", &[leaf(2)])];
        for request in [revoke(&["a"]), revoke(&[])] {
            let error = run(&request, &[leaf(2)], &sessions).unwrap_err();
            assert!(matches!(error, Error::NothingToRevoke { sessions } if sessions == request.revoked));
        }
        let all = UpdateRequest { all: true, ..UpdateRequest::default() };
        assert!(matches!(run(&all, &[], &sessions), Err(Error::NothingToRevoke { .. })));
        let (next, revoked) = run(&revoke(&["a", "b"]), &[leaf(2)], &sessions).unwrap();
        assert_eq!((next.len(), ids(&revoked.sessions)), (0, vec!["b"]));
        assert!(run(&revoke(&["nobody"]), &[leaf(2)], &sessions).is_err());
    }

    #[test]
    fn what_expired_by_the_block_s_time_goes_and_is_listed() {
        let sessions = [
            session("over", &[leaf_until(1, NOW - 1)]),
            session("half", &[leaf_until(2, NOW - 1), leaf(3)]),
            session("now", &[leaf_until(4, NOW)]),
        ];
        let tree = [leaf_until(1, NOW - 1), leaf_until(2, NOW - 1), leaf(3), leaf_until(4, NOW)];
        let request = UpdateRequest { added: vec![leaf(5)], ..UpdateRequest::default() };
        let (next, revoked) = run(&request, &tree, &sessions).unwrap();
        assert_eq!(next.len(), 4);
        assert_eq!((ids(&revoked.sessions), ids(&revoked.expired)), (vec![], vec!["over"]));
    }

    #[test]
    fn a_leaf_that_was_ever_granted_is_not_granted_again() {
        let sessions = [session("revoked", &[leaf(1)]), session("live", &[leaf(2)])];
        for (added, expected) in [
            (vec![leaf(1)], Some("revoked")),
            (vec![leaf(2)], Some("live")),
            (vec![leaf(9)], None), // another device's
            (vec![leaf(5), leaf(5)], None),
        ] {
            let request = UpdateRequest { added, ..UpdateRequest::default() };
            let error = run(&request, &[leaf(2), leaf(9)], &sessions).unwrap_err();
            let Error::DuplicateLeaf { session, .. } = error else { panic!("{error}") };
            assert_eq!(session.as_ref().map(SessionId::as_str), expected);
        }
    }

    #[test]
    fn a_foreign_root_is_replaced_only_by_name() {
        let root = B256::repeat_byte(7);
        let present = Present { account: ACCOUNT, root, leaves: None, sessions: &[], now: NOW };
        let mut request = UpdateRequest { added: vec![leaf(1)], ..UpdateRequest::default() };
        assert!(matches!(plan(&request, present), Err(Error::ForeignRoot { found, .. }) if found == root));
        request.foreign = Some(B256::repeat_byte(8));
        assert!(matches!(plan(&request, present), Err(Error::ForeignRoot { .. })), "another one was named");
        request.foreign = Some(root);
        let (next, revoked) = plan(&request, present).unwrap();
        assert_eq!((next, revoked.foreign_root), (vec![leaf(1).hash()], Some(root)));
    }

    #[test]
    fn what_another_device_revoked_is_listed_as_revived() {
        let sessions = [session("a", &[leaf(1)]), session("b", &[leaf(2)]), session("new", &[leaf(3)])];
        let [a, b, new] = [leaf(1).hash(), leaf(2).hash(), leaf(3).hash()];
        let root = |leaves: &[B256]| merkle::root(leaves).unwrap_or_default();
        let of = |found: &[B256]| {
            let seen = overwritten(root(found), Some(found), Some(&[a, b]), Some(&[a, b, new]), &sessions);
            let Overwritten::Tree { ended, revived, .. } = seen else { panic!("{seen:?}") };
            (ids(&ended).join(" "), ids(&revived).join(" "))
        };
        assert_eq!(of(&[]), (String::new(), "a b".to_owned()), "all were revoked, and the root was zero");
        assert_eq!(of(&[a]), (String::new(), "b".to_owned()));
        let other = session("other", &[leaf(4)]);
        let seen = overwritten(
            root(&[a, leaf(4).hash()]),
            Some(&[a, b, leaf(4).hash()]),
            Some(&[a, b]),
            Some(&[a, b, new]),
            &[other],
        );
        assert!(matches!(seen, Overwritten::Tree { ended, .. } if ids(&ended) == ["other"]));
    }

    #[test]
    fn an_update_is_rebased_on_what_others_did() {
        let [a, b, c, new] = [1, 2, 3, 4].map(B256::repeat_byte);
        assert_eq!(rebased(&[a, b], &[a, b, new], &[a, b, c]), [a, b, c, new]);
        assert_eq!(rebased(&[a, b], &[a, new], &[a, b, c]), [a, c, new]);
        assert_eq!(rebased(&[a, b], &[a, b, new], &[a]), [a, new], "what was revoked stays so");
        assert_eq!(rebased(&[a], &[a, new], &[a, new]), [a, new]);
    }
}
