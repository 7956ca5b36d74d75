//! A whole network of five nodes and a gateway, on real sockets and real databases, and our own client.

use std::sync::LazyLock;
use std::time::Duration;

use crate::local::{
    ACCOUNT, CHAIN, ENTRY_POINT, LocalNetwork, NFT, PATIENCE, claim, mint_to, permissions, refusal, sign,
};
use alloy_signer_local::PrivateKeySigner;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_core::{Address, signing_hash};
use quorate_network::{AttestedKey, EphemeralKey, NetworkError, Refusal};
use quorate_protocol::{Answer, ClientError, KeyDraft, OperationMessage, SUBPROTOCOL};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// One network and one key serve all tests that do not change them: making a key computes for seconds.
static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (network, owner, ephemeral, key) = runtime.block_on(async {
        let network = LocalNetwork::start_stocked().await;
        let owner = PrivateKeySigner::random();
        let ephemeral = EphemeralKey::random().unwrap();
        let draft = network.client().prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
        let key = network.client().submit_key(&draft, sign(&owner, &draft)).await.unwrap();
        (network, owner, ephemeral, key)
    });
    Shared { runtime, network, owner, ephemeral, key }
});

struct Shared {
    runtime: Runtime,
    network: LocalNetwork,
    owner: PrivateKeySigner,
    ephemeral: EphemeralKey,
    key: AttestedKey,
}

fn ask(message: &OperationMessage) -> Result<alloy_primitives::Signature, NetworkError> {
    ask_as(message, &SHARED.ephemeral)
}

fn ask_as(
    message: &OperationMessage,
    key: &EphemeralKey,
) -> Result<alloy_primitives::Signature, NetworkError> {
    let Shared { runtime, network, key: session, .. } = &*SHARED;
    runtime.block_on(network.client().sign(&session.key_id, session.address, message, key))
}

#[test]
fn a_permitted_operation_is_signed_by_the_session_key() {
    let message = mint_to(ACCOUNT);
    let signature = ask(&message).unwrap();
    let digest = signing_hash(message.operation.hash(ENTRY_POINT, CHAIN));
    assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), SHARED.key.address);
    assert!(SHARED.key.attestations.len() >= 4);
}

#[test]
fn an_operation_outside_the_policy_is_refused_with_both_values() {
    let stranger = Address::repeat_byte(0xcc);
    let Refusal::Forbidden { reason, revert } = refusal(ask(&mint_to(stranger)).unwrap_err()) else {
        panic!()
    };
    for word in ["rule 0", &stranger.into_word().to_string(), &ACCOUNT.into_word().to_string()] {
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(revert.as_deref(), Some("ABISV Arg Rule Violated"));
}

#[test]
fn another_account_chain_entry_point_or_a_deployment_is_refused() {
    let mut other_account = mint_to(ACCOUNT);
    other_account.operation.sender = NFT;
    let other_chain = OperationMessage { chain_id: 1, ..mint_to(ACCOUNT) };
    let other_entry_point = OperationMessage { entry_point: NFT, ..mint_to(ACCOUNT) };
    let mut deployment = mint_to(ACCOUNT);
    deployment.operation.init_code = vec![1];
    for message in [other_account, other_chain, other_entry_point, deployment] {
        assert!(matches!(refusal(ask(&message).unwrap_err()), Refusal::Forbidden { revert: None, .. }));
    }
}

#[test]
fn call_data_in_another_encoding_is_refused() {
    let mut message = mint_to(ACCOUNT);
    message.operation.call_data.extend([0; 32]);
    let Refusal::Forbidden { reason, .. } = refusal(ask(&message).unwrap_err()) else { panic!() };
    assert!(reason.contains("canonical"), "{reason}");
}

#[test]
fn only_a_registered_ephemeral_key_may_ask() {
    let stranger = EphemeralKey::random().unwrap();
    assert!(matches!(
        refusal(ask_as(&mint_to(ACCOUNT), &stranger).unwrap_err()),
        Refusal::EphemeralKey { .. }
    ));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let Shared { runtime, network, ephemeral, key, .. } = &*SHARED;
    let asked = network.client();
    let unknown = "0f".repeat(32);
    let error = runtime.block_on(asked.sign(&unknown, key.address, &mint_to(ACCOUNT), ephemeral));
    assert!(matches!(refusal(error.unwrap_err()), Refusal::UnknownKey { key_id } if *key_id == *unknown));
}

#[test]
fn a_key_is_made_for_the_owner_who_signed_only() {
    let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
    runtime.block_on(async {
        let client = network.client();
        let draft = client.prepare_key(&permissions(owner), &claim(ephemeral)).await.unwrap();
        let thief = PrivateKeySigner::random();
        let error = client.submit_key(&draft, sign(&thief, &draft)).await.unwrap_err();
        assert!(matches!(refusal(error), Refusal::Unauthenticated { .. }));
    });
}

#[test]
fn swapped_permissions_are_refused() {
    let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
    runtime.block_on(async {
        let client = network.client();
        let draft = client.prepare_key(&permissions(owner), &claim(ephemeral)).await.unwrap();
        let signature = sign(owner, &draft);
        let wider = draft.to_json().replace(&format!("{NFT:?}"), &format!("{ACCOUNT:?}"));
        assert_ne!(wider, draft.to_json());
        let draft = KeyDraft::from_json(&wider).unwrap();
        let error = client.submit_key(&draft, signature).await.unwrap_err();
        assert!(
            matches!(&error, NetworkError::Client(ClientError::Setup(_))),
            "by our own client: {error:?}"
        );

        let url = format!("{}keygen", client.descriptor().gateways()[0]);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        socket.send(draft.setup().into()).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let Answer::Refused(Refusal::Malformed { reason }) = Answer::from_json(&answer).unwrap() else {
            panic!("{answer}")
        };
        assert!(reason.contains("the owner signed permissions with hash"), "{reason}");
    });
}

#[test]
fn a_key_draft_goes_on_in_another_process() {
    let draft = {
        let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
        runtime.block_on(network.client().prepare_key(&permissions(owner), &claim(ephemeral))).unwrap()
    };
    assert_eq!(KeyDraft::from_json(&draft.to_json()).unwrap(), draft);
}

#[test]
fn signing_goes_on_with_two_nodes_down_and_stops_with_three() {
    Runtime::new().unwrap().block_on(async {
        let mut network = LocalNetwork::start_stocked().await;
        let client = network.client();
        let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
        let draft = client.prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
        let key = client.submit_key(&draft, sign(&owner, &draft)).await.unwrap();
        network.stop(1).await;
        network.stop(2).await;
        client.sign(&key.key_id, key.address, &mint_to(ACCOUNT), &ephemeral).await.unwrap();
        // Nobody comes back, so asking again is of no use.
        let client = client.without_retries();
        network.stop(3).await;
        let stopped = async {
            loop {
                match client.sign(&key.key_id, key.address, &mint_to(ACCOUNT), &ephemeral).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => break error,
                }
            }
        };
        let error = tokio::time::timeout(PATIENCE, stopped).await.unwrap();
        assert!(refusal(error).is_transient());
    });
}
