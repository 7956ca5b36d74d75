//! A network of ledgers under a gateway that decides what happens when.
//!
//! Bad nodes sign whatever is asked and tell whatever the client ever signed, with any time. Good nodes run the crate's
//! own ledger. Every page is read from the start here; bookmarks have a search of their own.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;

use alloy_primitives::{B256, U256};
use quorate_protocol::NodeIndex;

use super::explore::{Model, digest};
use crate::mutant::Mutant;
use crate::{
    Amounts, Barrier, Charged, Dimension, Entry, JournalId, Judgement, KeyId, KeyLedger, Limits, Nonce,
    Operation, Page, PageRequest, Place, StatementHash, Stored, Timestamp,
};

/// The seconds of a window.
pub(super) const WINDOW: NonZeroU64 = NonZeroU64::new(100).unwrap();

/// One attempt that the gateway may make: which operation, at which signers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) nonce: u8,
    pub(super) amount: u8,
    /// The signers, from 1; those in [`Network::bad`] have no ledger.
    pub(super) signers: &'static [u8],
}

/// The network, and what its adversary may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) nodes: u8,
    pub(super) attempts: &'static [Attempt],
    pub(super) limit: u8,
    /// What the operations signed may come to.
    pub(super) bound: u8,
    pub(super) bad: &'static [u8],
    /// Whether an attempt may be withdrawn at any time before it is kept, and a denied one later than at once.
    pub(super) withdrawals: bool,
    /// How often each node may crash.
    pub(super) crashes: u8,
    /// Whether the limit is for each of two windows.
    pub(super) windows: bool,
    /// Another limit, on all windows together.
    pub(super) in_all: Option<u8>,
    /// Whether the bound is on what is signed in both windows together, also by attempts charged across the edge.
    pub(super) across_windows: bool,
    /// Whether pages wait for all hellos.
    pub(super) barrier: bool,
    /// Whether all pages of an attempt are cut at once with its last hello. A later page shows no less of what is signed
    /// in the end, since a row of it is never withdrawn; larger networks are searched so.
    pub(super) pages_at_once: bool,
    pub(super) mutant: Option<Mutant>,
}

impl Network {
    pub(super) const HONEST: Self = Self {
        nodes: 3,
        attempts: &[],
        limit: 1,
        bound: 1,
        bad: &[],
        withdrawals: false,
        crashes: 0,
        windows: false,
        in_all: None,
        across_windows: false,
        barrier: true,
        pages_at_once: false,
        mutant: None,
    };

    /// What is limited, each with its limit.
    fn limited(&self) -> impl Iterator<Item = (Dimension, u8)> {
        let dimension =
            if self.windows { Dimension::NativeValueInWindow(WINDOW) } else { Dimension::NativeValue };
        let in_all = self.in_all.map(|limit| (Dimension::NativeValue, limit));
        [(dimension, self.limit)].into_iter().chain(in_all)
    }

    fn limits(&self) -> Limits {
        self.limited().map(|(dimension, limit)| (dimension, U256::from(limit))).collect()
    }

    fn amounts(&self, amount: u8) -> Amounts {
        self.limited().map(|(dimension, _)| (dimension, U256::from(amount))).collect()
    }
}

#[derive(Clone)]
pub(super) struct World<'a> {
    network: &'a Network,
    nodes: Vec<Rc<Node>>,
    attempts: Vec<Vec<Signer>>,
    window: u8,
}

struct Node {
    ledger: KeyLedger,
    crashes: u8,
    digest: u128,
}

/// One good signer of one attempt.
#[derive(Clone)]
struct Signer {
    node: u8,
    phase: Phase,
    /// Whether its hello left.
    hello: bool,
    /// The page that it cut, and what tells the page from others.
    page: Option<Rc<(Page, u128)>>,
    /// The window of its charge.
    window: u8,
}

#[derive(Clone)]
enum Phase {
    Idle,
    Charged(Rc<Charged>),
    Kept,
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Charge { attempt: usize, signer: usize },
    CutPage { attempt: usize, signer: usize },
    Settle { attempt: usize, signer: usize, lie: Option<Lie> },
    Withdraw { attempt: usize, signer: usize },
    Crash { node: u8 },
    NextWindow,
}

/// What a bad signer tells as kept: the operation of an attempt, in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lie {
    attempt: usize,
    window: u8,
}

