//! Operations that would do something else than they show.

use super::*;

#[track_caller]
fn assert_refused(call_data: &[u8], sessions: &[Session]) -> ReviewError {
    let reviewed = review_calls(call_data, sessions);
    let refused = reviewed.hash.unwrap_err();
    assert_eq!(reviewed.lines, [format!("REFUSED: {refused}")], "the display shows nothing else");
    refused
}

/// Contracts do not read what follows the arguments.
#[test]
fn a_root_with_bytes_after_it_is_refused() {
    let (sessions, evil) = (sessions(), set_root(B256::repeat_byte(0xe1)));
    let shown = set_root(root(&sessions));
    for more in 1..=64 {
        let evil = [evil.as_slice(), &vec![0; more]].concat();
        let refused = assert_refused(&batch(&[(MANAGER, &shown), (MANAGER, &evil)]), &sessions);
        assert_eq!(refused, ReviewError::UnknownControl { call: 2, to: MANAGER });
        assert_refused(&single(MANAGER, &evil), &[]);
    }
}

#[test]
fn a_second_root_is_refused() {
    let sessions = sessions();
    let shown = set_root(root(&sessions));
    let again = assert_refused(&batch(&[(MANAGER, &shown), (MANAGER, &shown)]), &sessions);
    assert_eq!(again, ReviewError::NotOneRoot { times: 2 });
    let other = assert_refused(&batch(&[(MANAGER, &shown), (MANAGER, &set_root(B256::ZERO))]), &sessions);
    assert!(matches!(other, ReviewError::OtherRoot { .. }));
}

#[test]
fn sessions_that_are_not_those_granted_are_refused() {
    let (sessions, call_data) = (sessions(), grant());
    assert!(matches!(assert_refused(&call_data, &sessions[..1]), ReviewError::OtherRoot { .. }));
    assert!(matches!(assert_refused(&call_data, &[]), ReviewError::SessionsMissing { .. }));
    let nothing = single(ACCOUNT, &enable(MANAGER));
    assert_eq!(assert_refused(&nothing, &sessions), ReviewError::NotOneRoot { times: 0 });

    let mut other = sessions.clone();
    other[1].module = TOKEN;
    let refused = assert_refused(&call_data, &other);
    assert_eq!(refused, ReviewError::UnknownModule { session: 2, module: TOKEN });
    let mut cut = sessions.clone();
    cut[1].data.truncate(100);
    let refused = assert_refused(&call_data, &cut);
    assert!(refused.to_string().starts_with("session 2: rule 1 is announced"), "{refused}");
    let mut longer = sessions;
    longer[2].data.push(0).unwrap();
    assert!(matches!(assert_refused(&call_data, &longer), ReviewError::Erc20Session { session: 3, .. }));
}

