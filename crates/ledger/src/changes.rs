//! What has to be written durably, in one transaction, before anything that depends on it leaves the node.

use std::collections::BTreeMap;

use quorate_protocol::NodeIndex;

use crate::{Bookmark, KeyLedger, NewRow, Place, Row};

/// A key's rows as the storage holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The durable counter: the place that the next row is given.
    pub next_place: Place,
    /// Every row by its place.
    pub rows: BTreeMap<Place, Row>,
    /// How far each peer's journal was read.
    pub bookmarks: BTreeMap<NodeIndex, Bookmark>,
}

/// The writes of one transaction on a key's stored rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a change that is not written is lost"]
pub struct Changes {
    /// The new value of the durable counter; it never decreases.
    pub next_place: Place,
    /// Rows to insert; their places are free.
    pub inserted: BTreeMap<Place, NewRow>,
    /// Rows to delete.
    pub deleted: Vec<Place>,
    /// Bookmarks to insert or replace.
    pub bookmarks: BTreeMap<NodeIndex, Bookmark>,
}

/// A decision of the ledger that waits for its writes.
///
/// It holds the ledger exclusively: no page is cut, and nothing else is decided, between the decision and the end of
/// the transaction. Dropped, it changes nothing.
#[must_use = "write the changes durably, then commit"]
#[derive(Debug)]
pub struct Pending<'a, T> {
    ledger: &'a mut KeyLedger,
    changes: Changes,
    live: Option<Place>,
    outcome: T,
}

impl Default for Stored {
    /// A key of which nothing is stored.
    fn default() -> Self {
        Self { next_place: Place::FIRST, rows: BTreeMap::new(), bookmarks: BTreeMap::new() }
    }
}

impl Stored {
    /// Does to the rows what a storage has to do in one transaction: this is what [`Changes`] mean.
    pub fn apply(&mut self, changes: &Changes) {
        self.next_place = changes.next_place;
        self.rows.extend(changes.inserted.iter().map(|(place, new)| (*place, new.row.clone())));
        self.rows.retain(|place, _| !changes.deleted.contains(place));
        self.bookmarks.extend(&changes.bookmarks);
    }
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.deleted.is_empty() && self.bookmarks.is_empty()
    }
}

impl<'a, T> Pending<'a, T> {
    pub(crate) const fn new(
        ledger: &'a mut KeyLedger,
        changes: Changes,
        live: Option<Place>,
        outcome: T,
    ) -> Self {
        Self { ledger, changes, live, outcome }
    }

    /// What to write, in one transaction.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Makes the decision count, after the transaction was committed and is durable.
    ///
    /// If the transaction failed, drop this instead. If it is not known whether it failed, drop the ledger, too, and
    /// load it again: what was live is kept then, which may count too much and never too little.
    pub fn commit(self) -> T {
        self.ledger.apply(self.changes, self.live);
        self.outcome
    }
}