impl<'a> World<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let node = |index: u8| {
            let key = KeyId::new(B256::repeat_byte(0xaa));
            let journal = JournalId::new(B256::repeat_byte(index));
            let ledger = KeyLedger::load(key, journal, Stored::default()).unwrap().mutated(network.mutant);
            Rc::new(Node::new(ledger, network.crashes))
        };
        let signers = |attempt: &Attempt| {
            let good = attempt.signers.iter().filter(|node| !network.bad.contains(node));
            good.map(|node| Signer { node: *node, phase: Phase::Idle, hello: false, page: None, window: 0 })
                .collect()
        };
        Self {
            network,
            nodes: (1..=network.nodes).map(node).collect(),
            attempts: network.attempts.iter().map(signers).collect(),
            window: 0,
        }
    }

    /// What the operations signed come to: in all, or in the window where most were.
    pub(super) fn signed(&self) -> u8 {
        let whole_in = |window: u8| {
            let mut largest = BTreeMap::<u8, u8>::new();
            for (attempt, signers) in self.network.attempts.iter().zip(&self.attempts) {
                let anywhere = !self.network.windows || self.network.across_windows;
                let in_window = |signer: &Signer| anywhere || signer.window == window;
                if signers.iter().all(|signer| matches!(signer.phase, Phase::Kept) && in_window(signer)) {
                    let amount = largest.entry(attempt.nonce).or_default();
                    *amount = attempt.amount.max(*amount);
                }
            }
            largest.values().sum()
        };
        (0..=self.window).map(whole_in).max().unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        time(self.window)
    }

    fn charge(&mut self, attempt: usize, signer: usize) {
        let (asked, now) = (self.network.attempts[attempt], self.now());
        let operation = Operation {
            nonce: Nonce::new(U256::from(asked.nonce)),
            amounts: self.network.amounts(asked.amount),
            request: vec![attempt as u8],
            statement: StatementHash::new(B256::ZERO),
        };
        let limits = self.network.limits();
        let charged = self.at_node(self.attempts[attempt][signer].node, |ledger| {
            ledger.charge(operation, &limits, now).map(|charge| charge.commit())
        });
        let window = self.window;
        let signer = &mut self.attempts[attempt][signer];
        signer.window = window;
        signer.hello = charged.is_ok();
        signer.phase = charged.map_or(Phase::Over, |charged| Phase::Charged(Rc::new(charged)));
    }

    fn cut_page(&mut self, attempt: usize, signer: usize) {
        let ledger = &self.nodes[usize::from(self.attempts[attempt][signer].node) - 1].ledger;
        // The request of a row is the number of an attempt with its nonce and amounts.
        let attempt_of = |place| {
            let row = ledger.rows.get(&place)?;
            let same = |asked: &Attempt| {
                U256::from(asked.nonce) == row.nonce.get()
                    && self.network.amounts(asked.amount) == row.amounts
            };
            Some(vec![self.network.attempts.iter().position(same)? as u8])
        };
        let page = ledger.catch_up_page(PageRequest { after: None }).fill(attempt_of).unwrap();
        let mut entries: Vec<_> = page
            .entries()
            .iter()
            .map(|entry| (entry.request[0], entry.charged_at.get(), entry.live))
            .collect();
        entries.sort_unstable();
        entries.dedup();
        let digest = digest(&entries);
        self.attempts[attempt][signer].page = Some(Rc::new((page, digest)));
    }

    fn settle(&mut self, attempt: usize, signer: usize, lie: Option<Lie>) {
        let Phase::Charged(charged) = self.attempts[attempt][signer].phase.clone() else { unreachable!() };
        let node = self.attempts[attempt][signer].node;
        let mut pages: Vec<(NodeIndex, Page)> = Vec::new();
        for peer in self.attempts[attempt].iter().filter(|peer| peer.node != node) {
            let page = peer.page.as_ref().expect("every good signer has cut its page");
            pages.push((index(peer.node), page.0.clone()));
        }
        let bad =
            self.network.attempts[attempt].signers.iter().filter(|node| self.network.bad.contains(node));
        pages.extend(bad.map(|bad| (index(*bad), lying_page(lie))));
        let (limits, now, network) = (self.network.limits(), self.now(), self.network);
        let approved = self.at_node(node, |ledger| {
            let peers = pages.iter().map(|(peer, _)| *peer);
            let mut barrier = Barrier::new(charged.as_ref().clone(), peers, ledger);
            pages.iter().for_each(|(peer, _)| barrier.hello(*peer));
            let mut run = barrier.open().unwrap();
            for (peer, page) in pages {
                let judged = page.judge(peer, |entry| {
                    let attempt = network.attempts[usize::from(entry.request[0])];
                    let nonce = Nonce::new(U256::from(attempt.nonce));
                    Judgement::Genuine { nonce, amounts: network.amounts(attempt.amount) }
                });
                ledger.merge(&mut run, judged.unwrap(), now).unwrap();
            }
            // Read from the start next time.
            ledger.bookmarks.clear();
            ledger.moved.clear();
            ledger.settle(run, &limits).is_ok()
        });
        // A denied attempt that stays live for a while is one that has not been settled yet.
        if approved {
            self.attempts[attempt][signer].phase = Phase::Kept;
        } else {
            self.withdraw(attempt, signer);
        }
    }

    fn withdraw(&mut self, attempt: usize, signer: usize) {
        let Phase::Charged(charged) = self.attempts[attempt][signer].phase.clone() else { unreachable!() };
        self.at_node(self.attempts[attempt][signer].node, |ledger| {
            if let Some(attempt) = charged.attempt()
                && let Some(withdrawal) = ledger.withdraw(attempt).unwrap()
            {
                withdrawal.commit();
            }
        });
        self.attempts[attempt][signer].phase = Phase::Over;
    }

    fn crash(&mut self, node: u8) {
        let at = &mut self.nodes[usize::from(node) - 1];
        let KeyLedger { key, journal, rows, next_place, mutant, .. } = at.ledger.clone();
        let stored = Stored { next_place, rows, bookmarks: BTreeMap::new() };
        let ledger = KeyLedger::load(key, journal, stored).unwrap().mutated(mutant);
        *at = Rc::new(Node::new(ledger, at.crashes - 1));
        for signer in self.attempts.iter_mut().flatten().filter(|signer| signer.node == node) {
            if !matches!(signer.phase, Phase::Kept | Phase::Idle) {
                signer.phase = Phase::Over;
            }
        }
    }

    fn at_node<T>(&mut self, node: u8, act: impl FnOnce(&mut KeyLedger) -> T) -> T {
        let at = &mut self.nodes[usize::from(node) - 1];
        let mut ledger = at.ledger.clone();
        let outcome = act(&mut ledger);
        *at = Rc::new(Node::new(ledger, at.crashes));
        outcome
    }
}

