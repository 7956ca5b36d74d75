use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use quorate_protocol::{NodeIndex, Refusal};

use super::{Attempts, Laggards, Memory, Next, Outcome, Pair, Progress, Quorum, SIGNING_DEADLINE};

const KEY: &str = "key";
const START: Duration = Duration::from_secs(1000);
/// What honest nodes take.
const HONEST: Duration = Duration::from_millis(50);

fn node(index: u8) -> NodeIndex {
    NodeIndex::new(index).expect("nodes count from 1")
}

fn nodes(indices: impl IntoIterator<Item = u8>) -> BTreeSet<NodeIndex> {
    indices.into_iter().map(node).collect()
}

fn pair(one: u8, other: u8) -> Pair {
    Pair::new(node(one), node(other))
}

/// A search among nodes 1 to 5 of which three sign, and the gateway's memory.
#[derive(Clone)]
struct Search {
    attempts: Attempts,
    memory: Memory,
    now: Duration,
}

impl Search {
    fn new() -> Self {
        Self::with(Memory::default(), START)
    }

    fn with(memory: Memory, now: Duration) -> Self {
        Self { attempts: Attempts::new(KEY.to_owned(), 3, now), memory, now }
    }

    fn next(&mut self, random: u64) -> Next {
        self.attempts.next(&mut self.memory, self.now, &nodes(1..=5), random)
    }

    fn quorum(&mut self) -> Quorum {
        match self.next(0) {
            Next::Ask { quorum, .. } => quorum,
            other => panic!("not a quorum: {other:?}"),
        }
    }

    fn note(&mut self, quorum: &Quorum, outcome: Outcome) {
        self.attempts.note(&mut self.memory, self.now, quorum, outcome);
    }

    fn refuse(&mut self, quorum: &Quorum, by: u8, refusal: Refusal) {
        self.note(quorum, Outcome::Refused { node: node(by), refusal });
    }
}

fn failed(by: u8, peer: u8) -> Refusal {
    Refusal::Failed { node: node(by), peer: node(peer), reason: "spoilt".into() }
}

fn contended() -> Refusal {
    let amount = alloy_primitives::U256::ONE;
    Refusal::Contended { limited: "uses".into(), total: amount, limit: amount }
}

#[test]
fn a_broken_run_parts_the_pair_and_keeps_both_nodes() {
    let refusals = [
        failed(1, 2),
        Refusal::Silent { node: node(1), peer: node(2) },
        Refusal::Banned { node: node(1), peer: node(2) },
    ];
    for refusal in refusals {
        let mut search = Search::new();
        let first = search.quorum();
        assert_eq!(first, nodes([1, 2, 3]));
        search.refuse(&first, 1, refusal);
        let mut met = BTreeSet::new();
        while let Next::Ask { quorum, .. } = search.next(0) {
            assert!(!quorum.is_superset(&nodes([1, 2])), "{quorum:?}");
            met.extend(quorum.iter().copied());
            search.note(&quorum, Outcome::Slow(Laggards::Nobody));
        }
        assert_eq!(met, nodes(1..=5), "neither is left out alone");
    }
}

#[test]
fn a_node_that_speaks_for_another_or_of_a_stranger_is_left_out_itself() {
    for refusal in [failed(2, 3), failed(1, 5), failed(1, 1)] {
        let mut search = Search::new();
        let first = search.quorum();
        search.refuse(&first, 1, refusal);
        assert_eq!(search.quorum(), nodes([2, 3, 4]));
    }
}

#[test]
fn a_wrong_signature_and_a_refusal_leave_out_their_sender_alone() {
    let mut search = Search::new();
    let first = search.quorum();
    search.note(&first, Outcome::NotTheKeys { node: node(2) });
    let second = search.quorum();
    assert_eq!(second, nodes([1, 3, 4]));
    search.refuse(&second, 3, Refusal::NoPermissions);
    let third = search.quorum();
    assert_eq!(third, nodes([1, 4, 5]));
    search.refuse(&third, 4, Refusal::Unfinished { reason: "away".into() });
    assert_eq!(search.next(0), Next::GiveUp);
    assert_eq!(search.attempts.worst_refusal(), Some(&Refusal::NoPermissions));
}

#[test]
fn a_wrong_signature_is_remembered_in_the_next_request() {
    let mut search = Search::new();
    let first = search.quorum();
    search.note(&first, Outcome::NotTheKeys { node: node(1) });
    assert_eq!(Search::with(search.memory, START).quorum(), nodes([2, 3, 4]));
}

