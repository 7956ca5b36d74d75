//! TLS at the gateway: certificates that are replaced while a network works, and who may stand between it and its nodes.

mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::local::{ACCOUNT, Session, claim, free_address, mint_with_nonce, patiently, permissions, sign};
use alloy_signer_local::PrivateKeySigner;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_network::{EphemeralKey, NetworkError, SigningNetwork};
use scene::{Middle, Scene, until};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// A fresh key of the scene's network.
async fn session(client: SigningNetwork) -> Session {
    let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
    let ask = async || {
        let draft = client.prepare_key(&permissions(&owner), &claim(&ephemeral)).await?;
        client.submit_key(&draft, sign(&owner, &draft)).await
    };
    let key = patiently(ask).await;
    Session { client, key, ephemeral }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_under_load_without_a_lost_request_or_connection() {
    let scene = Scene::new();
    scene.install(&scene.authority.certify());
    scene.start_gateway(|_| {}).await;
    for index in 1..=3 {
        scene.start_node(index, scene.gateway, |_| {}).await;
    }
    scene.until_ready(3).await;
    let lost = Arc::new(AtomicU64::new(0));
    let counted = lost.clone();
    // A slow machine is no loss.
    let client = scene.client().with_retry_listener(move |error| {
        if matches!(error, NetworkError::Connection { .. } | NetworkError::Closed { .. }) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let session = session(client).await;

    let (signed, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let load = tokio::spawn({
        let (signed, is_over) = (signed.clone(), is_over.clone());
        async move {
            while !is_over.load(Ordering::Relaxed) {
                let nonce = signed.load(Ordering::Relaxed);
                session.sign(&mint_with_nonce(ACCOUNT, nonce)).await.unwrap();
                signed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for _ in 0..3 {
        let url = format!("wss://{}/signgen", scene.gateway);
        let (mut open, _) = client_async(url, scene.connect().await).await.unwrap();
        let pair = scene.authority.certify();
        scene.install(&pair);
        until(async || scene.shown().await == pair.der()).await;
        open.send(Message::Ping("still there".into())).await.unwrap();
        assert_eq!(open.next().await.unwrap().unwrap(), Message::Pong("still there".into()));
        let before = signed.load(Ordering::Relaxed);
        until(async || signed.load(Ordering::Relaxed) > before + 1 || load.is_finished()).await;
        assert_eq!(scene.ready().await, 3);
    }
    is_over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_eq!(lost.load(Ordering::Relaxed), 0, "connections were lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_relays_between_two_tls_connections_is_not_taken_for_the_node() {
    let scene = Scene::new();
    scene.install(&scene.authority.certify());
    let for_nodes = free_address();
    scene.start_gateway(|config| config.listen_nodes = Some(for_nodes)).await;
    // A certificate that the node believes, and every frame as it is.
    let middle = Middle::start(&scene.authority, format!("wss://{for_nodes}")).await;
    let node = scene.start_node(1, middle.address, |_| {}).await;
    until(async || {
        assert_eq!(scene.ready().await, 0, "the gateway took somebody else's connection for the node's");
        middle.from_nodes.load(Ordering::Relaxed) >= 3 && middle.ended.load(Ordering::Relaxed) >= 3
    })
    .await;
    node.stop().await;
    scene.start_node(1, for_nodes, |_| {}).await;
    scene.until_ready(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_ends_tls_only_where_the_node_s_operator_says_so() {
    let scene = Scene::new();
    scene.start_gateway(|_| {}).await;
    let proxy = Middle::start(&scene.authority, format!("ws://{}", scene.gateway)).await;
    let node = scene.start_node(1, proxy.address, |_| {}).await;
    until(async || {
        assert_eq!(scene.ready().await, 0, "the node said who it is to whoever ended TLS");
        proxy.ended.load(Ordering::Relaxed) >= 3
    })
    .await;
    assert_eq!(proxy.from_nodes.load(Ordering::Relaxed), 0);
    node.stop().await;
    let listed = format!("wss://{}", proxy.address).parse().unwrap();
    scene.start_node(1, proxy.address, |config| config.behind_proxy = vec![listed]).await;
    scene.until_ready(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_believed_in_certifies_is_an_error_at_once() {
    let scene = Scene::new();
    scene.install(&scene.authority.certify());
    scene.start_gateway(|_| {}).await;
    let stranger = Scene::new();
    for client in [
        SigningNetwork::new(scene.descriptor()),
        SigningNetwork::new(scene.descriptor())
            .with_root_certificates(stranger.authority.pem().as_bytes())
            .unwrap(),
    ] {
        let error = client.ephemeral_keys(&"7e".repeat(32)).await.unwrap_err();
        assert!(matches!(error, NetworkError::Connection { .. }), "{error:?}");
        assert!(!error.is_transient() && format!("{error:?}").contains("InvalidCertificate"), "{error:?}");
    }
    // With the right root it is the network that answers.
    let error = scene.client().ephemeral_keys(&"7e".repeat(32)).await.unwrap_err();
    assert!(matches!(error, NetworkError::Client(_)), "{error:?}");
}