impl Model for World<'_> {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (attempt, signers) in self.attempts.iter().enumerate() {
            let all_hellos = signers.iter().all(|signer| signer.hello);
            let refused = signers.iter().any(|signer| !signer.hello && matches!(signer.phase, Phase::Over));
            for (signer, Signer { node, phase, hello, page, .. }) in signers.iter().enumerate() {
                let is_live = matches!(phase, Phase::Charged(_));
                if matches!(phase, Phase::Idle) {
                    steps.push(Step::Charge { attempt, signer });
                }
                // Where the client's run cannot come to a signature, only withdrawals are left.
                let may_cut = *hello && (all_hellos || !self.network.barrier);
                let is_read = signers
                    .iter()
                    .any(|peer| peer.node != *node && matches!(peer.phase, Phase::Charged(_) | Phase::Idle));
                let may_cut = may_cut && is_read && (is_live || matches!(phase, Phase::Kept));
                if may_cut && page.is_none() && !self.network.pages_at_once {
                    steps.push(Step::CutPage { attempt, signer });
                }
                let told = signers.iter().all(|peer| peer.node == *node || peer.page.is_some());
                if matches!(phase, Phase::Charged(_)) && told && all_hellos {
                    let lies = self.lies(attempt);
                    steps.extend(lies.into_iter().map(|lie| Step::Settle { attempt, signer, lie }));
                }
                if is_live && (self.network.withdrawals || refused) {
                    steps.push(Step::Withdraw { attempt, signer });
                }
            }
        }
        let nodes = (1..).zip(&self.nodes).filter(|(_, node)| node.crashes > 0);
        steps.extend(nodes.map(|(node, _)| Step::Crash { node }));
        if self.network.windows && self.window == 0 {
            steps.push(Step::NextWindow);
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Charge { attempt, signer } => self.charge(attempt, signer),
            Step::CutPage { attempt, signer } => self.cut_page(attempt, signer),
            Step::Settle { attempt, signer, lie } => self.settle(attempt, signer, lie),
            Step::Withdraw { attempt, signer } => self.withdraw(attempt, signer),
            Step::Crash { node } => self.crash(node),
            Step::NextWindow => self.window += 1,
        }
        if let (Step::Charge { attempt, .. }, true) = (step, self.network.pages_at_once) {
            let signers = &self.attempts[attempt];
            if signers.len() > 1 && signers.iter().all(|signer| signer.hello) {
                (0..signers.len()).for_each(|signer| self.cut_page(attempt, signer));
            }
        }
        self.attempts.iter_mut().for_each(|signers| forget_what_is_over(signers));
    }

    fn digest(&self) -> u128 {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.digest).collect();
        let signers: Vec<_> = self.attempts.iter().flatten().map(Signer::key).collect();
        digest(&(nodes, signers, self.window))
    }

    fn broken(&self) -> Option<String> {
        let (signed, bound) = (self.signed(), self.network.bound);
        (signed > bound).then(|| format!("operations worth {signed} are signed; the bound is {bound}"))
    }
}

