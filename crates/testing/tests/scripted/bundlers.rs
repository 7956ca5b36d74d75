//! What bundlers say, and their knobs.

use alloy_primitives::{Address, B256, U256};
use quorate_core::*;
use quorate_testing::{Numbers, ScriptedChain};
use quorate_transport::TransportExt as _;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn the_same_again_is_known_and_another_has_to_pay_more() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let op = operation(&chain, account, &[call(NFT, &[1])]);
    let first = sign(&chain, op.clone(), &key(1));
    let hash = send(&chain, &bundler, &first).await.unwrap();
    let again = refused(&chain, &bundler, &first).await;
    assert_eq!((again.code, again.message.as_str()), (-32602, "Already known"));

    let priced = |max: u64, tip: u64| {
        let (max_fee_per_gas, max_priority_fee_per_gas) = (U256::from(max), U256::from(tip));
        sign(&chain, UserOperation { max_fee_per_gas, max_priority_fee_per_gas, ..op.clone() }, &key(1))
    };
    // Both fees have to be higher by a tenth.
    let conflict = refused(&chain, &bundler, &priced(3_300_000_000, 1_099_999_999)).await;
    assert_eq!(conflict.code, -32602);
    assert_eq!(
        conflict.message,
        "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%"
    );
    let raised = send(&chain, &bundler, &priced(3_300_000_000, 1_100_000_000)).await.unwrap();
    assert_eq!(bundler.pending(), [raised]);
    chain.mine();
    assert_eq!((chain.outcome(hash), chain.outcome(raised)), (None, Some(true)));

    let late = refused(&chain, &bundler, &first).await;
    assert!(late.message.contains("AA10"), "{late}");
}

#[tokio::test]
async fn two_operations_that_deploy_conflict() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let bundler = chain.bundler();
    let account = fresh(&chain);
    send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[1])])).await.unwrap();
    let op = operation(&chain, account, &[call(NFT, &[2])]);
    let other = sign(&chain, UserOperation { nonce: U256::from(5) << 64, ..op }, &key(1));
    let error = refused(&chain, &bundler, &other).await;
    assert!(
        error.message.starts_with("AA10 sender already constructed: A conflicting userOperation"),
        "{error}"
    );
}

#[tokio::test]
async fn bundlers_have_mempools_of_their_own() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let (one, other) = (chain.bundler(), chain.bundler());
    let account = deployed(&chain);
    chain.mine();
    let first = send(&chain, &one, &by_owner(&chain, account, &[call(NFT, &[1])])).await.unwrap();
    let second = send(&chain, &other, &by_owner(&chain, account, &[call(NFT, &[2])])).await.unwrap();
    chain.mine();
    // The same nonce: only one of them lands, and the other is dropped.
    assert_eq!((chain.outcome(first), chain.outcome(second)), (Some(true), None));
    assert_eq!((one.pending(), other.pending()), (vec![], vec![]));
    // Receipts come from the chain.
    assert_eq!(receipt(&other, first).await["userOpHash"], json!(first));
}

#[tokio::test]
async fn operations_are_dropped_held_and_released() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[1])]);
    bundler.hold(hash(&chain, &signed.operation));
    let hash = send(&chain, &bundler, &signed).await.unwrap();
    assert_eq!(bundler.pending(), [hash]);
    assert!(receipt(&bundler, hash).await.is_null());

    assert!(bundler.drop_operation(hash));
    assert!(!bundler.drop_operation(hash));
    send(&chain, &bundler, &signed).await.unwrap();
    bundler.drop_all();
    assert!(bundler.pending().is_empty());

    send(&chain, &bundler, &signed).await.unwrap();
    chain.mine();
    assert_eq!(chain.outcome(hash), None);
    bundler.release(hash);
    assert_eq!(chain.outcome(hash), Some(true));
}

