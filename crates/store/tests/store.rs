//! What every store does.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use quorate_store::{
    AccountId, Answer, Change, DelegatedKey, Key, MemoryStore, NewSession, Operation, RootChange, Session,
    Store, StoreError, Transaction,
};
use sessions::{
    Contents, Database, account, delegated_key, distributed, id, leaves, operation, root, session,
};

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
    sessions_stand_in_the_order_they_were_added,
    accounts_and_chains_are_apart,
    an_id_is_taken_once_for_each_account,
    a_session_needs_a_leaf,
    a_session_of_another_account_is_refused,
    what_is_not_there_is_named,
    where_a_session_landed_is_set_and_cleared,
    a_session_in_use_is_not_removed,
    a_removed_session_leaves_its_id_free,
    all_changes_are_made_or_none,
    later_changes_see_earlier_ones,
    a_tree_is_remembered_once,
    a_tree_without_a_root_is_not_remembered,
    no_tree_is_forgotten_for_its_age,
    a_tree_that_an_operation_names_is_not_removed,
    operations_are_given_back_as_they_were_stored,
    the_first_operation_of_one_hash_is_kept,
    an_operation_changes_in_its_answer_and_its_end,
    tasks_that_add_lose_nothing_of_each_other,
    tasks_that_change_one_session_take_turns,
    the_largest_numbers_are_kept,
    a_nonce_is_reserved_once_until_its_time_is_over,
    what_was_signed_keeps_its_nonce,
    an_operations_nonce_has_its_stream_above_64_bits,
    keys_and_chains_have_nonces_of_their_own,
    a_nonce_is_given_back_by_who_has_it_before_it_signs,
    keys_to_which_an_account_delegates_are_its_own,
);

type Shared = Arc<dyn Store>;

async fn apply(store: &Shared, changes: impl IntoIterator<Item = Change>) {
    store.apply(account(), changes.into_iter().collect()).await.unwrap();
}

async fn refused(store: &Shared, changes: impl IntoIterator<Item = Change>) -> StoreError {
    store.apply(account(), changes.into_iter().collect()).await.unwrap_err()
}

fn add(session: NewSession) -> Change {
    Change::AddSession(Box::new(session))
}

fn add_operation(operation: Operation) -> Change {
    Change::AddOperation(Box::new(operation))
}

