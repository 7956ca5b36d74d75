//! Moving from the original's storage, and back to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use alloy_primitives::{Address, B256};
use quorate_core::merkle;
use quorate_store::original::{self, Documents, OriginalError, Quorum};
use quorate_store::{AccountId, Key, MemoryStore, NewSession, Status, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use sessions::session;

/// What the original itself stored.
#[derive(Deserialize)]
struct Fixture {
    account: Address,
    sessions: String,
    signers: String,
    leaves: Vec<B256>,
    root: B256,
}

impl Fixture {
    fn load() -> Self {
        serde_json::from_str(include_str!("../../../tests/vectors/original-store.json")).unwrap()
    }

    fn account(&self) -> AccountId {
        AccountId { chain_id: 80_002, address: self.account }
    }

    fn documents(&self) -> Documents {
        Documents { sessions: self.sessions.clone().into(), signers: self.signers.clone().into() }
    }

    fn read(&self) -> Vec<NewSession> {
        original::read(self.account(), &self.documents(), 1_700_000_000).unwrap()
    }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn number(secret: u8) -> [u8; 32] {
    B256::with_last_byte(secret).0
}

#[test]
fn every_leaf_is_the_originals() {
    let fixture = Fixture::load();
    let sessions = fixture.read();
    let leaves: Vec<_> =
        sessions.iter().flat_map(|session| &session.leaves).map(|leaf| leaf.hash()).collect();
    assert_eq!(leaves, fixture.leaves);
    assert_eq!(merkle::root(&leaves).unwrap(), fixture.root);
}

#[test]
fn every_key_is_found() {
    let sessions = Fixture::load().read();
    let ids: Vec<_> = sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["7063cbd638", "17e062024c", "49f6b7e7e5", "e4e48b8cdf"]);
    for (session, secret) in sessions.iter().zip([1, 1, 2]) {
        let Key::Local(key) = &session.key else { panic!("{session:?}") };
        assert_eq!(*key.expose(), number(secret));
    }
    let Key::Distributed { key_id, ephemeral, .. } = &sessions[3].key else { panic!("{:?}", sessions[3]) };
    assert_eq!(key_id, "f8d2a6c1-0b7e-4d51-9c35-2a7f6e1b9d40");
    assert_eq!(*ephemeral.expose(), number(7));
}

#[tokio::test]
async fn what_was_moved_here_can_be_moved_back() {
    let fixture = Fixture::load();
    let store = MemoryStore::new();
    store.add_all(fixture.read()).await.unwrap();
    let written = original::write(&store, fixture.account(), None).await.unwrap();

    let (mut found, mut expected) = (value(&written.sessions), value(&fixture.sessions));
    // The one difference: hex in lower case, which is the same to the original's hash.
    for document in [&mut found, &mut expected] {
        for node in document["leafNodes"].as_array_mut().unwrap() {
            node["sessionKeyData"] = node["sessionKeyData"].as_str().unwrap().to_lowercase().into();
            if let Some(address) = node.pointer_mut("/danModuleInfo/eoaAddress") {
                *address = address.as_str().unwrap().to_lowercase().into();
            }
        }
    }
    assert_eq!(found, expected);
    assert_eq!(value(&written.signers), value(&fixture.signers));
}

#[tokio::test]
async fn sessions_made_here_are_written_as_the_original_has_them() {
    let owner = Address::repeat_byte(0x55);
    let quorum = Quorum { owner, threshold: 3, parties: 5 };
    let mut distributed = session("d");
    distributed.key = Key::Distributed {
        key_id: "key 1".to_owned(),
        attested_key: "attestations of our own".to_owned(),
        ephemeral: [8; 32].into(),
    };
    distributed.status = Status::Active;
    let mut revoked = session("r");
    revoked.status = Status::Revoked;
    let account = distributed.account;
    let store = MemoryStore::new();
    store.add_all(vec![distributed, revoked]).await.unwrap();

    let error = original::write(&store, account, None).await.unwrap_err();
    assert!(matches!(error, OriginalError::NoQuorum { .. }), "{error}");

    let written = original::write(&store, account, Some(quorum)).await.unwrap();
    let document = value(&written.sessions);
    let leaves: Vec<_> = store.leaves(account).await.unwrap().iter().map(|leaf| leaf.hash).collect();
    assert_eq!(document["merkleRoot"], merkle::root(&leaves).unwrap().to_string());
    let nodes = document["leafNodes"].as_array().unwrap();
    let ids: Vec<_> = nodes.iter().map(|node| &node["sessionID"]).collect();
    assert_eq!(ids, ["d", "d.1"], "a revoked leaf would be put on chain again");
    assert_eq!(nodes[0]["status"], "ACTIVE");
    assert_eq!(
        nodes[1]["danModuleInfo"],
        json!({
            "jwt": "08".repeat(32), "eoaAddress": owner, "threshold": 3, "partiesNumber": 5,
            "chainId": account.chain_id, "mpcKeyId": "key 1",
        })
    );
    assert_eq!(written.signers.as_str(), "{}");
}

/// The fixture's sessions after a change of their JSON.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Vec<NewSession>, OriginalError> {
    let fixture = Fixture::load();
    let mut sessions = value(&fixture.sessions);
    change(&mut sessions);
    let documents = Documents { sessions: sessions.to_string().into(), ..fixture.documents() };
    original::read(fixture.account(), &documents, 0)
}

