//! What is shown of what is signed.

use super::*;

#[test]
fn a_grant_in_words() {
    let (sessions, call_data) = (sessions(), grant());
    let operation = operation(&call_data);
    let reviewed = review(operation, &sessions);
    assert_eq!(reviewed.hash, Ok(operation.hash(DOMAIN.entry_point, DOMAIN.chain_id)));
    let root = root(&sessions);
    let expected = format!(
        "\
Account {ACCOUNT}
  chain 137
  WARNING: entry point that is not known here v0.6 {ENTRY_POINT}
  nonce 0x3
  deployed first, by the factory {factory}
    data for it 20 bytes, keccak {init}
  fees of at most 0.0075 of the chain's coin
    for one gas 0.00000001 of the chain's coin
    of it to the block's builder 0.000000000000000001 of the chain's coin
    gas of the call 100000
    gas of validation 200000
    gas before validation 50000
  paid by the paymaster {pays}
    data for it 64 bytes, keccak {paymaster}
Session 1
  the key {KEY}
  may call {TOKEN}
  function safeMint(address to) (0x40d097c3)
  each call sends at most 0 of the chain's coin
  WARNING: with any arguments
  from now on
  WARNING: WITHOUT END
Session 2
  the key {KEY}
  may call {TOKEN}
  function transfer(address to, uint256 amount) (0xa9059cbb)
  each call sends at most 0.05 of the chain's coin
  only if to is equal to {FRIEND}
  only if amount is at most 1000
  only if the word at byte 33 of the arguments is other than {seven:#x}
  from 2023-11-14 22:13:20 UTC
  until 2030-03-17 17:46:40 UTC
Session 3
  the key {KEY}
  may move the token, by transfer as well as approve, {TOKEN}
  to {FRIEND}
  each call at most 1000
  from now on
  until 2030-03-17 17:46:40 UTC
Call 1 of 2
  to {ACCOUNT}
  lets sessions act for the account, by the module {MANAGER}
Call 2 of 2
  to {MANAGER}
  grants the sessions shown and ends all others, in {MANAGER}
    root {root}",
        factory = Address::repeat_byte(0xfa),
        pays = Address::repeat_byte(0xad),
        init = keccak(&[0xfa; 20]),
        paymaster = keccak(&[0xad; 64]),
        seven = B256::with_last_byte(7),
    );
    assert_eq!(reviewed.text(), expected);
}

#[test]
fn other_calls_are_shown_whole_or_by_their_digest() {
    let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &[0; 31], &[5]].concat();
    let long = [[1, 2, 3, 4].as_slice(), &[9; 300]].concat();
    let pay = Call { to: FRIEND, value: U256::from(1_500_000_000_000_000_000_u64), data: &[] };
    let call_data =
        encode(&ExecuteBatch(&[call(TOKEN, &transfer), call(TOKEN, &long), pay, call(TOKEN, &[7, 7])]));
    // The first byte of the call after it.
    let end = call_data.windows(300).position(|window| window == [9; 300]).unwrap() + 300 + 16;
    let reviewed = review_calls(&call_data, &[]);
    reviewed.hash.as_ref().unwrap();
    for line in [
        "  function transfer(address to, uint256 amount) (0xa9059cbb)",
        &format!("    to = {FRIEND}"),
        "    amount = 5",
        "  function 0x01020304, whose name is not known here",
        &format!("    argument word 0 = {:#x}", B256::repeat_byte(9)),
        &format!(
            "    and more; with the call data up to here: 304 bytes, keccak {}",
            keccak(&call_data[..end])
        ),
        "  without data",
        "  sends 1.5 of the chain's coin",
        &format!("  data 2 bytes, keccak {}", keccak(&[7, 7])),
    ] {
        reviewed.assert_shows(line);
    }
}

#[test]
fn an_operation_that_calls_nothing_is_reviewed() {
    for call_data in [&[][..], &encode(&ExecuteBatch(&[]))] {
        let reviewed = review_calls(call_data, &[]);
        reviewed.assert_shows("Makes no calls");
        assert_eq!(reviewed.hash, Ok(operation(call_data).hash(DOMAIN.entry_point, DOMAIN.chain_id)));
        let granted = review_calls(call_data, &sessions());
        assert_eq!(granted.hash, Err(ReviewError::NotOneRoot { times: 0 }));
    }
}

