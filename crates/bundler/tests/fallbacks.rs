//! Several bundlers: reads go on where one fails, an operation is sent to one only, and they have to agree.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod scripted;

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use quorate_bundler::{Bundler, BundlerError, Dialect, FeeAdvice, OperationStatus, SendOutcome, Simulation};
use scripted::*;
use serde_json::{Value, json};

/// A bundler of these answers to a method and a fallback for it.
fn pair(method: &'static str, first: Answer, second: Answer) -> (Bundler, [Arc<Scripted>; 2]) {
    let transports = [first, second].map(|answer| Scripted::new([(method, answer)]));
    let [first, second] = &transports;
    (first.bundler().with_fallbacks([second.bundler()]), transports)
}

/// Failures that say nothing of an operation.
const FAILURES: [Failure; 9] = [
    Failure::Unreachable,
    Failure::Timeout,
    Failure::Interrupted,
    Failure::RateLimited,
    Failure::NotJson,
    Failure::Http(503),
    Failure::Http(401),
    Failure::Rpc(-32603, "Internal error"),
    Failure::Rpc(-32005, "limit exceeded"),
];

#[tokio::test]
async fn what_one_does_not_find_is_asked_of_the_next() {
    let nothing = [Ok(json!(null)), Err(Failure::Rpc(-32601, "UserOperation not found"))];
    for first in FAILURES.map(Err).into_iter().chain(nothing) {
        let (bundler, _) = pair(BY_HASH, first.clone(), Ok(mined()));
        assert!(bundler.user_operation_by_hash(hash()).await.unwrap().is_some(), "{first:?}");

        let receipt = json!({ "success": true, "receipt": { "transactionHash": TRANSACTION } });
        let (bundler, _) = pair(RECEIPT, first.clone(), Ok(receipt));
        assert!(bundler.user_operation_receipt(hash()).await.unwrap().is_some(), "{first:?}");

        let (bundler, _) = pair(BY_HASH, first.clone(), Ok(mined()));
        let status = bundler.with_dialect(Dialect::Standard).user_operation_status(hash()).await.unwrap();
        assert!(matches!(status, OperationStatus::Included { .. }), "{first:?}");
    }
    let (bundler, [_, second]) = pair(BY_HASH, Ok(waiting()), Ok(mined()));
    assert_eq!(bundler.user_operation_by_hash(hash()).await.unwrap().unwrap().transaction_hash, None);
    assert!(!second.was_asked(BY_HASH));
}

