//! The methods over a transport that answers as bundlers were seen to answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod scripted;

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use quorate_bundler::{Bundler, BundlerError, EntryPointCode, Revert, SendOutcome, UserOperationReceipt};
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use scripted::operation;
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

#[tokio::test]
async fn an_operation_is_sent_once_and_written_as_erc_4337_says() {
    let hash = operation().operation.hash(Address::ZERO, 1);
    let (bundler, transport) = bundler(Ok(json!(hash)));
    assert_eq!(bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap(), hash);
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
    let error = bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap_err();
    assert!(matches!(error, BundlerError::OtherHash { .. }));
}

#[tokio::test]
async fn a_modules_reason_is_read_out_of_a_rejection() {
    let message = "UserOperation reverted with reason: AA23 reverted: ABISV Arg Rule Violated";
    let (bundler, _) = bundler(Err((-32500, message, Value::Null)));
    let error = bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap_err();
    assert_eq!(error.revert_reason(), Some("ABISV Arg Rule Violated"));
    let BundlerError::Rejected { code: -32500, entry_point_code: Some(code), .. } = error else { panic!() };
    assert_eq!(code, EntryPointCode::AA23);
}

#[tokio::test]
async fn solidity_errors_in_the_data_are_decoded() {
    let data = "0x08c379a0\
        0000000000000000000000000000000000000000000000000000000000000020\
        0000000000000000000000000000000000000000000000000000000000000004\
        6e6f706500000000000000000000000000000000000000000000000000000000";
    let (bundler, _) = bundler(Err((-32521, "execution reverted", json!(data))));
    let error = bundler.estimate_user_operation_gas(&operation(), Address::ZERO, None).await.unwrap_err();
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
    let gas = bundler.estimate_user_operation_gas(&operation(), Address::ZERO, None).await.unwrap();
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

#[tokio::test]
async fn an_operation_that_the_bundler_knows_already_is_sent() {
    let hash = operation().operation.hash(Address::ZERO, 1);
    for (code, message) in
        [(-32602, "Already known"), (-32602, "already known"), (-32000, "userOp ALREADY KNOWN")]
    {
        let (bundler, _) = bundler(Err((code, message, Value::Null)));
        assert_eq!(bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap(), hash);
    }
}

#[tokio::test]
async fn a_send_without_an_answer_of_the_bundlers_is_open() {
    for message in ["Internal error: upstream timed out", "already known"] {
        let (bundler, _) = bundler(Err((-32603, message, Value::Null)));
        let error = bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap_err();
        assert_eq!(error.send_outcome(), SendOutcome::Open);
        assert!(!error.to_string().contains("rejects"), "{error}");
    }
}

#[tokio::test]
async fn rundlers_reason_is_read_out_of_a_rejection() {
    let message = "validation reverted: [reason]: AA23 reverted | [inner reason]: ABISV Arg Rule Violated";
    let reason =
        json!({ "reason": "AA23 reverted", "innerReason": "ABISV Arg Rule Violated", "revertData": "0x" });
    for data in [reason, Value::Null] {
        let (bundler, _) = bundler(Err((-32500, message, data)));
        let error = bundler.send_user_operation(&operation(), Address::ZERO, 1, None).await.unwrap_err();
        assert_eq!(error.revert_reason(), Some("ABISV Arg Rule Violated"));
        assert_eq!(error.send_outcome(), SendOutcome::Refused);
        assert!(matches!(error, BundlerError::Rejected { entry_point_code: Some(EntryPointCode::AA23), .. }));
    }
}

#[tokio::test]
async fn an_error_of_the_contract_keeps_its_selector_and_arguments() {
    let data = format!("0xdeadbeef{}", "11".repeat(32));
    let (bundler, _) = bundler(Err((-32521, "execution reverted", json!(data))));
    let error = bundler.estimate_user_operation_gas(&operation(), Address::ZERO, None).await.unwrap_err();
    assert_eq!(error.revert_reason(), None);
    let Some(Revert::Custom { selector, data }) = error.revert() else { panic!("{error:?}") };
    assert_eq!((selector.0, data.len()), ([0xde, 0xad, 0xbe, 0xef], 32));
}

#[tokio::test]
async fn an_estimate_is_read_under_each_name_that_bundlers_give_it() {
    for (answer, expected) in [
        (json!({ "preVerificationGas": 1, "verificationGas": "0x2", "callGasLimit": "3" }), [1, 2, 3]),
        (
            json!({ "preVerificationGas": 1, "verificationGas": 9, "verificationGasLimit": 2, "callGasLimit": 3 }),
            [1, 2, 3],
        ),
        (
            json!({ "preVerificationGas": 1, "verificationGas": 2, "verificationGasLimit": null, "callGas": 3 }),
            [1, 2, 3],
        ),
        (
            json!({
                "preVerificationGas": { "type": "BigNumber", "hex": "0x01" }, "verificationGasLimit": "0X2",
                "callGasLimit": 3.0, "validUntil": "", "maxFeePerGas": "7",
            }),
            [1, 2, 3],
        ),
    ] {
        let (bundler, _) = bundler(Ok(answer.clone()));
        let gas = bundler.estimate_user_operation_gas(&operation(), Address::ZERO, None).await.unwrap();
        let read = [gas.pre_verification_gas, gas.verification_gas_limit, gas.call_gas_limit];
        assert_eq!(read, expected.map(U256::from), "{answer}");
    }
    let (bundler, _) = bundler(Ok(json!({ "preVerificationGas": 1, "callGasLimit": 1 })));
    let error = bundler.estimate_user_operation_gas(&operation(), Address::ZERO, None).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.source().unwrap().to_string().contains("verificationGasLimit"));
}

