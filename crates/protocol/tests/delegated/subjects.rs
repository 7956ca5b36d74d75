//! The texts of what is to be signed.

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{B256, Bytes, TxKind};
use proptest::prelude::*;
use quorate_core::PackedUserOperation;
use quorate_protocol::{
    AccountOperation, ForbiddenTransaction as Refused, OperationMessage, Redelegation, RedelegationCaveat,
    SubjectError,
};
use serde_json::{Value, json};

use super::*;

fn transaction_text() -> Value {
    json!({ "transaction": {
        "chainId": CHAIN, "nonce": 7, "maxPriorityFeePerGas": "1", "maxFeePerGas": "30", "gasLimit": 300_000,
        "to": MANAGER_V1_3_0, "value": "0x0", "data": "0xcef6d209",
    } })
}

fn with(field: &str, value: Value) -> String {
    let mut text = transaction_text();
    text["transaction"][field] = value;
    text.to_string()
}

fn reason(error: &dyn std::error::Error) -> String {
    let source = error.source().map(reason);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn a_transaction_keeps_its_form() {
    let subject = Subject::from_json(&transaction_text().to_string()).unwrap();
    assert_eq!(subject, Subject::Transaction(transaction(vec![0xce, 0xf6, 0xd2, 0x09])));
    assert_eq!(serde_json::from_str::<Value>(&subject.to_json()).unwrap(), transaction_text());
    for (field, value) in [
        ("type", json!(2)),
        ("accessList", json!([])),
        ("authorizationList", json!([])),
        ("maxFeePerGas", json!(30)),
    ] {
        assert_eq!(Subject::from_json(&with(field, value)).unwrap(), subject, "{field}");
    }
}

#[test]
fn what_no_key_signs_is_refused_by_its_name() {
    let authorization = json!([{ "chainId": "0x0", "address": NFT, "nonce": "0x0" }]);
    let entry = json!([{ "address": NFT, "storageKeys": [] }]);
    for (field, value, expected) in [
        ("type", json!(0), Refused::Type { found: 0 }),
        ("type", json!(1), Refused::Type { found: 1 }),
        ("type", json!(3), Refused::Type { found: 3 }),
        ("type", json!(4), Refused::Type { found: 4 }),
        ("authorizationList", authorization, Refused::Authorizations { count: 1 }),
        ("accessList", entry, Refused::AccessList { entries: 1 }),
        ("to", json!(null), Refused::Creation),
    ] {
        let error = Subject::from_json(&with(field, value)).unwrap_err();
        let SubjectError::Forbidden(Forbidden::Transaction(found)) = error else { panic!("{error}") };
        assert_eq!(found, expected);
    }
}

#[test]
fn texts_that_are_refused_say_where() {
    let mut both = transaction_text();
    both["delegation"] = json!({});
    let doubled = transaction_text().to_string().replacen("\"nonce\":7", "\"nonce\":7,\"nonce\":7", 1);
    for (text, expected) in [
        (with("note", json!("")), "unknown field `note`"),
        (with("type", json!(null)), "transaction.type"),
        (with("chainId", json!("80002")), "transaction.chainId"),
        (with("maxFeePerGas", json!("0x100000000000000000000000000000000")), "greater than any such number"),
        (with("maxFeePerGas", json!("01")), "without leading zeros"),
        (with("data", json!("0xc")), "two hex digits"),
        (with("to", json!("0x12")), "0x and 40 hex digits"),
        (both.to_string(), "unknown field `delegation`"),
        (doubled, "duplicate field `nonce`"),
        ("{}".to_owned(), "userOperation"),
        (format!("{} {{}}", transaction_text()), "trailing characters"),
    ] {
        let error = reason(&Subject::from_json(&text).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_operation_has_the_form_that_it_always_had() {
    let text = r#"{"userOperation":{"sender":"0x0101010101010101010101010101010101010101","nonce":"0x1","initCode":"",
        "callData":"00","callGasLimit":"1","verificationGasLimit":"2","preVerificationGas":"0x3","maxFeePerGas":"0x4",
        "maxPriorityFeePerGas":"0x5","paymasterAndData":""},"entryPointVersion":"v0.6.0",
        "entryPointAddress":"0x0202020202020202020202020202020202020202","chainId":1}"#;
    let message = OperationMessage::from_json(text).unwrap();
    let subject = Subject::from_json(text).unwrap();
    assert_eq!(subject, Subject::Operation(message.clone()));
    assert_eq!(subject.to_json(), message.to_json());
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn number() -> impl Strategy<Value = U256> {
    any::<[u8; 32]>().prop_map(U256::from_be_bytes)
}

fn word_of() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

prop_compose! {
    fn transactions()(
        (chain_id, nonce, gas_limit) in (any::<u64>(), any::<u64>(), any::<u64>()),
        (max_priority_fee_per_gas, max_fee_per_gas) in (any::<u128>(), any::<u128>()),
        // Numbers of every length, and data around the lengths at which RLP's heads change.
        shift in 0_u32..64,
        (to, value) in (address(), number()),
        data in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..3),
            proptest::collection::vec(any::<u8>(), 50..60),
            proptest::collection::vec(any::<u8>(), 200..300),
            proptest::collection::vec(any::<u8>(), 65_530..65_540),
        ],
    ) -> Transaction<Vec<u8>> {
        Transaction {
            chain_id: chain_id >> shift,
            nonce: nonce >> (63 - shift),
            max_priority_fee_per_gas: max_priority_fee_per_gas >> (2 * shift),
            max_fee_per_gas: max_fee_per_gas >> (126 - 2 * shift),
            gas_limit: gas_limit >> shift,
            to,
            value: value >> (4 * shift),
            data,
        }
    }
}

fn of_alloy(transaction: &Transaction<Vec<u8>>) -> TxEip1559 {
    TxEip1559 {
        chain_id: transaction.chain_id,
        nonce: transaction.nonce,
        gas_limit: transaction.gas_limit,
        max_fee_per_gas: transaction.max_fee_per_gas,
        max_priority_fee_per_gas: transaction.max_priority_fee_per_gas,
        to: TxKind::Call(transaction.to),
        value: transaction.value,
        access_list: Default::default(),
        input: Bytes::copy_from_slice(&transaction.data),
    }
}

/// The core's vectors are what they say they are.
#[test]
fn the_cores_vectors_are_alloys() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/transactions.json")).unwrap();
    for vector in vectors["transactions"].as_array().unwrap() {
        let text = |field: &str| vector[field].as_str().unwrap();
        let transaction = TxEip1559 {
            chain_id: text("chainId").parse().unwrap(),
            nonce: text("nonce").parse().unwrap(),
            gas_limit: text("gasLimit").parse().unwrap(),
            max_fee_per_gas: text("maxFeePerGas").parse().unwrap(),
            max_priority_fee_per_gas: text("maxPriorityFeePerGas").parse().unwrap(),
            to: TxKind::Call(text("to").parse().unwrap()),
            value: text("value").parse().unwrap(),
            access_list: Default::default(),
            input: text("data").parse().unwrap(),
        };
        assert_eq!(transaction.signature_hash().to_string(), text("hash"), "{}", text("what"));
    }
}

