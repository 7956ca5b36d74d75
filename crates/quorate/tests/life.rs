//! The life of sessions on a real chain and bundler: listed, revoked, replaced, extended, and found again after a crash.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod player;

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use async_trait::async_trait;
use player::{Player, block_on, call, connect, devnet, mint, mint_policy, rpc};
use quorate::{
    Choice, Error, HttpTransport, Interrupted, KeyElsewhere, LocalSessionKey, MemoryStore, Options, Quorate,
    SealingKey, SessionEpoch, SessionId, SessionSigner as _, SqliteStore, Status, Store, Transport,
};
use quorate_contracts::{Deployment, SessionKeyManager};
use quorate_core::merkle;
use quorate_signer::sign_as_owner;
use quorate_transport::{Repeat, TransportError};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Fault 1: revoking adds leaves, drops only the last of several, and sends nothing.
#[test]
fn revoked_sessions_are_gone_from_the_chain_and_the_others_are_not() {
    block_on(async {
        let player = Player::new().await;
        let [a, b, c] = [player.granted().await, player.granted().await, player.granted().await];
        let sessions = [player.open(&a.id).await, player.open(&b.id).await, player.open(&c.id).await];
        player.mint_with(&sessions[0]).await;

        let pending = player.account.revoke([a.id.clone(), b.id.clone()], &player.owner).await.unwrap();
        let changed = pending.wait().await.unwrap();
        assert!(changed.receipt.success && changed.overwritten.is_none());
        assert_eq!(player.root().await, c.record.encoded_policies().next().unwrap().leaf());
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Revoked, Status::Active]);

        for revoked in &sessions[..2] {
            let error = revoked.send(call(&player.mint())).await.unwrap_err();
            assert!(matches!(error, Error::NotGranted { .. }), "{error}");
        }
        player.mint_with(&sessions[2]).await;
        assert_eq!(player.minted().await, 2);
    });
}

#[test]
fn all_sessions_are_revoked_at_once_and_new_ones_granted_after() {
    block_on(async {
        let player = Player::new().await;
        player.granted().await;
        player.granted().await;
        let draft = player.account.prepare_revocation_of_all().await.unwrap();
        assert_eq!(draft.ends().sessions.len(), 2);
        player.account.revoke_all(&player.owner).await.unwrap().wait().await.unwrap();
        assert_eq!(player.root().await, B256::ZERO);
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Revoked]);

        player.granted().await;
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Revoked, Status::Active]);
        let session = player.account.session(Choice::LastActive).await.unwrap();
        player.mint_with(&session).await;
    });
}

#[test]
fn a_revocation_is_signed_and_sent_by_others_than_prepared_it() {
    block_on(async {
        let player = Player::new().await;
        let granted = player.granted().await;
        let text = player.account.prepare_revocation([granted.id.clone()]).await.unwrap().to_json();
        let draft = quorate::ChangeDraft::from_json(&text).unwrap();
        assert_eq!(draft.ends().sessions, [granted.id]);
        let signature = sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        let other = player.on_another_device().await;
        other.account.submit_revocation(draft, &signature).await.unwrap().wait().await.unwrap();
        assert_eq!(player.statuses().await, [Status::Revoked]);
    });
}

#[test]
fn what_is_not_there_is_not_revoked() {
    block_on(async {
        let player = Player::new().await;
        let nobody: SessionId = "nobody".parse().unwrap();
        let error = player.account.revoke([nobody.clone()], &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::NotDeployed { .. }), "{error}");
        player.granted().await;
        let error = player.account.revoke([nobody], &player.owner).await.unwrap_err();
        assert!(error.to_string().contains("has no session nobody"), "{error}");
    });
}

