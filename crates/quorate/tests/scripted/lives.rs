//! The life of sessions on a scripted chain: what other devices, reorganisations, crashes and time do to them.

use std::sync::Arc;

use crate::scene::{NFT, Scene};
use alloy_primitives::{Address, B256, U256};
use quorate::testing::{Fault, Orphaned, ScriptedChain};
use quorate::{
    Call, Error, LocalSessionKey, MemoryStore, Overwritten, OwnerDraft, Resumed, SessionEpoch, SessionId,
    Status,
};
use quorate_contracts::calls::set_merkle_root;

/// D3: sixteen failed sends, and more, of grants that never left.
#[tokio::test]
async fn failed_grants_do_not_make_the_store_forget_the_tree_on_chain() {
    let mut scene = Scene::new().await;
    // Each attempt replaces the one before it, a tenth dearer, and the usual limit ends that some time.
    scene.account = scene.account.with_options(quorate::Options::new().with_max_cost_factor(1_000));
    let session = scene.session().await;
    for number in 0..40 {
        let fault = if number % 2 == 0 { Fault::Unreachable } else { Fault::Http(503) };
        scene.bundler.on_next("eth_sendUserOperation", fault);
        match scene.send_grant().await.unwrap_err() {
            Error::Unsettled { user_op_hash, .. } => {
                scene.account.abandon(user_op_hash).await.unwrap();
            }
            other => assert!(matches!(other, Error::NotSent { .. }), "{other}"),
        }
    }
    assert_eq!(scene.status(session.record().id()).await, Status::Active);
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    scene.granted().await;
    assert_eq!(scene.minted(), 1);
}

/// D3: a backend that retries while the bundler answers 503 is told of the one operation that may land.
#[tokio::test]
async fn a_grant_that_is_retried_has_one_operation() {
    let scene = Scene::new().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Http(503));
    let hash = Scene::unsettled(&scene.send_grant().await.unwrap_err());
    for _ in 0..16 {
        let error = scene.send_grant().await.unwrap_err();
        assert!(matches!(error, Error::UnderWay { user_op_hash } if user_op_hash == hash), "{error}");
    }
    let resumed = scene.account.resume().await.unwrap();
    assert!(matches!(resumed.as_slice(), [one] if matches!(one.outcome, Resumed::Pending(_))), "{resumed:?}");
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// D4a: dropped by the bundler, and granted again.
#[tokio::test]
async fn a_dropped_grant_is_not_pending_for_ever() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    let dropped = scene.send_grant().await.unwrap();
    assert!(scene.bundler.drop_operation(dropped.user_op_hash()));
    assert_eq!(scene.statuses().await, [Status::Pending], "somebody may still have its bytes");

    let OwnerDraft::SessionGrant(draft) = scene.account.rebuild(dropped.user_op_hash()).await.unwrap() else {
        panic!("it is a grant")
    };
    let signature = scene.signed(&draft).await;
    let again = scene.account.submit(*draft, &signature).await.unwrap();
    assert_ne!(again.user_op_hash(), dropped.user_op_hash());
    assert_eq!(again.id(), dropped.id());
    scene.chain.mine();
    // Who still waits for the first learns that it is done.
    again.wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
    assert_eq!(scene.account.resume().await.unwrap().len(), 0, "the wait has seen both end");
}

