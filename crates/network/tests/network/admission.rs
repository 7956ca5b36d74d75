//! Who is given a key by a network whose operator admits owners by token: on real sockets and real databases, through our own
//! client, and behind a gateway that is hostile.

use crate::attacked::scene::{nodes, to_all, within};
use crate::attacked::start_hostile_with;
use crate::local::{
    ACCOUNT, LocalNetwork, Session, claim, free_address, mint_to, now, permissions, refusal, sign,
};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use ed25519_dalek::SigningKey;
use quorate_core::{Address, B256};
use quorate_network::{EphemeralKey, NetworkError, Refusal};
use quorate_node::NodeConfig;
use quorate_node::adversary::HostileGateway;
use quorate_protocol::{
    AdmissionToken, AdmissionTokenError, Answer, Authentication, ClientError, KeyRequest, KeyText, Operation,
    Setup, SignedRequest, TokenIssuer, challenge,
};
use serde_json::{Value, json};

fn issuer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Has a node make keys by the issuer's tokens alone.
fn take_tokens(config: &mut NodeConfig) {
    config.admission.token_issuers = Some(vec![TokenIssuer::from(&issuer())]);
}

fn token(network: &LocalNetwork, owner: Address, keys: u64) -> AdmissionToken {
    AdmissionToken::issue(&issuer(), network.descriptor().id(), owner, now() + 3600, keys)
}

