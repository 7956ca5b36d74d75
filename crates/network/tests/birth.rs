//! Births of keys that break, and nodes that cheat: on real sockets, with nodes that are stopped at chosen places.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod databases;
mod local;

use alloy_primitives::Signature;
use alloy_signer_local::PrivateKeySigner;
use databases::in_time;
use fail::FailScenario;
use local::{ACCOUNT, LocalNetwork, claim, mint_to, patiently, permissions, refusal, sign};
use quorate_core::Address;
use quorate_network::{AttestedKey, EphemeralKey, NetworkError, Refusal};
use quorate_node::fail_points::{CHALLENGES_OVER, FrameKind, losing};
use quorate_protocol::{KeyDraft, NodeIndex};
use sqlx::Connection as _;
use tokio::runtime::Runtime;

/// A network, and an owner who asks it for a key.
struct Scene {
    network: LocalNetwork,
    ephemeral: EphemeralKey,
    draft: KeyDraft,
    signature: Signature,
}

impl Scene {
    async fn new() -> Self {
        let network = LocalNetwork::start().await;
        Self::on(network).await
    }

    async fn on(network: LocalNetwork) -> Self {
        let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
        let prepare = async || network.client().prepare_key(&permissions(&owner), &claim(&ephemeral)).await;
        let draft = patiently(prepare).await;
        let signature = sign(&owner, &draft);
        Self { network, ephemeral, draft, signature }
    }

    /// Another owner asks the network, whose gateway knows of a free key.
    async fn for_another_owner(self) -> Self {
        in_time("a free key", async || self.network.free_keys().await == Some(1)).await;
        Self::on(self.network).await
    }

    /// Hands in the owner's signature once.
    async fn submit(&self) -> Result<AttestedKey, NetworkError> {
        self.network.client().submit_key(&self.draft, self.signature).await
    }

    async fn make_key(&self) -> AttestedKey {
        patiently(async || self.submit().await).await
    }

    /// Waits for the key that the nodes make for the scene, which node 5 stores as pending and does not confirm.
    async fn break_at_node_5(&self) -> String {
        for index in 1..=5 {
            self.until(index, "SELECT COUNT(*) FROM pending_keys", 1).await;
        }
        let mut database = databases::database(&self.network, 5).await;
        let row: (String,) =
            sqlx::query_as("SELECT key_id FROM pending_keys").fetch_one(&mut database).await.unwrap();
        row.0
    }

    /// Asks once.
    async fn sign_with(&self, key_id: &str, address: Address) -> Result<Signature, NetworkError> {
        let client = self.network.client().without_retries();
        client.sign(key_id, address, &mint_to(ACCOUNT), &self.ephemeral).await
    }

    /// Asks again for as long as nodes come up or finish births.
    async fn sign_soon(&self, key: &AttestedKey) {
        in_time("a signature", async || self.sign_with(&key.key_id, key.address).await.is_ok()).await;
    }

    async fn count(&self, index: u8, query: &'static str) -> i64 {
        databases::count(&self.network, index, query).await
    }

    async fn until(&self, index: u8, query: &'static str, count: i64) {
        databases::until(&self.network, index, query, count).await;
    }

    /// What a node's database counts of this key: while a key is pending, the pool may make others.
    async fn count_of(&self, index: u8, key_id: &str, query: &'static str) -> i64 {
        let mut database = databases::database(&self.network, index).await;
        let (count,): (i64,) = sqlx::query_as(query).bind(key_id).fetch_one(&mut database).await.unwrap();
        database.close().await.unwrap();
        count
    }

    async fn has_share(&self, index: u8, key_id: &str) -> bool {
        self.count_of(index, key_id, "SELECT COUNT(*) FROM shares WHERE key_id = ?").await == 1
    }

    /// Alters node 5's own confirmation of a key in its database, or turns it back.
    async fn flip_confirmation_of_node_5(&self, key_id: &str) {
        let mut database = databases::database(&self.network, 5).await;
        let query = "SELECT signature FROM confirmations WHERE node = 5 AND key_id = ?";
        let query = sqlx::query_as(query).bind(key_id);
        let (mut signature,): (Vec<u8>,) = query.fetch_one(&mut database).await.unwrap();
        signature[10] ^= 1;
        let update = "UPDATE confirmations SET signature = ? WHERE node = 5 AND key_id = ?";
        let update = sqlx::query(update).bind(signature).bind(key_id);
        update.execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    }
}

