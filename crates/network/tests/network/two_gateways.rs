//! Two gateways of one network give keys at the same time.

use std::collections::BTreeSet;

use crate::local::{LocalNetwork, claim, free_address, permissions, sign};
use alloy_signer_local::PrivateKeySigner;
use quorate_network::{EphemeralKey, KeyDraft, SigningNetwork};

/// A network whose nodes dial two gateways, and a client of each.
async fn two_gateways() -> (LocalNetwork, [SigningNetwork; 2]) {
    let addresses = [free_address(), free_address()];
    let urls = addresses.map(|address| format!("ws://{address}").parse::<url::Url>().unwrap());
    let both = urls.to_vec();
    let mut network =
        LocalNetwork::start_at(addresses[0], move |node| node.gateways = Some(both.clone())).await;
    network.start_second_gateway(addresses[1]).await;
    let clients =
        urls.map(|url| SigningNetwork::new(network.descriptor().clone().with_gateways(vec![url]).unwrap()));
    (network, clients)
}

async fn draft(client: &SigningNetwork, owner: &PrivateKeySigner) -> KeyDraft {
    let ephemeral = claim(&EphemeralKey::random().unwrap());
    client.prepare_key(&permissions(owner), &ephemeral).await.unwrap()
}

/// A9, and the making of keys for nobody by both gateways at once: there is none at the beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_two_gateways_at_once_gets_one_key_and_requests_do_not_meet() {
    let (_network, [one, other]) = two_gateways().await;
    let mut keys = BTreeSet::new();
    for _ in 0..8 {
        let (owner, another) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let (first, second) = (draft(&one, &owner).await, draft(&other, &another).await);
        let (here, there, elsewhere) = tokio::join!(
            one.submit_key(&first, sign(&owner, &first)),
            other.submit_key(&first, sign(&owner, &first)),
            other.submit_key(&second, sign(&another, &second)),
        );
        let (here, there, elsewhere) = (here.unwrap(), there.unwrap(), elsewhere.unwrap());
        assert_eq!(here.key_id, there.key_id, "one request has one key at every gateway");
        assert!(keys.insert(here.key_id) && keys.insert(elsewhere.key_id), "no key is two requests'");
    }
}
