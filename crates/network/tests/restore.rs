//! Nodes whose machines are lost, and that go on from a backup: on real sockets and real databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod attacked;
mod local;

use std::path::{Path, PathBuf};
use std::time::Duration;

use attacked::scene::{Scene, mint, nodes, uses, within};
use attacked::{bans, rows};
use fail::FailScenario;
use local::{LocalNetwork, Session, permissions, refusal};
use quorate_network::Refusal;
use quorate_node::{NodeConfig, RestoreOptions, back_up, restore};
use quorate_protocol::{Limits, OperationMessage, Permissions};

fn config(network: &LocalNetwork, index: u8) -> NodeConfig {
    NodeConfig::load(&network.home(index).join("node.toml")).unwrap()
}

async fn backup_of(network: &LocalNetwork, index: u8) -> PathBuf {
    let backup = network.home(index).join("yesterday.db");
    back_up(&config(network, index), &backup).await.unwrap();
    backup
}

/// A machine of which nothing is left but its configuration, its keys and a backup.
async fn lose_and_restore(network: &mut LocalNetwork, index: u8, backup: &Path, lost: &[u8]) {
    network.stop(index).await;
    for file in ["node.db", "node.db-wal", "node.db-shm", "node.db.life"] {
        let _ = std::fs::remove_file(network.home(index).join(file));
    }
    let accept_missing = nodes(lost).into_iter().collect();
    let options = RestoreOptions { accept_missing, ..RestoreOptions::default() };
    restore(&config(network, index), backup, &options).await.unwrap();
}

async fn until_it_signs_again(network: &LocalNetwork, index: u8) {
    within(async {
        while rows(network, index, "SELECT quarantined FROM node").await != 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// What a client is told that asks once.
async fn refused_at_once(
    Session { client, key, ephemeral }: &Session,
    message: &OperationMessage,
) -> Refusal {
    let client = client.clone().without_retries();
    refusal(client.sign(&key.key_id, key.address, message, ephemeral).await.unwrap_err())
}

async fn session(network: &LocalNetwork, limits: Limits) -> Session {
    network.key(|owner| Permissions { limits, ..permissions(owner) }).await.patient()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_signs_again_when_it_knows_what_was_used_up_since_the_backup() {
    let _scenario = FailScenario::setup();
    let mut network = LocalNetwork::start().await;
    let (full, roomy) = (session(&network, uses(2)).await, session(&network, uses(100)).await);
    let backup = backup_of(&network, 1).await;

    // Nodes 4 and 5 never hear of what uses up the limit, and node 1 forgets it.
    network.stop(4).await;
    network.stop(5).await;
    network.until_connected(3).await;
    full.sign(&mint(1)).await.unwrap();
    full.sign(&mint(2)).await.unwrap();
    lose_and_restore(&mut network, 1, &backup, &[]).await;
    network.stop(2).await;
    network.stop(3).await;
    for index in [1, 4, 5] {
        network.start_node(index).await;
    }
    network.until_connected(3).await;
    for session in [&full, &roomy] {
        let refused = refused_at_once(session, &mint(3)).await;
        assert!(refused.is_transient(), "{refused}");
    }

    network.start_node(2).await;
    network.start_node(3).await;
    network.until_ready().await;
    until_it_signs_again(&network, 1).await;
    network.stop(2).await;
    network.stop(3).await;
    network.until_connected(3).await;
    let refused = refusal(full.sign(&mint(3)).await.unwrap_err());
    assert!(matches!(refused, Refusal::Limit { .. }), "{refused}");
    roomy.sign(&mint(3)).await.unwrap();

    // Node 5 is lost for good: the others are enough then.
    network.stop(5).await;
    lose_and_restore(&mut network, 1, &backup, &[5]).await;
    for index in [1, 2, 3] {
        network.start_node(index).await;
    }
    network.until_connected(4).await;
    until_it_signs_again(&network, 1).await;
    assert_eq!(rows(&network, 1, "SELECT node FROM lost_nodes").await, 5);
    network.stop(2).await;
    network.until_connected(3).await;
    let refused = refusal(full.sign(&mint(4)).await.unwrap_err());
    assert!(matches!(refused, Refusal::Limit { .. }), "{refused}");
    roomy.sign(&mint(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_has_its_own_bans_back() {
    let _scenario = FailScenario::setup();
    let mut scene = Scene::start().await;
    let key = scene.key(uses(10)).await;
    scene.sign([1, 2, 3], &key, &mint(1)).await.unwrap();
    let backups = [backup_of(&scene.network, 2).await, backup_of(&scene.network, 3).await];
    fail::cfg("cheat at node 1", "return").unwrap();
    scene.sign([1, 2, 3], &key, &mint(2)).await.unwrap_err();
    fail::remove("cheat at node 1");
    let (victim, backup) = match bans(&scene.network, 2).await {
        0 => (3, &backups[1]),
        _ => (2, &backups[0]),
    };
    assert!(bans(&scene.network, victim).await > 0);
    for other in [4, 5] {
        within(async {
            while rows(&scene.network, other, "SELECT COUNT(*) FROM signed_bans").await == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(bans(&scene.network, other).await, 0, "and holds nothing against the accused");
    }

    lose_and_restore(&mut scene.network, victim, backup, &[]).await;
    within(scene.gateway.connected(4)).await;
    assert_eq!(bans(&scene.network, victim).await, 0, "it has forgotten");
    scene.network.start_node(victim).await;
    within(scene.gateway.connected(5)).await;
    until_it_signs_again(&scene.network, victim).await;
    let own = match victim {
        2 => "SELECT COUNT(*) FROM signed_bans WHERE maker = 2",
        _ => "SELECT COUNT(*) FROM signed_bans WHERE maker = 3",
    };
    assert_eq!(rows(&scene.network, victim, own).await, 1, "it is told what it has forgotten");
    // The accused avoids the pair, too, and may be the first to say so.
    let refused = scene.sign([1, victim, 4], &key, &mint(3)).await.unwrap_err();
    let (accused, victim_index) = (nodes(&[1])[0], nodes(&[victim])[0]);
    let banned = |node, peer| Refusal::Banned { node, peer };
    let by_pair = [banned(victim_index, accused), banned(accused, victim_index)];
    assert!(refused.values().any(|refusal| by_pair.contains(refusal)), "{refused:?}");
    scene.sign([victim, 4, 5], &key, &mint(4)).await.unwrap();
}
