//! Signing: every quorum signs, and whoever deviates gets no signature out of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, VerifyingKey};
use quorate_mpc::{Abort, Incoming, MAX_MESSAGE_LEN, Malformed, Signature, Step, signing};

use crate::router::*;

const HASH: [u8; 32] = [0x42; 32];

fn assert_verifies(shares: &Shares, signature: &Signature, hash: &[u8; 32]) {
    let key = VerifyingKey::from_sec1_bytes(&shares[&party(1)].public_key()).unwrap();
    let ecdsa = EcdsaSignature::from_slice(&signature.to_bytes()).unwrap();
    key.verify_prehash(hash, &ecdsa).unwrap();
    assert_eq!(ecdsa.normalize_s(), ecdsa);
    let recovery = RecoveryId::from_byte(signature.recovery_id()).unwrap();
    assert_eq!(VerifyingKey::recover_from_prehash(hash, &ecdsa, recovery).unwrap(), key);
}

#[test]
fn every_three_of_five_sign() {
    let shares = three_of_five();
    let mut quorums = 0;
    for mask in 0..32_u8 {
        let signers: Vec<u8> = (1..=5).filter(|index| mask >> (index - 1) & 1 == 1).collect();
        if signers.len() == 3 {
            let hash = [mask; 32];
            assert_verifies(shares, &sign(shares, &signers, hash), &hash);
            quorums += 1;
        }
    }
    assert_eq!(quorums, 10);
}

#[test]
fn two_of_two_and_two_of_three_sign() {
    assert_verifies(two_of_two(), &sign(two_of_two(), &[1, 2], HASH), &HASH);
    for signers in [[1, 2], [1, 3], [2, 3]] {
        assert_verifies(two_of_three(), &sign(two_of_three(), &signers, HASH), &HASH);
    }
}

/// The hashes at the ends of the range, where reducing them matters.
#[test]
fn any_hash_can_be_signed() {
    for hash in [[0; 32], [0xff; 32]] {
        assert_verifies(two_of_two(), &sign(two_of_two(), &[2, 1], hash), &hash);
    }
}

#[test]
fn the_signers_are_exactly_a_quorum_with_this_party() {
    let start = |signers: &[u8]| {
        let signers: BTreeSet<_> = signers.iter().map(|index| party(*index)).collect();
        let share = Arc::clone(&two_of_three()[&party(1)]);
        let error = signing::Round1::start(share, &signers, fresh_id(), HASH).unwrap_err();
        assert!(!error.is_recoverable());
        error
    };
    assert!(matches!(start(&[1]), Abort::SignerCount { expected: 2, given: 1 }));
    assert!(matches!(start(&[1, 2, 3]), Abort::SignerCount { expected: 2, given: 3 }));
    assert!(matches!(start(&[2, 3]), Abort::NotASigner { party: me } if me == party(1)));
    assert!(matches!(start(&[1, 4]), Abort::NotAParty { party: other, parties: 3 } if other == party(4)));
}

#[test]
fn the_last_round_counts_its_shares() {
    let last = |change: fn(&mut Incoming)| {
        let (mut rounds, mut inboxes) = signing_shared(three_of_five(), &[1, 2, 3], HASH);
        let mut inbox = inboxes.remove(&party(1)).unwrap();
        change(&mut inbox);
        rounds.remove(&party(1)).unwrap().next(inbox).unwrap_err()
    };
    let step = Step::SigningShares;
    let missing = last(|inbox| drop(inbox.remove(&party(2))));
    assert!(matches!(missing, Abort::MissingMessage { party: p, step: s } if p == party(2) && s == step));
    let outsider = last(|inbox| {
        let share = inbox[&party(3)].clone();
        inbox.insert(party(4), share);
    });
    assert!(matches!(outsider, Abort::UnexpectedMessage { party: p, step: s } if p == party(4) && s == step));
    let repeated = last(|inbox| {
        let share = inbox[&party(3)].clone();
        inbox.insert(party(2), share);
    });
    assert!(matches!(
        repeated,
        Abort::Malformed { party: p, reason: Malformed::Misaddressed { sender: 3, receiver: 1 }, .. }
            if p == party(2)
    ));
}

#[test]
fn a_message_of_another_round_is_refused() {
    let (rounds, first) = signing_start(two_of_two(), &[1, 2], fresh_id(), HASH);
    let (rounds, second) = all(advance(rounds, first.clone(), signing::Round1::next));
    for (_, result) in advance(rounds, first, signing::Round2::next) {
        let error = result.unwrap_err();
        assert!(matches!(
            error,
            Abort::Malformed { reason: Malformed::OtherStep { found: Step::SigningCommitments }, .. }
        ));
    }
    let (rounds, _) = signing_shared(two_of_two(), &[1, 2], HASH);
    for (_, result) in advance(rounds, second, signing::Round3::next) {
        let error = result.unwrap_err();
        assert!(matches!(
            error,
            Abort::Malformed { reason: Malformed::OtherStep { found: Step::SigningOpenings }, .. }
        ));
    }
}

#[test]
fn a_signer_with_another_hash_bans_nobody() {
    let id = fresh_id();
    let (rounds, _) = signing_start(two_of_two(), &[1, 2], id, HASH);
    let (_, other) = signing_start(two_of_two(), &[1, 2], id, [0; 32]);
    for (me, result) in advance(rounds, other, signing::Round1::next) {
        let error = result.unwrap_err();
        let Abort::Failed { party: Some(culprit), .. } = &error else { panic!("{error}") };
        assert_ne!(*culprit, me);
        assert!(error.is_recoverable());
    }
}

