//! A transport in memory, and whole runs of the protocols over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use quorate_mpc::{
    Abort, Incoming, KeyShare, Outgoing, PartyIndex, Quorum, SessionId, Signature, Unconfirmed, keygen,
    signing,
};

/// Version, step, session id, sender, receiver.
pub(crate) const HEADER_LEN: usize = 36;

pub(crate) type Each<T> = BTreeMap<PartyIndex, T>;
pub(crate) type Shares = Each<Arc<KeyShare>>;

pub(crate) fn party(index: u8) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

pub(crate) fn quorum(threshold: u8, parties: u8) -> Quorum {
    Quorum::new(threshold, parties).unwrap()
}

pub(crate) fn fresh_id() -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 32];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SessionId::new(id)
}

/// Hands every message to its receiver, under its true sender.
pub(crate) fn deliver(sent: Each<Outgoing>) -> Each<Incoming> {
    let mut inboxes: Each<Incoming> = sent.keys().map(|party| (*party, Incoming::new())).collect();
    for (from, messages) in sent {
        for (to, message) in messages {
            if let Some(inbox) = inboxes.get_mut(&to) {
                inbox.insert(from, message);
            }
        }
    }
    inboxes
}

/// Runs one round of every party at the same time.
pub(crate) fn advance<R: Send, O: Send>(
    rounds: Each<R>,
    mut inboxes: Each<Incoming>,
    next: fn(R, Incoming) -> Result<O, Abort>,
) -> Each<Result<O, Abort>> {
    thread::scope(|scope| {
        let running: Vec<_> = rounds
            .into_iter()
            .map(|(party, round)| {
                let inbox = inboxes.remove(&party).unwrap_or_default();
                (party, scope.spawn(move || next(round, inbox)))
            })
            .collect();
        running.into_iter().map(|(party, round)| (party, round.join().unwrap())).collect()
    })
}

/// Takes apart what every party's round gave, where none may have failed.
pub(crate) fn all<R>(results: Each<Result<(R, Outgoing), Abort>>) -> (Each<R>, Each<Incoming>) {
    let (rounds, sent) = results
        .into_iter()
        .map(|(party, result)| {
            let (round, outgoing) = result.unwrap();
            ((party, round), (party, outgoing))
        })
        .unzip();
    (rounds, deliver(sent))
}

pub(crate) fn keygen_start(quorum: Quorum, id: SessionId) -> (Each<keygen::Round1>, Each<Incoming>) {
    all(quorum.indices().map(|me| (me, keygen::Round1::start(quorum, me, id))).collect())
}

pub(crate) fn keygen_committed(quorum: Quorum, id: SessionId) -> (Each<keygen::Round2>, Each<Incoming>) {
    let (rounds, inboxes) = keygen_start(quorum, id);
    all(advance(rounds, inboxes, keygen::Round1::next))
}

pub(crate) fn keygen_echoed(quorum: Quorum, id: SessionId) -> (Each<keygen::Round3>, Each<Incoming>) {
    let (rounds, inboxes) = keygen_committed(quorum, id);
    all(advance(rounds, inboxes, keygen::Round2::next))
}

pub(crate) fn keygen_revealed(quorum: Quorum, id: SessionId) -> (Each<keygen::Round4>, Each<Incoming>) {
    let (rounds, inboxes) = keygen_echoed(quorum, id);
    all(advance(rounds, inboxes, keygen::Round3::next))
}

pub(crate) fn keygen_unconfirmed(quorum: Quorum) -> Each<Unconfirmed> {
    let (rounds, inboxes) = keygen_revealed(quorum, fresh_id());
    advance(rounds, inboxes, keygen::Round4::next)
        .into_iter()
        .map(|(party, result)| (party, result.unwrap()))
        .collect()
}

/// Every other party's digest, as `me` gets them.
pub(crate) fn digests(unconfirmed: &Each<Unconfirmed>, me: PartyIndex) -> Each<[u8; 32]> {
    unconfirmed
        .iter()
        .filter(|(party, _)| **party != me)
        .map(|(party, pending)| (*party, pending.confirmation().digest()))
        .collect()
}

pub(crate) fn confirm_all(unconfirmed: Each<Unconfirmed>) -> Shares {
    let digests: Each<_> = unconfirmed.keys().map(|party| (*party, digests(&unconfirmed, *party))).collect();
    unconfirmed
        .into_iter()
        .map(|(party, pending)| (party, Arc::new(pending.confirm(&digests[&party]).unwrap().0)))
        .collect()
}

/// Keys that the tests have in common, since making one is slow.
pub(crate) fn two_of_two() -> &'static Shares {
    static SHARES: OnceLock<Shares> = OnceLock::new();
    SHARES.get_or_init(|| confirm_all(keygen_unconfirmed(quorum(2, 2))))
}

pub(crate) fn two_of_three() -> &'static Shares {
    static SHARES: OnceLock<Shares> = OnceLock::new();
    SHARES.get_or_init(|| confirm_all(keygen_unconfirmed(quorum(2, 3))))
}

pub(crate) fn three_of_five() -> &'static Shares {
    static SHARES: OnceLock<Shares> = OnceLock::new();
    SHARES.get_or_init(|| confirm_all(keygen_unconfirmed(quorum(3, 5))))
}

pub(crate) fn signing_start(
    shares: &Shares,
    signers: &[u8],
    id: SessionId,
    hash: [u8; 32],
) -> (Each<signing::Round1>, Each<Incoming>) {
    let signers: BTreeSet<_> = signers.iter().map(|index| party(*index)).collect();
    all(signers
        .iter()
        .map(|me| (*me, signing::Round1::start(Arc::clone(&shares[me]), &signers, id, hash)))
        .collect())
}

pub(crate) fn signing_opened(
    shares: &Shares,
    signers: &[u8],
    hash: [u8; 32],
) -> (Each<signing::Round2>, Each<Incoming>) {
    let (rounds, inboxes) = signing_start(shares, signers, fresh_id(), hash);
    all(advance(rounds, inboxes, signing::Round1::next))
}

pub(crate) fn signing_shared(
    shares: &Shares,
    signers: &[u8],
    hash: [u8; 32],
) -> (Each<signing::Round3>, Each<Incoming>) {
    let (rounds, inboxes) = signing_opened(shares, signers, hash);
    all(advance(rounds, inboxes, signing::Round2::next))
}

pub(crate) fn sign(shares: &Shares, signers: &[u8], hash: [u8; 32]) -> Signature {
    let (rounds, inboxes) = signing_shared(shares, signers, hash);
    let signatures: Vec<_> =
        advance(rounds, inboxes, signing::Round3::next).into_values().map(|result| result.unwrap()).collect();
    assert!(signatures.iter().all(|signature| signature == &signatures[0]));
    signatures[0]
}

/// The message from party `from` to party `to`.
pub(crate) fn message(inboxes: &mut Each<Incoming>, from: u8, to: u8) -> &mut Vec<u8> {
    inboxes.get_mut(&party(to)).unwrap().get_mut(&party(from)).unwrap()
}
