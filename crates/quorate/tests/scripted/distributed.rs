//! A session whose key a network of three nodes holds, through its whole life. The chain is scripted; nodes and sockets
//! are not.

use std::sync::Arc;

use crate::local::LocalNetwork;
use crate::scene::{NFT, Scene};
use quorate::{Error, LocalSessionKey, SealingKey, SqliteStore, Status};
use quorate_store::{Change, Key, NewSession, Session as StoredSession};

/// D10, D35 and fault 2: granted, stored, taken up by another process, used, given another key, and not extended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distributed_session_is_stored_reopened_used_and_gets_another_key() {
    let (network, other_network) = tokio::join!(LocalNetwork::start_small(), LocalNetwork::start_small());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let sealing = SealingKey::random().unwrap();
    let store = Arc::new(SqliteStore::open(&path, sealing.clone()).await.unwrap());
    let chain = quorate::testing::ScriptedChain::new();
    let scene = Scene::with(chain.clone(), store.clone()).await;

    let grant = scene.account.grant([scene.policy()]).unwrap();
    let key = grant.distributed_key(&network.client(), &scene.owner).await.unwrap();
    let granted = scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    let ephemeral = *key.ephemeral().to_bytes();
    drop(key);
    store.close().await;

    // Another process, which has the store and the network's descriptor.
    let store = Arc::new(SqliteStore::open(&path, sealing).await.unwrap());
    let scene = Scene::of(chain.clone(), store.clone(), scene.owner.clone()).await;
    let error = scene.account.session(0).await.unwrap_err();
    assert!(matches!(error, Error::NoNetwork { .. }), "{error}");
    let with = |network: &LocalNetwork| {
        let client = scene.client.clone().with_network(network.client());
        client.account(alloy_signer::Signer::address(&scene.owner), 0)
    };
    let account = with(&network);
    let session = account.session(0).await.unwrap();
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 1);
    let attested = account.attested_key(0).await.unwrap();
    assert_eq!(attested.address, session.record().session_key());
    assert_eq!(attested.birth.owner, account.owner().into());

    // A key of another network is found when it is taken up, not when it is to sign.
    let error = with(&other_network).session(0).await.unwrap_err();
    assert!(error.to_string().contains("attest"), "{error}");

    // The nodes would go by the end that the key was made for.
    let error = account.extend(granted.id(), 2_000_000_000, &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::NotExtendable { .. }), "{error}");

    // Another distributed key, and the old one ends.
    let grant = account.grant([scene.policy()]).unwrap();
    let key = grant.distributed_key(&network.client(), &scene.owner).await.unwrap();
    let replaced = account.replace_key(granted.id(), &key, &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked, Status::Active]);
    let again = account.session(replaced.id()).await.unwrap();
    scene.mint_with(&again).await.unwrap().wait().await.unwrap();
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    assert_eq!(chain.executions().iter().filter(|execution| execution.to == NFT).count(), 2);

    // What the nodes refuse is refused before the bundler, by name.
    let replaced =
        account.replace_key(replaced.id(), &LocalSessionKey::random(), &scene.owner).await.unwrap();
    replaced.wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked, Status::Revoked, Status::Active]);
    let error = account.attested_key(0).await.unwrap_err();
    assert!(matches!(error, Error::NotDistributed { .. }), "{error}");

    store.close().await;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(32).any(|window| window == ephemeral),
            "the ephemeral key lies there in plain text"
        );
    }
}

/// D35: evidence that somebody else put there is no evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_key_without_its_nodes_attestations_is_not_used() {
    let network = LocalNetwork::start_small().await;
    let scene = Scene::new().await;
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let key = grant.distributed_key(&network.client(), &scene.owner).await.unwrap();
    let granted = scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    let store = scene.client.store();
    let stored = store.session(scene.account.id(), granted.id()).await.unwrap();
    let Key::Distributed { key_id, attested_key, ephemeral } =
        store.key(scene.account.id(), granted.id()).await.unwrap()
    else {
        panic!("a distributed key")
    };
    let mut evidence: serde_json::Value = serde_json::from_str(&attested_key).unwrap();
    evidence["attestations"].as_array_mut().unwrap().truncate(1);
    let other_ephemeral = quorate_store::Secret::from(*quorate::EphemeralKey::random().unwrap().to_bytes());
    for (id, evidence, ephemeral, reason) in [
        ("few", evidence.to_string(), ephemeral.clone(), "attest"),
        ("none", "{}".to_owned(), ephemeral, "evidence"),
        ("other", attested_key, other_ephemeral, "ephemeral"),
    ] {
        let StoredSession { account, session_key, .. } = stored.clone();
        let session = NewSession {
            id: id.parse().unwrap(),
            account,
            session_key,
            key: Key::Distributed { key_id: key_id.clone(), attested_key: evidence, ephemeral },
            leaves: stored.leaves.clone(),
            created: 0,
            user_op_hash: None,
            landed: None,
        };
        store.apply(account, vec![Change::AddSession(Box::new(session))]).await.unwrap();
        let client = scene.client.clone().with_network(network.client());
        let account = client.account(alloy_signer::Signer::address(&scene.owner), 0);
        let id: quorate::SessionId = id.parse().unwrap();
        let error = account.session(&id).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{id}: {error}");
    }
}