/// Has node 5 store the keys that are made and tell nobody, so that they are free at no node.
fn leave_pending_at_node_5() {
    fail::cfg("pending at node 5", "return").unwrap();
    fail::cfg(losing_confirmations(5), "return").unwrap();
}

fn let_node_5_finish() {
    fail::remove("pending at node 5");
    fail::remove(losing_confirmations(5));
}

/// The point at which a node's confirmations outside runs are lost.
fn losing_confirmations(node: u8) -> String {
    losing(FrameKind::Confirmations, NodeIndex::new(node).unwrap())
}

fn run(test: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(test);
}

#[test]
fn a_node_stopped_before_a_key_is_born_there_finishes_after_its_restart_and_signs() {
    let _scenario = FailScenario::setup();
    run(async {
        fail::cfg("confirmed at node 1", "return").unwrap();
        // Nor does it learn outside the run that all have confirmed.
        (1..=5).for_each(|node| fail::cfg(losing_confirmations(node), "return").unwrap());
        let mut scene = Scene::new().await;
        let key = scene.make_key().await;
        assert!(key.attestations.iter().all(|attestation| attestation.node.get() != 1));
        scene.network.stop(1).await;
        let pending = "SELECT COUNT(*) FROM pending_keys WHERE key_id = ?";
        assert_eq!(scene.count_of(1, &key.key_id, pending).await, 1);
        assert_eq!(scene.count(1, "SELECT COUNT(*) FROM shares").await, 0);

        fail::remove("confirmed at node 1");
        (1..=5).for_each(|node| fail::remove(losing_confirmations(node)));
        scene.network.start_node(1).await;
        in_time("node 1 to have its share", async || scene.has_share(1, &key.key_id).await).await;
        scene.until(2, "SELECT COUNT(*) FROM attestations", 4).await;
        scene.network.stop(4).await;
        scene.network.stop(5).await;
        // Node 1 has its share, and asks the others whose the key is.
        scene.sign_soon(&key).await;
    });
}

#[test]
fn a_node_that_was_away_when_a_key_was_bound_learns_whose_it_is() {
    let _scenario = FailScenario::setup();
    run(async {
        let mut scene = Scene::new().await;
        for index in 1..=5 {
            scene.until(index, "SELECT COUNT(*) FROM shares", 1).await;
        }
        in_time("a free key", async || scene.network.free_keys().await == Some(1)).await;
        scene.network.stop(1).await;
        let mut scene = Scene::on(scene.network).await;
        let key = scene.make_key().await;
        assert_eq!(key.attestations.len(), 4);
        for index in 2..=5 {
            scene.until(index, "SELECT COUNT(*) FROM attestations", 4).await;
        }
        assert_eq!(scene.count(1, "SELECT COUNT(*) FROM keys").await, 0);
        scene.network.start_node(1).await;
        let asked = async || {
            let _ = scene.sign_with(&key.key_id, key.address).await;
            scene.count(1, "SELECT COUNT(*) FROM keys").await == 1
        };
        in_time("node 1 to learn of the key", asked).await;
        scene.network.stop(4).await;
        scene.network.stop(5).await;
        scene.sign_soon(&key).await;
    });
}

#[test]
fn a_node_asks_again_for_an_attestation_that_was_lost() {
    let _scenario = FailScenario::setup();
    run(async {
        let scene = Scene::new().await;
        let node = NodeIndex::new(2).unwrap();
        fail::cfg(losing(FrameKind::Assignment, node), "4*return").unwrap();
        scene.make_key().await;
        for index in 1..=5 {
            scene.until(index, "SELECT COUNT(*) FROM attestations", 5).await;
        }
    });
}

#[test]
fn a_pending_key_does_not_sign_and_is_bound_when_it_is_born() {
    let _scenario = FailScenario::setup();
    run(async {
        leave_pending_at_node_5();
        let mut scene = Scene::new().await;
        let key_id = scene.break_at_node_5().await;
        let refused = refusal(scene.sign_with(&key_id, Address::ZERO).await.unwrap_err());
        assert!(
            matches!(&refused, Refusal::Unfinished { reason } if reason.contains("confirm")),
            "{refused}"
        );
        scene.network.stop(5).await;

        let_node_5_finish();
        scene.network.start_node(5).await;
        for index in 1..=5 {
            scene.until(index, "SELECT COUNT(*) FROM shares", 1).await;
            assert_eq!(scene.count(index, "SELECT COUNT(*) FROM pending_keys").await, 0);
        }
        let scene = scene.for_another_owner().await;
        let key = scene.make_key().await;
        assert_eq!(key.key_id, key_id);
        assert_eq!(scene.make_key().await.key_id, key_id);
        scene.sign_soon(&key).await;
    });
}