/// D4a: another grant takes the nonce of one that was dropped.
#[tokio::test]
async fn a_grant_whose_nonce_another_took_is_inactive_and_can_be_forgotten() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    let dropped = scene.send_grant().await.unwrap();
    scene.bundler.drop_all();
    scene.account.abandon(dropped.user_op_hash()).await.unwrap();
    scene.send_grant().await.unwrap();
    scene.chain.mine();
    assert_eq!(scene.statuses().await, [Status::Inactive, Status::Active]);
    scene.account.forget(dropped.id()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// What was given up may land all the same, and loses nothing then.
#[tokio::test]
async fn an_abandoned_grant_that_lands_ends_no_session() {
    let scene = Scene::new().await;
    let first = scene.session().await;
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    let abandoned = scene.account.abandon(pending.user_op_hash()).await.unwrap();
    assert!(abandoned.to_string().contains("can still get on chain"), "{abandoned}");
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
    assert!(scene.account.resume().await.unwrap().is_empty());
    let restarted = scene.restarted().await;
    restarted.account.forget(pending.id()).await.unwrap();
    assert_eq!(restarted.statuses().await, [Status::Active]);
    scene.chain.set_automine(true);
    scene.chain.mine();
    assert_eq!(restarted.statuses().await, [Status::Active]);
    restarted.mint_with(&first).await.unwrap().wait().await.unwrap();
    assert_eq!(restarted.account.export_leaves().await.unwrap().len(), 2);
    for _ in 0..70 {
        scene.chain.mine();
    }
    restarted.granted().await;
    assert_eq!(restarted.statuses().await, [Status::Active, Status::Active]);
}

/// What ended a session is taken back after the session was forgotten: the other sessions of its tree are not lost.
#[tokio::test]
async fn a_forgotten_session_takes_no_tree_with_it() {
    let scene = Scene::new().await;
    let first = scene.session().await;
    let second = scene.granted().await;
    set_root(&scene, B256::ZERO);
    scene.account.forget(second.id()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked]);
    scene.chain.reorganise(1, Orphaned::Lost);
    assert_eq!(scene.statuses().await, [Status::Active]);
    scene.mint_with(&first).await.unwrap().wait().await.unwrap();
}

/// A session that was revoked with a call under way is forgotten with it.
#[tokio::test]
async fn a_revoked_session_is_forgotten_with_its_calls() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.granted().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout);
    scene.mint_with(&session).await.unwrap_err();
    scene.account.revoke_all(&scene.owner).await.unwrap().wait().await.unwrap();
    let resumed = scene.account.resume().await.unwrap();
    assert!(matches!(resumed[..], [ref one] if matches!(one.outcome, Resumed::Unsettled(_))), "{resumed:?}");
    assert_eq!(scene.account.forget_ended().await.unwrap().len(), 2);
    assert!(scene.account.resume().await.unwrap().is_empty());
    assert!(scene.statuses().await.is_empty());
}

/// D11: a device whose clock is a year ahead ends nobody's session.
#[tokio::test]
async fn a_clock_ahead_of_time_revokes_nothing() {
    // The chain's time is the past's: this machine's clock is ahead of it.
    let chain = ScriptedChain::with(1, quorate_contracts::Deployment::canonical(), 1_600_000_000);
    let scene = Scene::with(chain, Arc::new(MemoryStore::new())).await;
    let policy = scene.policy().with_epoch(SessionEpoch::new(0, 1_610_000_000).unwrap());
    let grant = scene.account.grant([policy]).unwrap();
    let key = LocalSessionKey::random();
    scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
    let session = scene.account.session(0).await.unwrap();
    scene.mint_with(&session).await.unwrap();
    scene.granted().await;
    assert_eq!(scene.statuses().await, [Status::Active, Status::Active]);

    // When its time is over on chain it ends, and the grant that ends it says so.
    scene.chain.advance(20_000_000);
    assert_eq!(scene.statuses().await, [Status::Expired, Status::Active]);
    let draft = scene.prepared().await;
    assert_eq!(draft.intent().update.revoked.expired.len(), 1);
}

/// D15: another device revoked all of it before this one's grant landed, in another stream.
#[tokio::test]
async fn what_a_grant_brought_back_is_said() {
    let scene = Scene::new().await;
    let revoked = scene.granted().await;
    let draft = scene.prepared().await;
    let signature = scene.signed(&draft).await;
    scene.chain.set_automine(false);
    let pending = scene.account.submit(draft, &signature).await.unwrap();
    scene.bundler.hold(pending.user_op_hash());
    set_root(&scene, B256::ZERO);
    scene.chain.mine();
    scene.bundler.release(pending.user_op_hash());
    scene.chain.mine();
    let granted = pending.wait().await.unwrap();
    let Overwritten::Tree { root, is_known, ended, revived } = granted.overwritten else {
        panic!("{granted:?}")
    };
    assert_eq!((root, is_known, ended), (B256::ZERO, true, Vec::new()));
    assert_eq!(revived, [revoked.id().clone()]);
}

