//! The life of sessions on a real chain and bundler: listed, revoked, replaced, extended, and found again after a crash.

use std::fmt;
use std::sync::Arc;

use crate::player::{Player, block_on, call, connect, devnet, rpc};
use alloy_primitives::B256;
use alloy_sol_types::SolCall as _;
use async_trait::async_trait;
use quorate::{
    Choice, Draft, Error, HttpTransport, LocalSessionKey, Overwritten, Quorate, Resumed, SealingKey,
    SessionEpoch, SessionId, SessionSigner as _, SqliteStore, Status, Transport, TreeUpdate,
};
use quorate_contracts::{Deployment, SessionKeyManager};
use quorate_signer::sign_as_owner;
use quorate_transport::{Repeat, TransportError};
use serde_json::{Value, json};

/// Fault 1: revoking adds leaves, drops only the last of several, and sends nothing.
#[test]
fn revoked_sessions_are_gone_from_the_chain_and_the_others_are_not() {
    block_on(async {
        let player = Player::new().await;
        let [a, b, c] = [player.granted().await, player.granted().await, player.granted().await];
        let sessions = [player.open(a.id()).await, player.open(b.id()).await, player.open(c.id()).await];
        player.mint_with(&sessions[0]).await;

        let pending = player.account.revoke([a.id().clone(), b.id().clone()], &player.owner).await.unwrap();
        let updated = pending.wait().await.unwrap();
        assert!(updated.receipt.success);
        assert_eq!(updated.overwritten, Overwritten::Nothing);
        assert_eq!(player.root().await, c.record.leaves().next().unwrap());
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
        assert_eq!(draft.intent().revoked.sessions.len(), 2);
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
        let text = player.account.prepare_revocation([granted.id().clone()]).await.unwrap().to_json();
        let draft = Draft::<TreeUpdate>::from_json(&text).unwrap();
        assert_eq!(draft.intent().revoked.sessions, [granted.id().clone()]);
        let signature = sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        let other = player.on_another_device().await;
        other.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
        assert_eq!(player.statuses().await, [Status::Revoked]);
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
        let error = player.open(granted.id()).await.send(call(&player.mint())).await.unwrap_err();
        assert!(error.to_string().contains("was valid until 1600000000"), "{error}");

        // The next tree is made without it.
        let next = player.granted().await;
        assert_eq!(player.account.export_leaves().await.unwrap(), next.record.leaves().collect::<Vec<_>>());
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
    });
}

/// A crash after the bundler took the operation, and one before.
#[test]
fn interrupted_grants_go_on() {
    block_on(async {
        for arrives in [true, false] {
            let player = Player::with(lossy(arrives).await).await;
            let grant = player.account.grant([player.mint_policy()]).unwrap();
            let error =
                player.account.send(grant, &LocalSessionKey::random(), &player.owner).await.unwrap_err();
            let Error::Unsettled { user_op_hash, .. } = error else { panic!("{error}") };

            // The next process.
            let player = player.by(connect().await.with_store(Arc::clone(player.client.store())));
            let resumed = player.account.resume().await.unwrap();
            let [interrupted] = resumed.as_slice() else { panic!("{resumed:?}") };
            assert_eq!(interrupted.user_op_hash, user_op_hash);
            // Where it arrived, the chain may have it by now.
            let (Resumed::Pending(pending) | Resumed::Settled(pending)) = &interrupted.outcome else {
                panic!("{interrupted:?}")
            };
            assert_eq!(pending.wait().await.unwrap().user_op_hash, user_op_hash);
            assert_eq!(player.statuses().await, [Status::Active]);
            assert!(player.account.resume().await.unwrap().is_empty());
            player.mint_with(&player.account.session(0).await.unwrap()).await;
        }
    });
}

#[test]
fn a_session_gets_another_key() {
    block_on(async {
        let player = Player::new().await;
        let lost = player.granted().await;
        let key = LocalSessionKey::random();
        let pending = player.account.replace_key(lost.id(), &key, &player.owner).await.unwrap();
        let granted = pending.wait().await.unwrap();
        assert_eq!(granted.record.session_key(), key.address());
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
        let error = player.open(lost.id()).await.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted { .. }), "{error}");
        player.mint_with(&player.open(granted.id()).await).await;
    });
}

#[test]
fn a_session_is_extended_with_its_key() {
    block_on(async {
        let player = Player::new().await;
        let until = crate::player::soon(3600);
        let policy = player.mint_policy().with_epoch(SessionEpoch::new(0, until).unwrap());
        let grant = player.account.grant([policy]).unwrap();
        let key = LocalSessionKey::random();
        let old = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let pending = player.account.extend(old.id(), until + 3600, &player.owner).await.unwrap();
        let new = pending.wait().await.unwrap();
        assert_eq!(new.record.session_key(), key.address());
        assert_eq!(new.record.policies()[0].epoch.valid_until(), until + 3600);
        assert_eq!(player.statuses().await, [Status::Revoked, Status::Active]);
        player.mint_with(&player.open(new.id()).await).await;
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

impl Player {
    async fn open(&self, id: &SessionId) -> quorate::Session {
        self.account.session(id).await.unwrap()
    }

    async fn statuses(&self) -> Vec<Status> {
        self.account.sessions().await.unwrap().into_iter().map(|session| session.status).collect()
    }

    async fn root(&self) -> B256 {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: self.account.address() };
        let data = alloy_primitives::Bytes::from(call.abi_encode());
        let to = Deployment::canonical().session_key_manager;
        serde_json::from_value(rpc("eth_call", json!([{ "to": to, "data": data }, "latest"])).await).unwrap()
    }
}

/// A bundler whose answer to an operation is lost.
struct Lossy {
    bundler: HttpTransport,
    /// Whether the operation arrives.
    arrives: bool,
}

impl fmt::Debug for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lossy")
    }
}

#[async_trait]
impl Transport for Lossy {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        if method != "eth_sendUserOperation" {
            return self.bundler.request(method, params, repeat).await;
        }
        if self.arrives {
            self.bundler.request(method, params, repeat).await?;
        }
        let (method, endpoint) =
            (method.to_owned(), quorate_transport::Endpoint::new(devnet().bundler_url()));
        Err(TransportError::Timeout { method, endpoint, after: std::time::Duration::from_secs(30) })
    }
}

async fn lossy(arrives: bool) -> Quorate {
    let transport = |url: &url::Url| HttpTransport::builder(url.clone()).build().unwrap();
    let bundler = Lossy { bundler: transport(devnet().bundler_url()), arrives };
    let node = Arc::new(transport(devnet().rpc_url()));
    Quorate::connect_by(Deployment::canonical(), node, Arc::new(bundler)).await.unwrap()
}