#[test]
fn a_request_waits_for_its_key_for_longer_than_other_challenges_last() {
    let _scenario = FailScenario::setup();
    run(async {
        leave_pending_at_node_5();
        let mut waiting = Scene::new().await;
        let error = waiting.submit().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let late = Scene::on(waiting.network).await;
        waiting.network = late.network;

        fail::cfg(CHALLENGES_OVER, "return").unwrap();
        waiting.network.stop(5).await;
        let_node_5_finish();
        waiting.network.start_node(5).await;
        for index in 1..=5 {
            waiting.until(index, "SELECT COUNT(*) > 0 FROM shares", 1).await;
        }
        let submitted = waiting.network.client().submit_key(&late.draft, late.signature).await;
        let error = submitted.unwrap_err();
        assert!(!error.is_transient(), "the owner has to sign another request");
        assert_eq!(refusal(error), Refusal::Challenge);
        let key = waiting.make_key().await;
        fail::remove(CHALLENGES_OVER);
        waiting.sign_soon(&key).await;
    });
}

#[test]
fn an_altered_confirmation_makes_no_key_usable() {
    let _scenario = FailScenario::setup();
    run(async {
        leave_pending_at_node_5();
        let mut scene = Scene::new().await;
        let key_id = scene.break_at_node_5().await;
        scene.network.stop(5).await;
        let_node_5_finish();
        scene.flip_confirmation_of_node_5(&key_id).await;
        scene.network.start_node(5).await;
        let confirmations = "SELECT COUNT(*) FROM confirmations WHERE key_id = ?";
        let all = async || scene.count_of(5, &key_id, confirmations).await == 5;
        in_time("all confirmations at node 5", all).await;
        for index in 1..=5 {
            assert!(!scene.has_share(index, &key_id).await, "node {index}");
        }
        assert!(refusal(scene.sign_with(&key_id, Address::ZERO).await.unwrap_err()).is_transient());

        scene.network.stop(5).await;
        scene.flip_confirmation_of_node_5(&key_id).await;
        scene.network.start_node(5).await;
        for index in 1..=5 {
            in_time("a share", async || scene.has_share(index, &key_id).await).await;
        }
    });
}

#[test]
fn a_cheating_signer_is_banned_for_good_and_others_sign_without_it() {
    let _scenario = FailScenario::setup();
    run(async {
        let mut scene = Scene::new().await;
        let key = scene.make_key().await;
        scene.network.stop(4).await;
        scene.network.stop(5).await;
        fail::cfg("cheat at node 1", "return").unwrap();
        // The third signer may have waited too long before it is told why.
        let victim = loop {
            let refused = scene.sign_with(&key.key_id, key.address).await.unwrap_err();
            assert!(refused.is_transient(), "{refused}");
            if let Some(victim) = peer_of_node_1(&refusal(refused)) {
                break victim;
            }
        };
        assert_eq!(scene.count(victim, "SELECT COUNT(*) FROM bans WHERE peer = 1").await, 1);

        fail::remove("cheat at node 1");
        scene.network.stop(victim).await;
        scene.network.start_node(victim).await;
        let refused = async || {
            let answer = scene.sign_with(&key.key_id, key.address).await;
            assert!(answer.is_err(), "the ban is forgotten");
            peer_of_node_1(&refusal(answer.unwrap_err())).is_some()
        };
        in_time("a refusal for the ban", refused).await;

        scene.network.start_node(4).await;
        scene.network.start_node(5).await;
        scene.sign_soon(&key).await;
    });
}

/// Whom node 1 is kept apart from by a ban: both sides of it refuse.
fn peer_of_node_1(refusal: &Refusal) -> Option<u8> {
    let Refusal::Banned { node, peer } = refusal else { return None };
    match (node.get(), peer.get()) {
        (1, peer) | (peer, 1) => Some(peer),
        _ => None,
    }
}
