//! What is decided before anything is sent, and what a device says of sessions that others change, on a scripted chain.

use std::sync::Arc;

use crate::scene::{NFT, Scene};
use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::testing::{Endpoint, Fault};
use quorate::{
    Call, Choice, Condition, Error, ExternalKey, FunctionSelector, LocalSessionKey, Overwritten, Policy,
    Resumed, Rule, SessionEpoch, SessionId, Status,
};
use quorate_contracts::{Erc721, calls::set_merkle_root};
use quorate_core::merkle;
use quorate_store::Answer;

#[tokio::test]
async fn a_signature_of_somebody_else_is_not_sent() {
    let scene = Scene::new().await;
    let draft = scene.prepared().await;
    let thief = PrivateKeySigner::random();
    let signature = thief.sign_message(draft.user_op_hash().as_slice()).await.unwrap().as_bytes();
    let error = scene.account.submit(draft, &signature).await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
    assert!(error.to_string().contains(&scene.owner.address().to_string()), "{error}");
    assert!(scene.sent_nothing().await);
}

#[tokio::test]
async fn what_is_evidently_a_mistake_needs_to_be_allowed() {
    let scene = Scene::new().await;
    let odd = [
        mint_policy().with_rule(Rule::new(4, Condition::Equal, Address::ZERO)).unwrap(),
        mint_policy().with_epoch(SessionEpoch::new(0, 1_900_000_000_000).unwrap()),
        mint_policy().with_epoch(SessionEpoch::new(20, 10).unwrap()),
    ];
    for (policy, field) in odd.into_iter().zip(["offset 4", "milliseconds", "validAfter"]) {
        let error = scene.account.grant([scene.policy(), policy.clone()]).unwrap_err().to_string();
        assert!(error.contains("policy 1") && error.contains(field), "{error}");
        scene.account.grant_with_mistakes_allowed([policy]).unwrap();
    }
    assert!(matches!(scene.account.grant([] as [quorate::Policy; 0]), Err(Error::NoPolicy)));
}

#[tokio::test]
async fn a_call_outside_the_policy_goes_nowhere() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let sent = scene.sendings();
    let data = scene.mint();
    let elsewhere = Call::raw(Address::repeat_byte(1), data.clone());
    let paid = Call::raw(NFT, data.clone()).value(U256::from(1));
    for (call, words) in [
        (call(&mint_to(NFT)), "rule 0"),
        (elsewhere, "0x0101010101010101010101010101010101010101"),
        (paid, "1 wei"),
        (call(&Erc721::balanceOfCall { owner: NFT }.abi_encode()), "0x70a08231"),
    ] {
        let error = session.send(call).await.unwrap_err();
        assert!(matches!(error, Error::Forbidden { .. }), "{error}");
        assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
    }
    assert_eq!(scene.sendings(), sent);
}

#[tokio::test]
async fn what_is_not_there_is_not_revoked() {
    let scene = Scene::new().await;
    let nobody: SessionId = "nobody".parse().unwrap();
    let error = scene.account.revoke([nobody.clone()], &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::NotDeployed { .. }), "{error}");
    scene.granted().await;
    let error = scene.account.revoke([nobody], &scene.owner).await.unwrap_err();
    assert!(error.to_string().contains("has no session nobody"), "{error}");
}

/// Fault 6: leaves and root are stored as done before the operation succeeds. Fault 21: a status never changes.
#[tokio::test]
async fn a_grant_is_pending_until_its_leaves_are_under_the_root() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    let draft = scene.prepared().await;
    assert_eq!(scene.statuses().await, [Status::Inactive], "nothing is sent yet");

    // What the store holds at the moment of sending: the process ends there.
    let signature = scene.signed(&draft).await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Crash);
    let (account, same) = (scene.account.clone(), draft.clone());
    let crashed = tokio::spawn(async move { account.submit(same, &signature).await.map(drop) });
    assert!(crashed.await.unwrap_err().is_panic());
    let later = scene.restarted().await;
    let stored = later.client.store().operations(later.account.id()).await.unwrap();
    let [operation] = stored.as_slice() else { panic!("{stored:?}") };
    assert_eq!((operation.user_op_hash, operation.answer), (draft.user_op_hash(), Answer::Open));
    assert_eq!(operation.session.as_ref(), Some(draft.intent().session.id()));
    assert_eq!(later.statuses().await, [Status::Pending]);
    assert_eq!(later.landed().await, [false]);

    let pending = later.account.submit(draft, &signature).await.unwrap();
    assert_eq!(later.statuses().await, [Status::Pending], "a bundler that has it is no chain that has it");
    later.chain.mine();
    pending.wait().await.unwrap();
    assert_eq!(later.statuses().await, [Status::Active]);
    assert_eq!(later.landed().await, [true]);
}