#[tokio::test]
async fn all_can_be_held_but_one() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    bundler.hold_all(true);
    let in_stream = |stream: u64| {
        let op = operation(&chain, account, &[call(NFT, &[])]);
        sign(&chain, UserOperation { nonce: U256::from(stream) << 64, ..op }, &key(1))
    };
    let one = send(&chain, &bundler, &in_stream(1)).await.unwrap();
    let two = send(&chain, &bundler, &in_stream(2)).await.unwrap();
    bundler.release(two);
    assert_eq!((chain.outcome(one), chain.outcome(two)), (None, Some(true)));
    bundler.hold_all(false);
    assert_eq!(chain.outcome(one), Some(true));
}

#[tokio::test]
async fn receipts_age() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await.unwrap();
    bundler.set_receipt_window(Some(3));
    chain.mine();
    chain.mine();
    assert!(!receipt(&bundler, hash).await.is_null());
    chain.mine();
    assert!(receipt(&bundler, hash).await.is_null());
    let by_hash: Value = bundler.call("eth_getUserOperationByHash", (hash,)).await.unwrap();
    assert!(by_hash.is_null());
    bundler.set_receipt_window(None);
    assert!(!receipt(&bundler, hash).await.is_null());
    bundler.set_lag(4);
    assert!(receipt(&bundler, hash).await.is_null());
}

#[tokio::test]
async fn what_waits_is_null_by_hash_or_not() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = send(&chain, &bundler, &signed).await.unwrap();
    let by_hash = || async { bundler.call::<Value>("eth_getUserOperationByHash", (hash,)).await.unwrap() };
    assert!(by_hash().await.is_null());
    bundler.set_null_while_waiting(false);
    let waiting = by_hash().await;
    assert!(waiting["transactionHash"].is_null());
    assert_eq!(waiting["userOperation"], wire(&signed));
    chain.mine();
    assert_eq!(by_hash().await["blockNumber"], "0x1");
}

#[tokio::test]
async fn streams_and_queues_have_limits() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let bundler = chain.bundler();
    let account = deployed(&chain);
    chain.mine();
    let numbered = |nonce: U256| {
        let op = operation(&chain, account, &[call(NFT, &[])]);
        sign(&chain, UserOperation { nonce, ..op }, &key(1))
    };
    for stream in 0..10_u64 {
        send(&chain, &bundler, &numbered(U256::from(stream) << 64)).await.unwrap();
    }
    let error = refused(&chain, &bundler, &numbered(U256::from(10) << 64)).await;
    assert_eq!(error.code, -32602);
    assert!(error.message.contains("Maximum number of parallel"), "{error}");
    let error = refused(&chain, &bundler, &numbered(U256::from(1))).await;
    assert!(error.message.contains("Maximum number of queued"), "{error}");

    bundler.set_parallel_limit(20);
    bundler.set_queue_limit(1);
    send(&chain, &bundler, &numbered(U256::from(10) << 64)).await.unwrap();
    let queued = send(&chain, &bundler, &numbered(U256::from(1))).await.unwrap();
    chain.mine();
    assert_eq!(chain.outcome(queued), Some(true));
}

#[tokio::test]
async fn low_fees_wait_or_are_refused() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    chain.set_base_fee(U256::from(4_000_000_000_u64));
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = send(&chain, &bundler, &signed).await.unwrap();
    assert_eq!((chain.outcome(hash), bundler.pending()), (None, vec![hash]));
    chain.set_base_fee(U256::from(2_000_000_000_u64));
    chain.mine();
    assert_eq!(chain.outcome(hash), Some(true));

    bundler.set_fee_floor(U256::from(4_000_000_000_u64));
    let error = refused(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await;
    assert_eq!(error.code, -32602);
    assert!(
        error
            .message
            .starts_with("maxFeePerGas must be at least 4000000000 (current maxFeePerGas: 3000000000)")
    );
}

