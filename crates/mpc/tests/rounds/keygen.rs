//! Key generation: agreement, and every way of breaking it.

use std::collections::BTreeSet;

use quorate_mpc::{Abort, Incoming, MAX_MESSAGE_LEN, Malformed, Step, keygen, signing};

use crate::router::*;

/// Where the parts of a reveal begin: a point has 33 bytes, a scalar 32, and both their length before them.
const PROOF_LEN: usize = 34 + 1 + 64 * 34 + 1 + 64 * (1 + 4 + 33);
const CHAIN_CODE: usize = HEADER_LEN + PROOF_LEN;
const SEED: usize = CHAIN_CODE + 32 + 65;
const BASE_POINT: usize = SEED + 32 + 65;
const GADGET_NONCE: usize = BASE_POINT + PROOF_LEN;
const ENCRYPTIONS: usize = GADGET_NONCE + 33 + 2;
const BASE_SEED: usize = ENCRYPTIONS + 256 * (2 * (4 * 34 + 33) + 4 * 34 + 2 * 33);
const REVEAL_LEN: usize = BASE_SEED + 32;

#[test]
fn all_parties_confirm_one_key() {
    let unconfirmed = keygen_unconfirmed(quorum(2, 3));
    let first = unconfirmed[&party(1)].confirmation().clone();
    assert_eq!(first.quorum(), quorum(2, 3));
    assert_eq!(first.verifying_shares().len(), 3);
    assert_eq!(first.verifying_shares().values().collect::<BTreeSet<_>>().len(), 3);
    for pending in unconfirmed.values() {
        assert_eq!(pending.confirmation(), &first);
        assert_eq!(pending.confirmation().digest(), first.digest());
    }
    for (index, share) in confirm_all(unconfirmed) {
        assert_eq!(share.index(), index);
        assert_eq!(share.public_key(), *first.public_key());
        assert_eq!(share.session_id(), first.session_id());
        assert_eq!(share.quorum(), first.quorum());
    }
}

#[test]
fn a_party_beyond_the_quorum_cannot_start() {
    let error = keygen::Round1::start(quorum(2, 3), party(4), fresh_id()).unwrap_err();
    assert!(matches!(error, Abort::NotAParty { parties: 3, .. }));
    assert!(!error.is_recoverable());
}

#[test]
fn a_round_takes_exactly_its_peers() {
    let refused = |change: fn(&mut Incoming)| {
        let (mut rounds, mut inboxes) = keygen_start(quorum(2, 3), fresh_id());
        let mut inbox = inboxes.remove(&party(1)).unwrap();
        change(&mut inbox);
        rounds.remove(&party(1)).unwrap().next(inbox).unwrap_err()
    };
    let step = Step::KeygenFragments;

    let missing = refused(|inbox| drop(inbox.remove(&party(3))));
    assert!(matches!(missing, Abort::MissingMessage { party: p, step: s } if p == party(3) && s == step));
    assert!(missing.is_recoverable());
    assert_eq!(missing.banned(), None);

    for extra in [1, 4] {
        let (mut rounds, mut inboxes) = keygen_start(quorum(2, 3), fresh_id());
        let mut inbox = inboxes.remove(&party(1)).unwrap();
        inbox.insert(party(extra), vec![1].into());
        let error = rounds.remove(&party(1)).unwrap().next(inbox).unwrap_err();
        assert!(
            matches!(error, Abort::UnexpectedMessage { party: p, step: s } if p == party(extra) && s == step)
        );
    }

    let swapped = refused(|inbox| {
        let (two, three) = (inbox.remove(&party(2)).unwrap(), inbox.remove(&party(3)).unwrap());
        inbox.extend([(party(2), three), (party(3), two)]);
    });
    assert!(matches!(
        swapped,
        Abort::Malformed { party: p, reason: Malformed::Misaddressed { sender: 3, receiver: 1 }, .. }
            if p == party(2)
    ));
}

