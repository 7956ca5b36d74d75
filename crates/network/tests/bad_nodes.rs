//! Bad nodes among honest ones, behind an honest gateway: signatures go on, and no honest node is banned for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod attacked;
mod local;

use std::time::{Duration, Instant};

use attacked::bans;
use local::{ACCOUNT, LocalNetwork, Session, mint_with_nonce, permissions};
use quorate_node::NodeConfig;
use quorate_node::adversary::{BadNode, Misbehaviour};
use quorate_protocol::{Limits, NodeIndex, Permissions};

/// How many signatures are asked for beside each bad node, and how long each may take: the client's own deadline.
const SIGNATURES: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_node_keeps_nobody_from_signing_whatever_it_does() {
    let mut network = LocalNetwork::start().await;
    let limits = Limits { uses: Some(1000), ..Limits::default() };
    let session = network.key(|owner| Permissions { limits, ..permissions(owner) }).await;
    network.stop(5).await;
    let withholds = Misbehaviour::Withholds { from: NodeIndex::new(1).unwrap() };
    let misbehaviours =
        [Misbehaviour::GarbageSignature, Misbehaviour::Refuses, Misbehaviour::Junk, withholds];
    let mut nonces = 1..;
    for misbehaviour in misbehaviours {
        let bad = start_bad(&network, 5, misbehaviour).await;
        network.until_ready().await;
        sign_all(&session, &mut nonces, &format!("{misbehaviour:?}")).await;
        bad.stop().await;
        for index in 1..=5 {
            assert_eq!(bans(&network, index).await, 0, "node {index} has banned somebody: {misbehaviour:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bad_nodes_of_five_keep_nobody_from_signing() {
    let mut network = LocalNetwork::start().await;
    let session = network.key(permissions).await;
    network.stop(4).await;
    network.stop(5).await;
    let garbage = start_bad(&network, 4, Misbehaviour::GarbageSignature).await;
    let withholds = Misbehaviour::Withholds { from: NodeIndex::new(1).unwrap() };
    let withholding = start_bad(&network, 5, withholds).await;
    network.until_ready().await;
    sign_all(&session, &mut (1..), "garbage and withholding").await;
    garbage.stop().await;
    withholding.stop().await;
    for index in 1..=5 {
        assert_eq!(bans(&network, index).await, 0, "node {index} has banned somebody");
    }
}

async fn start_bad(network: &LocalNetwork, index: u8, misbehaviour: Misbehaviour) -> BadNode {
    let config = NodeConfig::load(&network.home(index).join("node.toml")).unwrap();
    BadNode::start(config, misbehaviour).await.unwrap()
}

async fn sign_all(session: &Session, nonces: &mut impl Iterator<Item = u64>, beside: &str) {
    for nonce in nonces.take(usize::try_from(SIGNATURES).unwrap()) {
        let began = Instant::now();
        let signed = session.sign(&mint_with_nonce(ACCOUNT, nonce)).await;
        let took = began.elapsed();
        assert!(signed.is_ok(), "{beside}: operation {nonce} is not signed after {took:?}: {signed:?}");
        assert!(took < DEADLINE, "{beside}: operation {nonce} took {took:?}");
    }
}
