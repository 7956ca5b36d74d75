//! What two bad nodes cost the gateway's memory. A process of its own, so that nothing else grows in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;

use local::{ACCOUNT, LocalNetwork, mint_with_nonce, permissions, resident_megabytes};
use quorate_node::NodeConfig;
use quorate_node::adversary::{BadNode, Misbehaviour};
use quorate_protocol::NodeIndex;

const SIGNATURES: u64 = 20;

/// One bad node reads nothing, and another writes it more than the gateway may keep for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_reads_nothing_costs_the_gateway_a_bounded_queue() {
    const MESSAGES: usize = 300;
    let mut network = LocalNetwork::start().await;
    let session = network.key(permissions).await;
    network.stop(4).await;
    network.stop(5).await;
    let stalling = start_bad(&network, 5, Misbehaviour::Stalls).await;
    network.until_connected(4).await;
    let before = resident_megabytes();
    let to = NodeIndex::new(5).unwrap();
    let flooding = start_bad(&network, 4, Misbehaviour::Floods { to, messages: MESSAGES }).await;
    network.until_ready().await;
    for nonce in 1..=SIGNATURES {
        session.sign(&mint_with_nonce(ACCOUNT, nonce)).await.unwrap();
    }
    let grown = resident_megabytes().saturating_sub(before);
    assert!(grown < 100, "{grown} MB for {MESSAGES} messages of a mebibyte each");
    flooding.stop().await;
    stalling.stop().await;
}

async fn start_bad(network: &LocalNetwork, index: u8, misbehaviour: Misbehaviour) -> BadNode {
    let config = NodeConfig::load(&network.home(index).join("node.toml")).unwrap();
    BadNode::start(config, misbehaviour).await.unwrap()
}
