//! Rules left out on purpose, in tests only: the searches must find what each of them breaks.

use crate::KeyLedger;

/// One rule left out or done as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// An attempt that a live one covers gets no row (rule A3).
    CoveredByLive,
    /// A peer's kept entry that a live attempt covers is not merged (defect S2).
    PeerKeptForgotten,
    /// A bookmark passes live entries.
    BookmarkPassesLive,
    /// What peers may yet withdraw does not count.
    PeersLiveIgnored,
    /// A withdrawal takes along what later attempts of the nonce charged (defect S1).
    #[cfg(test)]
    SharedWithdrawal,
    /// A withdrawal subtracts in the window of the last charge (defect S3).
    #[cfg(test)]
    WindowOfLastCharge,
    /// Places come from the last row, not from a counter (defect S4).
    #[cfg(test)]
    PlaceReuse,
    /// A nonce counted in any window, by anybody, is not charged in this one (defect A1).
    #[cfg(test)]
    SparedByAnybody,
    /// A nonce that this node kept in an earlier window by its own signing is not charged in this one (rule A1 as written).
    #[cfg(test)]
    SparedByOwnKeep,
}

impl KeyLedger {
    /// Whether a rule is left out; never outside tests.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests have mutants"))]
    pub(crate) fn has(&self, mutant: Mutant) -> bool {
        #[cfg(test)]
        return self.mutant == Some(mutant);
        #[cfg(not(test))]
        {
            let _ = mutant;
            false
        }
    }
}

#[cfg(test)]
mod wrong {
    use super::Mutant;
    use crate::amounts::Counted;
    use crate::totals::Kept;
    use crate::{AttemptId, Changes, KeyLedger, Nonce, Origin, Place};

    impl KeyLedger {
        pub(crate) fn mutated(self, mutant: Option<Mutant>) -> Self {
            Self { mutant, ..self }
        }

        /// Leaves out of an own charge the windowed amounts that another window has.
        pub(crate) fn spare(&self, nonce: Nonce, counted: &mut Counted) {
            let (by_anybody, by_own) = (self.has(Mutant::SparedByAnybody), self.has(Mutant::SparedByOwnKeep));
            if !by_anybody && !by_own {
                return;
            }
            let kept = self.rows.iter().filter(|(place, _)| by_anybody || !self.live.contains_key(place));
            let told = self.unsaved.iter().map(|new| &new.row);
            let spares = kept
                .map(|(_, row)| row)
                .chain(told)
                .any(|row| row.nonce == nonce && (by_anybody || row.origin == Origin::Own));
            if spares {
                counted.retain(|counter| counter.window.is_none());
            }
        }

        pub(crate) fn withdraw_wrongly(&mut self, attempt: AttemptId, changes: &mut Changes) {
            let nonce = self.rows[&attempt.place()].nonce;
            if self.has(Mutant::SharedWithdrawal) {
                let later = self.rows.range(attempt.place()..).filter(|(_, row)| row.nonce == nonce);
                changes.deleted.extend(later.map(|(place, _)| *place));
            }
            if self.has(Mutant::PlaceReuse) && changes.inserted.is_empty() {
                let last = self.rows.keys().rfind(|place| !changes.deleted.contains(place));
                changes.next_place = last.map_or(Place::FIRST, |last| last.next().unwrap());
            }
            if self.has(Mutant::WindowOfLastCharge) {
                let last = self.rows.values().map(|row| row.charged_at).max().unwrap();
                let amounts = self.rows[&attempt.place()].amounts.clone();
                self.kept.subtract(&amounts.at(last));
            }
        }

        pub(crate) fn recount_wrongly(&mut self) {
            if self.has(Mutant::SharedWithdrawal) {
                self.kept = Kept::default();
                for (_, row) in self.rows.iter().filter(|(place, _)| !self.live.contains_key(place)) {
                    self.kept.raise(row.nonce, &row.counted());
                }
            }
        }
    }
}