fn hash(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

async fn ids(store: &Shared, account: AccountId) -> Vec<String> {
    store.sessions(account).await.unwrap().into_iter().map(|session| session.id.to_string()).collect()
}

async fn a_session_is_given_back_as_it_was_stored(store: Shared) {
    let plain = NewSession { user_op_hash: None, ..session("a") };
    let landed = NewSession { landed: Some(70_000_000), created: 1_700_000_001, ..session("b") };
    apply(&store, [add(plain.clone()), add(landed.clone())]).await;
    let expected = [plain, landed].map(|new| Session {
        id: new.id,
        account: new.account,
        session_key: new.session_key,
        key_id: None,
        leaves: new.leaves,
        created: new.created,
        user_op_hash: new.user_op_hash,
        landed: new.landed,
    });
    assert_eq!(store.sessions(account()).await.unwrap(), expected);
    for session in expected {
        assert_eq!(store.session(account(), &session.id).await.unwrap(), session);
    }
}

async fn each_kind_of_key_is_given_back(store: Shared) {
    let key = Key::Distributed {
        key_id: "key 1".to_owned(),
        attested_key: "attestations".to_owned(),
        ephemeral: [8; 32].into(),
    };
    let distributed = NewSession { key, ..session("distributed") };
    let external = NewSession { key: Key::External, ..session("external") };
    apply(&store, [session("local"), distributed, external].map(add)).await;

    let Key::Local(secret) = store.key(account(), &id("local")).await.unwrap() else { panic!("not local") };
    assert_eq!(*secret.expose(), [7; 32]);
    let Key::Distributed { key_id, attested_key, ephemeral } =
        store.key(account(), &id("distributed")).await.unwrap()
    else {
        panic!("not distributed")
    };
    assert_eq!((key_id.as_str(), attested_key.as_str()), ("key 1", "attestations"));
    assert_eq!(*ephemeral.expose(), [8; 32]);
    assert!(matches!(store.key(account(), &id("external")).await.unwrap(), Key::External));

    let key_ids = store.sessions(account()).await.unwrap().into_iter().map(|session| session.key_id);
    assert_eq!(key_ids.collect::<Vec<_>>(), [None, Some("key 1".to_owned()), None]);
}

async fn sessions_stand_in_the_order_they_were_added(store: Shared) {
    // Neither the ids' nor the hashes' order, and neither one change nor one step for all.
    apply(&store, ["c", "a"].map(session).map(add)).await;
    store.add(session("b")).await.unwrap();
    apply(&store, [Change::SetLanded { session: id("c"), block: Some(1) }]).await;
    assert_eq!(ids(&store, account()).await, ["c", "a", "b"]);
    for stored in store.sessions(account()).await.unwrap() {
        assert_eq!(stored.leaves, session(stored.id.as_str()).leaves);
    }
}

async fn accounts_and_chains_are_apart(store: Shared) {
    let on_another_chain = AccountId { chain_id: account().chain_id + 1, ..account() };
    let another = AccountId { address: [0x99; 20].into(), ..account() };
    let accounts = [account(), on_another_chain, another];
    for (number, account) in (1_u8..).zip(accounts) {
        let changes = vec![
            add(NewSession { account, created: number.into(), ..session("a") }),
            Change::AddTree(vec![hash(1)]),
            Change::AddTree(vec![hash(number + 1)]),
            add_operation(Operation { message: number.to_string(), ..operation(1) }),
        ];
        store.apply(account, changes).await.unwrap();
    }
    let expected = |number: u8| {
        let of_one = session("a");
        Contents {
            sessions: vec![(of_one.id, None)],
            trees: vec![(hash(1), vec![hash(1)]), (hash(number + 1), vec![hash(number + 1)])],
            operations: vec![Operation { message: number.to_string(), ..operation(1) }],
        }
    };
    for (number, account) in (1_u8..).zip(accounts) {
        let stored = store.session(account, &id("a")).await.unwrap();
        assert_eq!((stored.account, stored.created), (account, number.into()));
        assert_eq!(Contents::of(&*store, account).await, expected(number));
    }

    let change_all = [
        Change::SetLanded { session: id("a"), block: Some(1) },
        Change::SetAnswer { user_op_hash: hash(1), answer: Answer::Refused },
        Change::SetClosed { user_op_hash: hash(1), block: Some(1) },
        Change::RemoveOperation(hash(1)),
        Change::RemoveSession(id("a")),
        Change::RemoveTree(hash(1)),
        Change::RemoveTree(hash(2)),
    ];
    apply(&store, change_all).await;
    assert_eq!(Contents::of(&*store, account()).await, Contents::default());
    assert_eq!(Contents::of(&*store, on_another_chain).await, expected(2));
    assert_eq!(Contents::of(&*store, another).await, expected(3));
}

async fn an_id_is_taken_once_for_each_account(store: Shared) {
    store.add(session("a")).await.unwrap();
    let other = NewSession { created: 1, ..session("a") };
    let error = store.add(other).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::DuplicateSession { account: of, id } if *of == account() && id.as_str() == "a"),
        "{error}"
    );
    assert_eq!(store.session(account(), &id("a")).await.unwrap().created, session("a").created);

    let error = refused(&store, ["b", "c", "b"].map(session).map(add)).await;
    assert!(matches!(&error, StoreError::DuplicateSession { id, .. } if id.as_str() == "b"), "{error}");
    assert_eq!(ids(&store, account()).await, ["a"]);
}

async fn a_session_needs_a_leaf(store: Shared) {
    let bare = NewSession { leaves: Vec::new(), ..session("b") };
    let error = refused(&store, [session("a"), bare].map(add)).await;
    assert!(matches!(&error, StoreError::NoLeaves { id, .. } if id.as_str() == "b"), "{error}");
    assert!(store.sessions(account()).await.unwrap().is_empty());
}

