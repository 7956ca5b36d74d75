//! The server as a page meets it, and as others do.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::time::Duration;

use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, Signature, eip191_hash_message};
use alloy_signer::{Signer as _, SignerSync as _};
use alloy_signer_local::PrivateKeySigner;
use quorate_approval::{Approval, ApprovalError, BrowserSigner, Chain, Outcome, Presence, Review};
use reqwest::header::{HOST, ORIGIN};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const MESSAGE: [u8; 32] = [7; 32];

/// An approval, and a page that behaves.
struct Scene {
    owner: PrivateKeySigner,
    approval: Approval,
    client: Client,
    origin: String,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let owner = PrivateKeySigner::random();
        let rpc = "https://rpc.example/secret".parse().unwrap();
        let approval = Approval::start(owner.address(), Chain::new(31337, "here", Some(rpc))).await.unwrap();
        approval.review(eip191_hash_message(MESSAGE), Review::new("Grant a session"));
        let (origin, token) = approval.url().rsplit_once('/').unwrap();
        let (origin, token) = (origin.to_owned(), token.to_owned());
        Self { owner, approval, client: Client::new(), origin, token }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.origin));
        request.header(ORIGIN, &self.origin).header("x-quorate-token", &self.token).json(body)
    }

    async fn answer(&self, path: &str, body: Value) -> Value {
        let response = self.post(path, &body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    /// What a tab is told when it has shown nothing.
    async fn state(&self, tab: &str) -> Value {
        self.answer("/state", json!({ "tab": tab, "version": 0, "leads": false })).await
    }

    /// The program asks for a signature; gives the page's request.
    async fn asked(&self) -> (JoinHandle<alloy_signer::Result<Signature>>, Value) {
        let signer = self.approval.signer();
        let signing = tokio::spawn(async move { signer.sign_message(&MESSAGE).await });
        (signing, self.request().await)
    }

    /// The program asks for permissions, and takes a grant whose context is 0x07.
    async fn asked_for_permissions(&self) -> (JoinHandle<Result<Value, ApprovalError>>, Value) {
        let approval = self.approval.clone();
        let review = Review::new("Let a session spend");
        let asking =
            tokio::spawn(async move { approval.request_permissions(permissions(), review, check).await });
        (asking, self.request().await)
    }

    /// What the page is asked, as soon as it is.
    async fn request(&self) -> Value {
        let mut state = self.state("one").await;
        while state["request"].is_null() {
            let seen = json!({ "tab": "one", "version": state["version"], "leads": true });
            state = self.answer("/state", seen).await;
        }
        state["request"].clone()
    }
}

fn permissions() -> Value {
    let permission = json!({
        "type": "native-token-allowance", "isAdjustmentAllowed": true, "data": { "allowanceAmount": "0x1" },
    });
    json!([{ "chainId": "0x7a69", "to": Address::repeat_byte(0x4b), "permission": permission, "rules": [] }])
}

fn check(grants: &str) -> Result<Value, String> {
    let grants: Value = serde_json::from_str(grants).map_err(|error| error.to_string())?;
    match &grants[0]["context"] {
        Value::String(context) if context == "0x07" => Ok(grants),
        other => Err(format!("the context is {other}")),
    }
}

fn grant(context: &str) -> Value {
    let grants = json!([{ "context": context }]).to_string();
    json!({ "tab": "one", "number": 1, "grant": grants })
}

fn error_of(signed: alloy_signer::Result<Signature>) -> ApprovalError {
    match signed.unwrap_err() {
        alloy_signer::Error::Other(error) => *error.downcast().unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_page_is_told_what_to_sign_and_its_owner_s_signature_is_given() {
    let scene = Scene::set().await;
    let (signing, request) = scene.asked().await;
    assert_eq!(request["method"], "personal_sign");
    assert_eq!(request["payload"], B256::from(MESSAGE).to_string());
    assert_eq!(request["review"]["title"], "Grant a session");

    let sign = |signer: &PrivateKeySigner| json!({ "tab": "one", "number": 1, "signature": signer.sign_message_sync(&MESSAGE).unwrap().to_string() });
    let other = PrivateKeySigner::random();
    let refused = scene.answer("/sign", sign(&other)).await;
    let told =
        format!("the wallet signed with {}, and the owner is {}", other.address(), scene.owner.address());
    assert!(refused["error"].as_str().unwrap().starts_with(&told), "{refused}");
    assert_eq!(scene.answer("/sign", sign(&scene.owner)).await, json!({}));
    assert_eq!(signing.await.unwrap().unwrap(), scene.owner.sign_message_sync(&MESSAGE).unwrap());
    assert!(scene.answer("/sign", sign(&scene.owner)).await["error"].is_string());
}

#[tokio::test]
async fn typed_data_is_given_to_the_wallet_with_its_domain_s_type() {
    let scene = Scene::set().await;
    let document = json!({
        "types": { "Note": [{ "name": "text", "type": "string" }], "EIP712Domain": [{ "name": "name", "type": "string" }] },
        "primaryType": "Note", "domain": { "name": "here" }, "message": { "text": "hello" },
    });
    let typed_data: TypedData = serde_json::from_value(document.clone()).unwrap();
    let digest = typed_data.eip712_signing_hash().unwrap();
    scene.approval.review(digest, Review::new("A note"));
    let signer = scene.approval.signer();
    let signing = tokio::spawn(async move { signer.sign_dynamic_typed_data(&typed_data).await });
    let given = &scene.request().await["payload"];
    assert_eq!(given["types"]["EIP712Domain"], document["types"]["EIP712Domain"]);
    assert_eq!(given["message"], document["message"]);
    let signature = scene.owner.sign_hash_sync(&digest).unwrap();
    scene.answer("/sign", json!({ "tab": "one", "number": 1, "signature": signature.to_string() })).await;
    assert_eq!(signing.await.unwrap().unwrap(), signature);
}

#[tokio::test]
async fn a_grant_is_given_once_its_check_takes_it() {
    let scene = Scene::set().await;
    let (asking, request) = scene.asked_for_permissions().await;
    assert_eq!(request["method"], "wallet_requestExecutionPermissions");
    assert_eq!(request["payload"], permissions());
    assert_eq!(request["review"]["title"], "Let a session spend");

    let refused = scene.answer("/grant", grant("0x08")).await;
    let told = "the wallet's grant is not taken: the context is \"0x08\"";
    assert!(refused["error"].as_str().unwrap().starts_with(told), "{refused}");
    assert!(!asking.is_finished());
    assert_eq!(scene.request().await["number"], 1, "it is asked still");
    assert_eq!(scene.answer("/grant", grant("0x07")).await, json!({}));
    assert_eq!(asking.await.unwrap().unwrap(), json!([{ "context": "0x07" }]));
    assert!(scene.state("one").await["request"].is_null());
    let late = scene.answer("/grant", grant("0x07")).await;
    assert!(late["error"].as_str().unwrap().starts_with("this is not asked any more"), "{late}");

    let what = "It is granted".to_owned();
    scene.approval.finish(Outcome::Done { what: what.clone() }).await;
    assert_eq!(scene.state("one").await["outcome"], json!({ "kind": "done", "what": what }));
}

#[tokio::test]
async fn a_grant_is_no_signature_and_a_signature_is_no_grant() {
    let scene = Scene::set().await;
    let signature = scene.owner.sign_message_sync(&MESSAGE).unwrap();
    let sign = |number| json!({ "tab": "one", "number": number, "signature": signature.to_string() });

    let (asking, _) = scene.asked_for_permissions().await;
    let refused = scene.answer("/sign", sign(1)).await;
    assert!(refused["error"].as_str().unwrap().ends_with("is a grant of permissions"), "{refused}");
    scene.answer("/grant", grant("0x07")).await;
    asking.await.unwrap().unwrap();

    let (signing, _) = scene.asked().await;
    let mut second = grant("0x07");
    second["number"] = json!(2);
    let refused = scene.answer("/grant", second).await;
    assert!(refused["error"].as_str().unwrap().ends_with("is a signature"), "{refused}");
    scene.answer("/sign", sign(2)).await;
    assert_eq!(signing.await.unwrap().unwrap(), signature);
}

#[tokio::test]
async fn a_grant_has_room_for_the_longest_context_and_no_more() {
    let scene = Scene::set().await;
    let (asking, _) = scene.asked_for_permissions().await;
    // It is read, and its check does not take it.
    let longest = grant(&format!("0x{}", "08".repeat(64 * 1024)));
    assert!(scene.answer("/grant", longest).await["error"].is_string());
    let status = async |path: &str, body: Value| scene.post(path, &body).send().await.unwrap().status();
    let huge = grant(&"0".repeat(192 * 1024));
    assert_eq!(status("/grant", huge.clone()).await, StatusCode::PAYLOAD_TOO_LARGE);
    // Nothing else has that room.
    assert_eq!(status("/reject", grant(&"0".repeat(20_000))).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!asking.is_finished());
    scene.answer("/grant", grant("0x07")).await;
    asking.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_grant_that_is_rejected_or_not_given_is_told() {
    let scene = Scene::set().await;
    let impatient = scene.approval.clone().with_patience(Duration::from_millis(50));
    let late = impatient.request_permissions(permissions(), Review::new("Spend"), check).await;
    assert!(matches!(late, Err(ApprovalError::Deadline { .. })), "{late:?}");
    assert!(scene.state("one").await["request"].is_null());

    let (asking, request) = scene.asked_for_permissions().await;
    assert_eq!(request["number"], 2);
    scene.answer("/reject", json!({ "tab": "one", "number": 2 })).await;
    assert!(matches!(asking.await.unwrap(), Err(ApprovalError::Rejected)));
    assert_eq!(scene.state("one").await["outcome"]["kind"], "rejected");
}

#[tokio::test]
async fn a_check_may_speak_to_the_page() {
    let scene = Scene::set().await;
    let approval = scene.approval.clone();
    let asking = tokio::spawn(async move {
        let check = |grants: &str| {
            approval.step("reading the grant");
            check(grants)
        };
        approval.request_permissions(permissions(), Review::new("Spend"), check).await
    });
    scene.request().await;
    scene.answer("/grant", grant("0x07")).await;
    asking.await.unwrap().unwrap();
    assert_eq!(scene.state("one").await["steps"], json!(["reading the grant"]));
}

#[tokio::test]
async fn permissions_on_another_chain_than_the_page_s_are_not_asked_for() {
    let scene = Scene::set().await;
    let approval = scene.approval.clone().with_patience(Duration::from_millis(50));
    let [here, mut elsewhere, mut nowhere] = [(); 3].map(|()| permissions()[0].clone());
    elsewhere["chainId"] = json!("0x1");
    nowhere.as_object_mut().unwrap().remove("chainId");
    for params in [json!([]), json!([elsewhere]), json!([here, elsewhere]), json!([nowhere]), here.clone()] {
        let refused = approval.request_permissions(params, Review::new("Spend"), check).await;
        assert!(matches!(refused, Err(ApprovalError::NotForChain { chain: 31337 })), "{refused:?}");
    }
}

#[tokio::test]
async fn who_says_no_says_it_for_good() {
    let scene = Scene::set().await;
    let (signing, _) = scene.asked().await;
    scene.answer("/reject", json!({ "tab": "one", "number": 1 })).await;
    assert!(matches!(error_of(signing.await.unwrap()), ApprovalError::Rejected));
    let state = scene.state("one").await;
    assert_eq!((&state["request"], &state["outcome"]["kind"]), (&Value::Null, &json!("rejected")));
}

#[tokio::test]
async fn nobody_s_answer_ends_at_the_deadline_and_asks_no_longer() {
    let scene = Scene::set().await;
    let signer: BrowserSigner = scene.approval.signer().with_patience(Duration::from_millis(50));
    assert!(matches!(error_of(signer.sign_message(&MESSAGE).await), ApprovalError::Deadline { .. }));
    assert!(scene.state("one").await["request"].is_null());
}

#[tokio::test]
async fn what_nothing_shows_is_not_asked_for_and_bare_hashes_are_not_signed() {
    let signer = Scene::set().await.approval.signer();
    assert!(matches!(error_of(signer.sign_message(b"another").await), ApprovalError::Unreviewed { .. }));
    assert!(signer.sign_hash(&B256::ZERO).await.unwrap_err().is_unsupported());
}

#[tokio::test]
async fn one_tab_signs_and_the_next_takes_its_place_when_it_is_closed() {
    let scene = Scene::set().await;
    let (_signing, _) = scene.asked().await;
    let beside = scene.state("two").await;
    assert_eq!((&beside["leads"], &beside["request"]), (&json!(false), &Value::Null));
    let refused = scene.answer("/reject", json!({ "tab": "two", "number": 1 })).await;
    assert!(refused["error"].as_str().unwrap().contains("another tab"), "{refused}");
    let mut presence = scene.approval.presence();
    assert_eq!(*presence.borrow_and_update(), Presence::Open);
    let closed = scene.post("/close", &json!({ "tab": "one" })).send().await.unwrap();
    assert_eq!(closed.status(), StatusCode::NO_CONTENT);
    assert!(scene.state("two").await["request"].is_object());
    // Nobody comes back after that.
    scene.post("/close", &json!({ "tab": "two" })).send().await.unwrap();
    presence.wait_for(|presence| *presence == Presence::Closed).await.unwrap();
}

#[tokio::test]
async fn the_end_is_waited_for_until_the_page_has_shown_it() {
    let scene = Scene::set().await;
    let first = scene.state("one").await;
    let transaction = B256::repeat_byte(9);
    let approval = scene.approval.clone();
    let finishing = tokio::spawn(async move { approval.finish(Outcome::Landed { transaction }).await });
    let end =
        scene.answer("/state", json!({ "tab": "one", "version": first["version"], "leads": true })).await;
    assert_eq!(end["outcome"], json!({ "kind": "landed", "transaction": transaction }));
    scene.answer("/state", json!({ "tab": "one", "version": end["version"], "leads": true })).await;
    finishing.await.unwrap();
    // It stays what it was.
    scene.approval.finish(Outcome::Failed { reason: "late".into() }).await;
    assert_eq!(scene.state("one").await["outcome"]["kind"], "landed");
}

#[tokio::test]
async fn nobody_but_the_page_is_answered() {
    let scene = Scene::set().await;
    let seen = json!({ "tab": "one", "version": 0, "leads": false });
    let status = async |request: RequestBuilder| request.send().await.unwrap().status();
    let bare = || scene.client.post(format!("{}/state", scene.origin)).json(&seen);
    let forbidden = StatusCode::FORBIDDEN;
    assert_eq!(status(bare()).await, forbidden);
    assert_eq!(status(bare().header("x-quorate-token", &scene.token)).await, forbidden, "no origin");
    assert_eq!(status(bare().header(ORIGIN, &scene.origin)).await, forbidden, "no token");
    let evil = bare().header(ORIGIN, "https://evil.example").header("x-quorate-token", &scene.token);
    assert_eq!(status(evil).await, forbidden);
    let preflight = scene.client.request(reqwest::Method::OPTIONS, format!("{}/state", scene.origin));
    assert_eq!(status(preflight.header(ORIGIN, "https://evil.example")).await, forbidden);
    let rebound = scene.post("/state", &seen).header(HOST, "evil.example");
    assert_eq!(status(rebound).await, StatusCode::MISDIRECTED_REQUEST);
    for path in ["/state", "/sign", "/grant", "/reject", "/close"] {
        assert_eq!(
            status(scene.client.get(format!("{}{path}", scene.origin))).await,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
    assert_eq!(status(scene.client.get(format!("{}/0123", scene.origin))).await, StatusCode::NOT_FOUND);
    let long = json!({ "tab": "x".repeat(37), "version": 0, "leads": false });
    assert_eq!(status(scene.post("/state", &long)).await, StatusCode::BAD_REQUEST);
    let huge = json!({ "tab": "x".repeat(20_000), "version": 0, "leads": false });
    assert_eq!(status(scene.post("/state", &huge)).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn each_answer_has_the_headers_that_close_the_page() {
    let scene = Scene::set().await;
    for path in [&format!("/{}", scene.token), "/page.js", "/page.css", "/nothing", "/0/1"] {
        let response = scene.client.get(format!("{}{path}", scene.origin)).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "script-src 'self';"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn nothing_that_is_printed_has_the_token_or_the_rpc() {
    let scene = Scene::set().await;
    let printed = format!("{:?} {:?}", scene.approval, scene.approval.signer());
    assert!(!printed.contains(&scene.token) && !printed.contains("secret"), "{printed}");
    assert_ne!(scene.approval.signer().address(), Address::ZERO);
    assert_eq!(scene.approval.signer().chain_id(), Some(31337));
}
