//! A session whose key a network makes and ends, by an owner whose wallet is elsewhere.

use std::time::{Duration, Instant};

use alloy_primitives::U256;
use alloy_signer::SignerSync as _;
use quorate::Revocation;
use serde_json::json;

use crate::local::LocalNetwork;
use crate::stage::{Stage, account_of, block_on, devnet, minted};

#[test]
fn the_owner_signs_the_request_for_the_key_then_the_operation_and_later_the_end_of_both() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let stage = Stage::new(Some(network.client()));
        let (server, app) = stage.serve().await;
        let account = account_of(&app).await;
        let mut policies = stage.policies(&account);
        policies["limits"] = json!({ "uses": 1 });

        let key = app.ask("quorate_prepareGrant", json!([{ "policies": policies }])).await;
        let signature = stage.sign_typed_data(&key).await;
        let request = json!([{ "keyRequest": key["keyRequest"], "signature": signature }]);
        let to_sign = app.ask("quorate_prepareGrant", request.clone()).await;
        assert_eq!(app.code("quorate_prepareGrant", request).await, -32602, "it is taken once");
        let session = stage.submit_grant(&app, &to_sign).await;

        let data = format!("0x40d097c3{:0>64}", account.trim_start_matches("0x"));
        let calls = json!([{
            "version": "2.0.0", "chainId": app.ask("eth_chainId", json!([])).await, "atomicRequired": false,
            "calls": [{ "to": devnet().nft(), "data": data }],
        }]);
        let sent = app.ask("wallet_sendCalls", calls.clone()).await;
        assert_eq!(app.end_of(&sent["id"]).await["status"], 200);
        assert_eq!(minted(&account).await, U256::from(1));

        // The nodes count, and say with which numbers they refuse.
        let error = app.refused("wallet_sendCalls", calls).await;
        assert_eq!(
            (&error["code"], &error["data"]["expected"]),
            (&json!(-32001), &json!("at most 1")),
            "{error}"
        );
        assert_eq!(error["data"]["actual"], "2");

        let to_sign = app.ask("quorate_prepareRevocation", json!([{ "sessions": [session] }])).await;
        let key = &to_sign["keys"][0];
        let ended = json!({ "keyId": key["keyId"], "signature": stage.sign_typed_data(key).await });
        let signature = stage.sign(&to_sign["hash"]).await;
        let request = json!([{ "draft": to_sign["draft"], "signature": signature, "keys": [ended] }]);
        let sent = app.ask("quorate_submitRevocation", request).await;
        let ended = &sent["keys"][0];
        let nodes = |field: &str| ended[field].as_array().unwrap().len();
        assert_eq!(nodes("storedBy") + nodes("missing"), 5, "{sent}");

        // A node that is held up for a while may be missing; the revocation may be handed in again at any time.
        let (client, key_id) = (network.client(), key["keyId"].as_str().unwrap());
        let revocation = Revocation::new(client.descriptor(), stage.owner.address(), key_id, None);
        let signature = stage.owner.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
        let (mut stored_by, start) = (ended["storedBy"].clone(), Instant::now());
        while stored_by != json!([1, 2, 3, 4, 5]) && start.elapsed() < Duration::from_secs(120) {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if let Ok(status) = client.revoke(&revocation, signature).await {
                stored_by = json!(status.stored_by);
            }
        }
        assert_eq!(stored_by, json!([1, 2, 3, 4, 5]), "{sent}");
        app.until_session_is(&session, "revoked").await;
        server.shutdown().await;
    });
}