async fn a_session_of_another_account_is_refused(store: Shared) {
    let elsewhere = AccountId { chain_id: 1, ..account() };
    let stranger = NewSession { account: elsewhere, ..session("b") };
    let error = refused(&store, [session("a"), stranger].map(add)).await;
    let named = matches!(
        &error,
        StoreError::OtherAccount { account: of, session, id }
            if *of == account() && *session == elsewhere && id.as_str() == "b"
    );
    assert!(named, "{error}");
    assert!(store.sessions(account()).await.unwrap().is_empty());
    assert!(store.sessions(elsewhere).await.unwrap().is_empty());
}

async fn what_is_not_there_is_named(store: Shared) {
    let nothing = id("nothing");
    for error in [
        store.session(account(), &nothing).await.unwrap_err(),
        store.key(account(), &nothing).await.unwrap_err(),
        refused(&store, [Change::RemoveSession(nothing)]).await,
    ] {
        assert!(matches!(error, StoreError::UnknownSession { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{} has no session nothing in this store", account()));
    }
    assert_eq!(store.tree(account(), hash(1)).await.unwrap(), None);

    apply(&store, []).await;
    let without_effect = [
        Change::SetLanded { session: id("nothing"), block: Some(1) },
        Change::RemoveTree(hash(1)),
        Change::SetAnswer { user_op_hash: hash(1), answer: Answer::Taken },
        Change::SetClosed { user_op_hash: hash(1), block: Some(1) },
        Change::RemoveOperation(hash(1)),
    ];
    apply(&store, without_effect).await;
    assert_eq!(Contents::of(&*store, account()).await, Contents::default());
}

async fn where_a_session_landed_is_set_and_cleared(store: Shared) {
    apply(&store, ["a", "b"].map(session).map(add)).await;
    for block in [Some(0), Some(7), None, Some(8)] {
        apply(&store, [Change::SetLanded { session: id("a"), block }]).await;
        let landed = store.sessions(account()).await.unwrap().into_iter().map(|session| session.landed);
        assert_eq!(landed.collect::<Vec<_>>(), [block, None]);
        assert_eq!(store.session(account(), &id("a")).await.unwrap().landed, block);
        assert!(matches!(store.key(account(), &id("a")).await.unwrap(), Key::Local(_)));
    }
}

async fn a_session_in_use_is_not_removed(store: Shared) {
    let grant = Operation { session: Some(id("a")), ..operation(1) };
    let call = Operation { session: Some(id("a")), root_change: None, ..operation(2) };
    let owners = Operation { session: None, ..operation(3) };
    apply(&store, [add(session("a")), add(session("b"))]).await;
    apply(&store, [grant, call, owners].map(add_operation)).await;

    for first in [1, 2] {
        let error = refused(&store, [Change::RemoveSession(id("a"))]).await;
        let named = matches!(
            &error,
            StoreError::InUse { account: of, id, user_op_hash }
                if *of == account() && id.as_str() == "a" && *user_op_hash == hash(first)
        );
        assert!(named, "{error}");
        assert_eq!(ids(&store, account()).await, ["a", "b"]);
        // One that is over is not yet forgotten.
        apply(&store, [Change::SetClosed { user_op_hash: hash(first), block: Some(1) }]).await;
        assert!(matches!(refused(&store, [Change::RemoveSession(id("a"))]).await, StoreError::InUse { .. }));
        apply(&store, [Change::RemoveOperation(hash(first))]).await;
    }
    // Nobody follows one that was abandoned, and it stays all the same.
    let abandoned = Operation { session: Some(id("a")), answer: Answer::Abandoned, ..operation(4) };
    apply(&store, [add_operation(abandoned)]).await;
    apply(&store, [Change::RemoveSession(id("a")), Change::RemoveSession(id("b"))]).await;
    assert!(store.sessions(account()).await.unwrap().is_empty());
    assert_eq!(store.operations(account()).await.unwrap().len(), 2);
}

async fn a_removed_session_leaves_its_id_free(store: Shared) {
    apply(&store, ["a", "b", "c"].map(session).map(add)).await;
    apply(&store, [Change::RemoveSession(id("b"))]).await;
    assert_eq!(ids(&store, account()).await, ["a", "c"]);
    assert!(matches!(store.key(account(), &id("b")).await, Err(StoreError::UnknownSession { .. })));

    let mut again = session("b");
    again.leaves.truncate(1);
    apply(&store, [Change::RemoveSession(id("c")), add(again.clone())]).await;
    assert_eq!(ids(&store, account()).await, ["a", "b"]);
    assert_eq!(store.session(account(), &again.id).await.unwrap().leaves, again.leaves);
}

async fn all_changes_are_made_or_none(store: Shared) {
    let given = [
        add(session("a")),
        add(session("b")),
        Change::AddTree(leaves(1)),
        Change::AddTree(leaves(2)),
        add_operation(Operation { session: Some(id("a")), ..operation(1) }),
        add_operation(operation(2)),
    ];
    apply(&store, given).await;
    let before = Contents::of(&*store, account()).await;
    assert_eq!((before.sessions.len(), before.trees.len(), before.operations.len()), (2, 2, 2));

    for last in [
        add(session("a")),
        add(session("c")),
        add(NewSession { leaves: Vec::new(), ..session("e") }),
        add(NewSession { account: AccountId { chain_id: 1, ..account() }, ..session("e") }),
        Change::RemoveSession(id("a")),
        Change::RemoveSession(id("nothing")),
    ] {
        let shown = format!("{last:?}");
        let changes = [
            add(session("c")),
            Change::SetLanded { session: id("a"), block: Some(1) },
            Change::RemoveSession(id("b")),
            Change::AddTree(leaves(3)),
            Change::RemoveTree(root(&leaves(2))),
            add_operation(operation(3)),
            Change::SetAnswer { user_op_hash: hash(1), answer: Answer::Taken },
            Change::SetClosed { user_op_hash: hash(1), block: Some(1) },
            Change::RemoveOperation(hash(2)),
            last,
        ];
        refused(&store, changes).await;
        assert_eq!(Contents::of(&*store, account()).await, before, "{shown}");
        assert!(matches!(store.key(account(), &id("b")).await.unwrap(), Key::Local(_)));
        assert!(store.session(account(), &id("c")).await.is_err());
        assert_eq!(store.tree(account(), root(&leaves(3))).await.unwrap(), None);
    }
}

async fn later_changes_see_earlier_ones(store: Shared) {
    let changes = [
        add_operation(Operation { session: Some(id("a")), ..operation(1) }),
        add(session("a")),
        Change::SetLanded { session: id("a"), block: Some(5) },
        Change::SetAnswer { user_op_hash: hash(1), answer: Answer::Conflict },
        Change::RemoveOperation(hash(1)),
        Change::RemoveSession(id("a")),
        add(session("b")),
        add(session("a")),
    ];
    apply(&store, changes).await;
    let found = Contents::of(&*store, account()).await;
    assert_eq!(found.sessions, [(id("b"), None), (id("a"), None)]);
    assert!(found.operations.is_empty());

    let unused =
        [add_operation(Operation { session: Some(id("a")), ..operation(1) }), Change::RemoveSession(id("a"))];
    assert!(matches!(refused(&store, unused).await, StoreError::InUse { .. }));
}

async fn a_tree_is_remembered_once(store: Shared) {
    apply(&store, [3, 1, 2].map(leaves).map(Change::AddTree)).await;
    let expected = [3, 1, 2].map(|number| root(&leaves(number)));
    assert_eq!(store.roots(account()).await.unwrap(), expected);
    apply(&store, [Change::AddTree(leaves(3)), Change::AddTree(leaves(3))]).await;
    assert_eq!(store.roots(account()).await.unwrap(), expected, "neither twice nor moved");

    // A pair is hashed in the order of its bytes: another order of leaves, the same root.
    let mut swapped = leaves(2);
    swapped.reverse();
    assert_eq!(root(&swapped), root(&leaves(2)));
    apply(&store, [Change::AddTree(swapped)]).await;
    assert_eq!(store.roots(account()).await.unwrap(), expected);
    for number in [3, 1, 2] {
        let found = store.tree(account(), root(&leaves(number))).await.unwrap();
        assert_eq!(found, Some(leaves(number)), "the first is given back, in its order");
    }

    // A leaf may stand in a tree twice.
    let double = vec![hash(9), hash(9), hash(8)];
    apply(&store, [Change::AddTree(double.clone())]).await;
    assert_eq!(store.tree(account(), root(&double)).await.unwrap(), Some(double));

    apply(&store, [Change::RemoveTree(root(&leaves(1)))]).await;
    assert_eq!(store.tree(account(), root(&leaves(1))).await.unwrap(), None);
    apply(&store, [Change::AddTree(leaves(1))]).await;
    assert_eq!(store.roots(account()).await.unwrap().last(), Some(&root(&leaves(1))));
}

async fn a_tree_without_a_root_is_not_remembered(store: Shared) {
    // The root of the second is zero too, which stands for the tree without leaves.
    for leaves in [vec![], vec![B256::ZERO]] {
        apply(&store, [Change::AddTree(leaves)]).await;
        assert!(store.roots(account()).await.unwrap().is_empty());
        assert_eq!(store.tree(account(), B256::ZERO).await.unwrap(), None);
    }
}

async fn no_tree_is_forgotten_for_its_age(store: Shared) {
    for number in 1..=40 {
        apply(&store, [Change::AddTree(leaves(number))]).await;
    }
    let roots = store.roots(account()).await.unwrap();
    assert_eq!(roots, (1..=40).map(|number| root(&leaves(number))).collect::<Vec<_>>());
    for (number, root) in (1..=40).zip(roots) {
        assert_eq!(store.tree(account(), root).await.unwrap(), Some(leaves(number)));
    }
}

async fn a_tree_that_an_operation_names_is_not_removed(store: Shared) {
    let [before, after, other] = [1, 2, 3].map(|number| root(&leaves(number)));
    apply(&store, [1, 2, 3].map(leaves).map(Change::AddTree)).await;
    let root_change = Some(RootChange { replaces: before, sets: after });
    apply(&store, [add_operation(Operation { root_change, ..operation(1) })]).await;
    apply(&store, [before, after, other].map(Change::RemoveTree)).await;
    assert_eq!(store.roots(account()).await.unwrap(), [before, after]);

    // The tree of another account's operation is nobody's here.
    let elsewhere = AccountId { chain_id: 1, ..account() };
    store.apply(elsewhere, vec![Change::AddTree(leaves(1)), Change::RemoveTree(before)]).await.unwrap();
    assert!(store.roots(elsewhere).await.unwrap().is_empty());

    apply(&store, [Change::SetClosed { user_op_hash: hash(1), block: Some(9) }, Change::RemoveTree(before)])
        .await;
    assert_eq!(store.roots(account()).await.unwrap(), [before, after], "one that is over is stored still");
    apply(&store, [Change::RemoveOperation(hash(1)), Change::RemoveTree(before)]).await;
    assert_eq!(store.roots(account()).await.unwrap(), [after]);
    apply(&store, [Change::RemoveTree(after)]).await;
    assert!(store.roots(account()).await.unwrap().is_empty());
}

async fn operations_are_given_back_as_they_were_stored(store: Shared) {
    let root_change = Some(RootChange { replaces: hash(0xaa), sets: hash(0xbb) });
    let from_nothing_to_nothing = Some(RootChange { replaces: B256::ZERO, sets: B256::ZERO });
    let plain = |number: u8| Operation { session: None, root_change: None, ..operation(number) };
    let operations = [
        Operation { session: Some(id("für é")), root_change, closed_at_block: Some(12), ..operation(9) },
        Operation { answer: Answer::Taken, told: true, ..plain(1) },
        Operation { session: Some(id("a")), answer: Answer::Conflict, ..plain(2) },
        Operation { root_change, answer: Answer::Refused, ..plain(3) },
        Operation { root_change: from_nothing_to_nothing, answer: Answer::Open, ..plain(4) },
        Operation { closed_at_block: Some(0), message: String::new(), nonce: U256::ZERO, ..plain(5) },
        Operation { message: "{\"a\": \"✓\n\"}".repeat(1000), ..plain(0) },
    ];
    apply(&store, operations.clone().map(add_operation)).await;
    assert_eq!(store.operations(account()).await.unwrap(), operations);
}

async fn the_first_operation_of_one_hash_is_kept(store: Shared) {
    let first = operation(1);
    let second = Operation {
        user_op_hash: first.user_op_hash,
        message: "signed again".to_owned(),
        answer: Answer::Taken,
        ..operation(2)
    };
    apply(&store, [first.clone(), operation(3)].map(add_operation)).await;
    apply(&store, [add_operation(second.clone()), add_operation(second)]).await;
    assert_eq!(store.operations(account()).await.unwrap(), [first, operation(3)]);
}

async fn an_operation_changes_in_its_answer_and_its_end(store: Shared) {
    let user_op_hash = hash(1);
    let mut expected = [operation(1), operation(2)];
    apply(&store, expected.clone().map(add_operation)).await;
    for answer in [Answer::Taken, Answer::Conflict, Answer::Refused, Answer::Abandoned, Answer::Open] {
        apply(&store, [Change::SetAnswer { user_op_hash, answer }]).await;
        expected[0].answer = answer;
        assert_eq!(store.operations(account()).await.unwrap(), expected);
    }
    for _ in 0..2 {
        let told = |user_op_hash, told| Change::SetTold { user_op_hash, told };
        apply(&store, [told(user_op_hash, true), told(hash(9), true)]).await;
        expected[0].told = true;
        assert_eq!(store.operations(account()).await.unwrap(), expected);
    }
    for block in [Some(0), Some(5), None, Some(6)] {
        apply(&store, [Change::SetClosed { user_op_hash, block }]).await;
        expected[0].closed_at_block = block;
        assert_eq!(store.operations(account()).await.unwrap(), expected);
    }
    apply(&store, [Change::RemoveOperation(user_op_hash)]).await;
    assert_eq!(store.operations(account()).await.unwrap(), expected[1..]);
    apply(&store, [add_operation(operation(1))]).await;
    let found = store.operations(account()).await.unwrap();
    assert_eq!(found, [operation(2), operation(1)], "one that comes again is the last");
}

async fn tasks_that_add_lose_nothing_of_each_other(store: Shared) {
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (1..=8).map(|number| 8 * task + number) {
                    let changes = vec![
                        add(session(&number.to_string())),
                        Change::AddTree(leaves(number)),
                        add_operation(operation(number)),
                    ];
                    store.apply(account(), changes).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found = Contents::of(&*store, account()).await;
    let steps: Vec<u8> = found.sessions.iter().map(|(id, _)| id.as_str().parse().unwrap()).collect();
    let mut sorted = steps.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1..=64));
    let trees = found.trees.iter().map(|(_, leaves)| leaves.clone());
    assert!(trees.eq(steps.iter().map(|number| leaves(*number))), "each step stands behind the one before");
    assert!(found.operations.into_iter().eq(steps.iter().map(|number| operation(*number))));
}

async fn tasks_that_change_one_session_take_turns(store: Shared) {
    apply(&store, [add(session("a")), add_operation(operation(1))]).await;
    apply(&store, (1..=4).map(|task: u64| add(session(&task.to_string())))).await;
    let writers: Vec<_> = (1..=4_u64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..16 {
                    let block = Some(task * 100 + round);
                    // What it reads first decides what it writes.
                    let changes = vec![
                        Change::RemoveSession(id(&task.to_string())),
                        add(session(&task.to_string())),
                        Change::SetLanded { session: id("a"), block },
                        Change::SetClosed { user_op_hash: hash(1), block },
                    ];
                    store.apply(account(), changes).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let landed = store.session(account(), &id("a")).await.unwrap().landed.unwrap();
    assert_eq!(landed % 100, 15, "the last step of one of them was the last of all");
    assert_eq!(store.operations(account()).await.unwrap()[0].closed_at_block, Some(landed));
    assert_eq!(ids(&store, account()).await.last(), Some(&(landed / 100).to_string()));
}

async fn the_largest_numbers_are_kept(store: Shared) {
    let account = AccountId { chain_id: u64::MAX, ..account() };
    let new = NewSession { account, created: u64::MAX, landed: Some(u64::MAX), ..session("a") };
    let largest = Operation {
        nonce: U256::MAX,
        signed_at_block: u64::MAX,
        closed_at_block: Some(u64::MAX),
        ..operation(1)
    };
    let changes =
        vec![add(new), Change::AddTree(vec![B256::repeat_byte(0xff)]), add_operation(largest.clone())];
    store.apply(account, changes).await.unwrap();
    let stored = store.session(account, &id("a")).await.unwrap();
    assert_eq!((stored.account, stored.created, stored.landed), (account, u64::MAX, Some(u64::MAX)));
    assert!(matches!(store.key(account, &id("a")).await.unwrap(), Key::Local(_)));
    assert_eq!(store.operations(account).await.unwrap(), [largest]);
    assert_eq!(store.roots(account).await.unwrap(), [B256::repeat_byte(0xff)]);

    let changes = vec![
        Change::SetLanded { session: id("a"), block: Some(u64::MAX - 1) },
        Change::SetClosed { user_op_hash: hash(1), block: Some(u64::MAX - 1) },
    ];
    store.apply(account, changes).await.unwrap();
    assert_eq!(store.session(account, &id("a")).await.unwrap().landed, Some(u64::MAX - 1));
    assert_eq!(store.operations(account).await.unwrap()[0].closed_at_block, Some(u64::MAX - 1));
}

fn transaction(nonce: u64, data: u8) -> Transaction {
    Transaction { nonce: U256::from(nonce), data: vec![data], reserved_until: 100, signed: Vec::new() }
}

fn reserve(transaction: Transaction, now: u64) -> Change {
    Change::ReserveNonce { transaction, now }
}

fn signed(nonce: u64, data: u8, encoded: u8) -> Change {
    Change::AddSigned { nonce: U256::from(nonce), data: vec![data], encoded: vec![encoded] }
}

fn taken_nonce(error: &StoreError) -> Option<U256> {
    match error {
        StoreError::NonceTaken { nonce, .. } => Some(*nonce),
        _ => None,
    }
}

async fn a_nonce_is_reserved_once_until_its_time_is_over(store: Shared) {
    apply(&store, [reserve(transaction(8, 1), 50), reserve(transaction(7, 2), 50)]).await;
    let taken = refused(&store, [reserve(transaction(7, 3), 100)]).await;
    assert_eq!(taken_nonce(&taken), Some(U256::from(7)), "{taken}");
    assert_eq!(store.transactions(account()).await.unwrap(), [transaction(7, 2), transaction(8, 1)]);
    // The same call has one nonce, until its end is told or its time is over.
    let same = refused(&store, [reserve(transaction(9, 1), 100)]).await;
    assert!(matches!(same, StoreError::SameData { nonce, .. } if nonce == U256::from(8)), "{same}");
    // Whoever has it signs; who comes later than its time takes it over, and the first one is told.
    apply(&store, [reserve(transaction(7, 3), 101)]).await;
    let late = refused(&store, [signed(7, 2, 9)]).await;
    assert_eq!(taken_nonce(&late), Some(U256::from(7)), "{late}");
    let unknown = refused(&store, [signed(9, 2, 9)]).await;
    assert_eq!(taken_nonce(&unknown), Some(U256::from(9)), "{unknown}");
    assert_eq!(store.transactions(account()).await.unwrap(), [transaction(7, 3), transaction(8, 1)]);
}

async fn what_was_signed_keeps_its_nonce(store: Shared) {
    apply(&store, [reserve(transaction(7, 1), 50), signed(7, 1, 20), signed(7, 1, 21)]).await;
    let taken = refused(&store, [reserve(transaction(7, 2), u64::MAX >> 1)]).await;
    assert_eq!(taken_nonce(&taken), Some(U256::from(7)), "{taken}");
    let expected = Transaction { signed: vec![vec![20], vec![21]], ..transaction(7, 1) };
    assert_eq!(store.transactions(account()).await.unwrap(), [expected]);
    apply(&store, [Change::RemoveTransaction(U256::from(7)), Change::RemoveTransaction(U256::from(6))]).await;
    assert_eq!(store.transactions(account()).await.unwrap(), []);
    apply(&store, [reserve(transaction(7, 2), 50)]).await;
    assert_eq!(store.transactions(account()).await.unwrap(), [transaction(7, 2)]);
}

async fn a_nonce_is_given_back_by_who_has_it_before_it_signs(store: Shared) {
    let release = |nonce: u64, data| Change::ReleaseNonce { nonce: U256::from(nonce), data: vec![data] };
    let given = [reserve(transaction(7, 1), 50), reserve(transaction(8, 2), 50), signed(8, 2, 9)];
    apply(&store, given).await;
    let before = store.transactions(account()).await.unwrap();
    apply(&store, [release(7, 2), release(8, 2), release(9, 1)]).await;
    assert_eq!(store.transactions(account()).await.unwrap(), before, "another's, and one that was signed");
    apply(&store, [release(7, 1)]).await;
    assert_eq!(store.transactions(account()).await.unwrap(), before[1..]);
}

async fn an_operations_nonce_has_its_stream_above_64_bits(store: Shared) {
    let of_stream = |stream: u64| Transaction {
        nonce: (U256::from(stream) << 64) | U256::from(7),
        ..transaction(0, u8::try_from(stream).unwrap())
    };
    let top = Transaction { nonce: U256::MAX, ..transaction(0, 9) };
    for transaction in [top.clone(), of_stream(2), of_stream(1)] {
        apply(&store, [reserve(transaction, 50)]).await;
    }
    assert_eq!(store.transactions(account()).await.unwrap(), [of_stream(1), of_stream(2), top]);
}

async fn keys_and_chains_have_nonces_of_their_own(store: Shared) {
    apply(&store, [reserve(transaction(7, 1), 50)]).await;
    let other = AccountId { chain_id: 1, ..account() };
    store.apply(other, vec![reserve(transaction(7, 2), 50)]).await.unwrap();
    assert_eq!(store.transactions(account()).await.unwrap(), [transaction(7, 1)]);
    assert_eq!(store.transactions(other).await.unwrap(), [transaction(7, 2)]);
}

async fn keys_to_which_an_account_delegates_are_its_own(store: Shared) {
    let (first, second) = (delegated_key(1), delegated_key(2));
    let add = |key: &DelegatedKey, secret: u8| Change::AddDelegatedKey {
        key: Box::new(key.clone()),
        secret: Box::new(distributed(&key.key_id, secret)),
    };
    apply(&store, [add(&second, 2), add(&first, 1), add(&DelegatedKey { created: 0, ..first.clone() }, 9)])
        .await;
    assert_eq!(store.delegated_keys(account()).await.unwrap(), [second.clone(), first.clone()]);
    let Some(Key::Distributed { key_id, attested_key, ephemeral }) =
        store.delegated_key(account(), first.address).await.unwrap()
    else {
        panic!("it is there")
    };
    assert_eq!((key_id, attested_key.as_str()), (first.key_id.clone(), "attested"));
    assert_eq!(ephemeral.expose(), &[1; 32], "the one that was added first");

    let other = AccountId { chain_id: 1, ..account() };
    assert_eq!(store.delegated_keys(other).await.unwrap(), []);
    assert!(store.delegated_key(other, first.address).await.unwrap().is_none());
    apply(&store, [Change::RemoveDelegatedKey(second.address), Change::RemoveDelegatedKey(second.address)])
        .await;
    assert_eq!(store.delegated_keys(account()).await.unwrap(), [first]);
}
