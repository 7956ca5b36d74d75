//! Requests that nodes refuse and that no client of ours sends, on real sockets and real databases.

use std::path::Path;

use crate::attacked::scene::{nodes, to_all, uses, within};
use crate::attacked::start_hostile;
use crate::local::{claim, free_address, permissions};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_network::{EphemeralKey, NetworkDescriptor, Refusal};
use quorate_node::adversary::HostileGateway;
use quorate_node::{Node, NodeConfig, init};
use quorate_protocol::{
    Answer, Authentication, KeyRequest, Limits, Operation, Permissions, Setup, SignedRequest, challenge,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A request for a key of this network, whose setup `change` has changed before its owner signed it.
async fn request(
    gateway: &HostileGateway,
    network: &NetworkDescriptor,
    limits: Limits,
    change: impl FnOnce(&mut Value),
) -> SignedRequest {
    let owner = PrivateKeySigner::random();
    let claim = claim(&EphemeralKey::random().unwrap());
    let permissions = Permissions { limits, ..permissions(&owner) };
    let ours = KeyRequest::new(network, &permissions, &claim, None).unwrap();
    let mut setup: Value = serde_json::from_str(ours.setup()).unwrap();
    change(&mut setup);
    let (setup, nonces) = (setup.to_string(), within(gateway.nonces()).await);
    let parsed = Setup::parse(Operation::Keygen, &setup).unwrap();
    let typed_data = parsed.typed_data(&challenge(&setup, &nonces)).unwrap();
    let signature = owner.sign_hash_sync(&typed_data.digest()).unwrap();
    let authentication = Authentication::owner_text(owner.address(), &claim.to_json(), signature).unwrap();
    SignedRequest { operation: Operation::Keygen, setup, nonces, authentication }
}

/// What a node answers to a request for a key.
async fn refusal_of(gateway: &HostileGateway, node: u8, request: &SignedRequest) -> Refusal {
    let node = nodes(&[node])[0];
    let key = to_all(&"7e".repeat(32)).remove_entry(&node).unwrap();
    let task = gateway.assign(&[key].into(), request);
    match within(gateway.answer(task, node)).await {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_of_another_size_unsigned_permissions_and_a_restored_node_are_refused_by_name() {
    let (gateway, mut network) = start_hostile().await;
    let ask = async |change: fn(&mut Value), network: &NetworkDescriptor, node| {
        refusal_of(&gateway, node, &request(&gateway, network, Limits::default(), change).await).await
    };
    let two_of_five = ask(|setup| setup["t"] = 2.into(), network.descriptor(), 1).await;
    assert_eq!(two_of_five.to_string(), "the request is for 2 of 5 nodes, the network is 3 of 5 nodes");

    let unsigned: fn(&mut Value) =
        |setup| setup["metadata"].as_array_mut().unwrap().retain(|entry| entry["tag"] != 4);
    let taken = ask(unsigned, network.descriptor(), 4).await;
    assert!(matches!(taken, Refusal::Unfinished { .. }), "there is no such key: {taken}");
    network.stop(4).await;
    within(gateway.connected(4)).await;
    alter(&network.home(4).join("node.toml"), "unsigned_permissions = false", "unsigned_permissions = true");
    network.start_node(4).await;
    within(gateway.connected(5)).await;
    assert_eq!(ask(unsigned, network.descriptor(), 4).await, Refusal::UnsignedPermissions);

    within(gateway.make_keys(1)).await;
    let (database, backup) = (network.home(5).join("node.db"), network.home(5).join("backup.db"));
    network.stop(5).await;
    within(gateway.connected(4)).await;
    std::fs::copy(&database, &backup).unwrap();
    network.start_node(5).await;
    network.stop(5).await;
    within(gateway.connected(4)).await;
    std::fs::copy(&backup, &database).unwrap();
    // Without node 4 it is not told what it has forgotten.
    network.stop(4).await;
    network.start_node(5).await;
    within(gateway.connected(4)).await;
    let restored = ask(|_| {}, network.descriptor(), 5).await;
    let of_node_5 = nodes(&[5])[0];
    assert!(
        matches!(restored, Refusal::Quarantined { node, needed: 4, .. } if node == of_node_5),
        "{restored}"
    );
}

fn alter(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_whose_quorums_need_not_meet_takes_no_limits_that_are_counted() {
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let gateway = HostileGateway::listen(address).await.unwrap();
    let network = init(folder.path(), 2, 4, address, 0, None).unwrap();
    for index in 1..=4 {
        let config = NodeConfig::load(&folder.path().join(format!("node-{index}/node.toml"))).unwrap();
        tokio::spawn(Node::open(config).await.unwrap().serve(CancellationToken::new()));
    }
    within(gateway.connected(4)).await;
    let counted = request(&gateway, &network, uses(1), |_| {}).await;
    let refused = refusal_of(&gateway, 1, &counted).await;
    assert_eq!(refused, Refusal::Uncountable { threshold: 2, size: 4 });
    let not_counted = request(&gateway, &network, Limits::default(), |_| {}).await;
    let refused = refusal_of(&gateway, 1, &not_counted).await;
    assert!(matches!(refused, Refusal::Unfinished { .. }), "there is no such key: {refused}");
}
