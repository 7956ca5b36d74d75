//! A key's birth at one node: from the end of its making until every node has confirmed it.
//!
//! Keys are made ahead of need, for nobody yet ([`super::assignment`] says whose one becomes). Whoever holds the
//! confirmations of all nodes uses the key, and every node must then still have its share. So
//! a node stores its share as *pending* before its own confirmation leaves, and turns it into a key when those of
//! all nodes are in. If the run breaks in between, or the node does, it asks the others again ([`KeyConfirmations`]).
//!
//! A confirmation is a node's signature over the digest of what the run came to, so it does not matter who
//! brings it or whether anybody reads it on the way. A gateway that withholds messages, repeats them or makes them
//! up can delay a key's birth; without the signatures of all nodes over the digest of the stored share, nothing
//! becomes usable.

use alloy_primitives::{B256, hex};
use ed25519_dalek::Signer as _;
use quorate_mpc::{InvalidPartyIndex, PartyIndex, Unconfirmed};
use quorate_protocol::{NetworkDescriptor, NodeIndex, Transcript};

use super::error::TaskError;
use super::member::{Member, listed};
use crate::observe::Occasionally;
use crate::storage::{PendingKey, Storage, StorageError};
use crate::wire::{Confirmations, KeyConfirmations};

/// A key that cannot be used yet.
#[derive(Debug, thiserror::Error)]
#[error("key {key_id} is unusable until these nodes confirm it, too: {}", listed(missing))]
pub(crate) struct StillPending {
    key_id: String,
    missing: Vec<NodeIndex>,
}

/// A message about a birth and its receiver.
pub(crate) type Post = (NodeIndex, KeyConfirmations);

/// The keys that are being made, at one node.
#[derive(Clone, Copy)]
pub(crate) struct KeysBeingMade<'a> {
    pub(crate) member: &'a Member,
    pub(crate) storage: &'a Storage,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

static FALSE_CONFIRMATIONS: Occasionally = Occasionally::new();

/// After how many seconds a pending key is given up.
///
/// A share that other nodes count on cannot be made again, and a gateway that withholds messages must not be able
/// to have it deleted before an operator notices: hence a week, where an hour would do among honest parties.
pub(crate) const PENDING_LIFETIME: u64 = 7 * 24 * 60 * 60;

impl PendingKey {
    /// What a run came to.
    pub(crate) fn new(unconfirmed: Unconfirmed, making: B256) -> Self {
        Self { key_id: key_id(&unconfirmed), making, unconfirmed }
    }

    /// What each node signs to confirm the key.
    fn statement(&self, network: &NetworkDescriptor) -> B256 {
        let digest = self.unconfirmed.confirmation().digest();
        Transcript::new("key confirmation").field(network.id().as_slice()).field(&digest).finish()
    }
}

impl StillPending {
    /// What a key waits for; none if it is not pending.
    pub(crate) async fn find(
        network: &NetworkDescriptor,
        storage: &Storage,
        key_id: &str,
    ) -> Result<Option<Self>, StorageError> {
        if !storage.is_pending(key_id).await? {
            return Ok(None);
        }
        let known = storage.confirmations(key_id).await?;
        let missing = network.nodes().map(|(node, _)| node).filter(|node| !known.contains_key(node));
        Ok(Some(Self { key_id: key_id.to_owned(), missing: missing.collect() }))
    }
}