#[test]
fn a_message_of_another_step_or_run_is_refused() {
    let (rounds, fragments) = keygen_start(quorum(2, 2), fresh_id());
    let (mut rounds, _) = all(advance(rounds, fragments.clone(), keygen::Round1::next));
    let error = rounds.remove(&party(1)).unwrap().next(fragments[&party(1)].clone()).unwrap_err();
    assert!(matches!(
        error,
        Abort::Malformed {
            step: Step::KeygenCommitments,
            reason: Malformed::OtherStep { found: Step::KeygenFragments },
            ..
        }
    ));

    let (mut rounds, _) = keygen_start(quorum(2, 2), fresh_id());
    let error = rounds.remove(&party(1)).unwrap().next(fragments[&party(1)].clone()).unwrap_err();
    assert!(matches!(error, Abort::Malformed { reason: Malformed::OtherSession, .. }));
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let run = |change: &dyn Fn(&mut Vec<u8>)| {
        let (mut rounds, mut inboxes) = keygen_start(quorum(2, 2), fresh_id());
        change(message(&mut inboxes, 2, 1));
        rounds.remove(&party(1)).unwrap().next(inboxes.remove(&party(1)).unwrap()).unwrap_err()
    };
    let reason = |error| match error {
        Abort::Malformed { party: from, step: Step::KeygenFragments, reason } if from == party(2) => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason(run(&|m| m.clear())), Malformed::TooShort { len: 0 });
    assert_eq!(reason(run(&|m| m.truncate(HEADER_LEN))), Malformed::Encoding);
    assert_eq!(reason(run(&|m| m.push(0))), Malformed::TrailingBytes { count: 1 });
    assert_eq!(
        reason(run(&|m| m.resize(MAX_MESSAGE_LEN + 1, 0))),
        Malformed::TooLong { len: MAX_MESSAGE_LEN + 1, limit: MAX_MESSAGE_LEN }
    );
    // A scalar beyond the order of the group.
    assert_eq!(reason(run(&|m| m[HEADER_LEN..].fill(0xff))), Malformed::Encoding);
}

#[test]
fn a_wrong_fragment_is_found_when_the_points_are_opened() {
    let (rounds, mut inboxes) = keygen_start(quorum(2, 3), fresh_id());
    message(&mut inboxes, 2, 1)[HEADER_LEN + 31] ^= 1;
    let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round1::next));
    let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round2::next));
    let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round3::next));
    for (_, result) in advance(rounds, inboxes, keygen::Round4::next) {
        let error = result.unwrap_err();
        assert!(matches!(error, Abort::Failed { party: None, .. }), "{error}");
        assert!(error.is_recoverable());
    }
}

/// Party 1 tells party 2 another commitment than party 3.
#[test]
fn different_commitments_to_different_parties_are_caught_by_the_echo() {
    // The commitment to the proof, and that to the chain code.
    for at in [HEADER_LEN, HEADER_LEN + 32] {
        let (rounds, mut inboxes) = keygen_committed(quorum(2, 3), fresh_id());
        message(&mut inboxes, 1, 2)[at] ^= 1;
        let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round2::next));
        for (me, result) in advance(rounds, inboxes, keygen::Round3::next) {
            let error = result.unwrap_err();
            let Abort::Equivocation { party: other, step: Step::KeygenCommitments } = error else {
                panic!("{error}");
            };
            // Party 2 differs from both others, and each of them from party 2.
            assert_eq!(other, if me == party(2) { party(1) } else { party(2) });
        }
    }
}

#[test]
fn a_tampered_echo_is_refused() {
    let (mut rounds, mut inboxes) = keygen_echoed(quorum(2, 3), fresh_id());
    message(&mut inboxes, 3, 1)[HEADER_LEN] ^= 1;
    let error = rounds.remove(&party(1)).unwrap().next(inboxes.remove(&party(1)).unwrap()).unwrap_err();
    assert!(matches!(error, Abort::Equivocation { party: other, .. } if other == party(3)));
}

/// Party 1 runs twice under one id, commits with one run, and opens the other.
#[test]
fn what_is_opened_is_what_was_committed() {
    let id = fresh_id();
    let (rounds, mut inboxes) = keygen_revealed(quorum(2, 2), id);
    let (_, mut others) = keygen_revealed(quorum(2, 2), id);
    *message(&mut inboxes, 1, 2) = message(&mut others, 1, 2).clone();
    let error = advance(rounds, inboxes, keygen::Round4::next).remove(&party(2)).unwrap().unwrap_err();
    let Abort::Failed { party: Some(culprit), failure } = &error else { panic!("{error}") };
    assert_eq!(*culprit, party(1));
    assert_eq!(failure.to_string(), "proof verification failed for party 1");
}

