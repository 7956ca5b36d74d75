//! Both services' dialects against scripted answers: what is sent to the byte, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::aliases::U48;
use alloy_primitives::{Address, Bytes, U256, address, hex};
use alloy_sol_types::SolValue as _;
use async_trait::async_trait;
use quorate_core::{EntryPointVersion, PackedUserOperation, UserOperation};
use quorate_paymaster::{Biconomy, Erc7677, Paymaster, PaymasterError, PaymasterRequest, Payment, TokenList};
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use serde_json::{Value, json};

const SPONSOR: Address = address!("1111111111111111111111111111111111111111");
const COLLECTOR: Address = address!("2222222222222222222222222222222222222222");
const GOLD: Address = address!("3333333333333333333333333333333333333333");
const IRON: Address = address!("4444444444444444444444444444444444444444");
const ENTRY_POINT: Address = address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789");

/// Gives the next answer, and keeps what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Value, RpcError>>>,
    asked: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl Transport for Script {
    async fn request(&self, method: &str, params: Value, _: Repeat) -> Result<Value, TransportError> {
        self.asked.lock().unwrap().push((method.to_owned(), params));
        let answer =
            self.answers.lock().unwrap().pop_front().expect("a request that the test has no answer for");
        answer.map_err(|error| TransportError::Rpc { method: method.to_owned(), error })
    }
}

fn script(answers: impl IntoIterator<Item = Value>) -> Arc<Script> {
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers.into_iter().map(Ok));
    Arc::new(script)
}

fn asked(script: &Script) -> (String, Value) {
    script.asked.lock().unwrap().pop().unwrap()
}

fn operation() -> UserOperation<Vec<u8>> {
    UserOperation {
        sender: Address::repeat_byte(0xAA),
        nonce: U256::from(26),
        init_code: Vec::new(),
        call_data: vec![0xC0, 0xDE],
        call_gas_limit: U256::from(50_000),
        verification_gas_limit: U256::from(90_000),
        pre_verification_gas: U256::from(45_000),
        max_fee_per_gas: U256::from(2_000_000_000),
        max_priority_fee_per_gas: U256::from(1_000_000_000),
        paymaster_and_data: Vec::new(),
    }
}

fn request(operation: &UserOperation<Vec<u8>>, payment: Payment) -> PaymasterRequest<'_> {
    let dummy_signature = &[0x55, 0x66];
    PaymasterRequest {
        operation,
        dummy_signature,
        entry_point: ENTRY_POINT,
        chain_id: 137,
        payment,
        caller_estimates: false,
    }
}

fn sponsored_data(contract: Address) -> String {
    let signature = Bytes::from(vec![1; 65]);
    let data = (Address::repeat_byte(9), U48::from(1_900_000_000), U48::ZERO, signature).abi_encode_params();
    hex::encode_prefixed([contract.as_slice(), &data].concat())
}

fn token_data(token: Address) -> String {
    let signature = Bytes::from(vec![1; 65]);
    let terms = (U48::from(1_900_000_000), U48::ZERO, token, U256::from(2000), U256::from(50), signature);
    hex::encode_prefixed([COLLECTOR.as_slice(), &terms.abi_encode_params()].concat())
}

fn biconomy(script: &Arc<Script>) -> Biconomy {
    Biconomy::new(Arc::clone(script) as _).with_sponsor(SPONSOR).with_token_paymaster(COLLECTOR)
}

fn erc7677(script: &Arc<Script>) -> Erc7677 {
    Erc7677::new(Arc::clone(script) as _, SPONSOR).with_token_paymaster(COLLECTOR)
}