#[test]
fn what_changes_who_controls_the_account_is_said() {
    let owner = |name: &str| with_word(name, FRIEND.into_word());
    let two = |name: &str, first: Address, second: Address| {
        [with_word(name, first.into_word()).as_slice(), second.into_word().as_slice()].concat()
    };
    let amount = |name: &str| two(name, FRIEND, Address::with_last_byte(9));
    let cases: &[(Address, Vec<u8>, String)] = &[
        (ACCOUNT, enable(TOKEN), format!("DANGER: gives full control of the account to the module {TOKEN}")),
        (ACCOUNT, enable(ROUTER), format!("lets a known module act for the account: {ROUTER}")),
        (
            ACCOUNT,
            two("disableModule(address,address)", TOKEN, MANAGER),
            format!("WARNING: no longer lets a module act for the account: {MANAGER}"),
        ),
        (
            ACCOUNT,
            owner("setFallbackHandler(address)"),
            format!("DANGER: has calls that the account does not know answered by {FRIEND}"),
        ),
        (
            ACCOUNT,
            owner("updateImplementation(address)"),
            format!("DANGER: replaces the account's code by that of {FRIEND}"),
        ),
        (
            ACCOUNT,
            amount("withdrawDepositTo(address,uint256)"),
            format!("WARNING: withdraws from the account's deposit, to {FRIEND}"),
        ),
        (
            OWNERSHIP_MODULE,
            owner("transferOwnership(address)"),
            format!("DANGER: MAKES THE OWNER OF THE ACCOUNT {FRIEND}"),
        ),
        (
            OWNERSHIP_MODULE,
            FunctionSelector::parse("renounceOwnership()").unwrap().as_bytes().to_vec(),
            "DANGER: LEAVES THE ACCOUNT WITHOUT OWNER".into(),
        ),
        (
            ENTRY_POINT,
            amount("withdrawTo(address,uint256)"),
            format!("WARNING: withdraws from the account's deposit, to {FRIEND}"),
        ),
        (
            FRIEND,
            set_root(B256::repeat_byte(3)),
            format!(
                "DANGER: looks like a grant of sessions that are not shown, with the root {:#x}",
                B256::repeat_byte(3)
            ),
        ),
        (
            TOKEN,
            amount("approve(address,uint256)"),
            format!("WARNING: lets somebody move the account's tokens: {FRIEND}"),
        ),
    ];
    for (to, data, line) in cases {
        let reviewed = review_calls(&single(*to, data), &[]);
        reviewed.hash.as_ref().unwrap();
        reviewed.assert_shows(&format!("  {line}"));
    }
}

#[test]
fn an_allowance_without_limit_is_called_so() {
    for amount in [U256::MAX, U256::ONE << 128] {
        let approve =
            [with_word("approve(address,uint256)", FRIEND.into_word()), amount.to_be_bytes_vec()].concat();
        for more in [0, 1, 40] {
            let reviewed = review_calls(&single(TOKEN, &[approve.as_slice(), &vec![0; more]].concat()), &[]);
            reviewed.assert_shows(&format!("  DANGER: lets somebody move the account's tokens: {FRIEND}"));
            reviewed.assert_shows("    without limit");
        }
    }
}

#[test]
fn what_is_not_read_whole_of_such_contracts_is_refused() {
    let unknown = with_word("handleOps(address)", FRIEND.into_word());
    for to in [ACCOUNT, MANAGER, OWNERSHIP_MODULE, ROUTER, ENTRY_POINT] {
        let refused = assert_refused(&single(to, &unknown), &[]);
        assert_eq!(refused, ReviewError::UnknownControl { call: 1, to });
    }
    for data in [&enable(TOKEN)[..35], &[enable(TOKEN).as_slice(), &[0]].concat(), &[1]] {
        assert_refused(&single(ACCOUNT, data), &[]);
    }
    let mut dirty = enable(TOKEN);
    dirty[4] = 1;
    assert_refused(&single(ACCOUNT, &dirty), &[]);
}

#[test]
fn a_session_over_what_controls_the_account_is_called_so() {
    for contract in [ACCOUNT, MANAGER, OWNERSHIP_MODULE] {
        let session = Session::abi(&Policy::new(contract, "f()".parse().unwrap()));
        let call_data = single(MANAGER, &set_root(session.leaf().hash()));
        let reviewed = review_calls(&call_data, &[session]);
        reviewed.hash.as_ref().unwrap();
        reviewed.assert_shows(&format!(
            "  DANGER: may change who controls the account, or what it has deposited {contract}"
        ));
    }
}

#[test]
fn what_the_entry_point_would_refuse_is_refused() {
    let call_data = single(FRIEND, &[]);
    let whole = operation(&call_data);
    for len in 1..20 {
        for changed in [
            UserOperation { init_code: &whole.init_code[..len], ..whole },
            UserOperation { paymaster_and_data: &whole.paymaster_and_data[..len], ..whole },
        ] {
            assert!(matches!(review(changed, &[]).hash, Err(ReviewError::Unpack(_))), "{len}");
        }
    }
}

