//! The evaluator at its edges: what the reading of call data by the contract implies, and policies against calls
//! made from them.

use proptest::prelude::*;
use quorate_core::{
    AccountCall, Address, BufferFull, Call, Condition, DecodeError, Encode, Execute, ExecuteBatch,
    FunctionSelector, MalformedSessionKeyData, Policy, Refusal, Rule, SessionKeyData, U256, evaluate, merkle,
};

type Buffer = heapless::Vec<u8, 4096>;

const CONTRACT: Address = Address::repeat_byte(0x11);
const KEY: Address = Address::repeat_byte(0x22);
const SELECTOR: [u8; 4] = [1, 2, 3, 4];

/// Where words stand in the account's call data.
const DESTINATION: usize = 4;
const POINTER: usize = 4 + 64;
const INNER_LENGTH: usize = 4 + 96;
const INNER: usize = INNER_LENGTH + 32;

#[test]
fn the_checks_in_their_order() {
    let policy = policy().with_rule(equal(0, 7)).unwrap();
    let data = encode(&SessionKeyData::new(KEY, &policy));
    let good = call_data(&[7]);
    assert_eq!(evaluate(&data, &good), Ok(KEY));

    // Each change comes before the ones already made, and so is what is answered.
    let mut bad = call_data(&[8]);
    assert!(matches!(evaluate(&data, &bad), Err(Refusal::RuleViolated { rule: 0, offset: 0, .. })));
    put(&mut bad, DESTINATION + 32, U256::from(1));
    assert_eq!(evaluate(&data, &bad), Err(Refusal::ValueExceeded { value: U256::from(1), limit: 0 }));
    put(&mut bad, INNER, U256::ZERO);
    assert!(matches!(evaluate(&data, &bad), Err(Refusal::SelectorForbidden { .. })));
    put(&mut bad, DESTINATION, U256::ZERO);
    assert_eq!(
        evaluate(&data, &bad),
        Err(Refusal::DestinationForbidden { called: Address::ZERO, permitted: CONTRACT })
    );
    bad[..4].copy_from_slice(&[9; 4]);
    assert_eq!(evaluate(&data, &bad), Err(Refusal::NotExecute { selector: [9; 4].into() }));
    let short = MalformedSessionKeyData::TooShort { len: 61 };
    assert_eq!(evaluate(&data[..61], &bad), Err(Refusal::MalformedSessionKeyData(short)));
}

#[test]
fn both_functions_that_make_one_call() {
    let data = encode(&SessionKeyData::new(KEY, &policy()));
    let mut call = call_data(&[]);
    call[..4].copy_from_slice(&[0xb6, 0x1d, 0x27, 0xf6]);
    assert_eq!(evaluate(&data, &call), Ok(KEY));
    let inner = SELECTOR;
    let batch = encode(&ExecuteBatch(&[Call { to: CONTRACT, value: U256::ZERO, data: &inner }]));
    let refusal = evaluate(&data, &batch).unwrap_err();
    assert_eq!(refusal.revert_reason(), Some("ABISV Not Execute Selector"));
}

#[test]
fn the_inner_call_data_stands_where_the_pointer_says() {
    let policy = policy().with_rule(equal(0, 7)).unwrap();
    let data = encode(&SessionKeyData::new(KEY, &policy));
    let good = call_data(&[7]);

    // Moved away by a byte that belongs to nothing, it is still found.
    let mut moved = Buffer::new();
    moved.extend_from_slice(&good[..INNER_LENGTH]).unwrap();
    moved.push(0xff).unwrap();
    moved.extend_from_slice(&good[INNER_LENGTH..]).unwrap();
    put(&mut moved, POINTER, U256::from(97));
    assert_eq!(evaluate(&data, &moved), Ok(KEY));
    assert_eq!(AccountCall::decode(&moved).err(), Some(DecodeError::NotCanonical));

    // The addition wraps, so that -4 points at the selector; there is no sane length there.
    let mut wrapped = good.clone();
    put(&mut wrapped, POINTER, U256::MAX - U256::from(3));
    assert_eq!(
        evaluate(&data, &wrapped),
        Err(Refusal::SelectorForbidden {
            called: FunctionSelector::new(wrapped[32..36].try_into().unwrap()),
            permitted: SELECTOR.into(),
        })
    );

    // Before the call data and behind it are other parts of the transaction.
    for pointer in [U256::MAX - U256::from(4), U256::from(good.len() - 4 - 31), U256::MAX >> 1] {
        let mut outside = good.clone();
        put(&mut outside, POINTER, pointer);
        assert_eq!(evaluate(&data, &outside), Err(Refusal::CallDataTooShort { len: good.len() }));
    }
}

