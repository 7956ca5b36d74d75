//! Whose a key becomes.
//!
//! A key is made ahead of need, and assigned to an owner on request: by each node for itself, once and for good. A client
//! takes the key when ⌊(n+t−1)/2⌋+1 nodes attest to it, so that two owners cannot both have that many, whatever t − 1
//! bad nodes say. The nodes tell each other what they attest to, so that each can show it all, and one that was away when a
//! key was assigned asks the first time that it is to sign with it. It adopts what t nodes attest to: one of them is honest,
//! and has checked the request's nonce and the owner's admission. On the word of fewer it adopts only what it would admit by
//! itself, while the request is young, and not often; for an owner that is a contract never, since what the contract said then
//! cannot be judged anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use quorate_protocol::{
    Attestation, Birth, KeyText, NodeIndex, Owner, Permissions, Refusal, Signed, Verified,
};

use super::dead_keys::Attested;
use super::error::TaskError;
use super::heard::Heard;
use super::judge;
use super::member::Member;
use crate::config::Admission;
use crate::storage::{ApprovedKeygen, Assigned, Storage, StorageError};
use crate::wire::{Attestations, Evidence};

/// The assignments at one node.
pub(crate) struct Assignments {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) admission: Admission,
    /// Attestations by key and request, until the key is assigned here.
    unverified: Heard<(String, B256), Attestation>,
    adoptions: Mutex<Adoptions>,
}

/// When keys were adopted on the word of fewer than t nodes, by each of those nodes; in seconds since 1970.
type Adoptions = BTreeMap<NodeIndex, VecDeque<u64>>;

/// For how long after a key's first assignment it is adopted on the word of fewer than t nodes, in seconds, and how many
/// keys an hour on one node's: a bad one must not be able to use up the free keys.
const ADOPTION_AGE: u64 = 600;
const ADOPTIONS_PER_HOUR: usize = 20;

impl Assignments {
    pub(crate) fn new(member: Arc<Member>, storage: Arc<Storage>, admission: Admission) -> Self {
        let (unverified, adoptions) = (Heard::default(), Mutex::default());
        Self { member, storage, admission, unverified, adoptions }
    }

    /// Assigns a free key to the owner who asks, and attests to it; or gives the key that the request has already.
    ///
    /// # Errors
    /// An owner who is not admitted or has too many keys, or a key that is not free here.
    pub(crate) async fn assign(
        &self,
        key_id: &str,
        approved: &Verified<ApprovedKeygen>,
        now: u64,
    ) -> Result<(KeyText, Attestation), TaskError> {
        let quota = self.admit(approved, now)?;
        match self.record(key_id, approved, Some(quota), now).await? {
            (Assigned::Yes, Some(assigned)) => Ok(assigned),
            (Assigned::Quota { keys }, _) => {
                Err(Refusal::Quota { owner: approved.owner(), keys, limit: quota }.into())
            }
            _ => match self.storage.key_of(approved.request.hash()).await? {
                Some(assigned) => Ok(assigned),
                None => {
                    let reason = format!("key {key_id} is not free at node {}", self.member.index);
                    Err(Refusal::Unfinished { reason: reason.into() }.into())
                }
            },
        }
    }

    /// What this node can show of a key's owner.
    pub(crate) async fn evidence(&self, key_id: &str) -> Result<Option<Evidence>, StorageError> {
        let assignment = self.storage.assignment(key_id).await?;
        Ok(assignment.map(|(request, attestations)| Evidence { request, attestations }))
    }

    /// Young keys that a node is not known here to attest to: what it showed may have been lost on its way, and without it
    /// this one may have too little to show a node that was away.
    pub(crate) async fn unattested_by(&self, node: NodeIndex, now: u64) -> Result<Vec<String>, StorageError> {
        self.storage.unattested_by(node, now.saturating_sub(ADOPTION_AGE)).await
    }

    /// Takes in what another node shows; adopts the assignment of a key that is free here once t nodes attest to the same
    /// request. Whether it did.
    pub(crate) async fn learn(
        &self,
        key_id: &str,
        Evidence { request, attestations }: Evidence,
        now: u64,
    ) -> Result<bool, StorageError> {
        let public_key = match self.storage.key(key_id).await? {
            Some(key) => Some(key.public_key),
            None => self.storage.free_key(key_id).await?,
        };
        let Some(public_key) = public_key else { return Ok(false) };
        let Ok(signed) = judge::keygen(&self.member, &request, None) else { return Ok(false) };
        let key = KeyText { key_id: key_id.to_owned(), public_key };
        let birth = birth(&key, signed.owner(), signed.unverified());
        let genuine = self.genuine(&birth, attestations);
        let heard = self.unverified.add(&(key_id.to_owned(), request.hash()), genuine);
        let mut is_adopted = false;
        if let Some((approved, until, quota)) = self.adoption(signed, &heard, now) {
            let approved = approved.map(|approved| ApprovedKeygen { ephemeral_until: until, ..approved });
            let (assigned, _) = self.record(key_id, &approved, quota, now).await?;
            is_adopted = assigned == Assigned::Yes;
        }
        self.keep_heard(key_id, request.hash()).await?;
        self.bury(key_id, request.hash(), now).await?;
        if is_adopted {
            tracing::info!(node = %self.member.index, key_id, "learnt whose the key is");
        }
        Ok(is_adopted)
    }

