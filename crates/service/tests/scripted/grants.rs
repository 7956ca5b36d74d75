//! Grants and revocations by an owner whose wallet is elsewhere.

use serde_json::json;

use crate::scene::{NFT, Scene};

#[tokio::test]
async fn a_session_is_granted_used_and_revoked_through_the_service_alone() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let to_sign =
        app.ask("quorate_prepareGrant", json!([{ "policies": scene.policies(), "batches": true }])).await;
    let review = to_sign["review"].to_string();
    assert!(review.contains("safeMint(address to)") && review.contains(&NFT.to_string()), "{review}");
    let signature = scene.sign(&to_sign["hash"]).await;

    // A signature of something else.
    let wrong = scene.sign(&json!(quorate::B256::repeat_byte(1))).await;
    let code =
        app.code("quorate_submitGrant", json!([{ "draft": to_sign["draft"], "signature": wrong }])).await;
    assert_eq!(code, -32003);

    let submit = json!([{ "draft": to_sign["draft"], "signature": signature }]);
    let sent = app.ask("quorate_submitGrant", submit.clone()).await;
    assert_eq!((&sent["session"], &sent["userOpHash"]), (&to_sign["session"], &to_sign["hash"]));
    assert_eq!(app.ask("quorate_submitGrant", submit).await, sent, "a second time sends nothing");
    app.until_session_is(&sent["session"], "active").await;
    let calls = app.ask("wallet_sendCalls", scene.send_calls(None, &[scene.mint(), scene.mint()])).await;
    assert_eq!(app.end_of(&calls["id"]).await["status"], 200);

    let unknown = app.code("quorate_prepareRevocation", json!([{ "sessions": ["nobody's"] }])).await;
    assert_eq!(unknown, -32602);
    let revoke = json!([{ "sessions": [sent["session"]] }]);
    let to_sign = app.ask("quorate_prepareRevocation", revoke).await;
    let signature = scene.sign(&to_sign["hash"]).await;
    app.ask("quorate_submitRevocation", json!([{ "draft": to_sign["draft"], "signature": signature }])).await;
    app.until_session_is(&sent["session"], "revoked").await;
    let error = app.refused("wallet_sendCalls", scene.send_calls(None, &[scene.mint()])).await;
    assert_eq!((&error["code"], &error["data"]["rule"]), (&json!(-32001), &json!("session")));
    server.shutdown().await;
}

#[tokio::test]
async fn mistakes_in_policies_have_places() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    let mut policies = scene.policies();
    policies["allow"][0]["rules"] = json!(["too == 5"]);
    let error = app.refused("quorate_prepareGrant", json!([{ "policies": policies }])).await;
    assert_eq!(error["code"], -32602);
    let place = &error["data"]["mistakes"][0]["places"][0];
    let (offset, len) = (place["offset"].as_u64().unwrap(), place["len"].as_u64().unwrap());
    let text = policies.to_string();
    let pointed_at = &text[usize::try_from(offset).unwrap()..][..usize::try_from(len).unwrap()];
    assert!(pointed_at.contains("too"), "{pointed_at} of {error}");

    // Nobody would hold a limit.
    let mut limited = scene.policies();
    limited["limits"] = json!({ "uses": 5 });
    for request in [
        json!({ "policies": limited }),
        json!({ "policies": scene.policies(), "key": "network" }),
        json!({ "policies": scene.policies(), "keyRequest": "a" }),
        json!({ "keyRequest": "00", "signature": format!("0x{}1b", "11".repeat(64)) }),
        json!({}),
    ] {
        assert_eq!(app.code("quorate_prepareGrant", json!([request])).await, -32602, "{request}");
    }
    server.shutdown().await;
}