#[tokio::test]
async fn nothing_is_found_where_none_has_it_and_one_could_say_so() {
    let dead = Failure::Http(401);
    for (first, second) in [
        (Ok(json!(null)), Ok(json!(null))),
        (Ok(json!(null)), Err(Failure::Timeout)),
        (Err(Failure::Timeout), Ok(json!(null))),
        (Err(dead), Ok(json!(null))),
    ] {
        let (bundler, [_, asked]) = pair(BY_HASH, first.clone(), second.clone());
        let bundler = bundler.with_dialect(Dialect::Standard);
        assert_eq!(bundler.user_operation_by_hash(hash()).await.unwrap(), None, "{first:?} {second:?}");
        assert_eq!(bundler.user_operation_status(hash()).await.unwrap(), OperationStatus::Unknown);
        assert_eq!(asked.take_methods(), [BY_HASH, BY_HASH]);
    }
    // An error after which asking again may help goes before one after which it does not.
    for (first, second, transient) in
        [(dead, Failure::Timeout, true), (Failure::Timeout, dead, true), (dead, Failure::Http(403), false)]
    {
        let (bundler, _) = pair(BY_HASH, Err(first), Err(second));
        let error = bundler.user_operation_by_hash(hash()).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn an_estimate_is_asked_of_the_next_one_unless_the_operation_is_rejected() {
    for failure in FAILURES {
        let (bundler, _) = pair(ESTIMATE, Err(failure), Ok(gas(8)));
        let gas = bundler.estimate_user_operation_gas(&operation(), ENTRY_POINT, None).await.unwrap();
        assert_eq!(gas.pre_verification_gas, U256::from(8), "{failure:?}");
    }
    for rejection in [
        Failure::Rpc(-32500, "AA23 reverted"),
        Failure::Rpc(-32521, "execution reverted"),
        Failure::Rpc(-32602, "Validation error"),
        Failure::Rpc(3, "execution reverted"),
    ] {
        let (bundler, [_, second]) = pair(ESTIMATE, Err(rejection), Ok(gas(8)));
        let error = bundler.estimate_user_operation_gas(&operation(), ENTRY_POINT, None).await.unwrap_err();
        assert!(matches!(error, BundlerError::Rejected { .. }), "{rejection:?}");
        assert!(!second.was_asked(ESTIMATE), "{rejection:?}");
    }
}

#[tokio::test]
async fn fees_are_asked_of_the_next_one_where_one_fails_and_each_has_its_own_dialect() {
    let first = Scripted::new([(PIMLICO_FEES, Err(Failure::RateLimited))]);
    let second = Scripted::new([(RUNDLER_FEES, Ok(json!(7)))]);
    let bundler = first.bundler().with_fallbacks([second.bundler()]);
    assert_eq!(bundler.fees().await.unwrap(), Some(FeeAdvice::Priority(U256::from(7))));
    second.take_methods();
    assert_eq!(bundler.fees().await.unwrap(), Some(FeeAdvice::Priority(U256::from(7))));
    assert_eq!(second.take_methods(), [RUNDLER_FEES]);
    // The first has no such method: that is its answer.
    first.answer(PIMLICO_FEES, Ok(json!(null)));
    assert_eq!(bundler.fees().await.unwrap(), None);
    assert!(second.take_methods().is_empty());
}

#[tokio::test]
async fn an_operation_goes_to_the_next_one_only_if_nothing_was_sent() {
    let none = Ok(Value::Null);
    let found = || Ok(waiting());
    let refused = Failure::Rpc(-32500, "AA21 didn't pay prefund");
    let conflict = Failure::Rpc(-32602, "replacement underpriced");
    let full = Failure::Rpc(-32602, "AA25 invalid account nonce: Maximum number of parallel user operations");
    let taken = Ok(json!(hash()));
    let sent = Ok(());
    // The first one's answer to the send, each one's to the hash, the outcome, and whether the second was sent to.
    for (first, by_hash, expected, goes_on) in [
        (taken.clone(), [none.clone(), none.clone()], sent, false),
        (Err(Failure::Rpc(-32602, "already known")), [none.clone(), none.clone()], sent, false),
        (Err(Failure::Unreachable), [none.clone(), none.clone()], sent, true),
        (Err(refused), [found(), found()], Err(SendOutcome::Refused), false),
        (Err(conflict), [found(), found()], Err(SendOutcome::Conflict), false),
        (Err(full), [found(), found()], Err(SendOutcome::Refused), false),
        // Taken for a wrong chain or entry point.
        (Ok(json!(TRANSACTION)), [found(), found()], Err(SendOutcome::Open), false),
    ]
    .into_iter()
    .chain(
        [
            Failure::Timeout,
            Failure::Interrupted,
            Failure::RateLimited,
            Failure::NotJson,
            Failure::Http(502),
            Failure::Http(404),
            Failure::Rpc(-32603, "Internal error: upstream timed out"),
        ]
        .into_iter()
        .flat_map(|open| {
            [
                (Err(open), [none.clone(), none.clone()], Err(SendOutcome::Open), false),
                (Err(open), [Err(Failure::Timeout), none.clone()], Err(SendOutcome::Open), false),
                (Err(open), [Err(open), Err(open)], Err(SendOutcome::Open), false),
                (Err(open), [found(), none.clone()], sent, false),
                (Err(open), [none.clone(), found()], sent, false),
                (Err(open), [Err(Failure::Timeout), found()], sent, false),
            ]
        }),
    ) {
        let [a, b] = by_hash.clone();
        let one = Scripted::new([(SEND, first.clone()), (BY_HASH, a)]);
        let other = Scripted::new([(SEND, taken.clone()), (BY_HASH, b)]);
        let bundler = one.bundler().with_fallbacks([other.bundler()]);
        let answer = bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, None).await;
        let case = format!("{first:?} {by_hash:?}: {answer:?}");
        match answer {
            Ok(answer) => assert_eq!((Ok(()), answer), (expected, hash()), "{case}"),
            Err(error) => assert_eq!(Err(error.send_outcome()), expected, "{case}"),
        }
        assert_eq!(other.was_asked(SEND), goes_on, "{case}");
        assert_eq!(one.take_methods().iter().filter(|method| *method == SEND).count(), 1, "{case}");
    }
}

#[tokio::test]
async fn a_send_that_reached_nobody_was_not_sent() {
    let transports = [(); 3].map(|()| Scripted::new([(SEND, Err(Failure::Unreachable))]));
    let [first, second, third] = &transports;
    let bundler = first.bundler().with_fallbacks([second.bundler().with_fallbacks([third.bundler()])]);
    let error = bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, None).await.unwrap_err();
    assert_eq!(error.send_outcome(), SendOutcome::NotSent);
    for transport in &transports {
        assert_eq!(transport.take_methods(), [SEND]);
    }
    // The last one may have it; those before it do not get it again.
    third.answer(SEND, Err(Failure::Timeout));
    let error = bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, None).await.unwrap_err();
    assert_eq!(error.send_outcome(), SendOutcome::Open);
    for transport in &transports {
        assert_eq!(transport.take_methods(), [SEND, BY_HASH]);
    }
}

