//! What a node does together with others: making a key and signing with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, Signature, U256};
use quorate_mpc::{
    Abort, InvalidPartyIndex, InvalidQuorum, PartyIndex, Quorum, Unconfirmed, keygen, signing,
};
use quorate_protocol::{KeyText, NodeIndex, SignatureText, address_of};
use tokio::task::{JoinError, spawn_blocking};
use zeroize::Zeroizing;

use crate::error::reasons;
use crate::node::keygen::{Births, PendingKey, StillPending};
use crate::node::run::{Messages, Run, RunError};
use crate::storage::{Storage, StorageError};

/// Why a ceremony ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CeremonyError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Abort(#[from] Abort),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    StillPending(#[from] StillPending),
    #[error("node {peer} is banned: this node never uses the key together with it again")]
    Banned { peer: NodeIndex },
    #[error("the signature that came out is not the session key's, and is withheld")]
    BadSignature,
    #[error("a round's computation was stopped")]
    Stopped(#[from] JoinError),
    #[error(transparent)]
    Party(#[from] InvalidPartyIndex),
    #[error(transparent)]
    Quorum(#[from] InvalidQuorum),
}

/// Makes a key with all other nodes, and has it confirmed by them; it is nobody's yet.
pub(crate) async fn make_key(
    births: Births<'_>,
    run: &mut Run,
    making: B256,
) -> Result<KeyText, CeremonyError> {
    let quorum = Quorum::new(births.network.threshold(), births.network.size())?;
    let unconfirmed = generate(run, quorum, PartyIndex::new(births.me.get())?).await?;
    let pending = PendingKey::new(unconfirmed, making);
    let public_key = *pending.unconfirmed.confirmation().public_key();
    let key_id = pending.key_id.clone();

    let own = births.begin(&pending).await?;
    #[cfg(feature = "fail-points")]
    fail::fail_point!(&format!("pending at node {}", births.me), |_| Err(RunError::Cancelled.into()));
    let theirs = run.broadcast(&own).await;
    #[cfg(feature = "fail-points")]
    fail::fail_point!(&format!("confirmed at node {}", births.me), |_| Err(RunError::Cancelled.into()));
    if let Ok(theirs) = &theirs {
        let confirmations = theirs.iter().map(|(node, bytes)| (*node, bytes.to_vec())).collect();
        births.confirm(&key_id, &confirmations).await?;
    }
    // Where the run broke, letters may have brought what it did not.
    match StillPending::find(births.network, births.storage, &key_id).await? {
        None => Ok(KeyText { key_id, public_key }),
        Some(pending) => {
            theirs?;
            Err(pending.into())
        }
    }
}

/// The rounds of a key generation.
async fn generate(run: &mut Run, quorum: Quorum, me: PartyIndex) -> Result<Unconfirmed, CeremonyError> {
    let session = run.session().0.into();
    let (round, out) = compute(move || keygen::Round1::start(quorum, me, session)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    compute(move || round.next(incoming)).await
}

/// One signature to be made: with which key, by exactly which nodes, and over what.
#[derive(Clone, Copy)]
pub(crate) struct Signing<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) key_id: &'a str,
    pub(crate) signers: &'a [NodeIndex],
    pub(crate) digest: B256,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Signing<'_> {
    /// Signs, and checks the signature before it leaves. If a signer cheats, its ban is on disk before this ends.
    pub(crate) async fn perform(&self, run: &mut Run) -> Result<SignatureText, CeremonyError> {
        match self.rounds(run).await {
            Err(CeremonyError::Abort(abort)) => Err(self.banning(abort).await?),
            ended => ended,
        }
    }

    /// Refuses if one of the signers is banned from the key.
    pub(crate) async fn permit(&self) -> Result<(), CeremonyError> {
        let banned = self.storage.banned(self.key_id).await?;
        match self.signers.iter().find(|node| banned.contains(node)) {
            Some(&peer) => Err(CeremonyError::Banned { peer }),
            None => Ok(()),
        }
    }

    async fn rounds(&self, run: &mut Run) -> Result<SignatureText, CeremonyError> {
        let share = self.storage.share(self.key_id).await?;
        let (public_key, digest, session) = (share.public_key(), self.digest, run.session().0.into());
        #[cfg(feature = "fail-points")]
        let me = share.index();
        let signers =
            self.signers.iter().map(|node| PartyIndex::new(node.get())).collect::<Result<_, _>>()?;

        let (round, out) =
            compute(move || signing::Round1::start(Arc::new(share), &signers, session, digest.0)).await?;
        #[cfg(feature = "fail-points")]
        let out = cheat(me, out);
        let incoming = self.exchange(run, out).await?;
        let (round, out) = compute(move || round.next(incoming)).await?;
        let incoming = self.exchange(run, out).await?;
        let (round, out) = compute(move || round.next(incoming)).await?;
        let incoming = self.exchange(run, out).await?;
        let signed = compute(move || round.next(incoming)).await?;

        let (r, s) = (U256::from_be_bytes(*signed.r()), U256::from_be_bytes(*signed.s()));
        let signature = Signature::new(r, s, signed.recovery_id() == 1);
        // A second opinion by another library than the one that made the signature.
        match (signature.recover_address_from_prehash(&digest), address_of(&public_key)) {
            (Ok(signer), Some(session_key)) if signer == session_key && signature.normalize_s().is_none() => {
                Ok(SignatureText { signature })
            }
            _ => Err(CeremonyError::BadSignature),
        }
    }

    /// A peer may be banned by another run of the same key meanwhile, so each round asks again.
    async fn exchange(
        &self,
        run: &mut Run,
        outgoing: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
    ) -> Result<BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>, CeremonyError> {
        self.permit().await?;
        relay(run, outgoing).await
    }

    async fn banning(&self, abort: Abort) -> Result<CeremonyError, StorageError> {
        match abort.banned().and_then(|party| NodeIndex::new(party.get())) {
            None => Ok(abort.into()),
            Some(peer) => {
                self.storage.ban(self.key_id, peer, &reasons(&abort), self.now).await?;
                tracing::error!(key_id = self.key_id, %peer, error = reasons(&abort), "banned");
                Ok(CeremonyError::Banned { peer })
            }
        }
    }
}

/// Runs a round off the threads that serve sockets: keygen's take up to a second of computation.
async fn compute<T: Send + 'static>(
    round: impl FnOnce() -> Result<T, Abort> + Send + 'static,
) -> Result<T, CeremonyError> {
    Ok(spawn_blocking(round).await??)
}

async fn relay(
    run: &mut Run,
    outgoing: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
) -> Result<BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>, CeremonyError> {
    let outgoing =
        outgoing.into_iter().filter_map(|(party, message)| Some((NodeIndex::new(party.get())?, message)));
    let incoming: Messages = run.exchange(outgoing.collect()).await?;
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
