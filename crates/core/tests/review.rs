//! What a device shows before it signs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use quorate_core::*;

const ACCOUNT: Address = Address::repeat_byte(0xac);
const MANAGER: Address = Address::repeat_byte(0x0e);
const MODULE: Address = Address::repeat_byte(0x0f);
const TOKEN: Address = Address::repeat_byte(0xaa);
const FRIEND: Address = Address::repeat_byte(0xcc);
const KNOWN: Known<'_> = Known {
    session_key_manager: MANAGER,
    abi_session_validation_module: MODULE,
    functions: &["safeMint(address to)", "transfer(address to, uint256 amount)"],
};
const TARGET: Domain = Domain { entry_point: Address::repeat_byte(0xee), chain_id: 137 };

type Bytes = heapless::Vec<u8, 1024>;

fn encode(encoder: &impl Encode) -> Bytes {
    let mut bytes = Bytes::new();
    encoder.write_to(&mut bytes).unwrap();
    bytes
}

/// Two sessions: a mint without rules, and transfers of little to a friend for a while.
fn sessions() -> [(SessionEpoch, Bytes); 2] {
    let mint = Policy::new(TOKEN, "safeMint(address)".parse().unwrap());
    let transfer = Policy::new(TOKEN, "transfer(address,uint256)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, FRIEND))
        .and_then(|policy| policy.with_rule(Rule::new(32, Condition::LessThanOrEqual, 1_000_u64)))
        .and_then(|policy| policy.with_rule(Rule::new(33, Condition::NotEqual, 7_u64)))
        .unwrap()
        .with_value_limit(50_000_000_000_000_000)
        .with_epoch(SessionEpoch::new(1_700_000_000, 1_900_000_000).unwrap());
    [mint, transfer]
        .map(|policy| (policy.epoch(), encode(&SessionKeyData::new(Address::repeat_byte(0xbb), &policy))))
}

fn leaves(sessions: &[(SessionEpoch, Bytes)]) -> Vec<SessionLeaf<'_>> {
    let leaf = |(epoch, data)| SessionLeaf { epoch, validation_module: MODULE, session_key_data: data };
    sessions.iter().map(|(epoch, data)| leaf((*epoch, data.as_slice()))).collect()
}

fn set_root(root: B256) -> Vec<u8> {
    [&[0x7c, 0xb6, 0x47, 0x59], root.as_slice()].concat()
}

fn enable(module: Address) -> Vec<u8> {
    [&[0x61, 0x0b, 0x59, 0x25], module.into_word().as_slice()].concat()
}

fn call(to: Address, data: &[u8]) -> Call<'_> {
    Call { to, value: U256::ZERO, data }
}

/// The call data that enables the module and grants the sessions.
fn grant() -> Bytes {
    let sessions = sessions();
    let hashes: Vec<B256> = leaves(&sessions).iter().map(SessionLeaf::hash).collect();
    let root = merkle::root(&hashes).unwrap();
    encode(&ExecuteBatch(&[call(ACCOUNT, &enable(MANAGER)), call(MANAGER, &set_root(root))]))
}

fn operation(call_data: &[u8]) -> UserOperation<&[u8]> {
    UserOperation {
        sender: ACCOUNT,
        nonce: U256::from(3),
        init_code: &[0xfa; 40],
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(10_000_000_000_u64),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: &[0xad; 84],
    }
}

