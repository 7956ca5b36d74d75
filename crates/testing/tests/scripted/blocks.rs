//! Blocks, time, reorganisations, and what is done without bundlers.

use std::time::Instant;

use alloy_primitives::{B256, U256, aliases::U192};
use quorate_contracts::calls;
use quorate_core::*;
use quorate_testing::{Orphaned, ScriptedChain};
use quorate_transport::TransportExt as _;
use serde_json::Value;

use crate::support::*;

#[tokio::test]
async fn operations_wait_for_a_block_and_share_one() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let (one, other) = (chain.bundler(), chain.bundler());
    let account = fresh(&chain);
    let op = operation(&chain, account, &[call(NFT, &[1])]);
    let first = send(&chain, &one, &sign(&chain, op.clone(), &key(1))).await.unwrap();
    other.set_queue_limit(1);
    let next = UserOperation { nonce: U256::from(1), init_code: Vec::new(), ..op };
    // The other bundler knows nothing of the deployment that waits at the first.
    let error = refused(&chain, &other, &sign(&chain, next.clone(), &key(1))).await;
    assert!(error.message.contains("AA20"), "{error}");
    let second = chain.inject(&sign(&chain, next, &key(1)));
    assert_eq!(chain.block_number(), 0);

    // Injected operations come first, and this one is not valid there.
    assert_eq!(chain.mine(), 1);
    assert_eq!((chain.block_of(first), chain.block_of(second)), (Some(1), None));
}

#[tokio::test]
async fn time_passes_as_told() {
    let chain = ScriptedChain::new();
    assert_eq!(chain.now(), ScriptedChain::GENESIS_TIME);
    chain.set_automine(false);
    chain.advance(100);
    assert_eq!((chain.now(), chain.block_number()), (ScriptedChain::GENESIS_TIME + 100, 0));
    chain.set_automine(true);
    chain.advance(100);
    let block: Value = chain.node().call("eth_getBlockByNumber", ("latest", false)).await.unwrap();
    assert_eq!(block["timestamp"], format!("{:#x}", ScriptedChain::GENESIS_TIME + 200));
    // A block is later than the one before it.
    chain.mine();
    assert_eq!(chain.now(), ScriptedChain::GENESIS_TIME + 201);
}

#[tokio::test]
async fn a_reorganisation_takes_back() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let node = chain.node();
    let account = deployed(&chain);
    let balance = chain.balance(account);
    let old_hash = |block: &Value| block["hash"].clone();
    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await.unwrap();
    let old = old_hash(&node.call("eth_getBlockByNumber", ("latest", false)).await.unwrap());
    let transaction = receipt(&bundler, hash).await["receipt"]["transactionHash"].clone();

    chain.reorganise(1, Orphaned::BackToMempool);
    assert_eq!(chain.block_number(), 3);
    assert_eq!((chain.outcome(hash), chain.nonce(account, U192::ZERO)), (None, U256::ZERO));
    assert_eq!(chain.balance(account), balance);
    assert!(chain.executions().is_empty());
    let new: Value = node.call("eth_getBlockByNumber", ("0x2", false)).await.unwrap();
    assert_ne!(new["hash"], old);
    assert!(node.call::<Value>("eth_getTransactionReceipt", (&transaction,)).await.unwrap().is_null());
    // The block that was taken back is still known by its hash, but is not canonical.
    assert!(!node.call::<Value>("eth_getBlockByHash", (&old, false)).await.unwrap().is_null());
    let at = |canonical: bool| serde_json::json!({ "blockHash": old, "requireCanonical": canonical });
    let error = node.call::<Value>("eth_getBalance", (account, at(true))).await.unwrap_err();
    assert!(error.to_string().contains("not currently canonical"), "{error}");
    node.call::<U256>("eth_getBalance", (account, at(false))).await.unwrap();

    assert_eq!(bundler.pending(), [hash]);
    chain.mine();
    assert_eq!(chain.block_of(hash), Some(4));
    // Mined again it is in the same transaction.
    assert_eq!(receipt(&bundler, hash).await["receipt"]["transactionHash"], transaction);

    chain.reorganise(1, Orphaned::Lost);
    assert_eq!((chain.outcome(hash), bundler.pending()), (None, vec![]));
    // No further than to the first block.
    chain.reorganise(100, Orphaned::Lost);
    assert!(!chain.is_deployed(account));
}

#[tokio::test]
async fn other_software_changes_the_account() {
    let chain = ScriptedChain::new();
    chain.set_automine(false);
    let account = fresh(&chain);
    assert_eq!(chain.deploy_directly(key(1).address(), U256::ZERO), account);
    let root = calls::set_merkle_root(chain.deployment().session_key_manager, B256::repeat_byte(5));
    chain.execute_directly(account, &[root.as_call()]);
    assert_eq!(chain.root(account), B256::ZERO);
    chain.mine();
    assert_eq!(chain.root(account), B256::repeat_byte(5));
    assert_eq!(chain.nonce(account, U192::ZERO), U256::ZERO);
    assert_eq!(chain.executions()[0].user_op_hash, None);
}

#[tokio::test]
async fn an_operation_lands_that_no_bundler_took() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = chain.inject(&signed);
    assert_eq!(chain.outcome(hash), Some(true));
    assert_eq!(receipt(&bundler, hash).await["success"], true);
    // Once.
    assert_eq!(chain.inject(&signed), hash);
    assert_eq!(chain.executions().len(), 1);
}

#[tokio::test]
async fn the_same_calls_give_the_same_chain() {
    let run = || async {
        let chain = ScriptedChain::new();
        let bundler = chain.bundler();
        let account = deployed(&chain);
        send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await.unwrap();
        chain.reorganise(1, Orphaned::BackToMempool);
        chain.block_hash(chain.mine())
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn operations_go_back_in_their_order() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let mut hashes = Vec::new();
    for _ in 0..3 {
        hashes.push(send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await.unwrap());
    }
    chain.reorganise(3, Orphaned::BackToMempool);
    assert_eq!(bundler.pending(), hashes);
    chain.mine();
    assert_eq!(chain.executions().len(), 3);
    // All in one block, and its receipts have the logs of one operation each.
    for hash in hashes {
        let receipt = receipt(&bundler, hash).await;
        assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
        assert_eq!(receipt["logs"][0]["topics"][1], serde_json::json!(hash));
        assert_eq!(receipt["receipt"]["logs"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn thousands_of_operations() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let started = Instant::now();
    for _ in 0..1000 {
        send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await.unwrap();
    }
    println!("1000 operations signed, sent and mined in {:?}", started.elapsed());
    assert_eq!(chain.executions().len(), 1000);
}
