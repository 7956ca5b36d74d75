//! A signature from the request to the last round.
//!
//! The order is what makes the limits and the revocations hold: authenticate → note the attempt → read what the owner has
//! said → evaluate the policies → charge, durably → hello → read the other signers' ledgers and
//! statements → settle → rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use quorate_ledger::{Barrier, ChargeError, Limits, Operation, SettleError};
use quorate_protocol::{NodeIndex, Refusal, SignatureText, SignedRequest};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempts::{Attempt, Attempts};
use super::catch_up::{CatchUp, Remark};
use super::envelope::{Agenda, Purpose};
use super::error::TaskError;
use super::in_flight::Inbox;
use super::judge::{self, PermittedRequest, Requested};
use super::ledgers::{Hold, LedgerError, Ledgers};
#[cfg(feature = "fail-points")]
use super::lies;
use super::member::Member;
use super::nonces::Nonces;
use super::peers::Peers;
use super::rounds::{Cores, SignatureRounds};
use super::run::{Meeting, Outgoing, Pace, Run};
use super::statements::{KeyStatements, Statements};
use crate::clock;
use crate::storage::{Storage, StoredKey};
use crate::wire::PeerMessage;

/// What one node needs to sign.
pub(crate) struct Signing {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) ledgers: Arc<Ledgers>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) cores: Cores,
    pub(crate) pace: Pace,
}

/// With whom a signature is made, and the way to them.
pub(crate) struct Quorum {
    pub(crate) attempt: u32,
    pub(crate) participants: Vec<NodeIndex>,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: mpsc::Sender<Outgoing>,
}

/// How long a peer may take over one round, and all of them over a signature.
const ROUND: Duration = Duration::from_secs(4);
const RUN: Duration = Duration::from_secs(15);

/// How long a node waits for the others' statements about a key, where it lacks one.
const STATEMENTS: Duration = Duration::from_secs(1);

impl Signing {
    /// Signs an operation together with a quorum, if the owner, the policies and the limits allow it.
    ///
    /// # Errors
    /// Whatever forbids it, by name; or a peer with whom it came to nothing. Nothing is charged then.
    pub(crate) async fn sign(
        &self,
        request: &SignedRequest,
        quorum: Quorum,
        peers: &Peers,
    ) -> Result<SignatureText, TaskError> {
        peers.quarantine.check()?;
        let operation = judge::requested(request)?;
        operation.check_threshold(&self.member)?;
        quorum.check(&self.member)?;
        judge::spend_nonce(&self.member, &self.nonces, request)?;
        let attempt = self.attempts.begin(operation.key, operation.ephemeral.to_bytes(), operation.named());
        let now = clock::now();
        let signature = async {
            let mut key = peers.key(&operation.key_id).await?;
            let statements = self.statements_for(&operation, &key, peers, now).await?;
            if key.target.is_none() {
                key = peers.key(&operation.key_id).await?;
            }
            let task = Task { signing: self, request, operation: &operation, key: &key, now };
            let signed = task.sign(quorum, &statements, &attempt).await;
            if let Err(TaskError::Cheated { peer }) = &signed {
                peers.show_ban(&operation.key_id, *peer).await;
            }
            signed
        };
        let revoked = || Refusal::Revoked { key_id: operation.key_id.as_str().into() };
        let signed = tokio::select! {
            signed = signature => signed,
            () = attempt.ended() => Err(revoked().into()),
        };
        match signed {
            Err(TaskError::Refused(Refusal::Revoked { .. })) => {
                Err(self.why_ended(&operation, peers, now).await.unwrap_or_else(revoked).into())
            }
            signed => signed,
        }
    }

    /// Which of the two an owner has ended meanwhile: the key, or who asks.
    async fn why_ended(&self, operation: &Requested, peers: &Peers, now: u64) -> Option<Refusal> {
        let key_id = operation.key_id.as_str();
        let key = peers.key(key_id).await.ok()?;
        let statements = self.statements.of(key_id, &key).await.ok()?;
        statements.check(key_id, operation.ephemeral.as_bytes(), now).err()
    }

    /// What is said about the key. Where that is neither who asks nor what the key may sign, the other nodes may know it.
    async fn statements_for(
        &self,
        operation: &Requested,
        key: &StoredKey,
        peers: &Peers,
        now: u64,
    ) -> Result<KeyStatements, TaskError> {
        let (key_id, ephemeral) = (&operation.key_id, operation.ephemeral.as_bytes());
        let mut statements = self.statements.of(key_id, key).await?;
        let until = Instant::now() + STATEMENTS;
        let lacks = |statements: &KeyStatements| {
            let permitted = key.target.is_some() || statements.permissions().is_some();
            !permitted || statements.registration(ephemeral).is_none()
        };
        if lacks(&statements) {
            let known = statements.digest();
            peers.write_to_all(&PeerMessage::WhichStatements { key_id: key_id.clone(), known }).await;
            while lacks(&statements) && Instant::now() < until {
                self.statements.wait(until.saturating_duration_since(Instant::now())).await;
                statements = self.statements.of(key_id, key).await?;
            }
        }
        statements.check(key_id, ephemeral, now)?;
        Ok(statements)
    }
}

/// One authenticated operation.
struct Task<'a> {
    signing: &'a Signing,
    request: &'a SignedRequest,
    operation: &'a Requested,
    key: &'a StoredKey,
    /// When it came, in seconds since 1970.
    now: u64,
}

