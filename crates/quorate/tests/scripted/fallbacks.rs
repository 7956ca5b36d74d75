//! Several bundlers, of which one fails: whatever it took or not, no call is executed twice.

use std::sync::Arc;

use quorate::testing::{Fault, ScriptedBundler, ScriptedChain};
use quorate::{Bundler, Error, Quorate};
use quorate_store::MemoryStore;

use crate::scene::Scene;

/// A scene of which the client has a second bundler.
async fn scene() -> (Scene, Arc<ScriptedBundler>) {
    let chain = ScriptedChain::new();
    let mut scene = Scene::with(chain.clone(), Arc::new(MemoryStore::new())).await;
    let second = chain.bundler();
    let bundler = Bundler::new(scene.bundler.clone()).with_fallbacks([Bundler::new(second.clone())]);
    let client = Quorate::connect_with(chain.deployment(), scene.node.clone(), bundler).await.unwrap();
    scene.client = client.with_unlimited_requests();
    scene.account = scene.client.account(scene.account.owner(), 0);
    (scene, second)
}

fn sent_to(scene: &Scene, bundler: &ScriptedBundler) -> usize {
    let sends = |(endpoint, method): &(_, String)| {
        *endpoint == bundler.endpoint() && method == "eth_sendUserOperation"
    };
    scene.chain.requests().iter().filter(|request| sends(request)).count()
}

#[tokio::test]
async fn another_bundler_serves_where_the_first_is_down() {
    let (scene, second) = scene().await;
    scene.bundler.down(Fault::Unreachable);
    let session = scene.session().await;
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!((scene.minted(), sent_to(&scene, &second)), (1, 2));
}

#[tokio::test]
async fn an_operation_that_one_took_without_an_answer_goes_to_no_other() {
    let (scene, second) = scene().await;
    let session = scene.session().await;
    for fault in [Fault::Timeout, Fault::Interrupted, Fault::Http(502), Fault::rpc(-32603, "Internal error")]
    {
        let before = scene.minted();
        scene.bundler.on_next("eth_sendUserOperation", fault.clone().after_acting());
        let sent = scene.mint_with(&session).await;
        sent.unwrap_or_else(|error| panic!("{fault:?}: {error}")).wait().await.unwrap();
        assert_eq!((scene.minted() - before, sent_to(&scene, &second)), (1, 0), "{fault:?}");
    }
}

/// Nobody can say whether it was taken: the other one might execute it as well, after a replacement.
#[tokio::test]
async fn an_operation_that_may_have_been_taken_is_unsettled_and_keeps_its_nonce() {
    let (scene, second) = scene().await;
    let session = scene.session().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout);
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::Unsettled { .. }), "{error}");
    assert_eq!((scene.minted(), sent_to(&scene, &second)), (0, 0));
    let pending = scene.mint_with(&session).await.unwrap();
    assert_eq!(Some(pending.user_op_hash()), error.user_op_hash());
    pending.wait().await.unwrap();
    assert_eq!(scene.minted(), 1);
}

#[tokio::test]
async fn a_wait_goes_on_where_the_bundler_that_took_the_operation_is_down() {
    let (scene, _) = scene().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    let pending = scene.mint_with(&session).await.unwrap();
    scene.bundler.down(Fault::Unreachable);
    scene.chain.mine();
    assert!(pending.wait().await.unwrap().success);
}