#[test]
fn a_contended_quorum_is_asked_again_after_growing_pauses_and_then_another() {
    let mut search = Search::new();
    let mut pauses = Vec::new();
    for expected in [nodes([1, 2, 3]), nodes([1, 2, 3]), nodes([1, 2, 3]), nodes([2, 3, 4])] {
        let quorum = search.quorum();
        assert_eq!(quorum, expected);
        search.refuse(&quorum, 1, contended());
        let Next::Pause(pause) = search.next(0) else { panic!("no pause") };
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [10, 20, 40, 80]);
    let first = search.quorum();
    search.refuse(&first, 2, contended());
    let Next::Pause(pause) = search.next(999) else { panic!("no pause") };
    assert!(pause > Duration::from_millis(160), "{pause:?} depends on the random number");
}

#[test]
fn a_contended_quorum_that_then_ends_otherwise_is_not_asked_again_for_having_been_contended() {
    let slow = Outcome::Slow(Laggards::Pairs([Pair::new(node(1), node(2))].into()));
    let busy = Outcome::Refused { node: node(1), refusal: Refusal::Busy };
    for outcome in [slow, busy, Outcome::Gone { node: node(1) }] {
        let mut search = Search::new();
        let first = search.quorum();
        search.refuse(&first, 1, contended());
        assert!(matches!(search.next(0), Next::Pause(_)));
        assert_eq!(search.quorum(), first);
        search.note(&first, outcome.clone());
        let next = match search.next(0) {
            Next::Pause(_) => search.quorum(),
            Next::Ask { quorum, .. } => quorum,
            Next::GiveUp => panic!("gave up after {outcome:?}"),
        };
        assert_ne!(next, first, "{outcome:?}");
    }
}

#[test]
fn a_busy_node_is_turned_to_last_and_after_a_pause() {
    let mut search = Search::new();
    let first = search.quorum();
    search.refuse(&first, 1, Refusal::Busy);
    let second = search.quorum();
    assert_eq!(second, nodes([2, 3, 4]));
    for gone in [2, 3, 4] {
        search.note(&second, Outcome::NotTheKeys { node: node(gone) });
    }
    assert_eq!(search.next(0), Next::GiveUp);

    let mut search = Search::new();
    let first = search.quorum();
    for busy in 1..=3 {
        search.refuse(&first, busy, Refusal::Busy);
    }
    assert!(matches!(search.next(0), Next::Pause(_)));
    assert!(matches!(search.next(0), Next::Ask { .. }));
}

#[test]
fn patience_follows_the_median_and_doubles_twice() {
    let mut memory = Memory::default();
    let quorum = nodes([1, 2, 3]);
    let mut take = |took: u64, times: usize| {
        for _ in 0..times {
            memory.succeeded(&quorum, Duration::from_millis(took));
        }
        memory.patience().as_millis()
    };
    assert_eq!(take(10, 1), 150);
    assert_eq!(take(100, 100), 300);
    assert_eq!(take(9000, 49), 300, "fewer than half of the last 100");
    assert_eq!(take(9000, 49), 600, "no longer than leaves time for others");

    let mut search = Search::with(memory, START);
    for expected in [600, 1200, 2400, 2400] {
        let Next::Ask { quorum, patience } = search.next(0) else { panic!("no quorum") };
        assert_eq!(patience.as_millis(), expected);
        search.note(&quorum, Outcome::Slow(Laggards::Nobody));
    }
}

#[test]
fn no_quorum_is_slow_twice_and_none_is_asked_after_the_deadline() {
    let mut search = Search::new();
    let mut tried = BTreeSet::new();
    while let Next::Ask { quorum, .. } = search.next(0) {
        search.note(&quorum, Outcome::Slow(Laggards::Nobody));
        assert!(tried.insert(quorum));
    }
    assert_eq!(tried.len(), 10);

    let mut search = Search::new();
    search.now += SIGNING_DEADLINE;
    assert_eq!(search.next(0), Next::GiveUp);
}

#[test]
fn reports_of_the_earliest_round_decide_and_junk_changes_nothing() {
    let sent = [(node(1), 2), (node(2), 9), (node(3), 1)].into();
    let mut progress = Progress { sent, ..Progress::default() };
    assert_eq!(progress.laggards(), Laggards::Node(node(3)));
    progress.waiting.insert(node(1), (2, nodes([3])));
    progress.waiting.insert(node(3), (1, nodes([2, 4, 3])));
    // Node 3 is behind because node 2 kept a message from it; node 4 and node 3 itself are no peers.
    assert_eq!(progress.laggards(), Laggards::Pairs([pair(2, 3)].into()));

    let equal = [(node(1), 4), (node(2), 4), (node(3), 4)].into();
    assert_eq!(Progress { sent: equal, ..Progress::default() }.laggards(), Laggards::Nobody);
}

