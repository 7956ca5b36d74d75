//! Waiting for operations.

use std::time::Duration;

use crate::scene::Scene;
use quorate::testing::{Fault, Numbers, Orphaned};
use quorate::{Error, Overwritten, Status};

/// D9, D8 and the cases of errors while an operation waits.
#[tokio::test]
async fn a_wait_rides_out_what_passes() {
    for fault in [
        Fault::Timeout,
        Fault::Interrupted,
        Fault::Unreachable,
        Fault::Http(500),
        Fault::Http(502),
        Fault::Html,
        Fault::RateLimited { retry_after: None, body: true },
        Fault::rpc(-32603, "Internal error"),
        Fault::rpc(-32601, "UserOperation not found"),
        Fault::rpc(-32005, "limit exceeded"),
    ] {
        let scene = Scene::new().await;
        scene.chain.set_automine(false);
        let pending = scene.send_grant().await.unwrap();
        let shown = format!("{fault:?}");
        for _ in 0..3 {
            scene.bundler.on_next("eth_getUserOperationReceipt", fault.clone());
        }
        let chain = scene.chain.clone();
        let (granted, _) = tokio::join!(pending.wait(), async {
            tokio::task::yield_now().await;
            chain.mine();
        });
        granted.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

/// D9: a bundler that is down for good ends the wait at its deadline, with the hash and the reason.
#[tokio::test]
async fn a_wait_that_ends_has_the_hash_and_the_reason() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    scene.bundler.down(Fault::Http(503));
    let error =
        pending.operation().clone().with_deadline(Duration::from_millis(80)).wait().await.unwrap_err();
    assert_eq!(error.user_op_hash(), Some(pending.user_op_hash()));
    assert!(error.to_string().contains("503"), "{error}");
}

/// D4c: bundlers look back an hour, or a minute. The chain does not forget.
#[tokio::test]
async fn a_receipt_that_aged_out_is_found_on_chain() {
    let scene = Scene::new().await;
    let granted = scene.granted().await;
    scene.bundler.set_receipt_window(Some(1));
    for _ in 0..5 {
        scene.chain.mine();
    }
    let restarted = scene.restarted().await;
    restarted.bundler.set_receipt_window(Some(1));
    restarted.account.revoke([granted.id().clone()], &scene.owner).await.unwrap();
    for _ in 0..5 {
        scene.chain.mine();
    }
    assert_eq!(restarted.statuses().await, [Status::Revoked]);

    let pending = scene.send_grant().await.unwrap();
    for _ in 0..5 {
        scene.chain.mine();
    }
    let granted = pending.wait().await.unwrap();
    assert!(granted.receipt.success);
}

/// D9 and its case: the state before the grant is gone, and the grant is not.
#[tokio::test]
async fn a_grant_on_a_pruned_node_is_a_grant() {
    let scene = Scene::new().await;
    let pending = scene.send_grant().await.unwrap();
    for _ in 0..5 {
        scene.chain.mine();
    }
    scene.chain.prune(2);
    let granted = pending.wait().await.unwrap();
    assert_eq!(granted.overwritten, Overwritten::Unknown);
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// D9: a node that is behind the bundler is waited for, and decides nothing.
#[tokio::test]
async fn a_node_that_is_behind_is_waited_for() {
    let scene = Scene::new().await;
    scene.granted().await;
    let pending = scene.send_grant().await.unwrap();
    scene.node.set_lag(2);
    let node = scene.node.clone();
    let waited = tokio::join!(pending.wait(), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        node.set_lag(0);
    });
    let granted = waited.0.unwrap();
    // Right after the wait, the same node is asked, and knows.
    let session = scene.account.session(granted.id()).await.unwrap();
    scene.mint_with(&session).await.unwrap();
}

#[tokio::test]
async fn a_wait_asks_for_the_confirmations_that_it_is_told() {
    let scene = Scene::new().await;
    let pending = scene.send_grant().await.unwrap().with_confirmations(3);
    let early = pending.operation().clone().with_deadline(Duration::from_millis(60)).wait().await;
    assert!(matches!(early, Err(Error::Timeout { .. })), "{early:?}");
    for _ in 0..3 {
        scene.chain.mine();
    }
    pending.wait().await.unwrap();
}

/// Another operation took the nonce: one made elsewhere, by other software of the owner's.
#[tokio::test]
async fn an_operation_that_was_replaced_says_by_what() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    let elsewhere = scene.on_another_device().await;
    let friend = alloy_primitives::Address::repeat_byte(0xfe);
    let one = [quorate::Withdrawal::of(quorate::Asset::Native, alloy_primitives::U256::from(1))];
    scene.bundler.drop_operation(pending.user_op_hash());
    let other = elsewhere.account.withdraw(&one, friend, &scene.owner).await.unwrap();
    scene.chain.mine();
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, Error::Replaced { by, .. } if by == other.user_op_hash()), "{error}");
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
}

/// The nonce is used and no operation has it.
#[tokio::test]
async fn an_operation_whose_nonce_was_used_up_says_so() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    let pending = scene.mint_with(&session).await.unwrap();
    let cancelled = scene.account.cancel(pending.user_op_hash(), &scene.owner).await.unwrap();
    scene.bundler.hold(pending.user_op_hash());
    scene.chain.mine();
    cancelled.wait().await.unwrap();
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, Error::NonceUsed { .. }), "{error}");
    scene.bundler.release(pending.user_op_hash());
    scene.chain.mine();
    assert_eq!(scene.minted(), 0, "it came too late");
}

/// Bundlers write numbers in every form.
#[tokio::test]
async fn receipts_are_read_in_every_form() {
    for numbers in [Numbers::Hex, Numbers::Decimal, Numbers::Json, Numbers::HexObject, Numbers::BigNumber] {
        let scene = Scene::new().await;
        scene.bundler.set_numbers(numbers);
        scene.granted().await;
    }
}

/// A block that is taken back before the confirmations asked for: the wait goes on, and the operation lands again.
#[tokio::test]
async fn a_block_that_is_taken_back_does_not_end_a_wait() {
    for orphaned in [Orphaned::BackToMempool, Orphaned::Lost] {
        let scene = Scene::new().await;
        let pending = scene.send_grant().await.unwrap().with_confirmations(2);
        scene.chain.reorganise(1, orphaned);
        if matches!(orphaned, Orphaned::Lost) {
            assert_eq!(scene.statuses().await, [Status::Pending]);
            let resumed = scene.account.resume().await.unwrap();
            assert_eq!(resumed.len(), 1);
        }
        for _ in 0..4 {
            scene.chain.mine();
        }
        pending.wait().await.unwrap();
        assert_eq!(scene.statuses().await, [Status::Active]);
    }
}