/// A1, 6: other software set a root in another stream. The signed operation would end its sessions, so it is not sent.
#[tokio::test]
async fn a_grant_made_for_another_tree_is_conflicting_and_never_resent() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Http(503));
    let hash = Scene::unsettled(&scene.send_grant().await.unwrap_err());
    let foreign = B256::repeat_byte(7);
    set_root(&scene, foreign);
    scene.chain.clear_requests();
    let resumed = scene.account.resume().await.unwrap();
    assert!(
        matches!(&resumed[..], [one] if matches!(one.outcome, Resumed::Conflicting { found, .. } if found == foreign)),
        "{resumed:?}"
    );
    assert!(scene.chain.requests().iter().all(|(_, method)| method != "eth_sendUserOperation"));
    let error = scene.account.rebuild(hash).await.unwrap_err();
    assert!(matches!(error, Error::ForeignRoot { .. }), "{error}");

    scene.account.cancel(hash, &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.root(), foreign);
    assert_eq!(scene.statuses().await, [Status::Unknown, Status::Unknown]);
}

/// A1, 3: a live session of which this store does not know the tree is not called dead.
#[tokio::test]
async fn a_session_under_another_device_s_tree_is_unknown_until_its_leaves_come() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let other = scene.on_another_device().await;
    other.account.import_leaves(scene.account.export_leaves().await.unwrap()).await.unwrap();
    other.granted().await;
    assert_eq!(scene.statuses().await, [Status::Unknown]);
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTree { .. }), "{error}");
    let error = scene.send_grant().await.unwrap_err();
    assert!(matches!(error, Error::ForeignRoot { .. }), "{error}");

    scene.account.import_leaves(other.account.export_leaves().await.unwrap()).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
    scene.mint_with(&session).await.unwrap();
    scene.granted().await;
    assert_eq!(scene.chain.executions().iter().filter(|execution| execution.to == NFT).count(), 1);
}

/// A1, 1: the same root is there all the time; whether the grant landed is its nonce's to say.
#[tokio::test]
async fn a_cancelled_grant_did_not_land_though_the_root_is_the_same() {
    let scene = Scene::new().await;
    let first = scene.granted().await;
    let before = scene.root();
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    let cancelled = scene.account.cancel(pending.user_op_hash(), &scene.owner).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active, Status::Pending]);
    scene.chain.mine();
    cancelled.wait().await.unwrap();
    assert_eq!(scene.root(), before);
    assert_eq!(scene.status(first.id()).await, Status::Active);
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
}

/// A1, 2: two updates in one block; the first one's root is seen at no block's end.
#[tokio::test]
async fn two_grants_in_one_block_are_both_active() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    scene.bundler.set_queue_limit(2);
    let first = scene.send_grant().await.unwrap();
    scene.chain.mine();
    first.wait().await.unwrap();
    let second = scene.send_grant().await.unwrap();
    // The next one is prepared on the tree of the second, which is not on chain: another device does that.
    scene.chain.mine();
    second.wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active, Status::Active]);
}

/// A1, 7: anybody may deploy the account, and the bytes that carry its creation are dead.
#[tokio::test]
async fn a_grant_that_would_deploy_is_dead_when_somebody_else_did() {
    let scene = Scene::new().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Http(503));
    let hash = Scene::unsettled(&scene.send_grant().await.unwrap_err());
    scene.chain.deploy_directly(alloy_signer::Signer::address(&scene.owner), U256::ZERO);
    let resumed = scene.account.resume().await.unwrap();
    assert!(matches!(&resumed[..], [one] if matches!(one.outcome, Resumed::Dead)), "{resumed:?}");
    assert_eq!(scene.statuses().await, [Status::Inactive]);

    // Made anew it deploys nothing.
    let OwnerDraft::SessionGrant(draft) = scene.account.rebuild(hash).await.unwrap() else {
        panic!("a grant")
    };
    let signature = scene.signed(&draft).await;
    scene.account.submit(*draft, &signature).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// A1, 8: consumed, and its call reverted.
#[tokio::test]
async fn a_reverted_grant_is_inactive() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.chain.set_automine(false);
    let pending = scene.send_grant().await.unwrap();
    let before = scene.root();
    // The module is the contract that the grant calls.
    scene.chain.reverting(scene.client.deployment().session_key_manager);
    scene.chain.mine();
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, Error::Reverted { .. }), "{error}");
    scene.chain.not_reverting(scene.client.deployment().session_key_manager);
    assert_eq!(scene.root(), before);
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
}

