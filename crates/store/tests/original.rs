//! Moving from the original's storage, and back to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use alloy_primitives::{Address, B256};
use quorate_core::merkle;
use quorate_store::original::{self, Documents, OriginalError, Quorum};
use quorate_store::{AccountId, Key, MemoryStore, NewSession};
use serde::Deserialize;
use serde_json::{Value, json};
use sessions::{add_all, session};

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

fn hashes(sessions: &[NewSession]) -> Vec<B256> {
    sessions.iter().flat_map(|session| &session.leaves).map(|leaf| leaf.hash()).collect()
}

#[test]
fn every_leaf_is_the_originals() {
    let fixture = Fixture::load();
    let leaves = hashes(&fixture.read());
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
    add_all(&store, fixture.read()).await;
    let written = original::write(&store, fixture.account(), &fixture.leaves, None).await.unwrap();

    let (mut found, mut expected) = (value(&written.sessions), value(&fixture.sessions));
    // The differences: hex in lower case, which is the same to the original's hash, and that the leaves of a tree are
    // active.
    for document in [&mut found, &mut expected] {
        for node in document["leafNodes"].as_array_mut().unwrap() {
            node["sessionKeyData"] = node["sessionKeyData"].as_str().unwrap().to_lowercase().into();
            if let Some(address) = node.pointer_mut("/danModuleInfo/eoaAddress") {
                *address = address.as_str().unwrap().to_lowercase().into();
            }
        }
    }
    for node in expected["leafNodes"].as_array_mut().unwrap() {
        node["status"] = "ACTIVE".into();
    }
    assert_eq!(found, expected);
    assert_eq!(value(&written.signers), value(&fixture.signers));

    let again = original::read(fixture.account(), &written, 0).unwrap();
    assert_eq!(hashes(&again), fixture.leaves);
    assert!(again.iter().all(|session| session.landed == Some(0)));
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
    let account = distributed.account;
    let tree = hashes(std::slice::from_ref(&distributed));
    let store = MemoryStore::new();
    add_all(&store, [distributed, session("not in the tree")]).await;

    let error = original::write(&store, account, &tree, None).await.unwrap_err();
    assert!(matches!(error, OriginalError::NoQuorum { .. }), "{error}");

    let written = original::write(&store, account, &tree, Some(quorum)).await.unwrap();
    let document = value(&written.sessions);
    assert_eq!(document["merkleRoot"], merkle::root(&tree).unwrap().to_string());
    let nodes = document["leafNodes"].as_array().unwrap();
    let ids: Vec<_> = nodes.iter().map(|node| &node["sessionID"]).collect();
    assert_eq!(ids, ["d", "d.1"]);
    assert_eq!(
        nodes[1]["danModuleInfo"],
        json!({
            "jwt": "08".repeat(32), "eoaAddress": owner, "threshold": 3, "partiesNumber": 5,
            "chainId": account.chain_id, "mpcKeyId": "key 1",
        })
    );
    assert_eq!(written.signers.as_str(), "{}");
}

#[tokio::test]
async fn the_tree_that_is_given_is_the_one_written() {
    // The address of the private key 1.
    let session_key = alloy_primitives::address!("7e5f4552091a69125d5dfcb7b8c2659029395bdf");
    let key = Key::Local(number(1).into());
    let sessions = [
        NewSession { session_key, key, landed: Some(9), ..session("a") },
        NewSession { key: Key::External, ..session("b") },
        session("not in the tree"),
    ];
    let [a, b, _] = [0, 1, 2].map(|place: usize| hashes(&sessions[place..=place]));
    let account = sessions[0].account;
    let store = MemoryStore::new();
    add_all(&store, sessions).await;

    // Neither the order of the store nor all that it has.
    let tree = [b[1], a[1], b[0]];
    let written = original::write(&store, account, &tree, None).await.unwrap();
    let document = value(&written.sessions);
    assert_eq!(document["merkleRoot"], merkle::root(&tree).unwrap().to_string());
    let nodes = document["leafNodes"].as_array().unwrap();
    let shown: Vec<_> = nodes
        .iter()
        .map(|node| (node["sessionID"].as_str().unwrap(), node["status"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [("b", "ACTIVE"), ("a", "ACTIVE"), ("b.1", "ACTIVE")]);
    assert_eq!(hashes(&original::read(account, &written, 0).unwrap()), tree);
    assert_eq!(value(&written.signers).as_object().unwrap().len(), 1, "the key of a device is not here");

    let nothing = original::write(&store, account, &[], None).await.unwrap();
    assert_eq!(value(&nothing.sessions), json!({"merkleRoot": "", "leafNodes": []}));
    assert_eq!(nothing.signers.as_str(), "{}");

    let stranger = B256::repeat_byte(0xee);
    for (place, tree) in [(0, [stranger, a[0]]), (1, [a[0], stranger])] {
        let error = original::write(&store, account, &tree, None).await.unwrap_err();
        let named = matches!(
            &error,
            OriginalError::UnknownLeaf { place: at, leaf } if *at == place && *leaf == stranger
        );
        assert!(named, "{error}");
    }
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
fn only_what_the_original_has_seen_on_chain_landed() {
    for (status, landed) in
        [("PENDING", None), ("ACTIVE", Some(0)), ("EXPIRED", Some(0)), ("INACTIVE", None), ("REVOKED", None)]
    {
        let sessions = changed(|document| document["leafNodes"][1]["status"] = status.into()).unwrap();
        let expected = [None, landed, None, None];
        assert!(sessions.iter().map(|session| session.landed).eq(expected), "{status}");
    }
    let unknown = changed(|document| document["leafNodes"][1]["status"] = "LOST".into());
    assert!(matches!(unknown, Err(OriginalError::Form { .. })));
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
