//! The paymaster service and its contracts on a real devnet.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod network;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use quorate_devnet::PaymasterFault;
use serde_json::{Value, json};

use network::{Network, adopt, bytes, number, word};

const SPONSORED_LENGTH: usize = 276;
const TOKEN_LENGTH: usize = 340;
/// One token.
const TOKEN: U256 = U256::from_limbs([1_000_000, 0, 0, 0]);

/// Gas limits with which an operation of an account that exists gets through.
const AMPLE: [(&str, &str); 3] =
    [("callGasLimit", "500000"), ("verificationGasLimit", "400000"), ("preVerificationGas", "100000")];

/// One start serves every check, one after the other, since faults are the whole service's.
#[tokio::test(flavor = "multi_thread")]
async fn pays_for_operations() {
    let network = Network::start().await;

    sponsors_in_the_dialect_of_biconomy(&network).await;
    sponsors_in_the_dialect_of_erc_7677(&network).await;
    takes_tokens_in_the_dialect_of_biconomy(&network).await;
    takes_tokens_in_the_dialect_of_erc_7677(&network).await;
    a_payment_that_fails_is_a_debt(&network).await;
    refuses_what_it_cannot_do(&network).await;
    faults_of_the_signature_are_seen_by_the_entry_point(&network).await;
    faults_of_the_answer_are_seen_by_a_client(&network).await;

    let port = network.devnet.paymaster_url().port().unwrap();
    network.devnet.shutdown().await;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

async fn sponsors_in_the_dialect_of_biconomy(network: &Network) {
    let owner = network.owner();
    let mut operation = network.first_operation(&owner, vec![network.mint(owner.account)]).await;
    let answer = network.ask("pm_sponsorUserOperation", json!([operation, sponsored(true)])).await;
    assert!(answer["preVerificationGas"].is_string() && answer["verificationGasLimit"].is_number());
    assert_eq!(bytes(&answer["paymasterAndData"]).len(), SPONSORED_LENGTH);
    adopt(&mut operation, &answer);
    costs_the_paymaster_id_alone(network, &owner, operation).await;

    let data = network.ask("pm_getFeeQuoteOrData", json!([estimable(network).await, {}])).await;
    assert_eq!(data["mode"], "SPONSORED");
    assert_eq!(bytes(&data["paymasterAndData"]).len(), SPONSORED_LENGTH);
}

async fn sponsors_in_the_dialect_of_erc_7677(network: &Network) {
    let owner = network.owner();
    let mut operation = network.first_operation(&owner, vec![network.mint(owner.account)]).await;
    fill_by_erc_7677(network, &mut operation, json!({}), 40_000, SPONSORED_LENGTH).await;
    costs_the_paymaster_id_alone(network, &owner, operation).await;
}

async fn takes_tokens_in_the_dialect_of_biconomy(network: &Network) {
    let (token, picky) = (network.devnet.token(), network.devnet.picky_token());
    let owner = network.owner();
    network.devnet.mint_token(token, owner.account, U256::from(1_000) * TOKEN).await.unwrap();

    let bare = network.first_operation(&owner, vec![network.mint(owner.account)]).await;
    let info = json!({ "tokenList": [token, picky, Address::ZERO], "preferredToken": picky });
    let options = json!({ "mode": "ERC20", "calculateGasLimits": true, "tokenInfo": info });
    let quotes = network.ask("pm_getFeeQuoteOrData", json!([bare, options])).await;
    assert_eq!(quotes["mode"], "ERC20");
    assert_eq!(address(&quotes["paymasterAddress"]), network.devnet.token_paymaster());
    assert_eq!(quotes["unsupportedTokens"], json!([Address::ZERO]));
    assert_eq!(address(&quotes["feeQuotes"][0]["tokenAddress"]), picky);
    let quote = &quotes["feeQuotes"][1];
    assert_eq!(address(&quote["tokenAddress"]), token);
    // A JSON number that is not whole, whose text the transport keeps.
    let max_gas_fee: f64 = quote["maxGasFee"].as_str().unwrap().parse().unwrap();
    let approval = U256::from((max_gas_fee * 1e6).ceil() as u64);

    let calls = vec![network.approve(token, approval), network.mint(owner.account)];
    let mut operation = network.first_operation(&owner, calls).await;
    let answer = network.ask("pm_sponsorUserOperation", json!([operation, in_tokens(token, true)])).await;
    adopt(&mut operation, &answer);
    let max_charge = word(&operation["paymasterAndData"], 4);
    assert!(max_charge <= approval, "{max_charge} of {approval}");
    charges_at_most(network, &owner, token, operation, max_charge).await;

    let all = json!({ "mode": "ERC20", "tokenInfo": { "tokenList": [] } });
    let quotes = network.ask("pm_getFeeQuoteOrData", json!([estimable(network).await, all])).await;
    assert_eq!(quotes["feeQuotes"].as_array().unwrap().len(), 2);
}

async fn takes_tokens_in_the_dialect_of_erc_7677(network: &Network) {
    let token = network.devnet.picky_token();
    let owner = network.owner();
    network.devnet.mint_token(token, owner.account, U256::from(1_000) * TOKEN).await.unwrap();
    let calls = vec![network.approve(token, U256::from(100) * TOKEN), network.mint(owner.account)];
    let mut operation = network.first_operation(&owner, calls).await;
    fill_by_erc_7677(network, &mut operation, json!({ "token": token }), 80_000, TOKEN_LENGTH).await;
    let max_charge = word(&operation["paymasterAndData"], 4);
    charges_at_most(network, &owner, token, operation, max_charge).await;

    // The rest of the allowance has to go first, so this operation's call fails, and is paid from it.
    let again = vec![network.approve(token, TOKEN)];
    let mut operation = network.operation(&owner, U256::ONE, Bytes::new(), again).await;
    with_ample_gas(&mut operation);
    let answer = network.ask("pm_sponsorUserOperation", json!([operation, in_tokens(token, false)])).await;
    adopt(&mut operation, &answer);
    assert!(!network.execute(&owner, operation).await.success);
}

async fn a_payment_that_fails_is_a_debt(network: &Network) {
    let (token, paymaster) = (network.devnet.token(), network.devnet.token_paymaster());
    let owner = network.owner();
    let calls = vec![network.approve(token, U256::MAX), network.mint(owner.account)];
    let mut first = network.first_operation(&owner, calls).await;
    let params = |operation: &Value| json!([operation, in_tokens(token, false)]);
    let answer = network.ask("pm_sponsorUserOperation", json!([first, in_tokens(token, true)])).await;
    adopt(&mut first, &answer);
    let max_charge = word(&first["paymasterAndData"], 4);
    // Signed before there is a debt.
    let other_nonce = U256::ONE << 64;
    let calls = vec![network.mint(owner.account)];
    let mut second = network.operation(&owner, other_nonce, Bytes::new(), calls).await;
    with_ample_gas(&mut second);
    let answer = network.ask("pm_sponsorUserOperation", params(&second)).await;
    adopt(&mut second, &answer);

    let receipt = network.execute(&owner, first).await;

    assert!(!receipt.success);
    let minted = network::balanceOfCall { account: owner.account };
    assert_eq!(network.read(network.devnet.nft(), minted).await, U256::ZERO);
    let allowance = network::allowanceCall { owner: owner.account, spender: paymaster };
    assert_eq!(network.read(token, allowance).await, U256::ZERO);
    let tokens_owed = || network::tokensOwedCall { account: owner.account };
    assert_eq!(network.read(paymaster, tokens_owed()).await, U256::ONE);
    let debt = network.read(paymaster, network::debtsCall { account: owner.account, token }).await;
    assert!(U256::ZERO < debt && debt <= max_charge, "{debt} of {max_charge}");

    let error = network.ask_in_vain("pm_sponsorUserOperation", params(&second)).await;
    assert_eq!(error.code, -32001);
    assert!(error.message.contains("owes the token paymaster"), "{error}");
    let error = network.send(&owner, second.clone()).await.unwrap_err().to_string();
    assert!(error.contains("AA33"), "{error}");

    let payer = PrivateKeySigner::from_bytes(&network.devnet.funded_key(0).unwrap()).unwrap().address();
    network.devnet.mint_token(token, payer, debt).await.unwrap();
    network.transact(payer, token, network::approveCall { spender: paymaster, amount: debt }).await;
    network.transact(payer, paymaster, network::payDebtCall { account: owner.account, token }).await;
    assert_eq!(network.read(paymaster, tokens_owed()).await, U256::ZERO);
    network.ask("pm_sponsorUserOperation", params(&second)).await;
}

async fn refuses_what_it_cannot_do(network: &Network) {
    let operation = estimable(network).await;
    let (entry_point, chain) = (network.deployment.entry_point, U256::from(network.devnet.chain_id()));
    let foreign = Address::repeat_byte(0x77);
    for (method, params, code, message) in [
        ("pm_sponsorUserOperation", json!([operation, in_tokens(foreign, true)]), -32602, "is not supported"),
        ("pm_sponsorUserOperation", json!([operation, { "mode": "ERC20" }]), -32602, "feeTokenAddress"),
        ("pm_sponsorUserOperation", json!([{}, {}]), -32602, "missing field `sender`"),
        ("pm_getPaymasterData", json!([operation, foreign, chain, {}]), -32602, "entry point"),
        ("pm_getPaymasterData", json!([operation, entry_point, "0x1", {}]), -32602, "the chain 1 is not"),
        (
            "pm_getPaymasterStubData",
            json!([operation, entry_point, chain, { "token": foreign }]),
            -32602,
            "is not supported",
        ),
        ("pm_accounts", json!([]), -32601, "there is no method pm_accounts"),
    ] {
        let error = network.ask_in_vain(method, params).await;
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
}

async fn faults_of_the_signature_are_seen_by_the_entry_point(network: &Network) {
    for (fault, code, reason) in [
        (PaymasterFault::WrongSigner, -32507, "AA34 signature error"),
        (PaymasterFault::Expired, -32503, "AA32 paymaster expired or not due"),
    ] {
        for options in [sponsored(true), in_tokens(network.devnet.token(), true)] {
            let owner = network.owner();
            let mut operation = network.first_operation(&owner, vec![network.mint(owner.account)]).await;
            let answer = erring(network, fault, "pm_sponsorUserOperation", json!([operation, options])).await;
            adopt(&mut operation, &answer);
            assert_eq!(network.reason(&owner, operation.clone()).await, reason, "{fault:?}");
            let error = network.send(&owner, operation).await.unwrap_err();
            assert_eq!(error.rpc().unwrap().code, code, "{fault:?}: {error}");
        }
    }
}

async fn faults_of_the_answer_are_seen_by_a_client(network: &Network) {
    let mut operation = estimable(network).await;
    with_ample_gas(&mut operation);
    let token = network.devnet.token();
    let params = json!([operation, in_tokens(token, false)]);
    let sponsor = async |fault| erring(network, fault, "pm_sponsorUserOperation", params.clone()).await;

    assert_eq!(sponsor(PaymasterFault::Empty).await["paymasterAndData"], "0x");
    let doubled = sponsor(PaymasterFault::HigherGas).await;
    assert_eq!(number(&doubled["callGasLimit"]), U256::from(1_000_000));
    assert_eq!(number(&doubled["verificationGasLimit"]), U256::from(800_000));
    let other = sponsor(PaymasterFault::OtherPaymaster).await;
    let named = Address::from_slice(&bytes(&other["paymasterAndData"])[..20]);
    assert_ne!(named, network.devnet.token_paymaster());
    let other = sponsor(PaymasterFault::OtherToken).await;
    let picky = U256::from_be_slice(network.devnet.picky_token().as_slice());
    assert_eq!(word(&other["paymasterAndData"], 2), picky);

    let delay = Duration::from_millis(300);
    let start = Instant::now();
    sponsor(PaymasterFault::Slow(delay)).await;
    assert!(start.elapsed() >= delay);

    network.devnet.paymaster().set_fault(Some(PaymasterFault::Refuse));
    let error = network.ask_in_vain("pm_sponsorUserOperation", params.clone()).await;
    assert_eq!(error.code, -32001);
    network.devnet.paymaster().set_fault(None);
}

/// Stub, estimate, data: as ERC-7677 has it.
async fn fill_by_erc_7677(
    network: &Network,
    operation: &mut Value,
    context: Value,
    post_op_gas: u64,
    length: usize,
) {
    let chain_id = U256::from(network.devnet.chain_id());
    let params =
        |operation: &Value| json!([operation, network.deployment.entry_point, chain_id, context.clone()]);
    let stub = network.ask("pm_getPaymasterStubData", params(operation)).await;
    assert_eq!(stub["isFinal"], false);
    adopt(operation, &stub);
    network.estimate(operation, post_op_gas).await;
    let answer = network.ask("pm_getPaymasterData", params(operation)).await;
    adopt(operation, &answer);

    let [stub, data] = [&stub, &answer].map(|answer| bytes(&answer["paymasterAndData"]));
    let zeros = |data: &[u8]| data.iter().filter(|byte| **byte == 0).count();
    assert_eq!((stub.len(), data.len()), (length, length));
    assert_eq!(stub[..20], data[..20]);
    assert!(zeros(&stub) <= zeros(&data));
}

async fn costs_the_paymaster_id_alone(network: &Network, owner: &network::Owner, operation: Value) {
    let (paymaster, id) = (network.devnet.verifying_paymaster(), network.devnet.paymaster().paymaster_id());
    let balance = || network::getBalanceCall { paymasterId: id };
    let before = network.read(paymaster, balance()).await;

    let receipt = network.execute(owner, operation).await;

    assert!(receipt.success);
    assert_eq!(receipt.paymaster, paymaster);
    assert!(network.read(paymaster, balance()).await < before);
    assert_eq!(network.native_balance(owner.account).await, U256::ZERO);
    let deposit = network::balanceOfCall { account: owner.account };
    assert_eq!(network.read(network.deployment.entry_point, deposit).await, U256::ZERO);
}

async fn charges_at_most(
    network: &Network,
    owner: &network::Owner,
    token: Address,
    operation: Value,
    max_charge: U256,
) {
    let balance = |account| network::balanceOfCall { account };
    let paymaster = network.devnet.token_paymaster();
    let before = network.read(token, balance(owner.account)).await;
    let collected = network.read(token, balance(paymaster)).await;

    let receipt = network.execute(owner, operation).await;

    assert!(receipt.success);
    assert_eq!(receipt.paymaster, paymaster);
    let charge = before - network.read(token, balance(owner.account)).await;
    assert!(U256::ZERO < charge && charge <= max_charge, "{charge} of {max_charge}");
    assert_eq!(network.read(token, balance(paymaster)).await - collected, charge);
    assert_eq!(network.native_balance(owner.account).await, U256::ZERO);
}

/// Asks the service while it has a fault.
async fn erring(network: &Network, fault: PaymasterFault, method: &str, params: Value) -> Value {
    network.devnet.paymaster().set_fault(Some(fault));
    let answer = network.ask(method, params).await;
    network.devnet.paymaster().set_fault(None);
    answer
}

/// An operation of somebody that is not sent.
async fn estimable(network: &Network) -> Value {
    let owner = network.owner();
    network.first_operation(&owner, vec![network.mint(owner.account)]).await
}

fn with_ample_gas(operation: &mut Value) {
    for (limit, gas) in AMPLE {
        operation[limit] = json!(number(&json!(gas)));
    }
}

fn sponsored(calculate: bool) -> Value {
    let account = json!({ "name": "BICONOMY", "version": "2.0.0" });
    json!({
        "mode": "SPONSORED",
        "calculateGasLimits": calculate,
        "expiryDuration": 600,
        "sponsorshipInfo": { "smartAccountInfo": account },
    })
}

fn in_tokens(token: Address, calculate: bool) -> Value {
    json!({ "mode": "ERC20", "calculateGasLimits": calculate, "tokenInfo": { "feeTokenAddress": token } })
}

fn address(value: &Value) -> Address {
    serde_json::from_value(value.clone()).unwrap()
}
