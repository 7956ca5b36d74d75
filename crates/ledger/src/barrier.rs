//! The barrier of a signing run: a page is cut only after every signer has said that its charge is durable.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::NodeIndex;

use crate::{AttemptId, Charged, KeyLedger, PageRequest, Reading};

/// A signing run of a charged operation that waits for the other signers' hellos.
///
/// A hello says that its sender has charged the operation durably. The bound on totals rests on this order: of all
/// operations signed, the one whose last charge came latest sees every other on some page (network rules, part 1).
#[derive(Debug)]
#[must_use = "an attempt that ends before it is kept has to be withdrawn"]
pub struct Barrier {
    charged: Charged,
    readings: BTreeMap<NodeIndex, Reading>,
    missing: BTreeSet<NodeIndex>,
}

/// A signing run in which every signer's charge is durable: pages may be cut, and the others' journals are read.
#[derive(Debug)]
#[must_use = "an attempt that ends before it is kept has to be withdrawn"]
pub struct SigningRun {
    pub(crate) charged: Charged,
    pub(crate) readings: BTreeMap<NodeIndex, Reading>,
}

impl Barrier {
    /// The run of a charged operation with these other signers, whose journals are read after the ledger's bookmarks.
    pub fn new(charged: Charged, peers: impl IntoIterator<Item = NodeIndex>, ledger: &KeyLedger) -> Self {
        let readings: BTreeMap<_, _> =
            peers.into_iter().map(|peer| (peer, ledger.start_reading(peer))).collect();
        Self { charged, missing: readings.keys().copied().collect(), readings }
    }

    /// What this node asks each other signer for first. It may stand in the hello: the page is cut when the barrier is open.
    pub fn requests(&self) -> impl Iterator<Item = (NodeIndex, PageRequest)> {
        self.readings.values().map(|reading| (reading.peer(), reading.request()))
    }

    /// Notes a signer's hello. One that comes twice, or from no signer of the run, changes nothing.
    pub fn hello(&mut self, peer: NodeIndex) {
        self.missing.remove(&peer);
    }

    /// The signers whose hello is missing.
    pub fn missing(&self) -> impl Iterator<Item = NodeIndex> {
        self.missing.iter().copied()
    }

    /// The attempt to withdraw if the run ends here.
    pub const fn attempt(&self) -> Option<AttemptId> {
        self.charged.attempt()
    }

    /// Opens the barrier.
    ///
    /// # Errors
    /// The barrier itself, while a hello is missing.
    pub fn open(self) -> Result<SigningRun, Self> {
        if !self.missing.is_empty() {
            return Err(self);
        }
        Ok(SigningRun { charged: self.charged, readings: self.readings })
    }
}

impl SigningRun {
    /// The attempt to withdraw if the run ends here.
    pub const fn attempt(&self) -> Option<AttemptId> {
        self.charged.attempt()
    }

    /// What to ask each other signer for next; nothing once all journals are read to their end.
    pub fn requests(&self) -> Vec<(NodeIndex, PageRequest)> {
        let unfinished = self.readings.values().filter(|reading| !reading.is_finished());
        unfinished.map(|reading| (reading.peer(), reading.request())).collect()
    }
}