/// The lines and how the review ends, with the call data in pieces of 40 bytes.
fn review(
    operation: UserOperation<&[u8]>,
    leaves: &[SessionLeaf<'_>],
) -> (String, Result<B256, ReviewError>) {
    review_with(operation, leaves, OnUnreadable::Refuse)
}

fn review_with(
    operation: UserOperation<&[u8]>,
    leaves: &[SessionLeaf<'_>],
    on_unreadable: OnUnreadable,
) -> (String, Result<B256, ReviewError>) {
    let mut lines = String::new();
    let head = OperationHead::V0_6(operation.with_call_data(()));
    let hash = (|| {
        let review: Review<'_, _> = Review::begin(KNOWN, TARGET, head, &mut lines);
        let mut review = review.on_unreadable(on_unreadable);
        leaves.iter().try_for_each(|leaf| review.session(leaf))?;
        for piece in operation.call_data.chunks(40) {
            review.call_data(piece)?;
        }
        review.finish()
    })();
    (lines, hash)
}

#[test]
fn a_grant_in_words() {
    let (sessions, call_data) = (sessions(), grant());
    let operation = operation(&call_data);
    let (lines, hash) = review(operation, &leaves(&sessions));
    let hash = hash.unwrap();
    assert_eq!(hash, operation.hash(TARGET.entry_point, TARGET.chain_id));
    let hashes: Vec<B256> = leaves(&sessions).iter().map(SessionLeaf::hash).collect();
    let root = merkle::root(&hashes).unwrap();
    let expected = format!(
        "\
Account {ACCOUNT} on chain 137
  entry point v0.6 {entry_point}
  nonce 0x3
  deployed first, by the factory {factory}
    20 bytes for it, keccak {init}
  fees of at most 0.0075 ether
  paid by the paymaster {pays}
    64 bytes for it, keccak {paymaster}
Session 1:
  the key {key}
  may call {TOKEN}
  function safeMint(address to) (0x40d097c3)
  with a value of at most 0 ether
  with any arguments
  from now on
  WITHOUT END
Session 2:
  the key {key}
  may call {TOKEN}
  function transfer(address to, uint256 amount) (0xa9059cbb)
  with a value of at most 0.05 ether
  only if to is equal to {FRIEND}
  only if amount is at most 1000
  only if the word at byte 33 of the arguments is other than {seven:#x}
  from 2023-11-14 22:13:20 UTC
  until 2030-03-17 17:46:40 UTC
Call 1 of 2:
  lets sessions act for the account (module {MANAGER})
Call 2 of 2:
  grants the sessions shown, and ends all others
  root {root}
Hash of all this: {hash}
",
        entry_point = TARGET.entry_point,
        factory = Address::repeat_byte(0xfa),
        pays = Address::repeat_byte(0xad),
        key = Address::repeat_byte(0xbb),
        init = keccak(&[0xfa; 20]),
        paymaster = keccak(&[0xad; 64]),
        seven = B256::with_last_byte(7),
    );
    assert_eq!(lines, expected);
}

fn keccak(bytes: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(bytes);
    hasher.finalize()
}

#[test]
fn no_byte_changes_unseen() {
    let (sessions, call_data) = (sessions(), grant());
    let (shown, hash) = review(operation(&call_data), &leaves(&sessions));
    hash.unwrap();
    let seen = |(lines, hash): (String, Result<B256, ReviewError>)| hash.is_err() || lines != shown;

    for at in 0..call_data.len() {
        let mut changed = call_data.clone();
        *changed.get_mut(at).unwrap() ^= 1;
        assert!(seen(review(operation(&changed), &leaves(&sessions))), "byte {at} of the call data");
    }
    for session in 0..2 {
        for at in 0..sessions[session].1.len() {
            let mut changed = sessions.clone();
            *changed[session].1.get_mut(at).unwrap() ^= 1;
            let refused = review(operation(&call_data), &leaves(&changed)).1;
            assert!(refused.is_err(), "byte {at} of session {session}");
        }
    }
    let one = U256::from(1);
    let original = operation(&call_data);
    let (init_code, paymaster) = ([&[0xfa; 39], &[0xfb][..]].concat(), [&[0xad; 83], &[0xae][..]].concat());
    let changes = [
        UserOperation { sender: FRIEND, ..original },
        UserOperation { nonce: original.nonce + one, ..original },
        UserOperation { init_code: &init_code, ..original },
        UserOperation { call_gas_limit: original.call_gas_limit + one, ..original },
        UserOperation { verification_gas_limit: original.verification_gas_limit + one, ..original },
        UserOperation { pre_verification_gas: original.pre_verification_gas + one, ..original },
        UserOperation { max_fee_per_gas: original.max_fee_per_gas + one, ..original },
        UserOperation { max_priority_fee_per_gas: original.max_priority_fee_per_gas + one, ..original },
        UserOperation { paymaster_and_data: &paymaster, ..original },
    ];
    for (field, changed) in changes.into_iter().enumerate() {
        assert!(seen(review(changed, &leaves(&sessions))), "field {field}");
    }
}

#[test]
fn sessions_that_are_not_those_granted_are_refused() {
    let (sessions, call_data) = (sessions(), grant());
    let all = leaves(&sessions);
    let outcome =
        |call_data: &[u8], leaves: &[SessionLeaf<'_>]| review(operation(call_data), leaves).1.unwrap_err();

    assert!(matches!(outcome(&call_data, &all[..1]), ReviewError::OtherRoot { .. }));
    assert!(matches!(outcome(&call_data, &[]), ReviewError::SessionsMissing { .. }));
    let nothing = encode(&ExecuteBatch(&[call(ACCOUNT, &enable(MANAGER))]));
    assert_eq!(outcome(&nothing, &all), ReviewError::NotOneRoot { times: 0 });
    let root = all[0].hash();
    let twice = encode(&ExecuteBatch(&[call(MANAGER, &set_root(root)), call(MANAGER, &set_root(root))]));
    assert_eq!(outcome(&twice, &all[..1]), ReviewError::NotOneRoot { times: 2 });
    let other = SessionLeaf { validation_module: TOKEN, ..all[0] };
    assert_eq!(outcome(&call_data, &[other]), ReviewError::UnknownModule { session: 0, module: TOKEN });
    let cut = SessionLeaf { session_key_data: &all[1].session_key_data[..100], ..all[1] };
    assert!(matches!(outcome(&call_data, &[all[0], cut]), ReviewError::Session { session: 1, .. }));
}

#[test]
fn other_calls_are_shown_whole_or_by_their_digest() {
    let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &[0; 31], &[5]].concat();
    let long = [[1, 2, 3, 4].as_slice(), &[9; 300]].concat();
    let pay = Call { to: FRIEND, value: U256::from(1_500_000_000_000_000_000_u64), data: &[] };
    let enabled = enable(TOKEN);
    let calls =
        [call(TOKEN, &transfer), call(TOKEN, &long), pay, call(ACCOUNT, &long), call(ACCOUNT, &enabled)];
    let mut call_data = heapless::Vec::<u8, 4096>::new();
    ExecuteBatch(&calls).write_to(&mut call_data).unwrap();
    let (lines, hash) = review(operation(&call_data), &[]);
    hash.unwrap();
    for expected in [
        &format!(
            "  function transfer(address to, uint256 amount) (0xa9059cbb)\n    to = {FRIEND}\n    amount = 5\n"
        ),
        "  function 0x01020304, whose name is not known here\n    argument word 0 = 0x0909",
        &format!("    and 44 bytes more; keccak of all 304: {}\n", keccak(&long)),
        "  without data\n  sends 1.5 ether\n",
        "  WARNING: the account changes itself\n",
        &format!("  WARNING: gives full control of the account to {TOKEN}\n"),
    ] {
        assert!(lines.contains(expected), "`{expected}` is not in\n{lines}");
    }
}

#[test]
fn call_data_that_cannot_be_read_is_refused_or_called_so() {
    let blind = operation(&[1, 2, 3, 4, 5]);
    assert_eq!(review(blind, &[]).1, Err(ReviewError::Unreadable { at: 0 }));
    let (lines, hash) = review_with(blind, &[], OnUnreadable::Show);
    assert_eq!(hash.unwrap(), blind.hash(TARGET.entry_point, TARGET.chain_id));
    assert!(lines.contains("UNREADABLE"), "{lines}");

    // A grant is not given blindly, whatever is asked for.
    let sessions = sessions();
    assert!(review_with(blind, &leaves(&sessions), OnUnreadable::Show).1.is_err());
    let many = encode(&ExecuteBatch(&[call(TOKEN, &[]); 5]));
    let mut none: Review<'_, _, 4> =
        Review::begin(KNOWN, TARGET, OperationHead::V0_6(operation(&many).with_call_data(())), String::new());
    assert_eq!(none.call_data(&many), Err(ReviewError::TooManyCalls { calls: 5, limit: 4 }));
}

#[test]
fn a_use_is_shown_with_what_allows_it() {
    let sessions = sessions();
    let leaf = leaves(&sessions)[1];
    // A word more than the function takes, since a rule looks at one that starts in the middle.
    let transfer = |amount: u64| {
        let amount = U256::from(amount).to_be_bytes::<32>();
        [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &amount, &[0; 32]].concat()
    };
    let mut lines = String::new();
    let mut ask = |amount: u64| {
        lines.clear();
        let call_data = encode(&Execute(call(TOKEN, &transfer(amount))));
        let operation = operation(&call_data);
        let head = OperationHead::V0_6(operation.with_call_data(()));
        let hash = review_use(KNOWN, TARGET, head, &call_data, &leaf, &mut lines);
        hash.map(|hash| assert_eq!(hash, operation.hash(TARGET.entry_point, TARGET.chain_id)))
    };
    ask(1000).unwrap();
    assert!(matches!(ask(1001), Err(ReviewError::Forbidden(Refusal::RuleViolated { rule: 1, .. }))));
    ask(999).unwrap();
    assert!(
        lines.contains("only if amount is at most 1000") && lines.contains("    amount = 999"),
        "{lines}"
    );
}

#[test]
fn the_later_entry_points_name_their_own_hash() {
    let call_data = encode(&Execute(call(FRIEND, &[])));
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
    let (entry_point, chain_id) = (TARGET.entry_point, TARGET.chain_id);
    let mut lines = String::new();
    let mut review: Review<'_, _> = Review::begin(KNOWN, TARGET, OperationHead::V0_7(head), &mut lines);
    review.call_data(&call_data).unwrap();
    assert!(review.finish().is_err(), "v0.7 knows no delegated accounts");
    for (head, expected) in [
        (OperationHead::V0_8(head), operation.hash_v0_8(entry_point, chain_id)),
        (OperationHead::V0_9(head), operation.hash_v0_9(entry_point, chain_id).unwrap()),
    ] {
        let mut lines = String::new();
        let mut review: Review<'_, _> = Review::begin(KNOWN, TARGET, head, &mut lines);
        review.call_data(&call_data).unwrap();
        assert_eq!(review.finish().unwrap(), expected);
        assert!(lines.contains("runs the code of") && lines.contains("fees of at most 5 ether"), "{lines}");
    }
}

#[test]
fn no_text_from_outside_forges_a_line() {
    let known = Known { functions: &["safeMint(address to\n  WITHOUT END)"], ..KNOWN };
    let sessions = sessions();
    let head = OperationHead::V0_6(operation(&[]).with_call_data(()));
    let mut lines = String::new();
    let mut review: Review<'_, _> = Review::begin(known, TARGET, head, &mut lines);
    review.session(&leaves(&sessions)[1]).unwrap();
    review.call_data(&[0]).unwrap();
    assert_eq!(review.session(&leaves(&sessions)[0]), Err(ReviewError::LateSession));
    assert!(!lines.contains("WITHOUT END"), "{lines}");
    assert!(lines.lines().all(|line| line.len() < 250));
}

/// `tests/vectors/device-review.json`: reviews that any other implementation, or a caller from another language, has to
/// repeat to the letter. Where what is shown changes on purpose, the file that this test writes takes its place.
#[test]
fn the_review_vectors_hold() {
    let (sessions, call_data) = (sessions(), grant());
    let mut altered = sessions.clone();
    altered[1].0 = SessionEpoch::new(1_700_000_000, 1_900_000_001).unwrap();
    let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &[0; 31], &[200]].concat();
    let transfer = encode(&Execute(call(TOKEN, &transfer)));
    let unreadable = [call_data.as_slice(), &[0; 32]].concat();
    let cases = [
        ("a grant of two sessions", call_data.as_slice(), sessions.as_slice()),
        ("a call", transfer.as_slice(), &[]),
        ("a grant with an altered session", call_data.as_slice(), &altered),
        ("a grant whose sessions were not given", call_data.as_slice(), &[]),
        ("call data that is not canonical", &unreadable, &sessions),
    ];
    let cases: Vec<_> =
        cases.map(|(name, call_data, sessions)| case(name, operation(call_data), sessions)).into();
    let vectors = serde_json::json!({
        "meta": {
            "source": "quorate-core's own reviews of operations of EntryPoint v0.6; the hashes are \
                       UserOperation::hash's, which is proved against the contract",
        },
        "known": {
            "sessionKeyManager": MANAGER.to_string(),
            "abiSessionValidationModule": MODULE.to_string(),
            "functions": KNOWN.functions,
        },
        "target": { "entryPoint": TARGET.entry_point.to_string(), "chainId": TARGET.chain_id },
        "cases": cases,
    });
    let path = "../../tests/vectors/device-review.json";
    let kept = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    if kept.as_ref() != Some(&vectors) {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/device-review.json");
        std::fs::write(new, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
        panic!("reviews differ from {path}; as they are now, they are in {new}");
    }
}

fn case(
    name: &str,
    operation: UserOperation<&[u8]>,
    sessions: &[(SessionEpoch, Bytes)],
) -> serde_json::Value {
    let hex = |bytes: &[u8]| alloy_primitives::hex::encode_prefixed(bytes);
    let number = |number: U256| format!("{number:#x}");
    let (lines, ended) = review(operation, &leaves(sessions));
    let session = |leaf: &SessionLeaf<'_>| {
        serde_json::json!({
            "validAfter": leaf.epoch.valid_after(),
            "validUntil": leaf.epoch.valid_until(),
            "sessionValidationModule": leaf.validation_module.to_string(),
            "sessionKeyData": hex(leaf.session_key_data),
        })
    };
    serde_json::json!({
        "name": name,
        "operation": {
            "sender": operation.sender.to_string(),
            "nonce": number(operation.nonce),
            "initCode": hex(operation.init_code),
            "callData": hex(operation.call_data),
            "callGasLimit": number(operation.call_gas_limit),
            "verificationGasLimit": number(operation.verification_gas_limit),
            "preVerificationGas": number(operation.pre_verification_gas),
            "maxFeePerGas": number(operation.max_fee_per_gas),
            "maxPriorityFeePerGas": number(operation.max_priority_fee_per_gas),
            "paymasterAndData": hex(operation.paymaster_and_data),
        },
        "sessions": leaves(sessions).iter().map(session).collect::<Vec<_>>(),
        "lines": lines.lines().collect::<Vec<_>>(),
        "hash": ended.as_ref().ok().map(|hash| hash.to_string()),
        "refused": ended.as_ref().err().map(|refused| refused.to_string()),
    })
}