/// The receipt read from one with `fields` set; `undefined` takes a field out.
async fn receipt_with(fields: Value) -> Result<Option<UserOperationReceipt>, BundlerError> {
    let mut receipt = json!({
        "userOpHash": HASH, "sender": Address::repeat_byte(5), "success": true,
        "receipt": { "transactionHash": B256::repeat_byte(1) },
    });
    for (name, value) in fields.as_object().unwrap() {
        if value == "undefined" {
            receipt.as_object_mut().unwrap().remove(name);
        } else {
            receipt[name] = value.clone();
        }
    }
    bundler(Ok(receipt)).0.user_operation_receipt(HASH).await
}

const HASH: B256 = B256::repeat_byte(7);

#[tokio::test]
async fn a_receipt_without_a_paymaster_is_read_in_every_form() {
    for none in [json!(""), json!("0x"), json!(null), json!(Address::ZERO), json!("undefined")] {
        let receipt = receipt_with(json!({ "paymaster": none })).await.unwrap().unwrap();
        assert_eq!(receipt.paymaster, None, "{none}");
    }
    let paymaster = Address::repeat_byte(3);
    let receipt = receipt_with(json!({ "paymaster": paymaster })).await.unwrap().unwrap();
    assert_eq!(receipt.paymaster, Some(paymaster));
}

#[tokio::test]
async fn a_receipts_numbers_are_read_in_every_form() {
    for (form, expected) in [
        (json!({ "type": "BigNumber", "hex": "0x10" }), Some(16)),
        (json!({ "_hex": "0x10" }), Some(16)),
        (json!("16"), Some(16)),
        (json!("0X10"), Some(16)),
        (json!("0x"), Some(0)),
        (json!(16), Some(16)),
        (json!(""), None),
        (json!(null), None),
        (json!("undefined"), None),
    ] {
        let fields = json!({ "actualGasCost": form, "actualGasUsed": form });
        let receipt = receipt_with(fields).await.unwrap().unwrap();
        assert_eq!(receipt.actual_gas_cost, expected.map(U256::from), "{form}");
        assert_eq!(receipt.actual_gas_used, expected.map(U256::from), "{form}");
    }
}