#[test]
fn blame_is_remembered_for_ten_minutes_and_then_probed_by_one_request() {
    let mut search = Search::new();
    let first = search.quorum();
    search.refuse(&first, 1, failed(1, 2));
    let later = |memory: &Memory, seconds| Search::with(memory.clone(), START + Duration::from_secs(seconds));
    assert_eq!(later(&search.memory, 599).quorum(), nodes([1, 3, 4]));

    let mut probe = later(&search.memory, 601);
    let probed = probe.quorum();
    assert_eq!(probed, nodes([1, 2, 3]));
    assert_eq!(later(&probe.memory, 601).quorum(), nodes([1, 3, 4]), "one request at a time");
    probe.note(&probed, Outcome::Signed { took: HONEST });
    assert_eq!(later(&probe.memory, 601).quorum(), nodes([1, 2, 3]));
}

#[test]
fn a_ban_is_remembered_for_its_key_and_rules_nothing_out_when_no_other_quorum_is_left() {
    let mut search = Search::new();
    let first = search.quorum();
    search.refuse(&first, 1, Refusal::Banned { node: node(1), peer: node(2) });
    let memory = search.memory;
    let later = START + Duration::from_secs(86_400);
    assert_eq!(Search::with(memory.clone(), later).quorum(), nodes([1, 3, 4]));
    let mut other_key = Search::with(memory.clone(), later);
    other_key.attempts = Attempts::new("another".to_owned(), 3, later);
    assert_eq!(other_key.quorum(), nodes([1, 2, 3]));
    let mut alone = Search::with(memory, later);
    let asked = alone.attempts.next(&mut alone.memory, later, &nodes([1, 2, 3]), 0);
    assert!(matches!(asked, Next::Ask { .. }), "{asked:?}");
}

/// A machine on which everything is slow: no bad node can have stalled as many quorums.
#[test]
fn after_more_slow_quorums_than_bad_nodes_can_stall_the_next_one_has_all_the_time_that_is_left() {
    let mut search = Search::new();
    for _ in 0..6 {
        let Next::Ask { quorum, patience } = search.next(0) else { panic!("no quorum") };
        assert!(patience < SIGNING_DEADLINE / 4, "{patience:?}");
        search.now += patience;
        search.note(&quorum, Outcome::Slow(Laggards::Nobody));
    }
    let left = search.attempts.left(search.now);
    assert!(left > SIGNING_DEADLINE / 3, "{left:?}");
    assert!(matches!(search.next(0), Next::Ask { patience, .. } if patience == left));
}

#[test]
fn the_last_quorum_that_is_left_has_all_the_time() {
    let mut search = Search::new();
    let mut next = |present: &BTreeSet<NodeIndex>| match search.attempts.next(
        &mut search.memory,
        search.now,
        present,
        0,
    ) {
        Next::Ask { quorum, patience } => (quorum, patience),
        other => panic!("no quorum: {other:?}"),
    };
    assert_eq!(next(&nodes([1, 2, 4])), (nodes([1, 2, 4]), SIGNING_DEADLINE));
    assert!(next(&nodes([1, 2, 3, 4])).1 < SIGNING_DEADLINE);

    let present = nodes([1, 2, 3, 4]);
    let mut patience = Vec::new();
    while let Next::Ask { quorum, patience: this } =
        search.attempts.next(&mut search.memory, search.now, &present, 0)
    {
        patience.push(this == SIGNING_DEADLINE);
        search.note(&quorum, Outcome::Slow(Laggards::Nobody));
    }
    assert_eq!(patience, [false, false, false, true]);
}

/// What a bad node of the quorum can do to it.
#[derive(Clone, Copy, Debug)]
enum Misdeed {
    /// It keeps a message from a peer, who waits and says so; or it says so itself of a peer that sent it all.
    Withhold(Pair),
    Accuse {
        by: NodeIndex,
        peer: NodeIndex,
    },
    Ban {
        by: NodeIndex,
        peer: NodeIndex,
    },
    Forge(NodeIndex),
    Refuse(NodeIndex),
    Contend(NodeIndex),
    Busy(NodeIndex),
    Leave(NodeIndex),
}