impl World<'_> {
    /// What the bad signers of an attempt may tell.
    fn lies(&self, attempt: usize) -> Vec<Option<Lie>> {
        let bad = self.network.attempts[attempt].signers.iter().any(|node| self.network.bad.contains(node));
        let attempts = 0..if bad { self.network.attempts.len() } else { 0 };
        let windows = 0..if self.network.windows { 2 } else { 1 };
        let lies =
            attempts.flat_map(|attempt| windows.clone().map(move |window| Some(Lie { attempt, window })));
        [None].into_iter().chain(lies).collect()
    }
}

impl Node {
    fn new(ledger: KeyLedger, crashes: u8) -> Self {
        let mut rows: Vec<_> = ledger
            .rows
            .iter()
            .map(|(place, row)| (row.nonce, row.counted(), ledger.live.contains_key(place), true, row.origin))
            .collect();
        let unsaved = ledger.unsaved.iter();
        rows.extend(unsaved.map(|new| (new.row.nonce, new.row.counted(), false, false, new.row.origin)));
        // Only wrong rules look at the order of rows, and have totals that the rows do not tell.
        let wrong = ledger.mutant.map(|_| &ledger.kept);
        if wrong.is_none() {
            rows.sort_unstable_by_key(digest);
        }
        Self { digest: digest(&(rows, wrong, crashes)), ledger, crashes }
    }
}

impl Signer {
    fn key(&self) -> (u8, bool, u128, u8, Option<Option<Place>>) {
        let (phase, charged) = match &self.phase {
            Phase::Idle => (0, None),
            Phase::Charged(charged) => (1, Some(charged)),
            Phase::Kept => (2, None),
            Phase::Over => (3, None),
        };
        // Of an attempt it matters only whether it has a row: its operation and window are known.
        let has_row = charged.map(|charged| charged.attempt().map(|_| Place::FIRST));
        (phase, self.hello, self.page.as_ref().map_or(0, |page| page.1), self.window, has_row)
    }
}

/// Drops what no later step of an attempt looks at, so that states which differ in nothing else are one.
fn forget_what_is_over(signers: &mut [Signer]) {
    let is_over = |signer: &Signer| matches!(signer.phase, Phase::Over);
    let never_opens = signers.iter().any(|signer| is_over(signer) && !signer.hello);
    let waiting = |signer: &Signer| matches!(signer.phase, Phase::Charged(_) | Phase::Idle);
    for index in 0..signers.len() {
        let is_read = signers.iter().enumerate().any(|(other, signer)| other != index && waiting(signer));
        if never_opens || !is_read {
            signers[index].page = None;
        }
    }
    for signer in signers.iter_mut().filter(|signer| is_over(signer)) {
        signer.window = 0;
    }
    if signers.iter().all(is_over) {
        signers.iter_mut().for_each(|signer| signer.hello = false);
    }
}

fn lying_page(lie: Option<Lie>) -> Page {
    let entry = lie.map(|lie| Entry {
        place: Place::FIRST,
        charged_at: time(lie.window),
        live: false,
        statement: StatementHash::new(B256::ZERO),
        request: vec![lie.attempt as u8],
    });
    Page::of(JournalId::new(B256::repeat_byte(0xbb)), entry.into_iter().collect())
}

fn time(window: u8) -> Timestamp {
    Timestamp::new(WINDOW.get() * u64::from(window))
}

fn index(node: u8) -> NodeIndex {
    NodeIndex::new(node).unwrap()
}