    /// The assignment that attestations are enough to adopt: until when its ephemeral key is good then, and the quota that the
    /// owner is held to.
    fn adoption(
        &self,
        signed: Signed<ApprovedKeygen>,
        heard: &Attestations,
        now: u64,
    ) -> Option<(Verified<ApprovedKeygen>, u64, Option<u64>)> {
        // What this node has said itself, before it was restored from a backup: it is bound by that.
        let signed = match (signed, heard.get(&self.member.index)) {
            (Signed::Verified(approved), Some(own)) => return Some((approved, own.ephemeral_until, None)),
            (signed, _) => signed,
        };
        let mut ends: Vec<_> = heard.values().map(|attestation| attestation.ephemeral_until).collect();
        ends.sort_unstable();
        // At least one honest node's end is as late as the t-th smallest.
        let threshold = usize::from(self.member.network.threshold());
        if let Some(until) = threshold.checked_sub(1).and_then(|t| ends.get(t)) {
            let approved = match signed {
                Signed::Verified(approved) => approved,
                Signed::Claimed(claimed) => {
                    claimed.vouched(&heard.keys().copied().collect(), &self.member.network).ok()?
                }
            };
            return Some((approved, *until, None));
        }
        let Signed::Verified(approved) = signed else { return None };
        let until = *ends.first()?;
        let is_young =
            heard.values().all(|attestation| now < attestation.assigned_at.saturating_add(ADOPTION_AGE));
        let quota = self.admit(&approved, now).ok()?;
        (is_young && self.is_within_rate(heard, now)).then_some((approved, until, Some(quota)))
    }

    /// How many keys the owner of a request may have here.
    fn admit(&self, approved: &Verified<ApprovedKeygen>, now: u64) -> Result<u64, Refusal> {
        self.admission.admit(self.member.network.id(), approved.owner(), &approved.setup, now)
    }

    /// Whether one of the attesting nodes has not been believed too often within the last hour; counts it.
    fn is_within_rate(&self, heard: &Attestations, now: u64) -> bool {
        let mut adoptions = self.adoptions.lock().unwrap_or_else(PoisonError::into_inner);
        heard.keys().any(|node| {
            let of_node = adoptions.entry(*node).or_default();
            of_node.retain(|at| now < at.saturating_add(3600));
            let is_within = of_node.len() < ADOPTIONS_PER_HOUR;
            if is_within {
                of_node.push_back(now);
            }
            is_within
        })
    }

    /// Writes down whose a free key is, with this node's own attestation.
    async fn record(
        &self,
        key_id: &str,
        approved: &Verified<ApprovedKeygen>,
        quota: Option<u64>,
        now: u64,
    ) -> Result<(Assigned, Option<(KeyText, Attestation)>), StorageError> {
        let Some(public_key) = self.storage.free_key(key_id).await? else {
            return Ok((Assigned::Taken, None));
        };
        let key = KeyText { key_id: key_id.to_owned(), public_key };
        let Member { network, index, identity } = &*self.member;
        let birth = birth(&key, approved.owner(), approved);
        let own = birth.attest(network.id(), *index, identity, now, approved.ephemeral_until);
        let known = [(*index, own.clone())].into();
        let assigned = self.storage.assign_key(key_id, approved, &known, quota, now).await?;
        if assigned != Assigned::Yes {
            return Ok((assigned, None));
        }
        self.keep_heard(key_id, approved.request.hash()).await?;
        Ok((assigned, Some((key, own))))
    }

    /// Notes which keys are dead, of those that a request was given.
    async fn bury(&self, key_id: &str, request: B256, now: u64) -> Result<(), StorageError> {
        let mut attested = Attested::default();
        for ((key_id, request), nodes) in self.unverified.nodes() {
            attested.add(key_id, request, nodes);
        }
        let mut assigned = BTreeSet::from([key_id.to_owned()]);
        for request in attested.requests_of(key_id).into_iter().chain([request]) {
            assigned.extend(self.storage.key_of(request).await?.map(|(key, _)| key.key_id));
        }
        for key_id in assigned {
            if let Some((request, attestations)) = self.storage.assignment(&key_id).await? {
                attested.add(key_id, request.hash(), attestations.into_keys());
            }
        }
        let network = &self.member.network;
        let nodes = network.nodes().map(|(node, _)| node).collect();
        for key_id in attested.keys_of(request) {
            if attested.is_dead(&key_id, &nodes, network.bind_quorum())
                && self.storage.bury_key(&key_id, now).await?
            {
                tracing::error!(node = %self.member.index, key_id, "nodes gave the key to different requests: it is dead");
            }
        }
        Ok(())
    }

    /// Keeps what was heard of a key that is assigned by now. Whoever adds to what is heard and whoever assigns does this
    /// afterwards, so that nothing is lost between them.
    async fn keep_heard(&self, key_id: &str, request: B256) -> Result<(), StorageError> {
        if self.storage.key_of(request).await?.is_some_and(|(key, _)| key.key_id == key_id) {
            let heard = self.unverified.take(&(key_id.to_owned(), request));
            self.storage.add_attestations(key_id, &heard).await?;
        }
        Ok(())
    }

    /// Those that are the named node's own, for this key and owner.
    fn genuine(&self, birth: &Birth, mut attestations: Attestations) -> Attestations {
        attestations.retain(|node, attestation| {
            attestation.node == *node && attestation.is_genuine(birth, &self.member.network)
        });
        attestations
    }
}

/// What nodes attest to: whose a key is, and to what end.
pub(super) fn birth(key: &KeyText, owner: Owner, approved: &ApprovedKeygen) -> Birth {
    let ApprovedKeygen { setup, request, .. } = approved;
    Birth {
        key_id: key.key_id.clone(),
        public_key: key.public_key,
        owner,
        ephemeral: setup.ephemeral.key.to_bytes(),
        permissions: setup.permissions.as_deref().map(Permissions::hash_of).unwrap_or_default(),
        challenge: request.challenge(),
    }
}
