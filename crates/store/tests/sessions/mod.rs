//! Sessions, trees and operations to store, and a database to store them in.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;

use alloy_primitives::{B256, U256};
use quorate_core::merkle;
use quorate_store::{
    AccountId, Answer, Change, DelegatedKey, Key, Leaf, NewSession, Operation, RootChange, SealingKey,
    SessionEpoch, SessionId, SqliteStore, Store,
};
use tempfile::TempDir;

pub(crate) fn account() -> AccountId {
    AccountId { chain_id: 137, address: [0x11; 20].into() }
}

pub(crate) fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

/// A session with two leaves, which no other id has.
pub(crate) fn session(id: &str) -> NewSession {
    let leaf = |place: u8, epoch| Leaf {
        epoch,
        validation_module: [0x22; 20].into(),
        session_key_data: [[place].as_slice(), id.as_bytes()].concat(),
    };
    NewSession {
        id: id.parse().unwrap(),
        account: account(),
        session_key: [0x33; 20].into(),
        key: Key::Local([7; 32].into()),
        leaves: vec![
            leaf(0, SessionEpoch::new(1_700_000_000, 1_800_000_000).unwrap()),
            leaf(1, SessionEpoch::UNLIMITED),
        ],
        created: 1_700_000_000,
        user_op_hash: Some([0x44; 32].into()),
        landed: None,
    }
}

pub(crate) fn delegated_key(number: u8) -> DelegatedKey {
    DelegatedKey {
        address: [number; 20].into(),
        key_id: format!("key {number}"),
        permissions: "{}".to_owned(),
        created: 1_700_000_000,
    }
}

pub(crate) fn distributed(key_id: &str, secret: u8) -> Key {
    Key::Distributed {
        key_id: key_id.to_owned(),
        attested_key: "attested".to_owned(),
        ephemeral: [secret; 32].into(),
    }
}

/// Adds them in one step.
pub(crate) async fn add_all(store: &dyn Store, sessions: impl IntoIterator<Item = NewSession>) {
    let mut changes = Vec::new();
    let mut account = account();
    for session in sessions {
        account = session.account;
        changes.push(Change::AddSession(Box::new(session)));
    }
    store.apply(account, changes).await.unwrap();
}

/// As many leaves as the number says, in an order that is not sorted.
pub(crate) fn leaves(number: u8) -> Vec<B256> {
    (1..=number).rev().map(B256::repeat_byte).collect()
}

pub(crate) fn root(leaves: &[B256]) -> B256 {
    merkle::root(leaves).unwrap()
}

/// An operation of the owner, with a hash that no other number has.
pub(crate) fn operation(number: u8) -> Operation {
    Operation {
        user_op_hash: B256::repeat_byte(number),
        nonce: (U256::from(number) << 64) | U256::from(3),
        session: None,
        root_change: Some(RootChange { replaces: B256::repeat_byte(0x77), sets: B256::repeat_byte(0x88) }),
        answer: Answer::Open,
        told: false,
        signed_at_block: 1000 + u64::from(number),
        closed_at_block: None,
        message: format!("operation {number}"),
    }
}

/// All that a store holds of an account, the sessions with the block in which they landed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) sessions: Vec<(SessionId, Option<u64>)>,
    pub(crate) trees: Vec<(B256, Vec<B256>)>,
    pub(crate) operations: Vec<Operation>,
}

impl Contents {
    pub(crate) async fn of(store: &dyn Store, account: AccountId) -> Self {
        let sessions = store.sessions(account).await.unwrap();
        let mut trees = Vec::new();
        for root in store.roots(account).await.unwrap() {
            trees.push((root, store.tree(account, root).await.unwrap().unwrap()));
        }
        Self {
            sessions: sessions.into_iter().map(|session| (session.id, session.landed)).collect(),
            trees,
            operations: store.operations(account).await.unwrap(),
        }
    }
}

/// A place for a database, and what opens it.
pub(crate) struct Database {
    pub(crate) folder: TempDir,
    pub(crate) key: SealingKey,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: SealingKey::from([5; 32]) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.db")
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path(), self.key.clone()).await.unwrap()
    }
}
