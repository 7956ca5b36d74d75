//! What a node does together with others: making a key and signing with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, Signature, U256};
use quorate_mpc::{Abort, PartyIndex, Quorum, Unconfirmed, keygen, signing};
use quorate_protocol::{KeyText, NodeIndex, Refusal, SignatureText, address_of};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::attempts::Attempt;
use super::error::TaskError;
use super::keygen::{KeysBeingMade, StillPending};
#[cfg(feature = "fail-points")]
use super::run::RunError;
use super::run::{Messages, Run};
use crate::error::reasons;
use crate::storage::{PendingKey, Storage, StorageError};

/// The threads on which rounds are computed: as many at once as there are cores, so that what runs gets done.
pub(crate) type Cores = Arc<Semaphore>;

/// Makes a key with all other nodes, and has it confirmed by them; it is nobody's yet.
pub(crate) async fn make_key(
    making_at: KeysBeingMade<'_>,
    run: &mut Run<'_>,
    cores: &Cores,
    making: B256,
) -> Result<KeyText, TaskError> {
    let network = &making_at.member.network;
    let quorum = Quorum::new(network.threshold(), network.size())?;
    let unconfirmed = generate(run, cores, quorum, PartyIndex::new(making_at.member.index.get())?).await?;
    let pending = PendingKey::new(unconfirmed, making);
    let public_key = *pending.unconfirmed.confirmation().public_key();
    let key_id = pending.key_id.clone();

    let own = making_at.begin(&pending).await?;
    #[cfg(feature = "fail-points")]
    fail::fail_point!(&format!("pending at node {}", making_at.member.index), |_| Err(
        RunError::Cancelled.into()
    ));
    let theirs = run.broadcast(&own).await;
    #[cfg(feature = "fail-points")]
    fail::fail_point!(&format!("confirmed at node {}", making_at.member.index), |_| Err(
        RunError::Cancelled.into()
    ));
    if let Ok(theirs) = &theirs {
        let confirmations = theirs.iter().map(|(node, bytes)| (*node, bytes.to_vec())).collect();
        making_at.confirm(&key_id, &confirmations).await?;
    }
    // Where the run broke, messages outside it may have brought what it did not.
    match StillPending::find(network, making_at.storage, &key_id).await? {
        None => Ok(KeyText { key_id, public_key }),
        Some(pending) => {
            theirs?;
            Err(Refusal::Unfinished { reason: pending.to_string().into() }.into())
        }
    }
}

