//! What bundlers have beyond the standard: fees, the state of an operation, and parameters of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod scripted;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use quorate_bundler::{
    AccountOverride, BundlerError, Dialect, FeeAdvice, Fees, OperationStatus, SendOutcome, Simulation,
    StateOverride,
};
use scripted::*;
use serde_json::{Value, json};

fn tier(max_fee_per_gas: u64, max_priority_fee_per_gas: u64) -> Value {
    json!({ "maxFeePerGas": max_fee_per_gas.to_string(), "maxPriorityFeePerGas": max_priority_fee_per_gas.to_string() })
}

fn fees(max_fee_per_gas: u64, max_priority_fee_per_gas: u64) -> Option<FeeAdvice> {
    let [max_fee_per_gas, max_priority_fee_per_gas] =
        [max_fee_per_gas, max_priority_fee_per_gas].map(U256::from);
    Some(FeeAdvice::Fees(Fees { max_fee_per_gas, max_priority_fee_per_gas }))
}

fn priority(wei: u64) -> Option<FeeAdvice> {
    Some(FeeAdvice::Priority(U256::from(wei)))
}

#[tokio::test]
async fn the_dialect_is_found_out_once_by_the_first_method_that_the_bundler_has() {
    let pimlico = || Ok(json!({ "slow": tier(1, 1), "standard": tier(3, 2), "fast": tier(9, 9) }));
    let rundler = || Ok(json!("0x7"));
    let biconomy = || Ok(tier(30, 5));
    let all: &[&str] = &[PIMLICO_FEES, RUNDLER_FEES, BICONOMY_FEES];
    for (answers, expected, later) in [
        (vec![(PIMLICO_FEES, pimlico())], fees(3, 2), Some(PIMLICO_FEES)),
        (vec![(RUNDLER_FEES, rundler())], priority(7), Some(RUNDLER_FEES)),
        (vec![(BICONOMY_FEES, biconomy())], fees(30, 5), Some(BICONOMY_FEES)),
        (vec![(RUNDLER_FEES, rundler()), (PIMLICO_FEES, pimlico())], fees(3, 2), Some(PIMLICO_FEES)),
        (vec![(BICONOMY_FEES, biconomy()), (RUNDLER_FEES, rundler())], priority(7), Some(RUNDLER_FEES)),
        (
            vec![(PIMLICO_FEES, Ok(json!(null))), (RUNDLER_FEES, Ok(json!([]))), (BICONOMY_FEES, biconomy())],
            fees(30, 5),
            Some(BICONOMY_FEES),
        ),
        // That what comes later failed says nothing of the first.
        (
            vec![(PIMLICO_FEES, pimlico()), (RUNDLER_FEES, Err(Failure::RateLimited))],
            fees(3, 2),
            Some(PIMLICO_FEES),
        ),
        (vec![], None, None),
        (vec![(PIMLICO_FEES, Ok(json!("0x10"))), (BICONOMY_FEES, Ok(json!("0x10")))], None, None),
    ] {
        let transport = Scripted::new(answers.clone());
        let bundler = transport.bundler();
        assert_eq!(bundler.fees().await.unwrap(), expected, "{answers:?}");
        assert_eq!(transport.take_methods(), all, "{answers:?}");
        for again in [bundler.clone(), bundler] {
            assert_eq!(again.fees().await.unwrap(), expected, "{answers:?}");
            assert_eq!(transport.take_methods(), Vec::from_iter(later), "{answers:?}");
        }
    }
}

