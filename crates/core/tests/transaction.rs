//! Transactions hash as an unrelated library hashes them.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use quorate_core::{Address, Encode as _, SliceSink, Transaction, U256};
use serde_json::Value;

fn transactions() -> Vec<(String, Transaction<Vec<u8>>, String)> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/transactions.json")).unwrap();
    let text = |vector: &Value, field: &str| vector[field].as_str().unwrap().to_owned();
    let read = |vector: &Value| {
        let digits = text(vector, "data");
        let digits = digits.strip_prefix("0x").unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let transaction = Transaction {
            chain_id: text(vector, "chainId").parse().unwrap(),
            nonce: text(vector, "nonce").parse().unwrap(),
            max_priority_fee_per_gas: text(vector, "maxPriorityFeePerGas").parse().unwrap(),
            max_fee_per_gas: text(vector, "maxFeePerGas").parse().unwrap(),
            gas_limit: text(vector, "gasLimit").parse().unwrap(),
            to: text(vector, "to").parse::<Address>().unwrap(),
            value: text(vector, "value").parse::<U256>().unwrap(),
            data: (0..digits.len()).step_by(2).map(byte).collect(),
        };
        (text(vector, "what"), transaction, text(vector, "hash"))
    };
    vectors["transactions"].as_array().unwrap().iter().map(read).collect()
}

#[test]
fn transactions_hash_as_alloy_hashes_them() {
    let transactions = transactions();
    assert_eq!(transactions.len(), 8);
    for (what, transaction, hash) in transactions {
        assert_eq!(transaction.signing_hash().to_string(), hash, "{what}");
    }
}

#[test]
fn a_transaction_needs_the_room_that_it_says() {
    for (what, transaction, _) in transactions() {
        let mut buffer = vec![0; transaction.encoded_len()];
        let mut sink = SliceSink::new(&mut buffer);
        transaction.write_to(&mut sink).unwrap();
        assert_eq!(sink.written().len(), transaction.encoded_len(), "{what}");
        let short = transaction.encoded_len() - 1;
        assert!(transaction.write_to(&mut SliceSink::new(&mut buffer[..short])).is_err(), "{what}");
    }
}
