//! What every store does.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::sync::Arc;

use alloy_primitives::B256;
use quorate_store::{Key, MemoryStore, Session, SessionId, Status, Store, StoreError, Tree};
use sessions::{Database, account, session};

/// Runs a test on each store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Arc::new(super::MemoryStore::new())).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let database = super::Database::new();
                super::$test(super::Arc::new(database.open().await)).await;
            })*
        }
    };
}

on_every_store!(
    a_session_is_given_back_as_it_was_stored,
    each_kind_of_key_is_given_back,
    accounts_and_chains_are_apart,
    leaves_stand_in_the_order_they_were_added,
    the_tree_holds_what_may_be_on_chain,
    a_status_changes_only_as_it_can,
    only_what_is_not_in_the_tree_is_removed,
    an_id_is_taken_once_for_each_account,
    all_sessions_are_added_or_none,
    a_session_needs_a_leaf,
    what_is_not_there_is_named,
    tasks_lose_no_session_of_each_other,
    tasks_that_change_one_session_take_turns,
    the_largest_numbers_are_kept,
    the_newest_trees_are_remembered,
    a_tree_without_leaves_has_no_root,
);

type Shared = Arc<dyn Store>;

async fn a_session_is_given_back_as_it_was_stored(store: Shared) {
    let new = session("a");
    store.add(new.clone()).await.unwrap();
    let expected = Session {
        id: new.id.clone(),
        account: new.account,
        session_key: new.session_key,
        key_id: None,
        leaves: new.leaves,
        record: new.record,
        status: Status::Pending,
        created: new.created,
        user_op_hash: new.user_op_hash,
    };
    assert_eq!(store.session(new.account, &new.id).await.unwrap(), expected);
    assert_eq!(store.sessions(new.account).await.unwrap(), [expected]);
}

async fn each_kind_of_key_is_given_back(store: Shared) {
    let mut distributed = session("distributed");
    distributed.key = Key::Distributed {
        key_id: "key 1".to_owned(),
        attested_key: "attestations".to_owned(),
        ephemeral: [8; 32].into(),
    };
    let mut external = session("external");
    external.key = Key::External;
    let ids = [session("local").id, distributed.id.clone(), external.id.clone()];
    store.add_all(vec![session("local"), distributed, external]).await.unwrap();

    let Key::Local(secret) = store.key(account(), &ids[0]).await.unwrap() else { panic!("not local") };
    assert_eq!(*secret.expose(), [7; 32]);
    let Key::Distributed { key_id, attested_key, ephemeral } = store.key(account(), &ids[1]).await.unwrap()
    else {
        panic!("not distributed")
    };
    assert_eq!((key_id.as_str(), attested_key.as_str()), ("key 1", "attestations"));
    assert_eq!(*ephemeral.expose(), [8; 32]);
    assert!(matches!(store.key(account(), &ids[2]).await.unwrap(), Key::External));

    let key_ids = store.sessions(account()).await.unwrap().into_iter().map(|session| session.key_id);
    assert_eq!(key_ids.collect::<Vec<_>>(), [None, Some("key 1".to_owned()), None]);
}

async fn accounts_and_chains_are_apart(store: Shared) {
    let here = session("a");
    let mut elsewhere = session("a");
    elsewhere.account.chain_id += 1;
    elsewhere.record = "on another chain".to_owned();
    let mut of_another = session("a");
    of_another.account.address = [0x99; 20].into();
    of_another.record = "of another account".to_owned();
    for new in [&here, &elsewhere, &of_another] {
        store.add(new.clone()).await.unwrap();
    }
    for new in [&here, &elsewhere, &of_another] {
        let stored = store.sessions(new.account).await.unwrap();
        assert_eq!(stored.iter().map(|session| &session.record).collect::<Vec<_>>(), [&new.record]);
    }
    store.set_status(here.account, &here.id, Status::Active).await.unwrap();
    assert_eq!(
        store.session(elsewhere.account, &elsewhere.id).await.unwrap().status,
        Status::Pending,
        "the same id on another chain is another session"
    );
}

