//! Key generation: `n` parties make a key of which each holds a share and nobody the whole.
//!
//! Protocol 9.1 of <https://eprint.iacr.org/2023/602.pdf> as DKLs23 uses it, with an echo in place of its
//! broadcast channel. Party *i* with polynomial *pᵢ* of degree *t* − 1:
//!
//! ```text
//!        party i                                                     every other party j
//!  R1 │ pᵢ at random            ── pᵢ(j), secret ───────────────▶ │ P(j) = Σ pᵢ(j), own point included
//!  R2 │ proof of P(i) made      ── H(proof), H(chain code) ─────▶ │ commitments of all are in before …
//!     │                         ── H(zero-share seed for j) ────▶ │
//!  R3 │ H(everyone's R2)        ── echo ────────────────────────▶ │ … all have seen the same ones, before …
//!  R4 │                         ── proof, chain code ───────────▶ │ … anything is opened
//!     │                         ── seed, base OTs, secret ──────▶ │ openings, proofs, one polynomial: checked
//!  R5 │ store the share         ── signed digest of the result ─▶ │ usable when all n digests are equal
//! ```
//!
//! R1 to R4 are [`Round1`] to [`Round4`]. R5 is [`Unconfirmed`]: the node stores the share as pending, signs
//! [`Confirmation::digest`](crate::Confirmation::digest) with its identity, exchanges the signed digests with
//! all, and [`Unconfirmed::confirm`] turns the share into a [`KeyShare`]. The digest covers
//! what R4 sent to everyone as well, so this exchange is that step's echo.
//!
//! The order of the peers never matters: a share is the *sum* of the fragments, taken by party index, and
//! everything else is looked up by index.
//!
//! The transport must authenticate and encrypt each message and deliver it once; see [the crate](crate). All
//! `n` parties are needed. No abort here leads to a ban, since nothing that is used again exists yet.
//!
//! The set-up of a pair (the gadget nonces of R4) is the one thing that no check here covers. Where it differs,
//! the pair's signatures end in a recoverable abort each time, and the key needs another quorum.
//!
//! The third and the fourth `next` together take about 0.4 s of CPU for each peer: run them on a thread that may
//! block.

use std::collections::{BTreeMap, BTreeSet};

use dkls23::DkgSession;
use dkls23::protocols::PartiesMessage;
use dkls23::protocols::dkg::{
    BroadcastDerivationPhase2to4, BroadcastDerivationPhase3to4, ProofCommitment, TransmitInitMulPhase3to4,
    TransmitInitZeroSharePhase2to4, TransmitInitZeroSharePhase3to4,
};
use dkls23::utilities::ot::extension::KAPPA;
use dkls23::utilities::proofs::{DLogProof, EncProof, R as PROOF_REPETITIONS, T as CHALLENGE_BITS};
use k256::Scalar;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::wire::{Body, Endpoint, check_len, redacted_rounds};
use crate::{
    Abort, Curve, Incoming, KeyShare, Malformed, Outgoing, PartyIndex, Quorum, SessionId, Step, Unconfirmed,
};

/// The salt of a commitment, in bytes.
const SALT_LEN: usize = 64;

/// What stays the same through a run.
struct Run {
    quorum: Quorum,
    peers: BTreeSet<PartyIndex>,
    endpoint: Endpoint,
}

impl Run {
    fn me(&self) -> PartyIndex {
        self.endpoint.me
    }
}

/// The fragments are out, and those of the peers are awaited.
pub struct Round1 {
    run: Run,
    session: DkgSession<Curve>,
    own_fragment: Fragment,
}

impl Round1 {
    /// Starts a run as party `me`: chooses a polynomial, and sends each peer its point.
    ///
    /// # Errors
    ///
    /// [`Abort::NotAParty`] if `me` is beyond the quorum's parties.
    pub fn start(quorum: Quorum, me: PartyIndex, session_id: SessionId) -> Result<(Self, Outgoing), Abort> {
        if !quorum.contains(me) {
            return Err(Abort::NotAParty { party: me, parties: quorum.parties() });
        }
        let endpoint = Endpoint { session: session_id, me };
        let run = Run { quorum, peers: quorum.peers_of(me), endpoint };
        let session = DkgSession::new(quorum.to_library(), me.0, session_id.as_bytes().to_vec());

        let mut own_fragment = Fragment(Scalar::ZERO);
        let mut outgoing = Outgoing::new();
        let fragments = Zeroizing::new(session.phase1());
        for (party, fragment) in quorum.indices().zip(fragments.iter()) {
            if party == me {
                own_fragment.0 = *fragment;
            } else {
                outgoing.insert(party, endpoint.encode(party, &Fragment(*fragment))?);
            }
        }
        Ok((Self { run, session, own_fragment }, outgoing))
    }

