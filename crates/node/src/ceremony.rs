//! What a node does together with others: making a key and signing with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, Signature, U256, hex};
use ed25519_dalek::{Signer as _, SigningKey};
use quorate_mpc::{Abort, InvalidPartyIndex, InvalidQuorum, KeyShare, PartyIndex, Quorum, keygen, signing};
use quorate_protocol::{
    Attestation, Birth, KeyText, NetworkDescriptor, NodeIndex, SignatureText, Transcript, address_of,
};
use tokio::task::{JoinError, spawn_blocking};
use zeroize::Zeroizing;

use crate::judge::ApprovedKeygen;
use crate::run::{Messages, Run, RunError};
use crate::storage::{NewKey, Storage, StorageError};

/// Why a ceremony ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CeremonyError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Abort(#[from] Abort),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("node {0}'s confirmation of the new key is not signed by its identity, or is for another key")]
    Unconfirmed(NodeIndex),
    #[error("the signature that came out is not the session key's, and is withheld")]
    BadSignature,
    #[error("a round's computation was stopped")]
    Stopped(#[from] JoinError),
    #[error(transparent)]
    Party(#[from] InvalidPartyIndex),
    #[error(transparent)]
    Quorum(#[from] InvalidQuorum),
}

/// Who this node is in a ceremony.
#[derive(Clone, Copy)]
pub(crate) struct Participant<'a> {
    pub(crate) network: &'a NetworkDescriptor,
    pub(crate) me: NodeIndex,
    pub(crate) identity: &'a SigningKey,
}

/// Makes a key with all other nodes, stores this node's share, and attests to the key's birth.
pub(crate) async fn make_key(
    participant: Participant<'_>,
    run: &mut Run,
    approved: &ApprovedKeygen,
    storage: &Storage,
    now: u64,
) -> Result<(KeyText, Attestation), CeremonyError> {
    let Participant { network, me, identity } = participant;
    let quorum = Quorum::new(network.threshold(), network.size())?;
    let session = run.session().0.into();
    let me_party = PartyIndex::new(me.get())?;

    let (round, out) = compute(move || keygen::Round1::start(quorum, me_party, session)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let unconfirmed = compute(move || round.next(incoming)).await?;

    let digest = unconfirmed.confirmation().digest();
    let confirmations = confirm(participant, run, digest).await?;
    let digests = confirmations
        .keys()
        .filter(|node| **node != me)
        .map(|node| Ok((PartyIndex::new(node.get())?, digest)));
    let (share, _) = unconfirmed.confirm(&digests.collect::<Result<_, InvalidPartyIndex>>()?)?;

    let key = KeyText { key_id: key_id(run.session(), &share), public_key: share.public_key() };
    let evidence: Vec<u8> = confirmations.into_values().flatten().collect();
    storage
        .insert_key(NewKey {
            key_id: &key.key_id,
            owner: approved.owner,
            permissions: approved.setup.permissions.as_deref(),
            permissions_signed: approved.setup.claim.is_some(),
            ephemeral: approved.setup.ephemeral.key,
            ephemeral_ends: approved.ephemeral_ends,
            share: &share,
            confirmations: &evidence,
            now,
        })
        .await?;

    let birth = Birth {
        key_id: key.key_id.clone(),
        public_key: key.public_key,
        owner: approved.owner,
        ephemeral: approved.setup.ephemeral.key.to_bytes(),
        permissions: approved.setup.permissions_hash(),
        challenge: approved.challenge.clone(),
    };
    let attestation = birth.attest(network.id(), me, identity);
    Ok((key, attestation))
}

/// Signs a digest with exactly the run's participants, and checks the signature before it leaves.
pub(crate) async fn sign(
    run: &mut Run,
    signers: &[NodeIndex],
    share: KeyShare,
    digest: B256,
) -> Result<SignatureText, CeremonyError> {
    let session = run.session().0.into();
    let public_key = share.public_key();
    let signers = signers.iter().map(|node| PartyIndex::new(node.get())).collect::<Result<_, _>>()?;

    let (round, out) =
        compute(move || signing::Round1::start(Arc::new(share), &signers, session, digest.0)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
    let (round, out) = compute(move || round.next(incoming)).await?;
    let incoming = relay(run, out).await?;
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

/// Exchanges signatures over the key's confirmation, so that it is used only if all nodes saw the same one.
async fn confirm(
    Participant { network, me, identity }: Participant<'_>,
    run: &mut Run,
    digest: [u8; 32],
) -> Result<BTreeMap<NodeIndex, Vec<u8>>, CeremonyError> {
    let statement =
        Transcript::new("key confirmation").field(network.id().as_slice()).field(&digest).finish();
    let own = identity.sign(statement.as_slice()).to_bytes().to_vec();
    let theirs = run.broadcast(&own).await?;
    let mut confirmations = BTreeMap::from([(me, own)]);
    for (node, bytes) in theirs {
        let signature = ed25519_dalek::Signature::from_slice(&bytes);
        match (network.identity(node), signature) {
            (Some(identity), Ok(signature))
                if identity.verify_strict(statement.as_slice(), &signature).is_ok() =>
            {
                confirmations.insert(node, bytes.to_vec());
            }
            _ => return Err(CeremonyError::Unconfirmed(node)),
        }
    }
    Ok(confirmations)
}

fn key_id(session: B256, share: &KeyShare) -> String {
    let hash = Transcript::new("key id").field(session.as_slice()).field(&share.public_key()).finish();
    hex::encode(hash)
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
