//! Faults on demand.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use quorate_testing::{Crash, Endpoint, Fault, ScriptedChain};
use quorate_transport::{InvalidResponse, Transport, TransportError, TransportExt as _};
use serde_json::{Value, json};

use crate::support::*;

async fn ask(transport: &impl Transport) -> Result<Value, TransportError> {
    transport.call("eth_chainId", ()).await
}

#[tokio::test]
async fn each_fault_as_a_transport_reports_it() {
    let node = ScriptedChain::new().node();
    let mut faults = Vec::new();
    let kinds = [
        Fault::Timeout,
        Fault::Http(502),
        Fault::Html,
        Fault::RateLimited { retry_after: Some(Duration::from_secs(3)), body: true },
        Fault::RateLimited { retry_after: None, body: false },
        Fault::rpc(-32603, "Internal error"),
        Fault::Unreachable,
        Fault::Interrupted,
    ];
    for fault in kinds {
        node.on_next("eth_chainId", fault);
    }
    for _ in 0..8 {
        faults.push(ask(&node).await.unwrap_err());
    }
    assert!(matches!(faults[0], TransportError::Timeout { .. }));
    assert!(faults[0].to_string().contains("node-0"), "{}", faults[0]);
    assert!(matches!(faults[1], TransportError::Http { status: 502, .. }));
    assert!(matches!(faults[2], TransportError::InvalidResponse { reason: InvalidResponse::NotJson(_), .. }));
    assert!(matches!(
        faults[3],
        TransportError::RateLimited { status: 429, retry_after: Some(_), answer: Some(_), .. }
    ));
    assert!(matches!(faults[4], TransportError::RateLimited { retry_after: None, answer: None, .. }));
    assert!(matches!(&faults[5], TransportError::Rpc { error, .. } if error.code == -32603));
    assert!(matches!(faults[6], TransportError::Unreachable { .. }) && !faults[6].may_have_been_executed());
    assert!(matches!(faults[7], TransportError::Interrupted { .. }) && faults[7].may_have_been_executed());
    node.on_next("eth_chainId", Fault::Null);
    node.on_next("eth_chainId", Fault::Answer(json!(7)));
    assert_eq!(ask(&node).await.unwrap(), Value::Null);
    assert_eq!(ask(&node).await.unwrap(), json!(7));
    // Each once.
    assert_eq!(ask(&node).await.unwrap(), json!("0x7a69"));
}

#[tokio::test]
async fn an_answer_is_lost_after_the_operation_was_taken() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = hash(&chain, &signed.operation);
    bundler.on_next("eth_sendUserOperation", Fault::Timeout);
    assert!(matches!(send(&chain, &bundler, &signed).await, Err(TransportError::Timeout { .. })));
    assert_eq!(chain.outcome(hash), None);
    bundler.on_next("eth_sendUserOperation", Fault::Html.after_acting());
    assert!(matches!(send(&chain, &bundler, &signed).await, Err(TransportError::InvalidResponse { .. })));
    assert_eq!(chain.outcome(hash), Some(true));
}

#[tokio::test]
async fn faults_that_stay_until_they_are_cleared() {
    let node = ScriptedChain::new().node();
    node.always("eth_chainId", Fault::Http(500));
    for _ in 0..3 {
        assert!(ask(&node).await.is_err());
    }
    node.call::<Value>("eth_blockNumber", ()).await.unwrap();
    node.down(Fault::Http(503));
    assert!(node.call::<Value>("eth_blockNumber", ()).await.is_err());
    node.clear_faults();
    ask(&node).await.unwrap();
}

#[tokio::test]
async fn silence_is_ended_by_dropping_the_request() {
    let bundler = ScriptedChain::new().bundler();
    bundler.on_next("*", Fault::Silence);
    let waited = tokio::time::timeout(Duration::from_millis(5), ask(&bundler)).await;
    assert!(waited.is_err());
    ask(&bundler).await.unwrap();
}

#[tokio::test]
async fn the_nth_request_of_any_kind_is_the_last() {
    let chain = ScriptedChain::new();
    let (node, bundler) = (chain.node(), chain.bundler());
    let count = AtomicU32::new(0);
    chain
        .on_request(move |_, _, _| (count.fetch_add(1, Relaxed) == 2).then_some(Fault::Crash.after_acting()));
    let account = fresh(&chain);
    let signed = by_owner(&chain, account, &[call(NFT, &[])]);
    let hash = hash(&chain, &signed.operation);
    let (same, sender) = (chain.clone(), bundler.clone());
    let task = tokio::spawn(async move {
        ask(&node).await.unwrap();
        ask(&sender).await.unwrap();
        send(&same, &sender, &signed).await.unwrap();
    });
    assert!(task.await.unwrap_err().into_panic().is::<Crash>());
    assert_eq!(chain.outcome(hash), Some(true));
    // The chain goes on.
    chain.clear_hook();
    assert_eq!(receipt(&bundler, hash).await["success"], true);
}

#[tokio::test]
async fn a_hook_of_one_endpoint_sees_the_parameters() {
    let chain = ScriptedChain::new();
    let (node, other) = (chain.node(), chain.node());
    node.on_request(|method, params| {
        (method == "eth_getBlockByNumber" && params[0] == "latest").then_some(Fault::Null)
    });
    let latest = json!(["latest", false]);
    assert!(node.call::<Value>("eth_getBlockByNumber", latest.clone()).await.unwrap().is_null());
    assert!(!node.call::<Value>("eth_getBlockByNumber", ("0x0", false)).await.unwrap().is_null());
    assert!(!other.call::<Value>("eth_getBlockByNumber", latest).await.unwrap().is_null());
}

#[tokio::test]
async fn requests_are_logged() {
    let chain = ScriptedChain::new();
    let (node, bundler) = (chain.node(), chain.bundler());
    ask(&node).await.unwrap();
    chain.clear_requests();
    ask(&bundler).await.unwrap();
    node.on_next("eth_chainId", Fault::Timeout);
    ask(&node).await.unwrap_err();
    let method = "eth_chainId".to_owned();
    assert_eq!(chain.requests(), [(Endpoint::Bundler(0), method.clone()), (Endpoint::Node(0), method)]);
}