#[tokio::test]
async fn a_receipts_success_is_read_in_every_form() {
    for (form, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!("TRUE"), true),
        (json!("0x1"), true),
        (json!("1"), true),
        (json!(1), true),
        (json!(false), false),
        (json!("false"), false),
        (json!("0x0"), false),
        (json!("0x"), false),
        (json!(0), false),
    ] {
        let receipt = receipt_with(json!({ "success": form })).await.unwrap().unwrap();
        assert_eq!(receipt.success, expected, "{form}");
    }
    for nonsense in [json!("perhaps"), json!(2), json!([])] {
        receipt_with(json!({ "success": nonsense })).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_receipt_without_success_is_judged_by_the_entry_points_event() {
    // UserOperationEvent(bytes32,address,address,uint256,bool,uint256,uint256)
    const EVENT: &str = "0x49628fd1471006c1482da88028e9ce4dbb080b815c9b0344d39e5a8e6ec1419f";
    let event = |hash: B256, success: u8| {
        let words = [0, success, 1, 1].map(|word| format!("{word:064x}")).concat();
        json!({
            "address": Address::repeat_byte(9), "data": format!("0x{words}"),
            "topics": [EVENT, hash, B256::ZERO, B256::ZERO],
        })
    };
    for success in [0, 1] {
        let logs = json!([event(B256::ZERO, 1 - success), event(HASH, success)]);
        let transaction = json!({ "transactionHash": B256::repeat_byte(1), "blockHash": HASH, "logs": logs });
        for fields in [
            json!({ "success": "undefined", "logs": logs }),
            json!({ "success": null, "receipt": transaction }),
        ] {
            let receipt = receipt_with(fields.clone()).await.unwrap().unwrap();
            assert_eq!(receipt.success, success == 1, "{fields}");
            assert_eq!(receipt.logs.len() + receipt.receipt.logs.len(), 2);
        }
    }
    let transaction = json!({ "transactionHash": B256::repeat_byte(1), "status": "0x1" });
    let error = receipt_with(json!({ "success": "undefined", "receipt": transaction })).await.unwrap_err();
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_receipt_with_little_in_it_is_read() {
    for fields in [
        json!({ "sender": "undefined", "userOpHash": "undefined", "logs": "undefined" }),
        json!({ "sender": "", "userOpHash": null, "logs": null, "reason": null, "unknown": [1] }),
    ] {
        let receipt = receipt_with(fields).await.unwrap().unwrap();
        assert_eq!((receipt.user_op_hash, receipt.sender), (HASH, None));
        assert_eq!((receipt.logs.len(), receipt.receipt.block_hash, receipt.reason), (0, None, None));
    }
}

#[tokio::test]
async fn a_receipt_may_hold_its_transaction_beside_its_own_fields() {
    let hash = B256::repeat_byte(1);
    let fields = json!({ "receipt": "undefined", "transactionHash": hash, "blockNumber": "0x2" });
    let receipt = receipt_with(fields).await.unwrap().unwrap();
    assert_eq!((receipt.receipt.transaction_hash, receipt.receipt.block_number), (hash, Some(U256::from(2))));
    receipt_with(json!({ "receipt": "undefined" })).await.unwrap_err();
}

#[tokio::test]
async fn a_receipts_reason_in_hex_is_decoded() {
    let data = "0x08c379a0\
        0000000000000000000000000000000000000000000000000000000000000020\
        0000000000000000000000000000000000000000000000000000000000000004\
        6e6f706500000000000000000000000000000000000000000000000000000000";
    for reason in [json!("nope"), json!(data), json!({ "data": data }), json!({ "reason": "nope" })] {
        let receipt = receipt_with(json!({ "reason": reason })).await.unwrap().unwrap();
        assert_eq!(receipt.reason.as_deref(), Some("nope"), "{reason}");
    }
}

#[tokio::test]
async fn the_receipt_of_another_operation_is_an_error() {
    let error = receipt_with(json!({ "userOpHash": B256::ZERO })).await.unwrap_err();
    assert!(matches!(error, BundlerError::OtherReceipt { named: B256::ZERO, asked: HASH }), "{error:?}");
}

#[tokio::test]
async fn an_operation_that_is_not_found_is_none_however_the_bundler_says_it() {
    for answer in [
        Ok(json!(null)),
        Ok(json!({})),
        Ok(json!(false)),
        Ok(json!("")),
        Err((-32601, "UserOperation not found", Value::Null)),
        Err((-32601, "User operation NOT FOUND", Value::Null)),
        Err((-32000, "userOp not found for hash 0x07", Value::Null)),
        Err((-32500, "could not find the user operation", Value::Null)),
    ] {
        let (bundler, _) = bundler(answer.clone());
        assert_eq!(bundler.user_operation_receipt(HASH).await.unwrap(), None, "{answer:?}");
        assert_eq!(bundler.user_operation_by_hash(HASH).await.unwrap(), None, "{answer:?}");
    }
    for (code, message) in
        [(-32601, "Method not found"), (-32603, "Internal error"), (-32602, "invalid hash")]
    {
        let (bundler, _) = bundler(Err((code, message, Value::Null)));
        let error = bundler.user_operation_receipt(HASH).await.unwrap_err();
        assert!(matches!(error, BundlerError::Transport(TransportError::Rpc { .. })), "{message}: {error:?}");
        assert_eq!(error.is_transient(), code == -32603);
        bundler.user_operation_by_hash(HASH).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_waiting_operation_is_found_by_its_hash() {
    let waiting = json!({
        "userOperation": {}, "entryPoint": Address::repeat_byte(9), "transactionHash": "", "blockNumber": null,
    });
    let (bundler, _) = bundler(Ok(waiting));
    let found = bundler.user_operation_by_hash(HASH).await.unwrap().unwrap();
    assert_eq!((found.entry_point, found.transaction_hash), (Some(Address::repeat_byte(9)), None));
}

#[tokio::test]
async fn an_operation_by_its_hash_is_read_in_every_form() {
    let (transaction, entry_point) = (B256::repeat_byte(1), Address::repeat_byte(9));
    for (answer, hash, number) in [
        (json!({ "transactionHash": transaction, "blockNumber": "0x7" }), Some(transaction), Some(7)),
        (json!({ "transactionHash": transaction, "blockNumber": 7 }), Some(transaction), Some(7)),
        (json!({ "transactionHash": transaction, "blockNumber": "7" }), Some(transaction), Some(7)),
        (
            json!({ "transactionHash": transaction, "blockNumber": { "_hex": "0x07" } }),
            Some(transaction),
            Some(7),
        ),
        (json!({ "transactionHash": B256::ZERO, "blockNumber": "" }), None, None),
        (json!({ "transactionHash": "0x", "blockNumber": null }), None, None),
        (json!({ "entryPoint": entry_point, "blockHash": null }), None, None),
    ] {
        let (bundler, _) = bundler(Ok(answer.clone()));
        let found = bundler.user_operation_by_hash(HASH).await.unwrap().unwrap();
        assert_eq!((found.transaction_hash, found.block_number), (hash, number.map(U256::from)), "{answer}");
    }
    let (bundler, _) = bundler(Ok(json!({ "transactionHash": "0x12" })));
    bundler.user_operation_by_hash(HASH).await.unwrap_err();
}

#[tokio::test]
async fn the_chains_id_is_read_in_every_form() {
    let large = json!(format!("{:#x}", u64::MAX));
    for (form, expected) in [
        (json!("0x7a69"), 31337),
        (json!("31337"), 31337),
        (json!(31337), 31337),
        (json!("0X7A69"), 31337),
        (large, u64::MAX),
    ] {
        let (bundler, _) = bundler(Ok(form));
        assert_eq!(bundler.chain_id().await.unwrap(), expected);
    }
    for form in [json!("0x10000000000000000"), json!(null), json!("polygon")] {
        let (bundler, _) = bundler(Ok(form));
        bundler.chain_id().await.unwrap_err();
    }
}