proptest! {
    #[test]
    fn a_transaction_is_hashed_as_alloy_does(transaction in transactions()) {
        let alloy = of_alloy(&transaction);
        let bytes = transaction.to_vec();
        prop_assert_eq!(&bytes, &alloy.encoded_for_signing());
        prop_assert_eq!(bytes.len(), transaction.encoded_len());
        prop_assert_eq!(transaction.signing_hash(), alloy.signature_hash());
    }

    #[test]
    fn transactions_are_read_as_they_are_written(transaction in transactions()) {
        let subject = Subject::Transaction(transaction);
        prop_assert_eq!(Subject::from_json(&subject.to_json()).unwrap(), subject);
    }

    #[test]
    fn operations_and_redelegations_are_read_as_they_are_written(
        (sender, entry_point, chain_id) in (address(), address(), any::<u64>()),
        (nonce, word) in (number(), word_of()),
        (bytes, other) in (any::<Vec<u8>>(), any::<Vec<u8>>()),
    ) {
        let operation = PackedUserOperation {
            sender,
            nonce,
            init_code: bytes.clone(),
            call_data: other.clone(),
            account_gas_limits: word,
            pre_verification_gas: nonce >> 200,
            gas_fees: B256::from(nonce),
            paymaster_and_data: bytes.clone(),
        };
        let operation = AccountOperation { operation, entry_point, chain_id };
        let caveat = |terms| RedelegationCaveat { enforcer: entry_point, terms };
        let redelegation = Redelegation {
            chain_id,
            manager: entry_point,
            delegate: sender,
            delegator: entry_point,
            authority: word,
            caveats: vec![caveat(bytes), caveat(other)],
            salt: nonce,
        };
        for subject in [Subject::AccountOperation(operation), Subject::Redelegation(redelegation)] {
            prop_assert_eq!(Subject::from_json(&subject.to_json()).unwrap(), subject);
        }
    }
}