#[tokio::test]
async fn a_bundler_without_fees_has_none_however_it_says_so() {
    for none in [
        Ok(json!(null)),
        Ok(json!([])),
        Ok(json!({})),
        Ok(json!({ "slow": {} })),
        Ok(json!({ "standard": { "maxFeePerGas": "1" } })),
        Err(Failure::Rpc(-32601, "Method not found")),
        Err(Failure::Rpc(-32602, "method not supported")),
        Err(Failure::Rpc(-32602, "Validation error: Invalid discriminator value")),
        Err(Failure::Rpc(-32600, "Unsupported method")),
        Err(Failure::Http(404)),
        Err(Failure::Empty),
    ] {
        let transport =
            Scripted::new([PIMLICO_FEES, RUNDLER_FEES, BICONOMY_FEES].map(|method| (method, none.clone())));
        assert_eq!(transport.bundler().fees().await.unwrap(), None, "{none:?}");
        for dialect in [Dialect::Pimlico, Dialect::Rundler, Dialect::Biconomy] {
            let bundler = transport.bundler().with_dialect(dialect);
            assert_eq!(bundler.fees().await.unwrap(), None, "{dialect:?} {none:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_not_taken_for_a_missing_method_and_nothing_is_remembered() {
    for failure in [
        Failure::RateLimited,
        Failure::Timeout,
        Failure::Unreachable,
        Failure::Interrupted,
        Failure::Http(500),
        Failure::Http(503),
        Failure::NotJson,
        Failure::Rpc(-32603, "Internal error"),
        Failure::Rpc(-32005, "limit exceeded"),
        Failure::Rpc(429, "too many requests"),
    ] {
        let transport = Scripted::new([(PIMLICO_FEES, Err(failure)), (RUNDLER_FEES, Ok(json!(7)))]);
        let bundler = transport.bundler();
        let error = bundler.fees().await.unwrap_err();
        assert!(
            matches!(error, BundlerError::Transport(_)) && error.is_transient(),
            "{failure:?}: {error:?}"
        );
        transport.answer(PIMLICO_FEES, Ok(json!({ "standard": tier(3, 2) })));
        assert_eq!(bundler.fees().await.unwrap(), fees(3, 2), "{failure:?}");
        // A failure after it is known is one too, and does not change what is known.
        transport.take_methods();
        transport.answer(PIMLICO_FEES, Err(failure));
        assert!(bundler.fees().await.unwrap_err().is_transient(), "{failure:?}");
        assert_eq!(transport.take_methods(), [PIMLICO_FEES]);
    }
}

#[tokio::test]
async fn a_named_dialect_asks_its_own_methods_only() {
    for (dialect, fees, status) in [
        (Dialect::Standard, None, BY_HASH),
        (Dialect::Pimlico, Some(PIMLICO_FEES), PIMLICO_STATUS),
        (Dialect::Rundler, Some(RUNDLER_FEES), BY_HASH),
        (Dialect::Biconomy, Some(BICONOMY_FEES), BICONOMY_STATUS),
    ] {
        let transport =
            Scripted::new([PIMLICO_STATUS, BICONOMY_STATUS, BY_HASH].map(|method| (method, Ok(Value::Null))));
        let bundler = transport.bundler().with_dialect(dialect);
        assert_eq!(bundler.fees().await.unwrap(), None);
        assert_eq!(transport.take_methods(), Vec::from_iter(fees), "{dialect:?}");
        assert_eq!(bundler.user_operation_status(hash()).await.unwrap(), OperationStatus::Unknown);
        assert_eq!(transport.take_methods(), [status], "{dialect:?}");
    }
}

#[tokio::test]
async fn the_status_is_read_by_the_dialects_method_or_by_the_standards() {
    use Dialect::*;
    use OperationStatus::*;
    let included = Included { transaction: Some(TRANSACTION), success: None };
    let state = |state| Ok(json!({ "state": state }));
    for (dialect, answers, expected) in [
        (Pimlico, vec![(PIMLICO_STATUS, Ok(json!({ "status": "queued" })))], Waiting),
        (
            Pimlico,
            vec![(PIMLICO_STATUS, Ok(json!({ "status": "not_found" }))), (BY_HASH, Ok(mined()))],
            Unknown,
        ),
        (Pimlico, vec![(PIMLICO_STATUS, Err(Failure::Rpc(-32602, "userOp not found")))], Unknown),
        // A word that is not known, another shape, and no such method.
        (Pimlico, vec![(PIMLICO_STATUS, Ok(json!({ "status": "new" }))), (BY_HASH, Ok(waiting()))], Waiting),
        (Pimlico, vec![(PIMLICO_STATUS, Ok(json!(7))), (BY_HASH, Ok(mined()))], included.clone()),
        (Pimlico, vec![(BY_HASH, Ok(mined()))], included.clone()),
        (Biconomy, vec![(BICONOMY_STATUS, state("BUNDLER_MEMPOOL"))], Waiting),
        (Biconomy, vec![(BICONOMY_STATUS, state("DROPPED_FROM_BUNDLER_MEMPOOL"))], Refused { reason: None }),
        (
            Biconomy,
            vec![(BICONOMY_STATUS, Err(Failure::Rpc(-32094, "UserOpHash: 0x07 for chainId: 137")))],
            Unknown,
        ),
        (Biconomy, vec![(BICONOMY_STATUS, Err(Failure::Rpc(-32000, "userOpHash not found")))], Unknown),
        (Biconomy, vec![(BICONOMY_STATUS, Err(Failure::Http(404))), (BY_HASH, Ok(waiting()))], Waiting),
        (Rundler, vec![(BY_HASH, Ok(mined()))], included.clone()),
        (Standard, vec![(BY_HASH, Ok(json!(null)))], Unknown),
        (Standard, vec![(BY_HASH, Err(Failure::Rpc(-32601, "UserOperation not found")))], Unknown),
        (Standard, vec![(BY_HASH, Ok(waiting()))], Waiting),
    ] {
        let bundler = Scripted::new(answers.clone()).bundler().with_dialect(dialect);
        assert_eq!(bundler.user_operation_status(hash()).await.unwrap(), expected, "{dialect:?} {answers:?}");
    }
    for failure in [Failure::Rpc(-32603, "Internal error"), Failure::RateLimited, Failure::Timeout] {
        let transport = Scripted::new([(PIMLICO_STATUS, Err(failure)), (BY_HASH, Ok(mined()))]);
        let bundler = transport.bundler().with_dialect(Pimlico);
        assert!(bundler.user_operation_status(hash()).await.unwrap_err().is_transient(), "{failure:?}");
    }
}

#[tokio::test]
async fn the_status_of_a_bundler_whose_dialect_is_not_known_is_read_by_the_one_that_is_found() {
    let transport = Scripted::new([
        (BICONOMY_FEES, Ok(tier(3, 2))),
        (BICONOMY_STATUS, Ok(json!({ "state": "SUBMITTED", "transactionHash": TRANSACTION }))),
    ]);
    let status = transport.bundler().user_operation_status(hash()).await.unwrap();
    assert_eq!(status, OperationStatus::Submitted { transaction: Some(TRANSACTION) });
}

#[tokio::test]
async fn a_simulation_type_is_sent_to_a_biconomy_bundler_only() {
    let third = |simulation| Some(json!({ "simulation_type": simulation }));
    let (validation, execution) = (Simulation::Validation, Simulation::ValidationAndExecution);
    for (dialect, simulation, expected) in [
        (Some(Dialect::Biconomy), Some(validation), third("validation")),
        (Some(Dialect::Biconomy), Some(execution), third("validation_and_execution")),
        (Some(Dialect::Biconomy), None, None),
        (Some(Dialect::Pimlico), Some(execution), None),
        (Some(Dialect::Rundler), Some(execution), None),
        (Some(Dialect::Standard), Some(execution), None),
        // Found out.
        (None, Some(validation), third("validation")),
        (None, None, None),
    ] {
        let transport = Scripted::new([(SEND, Ok(json!(hash()))), (BICONOMY_FEES, Ok(tier(3, 2)))]);
        let mut bundler = transport.bundler();
        if let Some(dialect) = dialect {
            bundler = bundler.with_dialect(dialect);
        }
        bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, simulation).await.unwrap();
        let params = transport.last_params();
        assert_eq!(params.get(2), expected.as_ref(), "{dialect:?} {simulation:?}");
        assert_eq!(params.as_array().unwrap().len(), if expected.is_some() { 3 } else { 2 });
        let asks_first = dialect.is_none() && simulation.is_some();
        assert_eq!(transport.take_methods().len(), if asks_first { 4 } else { 1 });
    }
}

#[tokio::test]
async fn nothing_is_sent_while_it_is_not_known_whether_the_bundler_takes_a_simulation_type() {
    let transport = Scripted::new([(SEND, Ok(json!(hash()))), (PIMLICO_FEES, Err(Failure::RateLimited))]);
    let simulation = Some(Simulation::Validation);
    let error = transport
        .bundler()
        .send_user_operation(&operation(), ENTRY_POINT, CHAIN, simulation)
        .await
        .unwrap_err();
    assert!(matches!(error, BundlerError::UnknownDialect { .. }), "{error:?}");
    assert_eq!((error.send_outcome(), error.is_transient()), (SendOutcome::NotSent, true));
    assert!(std::error::Error::source(&error).is_some());
    assert!(!transport.was_asked(SEND));
}

#[tokio::test]
async fn overrides_are_the_third_parameter_of_an_estimate_and_only_where_they_are_given() {
    let rich = AccountOverride {
        balance: Some(U256::from(16)),
        state_diff: Some(BTreeMap::from([(B256::ZERO, B256::repeat_byte(2))])),
        ..Default::default()
    };
    let overrides = StateOverride::from([(Address::repeat_byte(1), rich)]);
    let written = json!({
        "0x0101010101010101010101010101010101010101": {
            "balance": "0x10", "stateDiff": { B256::ZERO.to_string(): B256::repeat_byte(2) },
        },
    });
    let none = StateOverride::new();
    for (overrides, expected) in
        [(None, None), (Some(&none), Some(json!({}))), (Some(&overrides), Some(written))]
    {
        let transport = Scripted::new([(ESTIMATE, Ok(gas(1)))]);
        transport.bundler().estimate_user_operation_gas(&operation(), ENTRY_POINT, overrides).await.unwrap();
        let params = transport.last_params();
        assert_eq!(params.get(2), expected.as_ref());
        assert_eq!(params.as_array().unwrap().len(), if expected.is_some() { 3 } else { 2 });
    }
}