#[tokio::test]
async fn biconomy_is_asked_in_its_own_forms() {
    let script = script([json!({
        "paymasterAndData": sponsored_data(SPONSOR),
        "preVerificationGas": "46000", "verificationGasLimit": 120_000, "callGasLimit": "0xc350",
    })]);
    let paymaster =
        biconomy(&script).with_expiry(Duration::from_secs(600)).with_webhook_data(json!({ "user": 7 }));
    let stub = paymaster.stub(&request(&operation(), Payment::Sponsored)).await.unwrap();
    assert!(stub.is_final);
    let limits = [stub.gas.pre_verification_gas, stub.gas.verification_gas_limit, stub.gas.call_gas_limit];
    assert_eq!(limits, [46_000, 120_000, 50_000].map(|gas| Some(U256::from(gas))));
    let expected = json!([
        {
            "sender": "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "nonce": "0x1a",
            "initCode": "0x",
            "callData": "0xc0de",
            "callGasLimit": "50000",
            "verificationGasLimit": "90000",
            "preVerificationGas": "45000",
            "maxFeePerGas": "0x77359400",
            "maxPriorityFeePerGas": "0x3b9aca00",
            "signature": "0x5566",
            "paymasterAndData": "0x",
        },
        {
            "mode": "SPONSORED",
            "calculateGasLimits": true,
            "expiryDuration": 600,
            "sponsorshipInfo": {
                "webhookData": { "user": 7 },
                "smartAccountInfo": { "name": "BICONOMY", "version": "2.0.0" },
            },
        },
    ]);
    assert_eq!(asked(&script), ("pm_sponsorUserOperation".to_owned(), expected));
}

#[tokio::test]
async fn what_biconomy_signs_again_keeps_its_gas() {
    let answer = |verification: u64| json!({ "paymasterAndData": sponsored_data(SPONSOR), "verificationGasLimit": verification });
    let script = script([answer(90_000), answer(90_001)]);
    let paymaster = biconomy(&script);
    let operation = operation();
    let request = request(&operation, Payment::Sponsored);
    paymaster.data(&request).await.unwrap();
    assert_eq!(asked(&script).1[1]["calculateGasLimits"], false);
    let changed = paymaster.data(&request).await;
    let Err(PaymasterError::GasChanged { field, sent, answered }) = changed else { panic!("{changed:?}") };
    assert_eq!((field, sent, answered), ("verificationGasLimit", U256::from(90_000), U256::from(90_001)));
}

#[tokio::test]
async fn a_token_is_named_and_its_data_checked() {
    let answers = [GOLD, IRON].map(|token| json!({ "paymasterAndData": token_data(token) }));
    let script = script(answers);
    let paymaster = biconomy(&script).with_calculated_gas(false);
    let operation = operation();
    let request = request(&operation, Payment::Token(GOLD));
    let stub = paymaster.stub(&request).await.unwrap();
    assert!(!stub.is_final, "it was signed over gas that is not known yet");
    let (_, params) = asked(&script);
    assert_eq!(params[1]["mode"], "ERC20");
    assert_eq!(params[1]["tokenInfo"], json!({ "feeTokenAddress": GOLD }));
    let other = paymaster.data(&request).await;
    let Err(PaymasterError::OtherPayment { found, .. }) = other else { panic!("{other:?}") };
    assert_eq!(found, Payment::Token(IRON));
}

#[tokio::test]
async fn quotes_are_exact_and_found_by_their_token() {
    let quote = |token: Address, fee: Value| {
        json!({
            "symbol": "T", "decimal": 6, "tokenAddress": token, "maxGasFee": fee, "maxGasFeeUSD": 0.5,
            "exchangeRate": "1845674407370955161600", "premiumPercentage": "12", "validUntil": 1_900_000_000,
            "logoUrl": "https://example.org/t.png",
        })
    };
    let script = script([json!({
        "mode": "ERC20",
        "paymasterAddress": COLLECTOR,
        "feeQuotes": [quote(GOLD, json!("0.1234561")), quote(IRON, json!(2))],
        "unsupportedTokens": [SPONSOR],
    })]);
    let tokens = TokenList { tokens: vec![GOLD, IRON, SPONSOR], preferred: Some(IRON) };
    let operation = operation();
    let paymaster = biconomy(&script);
    let quotes = paymaster.quotes(&request(&operation, Payment::Token(IRON)), &tokens).await.unwrap();
    let fees: Vec<_> = quotes.quotes.iter().map(|quote| (quote.token, quote.max_fee)).collect();
    assert_eq!(fees, [(IRON, U256::from(2_000_000)), (GOLD, U256::from(123_457))], "the preferred one first");
    assert_eq!(quotes.for_token(GOLD).unwrap().paymaster, COLLECTOR);
    let unknown = quotes.for_token(SPONSOR);
    assert!(matches!(unknown, Err(PaymasterError::UnsupportedToken { token: SPONSOR, .. })), "{unknown:?}");
    let (method, params) = asked(&script);
    assert_eq!(method, "pm_getFeeQuoteOrData");
    assert_eq!(params[1]["tokenInfo"], json!({ "tokenList": [GOLD, IRON, SPONSOR], "preferredToken": IRON }));
    assert!(params[1]["sponsorshipInfo"]["smartAccountInfo"].is_object());
}

