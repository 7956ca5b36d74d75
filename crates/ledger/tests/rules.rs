//! The rules one by one, through the public interface.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use alloy_primitives::{Address, B256, FixedBytes, U256};
use quorate_ledger::{
    Amounts, AttemptId, Barrier, Bookmark, ChargeError, Charged, DamagedCounter, DecodeError, Denied,
    Dimension, Entry, JournalId, Judgement, KeyId, KeyLedger, Limits, MAX_CLOCK_SKEW, Nonce, Operation,
    Origin, Page, PageError, PageRequest, Place, Row, SettleError, StatementHash, Stored, Timestamp,
};
use quorate_protocol::NodeIndex;

const NOW: Timestamp = Timestamp::new(1000);

fn ledger(journal: u8) -> KeyLedger {
    load(journal, Stored::default())
}

fn load(journal: u8, stored: Stored) -> KeyLedger {
    KeyLedger::load(KeyId::new(B256::ZERO), JournalId::new(B256::repeat_byte(journal)), stored).unwrap()
}

fn peer() -> NodeIndex {
    NodeIndex::new(2).unwrap()
}

fn value(amount: u64) -> Amounts {
    [(Dimension::NativeValue, U256::from(amount))].into_iter().collect()
}

fn limit(limit: u64) -> Limits {
    [(Dimension::NativeValue, U256::from(limit))].into_iter().collect()
}

fn operation(nonce: u8, amounts: Amounts) -> Operation {
    let statement = StatementHash::new(B256::ZERO);
    Operation { nonce: Nonce::new(U256::from(nonce)), amounts, request: vec![nonce], statement }
}

fn charge(ledger: &mut KeyLedger, nonce: u8, amount: u64, limit_of: u64) -> Result<Charged, ChargeError> {
    Ok(ledger.charge(operation(nonce, value(amount)), &limit(limit_of), NOW)?.commit())
}

fn keep(ledger: &mut KeyLedger, nonce: u8, amount: u64) -> Option<AttemptId> {
    let attempt = charge(ledger, nonce, amount, u64::MAX).unwrap().attempt();
    assert!(attempt.is_none_or(|attempt| ledger.keep(attempt)));
    attempt
}

fn withdraw(ledger: &mut KeyLedger, attempt: AttemptId) -> bool {
    ledger.withdraw(attempt).unwrap().map(|withdrawal| withdrawal.commit()).is_some()
}

/// A peer's page over the wire, judged: every entry is worth 1 wei a byte of its request, at the nonce of its first.
fn page(ledger: &KeyLedger, request: PageRequest) -> quorate_ledger::JudgedPage {
    let outline = ledger.catch_up_page(request);
    let request = |place: Place| Some(vec![place.get() as u8]);
    let page = Page::decode(&outline.fill(request).unwrap().encode()).unwrap();
    page.judge(peer(), |entry| genuine(entry.request[0], 1)).unwrap()
}

fn genuine(nonce: u8, amount: u64) -> Judgement {
    Judgement::Genuine { nonce: Nonce::new(U256::from(nonce)), amounts: value(amount) }
}

fn total(ledger: &KeyLedger) -> u64 {
    ledger.kept_total(Dimension::NativeValue, NOW).to()
}

#[test]
fn a_stale_attempt_withdraws_its_own_charge_only() {
    // The sequence by which operations worth 955 passed under a limit of 100.
    let mut ledger = ledger(1);
    let stale = charge(&mut ledger, 0, 1, 100).unwrap().attempt().unwrap();
    keep(&mut ledger, 0, 1);
    keep(&mut ledger, 0, 100);
    assert!(withdraw(&mut ledger, stale));
    assert_eq!(total(&ledger), 100);
    let refused = charge(&mut ledger, 1, 1, 100).unwrap_err();
    let expected = Denied::Refused {
        dimension: Dimension::NativeValue,
        window: None,
        limit: U256::from(100),
        kept: U256::from(100),
        asked: U256::ONE,
    };
    assert_eq!(refused, ChargeError::Denied(expected));
    assert_eq!(refused.to_string(), "the value sent in all (wei) would come to 101; the key's limit is 100");
}

