//! The ledger of one key at one node: charging, keeping and withdrawing attempts.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use quorate_protocol::NodeIndex;

use crate::amounts::Counted;
use crate::mutant::Mutant;
use crate::row::{MAX_DIMENSIONS, MAX_REQUEST_BYTES};
use crate::totals::{Denied, Kept, check};
use crate::{
    Amounts, AttemptId, Bookmark, Changes, Dimension, JournalId, KeyId, Limits, NewRow, Nonce, Origin,
    Pending, Place, Row, StatementHash, Stored, Timestamp,
};

/// What the operations of one key have come to at one node.
///
/// A row is *live* while its attempt may still be withdrawn, and *kept* from then on. Liveness is memory only: what is
/// loaded from the storage is kept, whatever it was before the crash.
///
/// ```
/// # use alloy_primitives::{B256, U256};
/// # use quorate_ledger::*;
/// let key = KeyId::new(B256::repeat_byte(1));
/// let mut stored = Stored::default();
/// let mut ledger = KeyLedger::load(key, JournalId::new(B256::repeat_byte(2)), stored.clone())?;
/// let limits: Limits = [(Dimension::Uses, U256::ONE)].into_iter().collect();
/// let operation = |nonce| Operation {
///     nonce: Nonce::new(U256::from(nonce)),
///     amounts: [(Dimension::Uses, U256::ONE)].into_iter().collect(),
///     request: b"as the client signed it".to_vec(),
///     statement: StatementHash::new(B256::ZERO),
/// };
///
/// // The charge is written before the hello leaves.
/// let charge = ledger.charge(operation(0), &limits, Timestamp::new(60))?;
/// stored.apply(charge.changes());
/// let charged = charge.commit();
///
/// // One use is left, and a live attempt has it: another nonce may succeed later.
/// let contended = ledger.charge(operation(1), &limits, Timestamp::new(61)).unwrap_err();
/// assert!(matches!(contended, ChargeError::Denied(Denied::Contended { .. })));
///
/// // After a crash the live attempt is kept: another nonce is refused for good.
/// drop(charged);
/// let mut ledger = KeyLedger::load(key, JournalId::new(B256::repeat_byte(2)), stored)?;
/// let refused = ledger.charge(operation(1), &limits, Timestamp::new(62)).unwrap_err();
/// assert!(matches!(refused, ChargeError::Denied(Denied::Refused { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct KeyLedger {
    pub(crate) key: KeyId,
    pub(crate) journal: JournalId,
    /// The durable rows; the live ones among them count by [`Self::live`], the others in [`Self::kept`].
    pub(crate) rows: BTreeMap<Place, Row>,
    pub(crate) next_place: Place,
    pub(crate) bookmarks: BTreeMap<NodeIndex, Bookmark>,
    pub(crate) live: BTreeMap<Place, Counted>,
    pub(crate) kept: Kept,
    /// What peers told and is not durable yet. It counts already; it has no place, so no page shows it.
    pub(crate) unsaved: Vec<NewRow>,
    /// The peers whose bookmarks have moved since they were written.
    pub(crate) moved: BTreeSet<NodeIndex>,
    /// The bytes of the requests in [`Self::rows`], and how many there may be, those of `unsaved` included.
    pub(crate) bytes: u64,
    pub(crate) most_bytes: u64,
    #[cfg(test)]
    pub(crate) mutant: Option<Mutant>,
}

/// An operation that somebody asks to be signed, authenticated and allowed by the key's policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its nonce.
    pub nonce: Nonce,
    /// What it comes to, in every limited dimension.
    pub amounts: Amounts,
    /// The signed request, as it came: at most [`MAX_REQUEST_BYTES`] bytes.
    pub request: Vec<u8>,
    /// The statement that registered the ephemeral key which signed it.
    pub statement: StatementHash,
}

/// A charge that is durable: with it the node says hello.
///
/// It is no copy of anything and cannot be made otherwise, so that no hello comes before its charge.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
#[must_use = "an attempt that ends before it is kept has to be withdrawn"]
pub struct Charged {
    pub(crate) key: KeyId,
    pub(crate) nonce: Nonce,
    pub(crate) counted: Counted,
    pub(crate) attempt: Option<AttemptId>,
}

/// Why an operation is not charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChargeError {
    /// It does not fit under a limit.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A limited dimension without an amount.
    #[error(
        "the {dimension} is limited, and the operation's amounts do not name it; an amount of 0 has to be said"
    )]
    Uncounted {
        /// The limited dimension.
        dimension: Dimension,
    },
    /// Too many dimensions.
    #[error("the operation is counted in {found} dimensions; {MAX_DIMENSIONS} are the most")]
    TooManyDimensions {
        /// How many there are.
        found: usize,
    },
    /// A long request.
    #[error("the signed request has {found} bytes; {MAX_REQUEST_BYTES} are the most")]
    RequestTooLong {
        /// Its bytes.
        found: usize,
    },
    /// The key's requests take as much room as they may.
    #[error(
        "the signed requests that the key's journal keeps have {held} bytes, and {found} more would pass {most}"
    )]
    JournalFull {
        /// The bytes of the requests kept.
        held: u64,
        /// Those of the new one.
        found: usize,
        /// The most that are kept.
        most: u64,
    },
    /// No place is left.
    #[error(transparent)]
    PlacesExhausted(#[from] PlacesExhausted),
}