/// Fault 6. The signed operation can land as long as its nonce is free, whoever refused it.
#[tokio::test]
async fn a_grant_that_the_bundler_refuses_is_not_taken_for_done() {
    let scene = Scene::new().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "AA21 didn't pay prefund"));
    let error = scene.send_grant().await.unwrap_err();
    let hash = Scene::unsettled(&error);
    assert!(error.to_string().contains("may get on chain or not"), "{error}");
    assert_eq!(scene.statuses().await, [Status::Pending]);

    let abandoned = scene.account.abandon(hash).await.unwrap();
    assert_eq!(abandoned.user_op_hash, hash);
    assert!(abandoned.to_string().contains("can still get on chain"), "{abandoned}");
    assert_eq!(scene.statuses().await, [Status::Inactive]);
}

#[tokio::test]
async fn a_session_is_active_after_the_confirmations_asked_for() {
    let scene = Scene::new().await;
    let patient = scene.client.clone().with_confirmations(2).account(scene.owner.address(), 0);
    let status = async || patient.sessions().await.unwrap()[0].status;
    scene.granted().await;
    assert_eq!(status().await, Status::Pending);
    assert_eq!(scene.statuses().await, [Status::Active]);
    // What was believed with less patience is not believed with more.
    assert_eq!(status().await, Status::Pending);
    scene.chain.mine();
    assert_eq!(status().await, Status::Pending);
    scene.chain.mine();
    assert_eq!(status().await, Status::Active);
}

/// Fault 5: a second device with an empty store overwrites the root, and so revokes every other session.
#[tokio::test]
async fn a_foreign_root_is_refused_with_two_ways_out() {
    let scene = Scene::new().await;
    let first = scene.granted().await;
    let other = scene.on_another_device().await;
    let key = LocalSessionKey::random();
    let grant = other.account.grant([scene.policy()]).unwrap();
    let error = other.account.send(grant.clone(), &key, &scene.owner).await.unwrap_err();
    let Error::ForeignRoot { expected, found } = error else { panic!("{error}") };
    assert_eq!((expected, found), (B256::ZERO, scene.root()));
    assert!(error.to_string().contains("import"), "{error}");
    let error = other.account.revoke([], &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::ForeignRoot { .. }), "{error}");

    // One way: take the other device's leaves in.
    let error = other.account.import_leaves([B256::repeat_byte(1)]).await.unwrap_err();
    assert!(matches!(error, Error::OtherTree { .. }), "{error}");
    other.account.import_leaves(first.record.leaves()).await.unwrap();
    other.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Unknown], "until the first device has the leaves too");
    scene.account.import_leaves(other.account.export_leaves().await.unwrap()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
    let session = scene.account.session(first.id()).await.unwrap();
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 1);

    // The other: name the root, and see what ends.
    let third = scene.on_another_device().await;
    let root = scene.root();
    let key = LocalSessionKey::random();
    let grant = third.account.grant([scene.policy()]).unwrap().replacing_root(root);
    let draft = third.account.prepare(grant, &key).await.unwrap();
    assert_eq!(draft.intent().update.revoked.foreign_root, Some(root));
    let signature = scene.signed(&draft).await;
    third.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Unknown], "another device's tree replaced it");
    scene.account.import_leaves(third.account.export_leaves().await.unwrap()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked]);
}

/// Fault 5.
#[tokio::test]
async fn the_root_is_read_again_right_before_sending() {
    let scene = Scene::new().await;
    let draft = scene.prepared().await;
    let other = scene.on_another_device().await;
    other.granted().await;

    let signature = scene.signed(&draft).await;
    let error = scene.account.submit(draft, &signature).await.unwrap_err();
    let Error::RootChanged { expected, found } = error else { panic!("{error}") };
    assert_eq!((expected, found), (B256::ZERO, scene.root()));
    assert!(scene.sent_nothing().await);
    assert_eq!(other.statuses().await, [Status::Active]);
    scene.account.import_leaves(other.account.export_leaves().await.unwrap()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Inactive]);
}