/// Fault 6: leaves and root are stored as done before the operation succeeds. Fault 21: a status never changes.
#[test]
fn a_grant_is_pending_before_it_is_sent_and_active_by_its_receipt() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (looked_at, told) = (Arc::clone(&store), Arc::clone(&seen));
        let look = move |id: quorate_store::AccountId| {
            let (store, seen) = (Arc::clone(&looked_at), Arc::clone(&told));
            Box::pin(async move {
                for session in store.sessions(id).await.unwrap() {
                    seen.lock().await.push(session.status);
                }
                Verdict::Pass
            }) as Looking
        };
        let player = Player::with(hooked(look).await.with_store(store)).await;
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let key = LocalSessionKey::random();
        let draft = player.account.prepare(grant, &key).await.unwrap();
        assert_eq!(player.stored().await, [Status::Inactive], "nothing is sent yet");
        let signature = sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        let pending = player.account.submit(draft, &signature).await.unwrap();
        assert_eq!(*seen.lock().await, [Status::Pending], "as it is sent");
        pending.wait().await.unwrap();
        assert_eq!(player.stored().await, [Status::Active]);
    });
}

/// Fault 6.
#[test]
fn a_grant_that_the_bundler_refuses_is_not_taken_for_done() {
    block_on(async {
        let refuse = |_| Box::pin(async { Verdict::Refuse }) as Looking;
        let player = Player::with(hooked(refuse).await).await;
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let error = player.account.send(grant, &LocalSessionKey::random(), &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::Bundler(_)), "{error}");
        assert_eq!(player.statuses().await, [Status::Inactive]);
        assert!(player.client.store().trees(player.account.id()).await.unwrap().is_empty());
    });
}

/// Fault 21.
#[test]
fn a_session_expires_by_the_clock() {
    block_on(async {
        let player = Player::new().await;
        let policy = player.mint_policy().with_epoch(SessionEpoch::new(0, 1_600_000_000).unwrap());
        let grant = player.account.grant([policy]).unwrap();
        let key = LocalSessionKey::random();
        let granted = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        assert_eq!(player.statuses().await, [Status::Expired]);
        let error = player.open(&granted.id).await.send(call(&player.mint())).await.unwrap_err();
        assert!(error.to_string().contains("was valid until 1600000000"), "{error}");

        // The next tree is made without it.
        let next = player.granted().await;
        assert_eq!(next.record.leaves().len(), 1);
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
    });
}

#[test]
fn a_session_is_active_after_the_confirmations_asked_for() {
    block_on(async {
        let player = Player::with(connect().await.with_confirmations(1_000_000)).await;
        player.granted().await;
        assert_eq!(player.statuses().await, [Status::Pending]);
        let same = player.by(connect().await.with_store(Arc::clone(player.client.store())));
        assert_eq!(same.statuses().await, [Status::Active]);
        // What was believed with less patience is not believed with more.
        assert_eq!(player.statuses().await, [Status::Pending]);
    });
}

/// Fault 5: a second device with an empty store overwrites the root, and so revokes every other session.
#[test]
fn a_foreign_root_is_refused_with_two_ways_out() {
    block_on(async {
        let player = Player::new().await;
        let first = player.granted().await;
        let other = player.on_another_device().await;
        let key = LocalSessionKey::random();
        let grant = other.account.grant([player.mint_policy()]).unwrap();
        let error = other.account.send(grant.clone(), &key, &player.owner).await.unwrap_err();
        let Error::ForeignRoot { expected, found } = error else { panic!("{error}") };
        assert_eq!((expected, found), (B256::ZERO, player.root().await));
        assert!(error.to_string().contains("import"), "{error}");
        let error = other.account.revoke([], &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::ForeignRoot { .. }), "{error}");

        // One way: take the other device's leaves in.
        let error = other.account.import_leaves([B256::repeat_byte(1)]).await.unwrap_err();
        assert!(matches!(error, Error::OtherTree { .. }), "{error}");
        other.account.import_leaves(first.record.leaves()).await.unwrap();
        let pending = other.account.send(grant.clone(), &key, &player.owner).await.unwrap();
        pending.wait().await.unwrap();
        player.client.store().add_tree(player.account.id(), other.newest_tree().await).await.unwrap();
        player.mint_with(&player.open(&first.id).await).await;

        // The other: name the root, and see what ends.
        let third = player.on_another_device().await;
        let root = player.root().await;
        let grant = third.account.grant([player.mint_policy()]).unwrap().replacing_root(root);
        let draft = third.account.prepare(grant, &key).await.unwrap();
        assert_eq!(draft.ends().foreign_root, Some(root));
        let signature = sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        third.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
        assert_eq!(player.statuses().await, [Status::Inactive], "another device's tree replaced it");
    });
}

