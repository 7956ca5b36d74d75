//! Programs of two versions in one network, as there are while operators upgrade one after another.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;

use fail::FailScenario;
use local::{ACCOUNT, LocalNetwork, mint_with_nonce, permissions};
use quorate_node::fail_points::{OLDER_GATEWAY, older};
use quorate_protocol::NodeIndex;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_gateways_of_two_versions_work_together() {
    let scenario = FailScenario::setup();
    for index in 1..=3 {
        fail::cfg(older(NodeIndex::new(index).unwrap()), "return").unwrap();
    }
    works("older nodes").await;
    for index in 1..=3 {
        fail::remove(older(NodeIndex::new(index).unwrap()));
    }
    fail::cfg(OLDER_GATEWAY, "return").unwrap();
    works("an older gateway").await;
    scenario.teardown();
}

/// A key is made and signs, also after a node has gone and another has come back.
async fn works(what: &str) {
    let mut network = LocalNetwork::start().await;
    let session = network.key(permissions).await;
    session.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    network.stop(2).await;
    network.stop(5).await;
    network.until_connected(3).await;
    session.sign(&mint_with_nonce(ACCOUNT, 2)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    network.start_node(2).await;
    network.stop(4).await;
    network.until_connected(3).await;
    session.sign(&mint_with_nonce(ACCOUNT, 3)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
}