/// Fault 5, in the moment that no reading can close.
#[tokio::test]
async fn a_grant_that_overwrites_another_device_s_says_so() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    scene.bundler.hold(pending.user_op_hash());
    let foreign = B256::repeat_byte(0x42);
    let set = set_merkle_root(scene.chain.deployment().session_key_manager, foreign);
    scene.chain.execute_directly(scene.account.address(), &[set.as_call()]);
    scene.chain.mine();
    assert_eq!(scene.root(), foreign);
    scene.bundler.release(pending.user_op_hash());
    scene.chain.mine();

    let granted = pending.wait().await.unwrap();
    let Overwritten::Tree { root, is_known, .. } = granted.overwritten else { panic!("{granted:?}") };
    assert_eq!((root, is_known), (foreign, false));
    assert_eq!(scene.statuses().await, [Status::Active, Status::Active]);
}

#[tokio::test]
async fn an_interrupted_grant_that_came_too_late_is_cleared() {
    let scene = Scene::new().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Interrupted);
    let hash = Scene::unsettled(&scene.send_grant().await.unwrap_err());
    let other = scene.on_another_device().await;
    let by = other.granted().await;

    let later = scene.restarted().await;
    let resumed = later.account.resume().await.unwrap();
    let [interrupted] = resumed.as_slice() else { panic!("{resumed:?}") };
    let Resumed::Settled(pending) = &interrupted.outcome else { panic!("{interrupted:?}") };
    assert_eq!((interrupted.user_op_hash, pending.user_op_hash()), (hash, hash));
    let error = pending.wait().await.unwrap_err();
    assert!(
        matches!(error, Error::Replaced { by: other, .. } if other == by.receipt.user_op_hash),
        "{error}"
    );
    assert!(later.account.resume().await.unwrap().is_empty(), "what is over is told once");

    let listed = later.account.sessions().await.unwrap();
    let [session] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(session.status, Status::Unknown);
    let error = later.account.forget(session.id()).await.unwrap_err();
    assert!(matches!(error, Error::StillLive { status: Status::Unknown, .. }), "{error}");
    later.account.import_leaves(other.account.export_leaves().await.unwrap()).await.unwrap();
    assert_eq!(later.statuses().await, [Status::Inactive]);
    later.account.forget(session.id()).await.unwrap();
    assert!(later.account.sessions().await.unwrap().is_empty());
}

/// Fault 12: leaf index 0 means the last leaf. Fault 23: given indexes are ignored.
#[tokio::test]
async fn a_session_is_chosen_by_index_by_id_or_by_what_it_allows() {
    let scene = Scene::new().await;
    let ended = scene.granted().await;
    let first = scene.granted().await;
    let grant = scene.account.grant([mint_policy()]).unwrap();
    let second = scene.account.send(grant, &LocalSessionKey::random(), &scene.owner).await.unwrap();
    let second = second.wait().await.unwrap();
    scene.account.revoke([ended.id().clone()], &scene.owner).await.unwrap().wait().await.unwrap();

    let key = async |choice: Choice| scene.account.session(choice).await.unwrap().record().session_key();
    assert_eq!(key(0.into()).await, first.record.session_key(), "an index counts what can be used");
    assert_eq!(key(1.into()).await, second.record.session_key());
    assert_eq!(key(first.id().into()).await, first.record.session_key());
    assert_eq!(key(ended.id().into()).await, ended.record.session_key(), "an id says which");
    assert_eq!(key(Choice::LastActive).await, second.record.session_key());
    let error = scene.account.session(2).await.unwrap_err();
    assert!(error.to_string().contains("session 2 was asked for, the account has 2"), "{error}");

    let key_for = async |to| {
        let data = mint_to(to);
        Ok::<_, Error>(scene.account.session_for(&[call(&data)]).await?.record().session_key())
    };
    assert_eq!(key_for(scene.account.address()).await.unwrap(), first.record.session_key());
    assert_eq!(key_for(NFT).await.unwrap(), second.record.session_key());
    let elsewhere = Call::raw(Address::ZERO, mint_to(NFT));
    let error = scene.account.session_for(&[elsewhere]).await.unwrap_err();
    assert!(matches!(error, Error::NoSessionAllows { refusal: Some(_) }), "{error}");
}