    /// Adds the fragments up to the share, and commits to everything that will be opened.
    ///
    /// # Errors
    ///
    /// If a message is missing, too many or malformed.
    pub fn next(self, incoming: Incoming) -> Result<(Round2, Outgoing), Abort> {
        let Self { run, mut session, own_fragment } = self;
        let mut fragments: BTreeMap<_, Fragment> = run.endpoint.decode_all(incoming, &run.peers)?;
        fragments.insert(run.me(), own_fragment);
        let scalars: Zeroizing<Vec<Scalar>> =
            Zeroizing::new(fragments.values().map(|fragment| fragment.0).collect());
        let (proof, seeds, chain_code) = session.phase2(&scalars)?;

        let mut outgoing = Outgoing::new();
        for seed in &seeds {
            let body = Commitments {
                proof: proof.commitment,
                chain_code: chain_code.cc_commitment,
                seed: seed.commitment,
            };
            let to = PartyIndex(seed.parties.receiver);
            outgoing.insert(to, run.endpoint.encode(to, &body)?);
        }
        Ok((Round2 { run, session, proof, chain_code: chain_code.cc_commitment }, outgoing))
    }
}

/// The commitments are out, and those of the peers are awaited.
pub struct Round2 {
    run: Run,
    session: DkgSession<Curve>,
    proof: ProofCommitment<Curve>,
    chain_code: [u8; 32],
}

impl Round2 {
    /// Takes in the commitments, and tells every peer the hash of all that were meant for everyone.
    ///
    /// # Errors
    ///
    /// If a message is missing, too many or malformed.
    pub fn next(self, incoming: Incoming) -> Result<(Round3, Outgoing), Abort> {
        let Self { run, session, proof, chain_code } = self;
        let mut commitments: BTreeMap<_, Commitments> = run.endpoint.decode_all(incoming, &run.peers)?;
        // The seed is committed to each peer apart, so this party's own entry has none.
        let own = Commitments { proof: proof.commitment, chain_code, seed: [0; 32] };
        commitments.insert(run.me(), own);

        let echo = Echo { transcript: hash_commitments(&run, &commitments) };
        let mut outgoing = Outgoing::new();
        for peer in &run.peers {
            outgoing.insert(*peer, run.endpoint.encode(*peer, &echo)?);
        }
        Ok((Round3 { run, session, proof: proof.proof, commitments, transcript: echo.transcript }, outgoing))
    }
}

/// The echo is out, and those of the peers are awaited. Nothing has been opened yet.
pub struct Round3 {
    run: Run,
    session: DkgSession<Curve>,
    proof: DLogProof<Curve>,
    commitments: BTreeMap<PartyIndex, Commitments>,
    transcript: [u8; 32],
}

impl Round3 {
    /// Compares the echoes and, if all parties saw the same commitments, opens this party's own.
    ///
    /// # Errors
    ///
    /// [`Abort::Equivocation`] if a peer saw other commitments, or if a message is missing, too many or
    /// malformed.
    pub fn next(self, incoming: Incoming) -> Result<(Round4, Outgoing), Abort> {
        let Self { run, mut session, proof, commitments, transcript } = self;
        let echoes: BTreeMap<_, Echo> = run.endpoint.decode_all(incoming, &run.peers)?;
        if let Some((party, _)) = echoes.iter().find(|(_, echo)| echo.transcript != transcript) {
            return Err(Abort::Equivocation { party: *party, step: Step::KeygenCommitments });
        }
        let (seeds, multiplications, chain_code) = session.phase3()?;

        let mut seeds: BTreeMap<_, Seed> =
            seeds.into_iter().map(|seed| (PartyIndex(seed.parties.receiver), Seed::from(seed))).collect();
        let mut outgoing = Outgoing::new();
        for multiplication in multiplications {
            let to = PartyIndex(multiplication.parties.receiver);
            // The library makes one of each for every peer.
            let Some(seed) = seeds.remove(&to) else {
                return Err(Abort::MissingMessage { party: to, step: Step::KeygenReveal });
            };
            let body = Reveal {
                proof: proof.clone(),
                chain_code: chain_code.aux_chain_code,
                chain_code_salt: chain_code.cc_salt.clone(),
                seed,
                base_point: multiplication.dlog_proof,
                gadget_nonce: multiplication.nonce,
                encryptions: multiplication.enc_proofs,
                base_seed: multiplication.seed,
            };
            outgoing.insert(to, run.endpoint.encode(to, &body)?);
        }
        Ok((Round4 { run, session, proof, chain_code, commitments, transcript }, outgoing))
    }
}

