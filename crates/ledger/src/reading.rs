//! Reading a peer's journal: page by page, up to its end.

use quorate_protocol::NodeIndex;

use crate::amounts::Counted;
use crate::mutant::Mutant;
use crate::page::Entry;
use crate::{
    Amounts, Bookmark, JudgedPage, KeyLedger, NewRow, Nonce, Origin, PageRequest, Place, Row, SigningRun,
    Timestamp,
};

/// How far a peer's clock is believed, in seconds: a time that it tells counts as at most this much later than now, and
/// windows that ended longer ago than this are not worth a row.
pub const MAX_CLOCK_SKEW: u64 = 600;

/// The reading of one peer's journal, page by page up to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct Reading {
    peer: NodeIndex,
    /// The last entry seen; later pages go on from it.
    cursor: Option<Bookmark>,
    /// Whether a live entry was seen: the bookmark stays before the first.
    at_live: bool,
    finished: bool,
    /// What the peer may yet withdraw: it counts for this run's decision and is not remembered.
    pub(crate) live: Vec<(Nonce, Counted)>,
}

/// Why a page does not continue a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// An entry that is not after those read.
    #[error("node {peer} tells place {found} again; the places after {after} were asked for")]
    NotAfter {
        /// The peer.
        peer: NodeIndex,
        /// The place told.
        found: Place,
        /// The last place that was read.
        after: Place,
    },
    /// A page after the last.
    #[error("node {peer} sent a page after its last one")]
    Finished {
        /// The peer.
        peer: NodeIndex,
    },
    /// A page of a node whose journal is not being read.
    #[error("node {peer} sent a page; its journal is not being read")]
    NotAsked {
        /// The node.
        peer: NodeIndex,
    },
}

impl Reading {
    /// What to ask the peer for next.
    pub const fn request(&self) -> PageRequest {
        PageRequest { after: self.cursor }
    }

    /// Whether the peer has told all that it has.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// The peer.
    pub const fn peer(&self) -> NodeIndex {
        self.peer
    }

    /// Whether a page continues what was read. One of another journal begins at that journal's start.
    fn accept(&self, page: &JudgedPage) -> Result<(), PageError> {
        let peer = self.peer;
        if page.peer != peer {
            return Err(PageError::NotAsked { peer: page.peer });
        }
        if self.finished {
            return Err(PageError::Finished { peer });
        }
        let after = self.cursor.filter(|cursor| cursor.journal == page.journal).map(|cursor| cursor.place);
        match (after, page.entries.first()) {
            (Some(after), Some((entry, _))) if entry.place <= after => {
                Err(PageError::NotAfter { peer, found: entry.place, after })
            }
            _ => Ok(()),
        }
    }
}

impl KeyLedger {
    /// Begins to read a peer's journal outside a signing run, after its bookmark or from its start.
    pub fn catch_up(&self, peer: NodeIndex) -> Reading {
        self.start_reading(peer)
    }

    /// Takes over a judged page of a reading outside a signing run: kept entries count for good.
    ///
    /// What is new is written with the key's next transaction, together with the bookmark that passes it; a crash before
    /// loses both, and it is read again.
    ///
    /// # Errors
    /// A page that does not continue the reading. Nothing of it is taken over.
    pub fn merge_catch_up(
        &mut self,
        reading: &mut Reading,
        page: JudgedPage,
        now: Timestamp,
    ) -> Result<(), PageError> {
        self.take_page(reading, page, now)
    }

    /// Takes over another signer's judged page: kept entries count for good, live ones for this run's decision. They are
    /// written as [`merge_catch_up`](Self::merge_catch_up) says.
    ///
    /// # Errors
    /// A page of a node that is no other signer, or that does not continue the reading. Nothing of it is taken over.
    pub fn merge(&mut self, run: &mut SigningRun, page: JudgedPage, now: Timestamp) -> Result<(), PageError> {
        let peer = page.peer;
        let reading = run.readings.get_mut(&peer).ok_or(PageError::NotAsked { peer })?;
        self.take_page(reading, page, now)
    }

    pub(crate) fn start_reading(&self, peer: NodeIndex) -> Reading {
        let cursor = self.bookmarks.get(&peer).copied();
        Reading { peer, cursor, at_live: false, finished: false, live: Vec::new() }
    }

    fn take_page(
        &mut self,
        reading: &mut Reading,
        page: JudgedPage,
        now: Timestamp,
    ) -> Result<(), PageError> {
        reading.accept(&page)?;
        let JudgedPage { peer, journal, entries, more } = page;
        for (entry, genuine) in entries {
            let here = Bookmark { journal, place: entry.place };
            reading.cursor = Some(here);
            reading.at_live |= entry.live && !self.has(Mutant::BookmarkPassesLive);
            if !reading.at_live {
                self.move_bookmark(peer, here);
            }
            let Some((nonce, amounts)) = genuine else { continue };
            let charged_at = entry.charged_at.min(now.plus(MAX_CLOCK_SKEW));
            if entry.live {
                reading.live.push((nonce, amounts.at(charged_at)));
            } else {
                self.merge_kept(peer, Entry { charged_at, ..entry }, nonce, amounts, now);
            }
        }
        reading.finished = !more;
        Ok(())
    }

    /// Takes over one kept entry of a peer. It gets a row unless what is kept covers it; what is live spares none.
    fn merge_kept(&mut self, peer: NodeIndex, entry: Entry, nonce: Nonce, amounts: Amounts, now: Timestamp) {
        let Entry { charged_at, statement, request, .. } = entry;
        let counted = amounts.at(charged_at);
        let mut recent = counted.clone();
        recent.retain(|counter| !counter.ended(now.minus(MAX_CLOCK_SKEW)));
        let covered = self.kept.covers(nonce, &recent)
            || self.has(Mutant::PeerKeptForgotten)
                && self.live_amounts().iter().any(|(of, live)| {
                    *of == nonce && recent.iter().all(|(counter, amount)| amount <= live.get(counter))
                });
        if covered {
            return;
        }
        self.kept.raise(nonce, &counted);
        let request_bytes = request.len() as u32;
        let row = Row { nonce, amounts, charged_at, origin: Origin::Peer(peer), statement, request_bytes };
        self.unsaved.push(NewRow { row, request });
    }

    /// Moves a bookmark on, never back within one journal.
    fn move_bookmark(&mut self, peer: NodeIndex, to: Bookmark) {
        let behind = |at: &Bookmark| at.journal != to.journal || at.place < to.place;
        if self.bookmarks.get(&peer).is_none_or(behind) {
            self.bookmarks.insert(peer, to);
            self.moved.insert(peer);
        }
    }
}