fn slow_misdeeds(quorum: &Quorum, bad: &BTreeSet<NodeIndex>) -> Vec<Misdeed> {
    let pairs = quorum.iter().flat_map(|one| quorum.iter().map(|other| (*one, *other)));
    pairs
        .filter(|(one, other)| one < other && (bad.contains(one) || bad.contains(other)))
        .map(|(one, other)| Misdeed::Withhold(Pair::new(one, other)))
        .collect()
}

fn misdeeds(quorum: &Quorum, bad: &BTreeSet<NodeIndex>) -> Vec<Misdeed> {
    let mut all = slow_misdeeds(quorum, bad);
    for &by in quorum.intersection(bad) {
        all.extend([
            Misdeed::Forge(by),
            Misdeed::Refuse(by),
            Misdeed::Contend(by),
            Misdeed::Busy(by),
            Misdeed::Leave(by),
        ]);
        for &peer in quorum.iter().filter(|peer| **peer != by) {
            all.extend([Misdeed::Accuse { by, peer }, Misdeed::Ban { by, peer }]);
        }
    }
    all
}

impl Search {
    fn suffer(&mut self, quorum: &Quorum, patience: Duration, misdeed: Misdeed) {
        self.now += match misdeed {
            Misdeed::Withhold(_) => patience,
            _ => HONEST,
        };
        let refused = |node, refusal| Outcome::Refused { node, refusal };
        let outcome = match misdeed {
            Misdeed::Withhold(pair) => Outcome::Slow(Laggards::Pairs([pair].into())),
            Misdeed::Accuse { by, peer } => {
                refused(by, Refusal::Failed { node: by, peer, reason: "".into() })
            }
            Misdeed::Ban { by, peer } => refused(by, Refusal::Banned { node: by, peer }),
            Misdeed::Forge(node) => Outcome::NotTheKeys { node },
            Misdeed::Refuse(node) => refused(node, Refusal::NoPermissions),
            Misdeed::Contend(node) => refused(node, contended()),
            Misdeed::Busy(node) => refused(node, Refusal::Busy),
            Misdeed::Leave(node) => Outcome::Gone { node },
        };
        self.note(quorum, outcome);
    }

    /// How long until honest nodes sign, at the worst that the slow misdeeds make of it.
    fn worst(mut self, bad: &BTreeSet<NodeIndex>, random: u64) -> Option<Duration> {
        match self.next(random) {
            Next::GiveUp => None,
            Next::Pause(pause) => {
                self.now += pause;
                self.worst(bad, random)
            }
            Next::Ask { quorum, .. } if quorum.is_disjoint(bad) => Some(self.now + HONEST - START),
            Next::Ask { quorum, patience } => {
                let ends = slow_misdeeds(&quorum, bad).into_iter().map(|misdeed| {
                    let mut search = self.clone();
                    search.suffer(&quorum, patience, misdeed);
                    search.worst(bad, random)
                });
                ends.collect::<Option<Vec<_>>>()?.into_iter().max()
            }
        }
    }
}

/// B6: with two bad nodes of five exactly one of ten quorums is honest.
#[test]
fn two_bad_nodes_of_five_cannot_stall_a_signature_for_longer_than_its_deadline() {
    let mut worst = Duration::ZERO;
    for bad in (1..=5).flat_map(|one| (1..one).map(move |other| nodes([one, other]))) {
        for random in 0..5 {
            let took = Search::new().worst(&bad, random).expect("an honest quorum is found in the end");
            worst = worst.max(took);
        }
    }
    assert!(worst <= SIGNING_DEADLINE, "{worst:?}");
    assert!(worst > Duration::from_secs(5), "{worst:?}: the adversary does its worst");
}

proptest! {
    #[test]
    fn whatever_two_bad_nodes_of_five_do_an_honest_quorum_signs_in_time(
        one in 1..=5_u8,
        step in 1..=4_u8,
        choices in proptest::collection::vec(any::<(usize, u64)>(), 200),
    ) {
        let bad = nodes([one, (one + step - 1) % 5 + 1]);
        let mut search = Search::new();
        for (choice, random) in choices {
            match search.next(random) {
                Next::GiveUp => prop_assert!(false, "gave up after {:?}", search.now - START),
                Next::Pause(pause) => search.now += pause,
                Next::Ask { quorum, .. } if quorum.is_disjoint(&bad) => {
                    prop_assert!(search.now + HONEST - START <= SIGNING_DEADLINE);
                    return Ok(());
                }
                Next::Ask { quorum, patience } => {
                    let choices = misdeeds(&quorum, &bad);
                    search.suffer(&quorum, patience, choices[choice % choices.len()]);
                }
            }
        }
        prop_assert!(false, "no end after {:?}", search.now - START);
    }
}