/// A1, 4: on chain, taken back, and on chain again: nothing was deleted in between.
#[tokio::test]
async fn a_reorganised_grant_is_pending_and_then_active_again() {
    let scene = Scene::new().await;
    scene.granted().await;
    for _ in 0..2 {
        let granted = scene.granted().await;
        assert_eq!(scene.status(granted.id()).await, Status::Active);
        scene.chain.set_automine(false);
        scene.chain.reorganise(1, Orphaned::BackToMempool);
        assert_eq!(scene.status(granted.id()).await, Status::Pending);
        let early = scene.account.forget(granted.id()).await.unwrap_err();
        assert!(matches!(early, Error::StillLive { status: Status::Pending, .. }), "{early}");
        scene.chain.mine();
        assert_eq!(scene.status(granted.id()).await, Status::Active);
        scene.chain.set_automine(true);
    }
}

/// A1, 10: another device took out one policy of several.
#[tokio::test]
async fn a_session_with_one_policy_left_is_partial_and_works() {
    let scene = Scene::new().await;
    let other = Call::raw(Address::repeat_byte(0x22), [1, 2, 3, 4]);
    let selector = quorate::FunctionSelector::new([1, 2, 3, 4]);
    let policies = [scene.policy(), quorate::Policy::new(other.to, selector)];
    let grant = scene.account.grant(policies).unwrap();
    let key = LocalSessionKey::random();
    let granted = scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    let leaves: Vec<B256> = granted.record.leaves().collect();
    set_root(&scene, leaves[0]);
    scene.account.import_leaves([leaves[0]]).await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Partial]);
    let data = scene.mint();
    let mint = Call::raw(NFT, data);
    let session = scene.account.session_for(&[mint]).await.unwrap();
    scene.mint_with(&session).await.unwrap();
    let error = session.send(other.clone()).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    let error = scene.account.session_for(&[other]).await.unwrap_err();
    assert!(matches!(error, Error::NoSessionAllows { .. }), "{error}");
}

/// A1, 11 and D23: a leaf has no salt, so that a second session with it would be the first.
#[tokio::test]
async fn a_session_that_ended_is_not_granted_again_by_its_leaf() {
    let scene = Scene::new().await;
    let key = LocalSessionKey::random();
    let grant = |epoch| scene.account.grant([scene.policy().with_epoch(epoch)]).unwrap();
    let pending = scene.account.send(grant(SessionEpoch::UNLIMITED), &key, &scene.owner).await.unwrap();
    let granted = pending.wait().await.unwrap();
    for _ in 0..2 {
        let error = scene.account.send(grant(SessionEpoch::UNLIMITED), &key, &scene.owner).await.unwrap_err();
        let Error::DuplicateLeaf { session, .. } = &error else { panic!("{error}") };
        assert_eq!(session.as_ref(), Some(granted.id()));
        let _ = scene.account.revoke([granted.id().clone()], &scene.owner).await;
    }
    let later = SessionEpoch::new(1, 0).unwrap();
    scene.account.send(grant(later), &key, &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked, Status::Active]);
    let error = scene.account.extend(granted.id(), 0, &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::DuplicateLeaf { .. }), "extended and back: {error}");
}

/// D18: nothing is paid for a revocation of what is not there.
#[tokio::test]
async fn a_revocation_of_nothing_is_not_sent() {
    let scene = Scene::new().await;
    let granted = scene.granted().await;
    let id = granted.id().clone();
    scene.account.revoke([id.clone()], &scene.owner).await.unwrap().wait().await.unwrap();
    scene.chain.clear_requests();
    let error = scene.account.revoke([id.clone()], &scene.owner).await.unwrap_err();
    assert!(matches!(&error, Error::NothingToRevoke { sessions } if *sessions == [id]), "{error}");
    let error = scene.account.revoke([], &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::NothingToRevoke { .. }), "{error}");
    let error = scene.account.revoke_all(&scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::NothingToRevoke { .. }), "{error}");
    assert!(scene.chain.requests().iter().all(|(_, method)| method != "eth_sendUserOperation"));
}

/// D34: prompts that nobody answered are cleaned up, and do not shift what an index means.
#[tokio::test]
async fn abandoned_prompts_do_not_count_and_are_forgotten_at_once() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        scene.prepared().await;
    }
    let granted = scene.granted().await;
    let first = scene.account.session(0).await.unwrap();
    assert_eq!(first.record().id(), granted.id());
    assert_eq!(scene.account.forget_ended().await.unwrap().len(), 3);
    assert_eq!(scene.statuses().await, [Status::Active]);

    // The same prompt again takes the place of the one before.
    let key = LocalSessionKey::random();
    for _ in 0..3 {
        let grant = scene.account.grant([scene.policy()]).unwrap();
        scene.account.prepare(grant, &key).await.unwrap();
    }
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
}