#[test]
fn what_the_original_calls_revoked_is_for_the_chain_to_say() {
    for (theirs, ours) in [
        ("PENDING", Status::Pending),
        ("ACTIVE", Status::Active),
        ("EXPIRED", Status::Expired),
        ("INACTIVE", Status::Pending),
        ("REVOKED", Status::Pending),
    ] {
        let sessions = changed(|document| document["leafNodes"][1]["status"] = theirs.into()).unwrap();
        assert_eq!(sessions[1].status, ours, "{theirs}");
    }
}

#[test]
fn ids_that_are_missing_or_twice_there_are_made() {
    let sessions = changed(|document| {
        document["leafNodes"][1]["sessionID"] = "7063cbd638".into();
        document["leafNodes"][2].as_object_mut().unwrap().remove("sessionID");
    });
    let sessions = sessions.unwrap();
    assert_eq!(sessions[0].id.as_str(), "7063cbd638");
    assert_eq!(sessions[1].id.as_str(), "7063cbd638.1");
    assert_eq!(sessions[2].id.as_str().len(), 32);
}

#[test]
fn a_wrong_field_is_named_and_its_value_is_not() {
    for (pointer, wrong) in [
        ("/leafNodes/1/validUntil", json!("soon")),
        ("/leafNodes/0/sessionKeyData", json!("0xsecret")),
        ("/leafNodes/2/sessionPublicKey", json!("0xsecret")),
        ("/leafNodes/2/status", json!("secret")),
        ("/leafNodes/3/danModuleInfo/jwt", json!("secret")),
        ("/leafNodes/3/danModuleInfo", json!("secret")),
    ] {
        let error = changed(|document| *document.pointer_mut(pointer).unwrap() = wrong).unwrap_err();
        let path =
            pointer[1..].replace("/0", "[0]").replace("/1", "[1]").replace("/2", "[2]").replace("/3", "[3]");
        let path = path.replace('/', ".");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&path), "{path} is not in: {shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    let error =
        changed(|document| document["leafNodes"][1]["validAfter"] = (1_u64 << 48).into()).unwrap_err();
    assert!(matches!(error, OriginalError::Time { leaf: 1, .. }), "{error}");
    let error = changed(|document| document["leafNodes"][1]["sessionID"] = "".into()).unwrap_err();
    assert!(matches!(error, OriginalError::Id { leaf: 1, .. }), "{error}");
}

#[test]
fn a_signer_under_another_address_is_refused() {
    let fixture = Fixture::load();
    let mut signers = value(&fixture.signers);
    let address = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf";
    for wrong in [1, 0] {
        signers[address]["pvKey"] = B256::from(number(wrong)).to_string().into();
        let documents = Documents { signers: signers.to_string().into(), ..fixture.documents() };
        let error = original::read(fixture.account(), &documents, 0).unwrap_err();
        assert!(error.to_string().to_lowercase().contains(address), "{error}");
        assert!(matches!(error, OriginalError::OtherKey { .. }), "{error}");
    }
}

#[test]
fn a_session_whose_signer_is_elsewhere_keeps_its_leaf() {
    let fixture = Fixture::load();
    let documents = Documents { signers: "{}".to_owned().into(), ..fixture.documents() };
    let sessions = original::read(fixture.account(), &documents, 0).unwrap();
    assert_eq!(sessions.len(), 4);
    assert!(matches!(sessions[0].key, Key::External));
    assert!(matches!(sessions[3].key, Key::Distributed { .. }));
}

#[test]
fn an_empty_store_of_the_original_is_empty_here() {
    let account = Fixture::load().account();
    let documents = |sessions: &str, signers: &str| Documents {
        sessions: sessions.to_owned().into(),
        signers: signers.to_owned().into(),
    };
    let empty = documents(r#"{"merkleRoot":"","leafNodes":[]}"#, "{}");
    assert!(original::read(account, &empty, 0).unwrap().is_empty());
    for (sessions, signers) in
        [("", "{}"), ("{}", "{}"), (r#"{"leafNodes":[]}"#, "[]"), (r#"{"leafNodes":[]} x"#, "{}")]
    {
        let error = original::read(account, &documents(sessions, signers), 0).unwrap_err();
        assert!(matches!(error, OriginalError::Form { .. }), "{error}");
    }
}
