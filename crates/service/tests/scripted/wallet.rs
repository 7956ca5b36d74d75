//! The wallet's methods: what is sent, what is refused, and what is said of it.

use quorate::testing::{Fault, ScriptedPaymaster};
use quorate::{Address, Erc7677};
use quorate_service::{ListedPaymaster, PaymasterService, Permissions};
use serde_json::{Value, json};

use crate::scene::{NFT, Scene};
use crate::server::{Server, permissions};

#[tokio::test]
async fn calls_are_sent_by_a_session_that_allows_them() {
    let scene = Scene::new().await;
    let session = scene.granted(false).await;
    let (server, app) = scene.served().await;
    assert_eq!(app.ask("eth_accounts", json!([])).await, json!([scene.account.address()]));
    let chain = app.ask("eth_chainId", json!([])).await;
    assert_eq!(chain, format!("{:#x}", scene.chain.chain_id()));

    let sent = app.ask("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await;
    assert_eq!(sent["capabilities"]["session"], session.id().as_str());
    assert_eq!(sent["id"].as_str().unwrap().len(), 66, "32 random bytes");
    let end = app.end_of(&sent["id"]).await;
    assert_eq!((&end["status"], &end["id"], &end["chainId"]), (&json!(200), &sent["id"], &chain));
    assert_eq!(end["receipts"][0]["status"], "0x1");
    assert_ne!(end["receipts"][0]["blockHash"], json!(quorate::B256::ZERO));
    assert_eq!(scene.minted(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_refusal_names_the_rule_and_both_values() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let error = app.refused("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await;
    assert_eq!((&error["code"], &error["data"]["rule"]), (&json!(-32001), &json!("session")));

    scene.granted(false).await;
    let other = Address::repeat_byte(9);
    let error = app.refused("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint_to(other)])).await;
    assert_eq!(error["code"], -32001);
    assert_eq!(error["data"]["rule"], "rules[0]: the word at offset 0");
    let own = format!("{:#x}", scene.account.address());
    assert!(error["data"]["expected"].as_str().unwrap().ends_with(&own[2..]), "{error}");
    assert!(error["data"]["actual"].as_str().unwrap().ends_with("0909"), "{error}");
    // Nothing was sent, so that the id is not used.
    assert_eq!(app.code("wallet_getCallsStatus", json!(["a"])).await, 5730);
    let sent = app.ask("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint()])).await;
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);

    let verdict = |calls: Value| app.ask("quorate_check", json!([{ "calls": calls }]));
    let allowed = verdict(json!([scene.mint()])).await;
    assert_eq!(allowed["allowed"], true);
    let refused = verdict(json!([scene.mint_to(other)])).await;
    assert_eq!((&refused["allowed"], &refused["rule"]), (&json!(false), &error["data"]["rule"]));
    server.shutdown().await;
}

#[tokio::test]
async fn several_calls_are_one_operation_or_none() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    let chain = format!("{:#x}", scene.chain.chain_id());
    let atomic = || async {
        let all = app.ask("wallet_getCapabilities", json!([scene.account.address()])).await;
        all[&chain]["atomic"]["status"].clone()
    };
    let two = [scene.mint(), scene.mint()];
    let mut request = scene.send_calls(None, &two);
    assert_eq!(atomic().await, "unsupported");
    assert_eq!(app.code("wallet_sendCalls", request.clone()).await, 5760);
    request[0]["atomicRequired"] = false.into();
    assert_eq!(app.code("wallet_sendCalls", request.clone()).await, 5740);
    assert_eq!(scene.minted(), 0);

    // Another key, so that its leaf is another.
    scene.granted(true).await;
    assert_eq!(atomic().await, "supported");
    let before = scene.chain.executions().len();
    let sent = app.ask("wallet_sendCalls", scene.send_calls(None, &two)).await;
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);
    let executions = &scene.chain.executions()[before..];
    assert_eq!(executions.len(), 2, "{executions:?}");
    assert_eq!(scene.minted(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn calls_that_revert_are_reverted_completely() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    let sent = app.ask("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await;
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);

    // It goes through when it is estimated, and not when it is executed.
    scene.bundler.hold_all(true);
    let sent = app.ask("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await;
    assert_eq!(app.ask("wallet_getCallsStatus", json!([sent["id"]])).await["status"], 100);
    scene.chain.reverting(NFT);
    scene.bundler.hold_all(false);
    scene.chain.mine();
    let end = app.end_of(&sent["id"]).await;
    assert_eq!((&end["status"], &end["receipts"][0]["status"]), (&json!(500), &json!("0x0")));
    server.shutdown().await;
}

#[tokio::test]
async fn malformed_requests_say_where() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    let changed = |field: &str, value: Value| {
        let mut request = scene.send_calls(None, &[scene.mint()]);
        request[0][field] = value;
        request
    };
    let long = "x".repeat(8195);
    for (field, value, words) in [
        ("version", json!("1.0"), "version"),
        ("id", json!(long), "8195 characters"),
        ("id", json!(""), "0 characters"),
        ("calls", json!([]), "there is none"),
        ("calls", json!([{ "data": "0x00" }]), "calls[0].to"),
        ("calls", json!([{ "to": NFT, "valeu": "0x1" }]), "calls[0]"),
        ("chainId", Value::Null, "chainId"),
        ("atomicRequired", Value::Null, "atomicRequired"),
    ] {
        let error = app.refused("wallet_sendCalls", changed(field, value)).await;
        let message = error["message"].as_str().unwrap();
        assert!(error["code"] == -32602 && message.contains(words), "{field}: {error}");
    }
    let capability = |value: Value| changed("capabilities", value);
    assert_eq!(app.code("wallet_sendCalls", changed("chainId", json!("0x1"))).await, 5710);
    assert_eq!(app.code("wallet_sendCalls", changed("from", json!(NFT))).await, 4100);
    assert_eq!(app.code("wallet_sendCalls", capability(json!({ "flowControl": {} }))).await, 5700);
    let of_a_call =
        json!([{ "to": NFT, "data": "0x", "capabilities": { "gasLimitOverride": { "value": "0x1" } } }]);
    assert_eq!(app.code("wallet_sendCalls", changed("calls", of_a_call)).await, 5700);
    assert_eq!(app.code("wallet_getCapabilities", json!([NFT])).await, 4100);
    assert_eq!(app.code("wallet_showCallsStatus", json!(["a"])).await, 4200);
    assert_eq!(scene.minted(), 0);
    let optional = capability(json!({ "flowControl": { "optional": true } }));
    app.ask("wallet_sendCalls", optional).await;
    server.shutdown().await;
}

#[tokio::test]
async fn only_listed_paymasters_pay() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let service = Erc7677::new(scene.chain.paymaster(), ScriptedPaymaster::VERIFYING_PAYMASTER);
    let service = PaymasterService::Erc7677(service);
    let url = "https://pay.example/v1";
    let paymasters = vec![ListedPaymaster { url: url.parse().unwrap(), service }];
    let server = Server::start(quorate_service::ServiceConfig { paymasters, ..scene.config() }).await;
    let app = server.bearer(&scene.token("app", permissions(&["wallet_*"])));
    let asked = |capability: Value| {
        let mut request = scene.send_calls(None, &[scene.mint()]);
        request[0]["capabilities"] = json!({ "paymasterService": capability });
        app.call("wallet_sendCalls", request)
    };
    assert_eq!(asked(json!({ "url": "http://169.254.169.254/" })).await.unwrap_err()["code"], 5700);
    assert_eq!(scene.minted(), 0);
    let has = || scene.chain.balance(scene.account.address()) + scene.chain.deposit(scene.account.address());
    let before = has();
    let sent = asked(json!({ "url": url, "context": { "policyId": "a" } })).await.unwrap();
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);
    assert_eq!(has(), before, "the paymaster pays");
    let sent = asked(json!({ "url": "http://169.254.169.254/", "optional": true })).await.unwrap();
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);
    assert!(has() < before, "the account pays");
    let all = app.ask("wallet_getCapabilities", json!([scene.account.address(), []])).await;
    assert_eq!(all, json!({}), "no chain was asked for");
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_sees_and_does_what_it_may() {
    let scene = Scene::new().await;
    let (one, two) = (scene.granted(false).await, scene.granted(false).await);
    let server = scene.serve().await;
    let narrow = Permissions { sessions: [two.id().clone()].into(), ..Permissions::default() };
    let app = server.bearer(&scene.token("narrow", narrow));
    let listed = app.ask("quorate_sessions", json!([])).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["session"], two.id().as_str());
    let sent = app.ask("wallet_sendCalls", scene.send_calls(Some("x"), &[scene.mint()])).await;
    assert_eq!(sent["capabilities"]["session"], two.id().as_str(), "and not {}", one.id());
    assert_eq!(app.code("quorate_prepareGrant", json!([{ "policies": scene.policies() }])).await, 4100);

    // Ids are each token's own.
    let other = server.bearer(&scene.token("other", Permissions::default()));
    assert_eq!(other.code("wallet_getCallsStatus", json!(["x"])).await, 5730);
    let sent = other.ask("wallet_sendCalls", scene.send_calls(Some("x"), &[scene.mint()])).await;
    assert_eq!(sent["capabilities"]["session"], one.id().as_str(), "the first that allows it");

    let nobodys = Permissions { accounts: [NFT].into(), ..Permissions::default() };
    let stranger = server.bearer(&scene.token("stranger", nobodys));
    assert_eq!(stranger.ask("eth_accounts", json!([])).await, json!([]));
    assert_eq!(stranger.code("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await, 4100);
    server.shutdown().await;
}

#[tokio::test]
async fn an_endpoint_without_an_answer_is_to_be_tried_again_and_uses_no_id() {
    let scene = Scene::new().await;
    scene.granted(false).await;
    let (server, app) = scene.served().await;
    scene.bundler.on_next("eth_estimateUserOperationGas", Fault::Timeout);
    let error = app.refused("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint()])).await;
    assert_eq!(error["code"], -32002, "{error}");
    // Nothing left this machine, although the id was noted.
    scene.bundler.on_next("eth_sendUserOperation", Fault::Unreachable);
    let error = app.refused("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint()])).await;
    assert_eq!(error["code"], -32002, "{error}");
    let sent = app.ask("wallet_sendCalls", scene.send_calls(Some("a"), &[scene.mint()])).await;
    assert_eq!(app.end_of(&sent["id"]).await["status"], 200);
    server.shutdown().await;
}