/// The rounds of a key generation.
async fn generate(
    run: &mut Run<'_>,
    cores: &Cores,
    quorum: Quorum,
    me: PartyIndex,
) -> Result<Unconfirmed, TaskError> {
    let session = run.session().0.into();
    let (round, out) = compute(cores, move || keygen::Round1::start(quorum, me, session)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(cores, move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(cores, move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(cores, move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    compute(cores, move || round.next(incoming)).await
}

/// One signature to be made: with which key, by exactly which nodes, and over what.
#[derive(Clone, Copy)]
pub(crate) struct SignatureRounds<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) key_id: &'a str,
    pub(crate) signers: &'a [NodeIndex],
    pub(crate) digest: B256,
    pub(crate) cores: &'a Cores,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl SignatureRounds<'_> {
    /// Signs, and checks the signature before it leaves. If a signer cheats, its ban is on disk before this ends.
    pub(crate) async fn perform(
        &self,
        run: &mut Run<'_>,
        attempt: &Attempt,
    ) -> Result<SignatureText, TaskError> {
        match self.rounds(run, attempt).await {
            Err(TaskError::Abort(abort)) => Err(self.banning(abort).await?),
            ended => ended,
        }
    }

    /// Refuses if one of the signers is banned from the key.
    pub(crate) async fn permit(&self) -> Result<(), TaskError> {
        let banned = self.storage.banned(self.key_id).await?;
        match self.signers.iter().find(|node| banned.contains(node)) {
            Some(&peer) => Err(TaskError::Banned { peer }),
            None => Ok(()),
        }
    }

    async fn rounds(&self, run: &mut Run<'_>, attempt: &Attempt) -> Result<SignatureText, TaskError> {
        let share = self.storage.share(self.key_id).await?;
        let (public_key, digest, session) = (share.public_key(), self.digest, run.session().0.into());
        let cores = self.cores;
        #[cfg(feature = "fail-points")]
        let me = share.index();
        let signers =
            self.signers.iter().map(|node| PartyIndex::new(node.get())).collect::<Result<_, _>>()?;

        let (round, out) =
            compute(cores, move || signing::Round1::start(Arc::new(share), &signers, session, digest.0))
                .await?;
        #[cfg(feature = "fail-points")]
        let out = cheat(me, out);
        let incoming = self.relay(run, out).await?;
        let (round, out) = compute(cores, move || round.next(incoming)).await?;
        let incoming = self.relay(run, out).await?;
        let (round, out) = compute(cores, move || round.next(incoming)).await?;
        // From here on the others can finish the signature.
        attempt.pass().map_err(|_| Refusal::Revoked { key_id: self.key_id.into() })?;
        let incoming = self.relay(run, out).await?;
        let signed = compute(cores, move || round.next(incoming)).await?;

        let (r, s) = (U256::from_be_bytes(*signed.r()), U256::from_be_bytes(*signed.s()));
        let signature = Signature::new(r, s, signed.recovery_id() == 1);
        // A second opinion by another library than the one that made the signature.
        match (signature.recover_address_from_prehash(&digest), address_of(&public_key)) {
            (Ok(signer), Some(session_key)) if signer == session_key && signature.normalize_s().is_none() => {
                Ok(SignatureText { signature })
            }
            _ => Err(TaskError::BadSignature),
        }
    }

    /// A peer may be banned by another run of the same key meanwhile, so each round asks again.
    async fn relay(
        &self,
        run: &mut Run<'_>,
        outgoing: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
    ) -> Result<BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>, TaskError> {
        self.permit().await?;
        relay(run, outgoing).await
    }

    async fn banning(&self, abort: Abort) -> Result<TaskError, StorageError> {
        match abort.banned().and_then(|party| NodeIndex::new(party.get())) {
            None => Ok(abort.into()),
            Some(peer) => {
                self.storage.ban(self.key_id, peer, &reasons(&abort), self.now).await?;
                tracing::error!(key_id = self.key_id, %peer, error = reasons(&abort), "banned");
                Ok(TaskError::Cheated { peer })
            }
        }
    }
}

/// Runs a round off the threads that serve sockets: keygen's take up to a second of computation.
async fn compute<T: Send + 'static>(
    cores: &Cores,
    round: impl FnOnce() -> Result<T, Abort> + Send + 'static,
) -> Result<T, TaskError> {
    // The semaphore is never closed.
    let _core = cores.acquire().await;
    Ok(spawn_blocking(round).await??)
}

async fn relay(
    run: &mut Run<'_>,
    outgoing: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
) -> Result<BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>, TaskError> {
    let outgoing =
        outgoing.into_iter().filter_map(|(party, message)| Some((NodeIndex::new(party.get())?, message)));
    let incoming: Messages = run.round_trip(outgoing.collect()).await?;
    let incoming = incoming.into_iter().map(|(node, message)| Ok((PartyIndex::new(node.get())?, message)));
    incoming.collect()
}

/// Spoils the consistency check of the oblivious transfers, where a test says so.
#[cfg(feature = "fail-points")]
fn cheat(
    me: PartyIndex,
    mut out: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
) -> BTreeMap<PartyIndex, Zeroizing<Vec<u8>>> {
    if fail::eval(&format!("cheat at node {me}"), |_| ()).is_some() {
        for message in out.values_mut() {
            message[1134] ^= 1;
        }
    }
    out
}
