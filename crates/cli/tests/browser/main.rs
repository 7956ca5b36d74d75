//! Approval in the browser: the program, its page in Chromium, and a wallet that signs by a local chain's node.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod chromium;
mod delegation;
mod permissions;
mod scene;

use serde_json::json;

use crate::scene::{Ended, Scene, stranger};

const SIGN: &str = "Sign in Test Wallet";
const CONNECT: &str = "Connect Test Wallet";
const DEPLOY: [&str; 2] = ["account", "deploy"];

#[tokio::test]
async fn an_owner_grants_a_session_with_two_signatures_and_sees_it_on_chain() {
    let Some(scene) = Scene::set(json!({})).await else { return };
    let mut scene = scene.with_network().await;
    let policy = scene.policy().await;
    let program = scene.begin(&["session", "create", &policy]).await;
    let browser = &mut scene.browser;

    browser.see("Have the network make a key").await;
    browser.see("safeMint(address to)").await;
    browser.assert_accessible().await;
    browser.click(CONNECT).await;
    browser.click(SIGN).await;

    browser.see("Grant a session").await;
    browser.see("Session 1").await;
    browser.assert_accessible().await;
    browser.click(SIGN).await;

    browser.see("It is on chain").await;
    browser.assert_accessible().await;
    let created = program.succeeds().await;
    browser.see(created["transactionHash"].as_str().unwrap()).await;
    assert!(created["keyId"].is_string(), "{created}");
    assert_eq!(
        browser.asked().await,
        json!(["eth_requestAccounts", "eth_signTypedData_v4", "personal_sign"])
    );

    let session = created["session"].as_str().unwrap();
    let program = scene.begin(&["session", "revoke", session]).await;
    let browser = &mut scene.browser;
    browser.see("End a session's key").await;
    browser.click(CONNECT).await;
    browser.click(SIGN).await;
    browser.see("End sessions").await;
    browser.click(SIGN).await;
    browser.see("It is on chain").await;
    assert_eq!(program.succeeds().await["revoked"], json!([session]));
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_an_owner_rejects_on_the_page_is_not_sent_and_ends_with_3() {
    let Some(mut scene) = Scene::set(json!({})).await else { return };
    let program = scene.begin(&DEPLOY).await;
    scene.browser.click("Reject").await;
    scene.browser.see("You rejected it").await;
    assert_rejected(program.ends().await);
    assert_eq!(scene.browser.asked().await, json!([]));
    scene.browser.assert_clean().await;
    assert_not_deployed(&scene).await;
}

#[tokio::test]
async fn what_an_owner_rejects_in_the_wallet_is_not_sent_and_ends_with_3() {
    let Some(mut scene) = Scene::set(json!({ "owner": "rejects" })).await else { return };
    let program = scene.begin(&DEPLOY).await;
    scene.browser.click(CONNECT).await;
    scene.browser.click(SIGN).await;
    scene.browser.see("You rejected it").await;
    assert_rejected(program.ends().await);
    scene.browser.assert_clean().await;
    assert_not_deployed(&scene).await;
}

fn assert_rejected(Ended { code, said, .. }: Ended) {
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("nothing was signed, and nothing was sent"), "{said}");
}

async fn assert_not_deployed(scene: &Scene) {
    assert!(!scene.account().await.is_deployed().await.unwrap());
}