/// At v0.6 and v0.7 the account pays then.
#[test]
fn the_zero_paymaster_is_the_account() {
    let call_data = single(FRIEND, &[]);
    for len in [20, 60] {
        let reviewed =
            review(UserOperation { paymaster_and_data: &[0; 60][..len], ..operation(&call_data) }, &[]);
        reviewed.assert_shows("  paid by the account");
        reviewed.assert_shows(&format!(
            "    data that nobody reads {} bytes, keccak {}",
            len - 20,
            keccak(&[0; 40][..len - 20])
        ));
        // Without a paymaster, validation is paid once.
        reviewed.assert_shows("  fees of at most 0.0035 of the chain's coin");
    }
}

/// A session of a module that nobody here can read is kept only against what this device signed itself.
#[test]
fn unknown_sessions_are_kept_as_they_were_signed_here() {
    let (known, unknown) = (sessions()[0].clone(), Session { module: FRIEND, ..sessions()[1].clone() });
    let unknown = unknown.leaf().hash();
    let before = [unknown, B256::repeat_byte(8), B256::repeat_byte(9)];
    let signed = SignedRoot { manager: MANAGER, root: merkle::root(&before).unwrap() };
    let proof = merkle::Proof::of(&before, unknown).unwrap();
    let granted = merkle::root(&[known.leaf().hash(), unknown]).unwrap();
    let ask = |manager, signed, leaf| {
        let call_data = single(manager, &set_root(granted));
        let head = OperationHead::V0_6(operation(&[]).with_call_data(()));
        let mut state: ReviewState<'_, _> = ReviewState::new(TRUSTED, Screen::default());
        let hash = (|| {
            let shown = state.review(DOMAIN, &head)?.session(&known.leaf())?;
            shown.kept_session(leaf, proof.siblings(), signed)?.calls().piece(&call_data)?.finish()
        })();
        Reviewed { lines: std::mem::take(&mut state.display().0), hash }
    };
    let kept = ask(MANAGER, signed, unknown);
    kept.hash.as_ref().unwrap();
    kept.assert_shows(&format!("  DANGER: unknown session, kept as signed on this device {unknown:#x}"));
    let other = ask(MANAGER, SignedRoot { root: B256::repeat_byte(1), ..signed }, unknown);
    assert_eq!(other.hash, Err(ReviewError::NotKept { session: 2 }));
    let elsewhere = ask(MANAGER, SignedRoot { manager: FRIEND, ..signed }, unknown);
    assert_eq!(elsewhere.hash, Err(ReviewError::KeptElsewhere { from: FRIEND, to: MANAGER }));
    let leaf = B256::repeat_byte(7);
    assert_eq!(ask(MANAGER, signed, leaf).hash, Err(ReviewError::NotKept { session: 2 }));
}

/// Signatures of functions are shown where they are read: as one line, with single blanks.
#[test]
fn no_signature_forges_a_line() {
    let blanks = " ".repeat(100);
    let spread = format!("safeMint(address{blanks}to)");
    for (signature, shown) in [
        (spread.as_str(), "safeMint(address to) (0x40d097c3)"),
        ("safeMint(address to\n  WITHOUT END)", "0x40d097c3, whose name is not known here"),
        ("safeMint(address \u{202e}to)", "0x40d097c3, whose name is not known here"),
    ] {
        let function = KnownFunction::parse(signature).ok();
        let trusted = TrustedContext { functions: function.as_slice(), ..TRUSTED };
        let mut state: ReviewState<'_, _> = ReviewState::new(trusted, Screen::default());
        let head = OperationHead::V0_6(operation(&[]).with_call_data(()));
        state.review(DOMAIN, &head).unwrap().session(&sessions()[0].leaf()).unwrap();
        let line = format!("  function {shown}");
        assert!(state.display().0.contains(&line), "{:?}", state.display().0);
    }
}
