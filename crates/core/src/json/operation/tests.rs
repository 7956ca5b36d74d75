use std::string::ToString as _;

use alloy_primitives::{Address, address};
use serde_json::{Value, from_value, json, to_value};

use super::*;
use crate::operation::entry_point::EntryPointVersion;

const ENTRY_POINT: Address = address!("0000000071727De22E5E9d8BAf0edAc6f37da032");

fn v0_6() -> Value {
    json!({
        "sender": "0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856",
        "nonce": "0x1",
        "callData": "0x0102",
        "callGasLimit": 3,
        "verificationGasLimit": "4",
        "preVerificationGas": "0x5",
        "maxFeePerGas": "6",
        "maxPriorityFeePerGas": 7,
    })
}

fn error<T: for<'de> Deserialize<'de>>(mut form: Value, field: &str, value: Value) -> alloc::string::String {
    form.as_object_mut().unwrap().insert(field.into(), value);
    match from_value::<T>(form) {
        Ok(_) => panic!("{field} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn there_and_back() {
    let operation = from_value::<UserOperation<Vec<u8>>>(v0_6()).unwrap();
    assert_eq!(operation.call_data, [1, 2]);
    assert_eq!(operation.verification_gas_limit, U256::from(4));
    let written = to_value(&operation).unwrap();
    assert_eq!(written["callGasLimit"], "0x3");
    assert_eq!(from_value::<UserOperation<Vec<u8>>>(written).unwrap(), operation);
}

#[test]
fn strict_in_all_but_numbers() {
    for (field, value, words) in [
        ("sender", json!("0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c85"), "40 hex digits"),
        (
            "sender",
            json!("0x2E49cBE7dB211cbD38BC977E8A3f7EFfE459c856"),
            "0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856",
        ),
        ("callData", json!("0x010"), "3 digits"),
        ("callData", json!("01"), "0x"),
        ("callData", json!("0x0g"), "invalid"),
        ("callGas", json!(1), "unknown field"),
        ("nonce", json!("0x1g"), "0x1g"),
    ] {
        let error = error::<UserOperation<Vec<u8>>>(v0_6(), field, value);
        assert!(error.contains(words), "{error}");
    }
    let lower = json!("0x2e49cbe7db211cbd38bc977e8a3f7effe459c856");
    let mut form = v0_6();
    form["sender"] = lower;
    from_value::<UserOperation<Vec<u8>>>(form).unwrap();
}

fn unpacked() -> Value {
    let mut form = v0_6();
    form.as_object_mut().unwrap().extend(
        json!({
            "factory": "0x0101010101010101010101010101010101010101",
            "factoryData": "0xaa",
            "paymaster": "0x0202020202020202020202020202020202020202",
            "paymasterVerificationGasLimit": "0x10",
            "paymasterPostOpGasLimit": 17,
            "paymasterData": "0xbb",
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    form
}

#[test]
fn what_bundlers_take_has_the_hash_of_what_the_contract_takes() {
    let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(unpacked()).unwrap();
    let packed = operation.clone().pack();
    let read = from_value::<PackedUserOperation<Vec<u8>>>(to_value(&packed).unwrap()).unwrap();
    assert_eq!(read, packed);
    assert_eq!(Ok(read.hash_v0_7(ENTRY_POINT, 1)), operation.hash_v0_7(ENTRY_POINT, 1));
    assert_eq!(read.hash_v0_8(ENTRY_POINT, 1, None), Ok(operation.hash_v0_8(ENTRY_POINT, 1)));
    assert_eq!(read.hash_v0_9(ENTRY_POINT, 1, None), operation.hash_v0_9(ENTRY_POINT, 1));
    assert_eq!(
        read.unpack(EntryPointVersion::V0_7, None).unwrap().init,
        Initialization::Factory { factory: Address::repeat_byte(1), data: &[0xaa][..] }
    );
}

#[test]
fn what_bundlers_take_is_read_as_it_was_written() {
    let deployed = from_value::<UnpackedUserOperation<Vec<u8>>>(unpacked()).unwrap();
    let delegate = Address::repeat_byte(3);
    let delegated = UnpackedUserOperation {
        init: Initialization::Delegated { delegate, data: alloc::vec![4, 5] },
        ..deployed.clone()
    };
    let bare = UnpackedUserOperation { init: Initialization::Deployed, paymaster: None, ..deployed.clone() };
    for operation in [&deployed, &delegated, &bare] {
        let written = to_value(operation).unwrap();
        assert_eq!(from_value::<UnpackedUserOperation<Vec<u8>>>(written).as_ref().unwrap(), operation);
    }
    let names = |operation| to_value(operation).unwrap().as_object().unwrap().keys().cloned().collect();
    let names: Vec<alloc::string::String> = names(&bare);
    assert!(names.iter().all(|name| !name.contains("paymaster") && !name.contains("factory")), "{names:?}");
}

#[test]
fn a_paymaster_may_sign_after_the_account_from_v0_9_on() {
    let hashes = |signature: &str| {
        let mut form = unpacked();
        form["paymasterSignature"] = json!(signature);
        let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(form).unwrap();
        (operation.hash_v0_8(ENTRY_POINT, 1), operation.hash_v0_9(ENTRY_POINT, 1).unwrap())
    };
    let ((one_v0_8, one_v0_9), (other_v0_8, other_v0_9)) = (hashes("0x01"), hashes("0x0202"));
    assert_ne!(one_v0_8, other_v0_8);
    assert_eq!(one_v0_9, other_v0_9);
}

#[test]
fn a_delegated_account_names_its_delegate() {
    let mut form = unpacked();
    form["factory"] = json!("0x7702");
    let missing = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), "factory", json!("0x7702"));
    assert!(missing.contains("eip7702Auth"), "{missing}");
    form["eip7702Auth"] =
        json!({ "address": "0x0303030303030303030303030303030303030303", "chainId": "0x1" });
    let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(form).unwrap();
    let delegate = Some(Address::repeat_byte(3));
    let packed = operation.clone().pack();
    assert_eq!(packed.hash_v0_8(ENTRY_POINT, 1, delegate), Ok(operation.hash_v0_8(ENTRY_POINT, 1)));
    assert!(packed.hash_v0_8(ENTRY_POINT, 1, None).unwrap_err().to_string().contains("delegate"));
}

#[test]
fn data_for_nobody_is_refused() {
    let form = v0_6();
    for field in ["factoryData", "paymasterData", "paymasterSignature"] {
        let error = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), field, json!("0x01"));
        assert!(error.contains("there is no"), "{error}");
    }
}

#[test]
fn packed_words_are_hex_with_all_their_digits() {
    let packed = from_value::<UnpackedUserOperation<Vec<u8>>>(unpacked()).unwrap().pack();
    let form = to_value(&packed).unwrap();
    for field in ["accountGasLimits", "gasFees"] {
        let digits = form[field].as_str().unwrap().trim_start_matches("0x").to_string();
        for value in [json!(digits), json!(std::vec![0; 32]), json!("0x1"), json!(1)] {
            error::<PackedUserOperation<Vec<u8>>>(form.clone(), field, value);
        }
    }
}

#[test]
fn an_authorization_is_whole_or_refused() {
    let mut form = unpacked();
    form["factory"] = json!("0x7702");
    let delegate = "0x0303030303030303030303030303030303030303";
    let full = json!({
        "contractAddress": delegate, "chainId": 1, "nonce": "0x2", "yParity": "0x0", "r": "0x1", "s": "0x1",
    });
    form["eip7702Auth"] = full.clone();
    from_value::<UnpackedUserOperation<Vec<u8>>>(form.clone()).unwrap();
    for (field, value, words) in [
        ("adress", json!(delegate), "unknown field"),
        ("nonce", json!("two"), "two"),
        ("address", json!(delegate), "duplicate field"),
        ("contractAddress", json!("0x03"), "40 hex digits"),
    ] {
        let mut authorization = full.clone();
        authorization[field] = value;
        let error = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), "eip7702Auth", authorization);
        assert!(error.contains(words), "{error}");
    }
    // Nothing of it is hashed without the factory.
    for factory in [json!("0x0101010101010101010101010101010101010101"), Value::Null] {
        let error = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), "factory", factory);
        assert!(error.contains("eip7702Auth"), "{error}");
    }
}