/// Fault 5.
#[test]
fn the_root_is_read_again_right_before_sending() {
    block_on(async {
        let player = Player::new().await;
        let key = LocalSessionKey::random();
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let draft = player.account.prepare(grant, &key).await.unwrap();
        let other = player.on_another_device().await;
        other.granted().await;

        let signature = sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        let error = player.account.submit(draft, &signature).await.unwrap_err();
        assert!(matches!(error, Error::RootChanged { expected: B256::ZERO, .. }), "{error}");
        assert_eq!(player.stored().await, [Status::Inactive]);
        assert_eq!(other.statuses().await, [Status::Active]);
    });
}

/// Fault 5, in the moment that no reading can close.
#[test]
fn a_grant_that_overwrites_another_device_s_says_so() {
    block_on(async {
        let player = Player::new().await;
        player.granted().await;
        let other = player.on_another_device().await;
        let foreign = B256::repeat_byte(0x42);
        let overwrite = {
            let (account, owner) = (other.account.clone(), player.owner.clone());
            move |_| {
                let (account, owner) = (account.clone(), owner.clone());
                Box::pin(async move {
                    let data = SessionKeyManager::setMerkleRootCall { _merkleRoot: foreign }.abi_encode();
                    let to = Deployment::canonical().session_key_manager;
                    let call = quorate::Call { to, value: U256::ZERO, data: &data };
                    let options = Options::new().with_nonce_key(7);
                    let sent = account.send_calls(&[call], &owner, &options).await.unwrap();
                    sent.wait().await.unwrap();
                    Verdict::Pass
                }) as Looking
            }
        };
        let raced = player.by(hooked(overwrite).await.with_store(Arc::clone(player.client.store())));
        let granted = raced.granted().await;
        let overwritten = granted.overwritten.unwrap();
        assert_eq!(overwritten.foreign_root, Some(foreign));
        assert_eq!(raced.statuses().await, [Status::Active, Status::Active]);
    });
}

/// A crash after the bundler took the operation, and one before.
#[test]
fn interrupted_grants_go_on() {
    block_on(async {
        for verdict in [Verdict::PassAndFail, Verdict::Fail] {
            let crash = move |_| Box::pin(async move { verdict }) as Looking;
            let player = Player::with(hooked(crash).await).await;
            let grant = player.account.grant([player.mint_policy()]).unwrap();
            let error =
                player.account.send(grant, &LocalSessionKey::random(), &player.owner).await.unwrap_err();
            assert!(matches!(error, Error::Bundler(_)), "{error}");
            assert_eq!(player.stored().await, [Status::Pending], "it may have been taken");

            // The next process.
            let player = player.by(connect().await.with_store(Arc::clone(player.client.store())));
            for interrupted in player.account.resume().await.unwrap() {
                let Interrupted::Pending(pending) = interrupted else { panic!("{interrupted:?}") };
                pending.wait().await.unwrap();
            }
            assert_eq!(player.statuses().await, [Status::Active]);
            assert!(player.account.resume().await.unwrap().is_empty());
            player.mint_with(&player.account.session(0).await.unwrap()).await;
        }
    });
}

#[test]
fn an_interrupted_grant_that_came_too_late_is_cleared() {
    block_on(async {
        let fail = |_| Box::pin(async { Verdict::Fail }) as Looking;
        let player = Player::with(hooked(fail).await).await;
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        player.account.send(grant, &LocalSessionKey::random(), &player.owner).await.unwrap_err();
        let other = player.on_another_device().await;
        other.granted().await;

        let player = player.by(connect().await.with_store(Arc::clone(player.client.store())));
        let [Interrupted::Cleared { .. }] = player.account.resume().await.unwrap()[..] else {
            panic!("it cannot get on chain")
        };
        assert_eq!(player.stored().await, [Status::Inactive]);
        let id = player.account.sessions().await.unwrap()[0].id.clone();
        player.account.forget(&id).await.unwrap();
        assert!(player.account.sessions().await.unwrap().is_empty());
    });
}

