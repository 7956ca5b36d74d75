//! The search of bookmarks and places: one writer, one reader, four rows.
//!
//! The rule is that the reader, once it asks, counts every row that the writer keeps.

use alloy_primitives::{B256, U256};
use quorate_protocol::NodeIndex;

use super::explore::{Covered, Model, digest, explore};
use crate::mutant::Mutant;
use crate::{
    Amounts, AttemptId, Dimension, JournalId, Judgement, KeyId, KeyLedger, Limits, Nonce, Operation, Page,
    Place, Reading, StatementHash, Stored, Timestamp,
};

/// What is left out, and how often what may happen.
#[derive(Clone, Copy, Debug)]
struct Rules {
    mutant: Option<Mutant>,
    /// Whether each node may crash once, and the writer's database be restored; otherwise the reader makes an attempt of its
    /// own, and lacks a statement at first.
    crashes: bool,
    /// An entry whose statement is missing is passed over as not genuine (defect S5).
    unknown_is_not_genuine: bool,
    /// A withdrawn attempt's row is shown as kept until it is deleted (half of defect S4; a [`Pending`] cannot be written so).
    ///
    /// [`Pending`]: crate::Pending
    unmarked_early: bool,
    /// A restored database goes on with the journal id that it had (defect H9).
    restore_keeps_journal: bool,
}

const SOUND: Rules = Rules {
    mutant: None,
    crashes: false,
    unknown_is_not_genuine: false,
    unmarked_early: false,
    restore_keeps_journal: false,
};

const ROWS: u8 = 4;

#[derive(Clone)]
struct Pair {
    rules: Rules,
    writer: KeyLedger,
    reader: KeyLedger,
    /// The writer's operations charged so far; each has a nonce of its own.
    charged: u8,
    attempts: Vec<AttemptId>,
    /// The reader's own attempt, at the nonce of the writer's first row.
    own: Option<AttemptId>,
    owned: bool,
    /// A page under way, with the reading that asked for it.
    page: Option<(Reading, Page)>,
    backup: Option<Stored>,
    crashes: u8,
    restored: bool,
    /// Whether the reader knows the statement behind the writer's second row.
    knows: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Charge,
    Keep(usize),
    Withdraw(usize),
    CrashWriter,
    BackUp,
    Restore,
    Ask,
    Read,
    ReaderCharges,
    ReaderWithdraws,
    Flush,
    CrashReader,
    Learn,
}

impl Pair {
    fn new(rules: Rules) -> Self {
        let ledger = |journal| load(journal, Stored::default(), rules.mutant);
        Self {
            rules,
            writer: ledger(1),
            reader: ledger(9),
            charged: 0,
            attempts: Vec::new(),
            own: None,
            owned: rules.crashes,
            page: None,
            backup: None,
            crashes: u8::from(rules.crashes),
            restored: !rules.crashes,
            knows: rules.crashes,
        }
    }

    fn ask(&self, reader: &KeyLedger) -> (Reading, Page) {
        let reading = reader.catch_up(WRITER);
        let nonce = |place: Place| Some(vec![self.writer.rows.get(&place)?.nonce.get().to::<u8>()]);
        let page = self.writer.catch_up_page(reading.request()).fill(nonce).unwrap();
        (reading, page)
    }

    fn read(&self, reader: &mut KeyLedger, (mut reading, page): (Reading, Page)) {
        let judged = page.judge(WRITER, |entry| match entry.request[0] {
            1 if !self.knows && self.rules.unknown_is_not_genuine => Judgement::NotGenuine,
            1 if !self.knows => Judgement::StatementMissing,
            nonce => Judgement::Genuine { nonce: Nonce::new(U256::from(nonce)), amounts: one() },
        });
        if let Ok(judged) = judged {
            reader.merge_catch_up(&mut reading, judged, Timestamp::new(0)).unwrap();
        }
    }
}

