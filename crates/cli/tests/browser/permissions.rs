//! The page alone, without the program: a wallet grants what it is asked for (ERC-7715), or says why it does not.

use quorate::Address;
use quorate_approval::{Approval, ApprovalError, Chain, Outcome, Review};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::chromium::{Browser, chromium};
use crate::scene::cache;

const OWNER: Address = Address::repeat_byte(0x0a);
const CONNECT: &str = "Connect Test Wallet";
const GRANT: &str = "Grant in Test Wallet";
const TYPE: &str = "erc20-token-periodic";

/// A page that asks for permissions, open in a browser.
struct Scene {
    approval: Approval,
    browser: Browser,
    asking: JoinHandle<Result<Value, ApprovalError>>,
}

impl Scene {
    /// The wallet has the owner's account and is on the chain; `wallet` says the rest.
    async fn set(wallet: Value) -> Option<Self> {
        let mut full = json!({
            "rpc": "http://127.0.0.1:1", "accounts": [OWNER], "others": [], "chainId": "0x89", "knows": ["0x89"], "owner": "grants",
        });
        for (name, value) in wallet.as_object().into_iter().flatten() {
            full[name] = value.clone();
        }
        let mut browser = Browser::start(&chromium()?, &cache(), full, json!({})).await;
        let approval = Approval::start(OWNER, Chain::new(137, "Polygon", None)).await.unwrap();
        let page = approval.clone();
        let review = Review::new("Let a session spend").with_fact("at most", "25 USDC a day");
        let asking =
            tokio::spawn(async move { page.request_permissions(permissions(), review, check).await });
        browser.open("one", approval.url()).await;
        browser.click(CONNECT).await;
        Some(Self { approval, browser, asking })
    }
}

fn permissions() -> Value {
    let data = json!({
        "tokenAddress": Address::repeat_byte(0x70), "periodAmount": "0x17d7840", "periodDuration": 86_400,
    });
    let permission = json!({ "type": TYPE, "isAdjustmentAllowed": true, "data": data });
    json!([{ "chainId": "0x89", "to": Address::repeat_byte(0x4b), "permission": permission, "rules": [] }])
}

fn grants(context: &str) -> Value {
    json!([{ "chainId": "0x89", "context": context }])
}

fn check(answer: &str) -> Result<Value, String> {
    let answer: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    if answer == grants("0x07") { Ok(answer) } else { Err(format!("it answered {answer}")) }
}

#[tokio::test]
async fn a_grant_that_the_program_does_not_take_is_told_and_can_be_given_again() {
    let wallet = json!({
        "grants": [null, grants("0x08"), grants("0x07")],
        "supported": { TYPE: { "chainIds": ["0x1", "0x89"], "ruleTypes": [] } },
    });
    let Some(Scene { approval, mut browser, asking }) = Scene::set(wallet).await else { return };
    browser.see("Let a session spend").await;
    browser.see("25 USDC a day").await;
    browser.see("Your wallet is asked for this").await;
    browser.offers(GRANT).await;
    browser.assert_accessible().await;

    browser.click(GRANT).await;
    browser.see("the wallet's grant is not taken: it answered null").await;
    browser.click(GRANT).await;
    browser.see("\"0x08\"").await;
    browser.assert_accessible().await;
    browser.click(GRANT).await;
    assert_eq!(asking.await.unwrap().unwrap(), grants("0x07"));
    approval.finish(Outcome::Done { what: "It is granted".to_owned() }).await;
    browser.see("It is granted").await;
    browser.assert_accessible().await;

    let method = "wallet_requestExecutionPermissions";
    assert_eq!(browser.asked().await, json!(["eth_requestAccounts", method, method, method]));
    let asked = browser.tell("permissionsAsked", json!({})).await;
    assert_eq!(asked, json!([permissions(), permissions(), permissions()]));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_wallet_that_does_not_say_what_it_grants_is_asked_all_the_same() {
    let wallet = json!({ "grants": [grants("0x07")], "supported": "says nothing" });
    let Some(Scene { approval, mut browser, asking }) = Scene::set(wallet).await else { return };
    browser.click(GRANT).await;
    assert_eq!(asking.await.unwrap().unwrap(), grants("0x07"));
    approval.finish(Outcome::Done { what: "It is granted".to_owned() }).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_grant_that_is_rejected_in_the_wallet_is_the_end() {
    let wallet = json!({ "grants": [grants("0x07")], "owner": "rejects" });
    let Some(Scene { approval: _served, mut browser, asking }) = Scene::set(wallet).await else { return };
    browser.click(GRANT).await;
    browser.see("You rejected it").await;
    assert!(matches!(asking.await.unwrap(), Err(ApprovalError::Rejected)));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_wallet_that_cannot_grant_says_so_and_what_else_there_is() {
    let Some(Scene { approval: _served, mut browser, asking }) = Scene::set(json!({})).await else { return };
    let cannot = "Test Wallet cannot grant permissions (ERC-7715). Use another wallet (MetaMask can), or have the owner's key sign";
    // As EIP-1193, JSON-RPC and wallets without codes say it.
    for unknown in [
        json!([4200, "No."]),
        json!([-32601, "No."]),
        json!([-32603, "The method \"wallet_request\" does not exist."]),
        json!([null, "Method not found"]),
    ] {
        browser.wallet(json!({ "unknown": [-32000, "The wallet is asleep."] })).await;
        browser.click(GRANT).await;
        browser.see("The wallet is asleep.").await;
        browser.wallet(json!({ "unknown": unknown })).await;
        browser.click(GRANT).await;
        browser.see(cannot).await;
    }
    browser.assert_accessible().await;

    // One that lacks the kind, or has it elsewhere, is not asked.
    let before = browser.asked().await;
    let kinds =
        [json!({}), json!({ TYPE: { "chainIds": ["0x1"] } }), json!({ "other": { "chainIds": ["0x89"] } })];
    for supported in kinds {
        browser.wallet(json!({ "supported": supported, "grants": [grants("0x07")] })).await;
        browser.click(GRANT).await;
        browser.see("Test Wallet does not grant erc20-token-periodic on Polygon. Use another wallet").await;
        browser.offers(GRANT).await;
    }
    assert_eq!(browser.asked().await, before);
    browser.wallet(json!({ "supported": { TYPE: { "chainIds": ["0x89"] } } })).await;
    browser.click(GRANT).await;
    asking.await.unwrap().unwrap();
    browser.assert_clean().await;
}