/// No place of a key's journal is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all 2^63 - 1 places of the key's journal have been used; the key signs no more")]
pub struct PlacesExhausted;

/// Rows that no ledger wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored counter gives out place {next} although a row stands at {last}; it must be greater than that"
)]
pub struct DamagedCounter {
    /// The stored counter.
    pub next: Place,
    /// The last row's place.
    pub last: Place,
}

impl Charged {
    /// The attempt that has to be withdrawn if it does not come to be kept; none if earlier operations of the nonce
    /// cover it, so that nothing was charged.
    pub const fn attempt(&self) -> Option<AttemptId> {
        self.attempt
    }

    /// The key that is to sign.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The operation's nonce.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }
}

impl KeyLedger {
    /// The ledger with these stored rows. All of them are kept.
    ///
    /// # Errors
    /// A counter that would give out a place again.
    pub fn load(key: KeyId, journal: JournalId, stored: Stored) -> Result<Self, DamagedCounter> {
        let Stored { next_place: next, rows, bookmarks } = stored;
        if let Some((&last, _)) = rows.last_key_value().filter(|(last, _)| **last >= next) {
            return Err(DamagedCounter { next, last });
        }
        let mut kept = Kept::default();
        for row in rows.values() {
            kept.raise(row.nonce, &row.counted());
        }
        let bytes = rows.values().map(|row| u64::from(row.request_bytes)).sum();
        Ok(Self {
            key,
            journal,
            rows,
            next_place: next,
            bookmarks,
            live: BTreeMap::new(),
            kept,
            unsaved: Vec::new(),
            moved: BTreeSet::new(),
            bytes,
            most_bytes: u64::MAX,
            #[cfg(test)]
            mutant: None,
        })
    }

    /// The same where signed requests of at most so many bytes are kept. What peers tell is kept beyond that: it counts,
    /// whatever room it takes, and comes only with an operation that had room.
    pub fn with_most_bytes(self, most_bytes: u64) -> Self {
        Self { most_bytes, ..self }
    }