#[tokio::test]
async fn erc_7677_is_asked_as_the_standard_says() {
    let data = json!({ "paymasterAndData": sponsored_data(SPONSOR) });
    let script = script([data.clone(), data]);
    let paymaster = erc7677(&script).with_context("sponsorshipPolicyId", "sp_1");
    let mut operation = operation();
    operation.call_gas_limit = U256::ZERO;
    let request = request(&operation, Payment::Sponsored);
    let stub = paymaster.stub(&request).await.unwrap();
    let expected = json!([
        {
            "sender": "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "nonce": "0x1a",
            "initCode": "0x",
            "callData": "0xc0de",
            "callGasLimit": "0x0",
            "verificationGasLimit": "0x15f90",
            "preVerificationGas": "0xafc8",
            "maxFeePerGas": "0x77359400",
            "maxPriorityFeePerGas": "0x3b9aca00",
        },
        "0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789",
        "0x89",
        { "sponsorshipPolicyId": "sp_1" },
    ]);
    assert_eq!(asked(&script), ("pm_getPaymasterStubData".to_owned(), expected));
    let data = paymaster.data(&request).await.unwrap();
    assert_eq!(asked(&script).0, "pm_getPaymasterData");
    stub.check(&data).unwrap();
}

#[tokio::test]
async fn answers_that_would_have_others_pay_are_refused() {
    let longer = format!("{}00", sponsored_data(SPONSOR));
    let data = |data: &str| json!({ "paymasterAndData": data });
    let operation = operation();
    let request = request(&operation, Payment::Sponsored);
    for (answer, what) in [
        (json!({}), "NoPaymaster { len: 0 }"),
        (data("0x"), "NoPaymaster { len: 0 }"),
        (data(&sponsored_data(GOLD)), "OtherPaymaster"),
        (data(&token_data(GOLD)), "Other"),
        (json!({ "paymaster": SPONSOR, "paymasterData": "0x" }), "OtherVersion { field: \"paymaster\" }"),
    ] {
        let script = script([answer.clone()]);
        let refused = format!("{:?}", erc7677(&script).stub(&request).await.unwrap_err());
        assert!(refused.starts_with(what), "{answer}: {refused}");
    }
    let script = script([data(&sponsored_data(SPONSOR)), data(&longer)]);
    let paymaster = erc7677(&script);
    let stub = paymaster.stub(&request).await.unwrap();
    let refused = stub.check(&paymaster.data(&request).await.unwrap());
    assert!(matches!(refused, Err(PaymasterError::OtherLength { expected: 276, found: 277 })), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_is_no_outage() {
    for (code, is_transient) in [(-32602, false), (-32002, false), (-32603, true), (-32005, true)] {
        let script = Script::default();
        let error = RpcError { code, message: "daily limit".to_owned(), data: None };
        script.answers.lock().unwrap().push_back(Err(error));
        let script = Arc::new(script);
        let operation = operation();
        let error = biconomy(&script).stub(&request(&operation, Payment::Sponsored)).await.unwrap_err();
        assert_eq!(error.is_transient(), is_transient, "{code}: {error}");
        assert_eq!(matches!(error, PaymasterError::Refused { .. }), !is_transient, "{code}: {error}");
    }
}

#[tokio::test]
async fn an_operation_of_v0_7_has_its_paymaster_in_fields_of_its_own() {
    let stub = json!({
        "paymaster": SPONSOR,
        "paymasterData": "0x0102",
        "paymasterVerificationGasLimit": "0x10",
        "paymasterPostOpGasLimit": "0x20",
    });
    let longer = json!({ "paymaster": SPONSOR, "paymasterData": "0x010203" });
    let other = json!({ "paymaster": COLLECTOR, "paymasterData": "0x0102" });
    let final_data = json!({ "paymaster": SPONSOR, "paymasterData": "0x0304" });
    let more_gas = json!({ "paymaster": SPONSOR, "paymasterData": "0x0102", "paymasterPostOpGasLimit": 33 });
    let script = script([stub, longer, other, json!({ "paymasterAndData": "0x" }), more_gas, final_data]);
    let service = erc7677(&script).with_context("sponsorshipPolicyId", "sp_1");
    let operation = PackedUserOperation { call_data: vec![0xC0, 0xDE], ..PackedUserOperation::default() };

    let stub = service.packed_stub(&operation, 10).await.unwrap();
    // What the service names goes before an estimate.
    let stub = stub.estimated(Some(U256::from(1)), Some(U256::from(2))).unwrap();
    assert_eq!((stub.verification_gas_limit, stub.post_op_gas_limit), (16, 32));
    let (method, params) = asked(&script);
    assert_eq!(method, "pm_getPaymasterStubData");
    assert_eq!(params[0]["callData"], "0xc0de");
    assert!(params[0].get("signature").is_none() && params[0].get("paymaster").is_none());
    assert_eq!(params[1], json!(EntryPointVersion::V0_7.address()));
    assert_eq!((&params[2], &params[3]), (&json!("0xa"), &json!({ "sponsorshipPolicyId": "sp_1" })));

    let data = async || service.packed_data(&operation, &stub, 10).await;
    let refused = data().await.unwrap_err();
    assert!(matches!(refused, PaymasterError::OtherLength { expected: 2, found: 3 }), "{refused}");
    let refused = data().await.unwrap_err();
    assert!(matches!(refused, PaymasterError::OtherPaymaster { found: COLLECTOR, .. }), "{refused}");
    // An answer for v0.6 names nobody here.
    let refused = data().await.unwrap_err();
    assert!(matches!(refused, PaymasterError::NoPaymaster { .. }), "{refused}");
    let refused = data().await.unwrap_err();
    assert!(
        matches!(refused, PaymasterError::GasChanged { field: "paymasterPostOpGasLimit", .. }),
        "{refused}"
    );
    let paid = data().await.unwrap();
    assert_eq!((paid.data, paid.post_op_gas_limit), (vec![3, 4], 32));
    assert_eq!(asked(&script).0, "pm_getPaymasterData");
}

#[tokio::test]
async fn a_limit_that_the_service_does_not_name_is_estimated_or_said_to_be_missing() {
    let stub = json!({ "paymaster": SPONSOR, "paymasterData": "0x01" });
    let script = script([stub]);
    let service = erc7677(&script).with_post_op_gas(7);
    let stub = service.packed_stub(&PackedUserOperation::default(), 1).await.unwrap();
    assert_eq!(stub.unestimated().verification_gas_limit, 0);
    let estimated = stub.estimated(Some(U256::from(5)), Some(U256::ZERO)).unwrap();
    assert_eq!((estimated.verification_gas_limit, estimated.post_op_gas_limit), (5, 0));
    assert_eq!(stub.estimated(Some(U256::from(5)), None).unwrap().post_op_gas_limit, 7);
    for missing in [None, Some(U256::ZERO)] {
        assert!(matches!(stub.estimated(missing, None), Err(PaymasterError::NoGasLimit)));
    }
}
