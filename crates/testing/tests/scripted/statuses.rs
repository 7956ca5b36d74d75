//! What bundlers say of operations and of fees in their dialects, read by the client that speaks them.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use quorate_bundler::{Bundler, Dialect, FeeAdvice, Fees, OperationStatus, Simulation};
use quorate_testing::{BundlerDialect, Orphaned, ScriptedBundler, ScriptedChain};
use quorate_transport::TransportExt as _;
use serde_json::{Value, json};

use crate::support::*;

const DIALECTS: [(BundlerDialect, Dialect); 2] =
    [(BundlerDialect::Pimlico, Dialect::Pimlico), (BundlerDialect::Biconomy, Dialect::Biconomy)];

/// A chain that mines when it is told, a bundler and the client for it, and a signed operation.
fn scene(dialect: BundlerDialect) -> (ScriptedChain, Arc<ScriptedBundler>, Bundler, Signed) {
    let chain = ScriptedChain::new();
    let account = deployed(&chain);
    chain.set_automine(false);
    let bundler = chain.bundler();
    bundler.set_dialect(dialect);
    let signed = by_owner(&chain, account, &[call(NFT, &[1])]);
    // The client finds the dialect out by itself.
    let client = Bundler::new(bundler.clone());
    (chain, bundler, client, signed)
}

fn raised(chain: &ScriptedChain, signed: &Signed) -> Signed {
    let mut op = signed.operation.clone();
    op.max_fee_per_gas *= U256::from(2);
    op.max_priority_fee_per_gas *= U256::from(2);
    sign(chain, op, &key(1))
}

#[tokio::test]
async fn an_operation_waits_is_submitted_and_lands() {
    for (scripted, dialect) in DIALECTS {
        let (chain, bundler, client, signed) = scene(scripted);
        let hash = hash(&chain, &signed.operation);
        let status = || async { client.user_operation_status(hash).await.unwrap() };
        assert_eq!(status().await, OperationStatus::Unknown);
        assert!(!bundler.submit_operation(hash));
        send(&chain, &bundler, &signed).await.unwrap();
        assert_eq!(status().await, OperationStatus::Waiting);
        assert!(bundler.submit_operation(hash));
        assert_eq!(status().await, OperationStatus::Submitted { transaction: Some(keccak256(hash)) });
        chain.mine();
        let receipt = receipt(&bundler, hash).await;
        let transaction: B256 = receipt["receipt"]["transactionHash"].as_str().unwrap().parse().unwrap();
        let success = (dialect == Dialect::Biconomy).then_some(true);
        let included = OperationStatus::Included { transaction: Some(transaction), success };
        assert_eq!(status().await, included);
        assert!(client.user_operation_receipt(hash).await.unwrap().unwrap().success);

        chain.reorganise(1, Orphaned::BackToMempool);
        assert_eq!(status().await, OperationStatus::Waiting);
        bundler.drop_all();
        assert_eq!(status().await, OperationStatus::Unknown);
    }
}

#[tokio::test]
async fn what_is_rejected_or_replaced_is_told_until_it_is_sent_again() {
    for (scripted, dialect) in DIALECTS {
        let (chain, bundler, client, signed) = scene(scripted);
        let reason = |reason: &str| (dialect == Dialect::Biconomy).then(|| reason.to_owned());
        let first = send(&chain, &bundler, &signed).await.unwrap();
        bundler.submit_operation(first);
        assert!(bundler.reject_operation(first, "no room"));
        assert!(!bundler.reject_operation(first, "again"));
        let status = async |hash| client.user_operation_status(hash).await.unwrap();
        assert_eq!(status(first).await, OperationStatus::Refused { reason: reason("no room") });
        send(&chain, &bundler, &signed).await.unwrap();
        assert_eq!(status(first).await, OperationStatus::Waiting);

        let second = send(&chain, &bundler, &raised(&chain, &signed)).await.unwrap();
        assert_eq!(
            status(first).await,
            OperationStatus::Refused { reason: reason(&format!("replaced by {second}")) }
        );
        // What the chain says comes first: the replaced one lands by somebody else.
        chain.inject(&signed);
        chain.mine();
        assert!(matches!(status(first).await, OperationStatus::Included { .. }));
        assert_eq!(
            status(second).await,
            OperationStatus::Refused { reason: reason("AA25 invalid account nonce") }
        );
        assert!(bundler.pending().is_empty());
    }
}

