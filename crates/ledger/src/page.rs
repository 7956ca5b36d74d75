//! Pages of the journal: what one node tells another of a key's operations.

use quorate_protocol::NodeIndex;
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Format};
use crate::row::MAX_REQUEST_BYTES;
use crate::{Amounts, JournalId, KeyLedger, Nonce, Place, SigningRun, StatementHash, Timestamp};

/// The bytes of requests that a page holds, apart from a single larger one.
pub const PAGE_BYTES: usize = 512 * 1024;

/// The most entries of a page.
pub const MAX_PAGE_ENTRIES: usize = 512;

/// What an entry takes beside its request: place, time, statement, length, flag.
const ENTRY_OVERHEAD: usize = 64;

/// The most bytes that an encoded page has.
pub const MAX_ENCODED_PAGE: usize = PAGE_BYTES + MAX_REQUEST_BYTES + MAX_PAGE_ENTRIES * ENTRY_OVERHEAD + 64;

const PAGE: Format = Format { what: "journal page", version: 1, most: MAX_ENCODED_PAGE };
const REQUEST: Format = Format { what: "page request", version: 1, most: 64 };

/// How far one node has read another's journal of a key: up to and with this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bookmark {
    /// Which journal: a database that was set up anew or restored has another.
    pub journal: JournalId,
    /// The last place read.
    pub place: Place,
}

/// Asks a peer for the entries after a bookmark, or from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// The bookmark; none asks from the start.
    pub after: Option<Bookmark>,
}

/// A row as a page tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Entry {
    /// Its place in the teller's journal.
    pub place: Place,
    /// When the teller charged it, by its clock, or was told that it was charged.
    pub charged_at: Timestamp,
    /// Whether the teller may withdraw it yet.
    pub live: bool,
    /// The statement that registered the ephemeral key which signed the request.
    pub statement: StatementHash,
    /// The signed request; nonce and amounts are read from it and from nothing else.
    pub request: Vec<u8>,
}

/// Consecutive entries of one node's journal of one key, by ascending place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Page {
    journal: JournalId,
    entries: Vec<Entry>,
    more: bool,
}

/// A page without its requests, which the storage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOutline {
    journal: JournalId,
    entries: Vec<Entry>,
    more: bool,
}

/// What a node finds when it judges an entry by its own copy of the key's statements and permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// An ephemeral key that was ever registered, revoked or not, signed an operation of this key.
    Genuine {
        /// The operation's nonce.
        nonce: Nonce,
        /// What it comes to.
        amounts: Amounts,
    },
    /// No registered key can have signed it: it is left out for good, and the teller is to blame.
    NotGenuine,
    /// The statement that registered its ephemeral key is not known here, so it cannot be judged.
    StatementMissing,
}

/// A page of which every entry was judged for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedPage {
    pub(crate) peer: NodeIndex,
    pub(crate) journal: JournalId,
    pub(crate) entries: Vec<(Entry, Option<(Nonce, Amounts)>)>,
    pub(crate) more: bool,
}

/// A peer told an entry and not the statement with which it can be judged. The run ends, the bookmark stays, and the
/// pair of nodes is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {peer} withholds statement {} that its entry {place} needs; it has to send it along", .statement.get())]
pub struct Withheld {
    /// The peer.
    pub peer: NodeIndex,
    /// The entry's place in its journal.
    pub place: Place,
    /// The statement that is missing.
    pub statement: StatementHash,
}

impl PageRequest {
    /// The wire form: a version byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        REQUEST.encode(self)
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// Another version, or bytes that are not a page request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        REQUEST.decode(bytes)
    }
}

impl KeyLedger {
    /// The page for another signer of a run in which every signer's charge is durable.
    pub fn signing_page(&self, _run: &SigningRun, request: PageRequest) -> PageOutline {
        self.cut_page(request)
    }

    /// The page for a node that reads outside a run. No decision to sign may rest on it: say on the wire that it is one
    /// for catching up, and cut another in the run.
    pub fn catch_up_page(&self, request: PageRequest) -> PageOutline {
        self.cut_page(request)
    }