#[tokio::test]
async fn a_bundler_whose_dialect_is_not_found_out_was_sent_nothing_and_the_next_one_is_asked() {
    let first = Scripted::new([(PIMLICO_FEES, Err(Failure::Timeout)), (SEND, Ok(json!(hash())))]);
    let second = Scripted::new([(SEND, Ok(json!(hash())))]);
    let bundler = first.bundler().with_fallbacks([second.bundler()]);
    let simulation = Some(Simulation::Validation);
    bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, simulation).await.unwrap();
    assert!(!first.was_asked(SEND) && second.was_asked(SEND));
}

#[tokio::test]
async fn a_single_bundler_is_not_asked_for_the_hash_after_a_send() {
    let transport = Scripted::new([(SEND, Err(Failure::Timeout)), (BY_HASH, Ok(waiting()))]);
    let bundler = transport.bundler();
    let error = bundler.send_user_operation(&operation(), ENTRY_POINT, CHAIN, None).await.unwrap_err();
    assert_eq!(error.send_outcome(), SendOutcome::Open);
    assert_eq!(transport.take_methods(), [SEND]);
}

#[tokio::test]
async fn bundlers_have_to_be_of_one_chain() {
    let (polygon, ethereum) = (|| Ok(json!("0x89")), || Ok(json!(1)));
    for (first, second, expected) in [
        (polygon(), Ok(json!("137")), Ok(137)),
        (Err(Failure::Unreachable), polygon(), Ok(137)),
        (polygon(), Err(Failure::Timeout), Ok(137)),
        (polygon(), ethereum(), Err("one of 137, another of 1")),
        (ethereum(), polygon(), Err("one of 1, another of 137")),
        (Err(Failure::Timeout), Err(Failure::Unreachable), Err("no answer from")),
        // A wrong key or address is a mistake that the caller has to learn of.
        (polygon(), Err(Failure::Http(401)), Err("401")),
        (Err(Failure::Http(401)), polygon(), Err("401")),
        (polygon(), Ok(json!(null)), Err("the answer is invalid")),
    ] {
        let (bundler, transports) = pair(CHAIN_ID, first.clone(), second.clone());
        let answer = bundler.chain_id().await;
        match (&answer, expected) {
            (Ok(id), expected) => assert_eq!(Ok(*id), expected, "{first:?} {second:?}"),
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{first:?} {second:?}: {error}")
            }
            (Err(error), _) => panic!("{first:?} {second:?}: {error}"),
        }
        for transport in transports {
            assert_eq!(transport.take_methods(), [CHAIN_ID]);
        }
    }
    // The two that answered do not agree, whatever stands between them.
    let [a, b, c] =
        [polygon(), Err(Failure::Timeout), ethereum()].map(|answer| Scripted::new([(CHAIN_ID, answer)]));
    let bundler = a.bundler().with_fallbacks([b.bundler(), c.bundler()]);
    let error = bundler.chain_id().await.unwrap_err();
    assert!(matches!(error, BundlerError::DifferentChains { first: 137, other: 1 }), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_entry_points_are_those_that_all_serve() {
    let [one, two, three] = [1, 2, 3].map(Address::repeat_byte);
    for (first, second, expected) in [
        (Ok(json!([one, two, three])), Ok(json!([three, one])), Some(vec![one, three])),
        (Ok(json!([one])), Ok(json!([two])), Some(vec![])),
        (Err(Failure::Timeout), Ok(json!([two])), Some(vec![two])),
        (Ok(json!([one])), Err(Failure::Http(502)), Some(vec![one])),
        (Ok(json!([one])), Err(Failure::Http(403)), None),
        (Err(Failure::Timeout), Err(Failure::Timeout), None),
    ] {
        let (bundler, _) = pair(ENTRY_POINTS, first.clone(), second.clone());
        assert_eq!(bundler.supported_entry_points().await.ok(), expected, "{first:?} {second:?}");
    }
}