impl Model for Pair {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let attempts = 0..self.attempts.len();
        let mut steps: Vec<_> =
            attempts.flat_map(|index| [Step::Keep(index), Step::Withdraw(index)]).collect();
        let may = [
            (self.charged < ROWS, Step::Charge),
            (self.crashes > 0, Step::CrashWriter),
            (self.crashes > 0, Step::CrashReader),
            (self.backup.is_none() && !self.restored, Step::BackUp),
            (self.backup.is_some() && !self.restored, Step::Restore),
            (self.page.is_none(), Step::Ask),
            (self.page.is_some(), Step::Read),
            (!self.owned, Step::ReaderCharges),
            (self.own.is_some(), Step::ReaderWithdraws),
            (!self.reader.unsaved.is_empty() || !self.reader.moved.is_empty(), Step::Flush),
            (!self.knows, Step::Learn),
        ];
        steps.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, step)| step));
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Charge => {
                let charge = charge(&mut self.writer, self.charged);
                self.attempts.extend(charge);
                self.charged += 1;
            }
            Step::Keep(index) => {
                let _ = self.writer.keep(self.attempts.remove(index));
            }
            Step::Withdraw(index)
                if self.rules.unmarked_early
                    && self.writer.live.contains_key(&self.attempts[index].place()) =>
            {
                self.writer.live.remove(&self.attempts[index].place());
            }
            Step::Withdraw(index) => {
                if self.rules.unmarked_early {
                    let place = self.attempts[index].place();
                    self.writer.live.insert(place, one().at(Timestamp::new(0)));
                }
                if let Some(withdrawal) = self.writer.withdraw(self.attempts.remove(index)).unwrap() {
                    withdrawal.commit();
                }
            }
            Step::CrashWriter => {
                self.crashes -= 1;
                self.attempts.clear();
                self.writer =
                    load(1 + u8::from(self.new_journal()), durable(&self.writer), self.rules.mutant);
            }
            Step::BackUp => self.backup = Some(durable(&self.writer)),
            Step::Restore => {
                self.restored = true;
                self.attempts.clear();
                let backup = self.backup.take().unwrap();
                self.writer = load(1 + u8::from(self.new_journal()), backup, self.rules.mutant);
            }
            Step::Ask => self.page = Some(self.ask(&self.reader)),
            Step::Read => {
                let page = self.page.take().unwrap();
                let mut reader = self.reader.clone();
                self.read(&mut reader, page);
                self.reader = reader;
            }
            Step::ReaderCharges => {
                self.own = charge(&mut self.reader, 0);
                self.owned = true;
            }
            Step::ReaderWithdraws => {
                let own = self.own.take().unwrap();
                if let Some(withdrawal) = self.reader.withdraw(own).unwrap() {
                    withdrawal.commit();
                }
            }
            Step::Flush => self.reader.flush().unwrap().commit(),
            Step::CrashReader => {
                self.crashes -= 1;
                // Its page is lost with it, and its own attempt is kept.
                (self.page, self.own) = (None, None);
                self.reader = load(9, durable(&self.reader), self.rules.mutant);
            }
            Step::Learn => self.knows = true,
        }
    }

    fn digest(&self) -> u128 {
        let page = &self.page;
        let backup = self.backup.as_ref().map(|backup| (backup.next_place, &backup.rows));
        let once = (self.owned, self.crashes, self.restored, self.knows, self.charged);
        digest(&(&self.writer, &self.reader, &self.attempts, &self.own, page, backup, once))
    }

    fn broken(&self) -> Option<String> {
        if !self.knows {
            return None;
        }
        let mut reader = self.reader.clone();
        let page = self.ask(&reader);
        self.read(&mut reader, page);
        let kept = self.writer.rows.iter().filter(|(place, _)| !self.writer.live.contains_key(place));
        let unread = kept.map(|(_, row)| row).find(|row| !reader.kept.covers(row.nonce, &row.counted()));
        unread.map(|row| format!("the reader never counts nonce {}", row.nonce.get()))
    }
}

impl Pair {
    fn new_journal(&self) -> bool {
        self.rules.crashes && self.restored && !self.rules.restore_keeps_journal
    }
}

const WRITER: NodeIndex = NodeIndex::new(1).unwrap();

fn load(journal: u8, stored: Stored, mutant: Option<Mutant>) -> KeyLedger {
    let journal = JournalId::new(B256::repeat_byte(journal));
    KeyLedger::load(KeyId::new(B256::ZERO), journal, stored).unwrap().mutated(mutant)
}

/// What a crash leaves of a ledger.
fn durable(ledger: &KeyLedger) -> Stored {
    let saved = ledger.bookmarks.iter().filter(|(peer, _)| !ledger.moved.contains(peer));
    Stored {
        next_place: ledger.next_place,
        rows: ledger.rows.clone(),
        bookmarks: saved.map(|(peer, bookmark)| (*peer, *bookmark)).collect(),
    }
}

fn charge(ledger: &mut KeyLedger, nonce: u8) -> Option<AttemptId> {
    let operation = Operation {
        nonce: Nonce::new(U256::from(nonce)),
        amounts: one(),
        request: Vec::new(),
        statement: StatementHash::new(B256::ZERO),
    };
    let limits: Limits = [(Dimension::Uses, U256::from(100))].into_iter().collect();
    ledger.charge(operation, &limits, Timestamp::new(0)).unwrap().commit().attempt()
}

fn one() -> Amounts {
    [(Dimension::Uses, U256::ONE)].into_iter().collect()
}

fn search(name: &str, rules: Rules) -> Covered<Step> {
    let begun = std::time::Instant::now();
    let covered = explore(Pair::new(rules));
    let Covered { states, transitions, broken } = &covered;
    println!("{name}: {states} states, {transitions} transitions in {:?}, {broken:?}", begun.elapsed());
    covered
}

#[test]
fn every_kept_row_is_read() {
    assert!(search("journal, own attempt, statement", SOUND).broken.is_none());
    assert!(search("journal, crash, restore", Rules { crashes: true, ..SOUND }).broken.is_none());
}

#[test]
fn mutants_are_found() {
    for (name, rules) in [
        ("S2", Rules { mutant: Some(Mutant::PeerKeptForgotten), ..SOUND }),
        ("S4", Rules { mutant: Some(Mutant::PlaceReuse), unmarked_early: true, ..SOUND }),
        ("S5", Rules { unknown_is_not_genuine: true, ..SOUND }),
        ("bookmark passes live rows", Rules { mutant: Some(Mutant::BookmarkPassesLive), ..SOUND }),
        ("H9, restore keeps the journal", Rules { crashes: true, restore_keeps_journal: true, ..SOUND }),
    ] {
        assert!(search(name, rules).broken.is_some(), "the search does not find {name}");
    }
}

#[test]
fn a_place_is_reused_without_harm_while_no_bookmark_passes_a_live_row() {
    // So the counter is a second line of defence against S4, and the first against a bookmark that went on too far.
    let rules = Rules { mutant: Some(Mutant::PlaceReuse), ..SOUND };
    assert!(search("place reuse alone", rules).broken.is_none());
}