#[test]
fn a_session_gets_another_key() {
    block_on(async {
        let player = Player::new().await;
        let lost = player.granted().await;
        let key = LocalSessionKey::random();
        let pending = player.account.replace_key(&lost.id, &key, &player.owner).await.unwrap();
        let granted = pending.wait().await.unwrap();
        assert_eq!(granted.record.session_key(), key.address());
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
        let error = player.open(&lost.id).await.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted { .. }), "{error}");
        player.mint_with(&player.open(&granted.id).await).await;
    });
}

#[test]
fn a_session_is_extended_with_its_key() {
    block_on(async {
        let player = Player::new().await;
        let until = player::soon(3600);
        let policy = player.mint_policy().with_epoch(SessionEpoch::new(0, until).unwrap());
        let grant = player.account.grant([policy]).unwrap();
        let key = LocalSessionKey::random();
        let old = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let pending = player.account.extend(&old.id, until + 3600, &player.owner).await.unwrap();
        let new = pending.wait().await.unwrap();
        assert_eq!(new.record.session_key(), key.address());
        assert_eq!(new.record.encoded_policies().next().unwrap().epoch.valid_until(), until + 3600);
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
        player.mint_with(&player.open(&new.id).await).await;
    });
}

/// Fault 12: leaf index 0 means the last leaf. Fault 23: given indexes are ignored.
#[test]
fn a_session_is_chosen_by_index_by_id_or_by_what_it_allows() {
    block_on(async {
        let player = Player::new().await;
        let first = player.granted().await;
        let grant = player.account.grant([mint_policy()]).unwrap();
        let second = player.account.send(grant, &LocalSessionKey::random(), &player.owner).await.unwrap();
        let second = second.wait().await.unwrap();

        let key = async |choice: Choice| player.account.session(choice).await.unwrap().record().session_key();
        assert_eq!(key(0.into()).await, first.record.session_key());
        assert_eq!(key(1.into()).await, second.record.session_key());
        assert_eq!(key((&first.id).into()).await, first.record.session_key());
        assert_eq!(key(Choice::LastActive).await, second.record.session_key());
        let error = player.account.session(2).await.unwrap_err();
        assert!(error.to_string().contains("session 2 was asked for, the account has 2"), "{error}");

        let allowing = async |to| {
            let data = mint(to);
            Ok::<_, Error>(player.account.session_allowing(&[call(&data)]).await?.record().session_key())
        };
        assert_eq!(allowing(player.account.address()).await.unwrap(), first.record.session_key());
        assert_eq!(allowing(player::nft()).await.unwrap(), second.record.session_key());
        let elsewhere = quorate::Call { to: Address::ZERO, value: U256::ZERO, data: &mint(player::nft()) };
        let error = player.account.session_allowing(&[elsewhere]).await.unwrap_err();
        assert!(matches!(error, Error::NoSessionAllows { refusal: Some(_) }), "{error}");
    });
}

/// Faults 3 and 22: keys in plain text; a supplied store is ignored for the key.
#[test]
fn another_process_takes_a_session_up_from_the_store() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let sealing = SealingKey::random().unwrap();
        let open = async || Arc::new(SqliteStore::open(&path, sealing.clone()).await.unwrap());
        let key = LocalSessionKey::random();
        let player = Player::with(connect().await.with_store(open().await)).await;
        player.granted_to(&key).await;

        let again = player.by(connect().await.with_store(open().await));
        assert_eq!(again.statuses().await, [Status::Active]);
        player.mint_with(&again.account.session(0).await.unwrap()).await;

        let secret = key.to_bytes();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(32).any(|window| window == *secret), "the key lies there in plain text");
        }
    });
}

#[test]
fn a_key_elsewhere_is_asked_for() {
    block_on(async {
        let player = Player::new().await;
        let key = LocalSessionKey::random();
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let elsewhere = KeyElsewhere(key.clone());
        player.account.send(grant, &elsewhere, &player.owner).await.unwrap().wait().await.unwrap();
        let error = player.account.session(0).await.unwrap_err();
        assert!(matches!(error, Error::KeyElsewhere { .. }), "{error}");
        let other = Arc::new(LocalSessionKey::random());
        let error = player.account.session_with(0, other).await.unwrap_err();
        assert!(matches!(error, Error::OtherKey { .. }), "{error}");
        player.mint_with(&player.account.session_with(0, Arc::new(key)).await.unwrap()).await;
    });
}

