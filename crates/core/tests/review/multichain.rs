//! What a device shows before it signs for several operations at once.

use super::*;

type Set<'s> = MultichainReview<'static, Text<&'s mut String>, 4>;
type Ended<T> = Result<T, MultichainReviewError>;

/// An operation on a chain, and the session that it grants, if it grants one.
#[derive(Clone)]
struct Part {
    chain_id: u64,
    epoch: SessionEpoch,
    nonce: u8,
    session_key_data: Option<Vec<u8>>,
    call_data: Vec<u8>,
}

impl Part {
    fn payment(chain_id: u64, valid_until: u64) -> Self {
        let epoch = SessionEpoch::new(0, valid_until).unwrap();
        let call = Call { to: FRIEND, value: U256::from(chain_id), data: &[] };
        let call_data = encode(&Execute(call)).to_vec();
        Self { chain_id, epoch, nonce: 3, session_key_data: None, call_data }
    }

    fn grant(chain_id: u64, valid_until: u64) -> Self {
        let policy = Policy::new(FRIEND, "safeMint(address)".parse().unwrap());
        let data = encode(&SessionKeyData::new(KEY, &policy)).to_vec();
        let call_data = single(MANAGER, &set_root(session(&data).hash())).to_vec();
        let epoch = SessionEpoch::new(1_700_000_000, valid_until).unwrap();
        Self { chain_id, epoch, nonce: 3, session_key_data: Some(data), call_data }
    }

    fn operation(&self) -> UserOperation<&[u8]> {
        UserOperation {
            sender: ACCOUNT,
            nonce: U256::from(self.nonce),
            call_data: &self.call_data,
            ..UserOperation::default()
        }
    }

    fn hash(&self) -> B256 {
        self.operation().hash(ENTRY_POINT, self.chain_id)
    }

    fn leaf(&self) -> B256 {
        quorate_core::multichain::leaf(self.epoch, self.hash())
    }

    fn begin(&self, set: &mut Set<'_>) -> Ended<()> {
        let domain = Domain { entry_point: ENTRY_POINT, chain_id: self.chain_id };
        let head = OperationHead::V0_6(self.operation().with_call_data(()));
        set.begin(domain, &head, self.epoch)
    }

    fn review(&self, set: &mut Set<'_>) -> Ended<()> {
        self.begin(set)?;
        self.session_key_data.iter().try_for_each(|data| set.session(&session(data)))?;
        self.call_data.chunks(40).try_for_each(|piece| set.call_data(piece))?;
        set.end()
    }
}

fn set(lines: &mut String) -> Set<'_> {
    Set::new(TRUSTED, Text(lines))
}

fn session(session_key_data: &[u8]) -> SessionLeaf<'_> {
    SessionLeaf { epoch: SessionEpoch::UNLIMITED, validation_module: MODULE, session_key_data }
}

/// The lines and how the review ends.
fn review(parts: &[Part]) -> (String, Ended<B256>) {
    let mut lines = String::new();
    let root = (|| {
        let mut set = set(&mut lines);
        parts.iter().try_for_each(|part| part.review(&mut set))?;
        set.finish()
    })();
    (lines, root)
}

#[test]
fn two_operations_in_words() {
    let parts = [Part::grant(137, 1_900_000_000), Part::payment(10, 0)];
    let (lines, root) = review(&parts);
    let root = root.unwrap();
    assert_eq!(root, merkle::root(&[parts[0].leaf(), parts[1].leaf()]).unwrap());
    for line in [
        "Operation under one signature: 1\n  from 2023-11-14 22:13:20 UTC\n  until 2030-03-17 17:46:40 UTC\nAccount",
        "\n  chain 137\n",
        &format!("Hash of all this {:#x}\n", parts[0].hash()),
        "Operation under one signature: 2\n  from now on\n  WARNING: WITHOUT END\nAccount",
        "\n  chain 10\n",
        &format!("Hash of all this {:#x}\nRoot of all operations {root:#x}\n", parts[1].hash()),
    ] {
        assert!(lines.contains(line), "`{line}` is not in\n{lines}");
    }
}