#[tokio::test]
async fn another_account_is_told_and_does_not_sign() {
    let Some(mut scene) = Scene::set(json!({})).await else { return };
    let owner = scene.owner;
    scene.browser.wallet(json!({ "accounts": [stranger()], "others": [owner] })).await;
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.see(&format!("This is not the owner. In the wallet choose {owner}.")).await;
    browser.see(&stranger().to_string()).await;
    assert_eq!(browser.tell("missing", json!({ "tab": "one", "name": SIGN })).await, json!(true));
    browser.click("Choose the account").await;
    browser.click(SIGN).await;
    browser.see("It is on chain").await;
    program.succeeds().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_account_that_is_changed_in_the_wallet_is_seen_at_once() {
    let Some(mut scene) = Scene::set(json!({})).await else { return };
    let owner = scene.owner;
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.offers(SIGN).await;
    browser.tell("tell", json!({ "event": "accountsChanged", "value": [stranger()] })).await;
    browser.see("This is not the owner.").await;
    browser.tell("tell", json!({ "event": "accountsChanged", "value": [owner] })).await;
    browser.tell("tell", json!({ "event": "chainChanged", "value": "0x1" })).await;
    browser.offers("Switch to devnet").await;
    browser.click("Reject").await;
    assert_rejected(program.ends().await);
}

#[tokio::test]
async fn a_wallet_on_another_chain_is_switched_and_told_of_a_chain_that_it_does_not_know() {
    let Some(mut scene) = Scene::set(json!({ "chainId": "0x1", "knows": ["0x1"] })).await else { return };
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.see("It has to be devnet").await;
    browser.click("Switch to devnet").await;
    browser.click(SIGN).await;
    browser.see("It is on chain").await;
    program.succeeds().await;
    let chain = ["wallet_switchEthereumChain", "wallet_addEthereumChain", "wallet_switchEthereumChain"];
    let asked = [&["eth_requestAccounts"], &chain[..], &["personal_sign"]].concat();
    assert_eq!(browser.asked().await, json!(asked));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_signature_of_another_key_is_refused_and_can_be_given_again() {
    let Some(mut scene) = Scene::set(json!({ "owner": "signs with another key" })).await else { return };
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.click(SIGN).await;
    browser.see(&format!("the wallet signed with {}, and the owner is {}", stranger(), scene.owner)).await;
    browser.click(SIGN).await;
    browser.see("It is on chain").await;
    program.succeeds().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_page_that_was_closed_is_told_and_goes_on_where_it_is_opened_again() {
    let Some(mut scene) = Scene::set(json!({})).await else { return };
    let mut program = scene.begin(&DEPLOY).await;
    scene.browser.see("Deploy the account").await;
    scene.browser.tell("close", json!({ "tab": "one" })).await;
    program.says("the page was closed; this goes on waiting for it").await;
    scene.browser.open("one", &program.url).await;
    scene.browser.click(CONNECT).await;
    scene.browser.click(SIGN).await;
    scene.browser.see("It is on chain").await;
    program.succeeds().await;
    scene.browser.assert_clean().await;
}

#[tokio::test]
async fn a_second_tab_says_that_the_first_is_the_one_and_takes_its_place_when_it_dies() {
    let Some(mut scene) = Scene::set(json!({})).await else { return };
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.see("Deploy the account").await;
    browser.open("two", &program.url).await;
    browser.see_in("two", "Open in another tab").await;
    assert_eq!(browser.tell("missing", json!({ "tab": "two", "name": CONNECT })).await, json!(true));
    browser.tell("crash", json!({ "tab": "one" })).await;
    browser.see_in("two", "Deploy the account").await;
    browser.tell("click", json!({ "tab": "two", "name": CONNECT })).await;
    browser.tell("click", json!({ "tab": "two", "name": SIGN })).await;
    browser.see_in("two", "It is on chain").await;
    program.succeeds().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_page_that_is_loaded_anew_goes_on_with_its_wallet_and_its_request() {
    let Some(mut scene) = Scene::set(json!({ "owner": "does nothing" })).await else { return };
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.click(SIGN).await;
    browser.see("Look at your wallet").await;
    browser.tell("reload", json!({ "tab": "one" })).await;
    browser.wallet(json!({ "owner": "signs" })).await;
    browser.click(SIGN).await;
    browser.see("It is on chain").await;
    program.succeeds().await;
    assert_eq!(browser.asked().await, json!(["eth_requestAccounts", "personal_sign", "personal_sign"]));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_keyboard_alone_approves_in_a_phone_s_width_and_the_heading_has_the_focus() {
    let phone = json!({ "width": 360, "height": 740, "reducedMotion": "reduce", "colorScheme": "dark" });
    let Some(mut scene) = Scene::set_in(json!({ "kind": "injected" }), phone).await else { return };
    let policy = scene.policy().await;
    let program = scene.begin(&["session", "create", &policy]).await;
    let browser = &mut scene.browser;
    browser.see("Grant a session").await;
    browser.assert_accessible().await;
    for name in ["Connect Browser wallet", "Sign in Browser wallet"] {
        browser.tell("keyboard", json!({ "tab": "one", "name": name })).await;
    }
    browser.see("It is on chain").await;
    assert_eq!(browser.tell("heading", json!({ "tab": "one" })).await, json!("It is on chain"));
    browser.assert_accessible().await;
    program.succeeds().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_connection_that_is_declined_can_be_asked_for_again() {
    let Some(mut scene) = Scene::set(json!({ "owner": "declines the connection" })).await else { return };
    let program = scene.begin(&DEPLOY).await;
    let browser = &mut scene.browser;
    browser.click(CONNECT).await;
    browser.see("you declined it").await;
    browser.wallet(json!({ "owner": "signs" })).await;
    browser.click(CONNECT).await;
    browser.offers(SIGN).await;
    browser.click("Reject").await;
    assert_rejected(program.ends().await);
    browser.assert_clean().await;
}

/// `cargo xtask screenshots` keeps them.
#[tokio::test]
async fn pictures_of_the_page_are_small() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("QUORATE_SCREENSHOTS").map_or(temporary.path().to_owned(), Into::into);
    let windows = [
        ("light", json!({ "colorScheme": "light" })),
        ("dark", json!({ "colorScheme": "dark" })),
        ("phone", json!({ "width": 360, "height": 780, "scale": 2 })),
    ];
    for (name, window) in windows {
        let Some(mut scene) = Scene::set_in(json!({}), window).await else { return };
        let policy = scene.careless_policy();
        let program = scene.begin(&["session", "create", &policy]).await;
        let browser = &mut scene.browser;
        browser.see("Read this first").await;
        browser.click(CONNECT).await;
        browser.offers(SIGN).await;
        let path = folder.join(format!("approval-{name}.png"));
        browser.tell("screenshot", json!({ "tab": "one", "path": path })).await;
        assert!(std::fs::metadata(&path).unwrap().len() < 150_000, "{}", path.display());
        browser.click("Reject").await;
        assert_rejected(program.ends().await);
    }
}
