//! Whose a key becomes.
//!
//! A key is made ahead of need, and bound to an owner on request: by each node for itself, once and for good. A client
//! takes the key when ⌊(n+t−1)/2⌋+1 nodes attest to it, so that two owners cannot both have that many, whatever t − 1
//! bad nodes say. The nodes tell each other what they attest, so that each can show it all. One that was away when a key
//! was bound asks the first time that it is to sign with it, and binds the key itself on evidence that is enough for a
//! client.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use ed25519_dalek::{Signature, SigningKey};
use quorate_protocol::{Attestation, Birth, KeyText, NetworkDescriptor, NodeIndex, Permissions};

use crate::node::judge::{ApprovedKeygen, Judge};
use crate::storage::{Storage, StorageError};
use crate::wire::{Attestations, Evidence};

/// The attestations that were heard of, by key and request, until the key is bound here.
#[derive(Default)]
pub(crate) struct Hearsay(Mutex<HashMap<(String, B256), Attestations>>);

/// How many such keys are remembered; beyond that the nodes have to be asked again.
const MOST_HEARSAY: usize = 256;

/// The bindings at one node.
#[derive(Clone, Copy)]
pub(crate) struct Bindings<'a> {
    pub(crate) network: &'a NetworkDescriptor,
    pub(crate) me: NodeIndex,
    pub(crate) identity: &'a SigningKey,
    pub(crate) storage: &'a Storage,
    pub(crate) hearsay: &'a Hearsay,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Bindings<'_> {
    /// Binds a free key, and attests to it; none if it is not free here, or the request has another.
    pub(crate) async fn bind(
        &self,
        key_id: &str,
        approved: &ApprovedKeygen,
    ) -> Result<Option<(KeyText, Attestation)>, StorageError> {
        let Some(public_key) = self.storage.free_key(key_id).await? else { return Ok(None) };
        let key = KeyText { key_id: key_id.to_owned(), public_key };
        let own = birth(&key, approved).attest(self.network.id(), self.me, self.identity);
        let known = [(self.me, own.signature.clone())].into();
        if !self.storage.bind_key(key_id, approved, &known, self.now).await? {
            return Ok(None);
        }
        self.settle(key_id, approved.request.hash()).await?;
        Ok(Some((key, own)))
    }

    /// Keeps what was heard of a key that is bound by now. Whoever adds to what is heard and whoever binds does this
    /// afterwards, so that nothing is lost between them.
    async fn settle(&self, key_id: &str, request: B256) -> Result<(), StorageError> {
        if self.storage.key_of(request).await?.is_some_and(|(key, _)| key.key_id == key_id) {
            let heard = self.hearsay.take(key_id, request);
            self.storage.add_attestations(key_id, &heard).await?;
        }
        Ok(())
    }

    /// What this node can show of a key's owner.
    pub(crate) async fn evidence(&self, key_id: &str) -> Result<Option<Evidence>, StorageError> {
        let binding = self.storage.binding(key_id).await?;
        Ok(binding.map(|(request, attestations)| Evidence { request, attestations }))
    }

    /// Takes in what another node shows; binds a key that is free here once enough nodes attest to the same request.
    pub(crate) async fn learn(
        &self,
        judge: &Judge<'_>,
        key_id: &str,
        Evidence { request, attestations }: Evidence,
    ) -> Result<(), StorageError> {
        let public_key = match self.storage.key(key_id).await? {
            Some(key) => Some(key.public_key),
            None => self.storage.free_key(key_id).await?,
        };
        let Some(public_key) = public_key else { return Ok(()) };
        let Ok(approved) = judge.evidence(&request) else { return Ok(()) };
        let key = KeyText { key_id: key_id.to_owned(), public_key };
        let genuine = self.genuine(&birth(&key, &approved), attestations);
        let heard = self.hearsay.add(key_id, request.hash(), genuine);
        if heard >= usize::from(self.network.bind_quorum()) && self.bind(key_id, &approved).await?.is_some() {
            tracing::info!(node = %self.me, key_id, "learnt whose the key is");
        }
        self.settle(key_id, request.hash()).await
    }

    /// Those that are the named node's own, for this key and owner.
    fn genuine(&self, birth: &Birth, mut attestations: Attestations) -> Attestations {
        let digest = birth.digest(self.network.id());
        attestations.retain(|node, signature| {
            matches!((self.network.identity(*node), Signature::from_slice(signature)), (Some(identity), Ok(signature))
                if identity.verify_strict(digest.as_slice(), &signature).is_ok())
        });
        attestations
    }
}

impl Hearsay {
    /// Adds attestations; how many nodes' are known then.
    pub(crate) fn add(&self, key_id: &str, request: B256, attestations: Attestations) -> usize {
        let mut all = self.lock();
        let key = (key_id.to_owned(), request);
        if all.len() >= MOST_HEARSAY && !all.contains_key(&key) {
            all.clear();
        }
        let heard = all.entry(key).or_default();
        heard.extend(attestations);
        heard.len()
    }

    fn take(&self, key_id: &str, request: B256) -> Attestations {
        self.lock().remove(&(key_id.to_owned(), request)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, B256), Attestations>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn birth(key: &KeyText, ApprovedKeygen { owner, setup, request, .. }: &ApprovedKeygen) -> Birth {
    Birth {
        key_id: key.key_id.clone(),
        public_key: key.public_key,
        owner: *owner,
        ephemeral: setup.ephemeral.key.to_bytes(),
        permissions: setup.permissions.as_deref().map(Permissions::hash_of).unwrap_or_default(),
        challenge: request.challenge(),
    }
}