#[test]
fn the_root_is_that_of_the_leaves_in_order() {
    let parts = [1, 10, 137, 8453].map(|chain_id| Part::payment(chain_id, 1_900_000_000));
    for count in 1..=parts.len() {
        let parts = &parts[..count];
        let leaves: Vec<_> = parts.iter().map(Part::leaf).collect();
        let root = review(parts).1.unwrap();
        assert_eq!(root, merkle::root(&leaves).unwrap(), "{count} operations");
        for part in parts {
            let proof = merkle::Proof::of(&leaves, part.leaf()).unwrap();
            let signature = MultichainSignature {
                epoch: part.epoch,
                root,
                proof: proof.siblings(),
                signature: &DUMMY_SESSION_SIGNATURE,
            };
            assert!(signature.verify(part.hash()));
        }
    }
    assert_eq!(review(&parts[..1]).1, Ok(parts[0].leaf()), "one operation is its own root");
}

#[test]
fn no_byte_of_any_operation_changes_the_lines_and_not_the_root() {
    let parts = [Part::payment(1, 1_900_000_000), Part::grant(10, 1_900_000_000), Part::payment(137, 0)];
    let (shown, root) = review(&parts);
    let root = root.unwrap();
    let check = |what: String, changed: &[Part]| {
        let (lines, other) = review(changed);
        assert!(other.is_err() || (lines != shown && other != Ok(root)), "{what}");
    };
    for (number, part) in parts.iter().enumerate() {
        let changed = |change: &dyn Fn(&mut Part)| {
            let mut changed = parts.clone();
            change(&mut changed[number]);
            changed
        };
        for at in 0..part.call_data.len() {
            check(format!("byte {at} of {number}"), &changed(&|part| part.call_data[at] ^= 1));
        }
        check(format!("nonce of {number}"), &changed(&|part| part.nonce ^= 1));
        check(format!("chain of {number}"), &changed(&|part| part.chain_id ^= 2));
        let (after, until) = (part.epoch.valid_after(), part.epoch.valid_until());
        for epoch in [(after, until ^ 1), (after ^ 1, until)] {
            let epoch = SessionEpoch::new(epoch.0, epoch.1).unwrap();
            check(format!("times of {number}"), &changed(&|part| part.epoch = epoch));
        }
    }
    // A byte of what pays the recipient changes the root, and is no error.
    let mut other = parts.clone();
    other[2].call_data[4 + 31] ^= 1;
    assert_ne!(review(&other).1.unwrap(), root);
}

#[test]
fn an_operation_counts_when_it_is_finished() {
    let parts = [Part::payment(1, 9), Part::payment(10, 9)];
    let unfinished = MultichainReviewError::Unfinished { operation: 2 };

    // Given up before its end, at its end or in the middle of its call data.
    for taken in [0, 50, parts[1].call_data.len()] {
        let mut lines = String::new();
        let mut set = set(&mut lines);
        parts[0].review(&mut set).unwrap();
        parts[1].begin(&mut set).unwrap();
        set.call_data(&parts[1].call_data[..taken]).unwrap();
        assert_eq!(set.finish(), Err(unfinished.clone()), "{taken} bytes");
    }

    // It cannot be made good by another one.
    let mut lines = String::new();
    let mut other = set(&mut lines);
    parts[0].review(&mut other).unwrap();
    parts[1].begin(&mut other).unwrap();
    assert_eq!(parts[0].begin(&mut other), Err(unfinished));
    assert_eq!(other.finish(), Err(MultichainReviewError::Over));

    // Ended within a call.
    let mut lines = String::new();
    let mut cut = set(&mut lines);
    parts[0].review(&mut cut).unwrap();
    parts[1].begin(&mut cut).unwrap();
    cut.call_data(&parts[1].call_data[..50]).unwrap();
    let source = ReviewError::Ends { at: 50 };
    assert_eq!(cut.end(), Err(MultichainReviewError::Operation { operation: 2, source }));
    assert_eq!(cut.end(), Err(MultichainReviewError::Over));
    assert_eq!(cut.finish(), Err(MultichainReviewError::Over));
}

