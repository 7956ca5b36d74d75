//! Random schedules of a network of ledgers, through the public interface and over encoded bytes, against an oracle.
//!
//! The gateway is hostile: it delays, repeats and drops what it likes, and crashes nodes, which lose what was not
//! written. Bad nodes sign whatever is asked and tell nothing. The oracle knows what was signed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, U256};
use proptest::prelude::*;
use quorate_ledger::{
    Amounts, AttemptId, Barrier, Changes, Charged, Dimension, JournalId, Judgement, KeyId, KeyLedger, Limits,
    Nonce, Operation, Page, PageRequest, Place, Row, SigningRun, StatementHash, Stored, Timestamp,
};
use quorate_protocol::NodeIndex;

/// A node with its storage.
struct Node {
    index: u8,
    ledger: KeyLedger,
    stored: Stored,
    requests: BTreeMap<Place, Vec<u8>>,
}

/// Where one signer of a run stands.
enum Stage {
    Charged(Charged),
    Reading(SigningRun),
    Kept,
    Over,
}

/// One run of the gateway: an operation at a quorum.
struct Run {
    nonce: u8,
    amount: u8,
    quorum: Vec<u8>,
    charged: BTreeSet<u8>,
    stages: BTreeMap<u8, Stage>,
}

#[derive(Clone, Debug)]
enum Step {
    Begin {
        nonce: u8,
        amount: u8,
        quorum: usize,
    },
    /// A signer takes its next step: it charges, opens the barrier, or reads and settles.
    Advance {
        run: usize,
        signer: usize,
    },
    Withdraw {
        run: usize,
        signer: usize,
    },
    Crash {
        node: usize,
    },
    Flush {
        node: usize,
    },
}

const LIMIT: u64 = 2;

fn limits() -> Limits {
    [(Dimension::NativeValue, U256::from(LIMIT))].into_iter().collect()
}

fn amounts(amount: u8) -> Amounts {
    [(Dimension::NativeValue, U256::from(amount))].into_iter().collect()
}

fn node_index(node: u8) -> NodeIndex {
    NodeIndex::new(node).unwrap()
}

fn load(index: u8, stored: Stored) -> KeyLedger {
    KeyLedger::load(KeyId::new(B256::ZERO), JournalId::new(B256::repeat_byte(index)), stored).unwrap()
}

impl Node {
    fn new(index: u8) -> Self {
        Self {
            index,
            ledger: load(index, Stored::default()),
            stored: Stored::default(),
            requests: BTreeMap::new(),
        }
    }

    /// One transaction, by way of the rows' stored form.
    fn write(stored: &mut Stored, requests: &mut BTreeMap<Place, Vec<u8>>, changes: &Changes) {
        stored.apply(changes);
        for row in stored.rows.values_mut() {
            *row = Row::decode(&row.encode()).unwrap();
        }
        requests.extend(changes.inserted.iter().map(|(place, new)| (*place, new.request.clone())));
        requests.retain(|place, _| !changes.deleted.contains(place));
    }

    fn charge(&mut self, nonce: u8, amount: u8) -> Option<Charged> {
        let operation = Operation {
            nonce: Nonce::new(U256::from(nonce)),
            amounts: amounts(amount),
            request: vec![nonce, amount],
            statement: StatementHash::new(B256::ZERO),
        };
        let pending = self.ledger.charge(operation, &limits(), Timestamp::new(0)).ok()?;
        Self::write(&mut self.stored, &mut self.requests, pending.changes());
        Some(pending.commit())
    }

    fn withdraw(&mut self, attempt: Option<AttemptId>) {
        let Some(attempt) = attempt else { return };
        if let Some(pending) = self.ledger.withdraw(attempt).unwrap() {
            Self::write(&mut self.stored, &mut self.requests, pending.changes());
            pending.commit();
        }
    }

    fn flush(&mut self) {
        let pending = self.ledger.flush().unwrap();
        Self::write(&mut self.stored, &mut self.requests, pending.changes());
        pending.commit();
    }

    fn page(&self, request: &[u8]) -> Vec<u8> {
        let outline = self.ledger.catch_up_page(PageRequest::decode(request).unwrap());
        outline.fill(|place| self.requests.get(&place).cloned()).unwrap().encode()
    }
}

struct Network {
    nodes: Vec<Node>,
    bad: BTreeSet<u8>,
    runs: Vec<Run>,
}

impl Network {
    fn take(&mut self, step: &Step, quorums: &[Vec<u8>]) {
        match *step {
            Step::Begin { nonce, amount, quorum } => {
                let quorum = quorums[quorum % quorums.len()].clone();
                self.runs.push(Run {
                    nonce,
                    amount,
                    quorum,
                    charged: self.bad.clone(),
                    stages: BTreeMap::new(),
                });
            }
            Step::Crash { node } => {
                let count = self.nodes.len();
                let node = &mut self.nodes[node % count];
                node.ledger = load(node.index, node.stored.clone());
                for run in &mut self.runs {
                    if let Some(stage) =
                        run.stages.get_mut(&node.index).filter(|stage| !matches!(stage, Stage::Kept))
                    {
                        *stage = Stage::Over;
                    }
                }
            }
            Step::Flush { node } => {
                let count = self.nodes.len();
                self.nodes[node % count].flush();
            }
            Step::Advance { run, signer } | Step::Withdraw { run, signer } => {
                if self.runs.is_empty() {
                    return;
                }
                // One of the last few.
                let run = self.runs.len() - 1 - run % self.runs.len();
                let mut run = self.runs.remove(run);
                let signer = run.quorum[signer % run.quorum.len()];
                if !self.bad.contains(&signer) {
                    self.act(step, &mut run, signer);
                }
                self.runs.push(run);
            }
        }
    }