/// The commitment to the seed is for one peer alone, so the echo does not cover it, and its opening must.
#[test]
fn a_seed_that_was_not_committed_is_refused() {
    let (rounds, mut inboxes) = keygen_committed(quorum(2, 2), fresh_id());
    message(&mut inboxes, 1, 2)[HEADER_LEN + 64] ^= 1;
    let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round2::next));
    let (rounds, inboxes) = all(advance(rounds, inboxes, keygen::Round3::next));
    let error = advance(rounds, inboxes, keygen::Round4::next).remove(&party(2)).unwrap().unwrap_err();
    let Abort::Failed { party: Some(culprit), failure } = &error else { panic!("{error}") };
    assert_eq!(*culprit, party(1));
    assert_eq!(failure.to_string(), "zero-share decommitment failed for party 1");
}

#[test]
fn every_part_of_a_reveal_is_checked() {
    // Each run has one part changed on the way to party 1 and another on the way to party 2.
    for (to_one, to_two) in [
        (HEADER_LEN + 40, CHAIN_CODE),
        (SEED, BASE_POINT + 40),
        (ENCRYPTIONS + 1000, ENCRYPTIONS + 100_000),
        (HEADER_LEN + 34, SEED + 32),
        (BASE_SEED, REVEAL_LEN - 1),
    ] {
        let (rounds, mut inboxes) = keygen_revealed(quorum(2, 2), fresh_id());
        assert_eq!(message(&mut inboxes, 1, 2).len(), REVEAL_LEN);
        message(&mut inboxes, 2, 1)[to_one] ^= 1;
        message(&mut inboxes, 1, 2)[to_two] ^= 1;
        for (me, result) in advance(rounds, inboxes, keygen::Round4::next) {
            let peer = if me == party(1) { party(2) } else { party(1) };
            match result.unwrap_err() {
                Abort::Failed { party: Some(culprit), .. } => assert_eq!(culprit, peer),
                Abort::Malformed { party: culprit, step: Step::KeygenReveal, .. } => {
                    assert_eq!(culprit, peer)
                }
                other => panic!("{other}"),
            }
        }
    }
}

/// The one part that nothing in key generation checks, since a wrong one is as random as a right one. The pair
/// has then set up different gadgets: it never signs together, and nobody is banned for it.
#[test]
fn a_pair_with_different_gadgets_cannot_sign_and_bans_nobody() {
    let (rounds, mut inboxes) = keygen_revealed(quorum(2, 2), fresh_id());
    message(&mut inboxes, 1, 2)[GADGET_NONCE + 32] ^= 1;
    let unconfirmed = advance(rounds, inboxes, keygen::Round4::next)
        .into_iter()
        .map(|(party, result)| (party, result.unwrap()))
        .collect();
    let (rounds, inboxes) = signing_start(&confirm_all(unconfirmed), &[1, 2], fresh_id(), [0; 32]);
    for (_, result) in advance(rounds, inboxes, signing::Round1::next) {
        let error = result.unwrap_err();
        assert!(matches!(error, Abort::Failed { party: Some(_), .. }), "{error}");
        assert_eq!(error.banned(), None);
    }
}

#[test]
fn a_result_that_others_do_not_confirm_is_no_key() {
    let step = Step::KeygenConfirmation;
    let mut unconfirmed = keygen_unconfirmed(quorum(2, 3));
    let [mut wrong, mut missing, mut extra] = [1, 2, 3].map(|me| digests(&unconfirmed, party(me)));
    wrong.get_mut(&party(3)).unwrap()[0] ^= 1;
    missing.remove(&party(1));
    extra.insert(party(3), [0; 32]);
    let mut refused = |me, digests| unconfirmed.remove(&party(me)).unwrap().confirm(digests).unwrap_err();
    assert!(
        matches!(refused(1, &wrong), Abort::Equivocation { party: p, step: s } if p == party(3) && s == step)
    );
    assert!(
        matches!(refused(2, &missing), Abort::MissingMessage { party: p, step: s } if p == party(1) && s == step)
    );
    assert!(
        matches!(refused(3, &extra), Abort::UnexpectedMessage { party: p, step: s } if p == party(3) && s == step)
    );
}

#[test]
fn a_round_shows_no_secret() {
    let (rounds, _) = keygen_start(quorum(2, 2), fresh_id());
    let shown = format!("{:?}", rounds[&party(1)]);
    assert!(
        shown.starts_with("Round1 { me: PartyIndex(1), session: SessionId(") && shown.ends_with(", .. }")
    );
}
