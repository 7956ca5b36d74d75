//! What a node does for the gateway and its clients, beside signing.

use std::time::Duration;

use alloy_primitives::B256;
use quorate_protocol::{
    Acknowledgement, Answer, KeyListing, Operation, Refusal, Says, Signed, SignedRequest, Verified,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::envelope::{Agenda, Purpose};
use super::error::TaskError;
use super::in_flight::Inbox;
use super::keygen::KeysBeingMade;
use super::member::Member;
use super::peers::Peers;
use super::run::{Meeting, Outgoing, Run};
use super::{Parts, judge, rounds};
use crate::clock;
use crate::wire::PeerMessage;

/// How long a peer may take over one round of key generation, which computes for about a second a round on one core, and
/// all of them over all.
const KEYGEN_ROUND: Duration = Duration::from_secs(30);
const KEYGEN_RUN: Duration = Duration::from_secs(80);

/// So many keys may die within a day, seen by one node; then no more are made. Each costs every node seconds, and a gateway
/// that has it in for them can have every key die.
const MOST_DEAD_A_DAY: u64 = 64;

/// In seconds.
const DAY: u64 = 24 * 3600;

impl Parts {
    /// Makes a free key together with all other nodes, one at a time.
    pub(super) async fn make_key(
        &self,
        making: B256,
        inbox: Inbox,
        outbox: mpsc::Sender<Outgoing>,
    ) -> Result<Answer, TaskError> {
        let unfinished = |reason: String| TaskError::from(Refusal::Unfinished { reason: reason.into() });
        let node = self.member.index;
        self.quarantine.check()?;
        // For another gateway: it may be this one's, too, when it is made.
        let Ok(_turn) = self.making.try_lock() else { return Err(Refusal::Busy.into()) };
        let free = self.storage.free_keys().await?.len() + self.storage.pending_keys().await?.len();
        if free as u64 >= self.most_free_keys {
            return Err(unfinished(format!("node {node} has {free} free keys, which is enough")));
        }
        let dead = self.storage.died_since(clock::now().saturating_sub(DAY)).await?;
        if dead >= MOST_DEAD_A_DAY {
            let reason =
                format!("{dead} keys were given to different requests within a day, seen by node {node}");
            return Err(unfinished(reason));
        }
        let agenda = Agenda {
            network: self.member.network.id(),
            purpose: Purpose::Keygen,
            request: making,
            attempt: 0,
            participants: self.member.network.nodes().map(|(node, _)| node).collect(),
        };
        let (round, until) = (KEYGEN_ROUND, Instant::now() + KEYGEN_RUN);
        let meeting = Meeting { inbox, outbox, round, until, pace: &self.keygen_pace };
        let mut run = Run::open(&self.member, agenda, Default::default(), meeting).await?;
        let being_made = KeysBeingMade { member: &self.member, storage: &self.storage, now: clock::now() };
        let key = rounds::make_key(being_made, &mut run, &self.cores, making).await?;
        Ok(Answer::Key { key, attestations: Vec::new() })
    }

    /// Keeps the challenge of a request that is to be given a key.
    pub(super) fn hold(&self, request: &SignedRequest) {
        let held = judge::keygen(&self.member, request, Some(clock::now()))
            .and_then(|_| judge::hold_nonce(&self.member, &self.nonces, request));
        // It is answered when it is given a key.
        if let Err(refusal) = held {
            tracing::debug!(node = %self.member.index, %refusal, "a request is not kept until it has a key");
        }
    }

    /// Gives the owner who asks a free key.
    pub(super) async fn assign(
        &self,
        key_id: &str,
        request: &SignedRequest,
        peers: &Peers,
    ) -> Result<Answer, TaskError> {
        self.quarantine.check()?;
        // The hash covers all that was verified when the key was assigned, so this holds however late it is repeated.
        let assigned = match self.storage.key_of(request.hash()).await? {
            Some(assigned) => assigned,
            None => {
                let signed = judge::keygen(&self.member, request, Some(clock::now()))?;
                judge::hold_nonce(&self.member, &self.nonces, request)?;
                let approved = self.verified(signed).await?;
                self.assignments.assign(key_id, &approved, clock::now()).await?
            }
        };
        let (key, attestation) = assigned;
        peers.tell_whose(&key.key_id).await?;
        if self.storage.is_dead(&key.key_id).await? {
            return Err(Refusal::Split { key_id: key.key_id.into() }.into());
        }
        Ok(Answer::Key { key, attestations: vec![attestation] })
    }

    /// Asks the owner's contract, where the request does not show by itself that its owner signed it.
    async fn verified<T>(&self, signed: Signed<T>) -> Result<Verified<T>, Refusal> {
        match signed {
            Signed::Verified(verified) => Ok(verified),
            Signed::Claimed(claimed) => self.chains.verify(claimed).await,
        }
    }

    /// Stores what an owner says about a key, and tells the other nodes.
    pub(super) async fn register(&self, request: &SignedRequest, peers: &Peers) -> Result<Answer, TaskError> {
        let Some(key_id) = self.statements.key_id_of(request) else {
            return Err(judge::not_of_this_kind().into());
        };
        judge::check_lifetime(request, clock::now())?;
        let key = peers.key(&key_id).await?;
        let signed = self.statements.read(request, &key)?;
        if request.operation.is_challenged() {
            judge::spend_nonce(&self.member, &self.nonces, request)?;
        }
        let statement = signed.unverified().clone();
        // One that is stored was verified then; a contract may say something else by now.
        let recent = match self.statements.stored(&statement).await? {
            Some(_) => self.statements.end_attempts(&statement).await,
            None if matches!(statement.says(), Says::Permits { .. }) && key.target.is_some() => {
                return Err(Refusal::AlreadyPermitted { key_id: key_id.as_str().into() }.into());
            }
            None => {
                let verified = self.verified(signed).await?;
                self.statements.store_own(&verified, clock::now()).await?
            }
        };
        let statements = self.statements.stored(&statement).await?.into_iter().collect();
        peers.write_to_all(&PeerMessage::Statements { statements }).await;
        if request.operation != Operation::Revoke {
            return Ok(Answer::Registered);
        }
        let Member { network, index, identity } = &*self.member;
        let acknowledgement = Acknowledgement::sign(network.id(), *index, statement.id(), recent, identity);
        Ok(Answer::Revoked { acknowledgements: vec![acknowledgement] })
    }

    /// What the owner has said of a key.
    pub(super) async fn list(&self, setup: &str, peers: &Peers) -> Result<Answer, TaskError> {
        let Member { network, index, identity } = &*self.member;
        let setup = judge::list(network.id(), setup)?;
        let key = peers.key(&setup.key_id).await?;
        let says = self.statements.of(&setup.key_id, &key).await?.all();
        Ok(Answer::Listed { listings: vec![KeyListing::sign(&setup, *index, says, identity)] })
    }
}