/// Fault 26: a stale "not deployed" enables a module twice.
#[test]
fn what_is_deployed_and_enabled_is_asked_each_time() {
    block_on(async {
        let player = Player::new().await;
        let same = player.on_another_device().await;
        assert!(!same.account.is_deployed().await.unwrap());
        let granted = player.granted().await;
        same.account.import_leaves(granted.record.leaves()).await.unwrap();
        same.granted().await;
    });
}

/// Fault 25: a proof for a leaf that is not in the tree comes back empty.
#[test]
fn a_session_that_was_never_granted_has_no_proof() {
    block_on(async {
        let player = Player::new().await;
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let key = LocalSessionKey::random();
        let draft = player.account.prepare(grant, &key).await.unwrap();
        let session = player.client.session(draft.session().clone(), Arc::new(key));
        let error = session.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted { .. }), "{error}");
        let leaves = draft.session().leaves();
        let absent = B256::repeat_byte(1);
        assert_eq!(
            merkle::Proof::of(&leaves, absent).unwrap_err(),
            merkle::TreeError::LeafNotFound { leaf: absent }
        );
    });
}

impl Player {
    async fn open(&self, id: &SessionId) -> quorate::Session {
        self.account.session(id).await.unwrap()
    }

    async fn statuses(&self) -> Vec<Status> {
        self.account.sessions().await.unwrap().into_iter().map(|session| session.status).collect()
    }

    /// What the store believes, without asking the chain.
    async fn stored(&self) -> Vec<Status> {
        let stored = self.client.store().sessions(self.account.id()).await.unwrap();
        stored.into_iter().map(|session| session.status).collect()
    }

    async fn newest_tree(&self) -> quorate_store::Tree {
        self.client.store().trees(self.account.id()).await.unwrap().pop().unwrap()
    }

    async fn root(&self) -> B256 {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: self.account.address() };
        let data = alloy_primitives::Bytes::from(call.abi_encode());
        let to = Deployment::canonical().session_key_manager;
        serde_json::from_value(rpc("eth_call", json!([{ "to": to, "data": data }, "latest"])).await).unwrap()
    }
}

type Looking = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What becomes of an operation on its way to the bundler.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Pass,
    /// The bundler takes it, and its answer is lost.
    PassAndFail,
    /// It is lost.
    Fail,
    /// The bundler says no.
    Refuse,
}

/// A bundler that something happens before.
struct Hooked<F> {
    bundler: HttpTransport,
    hook: F,
}

impl<F> fmt::Debug for Hooked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

#[async_trait]
impl<F: Fn(quorate_store::AccountId) -> Looking + Send + Sync> Transport for Hooked<F> {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        if method != "eth_sendUserOperation" {
            return self.bundler.request(method, params, repeat).await;
        }
        let address = serde_json::from_value(params[0]["sender"].clone()).unwrap();
        let verdict = (self.hook)(quorate_store::AccountId { chain_id: devnet().chain_id(), address }).await;
        match verdict {
            Verdict::Pass => return self.bundler.request(method, params, repeat).await,
            Verdict::PassAndFail => drop(self.bundler.request(method, params, repeat).await?),
            Verdict::Fail => {}
            Verdict::Refuse => {
                return self.bundler.request("eth_sendUserOperation", json!([]), repeat).await;
            }
        }
        // Nobody listens there.
        let nowhere = HttpTransport::builder("http://127.0.0.1:1".parse().unwrap()).build().unwrap();
        nowhere.request(method, json!([]), repeat).await
    }
}

async fn hooked(hook: impl Fn(quorate_store::AccountId) -> Looking + Send + Sync + 'static) -> Quorate {
    let transport = |url: &url::Url| HttpTransport::builder(url.clone()).build().unwrap();
    let bundler = Hooked { bundler: transport(devnet().bundler_url()), hook };
    let node = Arc::new(transport(devnet().rpc_url()));
    Quorate::connect_by(Deployment::canonical(), node, Arc::new(bundler)).await.unwrap()
}