#[test]
fn what_only_live_amounts_exceed_is_contended() {
    let mut ledger = ledger(1);
    let live = charge(&mut ledger, 0, 60, 100).unwrap();
    let contended = charge(&mut ledger, 1, 50, 100).unwrap_err();
    assert!(matches!(
        contended,
        ChargeError::Denied(Denied::Contended { kept, live, asked, .. })
            if kept.is_zero() && live == U256::from(60) && asked == U256::from(50)
    ));
    assert!(withdraw(&mut ledger, live.attempt().unwrap()));
    assert!(charge(&mut ledger, 1, 50, 100).is_ok());
}

#[test]
fn keep_and_withdraw_are_idempotent_and_consume_the_attempt() {
    let mut ledger = ledger(1);
    let kept = charge(&mut ledger, 0, 1, 9).unwrap().attempt().unwrap();
    let withdrawn = charge(&mut ledger, 1, 1, 9).unwrap().attempt().unwrap();
    assert!(ledger.keep(kept) && !ledger.keep(kept) && !withdraw(&mut ledger, kept));
    assert!(withdraw(&mut ledger, withdrawn) && !withdraw(&mut ledger, withdrawn) && !ledger.keep(withdrawn));
    assert_eq!(total(&ledger), 1);
    // A withdrawn attempt's place is not used again.
    assert!(charge(&mut ledger, 2, 1, 9).unwrap().attempt().unwrap().place() > withdrawn.place());
}

#[test]
fn another_keys_attempt_changes_nothing() {
    let other = KeyId::new(B256::repeat_byte(1));
    let mut other = KeyLedger::load(other, JournalId::new(B256::ZERO), Stored::default()).unwrap();
    let attempt = charge(&mut other, 0, 1, 9).unwrap().attempt().unwrap();
    let mut ledger = ledger(1);
    let own = charge(&mut ledger, 0, 1, 9).unwrap().attempt().unwrap();
    assert!(!ledger.keep(attempt) && !withdraw(&mut ledger, attempt));
    assert!(ledger.keep(own));
}

#[test]
fn only_kept_amounts_spare_a_row() {
    let mut ledger = ledger(1);
    let first = charge(&mut ledger, 0, 5, 9).unwrap();
    let second = charge(&mut ledger, 0, 5, 9).unwrap();
    assert!(first.attempt().is_some() && second.attempt().is_some());
    assert!(ledger.keep(second.attempt().unwrap()));
    assert_eq!(charge(&mut ledger, 0, 4, 9).unwrap().attempt(), None);
}

#[test]
fn a_dropped_decision_changes_nothing() {
    let mut ledger = ledger(1);
    let before = ledger.clone();
    drop(ledger.charge(operation(0, value(1)), &limit(9), NOW).unwrap());
    assert_eq!(ledger, before);
}

#[test]
fn what_is_live_in_a_crash_is_kept_under_its_place() {
    let mut stored = Stored::default();
    let mut ledger = ledger(1);
    let pending = ledger.charge(operation(0, value(5)), &limit(9), NOW).unwrap();
    stored.apply(pending.changes());
    let attempt = pending.commit().attempt().unwrap();
    let mut again = load(1, stored.clone());
    assert_eq!(total(&again), 5);
    assert!(!withdraw(&mut again, attempt));
    ledger.keep(attempt);
    assert_eq!(again, ledger);

    let damaged = Stored { next_place: Place::FIRST, ..stored };
    let refused = KeyLedger::load(again.key(), again.journal(), damaged);
    assert_eq!(refused, Err(DamagedCounter { next: Place::FIRST, last: Place::FIRST }));
}

#[test]
fn a_limited_dimension_has_to_be_counted() {
    let asked = operation(0, Amounts::default());
    let refused = ledger(1).charge(asked, &limit(9), NOW).map(|_| ()).unwrap_err();
    assert_eq!(refused, ChargeError::Uncounted { dimension: Dimension::NativeValue });
}