impl Task<'_> {
    async fn sign(
        &self,
        quorum: Quorum,
        statements: &KeyStatements,
        attempt: &Attempt,
    ) -> Result<SignatureText, TaskError> {
        let Signing { member, storage, cores, .. } = self.signing;
        let permitted = self.operation.permit(self.key, self.now)?;
        let signers = quorum.participants.clone();
        let key_id = self.operation.key_id.as_str();
        let PermittedRequest { digest, limits, .. } = &permitted;
        let rounds =
            SignatureRounds { storage, key_id, signers: &signers, digest: *digest, cores, now: self.now };
        rounds.permit().await?;

        let others = signers.iter().copied().filter(|signer| *signer != member.index);
        let told = |error| explained(error, &permitted);
        let charged = self.charge(&permitted, statements, others).await.map_err(told)?;
        let (barrier, hold) = charged.unzip();
        match self.agree(quorum, statements, limits, barrier).await.map_err(told) {
            Ok(mut run) => {
                if let Some(hold) = hold {
                    hold.keep();
                }
                rounds.perform(&mut run, attempt).await
            }
            Err(error) => {
                if let Some(hold) = hold {
                    hold.withdraw().await?;
                }
                Err(error)
            }
        }
    }

    /// Charges the operation, where its key's operations are counted.
    async fn charge(
        &self,
        permitted: &PermittedRequest,
        statements: &KeyStatements,
        others: impl Iterator<Item = NodeIndex>,
    ) -> Result<Option<(Barrier, Hold)>, TaskError> {
        if permitted.limits.iter().next().is_none() {
            return Ok(None);
        }
        let ephemeral = self.operation.ephemeral.as_bytes();
        let refused = || Refusal::EphemeralKey { key_id: self.operation.key_id.as_str().into() };
        let operation = Operation {
            nonce: permitted.nonce,
            amounts: permitted.amounts.clone(),
            request: crate::storage::encoded(self.request),
            statement: statements.registration(ephemeral).ok_or_else(refused)?,
        };
        let (ledgers, limits, now) = (&self.signing.ledgers, &permitted.limits, self.now);
        #[cfg(feature = "fail-points")]
        let me = self.signing.member.index;
        #[cfg(feature = "fail-points")]
        let (limits, now) = (&lies::limits(me, limits), lies::charged_at(me, now));
        Ok(Some(ledgers.charge(self.operation.key, operation, limits, now, others).await?))
    }

    /// Meets the other signers, and learns from them; the operation is kept when this ends well, and the rounds may begin.
    async fn agree<'r>(
        &'r self,
        quorum: Quorum,
        statements: &KeyStatements,
        limits: &Limits,
        barrier: Option<Barrier>,
    ) -> Result<Run<'r>, TaskError> {
        let Signing { member, storage, ledgers, statements: all, pace, .. } = self.signing;
        let digest = statements.digest();
        let remarks = quorum.remarks(member.index, digest, barrier.as_ref());
        let Quorum { attempt, participants, inbox, outbox } = quorum;
        let agenda = Agenda {
            network: member.network.id(),
            purpose: Purpose::Signature,
            request: self.request.hash(),
            attempt,
            participants: participants.into_iter().collect(),
        };
        let meeting = Meeting { inbox, outbox, round: ROUND, until: Instant::now() + RUN, pace };
        let mut run = Run::open(member, agenda, remarks, meeting).await?;

        // Every signer's hello is in, and with it its word that its charge is durable.
        let mut counted = barrier.and_then(|mut barrier| {
            run.peers().for_each(|peer| barrier.hello(peer));
            barrier.open().ok()
        });
        let now = clock::now();
        let (key, operation) = (self.key, self.operation);
        let catch_up = CatchUp { storage, ledgers, statements: all, key, operation, me: member.index, now };
        catch_up.perform(&mut run, digest, counted.as_mut()).await?;
        let ephemeral = operation.ephemeral.as_bytes();
        all.of(&operation.key_id, key).await?.check(&operation.key_id, ephemeral, now)?;
        if let Some(counted) = counted {
            #[cfg(feature = "fail-points")]
            let limits = &lies::limits(member.index, limits);
            ledgers.settle(operation.key, counted, limits).await?;
        }
        Ok(run)
    }
}

/// A limit that leaves no room, as the client is told of it.
fn explained(error: TaskError, permitted: &PermittedRequest) -> TaskError {
    let refusal = match &error {
        TaskError::Ledger(
            LedgerError::Charge(ChargeError::Denied(denied))
            | LedgerError::Settle(SettleError::Denied(denied)),
        ) => permitted.refusal(denied),
        _ => None,
    };
    refusal.map_or(error, TaskError::from)
}

impl Quorum {
    /// Refuses unless these are as many of the network's nodes as sign, each once, and this one among them.
    fn check(&self, member: &Member) -> Result<(), Refusal> {
        let quorum = usize::from(member.network.threshold());
        let signers: BTreeSet<_> = self.participants.iter().copied().collect();
        let fits = signers.contains(&member.index)
            && signers.len() == self.participants.len()
            && signers.len() == quorum
            && signers.iter().all(|signer| member.network.identity(*signer).is_some());
        let named = self.participants.len();
        let reason = || format!("{named} participants were named, the operation takes {quorum}");
        if fits { Ok(()) } else { Err(Refusal::Malformed { reason: reason().into() }) }
    }

    /// What goes to each other signer with the hello.
    fn remarks(
        &self,
        me: NodeIndex,
        statements: B256,
        barrier: Option<&Barrier>,
    ) -> BTreeMap<NodeIndex, Vec<u8>> {
        let reads: BTreeMap<_, _> = barrier.into_iter().flat_map(Barrier::requests).collect();
        let others = self.participants.iter().copied().filter(|signer| *signer != me);
        others.map(|peer| (peer, Remark { statements, reads: reads.get(&peer).copied() }.encode())).collect()
    }
}