#[test]
fn a_replayed_attempt_bans_nobody() {
    let id = fresh_id();
    let (rounds, inboxes) = signing_start(two_of_two(), &[1, 2], id, HASH);
    let (_, openings) = all(advance(rounds, inboxes, signing::Round1::next));
    let (rounds, inboxes) = signing_start(two_of_two(), &[1, 2], id, HASH);
    let (rounds, _) = all(advance(rounds, inboxes, signing::Round1::next));
    for (_, result) in advance(rounds, openings, signing::Round2::next) {
        assert!(result.unwrap_err().is_recoverable());
    }
}

/// A signer whose OT message does not pass the consistency check must be banned for ever.
#[test]
fn cheating_in_a_multiplication_is_a_ban() {
    let (mut rounds, mut inboxes) = signing_start(two_of_two(), &[1, 2], fresh_id(), HASH);
    // In the OT matrix, which follows the addresses, the binding, the commitment and the nonce.
    message(&mut inboxes, 1, 2)[HEADER_LEN + 2 + 3 * 32 + 1000] ^= 1;
    let error = rounds.remove(&party(2)).unwrap().next(inboxes.remove(&party(2)).unwrap()).unwrap_err();
    assert!(matches!(error, Abort::Ban { .. }), "{error}");
    assert_eq!(error.banned(), Some(party(1)));
    assert!(!error.is_recoverable());
    assert!(error.to_string().contains("persist its ban"));
}

/// Runs 2 of 2 to its end with one byte of the message from party 1 to party 2 changed in one round.
fn tampered(round: u8, change: &dyn Fn(&mut Vec<u8>)) -> Result<Signature, Abort> {
    let mut step = 1;
    let mut touch = |inboxes: &mut Each<Incoming>| {
        if step == round {
            change(message(inboxes, 1, 2));
        }
        step += 1;
    };
    let take = |each: Each<Incoming>| each.into_iter().next_back().unwrap().1;
    let (mut firsts, mut inboxes) = signing_start(two_of_two(), &[1, 2], fresh_id(), HASH);
    touch(&mut inboxes);
    let one = firsts.remove(&party(1)).unwrap().next(inboxes[&party(1)].clone());
    let two = firsts.remove(&party(2)).unwrap().next(take(inboxes))?;
    let (mut seconds, mut inboxes) = all([(party(1), one), (party(2), Ok(two))].into());
    touch(&mut inboxes);
    let one = seconds.remove(&party(1)).unwrap().next(inboxes[&party(1)].clone());
    let two = seconds.remove(&party(2)).unwrap().next(take(inboxes))?;
    let (mut thirds, mut inboxes) = all([(party(1), one), (party(2), Ok(two))].into());
    touch(&mut inboxes);
    thirds.remove(&party(2)).unwrap().next(take(inboxes))
}

#[test]
fn no_changed_byte_leads_to_a_signature() {
    assert!(tampered(0, &|_| ()).is_ok());
    for (round, len) in [(1, 27_000), (2, 54_000), (3, 66)] {
        // Near the start every part is small, further on there are only long lists.
        let near = (0..300_usize.min(len)).step_by(9);
        let far = (300..len).step_by(4_999);
        for at in near.chain(far).map(|at| HEADER_LEN + at) {
            let error = tampered(round, &|message| message[at] ^= 1).unwrap_err();
            match error {
                Abort::Malformed { party: culprit, .. }
                | Abort::Ban { party: culprit, .. }
                | Abort::Failed { party: Some(culprit), .. } => assert_eq!(culprit, party(1), "{round} {at}"),
                // The sums, where nobody can be named.
                Abort::Failed { party: None, .. } => assert!(round >= 2, "{round} {at}"),
                other => panic!("round {round}, byte {at}: {other}"),
            }
        }
    }
}

/// A wrong length is found before the multiplication, where it would be a ban.
#[test]
fn a_message_of_wrong_dimensions_is_malformed_and_no_ban() {
    for round in 1..=3 {
        for cut in [HEADER_LEN - 1, HEADER_LEN, HEADER_LEN + 33, HEADER_LEN + 60] {
            let error = tampered(round, &|message| message.truncate(cut)).unwrap_err();
            assert!(matches!(error, Abort::Malformed { .. }), "{error}");
        }
        let error = tampered(round, &|message| message.push(0)).unwrap_err();
        assert!(matches!(error, Abort::Malformed { reason: Malformed::TrailingBytes { count: 1 }, .. }));
        let error = tampered(round, &|message| message.resize(MAX_MESSAGE_LEN, 0xff)).unwrap_err();
        assert!(matches!(error, Abort::Malformed { .. }), "{error}");
    }
    // The last list of round 2 holds two scalars: say that it is one, and cut it off.
    let error = tampered(2, &|message| {
        // A scalar is its length, 32, and its bytes.
        let count = message.len() - 2 * 33 - 1;
        assert_eq!(message[count], 2);
        message[count] = 1;
        message.truncate(count + 1 + 33);
    })
    .unwrap_err();
    let Abort::Malformed { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, Malformed::Dimension { list: "multiplication adjustments", expected: 2, found: 1 });
}
