//! Sessions to store, and a database to store them in.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;

use quorate_store::{AccountId, Key, Leaf, NewSession, SealingKey, SessionEpoch, SqliteStore, Status};
use tempfile::TempDir;

pub(crate) fn account() -> AccountId {
    AccountId { chain_id: 137, address: [0x11; 20].into() }
}

/// A pending session with two leaves, which no other id has.
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
        record: format!("{{\"session\": \"{id}\"}}"),
        status: Status::Pending,
        created: 1_700_000_000,
        user_op_hash: Some([0x44; 32].into()),
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