async fn leaves_stand_in_the_order_they_were_added(store: Shared) {
    // Neither the ids' nor the hashes' order.
    for id in ["c", "a", "b"] {
        store.add(session(id)).await.unwrap();
    }
    store.set_status(account(), &"c".parse().unwrap(), Status::Active).await.unwrap();
    let expected = ["c", "a", "b"].map(session);
    let expected: Vec<_> =
        expected.iter().flat_map(|new| new.leaves.iter().map(|leaf| (new.id.clone(), leaf.hash()))).collect();
    let found = store.leaves(account()).await.unwrap();
    assert_eq!(found.iter().map(|leaf| (leaf.session.clone(), leaf.hash)).collect::<Vec<_>>(), expected);
    assert_eq!(found[0].status, Status::Active);
    assert_eq!(found[2].status, Status::Pending);
}

async fn the_tree_holds_what_may_be_on_chain(store: Shared) {
    let statuses = [Status::Pending, Status::Active, Status::Expired, Status::Revoked, Status::Inactive];
    for status in statuses {
        let mut new = session(&status.to_string());
        new.status = status;
        store.add(new).await.unwrap();
    }
    let mut in_tree: Vec<_> =
        store.leaves(account()).await.unwrap().into_iter().map(|leaf| leaf.session.to_string()).collect();
    in_tree.dedup();
    assert_eq!(in_tree, ["pending", "active", "expired"]);
}

async fn a_status_changes_only_as_it_can(store: Shared) {
    use Status::{Active, Expired, Inactive, Pending, Revoked};
    let all = [Pending, Active, Expired, Revoked, Inactive];
    let possible = [
        (Pending, [true, true, false, false, true]),
        (Active, [true, true, true, true, true]),
        (Expired, [true, false, true, true, true]),
        (Revoked, [false, true, false, true, false]),
        (Inactive, [true, true, false, false, true]),
    ];
    for (from, row) in possible {
        for (to, possible) in all.into_iter().zip(row) {
            let mut new = session(&format!("{from} to {to}"));
            new.status = from;
            let id = new.id.clone();
            store.add(new).await.unwrap();
            let changed = store.set_status(account(), &id, to).await;
            let now = store.session(account(), &id).await.unwrap().status;
            if possible {
                changed.unwrap();
                assert_eq!(now, to);
            } else {
                let error = changed.unwrap_err();
                assert!(matches!(&error, StoreError::Transition { .. }), "{error}");
                assert!(error.to_string().contains(&format!("is {from} and cannot become {to}")), "{error}");
                assert_eq!(now, from);
            }
        }
    }
}

