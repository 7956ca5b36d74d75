//! The use of a session.

use super::*;

fn use_of(session: &Session, call_data: &[u8]) -> Reviewed<SessionUseError> {
    let operation = operation(call_data);
    let head = OperationHead::V0_6(operation.with_call_data(()));
    let mut state: ReviewState<'_, _> = ReviewState::new(TRUSTED, Screen::default());
    let hash = state.session_use(DOMAIN, &head, call_data, &session.leaf());
    if let Ok(hash) = hash {
        assert_eq!(hash, operation.hash(DOMAIN.entry_point, DOMAIN.chain_id));
    }
    Reviewed { lines: std::mem::take(&mut state.display().0), hash }
}

#[test]
fn a_use_is_shown_with_what_allows_it() {
    let session = &sessions()[1];
    // A word more than the function takes, since a rule looks at one that starts in the middle.
    let ask = |amount: u64| {
        let amount = U256::from(amount).to_be_bytes::<32>();
        let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &amount, &[0; 32]].concat();
        use_of(session, &single(TOKEN, &transfer))
    };
    assert!(matches!(ask(1001).hash, Err(SessionUseError::Forbidden(Refusal::RuleViolated { rule: 1, .. }))));
    let used = ask(999);
    used.hash.as_ref().unwrap();
    used.assert_shows("Use of a session");
    used.assert_shows("  only if amount is at most 1000");
    used.assert_shows("    amount = 999");
}

#[test]
fn a_token_session_s_use_is_judged_as_its_module_does() {
    let session = &sessions()[2];
    let ask = |to: Address| {
        let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], to.into_word().as_slice(), &[0; 31], &[5]].concat();
        use_of(session, &single(TOKEN, &transfer))
    };
    ask(FRIEND).hash.unwrap();
    let refused = ask(KEY);
    assert!(matches!(refused.hash, Err(SessionUseError::Erc20Forbidden(_))));
    assert!(
        refused.lines[0].starts_with("REFUSED: the session forbids the call: the recipient is"),
        "{refused:?}"
    );
}