#[tokio::test]
async fn an_external_key_is_asked_for() {
    let scene = Scene::new().await;
    let key = LocalSessionKey::random();
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let external = ExternalKey(key.clone());
    scene.account.send(grant, &external, &scene.owner).await.unwrap().wait().await.unwrap();
    let error = scene.account.session(0).await.unwrap_err();
    assert!(matches!(error, Error::ExternalKey { .. }), "{error}");
    let other = Arc::new(LocalSessionKey::random());
    let error = scene.account.session_with(0, other).await.unwrap_err();
    assert!(matches!(error, Error::OtherKey { .. }), "{error}");
    let session = scene.account.session_with(0, Arc::new(key)).await.unwrap();
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 1);
}

/// Fault 25: a proof for a leaf that is not in the tree comes back empty.
#[tokio::test]
async fn a_session_that_was_never_granted_has_no_proof() {
    let scene = Scene::new().await;
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let key = LocalSessionKey::random();
    let draft = scene.account.prepare(grant, &key).await.unwrap();
    let session = scene.client.session(draft.intent().session.clone(), Arc::new(key)).unwrap();
    // Neither where there are no sessions, nor where there are others.
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    scene.granted().await;
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");

    let leaves: Vec<B256> = draft.intent().session.leaves().collect();
    let absent = B256::repeat_byte(1);
    let expected = merkle::TreeError::LeafNotFound { leaf: absent };
    assert_eq!(merkle::Proof::of(&leaves, absent).unwrap_err(), expected);
    assert_eq!(merkle::Tree::new(leaves).unwrap().proof(absent).unwrap_err(), expected);
}

/// Draft and account have to belong together.
#[tokio::test]
async fn a_draft_of_another_account_is_not_sent() {
    let scene = Scene::new().await;
    let draft = scene.prepared().await;
    let signature = scene.signed(&draft).await;
    let second = scene.client.account(scene.owner.address(), 1);
    let error = second.submit(draft.clone(), &signature).await.unwrap_err();
    let Error::OtherAccount { draft: of, account } = error else { panic!("{error}") };
    assert_eq!((of, account), (scene.account.id(), second.id()));
    assert!(scene.sent_nothing().await);
    scene.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
}

/// Only one of two operations with one nonce gets on chain, so the second waits for the first.
#[tokio::test]
async fn an_owner_s_second_operation_waits_for_the_first_or_cancels_it() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.chain.set_automine(false);
    let first = scene.send_grant().await.unwrap();
    let error = scene.account.revoke_all(&scene.owner).await.unwrap_err();
    assert!(
        matches!(error, Error::UnderWay { user_op_hash } if user_op_hash == first.user_op_hash()),
        "{error}"
    );

    let cancelled = scene.account.cancel(first.user_op_hash(), &scene.owner).await.unwrap();
    scene.chain.mine();
    cancelled.wait().await.unwrap();
    let error = first.wait().await.unwrap_err();
    assert!(matches!(error, Error::Replaced { by, .. } if by == cancelled.user_op_hash()), "{error}");
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
    scene.chain.set_automine(true);
    scene.account.revoke_all(&scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.root(), B256::ZERO);
}

impl Scene {
    /// How many operations the bundlers were given.
    fn sendings(&self) -> usize {
        let to_bundlers = |(endpoint, method): &(Endpoint, String)| {
            matches!(endpoint, Endpoint::Bundler(_)) && method == "eth_sendUserOperation"
        };
        self.chain.requests().iter().filter(|request| to_bundlers(request)).count()
    }

    /// Whether this client's store has no operation, and its bundler got none.
    async fn sent_nothing(&self) -> bool {
        let own = self.bundler.endpoint();
        let requests = self.chain.requests();
        let sent =
            requests.iter().any(|(endpoint, method)| *endpoint == own && method == "eth_sendUserOperation");
        self.stored_operations().await == 0 && !sent
    }

    /// Which sessions the store says were seen on chain.
    async fn landed(&self) -> Vec<bool> {
        let stored = self.client.store().sessions(self.account.id()).await.unwrap();
        stored.iter().map(|session| session.landed.is_some()).collect()
    }
}

fn mint_policy() -> Policy {
    Policy::new(NFT, FunctionSelector::parse("safeMint(address)").unwrap())
}

fn mint_to(to: Address) -> Vec<u8> {
    Erc721::safeMintCall { to }.abi_encode()
}

fn call(data: &[u8]) -> Call {
    Call::raw(NFT, data.to_vec())
}
