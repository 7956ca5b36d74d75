//! An id is used once, whatever happens; whoever lost the answer asks.

use quorate::testing::Fault;
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn a_used_id_is_refused_whatever_it_is_used_for_and_across_restarts() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    let request = scene.send_calls(Some("order 1"), &[scene.mint()]);
    app.ask("wallet_sendCalls", request.clone()).await;
    assert_eq!(app.code("wallet_sendCalls", request.clone()).await, 5720);
    // Even what would be refused: the id comes first.
    let other = scene.send_calls(Some("order 1"), &[scene.mint_to(crate::scene::NFT)]);
    assert_eq!(app.code("wallet_sendCalls", other).await, 5720);
    let end = app.end_of(&json!("order 1")).await;
    server.shutdown().await;

    let server = scene.serve().await;
    let app = server.bearer(&app.secret);
    assert_eq!(app.code("wallet_sendCalls", request).await, 5720);
    assert_eq!(app.end_of(&json!("order 1")).await, end);
    assert_eq!(scene.minted(), 1);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_many_with_one_id_is_sent() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    let attempts = (0..8).map(|_| {
        let (app, request) = (app.clone(), scene.send_calls(Some("once"), &[scene.mint()]));
        tokio::spawn(async move { app.call("wallet_sendCalls", request).await })
    });
    let mut sent = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => sent += 1,
            Err(error) => assert_eq!(error["code"], 5720, "{error}"),
        }
    }
    assert_eq!(sent, 1);
    assert_eq!(app.end_of(&json!("once")).await["status"], 200);
    assert_eq!(scene.minted(), 1);
    server.shutdown().await;
}

/// The bundler's answer is lost: the operation may get on chain, and does.
#[tokio::test]
async fn an_operation_of_which_nothing_is_known_is_followed_to_its_end() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    scene.bundler.hold_all(true);
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout.after_acting());
    let sent = app.ask("wallet_sendCalls", scene.send_calls(Some("lost"), &[scene.mint()])).await;
    assert_eq!(app.ask("wallet_getCallsStatus", json!([sent["id"]])).await["status"], 100);
    server.shutdown().await;

    // The next process follows it.
    let server = scene.serve().await;
    let app = server.bearer(&app.secret);
    assert_eq!(app.ask("wallet_getCallsStatus", json!(["lost"])).await["status"], 100);
    scene.bundler.hold_all(false);
    scene.chain.mine();
    assert_eq!(app.end_of(&json!("lost")).await["status"], 200);
    assert_eq!(scene.minted(), 1);
    server.shutdown().await;
}
