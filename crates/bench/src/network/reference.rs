//! What a signature costs by computation alone: three signers, one after the other on one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use quorate_mpc::{Abort, Incoming, KeyShare, Outgoing, PartyIndex, Quorum, SessionId, keygen, signing};

use super::usage;
use crate::ratio::median;

/// What one signature takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    /// The median.
    pub(super) milliseconds: f64,
    /// The mean of the thread's time on a core.
    pub(super) cpu_seconds: f64,
    /// What it takes to read one share from its bytes, which a node does for each signature.
    pub(super) load_milliseconds: f64,
}

type Each<T> = BTreeMap<PartyIndex, T>;

const THRESHOLD: u8 = 3;

/// Makes a key of so many parties, and signs so many times with it. More parties make the key slower, not a signature.
pub(super) fn measure(parties: u8, signatures: u32) -> anyhow::Result<Reference> {
    let shares = make_key(parties)?;
    let signers: Each<_> = shares.into_iter().take(usize::from(THRESHOLD)).collect();
    let mut loads = Vec::new();
    for share in signers.values() {
        let bytes = share.to_bytes()?;
        let began = Instant::now();
        KeyShare::from_bytes(&bytes)?;
        loads.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_before = usage::cpu_of_this_thread()?;
    let mut times = Vec::new();
    for number in 0..signatures {
        let began = Instant::now();
        sign(&signers, number)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_seconds = (usage::cpu_of_this_thread()? - cpu_before) / f64::from(signatures);
    Ok(Reference { milliseconds: median(times), cpu_seconds, load_milliseconds: median(loads) })
}

fn make_key(parties: u8) -> anyhow::Result<Each<Arc<KeyShare>>> {
    let quorum = Quorum::new(THRESHOLD, parties)?;
    let start = |me| keygen::Round1::start(quorum, me, SessionId::new([0xff; 32]));
    let begun = start_each(quorum.indices(), start)?;
    let committed = advance(begun, keygen::Round1::next)?;
    let echoed = advance(committed, keygen::Round2::next)?;
    let revealed = advance(echoed, keygen::Round3::next)?;
    let unconfirmed = finish(revealed, keygen::Round4::next)?;
    let digests: Each<_> =
        unconfirmed.iter().map(|(party, pending)| (*party, pending.confirmation().digest())).collect();
    let confirmed = unconfirmed.into_iter().map(|(party, pending)| {
        let mut others = digests.clone();
        others.remove(&party);
        Ok((party, Arc::new(pending.confirm(&others)?.0)))
    });
    confirmed.collect()
}

fn sign(shares: &Each<Arc<KeyShare>>, number: u32) -> anyhow::Result<()> {
    let signers: BTreeSet<_> = shares.keys().copied().collect();
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    let start = |me| signing::Round1::start(Arc::clone(&shares[&me]), &signers, SessionId::new(hash), hash);
    let begun = start_each(signers.iter().copied(), start)?;
    let opened = advance(begun, signing::Round1::next)?;
    let shared = advance(opened, signing::Round2::next)?;
    finish(shared, signing::Round3::next)?;
    Ok(())
}

/// A round of each party, and what has come in for it.
type Rounds<R> = Each<(R, Incoming)>;

fn start_each<R>(
    parties: impl Iterator<Item = PartyIndex>,
    start: impl Fn(PartyIndex) -> Result<(R, Outgoing), Abort>,
) -> Result<Rounds<R>, Abort> {
    Ok(deliver(parties.map(|party| Ok((party, start(party)?))).collect::<Result<_, Abort>>()?))
}

/// Runs a round of every party, one after the other.
fn advance<R, N>(
    rounds: Rounds<R>,
    next: fn(R, Incoming) -> Result<(N, Outgoing), Abort>,
) -> Result<Rounds<N>, Abort> {
    Ok(deliver(finish(rounds, next)?))
}

fn finish<R, N>(rounds: Rounds<R>, next: fn(R, Incoming) -> Result<N, Abort>) -> Result<Each<N>, Abort> {
    rounds.into_iter().map(|(party, (round, incoming))| Ok((party, next(round, incoming)?))).collect()
}

/// Hands every message to its receiver.
fn deliver<R>(sent: Each<(R, Outgoing)>) -> Rounds<R> {
    let mut inboxes: Each<Incoming> = sent.keys().map(|party| (*party, Incoming::new())).collect();
    let mut rounds = BTreeMap::new();
    for (from, (round, messages)) in sent {
        for (to, message) in messages {
            inboxes.entry(to).or_default().insert(from, message);
        }
        rounds.insert(from, round);
    }
    let with_inbox = |(party, round)| (party, (round, inboxes.remove(&party).unwrap_or_default()));
    rounds.into_iter().map(with_inbox).collect()
}