/// Has our own client ask for a key, with a token where there is one.
async fn ask(
    network: &LocalNetwork,
    owner: &PrivateKeySigner,
    token: Option<AdmissionToken>,
) -> Result<Session, NetworkError> {
    let ephemeral = EphemeralKey::random().unwrap();
    let client = match token {
        Some(token) => network.client().with_admission_token(token),
        None => network.client(),
    };
    let draft = client.prepare_key(&permissions(owner), &claim(&ephemeral)).await?;
    let key = client.submit_key(&draft, sign(owner, &draft)).await?;
    Ok(Session { client, key, ephemeral })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_with_a_token_is_given_as_many_keys_as_it_says_and_others_none() {
    let network = LocalNetwork::start_with_nodes(take_tokens).await;
    let (alice, bob) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let good = token(&network, alice.address(), 1);

    let refused = refusal(ask(&network, &bob, None).await.err().unwrap());
    assert_eq!(refused, Refusal::NotAdmitted { owner: bob.address().into(), token: None });
    let expired = AdmissionToken::issue(&issuer(), network.descriptor().id(), alice.address(), now(), 1);
    let refused = refusal(ask(&network, &alice, Some(expired)).await.err().unwrap());
    assert!(refused.to_string().contains("the admission token expired at"), "{refused}");

    let session = ask(&network, &alice, Some(good.clone())).await.unwrap();
    session.sign(&mint_to(ACCOUNT)).await.unwrap();
    let refused = refusal(ask(&network, &alice, Some(good)).await.err().unwrap());
    assert_eq!(refused, Refusal::Quota { owner: alice.address().into(), keys: 1, limit: 1 });
    let more = token(&network, alice.address(), 2);
    ask(&network, &alice, Some(more)).await.unwrap();
}

#[tokio::test]
async fn our_own_client_sends_no_token_of_another_owner_or_network() {
    let network = LocalNetwork::without_gateway(free_address(), |_| {}).await;
    let owner = PrivateKeySigner::random();
    let refused = async |token| match ask(&network, &owner, Some(token)).await.err().unwrap() {
        NetworkError::Client(ClientError::AdmissionToken(error)) => error,
        other => panic!("the gateway, which is not there, was asked: {other}"),
    };
    let other_owner = refused(token(&network, ACCOUNT, 1)).await;
    assert_eq!(
        other_owner,
        AdmissionTokenError::OtherOwner { found: ACCOUNT.into(), expected: owner.address().into() }
    );
    let other_network = AdmissionToken::issue(&issuer(), B256::ZERO, owner.address(), now() + 3600, 1);
    let other_network = refused(other_network).await;
    assert!(matches!(other_network, AdmissionTokenError::OtherNetwork { found: B256::ZERO, .. }));
}

/// Five honest nodes that make keys by token, behind a gateway that is not honest, with a free key.
struct Scene {
    network: LocalNetwork,
    gateway: HostileGateway,
    key_id: String,
}

impl Scene {
    async fn start() -> Self {
        let (gateway, network) = start_hostile_with(take_tokens).await;
        let key_id = within(gateway.make_keys(1)).await.remove(0);
        Self { network, gateway, key_id }
    }

    /// A request for a key with any token, which our own client would not send, signed by its owner.
    async fn request(&self, owner: &PrivateKeySigner, token: Option<&AdmissionToken>) -> SignedRequest {
        let claim = claim(&EphemeralKey::random().unwrap());
        let bare = KeyRequest::new(self.network.descriptor(), &permissions(owner), &claim, None).unwrap();
        let setup = token.map_or_else(|| bare.setup().to_owned(), |token| with_token(bare.setup(), token));
        let nonces = within(self.gateway.nonces()).await;
        let typed_data = Setup::parse(Operation::Keygen, &setup).unwrap();
        let typed_data = typed_data.typed_data(&challenge(&setup, &nonces)).unwrap();
        let signature = owner.sign_hash_sync(&typed_data.digest()).unwrap();
        let authentication =
            Authentication::owner_text(owner.address(), &claim.to_json(), signature).unwrap();
        SignedRequest { operation: Operation::Keygen, setup, nonces, authentication }
    }

    /// What each of the five nodes answers.
    async fn answers(&self, request: &SignedRequest) -> Vec<Answer> {
        let task = self.gateway.assign(&to_all(&self.key_id), request);
        let mut answers = Vec::new();
        for node in nodes(&[1, 2, 3, 4, 5]) {
            answers.push(within(self.gateway.answer(task, node)).await);
        }
        answers
    }

    /// Asserts that all nodes refuse the request, and say this of the owner's token.
    async fn not_admitted(&self, owner: &PrivateKeySigner, token: Option<&AdmissionToken>, why: &str) {
        let request = self.request(owner, token).await;
        for answer in self.answers(&request).await {
            let Answer::Refused(Refusal::NotAdmitted { owner: refused, token: reason }) = answer else {
                panic!("{why}: {answer:?}")
            };
            assert_eq!(refused, owner.address().into());
            assert_eq!(reason.is_some(), token.is_some(), "{why}");
            assert!(reason.unwrap_or_default().contains(why), "{why}");
        }
    }

    /// Asserts that all nodes miss the owner's signature over the request.
    async fn unauthenticated(&self, request: &SignedRequest) {
        for answer in self.answers(request).await {
            assert!(matches!(answer, Answer::Refused(Refusal::Unauthenticated { .. })), "{answer:?}");
        }
    }
}

fn with_token(setup: &str, token: &AdmissionToken) -> String {
    let mut setup: Value = serde_json::from_str(setup).unwrap();
    setup["metadata"].as_array_mut().unwrap().push(json!({ "tag": 5, "value": token.to_json() }));
    setup.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_takes_one_owner_s_token_for_another_and_each_node_refuses_a_bad_one() {
    let scene = Scene::start().await;
    let (alice, mallory) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (id, later) = (scene.network.descriptor().id(), now() + 3600);
    let of_alice = token(&scene.network, alice.address(), 1);
    let of_mallory = |key: &SigningKey, network, expires| {
        AdmissionToken::issue(key, network, mallory.address(), expires, 1)
    };

    scene.not_admitted(&mallory, None, "").await;
    scene.not_admitted(&mallory, Some(&of_alice), "the admission token is for 0x").await;
    let expired = of_mallory(&issuer(), id, now());
    scene.not_admitted(&mallory, Some(&expired), "the admission token expired").await;
    let elsewhere = of_mallory(&issuer(), B256::ZERO, later);
    scene.not_admitted(&mallory, Some(&elsewhere), "the admission token is for network 0x0000").await;
    let self_issued = of_mallory(&SigningKey::from_bytes(&[8; 32]), id, later);
    scene.not_admitted(&mallory, Some(&self_issued), "whose tokens are not taken").await;
    let altered = of_alice.to_json().to_lowercase();
    let altered = altered.replace(&format!("{:?}", alice.address()), &format!("{:?}", mallory.address()));
    let altered = AdmissionToken::from_json(&altered).unwrap();
    scene.not_admitted(&mallory, Some(&altered), "is not signed by the issuer").await;

    // What the gateway adds to a request, or takes out of it, the owner has not signed.
    let mut request = scene.request(&mallory, None).await;
    request.setup = with_token(&request.setup, &of_alice);
    scene.unauthenticated(&request).await;
    let signed = scene.request(&alice, Some(&of_alice)).await;
    let another = token(&scene.network, alice.address(), 1000);
    let swapped = SignedRequest {
        setup: signed.setup.replace(&escaped(&of_alice), &escaped(&another)),
        ..signed.clone()
    };
    assert_ne!(swapped, signed);
    scene.unauthenticated(&swapped).await;

    for answer in scene.answers(&signed).await {
        assert!(
            matches!(&answer, Answer::Key { key: KeyText { key_id, .. }, .. } if *key_id == scene.key_id)
        );
    }
}

/// A token as it stands in a setup.
fn escaped(token: &AdmissionToken) -> String {
    json!(token.to_json()).to_string()
}