#[tokio::test]
async fn estimates_ask_for_form_and_policy_but_not_for_money_or_signer() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let poor = chain.deploy_directly(key(1).address(), U256::ZERO);
    let estimate = |signed: Signed| {
        let (chain, bundler) = (&chain, &bundler);
        async move {
            let params = (wire(&signed), chain.deployment().entry_point);
            bundler.call::<Value>("eth_estimateUserOperationGas", params).await
        }
    };
    let op = operation(&chain, poor, &[call(NFT, &[])]);
    bundler.set_gas(1, 2, 3);
    let gas = estimate(sign(&chain, op.clone(), &key(9))).await.unwrap();
    assert_eq!(
        gas,
        json!({ "preVerificationGas": "0x1", "verificationGasLimit": "0x2", "callGasLimit": "0x3" })
    );

    let wrong_nonce = UserOperation { nonce: U256::from(4), ..op.clone() };
    let error = estimate(sign(&chain, wrong_nonce, &key(1))).await.unwrap_err();
    assert!(error.to_string().contains("AA25"), "{error}");

    chain.reverting(NFT);
    let error = estimate(sign(&chain, op, &key(1))).await.unwrap_err();
    let error = error.rpc().unwrap();
    assert_eq!(error.code, -32521);
    assert!(error.message.contains("scripted to revert"), "{error}");
    assert!(error.data.is_some());
}

#[tokio::test]
async fn numbers_in_each_form() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let expected = [
        (Numbers::Hex, json!("0x3b9aca00")),
        (Numbers::Decimal, json!("1000000000")),
        (Numbers::Json, json!(1_000_000_000)),
        (Numbers::HexObject, json!({ "_hex": "0x3b9aca00", "_isBigNumber": true })),
        (Numbers::BigNumber, json!({ "type": "BigNumber", "hex": "0x3b9aca00" })),
    ];
    for (numbers, expected) in expected {
        bundler.set_numbers(numbers);
        let prices: Value = bundler.call("pimlico_getUserOperationGasPrice", ()).await.unwrap();
        assert_eq!(prices["slow"]["maxPriorityFeePerGas"], expected);
    }
    bundler.set_numbers(Numbers::Hex);
    bundler.set_price_percent(2000);
    let prices: Value = bundler.call("pimlico_getUserOperationGasPrice", ()).await.unwrap();
    assert_eq!(prices["slow"]["maxPriorityFeePerGas"], "0x4a817c800");
}

#[tokio::test]
async fn what_a_bundler_serves() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    assert_eq!(bundler.call::<String>("eth_chainId", ()).await.unwrap(), "0x7a69");
    let entry_points: Vec<Address> = bundler.call("eth_supportedEntryPoints", ()).await.unwrap();
    assert_eq!(entry_points, [chain.deployment().entry_point]);
    let error = bundler.call::<Value>("eth_blockNumber", ()).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, -32601);

    let account = fresh(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let error = bundler.call_once::<B256>("eth_sendUserOperation", (wire(&signed), NFT)).await.unwrap_err();
    assert!(error.to_string().contains("not supported, supported EntryPoints"), "{error}");
    let error = bundler.call_once::<B256>("eth_sendUserOperation", (json!({}), NFT)).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, -32602);
}

#[tokio::test]
async fn what_expires_within_seconds_is_not_taken() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = ready(&chain);
    let until = chain.now() + 100;
    let session = Session::minting(&chain, SessionEpoch::new(0, until).unwrap());
    set_root(&chain, account, session.leaf());
    chain.set_automine(false);
    let op = operation(&chain, account, &[call(NFT, &mint(Address::repeat_byte(0xcc)))]);
    let signed = session.sign(&chain, op, &[], &key(2));
    chain.advance(until - 4 - chain.now());
    let error = refused(&chain, &bundler, &signed).await;
    assert_eq!((error.code, error.message.as_str()), (-32503, "User operation expires too soon"));
}

#[tokio::test]
async fn pimlico_s_status() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = hash(&chain, &signed.operation);
    let status = || async {
        bundler.call::<Value>("pimlico_getUserOperationStatus", (hash,)).await.unwrap()["status"].clone()
    };
    assert_eq!(status().await, "not_found");
    send(&chain, &bundler, &signed).await.unwrap();
    assert_eq!(status().await, "not_submitted");
    chain.mine();
    assert_eq!(status().await, "included");
}
