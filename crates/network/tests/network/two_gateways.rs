//! Two gateways of one network give keys at the same time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::local::{LocalNetwork, claim, free_address, patiently, permissions, refusal, sign};
use alloy_signer_local::PrivateKeySigner;
use quorate_network::{AttestedKey, EphemeralKey, KeyDraft, Refusal, SigningNetwork};

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
    patiently(async || client.prepare_key(&permissions(owner), &ephemeral).await).await
}

/// Hands in an owner's signature as often as the refusals say that it may succeed later, which none says after the request's five
/// minutes: two requests may be offered one free key at two gateways. None where they have split one between them, so that the owner has to sign another request.
async fn submitted(
    client: &SigningNetwork,
    owner: &PrivateKeySigner,
    draft: &KeyDraft,
) -> Option<AttestedKey> {
    let mut earlier = None;
    loop {
        match client.submit_key(draft, sign(owner, draft)).await {
            Ok(key) => return Some(key),
            Err(error) if error.is_transient() => earlier = Some(error),
            Err(error) => match refusal(error) {
                Refusal::Split { .. } => return None,
                other => panic!("{other}, after {earlier:?}"),
            },
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A9, and the making of keys for nobody by both gateways at once: there is none at the beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_two_gateways_at_once_gets_one_key_and_requests_do_not_meet() {
    let (_network, [one, other]) = two_gateways().await;
    let mut keys = BTreeSet::new();
    for _ in 0..3 {
        let (owner, another) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let (first, second) = (draft(&one, &owner).await, draft(&other, &another).await);
        let (here, there, elsewhere) = tokio::join!(
            submitted(&one, &owner, &first),
            submitted(&other, &owner, &first),
            submitted(&other, &another, &second),
        );
        let ids = [here, there, elsewhere].map(|key| key.map(|key| key.key_id));
        assert_eq!(ids[0], ids[1], "one request has one key at every gateway");
        let [_, first, second] = ids;
        assert!(first.into_iter().chain(second).all(|key_id| keys.insert(key_id)), "no key is two requests'");
    }
    assert!(!keys.is_empty(), "a request that meets another is the exception");
}