    /// Takes the rows after a bookmark up to a page's size, one row at least; all from the start for another journal's
    /// bookmark. Only durable rows have a place.
    fn cut_page(&self, request: PageRequest) -> PageOutline {
        let after = request.after.filter(|bookmark| bookmark.journal == self.journal);
        let begin = after.map_or(Some(Place::FIRST), |bookmark| bookmark.place.next());
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        for (place, row) in begin.into_iter().flat_map(|begin| self.rows.range(begin..)) {
            bytes = bytes.saturating_add(row.request_bytes as usize);
            if !entries.is_empty() && (bytes > PAGE_BYTES || entries.len() == MAX_PAGE_ENTRIES) {
                return PageOutline { journal: self.journal, entries, more: true };
            }
            entries.push(Entry {
                place: *place,
                charged_at: row.charged_at,
                live: self.live.contains_key(place),
                statement: row.statement,
                request: Vec::new(),
            });
        }
        PageOutline { journal: self.journal, entries, more: false }
    }
}

impl PageOutline {
    /// The places whose requests the page needs.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.entries.iter().map(|entry| entry.place)
    }

    /// What continues after this page; none if it is the last one.
    pub fn next_request(&self) -> Option<PageRequest> {
        let last = self.entries.last().filter(|_| self.more)?;
        Some(PageRequest { after: Some(Bookmark { journal: self.journal, place: last.place }) })
    }

    /// The page with its requests. A live entry without one was withdrawn since, and is left out.
    ///
    /// # Errors
    /// The place of a kept entry that has no request: the storage is damaged.
    pub fn fill(self, mut request: impl FnMut(Place) -> Option<Vec<u8>>) -> Result<Page, MissingRequest> {
        let Self { journal, entries, more } = self;
        let mut filled = Vec::with_capacity(entries.len());
        for entry in entries {
            match request(entry.place) {
                Some(request) => filled.push(Entry { request, ..entry }),
                None if entry.live => {}
                None => return Err(MissingRequest { place: entry.place }),
            }
        }
        Ok(Page { journal, entries: filled, more })
    }
}

/// A kept row without its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal's row {place} is kept, and its signed request is not stored")]
pub struct MissingRequest {
    /// The row's place.
    pub place: Place,
}

impl Page {
    /// A page of entries that no ledger has, as a bad node makes it.
    #[cfg(test)]
    pub(crate) const fn of(journal: JournalId, entries: Vec<Entry>) -> Self {
        Self { journal, entries, more: false }
    }

    /// The wire form: a version byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        PAGE.encode(self)
    }

    /// Reads the wire form of a peer's page.
    ///
    /// # Errors
    /// Another version, more than [`MAX_ENCODED_PAGE`] bytes, [`MAX_PAGE_ENTRIES`] entries or [`MAX_REQUEST_BYTES`] in one
    /// of them, places that do not ascend, or a page that says there is more and has nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let page: Self = PAGE.decode(bytes)?;
        if page.entries.len() > MAX_PAGE_ENTRIES {
            return Err(PAGE.malformed("it has more than 512 entries"));
        }
        if page.entries.iter().any(|entry| entry.request.len() > MAX_REQUEST_BYTES) {
            return Err(PAGE.malformed("one of its requests is longer than 288 KiB"));
        }
        if !page.entries.is_sorted_by(|earlier, later| earlier.place < later.place) {
            return Err(PAGE.malformed("its places do not ascend"));
        }
        if page.more && page.entries.is_empty() {
            return Err(PAGE.malformed("it says that there is more and has no entry"));
        }
        Ok(page)
    }

    /// The entries, to be judged.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Judges every entry of a peer's page.
    ///
    /// # Errors
    /// The first entry whose statement is missing: nothing of the page may be merged then.
    pub fn judge(
        self,
        peer: NodeIndex,
        mut judge: impl FnMut(&Entry) -> Judgement,
    ) -> Result<JudgedPage, Withheld> {
        let Self { journal, entries, more } = self;
        let mut judged = Vec::with_capacity(entries.len());
        for entry in entries {
            let genuine = match judge(&entry) {
                Judgement::Genuine { nonce, amounts } => Some((nonce, amounts)),
                Judgement::NotGenuine => None,
                Judgement::StatementMissing => {
                    return Err(Withheld { peer, place: entry.place, statement: entry.statement });
                }
            };
            judged.push((entry, genuine));
        }
        Ok(JudgedPage { peer, journal, entries: judged, more })
    }
}
