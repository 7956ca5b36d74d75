//! The methods over a transport that answers as bundlers were seen to answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use quorate_bundler::{Bundler, BundlerError};
use quorate_core::{SignedUserOperation, UserOperation};
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use serde_json::{Value, json};

#[derive(Debug)]
struct Scripted {
    answer: Result<Value, (i64, &'static str, Value)>,
    asked: Mutex<Vec<(String, Value, Repeat)>>,
}

#[async_trait]
impl Transport for Scripted {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        self.asked.lock().unwrap().push((method.to_owned(), params, repeat));
        self.answer.clone().map_err(|(code, message, data)| TransportError::Rpc {
            method: method.to_owned(),
            error: RpcError { code, message: message.to_owned(), data: Some(data) },
        })
    }
}

fn bundler(answer: Result<Value, (i64, &'static str, Value)>) -> (Bundler, Arc<Scripted>) {
    let transport = Arc::new(Scripted { answer, asked: Mutex::default() });
    (Bundler::new(transport.clone()), transport)
}

fn operation() -> SignedUserOperation<Vec<u8>> {
    let operation = UserOperation {
        sender: Address::repeat_byte(1),
        nonce: U256::from(16),
        init_code: Vec::new(),
        call_data: vec![1, 2],
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::from(2),
        pre_verification_gas: U256::from(3),
        max_fee_per_gas: U256::from(4),
        max_priority_fee_per_gas: U256::from(5),
        paymaster_and_data: Vec::new(),
    };
    operation.sign(vec![0xff])
}

#[tokio::test]
async fn an_operation_is_sent_once_and_written_as_erc_4337_says() {
    let hash = operation().operation.hash(Address::ZERO, 1);
    let (bundler, transport) = bundler(Ok(json!(hash)));
    assert_eq!(bundler.send_user_operation(&operation(), Address::ZERO, 1).await.unwrap(), hash);
    let asked = transport.asked.lock().unwrap();
    let (method, params, repeat) = &asked[0];
    assert_eq!((method.as_str(), *repeat), ("eth_sendUserOperation", Repeat::Never));
    for (field, value) in [
        ("nonce", "0x10"),
        ("callGasLimit", "0x0"),
        ("initCode", "0x"),
        ("callData", "0x0102"),
        ("signature", "0xff"),
    ] {
        assert_eq!(params[0][field], value, "{field}");
    }
}

#[tokio::test]
async fn an_answer_for_another_hash_is_an_error() {
    let (bundler, _) = bundler(Ok(json!(B256::ZERO)));
    let error = bundler.send_user_operation(&operation(), Address::ZERO, 1).await.unwrap_err();
    assert!(matches!(error, BundlerError::OtherHash { .. }));
}

#[tokio::test]
async fn a_modules_reason_is_read_out_of_a_rejection() {
    let message = "UserOperation reverted with reason: AA23 reverted: ABISV Arg Rule Violated";
    let (bundler, _) = bundler(Err((-32500, message, Value::Null)));
    let error = bundler.send_user_operation(&operation(), Address::ZERO, 1).await.unwrap_err();
    assert_eq!(error.revert_reason(), Some("ABISV Arg Rule Violated"));
    let BundlerError::Rejected { code: -32500, entry_point_code: Some(code), .. } = error else { panic!() };
    assert_eq!(code, "AA23");
}

#[tokio::test]
async fn solidity_errors_in_the_data_are_decoded() {
    let data = "0x08c379a0\
        0000000000000000000000000000000000000000000000000000000000000020\
        0000000000000000000000000000000000000000000000000000000000000004\
        6e6f706500000000000000000000000000000000000000000000000000000000";
    let (bundler, _) = bundler(Err((-32521, "execution reverted", json!(data))));
    let error = bundler.estimate_user_operation_gas(&operation(), Address::ZERO).await.unwrap_err();
    assert_eq!(error.revert_reason(), Some("nope"));
}

#[tokio::test]
async fn numbers_are_read_in_every_form() {
    let answer = json!({
        "preVerificationGas": 50000,
        "verificationGasLimit": "70000",
        "callGasLimit": { "_hex": "0x9c40", "_isBigNumber": true },
    });
    let (bundler, _) = bundler(Ok(answer));
    let gas = bundler.estimate_user_operation_gas(&operation(), Address::ZERO).await.unwrap();
    let read = [gas.pre_verification_gas, gas.verification_gas_limit, gas.call_gas_limit];
    assert_eq!(read, [50_000, 70_000, 40_000].map(U256::from));
}

#[tokio::test]
async fn a_receipt_is_none_until_the_operation_is_mined() {
    let (waiting, _) = bundler(Ok(Value::Null));
    assert_eq!(waiting.user_operation_receipt(B256::ZERO).await.unwrap(), None);
    let receipt = json!({
        "userOpHash": B256::ZERO, "sender": Address::ZERO, "success": "false", "actualGasCost": "0x10",
        "receipt": { "transactionHash": B256::repeat_byte(1), "blockNumber": "0x2" },
    });
    let (mined, _) = bundler(Ok(receipt));
    let receipt = mined.user_operation_receipt(B256::ZERO).await.unwrap().unwrap();
    assert!(!receipt.success);
    assert_eq!(receipt.actual_gas_cost, Some(U256::from(16)));
    assert_eq!(receipt.receipt.block_number, Some(U256::from(2)));
}
