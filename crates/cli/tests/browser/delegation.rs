//! A wallet that grants less than it is asked for (ERC-7715), and the key that pays with it.

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate::{Address, U256};
use quorate_core::Encode as _;
use quorate_core::delegation::{
    Caveat, Caveats, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, ROOT_AUTHORITY,
};
use serde_json::{Value, json};

use crate::scene::{Scene, devnet, stranger};

const CONNECT: &str = "Connect Test Wallet";
const SIGN: &str = "Sign in Test Wallet";
const GRANT: &str = "Grant in Test Wallet";

const TRANSFER: &str = "transfer(address to, uint256 amount)";

/// At most 5 USDC in each day.
fn policy() -> String {
    format!(
        "for = \"7 days\"\n[tokens]\nUSDC = {{ address = \"{}\", decimals = 6 }}\n[[allow]]\ncontract = \"USDC\"\n\
         function = \"{TRANSFER}\"\nper_day = [\"amount <= 5 USDC\"]\n",
        devnet().token()
    )
}

/// What a wallet answers that grants so much of the token in each period of the request.
fn grant(owner: &PrivateKeySigner, asked: &Value, amount: u64) -> Value {
    let number = |value: &Value| {
        value.as_str().map_or_else(|| U256::from(value.as_u64().unwrap()), |text| text.parse().unwrap())
    };
    let word = |number: U256| number.to_be_bytes::<32>().to_vec();
    let data = &asked["permission"]["data"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let period =
        [U256::from(amount), number(&data["periodDuration"]), U256::from(now - 60)].map(word).concat();
    let spending = [devnet().token().to_vec(), period].concat();
    let (none, until) = (word(U256::ZERO), word(number(&asked["rules"][0]["data"]["timestamp"])));
    let caveat = |enforcer: Enforcer, terms| Caveat { enforcer: enforcer.address_v1_3_0(), terms };
    let caveats = [
        caveat(Enforcer::ERC20PeriodTransfer, &spending[..]),
        caveat(Enforcer::ValueLte, &none),
        caveat(Enforcer::Nonce, &none),
        caveat(Enforcer::Timestamp, &until),
    ];
    let unsigned = Delegation {
        delegate: asked["to"].as_str().unwrap().parse().unwrap(),
        delegator: owner.address(),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(&caveats[..]),
        salt: U256::from(now),
        signature: &[],
    };
    let digest = unsigned.signing_digest(devnet().chain_id(), MANAGER_V1_3_0);
    let signature = owner.sign_hash_sync(&digest).unwrap().as_bytes();
    let context = Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec();
    let mut answer = asked.clone();
    answer["context"] = json!(alloy_primitives::Bytes::from(context));
    answer["delegationManager"] = json!(MANAGER_V1_3_0);
    answer["dependencies"] = json!([]);
    json!([answer])
}

#[tokio::test]
async fn a_wallet_grants_less_than_it_is_asked_for_and_the_key_pays_with_it() {
    let Some(scene) = Scene::set(json!({ "grants": [[]] })).await else { return };
    let mut scene = scene.with_network().await;
    let (token, owner) = (devnet().token(), scene.owner_key());
    devnet().make_delegator(owner.address()).await.unwrap();
    devnet().mint_token(token, owner.address(), U256::from(20_000_000)).await.unwrap();

    // No wallet grants the call of a function, which is said before anything is signed.
    let mint = scene.policy().await;
    let none =
        scene.run(&["session", "create", &mint, "--target=delegation", "--browser", "--no-open"]).await;
    assert_eq!(none.code, Some(2), "{}", none.said);
    assert!(none.said.contains("wallets grant one allowance, period or stream"), "{}", none.said);

    let pay = scene.write_policy(&policy());
    let mut program = scene.begin(&["session", "create", &pay, "--target=delegation"]).await;
    program.says("the wallet is asked for the permission erc20-token-periodic").await;
    let browser = &mut scene.browser;
    browser.see("Have the network make a key").await;
    browser.assert_accessible().await;
    browser.click(CONNECT).await;
    browser.click(SIGN).await;

    browser.see("Grant a permission to the key").await;
    browser.see("erc20-token-periodic").await;
    browser.assert_accessible().await;
    browser.click(GRANT).await;
    browser.see("the wallet grants 0 permissions, and was asked for one").await;
    let asked = browser.tell("permissionsAsked", json!({})).await[0][0].clone();
    assert_eq!(asked["permission"]["data"]["periodAmount"], "0x4c4b40");
    browser.wallet(json!({ "grants": [grant(&owner, &asked, 6_000_000)] })).await;
    browser.click(GRANT).await;
    browser.see("the amount of a period is 6000000, and was asked for as 5000000").await;
    browser.wallet(json!({ "grants": [grant(&owner, &asked, 3_000_000)] })).await;
    browser.click(GRANT).await;

    browser.see("Say what the key may sign").await;
    browser.assert_accessible().await;
    browser.click(SIGN).await;
    browser.see("It is granted").await;
    let created = program.succeeds().await;
    assert_eq!(created["granted"], "erc20-token-periodic");
    browser.assert_clean().await;

    let key: Address = created["sessionKey"].as_str().unwrap().parse().unwrap();
    devnet().set_balance(key, U256::from(10).pow(U256::from(18))).await.unwrap();
    let (to, token) = (stranger().to_string(), token.to_string());
    let pay = ["session", "redeem", &token, TRANSFER, &to];
    let paid = scene.run(&[&pay[..], &["2000000"]].concat()).await;
    assert_eq!(paid.code, Some(0), "{}", paid.said);
    // The second makes 4 of the 3 that were granted, of 5 that were asked for.
    let more = scene.run(&[&pay[..], &["2000000"]].concat()).await;
    assert_eq!(more.code, Some(3), "{}", more.said);
    assert!(more.said.contains("delegation 0, caveat 0"), "{}", more.said);
    let rest = scene.run(&[&pay[..], &["1000000"]].concat()).await;
    assert_eq!(rest.code, Some(0), "{}", rest.said);
}