#[test]
fn the_inner_length_is_believed() {
    let policy = policy().with_rule(equal(32, 7)).unwrap();
    let data = encode(&SessionKeyData::new(KEY, &policy));
    let mut call = call_data(&[0, 7]);
    for (len, expected) in [
        (U256::from(3), Err(Refusal::InnerCallDataTooShort { len: 3 })),
        (U256::from(4), Err(Refusal::WordOutOfBounds { rule: 0, offset: 32, len: 4 })),
        (U256::from(67), Err(Refusal::WordOutOfBounds { rule: 0, offset: 32, len: 67 })),
        (U256::from(68), Ok(KEY)),
        (U256::from(1_000_000), Ok(KEY)),
        (U256::MAX, Ok(KEY)),
    ] {
        put(&mut call, INNER_LENGTH, len);
        assert_eq!(evaluate(&data, &call), expected, "{len}");
    }
    // A length that reaches beyond the end shows nothing there.
    let len = INNER + 4 + 32 + 31;
    assert_eq!(evaluate(&data, &call[..len]), Err(Refusal::CallDataTooShort { len }));
    // The padding is read by nobody.
    assert_eq!(evaluate(&data, &call[..INNER + 68]), Ok(KEY));
}

#[test]
fn the_destination_is_the_low_twenty_bytes_of_its_word() {
    let data = encode(&SessionKeyData::new(KEY, &policy()));
    let mut call = call_data(&[]);
    call[DESTINATION] = 0xff;
    assert_eq!(evaluate(&data, &call), Ok(KEY));
    assert_eq!(AccountCall::decode(&call).err(), Some(DecodeError::NotCanonical));
}

#[test]
fn rules_are_read_one_by_one() {
    let policy = policy().with_rule(equal(0, 7)).unwrap().with_rule(equal(0, 7)).unwrap();
    let data = encode(&SessionKeyData::new(KEY, &policy));
    let cut = &data[..data.len() - 1];
    // The first rule fails before it is found that the second is incomplete.
    assert!(matches!(evaluate(cut, &call_data(&[8])), Err(Refusal::RuleViolated { rule: 0, .. })));
    let missing = MalformedSessionKeyData::RuleMissing { rule: 1 };
    assert_eq!(evaluate(cut, &call_data(&[7])), Err(Refusal::MalformedSessionKeyData(missing)));
    // What follows the rules belongs to nothing.
    let mut longer = data.clone();
    longer.push(1).unwrap();
    assert_eq!(evaluate(&longer, &call_data(&[7])), Ok(KEY));

    let mut unknown = data;
    unknown[62 + 2] = 6;
    let refusal = evaluate(&unknown, &call_data(&[7])).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownCondition { rule: 0, number: 6 });
    assert_eq!(refusal.revert_reason(), Some("ABISV Arg Rule Violated"));
    // Its word is read before its condition is looked at.
    assert_eq!(evaluate(&unknown, &call_data(&[])).unwrap_err().revert_reason(), None);
}

#[test]
fn refusals_say_both_values() {
    let refusal = Refusal::ValueExceeded { value: U256::from(17), limit: 5 };
    assert_eq!(refusal.to_string(), "17 wei are sent, permitted are at most 5");
    let policy = policy().with_rule(Rule::new(0, Condition::LessThan, 5_u64)).unwrap();
    let data = encode(&SessionKeyData::new(KEY, &policy));
    let text = evaluate(&data, &call_data(&[6])).unwrap_err().to_string();
    assert!(text.contains("06, permitted is less than 0x") && text.ends_with("05"), "{text}");
}

#[test]
fn a_buffer_that_is_too_small() {
    let mut small = heapless::Vec::<u8, 61>::new();
    assert_eq!(SessionKeyData::new(KEY, &policy()).write_to(&mut small), Err(BufferFull));
}

