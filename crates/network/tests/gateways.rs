//! Where a network is reached: gateways behind path prefixes, and several of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;
mod proxy;

use local::{ACCOUNT, LocalNetwork, claim, free_address, mint_to, permissions};
use quorate_network::{EphemeralKey, SigningNetwork};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_prefix_is_kept_on_the_sockets_of_nodes_and_clients() {
    let gateway = free_address();
    let url = proxy::prefixed(gateway).await;
    let nodes_go_to = url.parse::<url::Url>().unwrap();
    let network =
        LocalNetwork::start_at(gateway, move |node| node.gateways = Some(vec![nodes_go_to.clone()])).await;
    let client = SigningNetwork::new(proxy::behind(network.descriptor(), &[&url]));
    let session = network.key(permissions).await;
    let signed =
        client.sign(&session.key.key_id, session.key.address, &mint_to(ACCOUNT), &session.ephemeral).await;
    assert!(signed.is_ok(), "{signed:?}");
    let (ephemeral, owner) = (claim(&EphemeralKey::random().unwrap()), session.key.birth.owner);
    client.prepare_registration(owner, &session.key.key_id, &ephemeral).await.unwrap();
}
