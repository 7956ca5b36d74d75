//! Signing: exactly `t` parties sign 32 bytes with their shares.
//!
//! Protocol 3.6 of DKLs23 (<https://eprint.iacr.org/2023/765.pdf>). Party *i* with nonce *rᵢ*, mask *φᵢ* and
//! key share *skᵢ* (its point times the Lagrange coefficient of the set):
//!
//! ```text
//!        party i                                                     every other signer j
//!  R1 │ rᵢ, φᵢ at random        ── H(Rᵢ, ψ), first OT message ──▶ │ multiplications φⱼ·rᵢ and φⱼ·skᵢ begin
//!  R2 │                         ── Rᵢ, ψ, pkᵢ, OT answer, Γ ────▶ │ openings and multiplications checked
//!  R3 │ R = Σ Rⱼ, pk = Σ pkⱼ ?  ── uᵢ, wᵢ ──────────────────────▶ │ s = Σ w / Σ u, signature verified
//! ```
//!
//! Each `next` of [`Round1`], [`Round2`] and [`Round3`] takes in that step. All signers get the signature.
//!
//! The transport must authenticate and encrypt each message and deliver it once; see [the crate](crate). What
//! is signed is decided before the first round: this module signs whatever hash it is given.
//!
//! [`Abort::Ban`] comes from R1 and R2 alone, from checks of the multiplications that touch secrets which every
//! signature uses again. A message whose form is wrong is found before those checks and is no ban.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dkls23::protocols::signing::{
    Broadcast3to4, KeepPhase1to2, KeepPhase2to3, SignData, TransmitPhase1to2, TransmitPhase2to3,
    UniqueKeep1to2, UniqueKeep2to3,
};
use dkls23::protocols::{PartiesMessage, PartyIndex as LibraryIndex};
use dkls23::utilities::multiplication::{L as INPUTS, OT_WIDTH};
use dkls23::utilities::ot::extension::{BATCH_SIZE, KAPPA};

use crate::wire::{Body, Endpoint, check_len, redacted_rounds};
use crate::{
    Abort, Curve, Incoming, InvalidSignature, KeyShare, Malformed, Outgoing, PartyIndex, SessionId,
    Signature, Step,
};

/// The salt of a commitment, in bytes.
const SALT_LEN: usize = 64;

/// What stays the same through a run.
struct Run {
    share: Arc<KeyShare>,
    data: SignData,
    peers: BTreeSet<PartyIndex>,
    endpoint: Endpoint,
}

/// The commitments are out, and those of the other signers are awaited.
pub struct Round1 {
    run: Run,
    own: UniqueKeep1to2<Curve>,
    kept: BTreeMap<LibraryIndex, KeepPhase1to2<Curve>>,
}

impl Round1 {
    /// Starts to sign the 32 bytes `message_hash` together with the other `signers`; this share's party is one
    /// of them. `sign_id` is agreed by all signers and fresh for every attempt.
    ///
    /// # Errors
    ///
    /// [`Abort::SignerCount`], [`Abort::NotASigner`] or [`Abort::NotAParty`] if the set does not suit the
    /// share, and [`Abort::DamagedShare`] if the share is damaged.
    pub fn start(
        share: Arc<KeyShare>,
        signers: &BTreeSet<PartyIndex>,
        sign_id: SessionId,
        message_hash: [u8; 32],
    ) -> Result<(Self, Outgoing), Abort> {
        let quorum = share.quorum();
        let me = share.index();
        if let Some(party) = signers.iter().find(|party| !quorum.contains(**party)) {
            return Err(Abort::NotAParty { party: *party, parties: quorum.parties() });
        }
        if signers.len() != usize::from(quorum.threshold()) {
            return Err(Abort::SignerCount { expected: quorum.threshold(), given: signers.len() });
        }
        let mut peers = signers.clone();
        if !peers.remove(&me) {
            return Err(Abort::NotASigner { party: me });
        }
        let data = SignData {
            sign_id: sign_id.as_bytes().to_vec(),
            counterparties: peers.iter().map(|peer| peer.0).collect(),
            message_hash,
        };
        let (own, kept, messages) = share.party().sign_phase1(&data)?;
        let run = Run { share, data, peers, endpoint: Endpoint { session: sign_id, me } };
        let outgoing = run.send(&messages, |message| &message.parties)?;
        Ok((Self { run, own, kept }, outgoing))
    }

    /// Takes in the commitments, answers the multiplications, and opens this party's commitment.
    ///
    /// # Errors
    ///
    /// [`Abort::Ban`] if a peer cheated in its multiplication, [`Abort::Failed`] if its message is of another
    /// session, or if a message is missing, too many or malformed.
    pub fn next(self, incoming: Incoming) -> Result<(Round2, Outgoing), Abort> {
        let Self { run, own, kept } = self;
        let received: Vec<TransmitPhase1to2> =
            run.endpoint.decode_all(incoming, &run.peers)?.into_values().collect();
        let (own, kept, messages) = run.share.party().sign_phase2(&run.data, own, kept, &received)?;
        let outgoing = run.send(&messages, |message| &message.parties)?;
        Ok((Round2 { run, own, kept }, outgoing))
    }
}

/// The openings are out, and those of the other signers are awaited.
pub struct Round2 {
    run: Run,
    own: UniqueKeep2to3<Curve>,
    kept: BTreeMap<LibraryIndex, KeepPhase2to3<Curve>>,
}