#[test]
fn each_window_counts_on_its_own() {
    let hourly = Dimension::UsesInWindow(3600.try_into().unwrap());
    let limits: Limits = [(hourly, U256::ONE)].into_iter().collect();
    let one: Amounts = [(hourly, U256::ONE)].into_iter().collect();
    let mut ledger = ledger(1);
    let first = ledger.charge(operation(0, one.clone()), &limits, Timestamp::new(3599)).unwrap().commit();
    ledger.keep(first.attempt().unwrap());
    assert!(ledger.charge(operation(1, one.clone()), &limits, Timestamp::new(3599)).is_err());
    // Asked for again in the next window, it counts there, too.
    let again = ledger.charge(operation(0, one.clone()), &limits, Timestamp::new(3600)).unwrap().commit();
    assert!(again.attempt().is_some());
    assert!(ledger.charge(operation(1, one), &limits, Timestamp::new(3600)).is_err());
}

#[test]
fn amounts_count_in_each_window_and_in_all() {
    let daily = Dimension::NativeValueInWindow(3600.try_into().unwrap());
    let amounts = |amount: u64| -> Amounts {
        [daily, Dimension::NativeValue].map(|dimension| (dimension, U256::from(amount))).into_iter().collect()
    };
    let limits: Limits =
        [(daily, U256::from(5)), (Dimension::NativeValue, U256::from(8))].into_iter().collect();
    let mut ledger = ledger(1);
    let mut sign = |nonce, amount, at| {
        let charge = ledger.charge(operation(nonce, amounts(amount)), &limits, Timestamp::new(at));
        let attempt = charge.map(|pending| pending.commit().attempt());
        if let Ok(Some(attempt)) = attempt {
            ledger.keep(attempt);
        }
        match attempt {
            Err(ChargeError::Denied(Denied::Refused { dimension, .. })) => Err(dimension),
            other => Ok(other.unwrap().is_some()),
        }
    };
    let (first, second) = (3599, 3600);
    assert_eq!(sign(0, 3, first), Ok(true));
    assert_eq!(sign(1, 3, first), Err(daily));
    // Of a nonce the largest amount counts, once.
    assert_eq!(sign(0, 5, first), Ok(true));
    assert_eq!(sign(0, 4, first), Ok(false));
    assert_eq!(sign(1, 1, first), Err(daily));
    // A new window has room, which the same nonce takes as well, and adds nothing to what is in all.
    assert_eq!(sign(0, 2, second), Ok(true));
    assert_eq!(sign(1, 3, second), Ok(true));
    assert_eq!(sign(2, 1, second), Err(Dimension::NativeValue));
    assert_eq!(ledger.kept_total(daily, Timestamp::new(first)), U256::from(5));
    assert_eq!(ledger.kept_total(daily, Timestamp::new(second)), U256::from(5));
    assert_eq!(ledger.kept_total(Dimension::NativeValue, Timestamp::new(second)), U256::from(8));
}

#[test]
fn sums_saturate_above_every_limit() {
    let most: Amounts = [(Dimension::NativeValue, U256::MAX)].into_iter().collect();
    let mut ledger = ledger(1);
    let unlimited = Limits::default();
    for nonce in 0..2 {
        let charged = ledger.charge(operation(nonce, most.clone()), &unlimited, NOW).unwrap().commit();
        ledger.keep(charged.attempt().unwrap());
    }
    assert_eq!(ledger.kept_total(Dimension::NativeValue, NOW), U256::MAX);
    assert!(charge(&mut ledger, 0, 1, u64::MAX).is_err());
}

#[test]
fn a_bookmark_stops_before_the_first_live_row() {
    let (mut writer, mut reader) = (ledger(2), ledger(1));
    keep(&mut writer, 1, 1);
    let live = charge(&mut writer, 2, 1, 9).unwrap().attempt().unwrap();
    keep(&mut writer, 3, 1);
    let read = |reader: &mut KeyLedger, writer: &KeyLedger| {
        let mut reading = reader.catch_up(peer());
        let judged = page(writer, reading.request());
        reader.merge_catch_up(&mut reading, judged, NOW).unwrap();
        reader.catch_up(peer()).request().after.map(|bookmark| bookmark.place.get())
    };
    assert_eq!(read(&mut reader, &writer), Some(1));
    assert_eq!(total(&reader), 2);
    writer.keep(live);
    assert_eq!(read(&mut reader, &writer), Some(3));
    assert_eq!(total(&reader), 3);
    // What was told gets rows, and is written with the bookmark.
    let written = reader.flush().unwrap();
    assert_eq!(written.changes().inserted.len(), 3);
    assert_eq!(written.changes().bookmarks.len(), 1);
    assert!(written.changes().inserted.values().all(|new| new.row.origin == Origin::Peer(peer())));
}