impl KeysBeingMade<'_> {
    /// Stores a key as pending, and gives this node's confirmation, which may leave from then on.
    pub(crate) async fn begin(&self, pending: &PendingKey) -> Result<Vec<u8>, StorageError> {
        let own =
            self.member.identity.sign(pending.statement(&self.member.network).as_slice()).to_bytes().to_vec();
        self.storage.insert_pending_key(pending, &own, self.now).await?;
        Ok(own)
    }

    /// Takes in confirmations, whoever brought them; whether they were the last ones and the key is now usable.
    pub(crate) async fn confirm(
        &self,
        key_id: &str,
        confirmations: &Confirmations,
    ) -> Result<bool, TaskError> {
        let Some(pending) = self.storage.pending_key(key_id).await? else { return Ok(false) };
        let new = self.genuine(&pending, confirmations.clone());
        self.storage.add_confirmations(key_id, &new).await?;
        // Read after the write, so that of two that come at the same time one sees both.
        let known = self.genuine(&pending, self.storage.confirmations(key_id).await?);
        if self.member.network.nodes().any(|(node, _)| !known.contains_key(&node)) {
            return Ok(false);
        }
        self.finish(pending, &known).await?;
        Ok(true)
    }

    /// The messages that ask all others about every pending key.
    pub(crate) async fn inquiries(&self) -> Result<Vec<Post>, StorageError> {
        let mut posts = Vec::new();
        for key_id in self.storage.pending_keys().await? {
            // The last confirmation may have been stored just before a crash.
            match self.confirm(&key_id, &Confirmations::new()).await {
                Ok(true) => self.report_finished(&key_id),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(node = %self.member.index, key_id, %error, "the birth cannot go on")
                }
            }
            posts.extend(self.for_all(&self.known(&key_id).await?));
        }
        Ok(posts)
    }

    /// Takes in a message and gives the answer; once a key's last confirmation has come, everybody is told.
    ///
    /// `from` is the gateway's word, and no more than the address of the answer.
    pub(crate) async fn answer(
        &self,
        from: NodeIndex,
        message: &KeyConfirmations,
    ) -> Result<Vec<Post>, TaskError> {
        let finished = self.confirm(&message.key_id, &message.confirmations).await?;
        let own = self.known(&message.key_id).await?;
        if finished {
            self.report_finished(&message.key_id);
            return Ok(self.for_all(&own).collect());
        }
        let news = own.confirmations.keys().any(|node| !message.confirmations.contains_key(node));
        Ok(if news { vec![(from, own)] } else { Vec::new() })
    }

    /// Gives up the keys that have been pending for too long.
    pub(crate) async fn give_up(&self) -> Result<(), StorageError> {
        let before = self.now.saturating_sub(PENDING_LIFETIME);
        for key_id in self.storage.delete_pending_keys_before(before).await? {
            tracing::warn!(node = %self.member.index, key_id, "not all nodes confirmed the key within a week: deleted");
        }
        Ok(())
    }

    /// Those that are the named node's own, for this key.
    fn genuine(&self, pending: &PendingKey, mut confirmations: Confirmations) -> Confirmations {
        let statement = pending.statement(&self.member.network);
        confirmations.retain(|node, bytes| {
            let genuine = self.member.network.has_signed(*node, statement, bytes);
            if !genuine {
                let key_id = &pending.key_id;
                if let Some(times) = FALSE_CONFIRMATIONS.count() {
                    tracing::warn!(node = %self.member.index, key_id, signer = %node, times, "dropped a false confirmation");
                }
            }
            genuine
        });
        confirmations
    }

    async fn finish(&self, pending: PendingKey, genuine: &Confirmations) -> Result<(), TaskError> {
        let PendingKey { key_id, unconfirmed, .. } = pending;
        let digest = unconfirmed.confirmation().digest();
        let others = genuine.keys().filter(|node| **node != self.member.index);
        let digests = others.map(|node| Ok((PartyIndex::new(node.get())?, digest)));
        let (share, _) = unconfirmed.confirm(&digests.collect::<Result<_, InvalidPartyIndex>>()?)?;
        Ok(self.storage.finish_key(&key_id, &share, self.now).await?)
    }

    fn report_finished(&self, key_id: &str) {
        tracing::info!(node = %self.member.index, key_id, "all nodes have confirmed the key");
    }

    async fn known(&self, key_id: &str) -> Result<KeyConfirmations, StorageError> {
        let confirmations = self.storage.confirmations(key_id).await?;
        Ok(KeyConfirmations { key_id: key_id.to_owned(), confirmations })
    }

    fn for_all(&self, message: &KeyConfirmations) -> impl Iterator<Item = Post> {
        self.member.peers().map(|node| (node, message.clone()))
    }
}

fn key_id(unconfirmed: &Unconfirmed) -> String {
    let confirmation = unconfirmed.confirmation();
    let hash = Transcript::new("key id")
        .field(confirmation.session_id().as_bytes())
        .field(confirmation.public_key())
        .finish();
    hex::encode(hash)
}

#[cfg(test)]
pub(crate) mod tests;