#[tokio::test]
async fn an_operation_that_is_dropped_without_a_word_is_unknown() {
    for (scripted, _) in DIALECTS {
        let (chain, bundler, client, signed) = scene(scripted);
        let hash = send(&chain, &bundler, &signed).await.unwrap();
        bundler.drop_operation(hash);
        assert_eq!(client.user_operation_status(hash).await.unwrap(), OperationStatus::Unknown);
    }
    // Biconomy says so by an error.
    let (_, bundler, ..) = scene(BundlerDialect::Biconomy);
    let error = bundler.call::<Value>("biconomy_getUserOperationStatus", (B256::ZERO,)).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, -32094);
}

#[tokio::test]
async fn a_reverted_call_has_failed_at_biconomy() {
    let (chain, bundler, client, signed) = scene(BundlerDialect::Biconomy);
    chain.reverting(NFT);
    let hash = send(&chain, &bundler, &signed).await.unwrap();
    chain.mine();
    let answer: Value = bundler.call("biconomy_getUserOperationStatus", (hash,)).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["userOperationReceipt"]["success"]),
        (&json!("FAILED"), &json!("false"))
    );
    let status = client.user_operation_status(hash).await.unwrap();
    assert!(matches!(status, OperationStatus::Included { success: Some(false), .. }), "{status:?}");
    assert_eq!(receipt(&bundler, hash).await["success"], "false");
}

#[tokio::test]
async fn fees_come_in_the_dialect_that_is_set() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let both = |percent: u64| {
        let [max_fee_per_gas, max_priority_fee_per_gas] =
            [3, 1].map(|gwei: u64| U256::from(gwei * 10_000_000 * percent));
        Some(FeeAdvice::Fees(Fees { max_fee_per_gas, max_priority_fee_per_gas }))
    };
    for (dialect, expected) in [
        (BundlerDialect::Pimlico, both(210)),
        (BundlerDialect::Rundler, Some(FeeAdvice::Priority(U256::from(2_000_000_000_u64)))),
        (BundlerDialect::Biconomy, both(200)),
        (BundlerDialect::Standard, None),
    ] {
        bundler.set_dialect(dialect);
        bundler.set_price_percent(200);
        let client = Bundler::new(bundler.clone());
        assert_eq!(client.fees().await.unwrap(), expected, "{dialect:?}");
    }
}

#[tokio::test]
async fn what_is_simulated_is_said_to_biconomy_alone() {
    for (scripted, _) in DIALECTS {
        let (chain, bundler, client, signed) = scene(scripted);
        let entry_point = chain.deployment().entry_point;
        let options = json!({ "simulation_type": "validation" });
        let sent =
            bundler.call_once::<B256>("eth_sendUserOperation", (wire(&signed), entry_point, options)).await;
        assert_eq!(sent.is_ok(), scripted == BundlerDialect::Biconomy, "{sent:?}");
        bundler.drop_all();
        let simulation = Some(Simulation::Validation);
        client.send_user_operation(&signed, entry_point, chain.chain_id(), simulation).await.unwrap();
    }
}

#[tokio::test]
async fn a_standard_bundler_tells_by_the_hash() {
    let (chain, bundler, client, signed) = scene(BundlerDialect::Standard);
    bundler.set_null_while_waiting(false);
    let hash = send(&chain, &bundler, &signed).await.unwrap();
    assert_eq!(client.user_operation_status(hash).await.unwrap(), OperationStatus::Waiting);
    bundler.submit_operation(hash);
    let submitted = OperationStatus::Submitted { transaction: Some(keccak256(hash)) };
    assert_eq!(client.user_operation_status(hash).await.unwrap(), submitted);
}