/// Everything is opened, and the openings of the peers are awaited.
pub struct Round4 {
    run: Run,
    session: DkgSession<Curve>,
    proof: DLogProof<Curve>,
    chain_code: BroadcastDerivationPhase3to4,
    commitments: BTreeMap<PartyIndex, Commitments>,
    transcript: [u8; 32],
}

impl Round4 {
    /// Checks every opening against the commitment of round 2, and that all shares lie on one polynomial.
    ///
    /// The result is not a key yet: store it, and see [`Unconfirmed::confirm`].
    ///
    /// # Errors
    ///
    /// [`Abort::Failed`] if an opening, a proof or a set-up does not hold, or if a message is missing, too many
    /// or malformed.
    pub fn next(self, incoming: Incoming) -> Result<Unconfirmed, Abort> {
        let Self { run, session, proof, chain_code, commitments, transcript } = self;
        let reveals: BTreeMap<_, Reveal> = run.endpoint.decode_all(incoming, &run.peers)?;
        let mut openings = Openings::default();
        openings.add_public(run.me(), &commitments, proof, chain_code.aux_chain_code, chain_code.cc_salt);
        for (party, reveal) in reveals {
            openings.add(run.me(), party, &commitments, reveal);
        }
        let transcript = openings.hash(transcript)?;
        let (party, public) = session.phase4(
            &openings.proofs,
            &openings.seed_commitments,
            &openings.seeds,
            &openings.multiplications,
            &openings.chain_code_commitments,
            &openings.chain_codes,
            |_| String::new(),
        )?;
        let share = KeyShare::new(party);
        let verifying_shares = run
            .quorum
            .indices()
            .filter_map(|party| Some((party, *public.verifying_share(party.0)?)))
            .collect();
        Ok(Unconfirmed::new(share, verifying_shares, transcript))
    }
}

redacted_rounds!(Round1, Round2, Round3, Round4);

/// What the library takes in last, put together from the commitments of round 2 and the openings of round 4.
#[derive(Default)]
struct Openings {
    proofs: Vec<ProofCommitment<Curve>>,
    seed_commitments: Vec<TransmitInitZeroSharePhase2to4>,
    seeds: Vec<TransmitInitZeroSharePhase3to4>,
    multiplications: Vec<TransmitInitMulPhase3to4<Curve>>,
    chain_code_commitments: BTreeMap<dkls23::protocols::PartyIndex, BroadcastDerivationPhase2to4>,
    chain_codes: BTreeMap<dkls23::protocols::PartyIndex, BroadcastDerivationPhase3to4>,
}

impl Openings {
    /// The addresses that the library sees are those that the transport authenticated.
    fn add(
        &mut self,
        me: PartyIndex,
        from: PartyIndex,
        commitments: &BTreeMap<PartyIndex, Commitments>,
        reveal: Reveal,
    ) {
        let parties = PartiesMessage { sender: from.0, receiver: me.0 };
        if let Some(commitments) = commitments.get(&from) {
            self.seed_commitments.push(TransmitInitZeroSharePhase2to4 {
                parties: parties.clone(),
                commitment: commitments.seed,
            });
        }
        self.seeds.push(TransmitInitZeroSharePhase3to4 {
            parties: parties.clone(),
            seed: reveal.seed.seed,
            salt: reveal.seed.salt.clone(),
        });
        self.multiplications.push(TransmitInitMulPhase3to4 {
            parties,
            dlog_proof: reveal.base_point,
            nonce: reveal.gadget_nonce,
            enc_proofs: reveal.encryptions,
            seed: reveal.base_seed,
        });
        self.add_public(from, commitments, reveal.proof, reveal.chain_code, reveal.chain_code_salt);
    }

    /// The commitments are those that were received in round 2 and echoed in round 3, never ones that came
    /// together with the opening.
    fn add_public(
        &mut self,
        from: PartyIndex,
        commitments: &BTreeMap<PartyIndex, Commitments>,
        proof: DLogProof<Curve>,
        chain_code: [u8; 32],
        chain_code_salt: Vec<u8>,
    ) {
        if let Some(commitments) = commitments.get(&from) {
            self.proofs.push(ProofCommitment { index: from.0, proof, commitment: commitments.proof });
            self.chain_code_commitments.insert(
                from.0,
                BroadcastDerivationPhase2to4 { sender_index: from.0, cc_commitment: commitments.chain_code },
            );
        }
        self.chain_codes.insert(
            from.0,
            BroadcastDerivationPhase3to4 {
                sender_index: from.0,
                aux_chain_code: chain_code,
                cc_salt: chain_code_salt,
            },
        );
    }

