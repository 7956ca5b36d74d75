//! Bad nodes among honest ones, behind an honest gateway: signatures go on, no honest node is banned for
//! it, and the gateway names what it cannot do.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::attacked::bans;
use crate::databases::until;
use crate::local::{ACCOUNT, LocalNetwork, Session, claim, mint_with_nonce, permissions, refusal, sign};
use crate::retries::counted;
use alloy_signer_local::PrivateKeySigner;
use quorate_network::{EphemeralKey, Refusal};
use quorate_node::NodeConfig;
use quorate_node::adversary::{BadNode, Misbehaviour};
use quorate_protocol::{Limits, NodeIndex, Permissions};

/// How many signatures are asked for beside each bad node.
const SIGNATURES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_node_keeps_nobody_from_signing_whatever_it_does() {
    let mut network = LocalNetwork::start_stocked().await;
    let limits = Limits { uses: Some(1000), ..Limits::default() };
    let session = network.key(|owner| Permissions { limits, ..permissions(owner) }).await.patient();
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
    let mut network = LocalNetwork::start_stocked().await;
    let session = network.key(permissions).await.patient();
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

/// Two bad nodes give the request another key than the honest ones do, so that no bind quorum attests to either.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_nodes_give_it_different_keys_is_split_and_others_are_served() {
    let mut network = LocalNetwork::start_with(|config| config.free_keys = 2).await;
    for index in 1..=5 {
        until(&network, index, "SELECT COUNT(*) FROM shares", 2).await;
    }
    network.stop(4).await;
    network.stop(5).await;
    let bad = [
        start_bad(&network, 4, Misbehaviour::GivesAnotherKey).await,
        start_bad(&network, 5, Misbehaviour::GivesAnotherKey).await,
    ];
    network.until_ready().await;
    let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
    let client = network.client();
    let draft = client.prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
    let signature = sign(&owner, &draft);
    let split = refusal(client.submit_key(&draft, &signature).await.unwrap_err());
    assert!(matches!(split, Refusal::Split { .. }), "{split}");
    assert!(!split.is_transient(), "the owner has to sign a new request");
    for bad in bad {
        bad.stop().await;
    }
    network.start_node(4).await;
    network.start_node(5).await;
    network.until_ready().await;
    // Both keys are of no use to anybody; the gateway has two others made.
    for index in 1..=5 {
        until(&network, index, "SELECT COUNT(*) FROM shares", 4).await;
    }
    network.key(permissions).await.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_which_nothing_is_heard_is_disconnected() {
    let mut network = LocalNetwork::start_stocked().await;
    network.stop(5).await;
    network.until_connected(4).await;
    let stalling = start_bad(&network, 5, Misbehaviour::Stalls).await;
    network.until_ready().await;
    network.until_connected(4).await;
    stalling.stop().await;
}

async fn start_bad(network: &LocalNetwork, index: u8, misbehaviour: Misbehaviour) -> BadNode {
    let config = NodeConfig::load(&network.home(index).join("node.toml")).unwrap();
    BadNode::start(config, misbehaviour).await.unwrap()
}

async fn sign_all(session: &Session, nonces: &mut impl Iterator<Item = u64>, beside: &str) {
    let Session { client, key, ephemeral } = session;
    let (client, retries) = counted(client.clone());
    for nonce in nonces.take(SIGNATURES) {
        let began = Instant::now();
        let signed = client.sign(&key.key_id, key.address, &mint_with_nonce(ACCOUNT, nonce), ephemeral).await;
        let took = began.elapsed();
        assert!(signed.is_ok(), "{beside}: operation {nonce} is not signed after {took:?}: {signed:?}");
    }
    let retries = retries.load(Ordering::Relaxed);
    assert!(retries < SIGNATURES, "{beside}: {SIGNATURES} operations were asked for again {retries} times");
}
