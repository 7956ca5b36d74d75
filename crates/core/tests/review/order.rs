//! The steps of a review come in their order, and a review that has refused gives no hash.

use super::*;

fn head() -> OperationHead<'static> {
    OperationHead::V0_6(UserOperation { sender: ACCOUNT, ..UserOperation::default() })
}

fn state() -> ReviewState<'static, Screen> {
    ReviewState::new(TRUSTED, Screen::default())
}

#[track_caller]
fn assert_dead(state: &mut ReviewState<'_, impl Show>) {
    let out_of_order =
        |refused: Result<(), ReviewError>| matches!(refused, Err(ReviewError::OutOfOrder { .. }));
    assert!(out_of_order(state.session(&sessions()[0].leaf())));
    assert!(out_of_order(state.call_data(&[])));
    assert!(out_of_order(state.finish().map(|_| ())));
}

#[test]
fn nothing_comes_before_the_operation() {
    assert_dead(&mut state());
}

#[test]
fn sessions_come_before_the_call_data() {
    let mut state = state();
    state.begin(DOMAIN, &head()).unwrap();
    state.call_data(&single(FRIEND, &[])).unwrap();
    let late = state.session(&sessions()[0].leaf());
    assert!(matches!(late, Err(ReviewError::OutOfOrder { given: "a session", .. })), "{late:?}");
    assert_dead(&mut state);
}

/// A root that was refused is not made good by what comes after it.
#[test]
fn a_refusal_ends_the_review() {
    let (sessions, evil) = (sessions(), set_root(B256::repeat_byte(9)));
    let call_data = batch(&[(MANAGER, &evil), (TOKEN, &[1, 2, 3, 4])]);
    for piece in [1, 32, 100, call_data.len()] {
        let mut state = state();
        state.begin(DOMAIN, &head()).unwrap();
        sessions.iter().for_each(|session| state.session(&session.leaf()).unwrap());
        let refused =
            call_data.chunks(piece).map(|piece| state.call_data(piece)).find(Result::is_err).unwrap();
        assert!(matches!(refused, Err(ReviewError::OtherRoot { .. })));
        assert_dead(&mut state);
        // Another review is another review.
        state.begin(DOMAIN, &head()).unwrap();
        state.call_data(&single(FRIEND, &[])).unwrap();
        state.finish().unwrap();
        assert_dead(&mut state);
    }
}

#[test]
fn a_review_that_begins_again_forgets_the_one_before() {
    let call_data = grant();
    let mut state = state();
    state.begin(DOMAIN, &head()).unwrap();
    sessions().iter().for_each(|session| state.session(&session.leaf()).unwrap());
    state.call_data(&call_data[..100]).unwrap();
    state.begin(DOMAIN, &head()).unwrap();
    let refused = state.call_data(&call_data).unwrap_err();
    assert!(matches!(refused, ReviewError::SessionsMissing { .. }), "{refused}");
}

/// Fails to show one item, and shows all others.
struct Failing {
    shown: usize,
    fails_at: usize,
}

impl Show for Failing {
    fn show(&mut self, _: &Item<'_>) -> Result<(), NotShown> {
        self.shown += 1;
        if self.shown == self.fails_at { Err(NotShown) } else { Ok(()) }
    }
}

#[test]
fn what_is_not_shown_is_not_signed() {
    let (sessions, call_data) = (sessions(), grant());
    let ask = |fails_at| {
        let mut state: ReviewState<'_, _> = ReviewState::new(TRUSTED, Failing { shown: 0, fails_at });
        let hash = (|| {
            state.begin(DOMAIN, &head())?;
            sessions.iter().try_for_each(|session| state.session(&session.leaf()))?;
            state.call_data(&call_data)?;
            state.finish()
        })();
        if hash.is_err() {
            assert_dead(&mut state);
        }
        (hash, state.display().shown)
    };
    let (hash, items) = ask(usize::MAX);
    hash.unwrap();
    for fails_at in 1..=items {
        assert_eq!(ask(fails_at).0, Err(ReviewError::NotShown(NotShown)), "item {fails_at}");
    }
}

#[test]
fn call_data_that_cannot_be_read_is_refused_or_called_so() {
    let ask = |on_unreadable, sessions: &[Session], call_data: &[u8]| {
        let mut state = ReviewState::<_>::new(TRUSTED, Screen::default()).on_unreadable(on_unreadable);
        let hash = (|| {
            state.begin(DOMAIN, &head())?;
            sessions.iter().try_for_each(|session| state.session(&session.leaf()))?;
            state.call_data(call_data)?;
            state.finish()
        })();
        (hash, state.display().0.join("\n"))
    };
    let blind = [1, 2, 3, 4, 5];
    assert_eq!(ask(OnUnreadable::Refuse, &[], &blind).0, Err(ReviewError::Unreadable { at: 0 }));
    let (hash, shown) = ask(OnUnreadable::Show, &[], &blind);
    let operation = UserOperation::<&[u8]> { sender: ACCOUNT, call_data: &blind, ..UserOperation::default() };
    assert_eq!(hash, Ok(operation.hash(DOMAIN.entry_point, DOMAIN.chain_id)));
    assert!(shown.contains("DANGER: UNREADABLE: from byte 0 on, the call data is not calls"), "{shown}");
    // A grant is not given blindly, whatever is asked for, and what is read is judged.
    ask(OnUnreadable::Show, &sessions(), &blind).0.unwrap_err();
    let evil = single(MANAGER, &[set_root(B256::repeat_byte(1)), vec![0]].concat());
    ask(OnUnreadable::Show, &[], &evil).0.unwrap_err();

    let many = encode(&ExecuteBatch(&[call(TOKEN, &[]); 5]));
    let mut small: ReviewState<'_, _, 4> = ReviewState::new(TRUSTED, Screen::default());
    small.begin(DOMAIN, &head()).unwrap();
    assert_eq!(small.call_data(&many), Err(ReviewError::TooManyCalls { calls: 5, limit: 4 }));
}