/// D16: a bundler of another chain, or of other entry points, is found at once.
#[tokio::test]
async fn a_bundler_of_another_chain_is_refused_at_connect() {
    let chain = ScriptedChain::new();
    let other = ScriptedChain::with(5, quorate_contracts::Deployment::canonical(), 1_600_000_000);
    let connect = async |bundler: Arc<quorate::testing::ScriptedBundler>| {
        quorate::Quorate::connect_by(chain.deployment(), chain.node(), bundler).await
    };
    let error = connect(other.bundler()).await.unwrap_err();
    assert!(matches!(error, Error::OtherChains { node: 31337, bundler: 5 }), "{error}");
    let bundler = chain.bundler();
    let entry_point = serde_json::json!(["0x0000000071727De22E5E9d8BAf0edAc6f37da032"]);
    bundler.on_next("eth_supportedEntryPoints", Fault::Answer(entry_point));
    let error = connect(bundler).await.unwrap_err();
    assert!(matches!(error, Error::NoEntryPoint { .. }), "{error}");
}

/// D17: the original's documents often are not the tree on chain.
#[tokio::test]
async fn the_original_s_sessions_are_taken_in_by_the_longest_part_that_is_on_chain() {
    let scene = Scene::new().await;
    let [a, b] = [scene.granted().await, scene.granted().await];
    let root = scene.root();
    let new = |id: &str, granted: &quorate::Granted| quorate_store::NewSession {
        id: id.parse().unwrap(),
        account: scene.account.id(),
        session_key: granted.record.session_key(),
        key: quorate_store::Key::External,
        leaves: granted.record.policies().to_vec(),
        created: 1,
        user_op_hash: None,
        landed: None,
    };
    let never = scene.prepared().await;
    let never =
        quorate_store::NewSession { leaves: never.intent().session.policies().to_vec(), ..new("c", &a) };
    let document = vec![new("a", &a), new("b", &b), never.clone()];

    let other = scene.on_another_device().await;
    let mut foreign = document.clone();
    foreign[1].account.chain_id += 1;
    let error = other.account.import(foreign).await.unwrap_err();
    assert!(matches!(error, Error::OtherAccount { .. }), "{error}");
    assert!(other.account.sessions().await.unwrap().is_empty());
    let error = other.account.import(vec![new("b", &b)]).await.unwrap_err();
    assert!(matches!(error, Error::OtherTree { found, .. } if found == root), "{error}");
    assert!(other.account.sessions().await.unwrap().is_empty());

    let imported = other.account.import(document).await.unwrap();
    assert_eq!((imported.in_tree, imported.beside), (2, 1));
    assert_eq!(other.statuses().await, [Status::Active, Status::Active, Status::Inactive]);
    let documents = other.account.export_original(None).await.unwrap();
    assert_eq!(documents.sessions.matches("sessionID").count(), 2, "the tree on chain, and nothing else");
    // And it goes on from there.
    other.granted().await;
}

/// D23: where the key stands in another module's data is not known.
#[tokio::test]
async fn a_session_of_an_unknown_module_gets_no_other_key() {
    let scene = Scene::new().await;
    let module = Address::repeat_byte(0x77);
    let leaf = quorate::Leaf {
        epoch: SessionEpoch::UNLIMITED,
        validation_module: module,
        session_key_data: vec![1; 64],
    };
    set_root(&scene, leaf.hash());
    let id: SessionId = "other".parse().unwrap();
    let session = quorate_store::NewSession {
        id: id.clone(),
        account: scene.account.id(),
        session_key: Address::repeat_byte(1),
        key: quorate_store::Key::External,
        leaves: vec![leaf],
        created: 1,
        user_op_hash: None,
        landed: None,
    };
    scene.account.import(vec![session]).await.unwrap();
    let error = scene.account.replace_key(&id, &LocalSessionKey::random(), &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::UnknownModule { module: found } if found == module), "{error}");
}

