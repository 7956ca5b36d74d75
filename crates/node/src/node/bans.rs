//! Bans as nodes keep them for each other: whoever is restored from a backup has forgotten whom it banned.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_protocol::{Ban, NodeIndex};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::member::Member;
use crate::storage::{Storage, StorageError};
use crate::wire::PeerMessage;

/// This node's own bans, and those that it keeps for others.
pub(crate) struct Bans {
    member: Arc<Member>,
    storage: Arc<Storage>,
    /// Which own bans which nodes say that they keep: by key, accused, and who keeps it. Nothing rests on it but whether a
    /// ban is sent again.
    kept: Mutex<BTreeSet<(String, NodeIndex, NodeIndex)>>,
    changed: Notify,
}

/// How long the failure of a signature waits until all others keep the ban.
const KEPT: Duration = Duration::from_secs(1);

/// How many bans one node is sent at once.
const AT_ONCE: usize = 16;

impl Bans {
    pub(crate) fn new(member: Arc<Member>, storage: Arc<Storage>) -> Self {
        Self { member, storage, kept: Mutex::default(), changed: Notify::new() }
    }

    /// A ban of this node's own, signed.
    pub(crate) fn own(&self, key_id: &str, accused: NodeIndex) -> Ban {
        let Member { network, index, identity } = &*self.member;
        Ban::sign(network.id(), key_id, *index, accused, identity)
    }

    /// Some own bans of which `peer` has not said that it keeps them.
    pub(crate) async fn not_kept_by(&self, peer: NodeIndex) -> Result<Vec<Ban>, StorageError> {
        let own = self.storage.own_bans().await?;
        let kept = self.kept();
        let missing =
            own.iter().filter(|(key_id, accused)| !kept.contains(&(key_id.clone(), *accused, peer)));
        Ok(missing.take(AT_ONCE).map(|(key_id, accused)| self.own(key_id, *accused)).collect())
    }

    /// Waits until all others have said that they keep a ban, for a while.
    pub(crate) async fn wait_until_kept(&self, key_id: &str, accused: NodeIndex) {
        let until = Instant::now() + KEPT;
        loop {
            let changed = self.changed.notified();
            let is_kept = |peer| self.kept().contains(&(key_id.to_owned(), accused, peer));
            if self.member.peers().all(is_kept) || tokio::time::timeout_at(until, changed).await.is_err() {
                return;
            }
        }
    }

    /// Notes that a node keeps an own ban.
    pub(crate) fn note_kept(&self, peer: NodeIndex, key_id: String, accused: NodeIndex) {
        let mut kept = self.kept();
        if kept.len() < MOST_NOTED {
            kept.insert((key_id, accused, peer));
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    /// Keeps another node's ban, and gives what to answer it.
    pub(crate) async fn keep(&self, ban: Ban) -> Result<Option<(NodeIndex, PeerMessage)>, StorageError> {
        if ban.maker == self.member.index || !ban.is_genuine(&self.member.network) {
            return Ok(None);
        }
        let is_kept = self.storage.keep_ban(&ban).await?;
        let Ban { key_id, maker, accused, .. } = ban;
        Ok(is_kept.then_some((maker, PeerMessage::BanKept { key_id, accused })))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeSet<(String, NodeIndex, NodeIndex)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many notes there are at most; beyond that, bans are sent again.
const MOST_NOTED: usize = 65_536;
