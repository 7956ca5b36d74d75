//! Where a network is reached: gateways behind path prefixes, and several of them.

use crate::databases::in_time;
use crate::local::{
    ACCOUNT, LocalNetwork, Session, claim, free_address, mint_to, mint_with_nonce, permissions, refusal, sign,
};
use crate::proxy::{Fault, Way};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_network::{EphemeralKey, KeyDraft, NetworkError, Refusal, Revocation, SigningNetwork};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_prefix_is_kept_on_the_sockets_of_nodes_and_clients() {
    let gateway = free_address();
    let url = crate::proxy::prefixed(gateway).await;
    let nodes_go_to = url.parse::<url::Url>().unwrap();
    let network =
        LocalNetwork::start_at(gateway, move |node| node.gateways = Some(vec![nodes_go_to.clone()])).await;
    let client = SigningNetwork::new(crate::proxy::behind(network.descriptor(), &[&url]));
    let session = network.key(permissions).await;
    let signed =
        client.sign(&session.key.key_id, session.key.address, &mint_to(ACCOUNT), &session.ephemeral).await;
    assert!(signed.is_ok(), "{signed:?}");
    let (ephemeral, owner) = (claim(&EphemeralKey::random().unwrap()), session.key.birth.owner);
    client.prepare_registration(owner, &session.key.key_id, &ephemeral).await.unwrap();
}

/// Two ways to the network, of which the client has used the first one last.
async fn two_ways(network: &LocalNetwork) -> (Way, Way, SigningNetwork) {
    let gateway = network.descriptor().gateways()[0].as_str();
    let (one, other) = (Way::to(gateway).await, Way::to(gateway).await);
    let client = SigningNetwork::new(crate::proxy::behind(network.descriptor(), &[&one.url, &other.url]));
    (one, other, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_had_while_one_gateway_of_two_works() {
    let network = LocalNetwork::start_stocked().await;
    let session = network.key(permissions).await;
    let (one, other, client) = two_ways(&network).await;
    let faults = [Fault::Dead, Fault::Mute]
        .into_iter()
        .chain((0..3).map(Fault::Breaks))
        .chain((0..3).map(Fault::Hangs));
    let key = &session.key;
    for (nonce, fault) in (0..).zip(faults) {
        // The other one is dead, so the client begins with the first one from now on.
        other.set(Fault::Dead);
        one.set(Fault::None);
        let message = mint_with_nonce(ACCOUNT, nonce);
        client.sign(&key.key_id, key.address, &message, &session.ephemeral).await.unwrap();
        other.set(Fault::None);
        one.set(fault);
        let signed = client.sign(&key.key_id, key.address, &message, &session.ephemeral).await;
        assert!(signed.is_ok(), "{fault:?}: {signed:?}");
        let listed = client.ephemeral_keys(&key.key_id).await;
        assert!(listed.is_ok(), "{fault:?}: {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_goes_to_every_gateway() {
    let network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let session = network.key_of(&owner, permissions(&owner)).await;
    let (one, other, client) = two_ways(&network).await;
    let revocation = Revocation::new(network.descriptor(), owner.address(), &session.key.key_id, None);
    let signature = owner.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
    for (first, second) in [(Fault::Dead, Fault::None), (Fault::None, Fault::Dead)] {
        one.set(first);
        other.set(second);
        // A node that is slow may be missing at first.
        let have_it = async || client.revoke(&revocation, signature).await.unwrap().stored_by.len() == 5;
        in_time("all nodes to have it", have_it).await;
    }
    one.set(Fault::Dead);
    let unheard = client.revoke(&revocation, signature).await.unwrap_err();
    assert!(matches!(unheard, NetworkError::Connection { .. }), "{unheard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_are_taken_up_at_a_gateway_that_has_not_made_them() {
    let mut network = LocalNetwork::start_stocked().await;
    let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
    let client = network.client();
    let draft = client.prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
    let draft = KeyDraft::from_json(&draft.to_json()).unwrap();
    network.replace_gateway().await;

    let mut altered: serde_json::Value = serde_json::from_str(&draft.to_json()).unwrap();
    altered["nonces"]["1"] = serde_json::json!(format!("0x{}", "07".repeat(32)));
    let altered = KeyDraft::from_json(&altered.to_string()).unwrap();
    let refused = refusal(client.submit_key(&altered, sign(&owner, &altered)).await.unwrap_err());
    assert_eq!(refused, Refusal::Challenge, "other nonces make another challenge");
    altered_without_nonces_is_unknown(&client, &draft, &owner).await;

    let key = client.submit_key(&draft, sign(&owner, &draft)).await.unwrap();
    let session = Session { client: network.client(), key, ephemeral };
    session.sign(&mint_to(ACCOUNT)).await.unwrap();

    let added = EphemeralKey::random().unwrap();
    let pending =
        client.prepare_registration(owner.address(), &session.key.key_id, &claim(&added)).await.unwrap();
    network.replace_gateway().await;
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(owner.sign_hash_sync(&digest).unwrap()).await.unwrap();
    let session = Session { ephemeral: added, ..session };
    session.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap();
}

/// A draft that version 0.1.0 stored has no nonces, and its own gateway is no more.
async fn altered_without_nonces_is_unknown(
    client: &SigningNetwork,
    draft: &KeyDraft,
    owner: &PrivateKeySigner,
) {
    let mut old: serde_json::Value = serde_json::from_str(&draft.to_json()).unwrap();
    old.as_object_mut().unwrap().remove("nonces");
    let old = KeyDraft::from_json(&old.to_string()).unwrap();
    let refused = refusal(client.submit_key(&old, sign(owner, &old)).await.unwrap_err());
    assert_eq!(refused, Refusal::Challenge);
}