#[test]
fn settling_takes_every_hello_and_every_journal() {
    let (mut own, mut other) = (ledger(1), ledger(2));
    let charged = charge(&mut own, 0, 1, 9).unwrap();
    let barrier = Barrier::new(charged, [peer()], &own);
    let mut barrier = barrier.open().unwrap_err();
    assert!(barrier.missing().eq([peer()]));
    barrier.hello(peer());
    let run = barrier.open().unwrap();
    let attempt = run.attempt().unwrap();
    assert_eq!(own.settle(run, &limit(9)).unwrap_err(), SettleError::Unread { unread: vec![peer()] });

    // The attempt is still live; withdrawn, it cannot be settled.
    let charged = charge(&mut own, 1, 1, 9).unwrap();
    assert!(withdraw(&mut own, attempt));
    let mut barrier = Barrier::new(charged, [peer()], &own);
    barrier.hello(peer());
    let mut run = barrier.open().unwrap();
    keep(&mut other, 1, 1);
    let (_, request) = run.requests()[0];
    own.merge(&mut run, page(&other, request), NOW).unwrap();
    assert!(run.requests().is_empty());
    let again = page(&other, request);
    assert_eq!(own.merge(&mut run, again, NOW), Err(PageError::Finished { peer: peer() }));
    let attempt = run.attempt().unwrap();
    assert!(withdraw(&mut own, attempt));
    assert_eq!(own.settle(run, &limit(9)).unwrap_err(), SettleError::Gone { attempt });
}

#[test]
fn a_peers_time_is_believed_within_the_skew() {
    let window = Dimension::UsesInWindow(3600.try_into().unwrap());
    let mut own = ledger(1);
    let mut reading = own.catch_up(peer());
    let mut writer = ledger(2);
    let late = Timestamp::new(1_000_000);
    let one: Amounts = [(window, U256::ONE)].into_iter().collect();
    let charged = writer.charge(operation(1, one.clone()), &Limits::default(), late).unwrap().commit();
    writer.keep(charged.attempt().unwrap());
    let told = writer.catch_up_page(reading.request()).fill(|_| Some(vec![1])).unwrap();
    let judged =
        told.judge(peer(), |_| Judgement::Genuine { nonce: Nonce::new(U256::ONE), amounts: one.clone() });
    own.merge_catch_up(&mut reading, judged.unwrap(), NOW).unwrap();
    assert_eq!(own.kept_total(window, late), U256::ZERO);
    assert_eq!(own.kept_total(window, Timestamp::new(NOW.get() + MAX_CLOCK_SKEW)), U256::ONE);
}

#[test]
fn an_entry_without_its_statement_is_withheld() {
    let mut writer = ledger(2);
    keep(&mut writer, 1, 1);
    let told = writer.catch_up_page(PageRequest { after: None }).fill(|_| Some(vec![1])).unwrap();
    let withheld = told.judge(peer(), |_| Judgement::StatementMissing).unwrap_err();
    assert_eq!((withheld.peer, withheld.place), (peer(), Place::FIRST));
}