proptest! {
    /// Arguments below, at and above the references of all conditions: allowed exactly when all conditions hold.
    #[test]
    fn policies_against_calls_made_from_them(
        rules in proptest::collection::vec((0..4_u16, 0..6_u8, any::<[u8; 32]>()), 0..5),
        steps in proptest::collection::vec(0..3_u8, 4),
        value in 0..3_u64,
    ) {
        let mut policy = policy().with_value_limit(1);
        let mut words = [U256::from(5); 4];
        for (index, condition, reference) in &rules {
            let reference = U256::from_be_bytes(*reference);
            let condition = Condition::try_from(*condition).unwrap();
            policy = policy.with_rule(Rule::new(index * 32, condition, reference)).unwrap();
            let index = usize::from(*index);
            words[index] = match steps[index] {
                0 => reference.wrapping_sub(U256::from(1)),
                1 => reference,
                _ => reference.wrapping_add(U256::from(1)),
            };
        }
        let data = encode(&SessionKeyData::new(KEY, &policy));
        let mut inner = Buffer::from_slice(&SELECTOR).unwrap();
        for word in words {
            inner.extend_from_slice(&word.to_be_bytes::<32>()).unwrap();
        }
        let call = encode(&Execute(Call { to: CONTRACT, value: U256::from(value), data: &inner }));

        let broken = policy.rules().iter().position(|rule| {
            !rule.condition().holds(words[usize::from(rule.offset() / 32)], rule.reference().to_uint())
        });
        match evaluate(&data, &call) {
            Ok(key) => {
                prop_assert_eq!(key, KEY);
                prop_assert!(value <= 1);
                prop_assert_eq!(broken, None);
            }
            Err(Refusal::ValueExceeded { .. }) => prop_assert!(value > 1),
            Err(Refusal::RuleViolated { rule, .. }) => prop_assert_eq!(broken, Some(rule)),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// What is canonical is read the same by the decoder and the evaluator, and nothing panics.
    #[test]
    fn call_data_of_any_shape(
        inner in proptest::collection::vec(any::<u8>(), 0..80),
        changes in proptest::collection::vec((0..400_usize, any::<u8>()), 0..3),
        cut in 0..400_usize,
        key_data in proptest::collection::vec(any::<u8>(), 0..140),
    ) {
        let mut call = encode(&Execute(Call { to: CONTRACT, value: U256::ZERO, data: &inner }));
        for (at, byte) in changes {
            if let Some(place) = call.get_mut(at) {
                *place = byte;
            }
        }
        call.truncate(call.len().max(cut) - cut.min(20));
        let _ = evaluate(&key_data, &call);
        if let Ok(decoded) = AccountCall::decode(&call) {
            let mut calls = decoded.calls();
            let single = calls.next().unwrap();
            prop_assert!(calls.next().is_none());
            let again = encode(&Execute(single));
            prop_assert_eq!(&again[4..], &call[4..]);
        }
    }

    /// Batches come back as they were encoded; a changed byte is either seen or refused.
    #[test]
    fn batches_there_and_back(
        calls in proptest::collection::vec(
            (any::<[u8; 20]>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..70)),
            0..6,
        ),
        at in 0..1_000_usize,
        byte in any::<u8>(),
    ) {
        let calls = calls
            .iter()
            .map(|(to, value, data)| Call { to: to.into(), value: U256::from(*value), data })
            .collect::<Vec<_>>();
        let mut bytes = encode(&ExecuteBatch(&calls));
        prop_assert!(AccountCall::decode(&bytes).unwrap().calls().eq(calls.iter().copied()));
        let at = at % bytes.len();
        let changed = bytes[at] != byte;
        bytes[at] = byte;
        if let Ok(decoded) = AccountCall::decode(&bytes) {
            prop_assert_eq!(decoded.calls().eq(calls.iter().copied()), !changed || at < 4);
        }
    }

    /// Every leaf is proved, and by no other proof of the same tree that leads elsewhere.
    #[test]
    fn trees_and_proofs(seeds in proptest::collection::vec(any::<[u8; 32]>(), 1..40), other in any::<[u8; 32]>()) {
        let leaves = seeds.iter().map(quorate_core::B256::from).collect::<Vec<_>>();
        let root = merkle::root(&leaves).unwrap();
        for leaf in &leaves {
            let proof = merkle::Proof::of(&leaves, *leaf).unwrap();
            prop_assert_eq!(proof.root(), root);
            prop_assert!(merkle::verify(root, *leaf, proof.siblings()));
            if !leaves.contains(&other.into()) {
                prop_assert!(!merkle::verify(root, other.into(), proof.siblings()));
            }
        }
    }

    /// Text of any kind names a function or is refused, and nothing panics.
    #[test]
    fn signatures_of_any_text(text in "(function )?[a-z0-9_$ ,()\\[\\]éuint]{0,40}") {
        let _ = FunctionSelector::parse(&text);
        let _ = text.parse::<quorate_core::ReferenceValue>();
    }
}

fn policy() -> Policy {
    Policy::new(CONTRACT, SELECTOR.into())
}

fn equal(offset: u16, reference: u64) -> Rule {
    Rule::new(offset, Condition::Equal, reference)
}

/// The account's call data of a call with these words for arguments.
fn call_data(words: &[u64]) -> Buffer {
    let mut inner = Buffer::from_slice(&SELECTOR).expect("room");
    for word in words {
        inner.extend_from_slice(&U256::from(*word).to_be_bytes::<32>()).expect("room");
    }
    encode(&Execute(Call { to: CONTRACT, value: U256::ZERO, data: &inner }))
}

fn encode(encoder: &impl Encode) -> Buffer {
    let mut buffer = Buffer::new();
    encoder.write_to(&mut buffer).expect("room");
    assert_eq!(buffer.len(), encoder.encoded_len());
    buffer
}

fn put(bytes: &mut Buffer, at: usize, word: U256) {
    bytes[at..at + 32].copy_from_slice(&word.to_be_bytes::<32>());
}