#[test]
fn ending_all_sessions_needs_none() {
    let reviewed = review_calls(&single(MANAGER, &set_root(B256::ZERO)), &[]);
    reviewed.hash.as_ref().unwrap();
    reviewed.assert_shows(&format!("  ends all sessions, in {MANAGER}"));
}

#[test]
fn what_the_later_entry_points_sign_is_shown() {
    let call_data = single(FRIEND, &[]);
    let operation = UnpackedUserOperation::<&[u8]> {
        sender: ACCOUNT,
        init: Initialization::Delegated { delegate: TOKEN, data: &[1, 2] },
        call_data: &call_data,
        call_gas_limit: 1,
        max_fee_per_gas: 1_000_000_000_000_000_000,
        paymaster: Some(Paymaster { paymaster: FRIEND, post_op_gas_limit: 4, ..Paymaster::default() }),
        ..UnpackedUserOperation::default()
    };
    let head = operation.with_call_data(());
    let (entry_point, chain_id) = (DOMAIN.entry_point, DOMAIN.chain_id);
    for (head, expected) in [
        (OperationHead::V0_8(head), operation.hash_v0_8(entry_point, chain_id)),
        (OperationHead::V0_9(head), operation.hash_v0_9(entry_point, chain_id).unwrap()),
    ] {
        let reviewed = review_head(&head, &call_data, &[]);
        assert_eq!(reviewed.hash, Ok(expected));
        reviewed.assert_shows(&format!("  WARNING: runs the code of (EIP-7702) {TOKEN}"));
        reviewed.assert_shows("  fees of at most 5 of the chain's coin");
    }
}

/// A bit that is not signed changes nothing but what is said to be not signed.
#[test]
fn a_paymaster_s_own_signature_is_not_shown_as_signed() {
    let call_data = single(FRIEND, &[]);
    let with = |signature: &[u8]| {
        let mut data = vec![1, 2, 3];
        data.extend(encode(&PaymasterSignature::new(signature).unwrap()));
        let operation = UnpackedUserOperation::<&[u8], ()> {
            sender: ACCOUNT,
            paymaster: Some(Paymaster { paymaster: FRIEND, data: &data, ..Paymaster::default() }),
            ..UnpackedUserOperation::default()
        };
        review_head(&OperationHead::V0_9(operation), &call_data, &[])
    };
    let reviewed = with(&[5; 65]);
    reviewed.assert_shows(&format!("    data for it 3 bytes, keccak {}", keccak(&[1, 2, 3])));
    reviewed.assert_shows("    bytes of its signature, which you do not sign: 65");
    assert_eq!(with(&[6; 65]), reviewed);
    let longer = with(&[6; 66]);
    assert_eq!(longer.hash, reviewed.hash);
    let other: Vec<_> = longer.lines.iter().filter(|line| !reviewed.lines.contains(line)).collect();
    assert_eq!(other, ["    bytes of its signature, which you do not sign: 66"]);
}

#[test]
fn an_entry_point_is_of_its_own_version() {
    let domain = Domain { entry_point: EntryPointVersion::V0_7.address(), chain_id: 1 };
    let mut lines = String::new();
    let mut state: ReviewState<'_, _> = ReviewState::new(TrustedContext::CANONICAL, Text(&mut lines));
    let head = OperationHead::V0_6(operation(&[]).with_call_data(()));
    let refused = state.review(domain, &head).unwrap_err();
    let (given, known) = (EntryPointVersion::V0_6, EntryPointVersion::V0_7);
    assert_eq!(refused, ReviewError::OtherEntryPoint { given, known });

    let domain = Domain { entry_point: EntryPointVersion::V0_6.address(), chain_id: 1 };
    state.review(domain, &head).unwrap();
    assert!(lines.contains(&format!("\n  entry point v0.6 {}\n", domain.entry_point)), "{lines}");
}

#[test]
fn lints_are_said_where_they_are_asked_for() {
    let session = &sessions()[1];
    let head = OperationHead::V0_6(operation(&[]).with_call_data(()));
    let mut state = ReviewState::<_>::new(TRUSTED, Screen::default())
        .with_lints(Some(1_900_000_001), &[Condition::Equal]);
    state.review(DOMAIN, &head).unwrap().session(&session.leaf()).unwrap();
    let said = state.display().0.join("\n");
    for words in ["WARNING: rule 0", "WARNING: rule 2: offset 33 is not a multiple of 32", "1900000000"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let quiet = review_head(&head, &[], std::slice::from_ref(session));
    assert!(!quiet.text().contains("offset 33"));
}