#[test]
fn decoders_refuse_what_no_ledger_encodes() {
    let row = Row {
        nonce: Nonce::new(U256::from(7)),
        amounts: value(5),
        charged_at: Timestamp::new(300),
        origin: Origin::Own,
        statement: StatementHash::new(B256::ZERO),
        request_bytes: 3,
    };
    let mut bytes = row.encode();
    assert_eq!(Row::decode(&bytes), Ok(row));
    bytes.push(0);
    assert!(matches!(Row::decode(&bytes), Err(DecodeError::Malformed { .. })));
    bytes[0] = 9;
    assert_eq!(Row::decode(&bytes), Err(DecodeError::Version { what: "ledger row", found: 9, expected: 1 }));
    assert_eq!(Row::decode(&[]), Err(DecodeError::Empty { what: "ledger row", version: 1 }));
    assert!(matches!(Page::decode(&vec![1; 2_000_000]), Err(DecodeError::TooLong { .. })));
    assert!(matches!(PageRequest::decode(&[1; 65]), Err(DecodeError::TooLong { .. })));

    // A page whose places do not ascend: two entries at place 1.
    let entry = Entry {
        place: Place::FIRST,
        charged_at: NOW,
        live: false,
        statement: StatementHash::new(B256::ZERO),
        request: Vec::new(),
    };
    let page = (JournalId::new(B256::ZERO), vec![entry.clone(), entry], false);
    let bytes = postcard::to_extend(&page, vec![1]).unwrap();
    assert!(matches!(Page::decode(&bytes), Err(DecodeError::Malformed { .. })));
}

#[test]
fn the_stored_and_the_sent_forms_stay_as_they_are() {
    let dimension = |dimension: Dimension| postcard::to_stdvec(&dimension).unwrap();
    assert_eq!(dimension(Dimension::Uses), [0]);
    assert_eq!(dimension(Dimension::UsesInWindow(60.try_into().unwrap())), [1, 60]);
    assert_eq!(dimension(Dimension::NativeValue), [2]);
    assert_eq!(dimension(Dimension::GasCost), [3]);
    let (contract, selector, offset) = (Address::ZERO, FixedBytes([1; 4]), 32);
    let argument = dimension(Dimension::Argument { contract, selector, offset });
    assert_eq!(argument, [[4, 20].as_slice(), &[0; 20], &[4], &[1; 4], &[32]].concat());
    let seconds = 60.try_into().unwrap();
    assert_eq!(dimension(Dimension::NativeValueInWindow(seconds)), [5, 60]);
    assert_eq!(dimension(Dimension::GasCostInWindow(seconds)), [6, 60]);
    let argument = dimension(Dimension::ArgumentInWindow { contract, selector, offset, seconds });
    assert_eq!(argument, [[7, 20].as_slice(), &[0; 20], &[4], &[1; 4], &[32, 60]].concat());
    assert_eq!(PageRequest { after: None }.encode(), [1, 0]);
    let bookmark = Bookmark { journal: JournalId::new(B256::ZERO), place: Place::FIRST };
    let bytes = PageRequest { after: Some(bookmark) }.encode();
    assert_eq!(bytes.len(), 1 + 1 + 33 + 1);
    assert_eq!(PageRequest::decode(&bytes), Ok(PageRequest { after: Some(bookmark) }));
}

#[test]
fn a_full_journal_takes_no_new_operation_and_still_signs_what_it_holds() {
    let mut ledger = ledger(1).with_most_bytes(2);
    let first = charge(&mut ledger, 1, 10, 100).unwrap().attempt().unwrap();
    keep(&mut ledger, 2, 10);
    let refused = charge(&mut ledger, 3, 10, 100).unwrap_err();
    assert_eq!(refused, ChargeError::JournalFull { held: 2, found: 1, most: 2 });
    assert!(charge(&mut ledger, 2, 10, 100).unwrap().attempt().is_none(), "it is kept already");

    assert!(withdraw(&mut ledger, first), "what was taken back takes no room");
    assert_eq!(ledger.bytes(), 1);
    keep(&mut ledger, 3, 10);
    let mut stored = Stored::default();
    let mut full = load(1, Stored::default());
    let charge = full.charge(operation(1, value(1)), &limit(9), NOW).unwrap();
    stored.apply(charge.changes());
    let mut reloaded = load(1, stored).with_most_bytes(1);
    let refused = reloaded.charge(operation(2, value(1)), &limit(9), NOW).unwrap_err();
    assert_eq!(
        refused,
        ChargeError::JournalFull { held: 1, found: 1, most: 1 },
        "as it was before a restart"
    );
}