impl Round2 {
    /// Checks the openings and the multiplications, and sends this party's share of the signature.
    ///
    /// # Errors
    ///
    /// [`Abort::Ban`] if a peer cheated in its multiplication, [`Abort::Failed`] if its opening is wrong or the
    /// key shares do not add up to the key, or if a message is missing, too many or malformed.
    pub fn next(self, incoming: Incoming) -> Result<(Round3, Outgoing), Abort> {
        let Self { run, own, kept } = self;
        let received: Vec<TransmitPhase2to3<Curve>> =
            run.endpoint.decode_all(incoming, &run.peers)?.into_values().collect();
        let (r, share) = run.share.party().sign_phase3(&run.data, own, kept, &received)?;
        let mut outgoing = Outgoing::new();
        for peer in &run.peers {
            outgoing.insert(*peer, run.endpoint.encode(*peer, &share)?);
        }
        Ok((Round3 { run, r, share }, outgoing))
    }
}

/// The share of the signature is out, and those of the other signers are awaited.
pub struct Round3 {
    run: Run,
    /// `r` in hexadecimal, the form in which the library hands it on.
    r: String,
    share: Broadcast3to4<Curve>,
}

impl Round3 {
    /// Puts the signature together and verifies it with an independent implementation.
    ///
    /// # Errors
    ///
    /// [`Abort::Failed`] or [`Abort::InvalidSignature`] if the shares do not make a signature of the key in its
    /// one accepted form (who is at fault cannot be told), or if a message is missing, too many or malformed.
    pub fn next(self, incoming: Incoming) -> Result<Signature, Abort> {
        let Self { run, r, share } = self;
        // The library checks neither the number nor the senders of these.
        let mut shares: Vec<Broadcast3to4<Curve>> =
            run.endpoint.decode_all(incoming, &run.peers)?.into_values().collect();
        shares.push(share);
        let (s, recovery_id) = run.share.party().sign_phase4(&run.data, &r, &shares, true)?;
        let r = parse_word(&r).ok_or(InvalidSignature::OutOfRange)?;
        let s = parse_word(&s).ok_or(InvalidSignature::OutOfRange)?;
        let key = run.share.public_key();
        Ok(Signature::checked(r, s, recovery_id, &key, &run.data.message_hash)?)
    }
}

redacted_rounds!(Round1, Round2, Round3);

impl Run {
    fn send<B: Body>(&self, messages: &[B], parties: fn(&B) -> &PartiesMessage) -> Result<Outgoing, Abort> {
        messages
            .iter()
            .map(|message| {
                let to = PartyIndex(parties(message).receiver);
                Ok((to, self.endpoint.encode(to, message)?))
            })
            .collect()
    }
}

/// 32 bytes from 64 hexadecimal digits.
fn parse_word(digits: &str) -> Option<[u8; 32]> {
    let mut word = [0; 32];
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != word.len() {
        return None;
    }
    for (byte, pair) in word.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(word)
}

impl Body for TransmitPhase1to2 {
    const STEP: Step = Step::SigningCommitments;
    const CAPACITY: usize = 32 * 1024;

    fn check(&self, from: PartyIndex, me: PartyIndex) -> Result<(), Malformed> {
        check_addresses(&self.parties, from, me)?;
        check_len("OT rows", usize::from(KAPPA), self.mul_transmit.u.len())?;
        check_len("OT check values", usize::from(KAPPA), self.mul_transmit.verify_t.len())
    }
}

impl Body for TransmitPhase2to3<Curve> {
    const STEP: Step = Step::SigningOpenings;
    const CAPACITY: usize = 64 * 1024;

    fn check(&self, from: PartyIndex, me: PartyIndex) -> Result<(), Malformed> {
        check_addresses(&self.parties, from, me)?;
        check_len("salt", SALT_LEN, self.salt.len())?;
        let answer = &self.mul_transmit;
        check_len("OT corrections", usize::from(OT_WIDTH), answer.vector_of_tau.len())?;
        for row in &answer.vector_of_tau {
            check_len("OT correction", usize::from(BATCH_SIZE), row.len())?;
        }
        check_len("multiplication check values", usize::from(INPUTS), answer.verify_u.len())?;
        check_len("multiplication adjustments", usize::from(INPUTS), answer.gamma_sender.len())
    }
}

impl Body for Broadcast3to4<Curve> {
    const STEP: Step = Step::SigningShares;
    const CAPACITY: usize = 128;

    fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
        Ok(())
    }
}

/// The library goes by the addresses inside the messages, so they must be the authenticated ones.
fn check_addresses(parties: &PartiesMessage, from: PartyIndex, me: PartyIndex) -> Result<(), Malformed> {
    if (parties.sender, parties.receiver) == (from.0, me.0) {
        return Ok(());
    }
    Err(Malformed::Misaddressed { sender: parties.sender.as_u8(), receiver: parties.receiver.as_u8() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_64_digits() {
        assert_eq!(parse_word(&"0a".repeat(32)), Some([0x0a; 32]));
        for wrong in ["", "0a", &"0a".repeat(31), &"0a".repeat(33), &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(parse_word(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_inner_addresses_must_be_the_authenticated_ones() {
        let party = |index| PartyIndex::new(index).unwrap();
        let parties = PartiesMessage { sender: party(1).0, receiver: party(2).0 };
        assert_eq!(check_addresses(&parties, party(1), party(2)), Ok(()));
        for (from, me) in [(3, 2), (1, 3), (2, 1)] {
            assert_eq!(
                check_addresses(&parties, party(from), party(me)),
                Err(Malformed::Misaddressed { sender: 1, receiver: 2 })
            );
        }
    }
}