async fn only_what_is_not_in_the_tree_is_removed(store: Shared) {
    store.add_all(["a", "b", "c"].map(session).into()).await.unwrap();
    let b: SessionId = "b".parse().unwrap();
    let error = store.remove(account(), &b).await.unwrap_err();
    assert!(matches!(error, StoreError::InTree { status: Status::Pending, .. }), "{error}");
    assert_eq!(store.sessions(account()).await.unwrap().len(), 3);

    store.set_status(account(), &b, Status::Inactive).await.unwrap();
    store.remove(account(), &b).await.unwrap();
    let left: Vec<_> = store.sessions(account()).await.unwrap();
    assert_eq!(left.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert!(matches!(store.key(account(), &b).await, Err(StoreError::UnknownSession { .. })));

    store.add(session("b")).await.unwrap();
    let again = store.sessions(account()).await.unwrap();
    assert_eq!(again.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["a", "c", "b"]);
    assert_eq!(again[2].leaves, session("b").leaves);
}

async fn an_id_is_taken_once_for_each_account(store: Shared) {
    store.add(session("a")).await.unwrap();
    let mut other = session("a");
    other.record = "another one".to_owned();
    let error = store.add(other.clone()).await.unwrap_err();
    assert!(matches!(&error, StoreError::DuplicateSession { id, .. } if *id == other.id), "{error}");
    assert_eq!(store.session(account(), &other.id).await.unwrap().record, session("a").record);
}

async fn all_sessions_are_added_or_none(store: Shared) {
    store.add(session("c")).await.unwrap();
    let taken = store.add_all(["a", "b", "c"].map(session).into()).await;
    assert!(matches!(taken, Err(StoreError::DuplicateSession { .. })));
    let twice = store.add_all(["a", "a"].map(session).into()).await;
    assert!(matches!(twice, Err(StoreError::DuplicateSession { .. })));
    assert_eq!(store.sessions(account()).await.unwrap().len(), 1);
}

async fn a_session_needs_a_leaf(store: Shared) {
    let mut bare = session("b");
    bare.leaves.clear();
    let error = store.add_all(vec![session("a"), bare]).await.unwrap_err();
    assert!(matches!(&error, StoreError::NoLeaves { id, .. } if id.as_str() == "b"), "{error}");
    assert!(store.sessions(account()).await.unwrap().is_empty());
}

async fn what_is_not_there_is_named(store: Shared) {
    let id: SessionId = "nothing".parse().unwrap();
    for error in [
        store.session(account(), &id).await.unwrap_err(),
        store.key(account(), &id).await.unwrap_err(),
        store.set_status(account(), &id, Status::Active).await.unwrap_err(),
        store.remove(account(), &id).await.unwrap_err(),
    ] {
        let expected = format!("{} has no session nothing in this store", account());
        assert_eq!(error.to_string(), expected);
    }
    assert!(store.leaves(account()).await.unwrap().is_empty());
}

async fn tasks_lose_no_session_of_each_other(store: Shared) {
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..8 {
                    store.add(session(&format!("{task}-{number}"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.sessions(account()).await.unwrap().len(), 64);
}

async fn tasks_that_change_one_session_take_turns(store: Shared) {
    store.add(session("a")).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for status in [Status::Active, Status::Pending].repeat(16) {
                    store.set_status(account(), &session("a").id, status).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn the_largest_numbers_are_kept(store: Shared) {
    let mut new = session("a");
    new.account.chain_id = u64::MAX;
    new.created = u64::MAX;
    let (account, id) = (new.account, new.id.clone());
    store.add(new).await.unwrap();
    let stored = store.session(account, &id).await.unwrap();
    assert_eq!((stored.account.chain_id, stored.created), (u64::MAX, u64::MAX));
}

fn tree(leaves: impl IntoIterator<Item = u8>) -> Tree {
    Tree {
        leaves: leaves.into_iter().map(B256::repeat_byte).collect(),
        replaces: B256::repeat_byte(0x77),
        user_op_hash: Some(B256::repeat_byte(0x88)),
        operation: "an operation".to_owned(),
    }
}

async fn the_newest_trees_are_remembered(store: Shared) {
    let kept = u8::try_from(Tree::KEPT).unwrap();
    for last in 1..=kept + 2 {
        store.add_tree(account(), tree(1..=last)).await.unwrap();
    }
    let expected: Vec<_> = (3..=kept + 2).map(|last| tree(1..=last)).collect();
    assert_eq!(store.trees(account()).await.unwrap(), expected);

    // One that comes again is the newest, and takes nobody's place.
    let again = Tree { operation: "another".to_owned(), user_op_hash: None, ..tree(1..=5) };
    store.add_tree(account(), again.clone()).await.unwrap();
    let trees = store.trees(account()).await.unwrap();
    assert_eq!((trees.len(), trees.last()), (Tree::KEPT, Some(&again)));

    store.remove_tree(account(), again.root()).await.unwrap();
    assert_eq!(store.trees(account()).await.unwrap().len(), Tree::KEPT - 1);
    let mut elsewhere = account();
    elsewhere.chain_id += 1;
    assert!(store.trees(elsewhere).await.unwrap().is_empty());
}

async fn a_tree_without_leaves_has_no_root(store: Shared) {
    store.add_tree(account(), tree([])).await.unwrap();
    let trees = store.trees(account()).await.unwrap();
    assert_eq!(trees.iter().map(Tree::root).collect::<Vec<_>>(), [B256::ZERO]);
}