/// D22: milliseconds in a token policy's times.
#[tokio::test]
async fn a_token_policy_in_milliseconds_is_a_mistake() {
    let scene = Scene::new().await;
    let policy = quorate::Erc20Policy {
        token: Address::repeat_byte(1),
        recipient: Address::repeat_byte(2),
        max_amount: U256::from(5),
        epoch: SessionEpoch::new(0, 1_700_000_000_000).unwrap(),
    };
    let grant = scene.account.grant_tokens().with_token(policy);
    let error = scene.account.prepare(grant, &LocalSessionKey::random()).await.unwrap_err();
    assert!(matches!(error, Error::Mistake { policy: 0, .. }), "{error}");
}

/// D24 and D25: withdrawals of one token, and drafts of an owner who is no longer.
#[tokio::test]
async fn a_draft_of_a_former_owner_says_whose_it_is() {
    let scene = Scene::new().await;
    scene.granted().await;
    let draft = scene.prepared().await;
    let signature = scene.signed(&draft).await;
    let account = scene.account.clone().with_owner(Address::repeat_byte(5));
    let error = account.submit(draft, &signature).await.unwrap_err();
    assert!(matches!(error, Error::OtherOwner { .. }), "{error}");

    let token = Address::repeat_byte(0x70);
    scene.chain.fund_token(token, scene.account.address(), U256::from(30));
    let (friend, bank) = (Address::repeat_byte(0xfe), Address::repeat_byte(0xba));
    let asset = quorate::Asset::Token(token);
    let both = [quorate::Withdrawal::all(asset), quorate::Withdrawal::of(asset, U256::from(5)).to(friend)];
    scene.account.withdraw(&both, bank, &scene.owner).await.unwrap().wait().await.unwrap();
    let left = |holder| scene.chain.token_balance(token, holder);
    assert_eq!([left(bank), left(friend)], [U256::from(25), U256::from(5)]);
    let error = scene.account.withdraw(&both[..1], bank, &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::NoCalls), "nothing is left: {error}");
}

/// D29: what is read is of one block, also where a node takes no block's hash.
#[tokio::test]
async fn facts_are_read_at_one_block() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    for takes_hashes in [true, false] {
        scene.node.set_block_hashes(takes_hashes);
        assert_eq!(scene.statuses().await, [Status::Active]);
        scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    }
}

/// D26: a record of one chain is not signed for on another.
#[tokio::test]
async fn a_session_of_another_chain_is_not_forced() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let other = ScriptedChain::with(5, quorate_contracts::Deployment::canonical(), 1_600_000_000);
    let other = Scene::of(other, Arc::clone(scene.client.store()), scene.owner.clone()).await;
    let key = scene.client.store().key(scene.account.id(), session.record().id()).await.unwrap();
    let quorate_store::Key::Local(secret) = key else { panic!("a local key") };
    let key = LocalSessionKey::from_bytes(secret.expose()).unwrap();
    let session = other.client.session(session.record().clone(), Arc::new(key)).unwrap();
    let gas = quorate::GasEstimate {
        pre_verification_gas: U256::from(50_000),
        verification_gas_limit: U256::from(50_000),
        call_gas_limit: U256::from(50_000),
    };
    let data = scene.mint();
    let call = Call::raw(NFT, data);
    let error = session.send_unchecked(call, gas).await.unwrap_err();
    assert!(matches!(error, Error::OtherChain { session: 31337, chain: 5 }), "{error}");
}

/// What is over is told once, and goes from the store when it was over for long enough.
#[tokio::test]
async fn the_store_does_not_grow_with_what_is_over() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    for _ in 0..3 {
        scene.mint_with(&session).await.unwrap().wait().await.unwrap();
        scene.granted().await;
    }
    assert!(scene.stored_operations().await >= 6);
    scene.account.sessions().await.unwrap();
    for _ in 0..64 {
        scene.chain.mine();
    }
    scene.account.sessions().await.unwrap();
    assert_eq!(scene.stored_operations().await, 0);
    assert_eq!(scene.client.store().roots(scene.account.id()).await.unwrap(), [scene.root()]);
}

/// Sets the root as another program of the owner's would: in a stream of its own.
fn set_root(scene: &Scene, root: B256) {
    let call = set_merkle_root(scene.client.deployment().session_key_manager, root);
    scene.chain.execute_directly(scene.account.address(), &[call.as_call()]);
}
