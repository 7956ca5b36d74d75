//! What an owner says about a key after it was made: another ephemeral key, and the end of one or of the key. On real
//! sockets and real databases.

use crate::databases::until;
use crate::local::{LocalNetwork, Session, claim, found, mint_with_nonce, now, permissions, refusal};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use ed25519_dalek::VerifyingKey;
use quorate_network::{EphemeralKey, EphemeralKeys, Refusal, Revocation, RevocationStatus};
use quorate_protocol::{Limits, OperationMessage, Permissions};

const ACCOUNT: quorate_core::Address = crate::local::ACCOUNT;

fn mint(nonce: u64) -> OperationMessage {
    mint_with_nonce(ACCOUNT, nonce)
}

/// A key of three uses in all.
async fn key(network: &LocalNetwork, owner: &PrivateKeySigner) -> Session {
    let limits = Limits { uses: Some(3), ..Limits::default() };
    network.key_of(owner, Permissions { limits, ..permissions(owner) }).await
}

async fn register(session: &Session, owner: &PrivateKeySigner) -> EphemeralKey {
    let ephemeral = EphemeralKey::random().unwrap();
    let pending = session
        .client
        .prepare_registration(owner.address(), &session.key.key_id, &claim(&ephemeral))
        .await
        .unwrap();
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(owner.sign_hash_sync(&digest).unwrap()).await.unwrap();
    ephemeral
}

async fn revoke(
    session: &Session,
    owner: &PrivateKeySigner,
    ephemeral: Option<VerifyingKey>,
) -> RevocationStatus {
    let network = session.client.descriptor();
    let revocation = Revocation::new(network, owner.address(), &session.key.key_id, ephemeral);
    let signature = owner.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
    session.client.revoke(&revocation, signature).await.unwrap()
}

/// Hands a revocation in until all nodes but those that are away have it: one that is slow may be missing at first.
async fn revoke_at_all_but(
    away: &[u8],
    session: &Session,
    owner: &PrivateKeySigner,
    ephemeral: Option<VerifyingKey>,
) -> RevocationStatus {
    found("all to have the revocation", async || {
        let revoked = revoke(session, owner, ephemeral).await;
        revoked.missing.iter().map(|node| node.get()).eq(away.iter().copied()).then_some(revoked)
    })
    .await
}

/// What all nodes but those that are away say of the key's ephemeral keys.
async fn listed_by_all_but(away: &[u8], session: &Session) -> EphemeralKeys {
    found("all to list the keys", async || {
        let listed = session.client.ephemeral_keys(&session.key.key_id).await.unwrap();
        listed.missing.iter().map(|node| node.get()).eq(away.iter().copied()).then_some(listed)
    })
    .await
}

fn with(session: &Session, ephemeral: EphemeralKey) -> Session {
    Session { client: session.client.clone(), key: session.key.clone(), ephemeral }
}

/// Signs once every node that is asked knows the ephemeral key.
async fn refused(session: &Session, message: &OperationMessage) -> Refusal {
    refusal(session.sign(message).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_learns_of_an_ephemeral_key_and_of_its_end_from_the_others() {
    let mut network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let first = key(&network, &owner).await;
    first.sign(&mint(1)).await.unwrap();

    // Node 5 is away when the key is registered; then 5 signs with those that are left.
    network.stop(5).await;
    let second = with(&first, register(&first, &owner).await);
    second.sign(&mint(2)).await.unwrap();
    network.start_node(5).await;
    network.until_ready().await;
    until(&network, 5, "SELECT COUNT(*) FROM statements", 1).await;
    network.stop(1).await;
    network.stop(2).await;
    second.sign(&mint(3)).await.unwrap();
    let limit = refused(&second, &mint(4)).await;
    assert!(matches!(limit, Refusal::Limit { .. }), "what the new key signed counts at all nodes: {limit}");

    // RevocationStatus while 1 and 2 are away: three nodes hold it against no bad one.
    let revoked = revoke_at_all_but(&[1, 2], &first, &owner, Some(second.ephemeral.public())).await;
    assert_eq!(revoked.bad_nodes_withstood(), Some(0));
    let after = refused(&second, &mint(3)).await;
    assert!(matches!(after, Refusal::EphemeralKey { .. }), "{after}");
    first.sign(&mint(3)).await.unwrap();

    // 1 and 2 learn it when they are back, from the others.
    network.start_node(1).await;
    network.start_node(2).await;
    network.until_ready().await;
    network.stop(4).await;
    network.stop(5).await;
    let after = refused(&second, &mint(3)).await;
    assert!(matches!(after, Refusal::EphemeralKey { .. }), "{after}");
    first.sign(&mint(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_signs_nothing_at_any_node() {
    let network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let session = key(&network, &owner).await;
    session.sign(&mint(1)).await.unwrap();
    let revoked = revoke_at_all_but(&[], &session, &owner, None).await;
    assert_eq!(revoked.bad_nodes_withstood(), Some(2));
    let hash = mint(1).operation.hash(crate::local::ENTRY_POINT, crate::local::CHAIN);
    assert!(
        revoked.recent.iter().any(|operation| operation.hash == hash),
        "it was signed within the last minute"
    );
    let after = refused(&session, &mint(2)).await;
    assert!(matches!(after, Refusal::Revoked { .. }), "{after}");
    // Neither a registration nor the revocation again changes that.
    revoke_at_all_but(&[], &session, &owner, None).await;
    let another = with(&session, register(&session, &owner).await);
    assert!(matches!(refused(&another, &mint(2)).await, Refusal::Revoked { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_revokes() {
    let network = LocalNetwork::start_stocked().await;
    let (owner, stranger) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let session = key(&network, &owner).await;
    let revocation =
        Revocation::new(session.client.descriptor(), stranger.address(), &session.key.key_id, None);
    let signature = stranger.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
    let refused = refusal(session.client.revoke(&revocation, signature).await.unwrap_err());
    assert!(matches!(refused, Refusal::Owner { .. }), "{refused}");
    let theirs = Revocation::new(session.client.descriptor(), owner.address(), &session.key.key_id, None);
    let refused = refusal(session.client.revoke(&theirs, signature).await.unwrap_err());
    assert!(matches!(refused, Refusal::Unauthenticated { .. }), "{refused}");
    session.sign(&mint(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_which_ephemeral_keys_may_ask_and_at_which_nodes() {
    let mut network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let first = key(&network, &owner).await;
    let (second, third) = (register(&first, &owner).await, register(&first, &owner).await);
    let until = |keys: &EphemeralKeys, key: &EphemeralKey| keys.until(key.public().as_bytes(), 3);
    network.stop(5).await;
    revoke_at_all_but(&[5], &first, &owner, Some(second.public())).await;
    let listed = listed_by_all_but(&[5], &first).await;
    assert_eq!(listed.keys.len(), 3);
    for asking in [&first.ephemeral, &third] {
        assert!(until(&listed, asking).is_some_and(|end| end > now()), "{listed:?}");
    }
    assert_eq!(until(&listed, &second), None);
    assert_eq!(listed.keys[second.public().as_bytes()].revoked_at.len(), 4);

    revoke_at_all_but(&[5], &first, &owner, None).await;
    let listed = listed_by_all_but(&[5], &first).await;
    assert_eq!(until(&listed, &third), None);
    assert_eq!(listed.key_revoked_at.len(), 4);
    let unknown = first.client.ephemeral_keys(&"0a".repeat(32)).await.unwrap_err();
    assert!(matches!(refusal(unknown), Refusal::UnknownKey { .. }));
}