    /// The hash of all that was meant for everyone in round 4, after that of round 2.
    fn hash(&self, commitments: [u8; 32]) -> Result<[u8; 32], Abort> {
        let mut proofs: Vec<_> = self.proofs.iter().collect();
        proofs.sort_by_key(|proof| proof.index);
        let mut hash = Sha256::new_with_prefix(b"quorate mpc v1 keygen reveal");
        hash.update(commitments);
        for proof in proofs {
            // Encoded anew, so that two encodings of one proof hash alike.
            let encoded = postcard::to_allocvec(&proof.proof).map_err(Abort::encoding)?;
            hash.update([proof.index.as_u8()]);
            hash.update(Sha256::digest(encoded));
        }
        for (party, chain_code) in &self.chain_codes {
            hash.update([party.as_u8()]);
            hash.update(chain_code.aux_chain_code);
            hash.update(Sha256::digest(&chain_code.cc_salt));
        }
        Ok(hash.finalize().into())
    }
}

impl Drop for Openings {
    fn drop(&mut self) {
        for opening in &mut self.seeds {
            opening.seed.zeroize();
            opening.salt.zeroize();
        }
    }
}

fn hash_commitments(run: &Run, commitments: &BTreeMap<PartyIndex, Commitments>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"quorate mpc v1 keygen commitments");
    hash.update(run.endpoint.session.as_bytes());
    hash.update([run.quorum.threshold(), run.quorum.parties()]);
    for (party, commitments) in commitments {
        hash.update([party.get()]);
        hash.update(commitments.proof);
        hash.update(commitments.chain_code);
    }
    hash.finalize().into()
}

/// R1: the sender's polynomial at the receiver's index.
#[derive(Serialize, Deserialize)]
struct Fragment(Scalar);

impl Body for Fragment {
    const STEP: Step = Step::KeygenFragments;
    const CAPACITY: usize = 64;

    fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
        Ok(())
    }
}

impl Drop for Fragment {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// R2: the first two are the same for everyone.
#[derive(Serialize, Deserialize)]
struct Commitments {
    proof: [u8; 32],
    chain_code: [u8; 32],
    seed: [u8; 32],
}

impl Body for Commitments {
    const STEP: Step = Step::KeygenCommitments;
    const CAPACITY: usize = 96;

    fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
        Ok(())
    }
}

/// R3.
#[derive(Serialize, Deserialize)]
struct Echo {
    transcript: [u8; 32],
}

impl Body for Echo {
    const STEP: Step = Step::KeygenEcho;
    const CAPACITY: usize = 32;

    fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
        Ok(())
    }
}

/// R4: the proof and the chain code with its salt are the same for everyone.
#[derive(Serialize, Deserialize)]
struct Reveal {
    proof: DLogProof<Curve>,
    chain_code: [u8; 32],
    chain_code_salt: Vec<u8>,
    seed: Seed,
    base_point: DLogProof<Curve>,
    gadget_nonce: Scalar,
    encryptions: Vec<EncProof<Curve>>,
    base_seed: [u8; 32],
}

impl Body for Reveal {
    const STEP: Step = Step::KeygenReveal;
    const CAPACITY: usize = 192 * 1024;

    fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
        check_proof(&self.proof)?;
        check_proof(&self.base_point)?;
        check_len("chain code salt", SALT_LEN, self.chain_code_salt.len())?;
        check_len("seed salt", SALT_LEN, self.seed.salt.len())?;
        check_len("encryption proofs", usize::from(KAPPA), self.encryptions.len())
    }
}

/// The prover's challenges are all of one length. Were others let in, one commitment could be opened in two
/// ways, since it hashes them without their lengths.
fn check_proof(proof: &DLogProof<Curve>) -> Result<(), Malformed> {
    let repetitions = usize::from(PROOF_REPETITIONS);
    check_len("random commitments", repetitions, proof.rand_commitments.len())?;
    check_len("proofs", repetitions, proof.proofs.len())?;
    proof
        .proofs
        .iter()
        .try_for_each(|proof| check_len("challenge", usize::from(CHALLENGE_BITS / 8), proof.challenge.len()))
}

/// The opened seed of the zero shares that the sender and the receiver have in common.
#[derive(Serialize, Deserialize)]
struct Seed {
    seed: [u8; 32],
    salt: Vec<u8>,
}

impl From<TransmitInitZeroSharePhase3to4> for Seed {
    fn from(mut opening: TransmitInitZeroSharePhase3to4) -> Self {
        let seed = Self { seed: opening.seed, salt: core::mem::take(&mut opening.salt) };
        opening.seed.zeroize();
        seed
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.salt.zeroize();
    }
}