    fn act(&mut self, step: &Step, run: &mut Run, signer: u8) {
        let at = usize::from(signer) - 1;
        let stage = run.stages.remove(&signer);
        let next = match (step, stage) {
            (Step::Advance { .. }, None) => match self.nodes[at].charge(run.nonce, run.amount) {
                Some(charged) => {
                    run.charged.insert(signer);
                    Stage::Charged(charged)
                }
                None => Stage::Over,
            },
            (Step::Advance { .. }, Some(Stage::Charged(charged)))
                if run.quorum.iter().all(|s| run.charged.contains(s)) =>
            {
                let peers = run.quorum.iter().filter(|peer| **peer != signer).map(|peer| node_index(*peer));
                let mut barrier = Barrier::new(charged, peers.clone(), &self.nodes[at].ledger);
                // A hello comes twice.
                peers.clone().chain(peers).for_each(|peer| barrier.hello(peer));
                Stage::Reading(barrier.open().unwrap())
            }
            (Step::Advance { .. }, Some(Stage::Reading(signing))) => self.read_and_settle(at, signing),
            (Step::Withdraw { .. }, Some(Stage::Charged(charged))) => {
                self.nodes[at].withdraw(charged.attempt());
                Stage::Over
            }
            (Step::Withdraw { .. }, Some(Stage::Reading(signing))) => {
                self.nodes[at].withdraw(signing.attempt());
                Stage::Over
            }
            (_, Some(stage)) => stage,
            (_, None) => return,
        };
        run.stages.insert(signer, next);
    }

    fn read_and_settle(&mut self, at: usize, mut signing: SigningRun) -> Stage {
        let attempt = signing.attempt();
        while let Some((peer, request)) = signing.requests().pop() {
            let request = request.encode();
            let page = if self.bad.contains(&peer.get()) {
                load(peer.get(), Stored::default())
                    .catch_up_page(PageRequest { after: None })
                    .fill(|_| None)
                    .unwrap()
                    .encode()
            } else {
                self.nodes[usize::from(peer.get()) - 1].page(&request)
            };
            let judge = |entry: &quorate_ledger::Entry| Judgement::Genuine {
                nonce: Nonce::new(U256::from(entry.request[0])),
                amounts: amounts(entry.request[1]),
            };
            let page = Page::decode(&page).unwrap().judge(peer, judge).unwrap();
            let again = page.clone();
            let ledger = &mut self.nodes[at].ledger;
            ledger.merge(&mut signing, page, Timestamp::new(0)).unwrap();
            // The same page comes again.
            assert!(ledger.merge(&mut signing, again, Timestamp::new(0)).is_err());
        }
        match self.nodes[at].ledger.settle(signing, &limits()) {
            Ok(_) => Stage::Kept,
            Err(_) => {
                self.nodes[at].withdraw(attempt);
                Stage::Over
            }
        }
    }

    /// The oracle: what the operations signed come to, the largest of each nonce.
    fn signed(&self) -> u64 {
        let mut largest = BTreeMap::<u8, u64>::new();
        for run in &self.runs {
            let good = || run.quorum.iter().filter(|signer| !self.bad.contains(signer));
            if good().all(|signer| matches!(run.stages.get(signer), Some(Stage::Kept))) {
                let amount = largest.entry(run.nonce).or_default();
                *amount = u64::from(run.amount).max(*amount);
            }
        }
        largest.values().sum()
    }
}

fn quorums(nodes: u8, threshold: u32) -> Vec<Vec<u8>> {
    let sets = (0..1_u32 << nodes).filter(|set| set.count_ones() == threshold);
    sets.map(|set| (1..=nodes).filter(|node| set >> (node - 1) & 1 == 1).collect()).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let run = || (0..6_usize, 0..4_usize);
    prop_oneof![
        2 => (0..6_u8, 1..3_u8, any::<usize>())
            .prop_map(|(nonce, amount, quorum)| Step::Begin { nonce, amount, quorum }),
        30 => run().prop_map(|(run, signer)| Step::Advance { run, signer }),
        1 => run().prop_map(|(run, signer)| Step::Withdraw { run, signer }),
        1 => any::<usize>().prop_map(|node| Step::Crash { node }),
        1 => any::<usize>().prop_map(|node| Step::Flush { node }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_stays_within_the_bound(
        steps in prop::collection::vec(step(), 0..250),
        // (nodes, threshold, bad nodes, bound in limits)
        (nodes, threshold, bad, bound) in prop_oneof![
            Just((3_u8, 2_u32, 0_u8, 1_u64)),
            Just((3, 2, 1, 2)),
            Just((5, 3, 0, 1)),
            Just((5, 3, 1, 2)),
            Just((5, 3, 2, 3)),
            Just((5, 4, 2, 1)),
        ],
    ) {
        let quorums = quorums(nodes, threshold);
        let bad = (nodes - bad + 1..=nodes).collect();
        let mut network = Network { nodes: (1..=nodes).map(Node::new).collect(), bad, runs: Vec::new() };
        for step in &steps {
            network.take(step, &quorums);
            prop_assert!(network.signed() <= LIMIT * bound);
        }
        for node in &mut network.nodes {
            // What is loaded is what was, once nothing is live and everything is written.
            node.flush();
            let live: Vec<_> = node.ledger.live_attempts().collect();
            for attempt in live {
                prop_assert!(node.ledger.keep(attempt));
                prop_assert!(!node.ledger.keep(attempt));
            }
            prop_assert_eq!(&load(node.index, node.stored.clone()), &node.ledger);
        }
    }
}