    /// The bytes of the signed requests that are kept.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.unsaved.iter().map(|new| u64::from(new.row.request_bytes)).sum::<u64>()
    }

    /// Charges an operation at a time of this node's clock.
    ///
    /// Unless kept amounts of the same nonce (and window) cover it, it gets a row of its own, whatever is live. The charge
    /// is counted in the window of `now`, also if the nonce was counted in an earlier one.
    ///
    /// # Errors
    /// No room under a limit, a limited dimension without an amount, or sizes beyond their bounds. Nothing is charged then.
    pub fn charge(
        &mut self,
        operation: Operation,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Pending<'_, Charged>, ChargeError> {
        let Operation { nonce, amounts, request, statement } = operation;
        if request.len() > MAX_REQUEST_BYTES {
            return Err(ChargeError::RequestTooLong { found: request.len() });
        }
        if amounts.len() > MAX_DIMENSIONS {
            return Err(ChargeError::TooManyDimensions { found: amounts.len() });
        }
        if let Some((dimension, _)) = limits.iter().find(|(dimension, _)| amounts.get(*dimension).is_none()) {
            return Err(ChargeError::Uncounted { dimension });
        }
        #[cfg_attr(not(test), expect(unused_mut, reason = "only a mutant spares a charge"))]
        let mut counted = amounts.at(now);
        #[cfg(test)]
        self.spare(nonce, &mut counted);
        check(&self.kept, &self.live_amounts(), nonce, &counted, limits)?;
        let covered = self.kept.covers(nonce, &counted)
            || self.has(Mutant::CoveredByLive)
                && self.live_amounts().iter().any(|(of, live)| {
                    *of == nonce && counted.iter().all(|(counter, amount)| amount <= live.get(counter))
                });
        if covered {
            let changes = self.unsaved_changes()?;
            let charged = Charged { key: self.key, nonce, counted, attempt: None };
            return Ok(Pending::new(self, changes, None, charged));
        }
        let held = self.bytes();
        if held.saturating_add(request.len() as u64) > self.most_bytes {
            return Err(ChargeError::JournalFull { held, found: request.len(), most: self.most_bytes });
        }
        let mut changes = self.unsaved_changes()?;
        let place = changes.next_place;
        changes.next_place = place.next().ok_or(PlacesExhausted)?;
        let request_bytes = request.len() as u32;
        let row = Row { nonce, amounts, charged_at: now, origin: Origin::Own, statement, request_bytes };
        changes.inserted.insert(place, NewRow { row, request });
        let attempt = Some(AttemptId::new(self.key, place));
        let charged = Charged { key: self.key, nonce, counted, attempt };
        Ok(Pending::new(self, changes, Some(place), charged))
    }

    /// Keeps an attempt for good. Nothing is written: its row is durable since the charge.
    ///
    /// [`settle`](Self::settle) keeps what it lets through; this is for an attempt whose withdrawal could not be
    /// written. Whether it was live; if not, nothing happens.
    pub fn keep(&mut self, attempt: AttemptId) -> bool {
        if attempt.key() != self.key {
            return false;
        }
        let Some(counted) = self.live.remove(&attempt.place()) else { return false };
        if let Some(row) = self.rows.get(&attempt.place()) {
            self.kept.raise(row.nonce, &counted);
        }
        true
    }

    /// Takes back the charge of an attempt that came to nothing: its own, and no other attempt's.
    ///
    /// None if it is not live here: it was kept or withdrawn already, or it is another key's. Its place stays used.
    ///
    /// # Errors
    /// No place is left for what peers told.
    pub fn withdraw(&mut self, attempt: AttemptId) -> Result<Option<Pending<'_, ()>>, PlacesExhausted> {
        if attempt.key() != self.key || !self.live.contains_key(&attempt.place()) {
            return Ok(None);
        }
        let mut changes = self.unsaved_changes()?;
        changes.deleted.push(attempt.place());
        #[cfg(test)]
        self.withdraw_wrongly(attempt, &mut changes);
        Ok(Some(Pending::new(self, changes, None, ())))
    }

    /// What peers told since the last write, to be written by itself: after a run that ended without a charge.
    ///
    /// # Errors
    /// No place is left for it.
    pub fn flush(&mut self) -> Result<Pending<'_, ()>, PlacesExhausted> {
        let changes = self.unsaved_changes()?;
        Ok(Pending::new(self, changes, None, ()))
    }

    /// The attempts that may still be withdrawn.
    pub fn live_attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.live.keys().map(|place| AttemptId::new(self.key, *place))
    }

    /// The total that counts for good of a dimension, in the window of a time where it has windows.
    pub fn kept_total(&self, dimension: Dimension, at: Timestamp) -> U256 {
        self.kept.total(dimension.counter(at))
    }

    /// The nonces that count for good with their amounts in a dimension, in the window of a time where it has windows.
    pub fn kept_amounts(&self, dimension: Dimension, at: Timestamp) -> impl Iterator<Item = (Nonce, U256)> {
        let amounts = move |(nonce, counted): (Nonce, &Counted)| (nonce, counted.get(dimension.counter(at)));
        self.kept.nonces().map(amounts).filter(|(_, amount)| !amount.is_zero())
    }

    /// The key.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// This node's journal.
    pub const fn journal(&self) -> JournalId {
        self.journal
    }

    /// What each live attempt comes to, by its nonce.
    pub(crate) fn live_amounts(&self) -> Vec<(Nonce, &Counted)> {
        let nonce = |place| self.rows.get(place).map(|row| row.nonce);
        self.live.iter().filter_map(|(place, counted)| Some((nonce(place)?, counted))).collect()
    }

    /// The writes for what peers told: every transaction on the key takes it along.
    fn unsaved_changes(&self) -> Result<Changes, PlacesExhausted> {
        let mut next_place = self.next_place;
        let mut inserted = BTreeMap::new();
        for new in &self.unsaved {
            inserted.insert(next_place, new.clone());
            next_place = next_place.next().ok_or(PlacesExhausted)?;
        }
        let bookmark = |peer: &NodeIndex| Some((*peer, *self.bookmarks.get(peer)?));
        let bookmarks = self.moved.iter().filter_map(bookmark).collect();
        Ok(Changes { next_place, inserted, deleted: Vec::new(), bookmarks })
    }

    /// Takes over what was written. `live` is the inserted row whose attempt has just begun.
    pub(crate) fn apply(&mut self, changes: Changes, live: Option<Place>) {
        let Changes { next_place, inserted, deleted, bookmarks: _ } = changes;
        self.next_place = next_place;
        self.unsaved.clear();
        self.moved.clear();
        for (place, NewRow { row, request: _ }) in inserted {
            if Some(place) == live {
                self.live.insert(place, row.counted());
            }
            self.bytes += u64::from(row.request_bytes);
            self.rows.insert(place, row);
        }
        for place in deleted {
            let deleted = self.rows.remove(&place);
            self.bytes -= deleted.map_or(0, |row| u64::from(row.request_bytes));
            self.live.remove(&place);
        }
        #[cfg(test)]
        self.recount_wrongly();
    }
}