#[test]
fn a_refused_step_ends_all() {
    let (payment, grant) = (Part::payment(1, 9), Part::grant(10, 9));
    let mut lines = String::new();
    let mut set = set(&mut lines);
    payment.review(&mut set).unwrap();

    // The sessions under the root that it sets are not shown.
    grant.begin(&mut set).unwrap();
    let error = set.call_data(&grant.call_data).unwrap_err();
    assert!(
        matches!(
            error,
            MultichainReviewError::Operation { operation: 2, source: ReviewError::SessionsMissing { .. } }
        ),
        "{error:?}"
    );
    let over = Err(MultichainReviewError::Over);
    let data = grant.session_key_data.clone().unwrap();
    assert_eq!(set.session(&session(&data)), over);
    assert_eq!(set.call_data(&[]), over);
    assert_eq!(set.end(), over);
    assert_eq!(payment.begin(&mut set), over);
    assert_eq!(set.finish(), Err(MultichainReviewError::Over));
}

#[test]
fn a_finished_operation_takes_nothing_more() {
    let payment = Part::payment(1, 9);
    let mut lines = String::new();
    let mut more = set(&mut lines);
    payment.review(&mut more).unwrap();
    assert_eq!(more.call_data(&[1]), Err(MultichainReviewError::NotBegun));
    let mut lines = String::new();
    let mut whole = set(&mut lines);
    payment.review(&mut whole).unwrap();
    assert_eq!(whole.finish(), Ok(payment.leaf()));
}

#[test]
fn none_too_many_and_the_same_twice_are_refused() {
    assert_eq!(review(&[]).1, Err(MultichainReviewError::Empty));

    let parts = [1, 2, 3, 4, 5].map(|chain_id| Part::payment(chain_id, 9));
    let (lines, too_many) = review(&parts);
    assert_eq!(too_many, Err(MultichainReviewError::TooManyOperations { limit: 4 }));
    assert!(!lines.contains("chain 5"), "{lines}");

    let [one, other, ..] = parts;
    let twice = [one.clone(), other, one.clone()];
    assert_eq!(review(&twice).1, Err(MultichainReviewError::Duplicate { operation: 3, earlier: 1 }));
    let later = Part { epoch: SessionEpoch::new(0, 10).unwrap(), ..one.clone() };
    assert!(review(&[one, later]).1.is_ok(), "other times are another leaf, and are shown");
}

#[test]
fn call_data_that_cannot_be_read_is_refused() {
    let blind = Part { call_data: vec![1, 2, 3, 4, 5], ..Part::payment(1, 9) };
    let source = ReviewError::Unreadable { at: 0 };
    assert_eq!(review(&[blind]).1, Err(MultichainReviewError::Operation { operation: 1, source }));
}

#[test]
fn what_is_not_shown_is_not_signed() {
    /// Shows so many items.
    struct Screen(usize);
    impl Show for Screen {
        fn show(&mut self, _: &Item<'_>) -> Result<(), NotShown> {
            self.0 = self.0.checked_sub(1).ok_or(NotShown)?;
            Ok(())
        }
    }
    let payment = Part::payment(1, 9);
    let items = review(std::slice::from_ref(&payment)).0.lines().count();
    for room in 0..=items {
        let mut set: MultichainReview<'_, _> = MultichainReview::new(TRUSTED, Screen(room));
        let domain = Domain { entry_point: ENTRY_POINT, chain_id: 1 };
        let head = OperationHead::V0_6(payment.operation().with_call_data(()));
        // Errors of single steps are passed over, as they should not be.
        let _ = set.begin(domain, &head, payment.epoch);
        let _ = set.call_data(&payment.call_data);
        let _ = set.end();
        assert_eq!(set.finish().is_ok(), room == items, "room for {room} of {items} items");
    }
}
