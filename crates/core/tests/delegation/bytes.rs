//! One encoding for each context and each call, and a place for whatever is wrong.

use proptest::prelude::*;
use quorate_core::delegation::*;
use quorate_core::{Address, B256, Call, FunctionSelector, U256};

use crate::{Buffer, CONTRACT, KEY, OWNER, caveat, delegation, encoded};

/// Where the words of a context of one delegation stand.
const COUNT: usize = 32;
const FIRST: usize = 96;
const CAVEATS: usize = FIRST + 6 * 32;
const CAVEAT: usize = CAVEATS + 2 * 32;
const TERMS: usize = CAVEAT + 3 * 32;

fn put(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 32].copy_from_slice(&U256::from(number).to_be_bytes::<32>());
}

#[test]
fn what_is_written_is_read_again() {
    let terms = [0x33; 100];
    let caveats = [caveat(Enforcer::ExactCalldata, &terms[..33]), caveat(Enforcer::AllowedTargets, &[])];
    let leaf = Delegation { signature: &[], salt: U256::MAX, ..delegation(Caveats::from(&caveats[..])) };
    let root = Delegation { delegator: CONTRACT, delegate: OWNER, ..delegation(Caveats::default()) };
    for delegations in [&[leaf][..], &[leaf, root], &[root, leaf, root]] {
        let bytes = encoded(&Delegations(delegations));
        let context = Context::parse(&bytes).unwrap();
        assert!(context.delegations().eq(delegations.iter().copied()));
        assert!(context.delegations().map(|it| it.hash()).eq(delegations.iter().map(|it| it.hash())));
        assert_eq!((context.len(), context.get(delegations.len())), (delegations.len(), None));
        let again: Vec<_> = context.delegations().collect();
        assert_eq!(encoded(&Delegations(&again)), bytes);
        assert!(again.iter().all(|it| it.caveats.get(it.caveats.len()).is_none()));
    }
}

#[test]
fn each_refusal_of_a_context_has_its_place() {
    let caveats = [caveat(Enforcer::AllowedTargets, CONTRACT.as_slice())];
    let good = encoded(&Delegations(&[delegation(Caveats::from(&caveats[..]))]));
    let place = CaveatPlace { delegation: 0, caveat: 0 };
    let parse = |change: &dyn Fn(&mut Buffer)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Context::parse(&bytes).map(|_| ()).unwrap_err()
    };
    let malformed = |malformed| ContextError::Malformed(malformed);
    let not_canonical = |at, expected| malformed(Malformed::NotCanonical { at, expected });

    assert_eq!(parse(&|it| put(it, COUNT, 0)), ContextError::NoDelegations);
    assert_eq!(parse(&|it| put(it, COUNT, 9)), ContextError::TooManyDelegations { len: 9 });
    assert_eq!(
        parse(&|it| it[COUNT..COUNT + 32].fill(0xff)),
        ContextError::TooManyDelegations { len: usize::MAX }
    );
    assert_eq!(parse(&|it| put(it, CAVEATS, 25)), ContextError::TooManyCaveats { delegation: 0, len: 25 });
    assert_eq!(parse(&|it| put(it, TERMS, 2049)), ContextError::TermsTooLong { place, len: 2049 });
    assert_eq!(parse(&|it| put(it, TERMS + 64, 1)), ContextError::Arguments { place, len: 1 });
    assert_eq!(
        parse(&|it| put(it, TERMS + 96, 2049)),
        ContextError::SignatureTooLong { delegation: 0, len: 2049 }
    );

    let end = good.len();
    assert_eq!(parse(&|it| it.truncate(end - 1)), malformed(Malformed::Ends { at: end - 1 }));
    assert_eq!(parse(&|it| it.push(0).unwrap()), malformed(Malformed::BytesAfter { at: end, len: 1 }));
    assert_eq!(parse(&|it| put(it, 0, 64)), not_canonical(0, 32));
    assert_eq!(parse(&|it| put(it, 2 * 32, 64)), not_canonical(2 * 32, 32));
    assert_eq!(parse(&|it| put(it, FIRST + 3 * 32, 0)), not_canonical(FIRST + 3 * 32, 6 * 32));
    assert_eq!(parse(&|it| put(it, FIRST + 5 * 32, 0)), not_canonical(FIRST + 5 * 32, 14 * 32));
    assert_eq!(parse(&|it| put(it, CAVEATS + 32, 64)), not_canonical(CAVEATS + 32, 32));
    assert_eq!(parse(&|it| put(it, CAVEAT + 32, 64)), not_canonical(CAVEAT + 32, 96));
    assert_eq!(parse(&|it| put(it, CAVEAT + 64, 96)), not_canonical(CAVEAT + 64, 160));
    for address in [FIRST, FIRST + 32, CAVEAT] {
        assert_eq!(parse(&|it| it[address] = 1), malformed(Malformed::NotAnAddress { at: address }));
    }
    assert_eq!(parse(&|it| it[TERMS + 63] = 1), malformed(Malformed::NotZero { at: TERMS + 52 }));
    assert_eq!(parse(&|it| it[end - 1] = 1), malformed(Malformed::NotZero { at: end - 31 }));
    assert_eq!(
        parse(&|it| put(it, TERMS + 64, 1)).to_string(),
        "delegation 0, caveat 0: 1 bytes of arguments, which nobody signed; there may be none"
    );
}

#[test]
fn the_bounds_themselves_are_taken() {
    let terms = [1; MAX_TERMS];
    let signature = [2; MAX_SIGNATURE];
    let long = [caveat(Enforcer::ExactCalldata, &terms)];
    let long = Delegation { signature: &signature, ..delegation(Caveats::from(&long[..])) };
    let many = [caveat(Enforcer::Id, &[]); MAX_CAVEATS];
    let many = delegation(Caveats::from(&many[..]));
    for delegations in [&[long][..], &[many], &[delegation(Caveats::default()); MAX_DELEGATIONS]] {
        assert!(Context::parse(&encoded(&Delegations(delegations))).is_ok());
    }
}

fn redeem_call() -> Buffer {
    let caveats = [caveat(Enforcer::AllowedTargets, CONTRACT.as_slice())];
    let context = encoded(&Delegations(&[delegation(Caveats::from(&caveats[..]))]));
    let execution = encoded(&SingleExecution(Call { to: CONTRACT, value: U256::ZERO, data: &[1, 2, 3] }));
    let context = Context::parse(&context).unwrap();
    encoded(&Redeem { context, mode: Mode::SINGLE, execution: &execution })
}

#[test]
fn each_refusal_of_call_data_has_its_place() {
    let good = redeem_call();
    let Ok(DelegationCall::Redeem(redeem)) = DelegationCall::decode(&good) else {
        panic!("it is a redemption")
    };
    let context_len = redeem.context.as_bytes().len();
    // Where words stand, without the selector.
    let [contexts, mode] = [96, 96 + 96 + context_len];
    let executions = mode + 64;
    let decode = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = good.clone();
        change(&mut bytes[4..]);
        DelegationCall::decode(&bytes).map(|_| ()).unwrap_err()
    };
    for array in [contexts, mode, executions] {
        for len in [0, 2] {
            let not_one = DelegationCallError::NotOne { at: array, len };
            assert_eq!(decode(&|it| put(it, array, len as u64)), not_one);
        }
    }
    for (at, expected) in [(0, 96), (32, mode), (64, executions), (contexts + 32, 32), (executions + 32, 32)]
    {
        let error = DelegationCallError::Malformed(Malformed::NotCanonical { at, expected });
        assert_eq!(decode(&|it| put(it, at, 7)), error);
    }
    for (byte, wrong) in [(0, 0xff), (1, 2), (2, 1), (31, 1)] {
        assert!(matches!(decode(&|it| it[mode + 32 + byte] = wrong), DelegationCallError::Mode(_)));
    }
    assert!(matches!(
        decode(&|it| put(it, contexts + 96 + 32, 0)),
        DelegationCallError::Context(ContextError::NoDelegations)
    ));
    let error = DelegationCallError::Malformed(Malformed::NotZero { at: executions + 96 + 55 });
    assert_eq!(decode(&|it| it[executions + 96 + 55] = 1), error);

    let short = encoded(&Redeem { execution: &[0; 51], ..redeem });
    let error = DelegationCallError::ExecutionTooShort { len: 51 };
    assert_eq!(DelegationCall::decode(&short), Err(error));
    let selector = FunctionSelector::new([1, 2, 3, 4]);
    let error = DelegationCallError::OtherFunction { selector };
    assert_eq!(DelegationCall::decode(&[1, 2, 3, 4, 5]), Err(error));
    assert_eq!(DelegationCall::decode(&[1]), Err(DelegationCallError::NoSelector { len: 1 }));
}

#[test]
fn a_context_of_no_delegation_has_no_call() {
    // What a manager reads as leave to act for the caller itself, however it is written.
    for context in [&[][..], &[0; 32], &[0; 64]] {
        assert!(Context::parse(context).is_err());
    }
    let mut bytes = redeem_call();
    // The context's length, and what follows it, are of a context without any.
    put(&mut bytes, 4 + 96 + 64, 64);
    assert!(DelegationCall::decode(&bytes).is_err());
}

#[test]
fn one_encoding_of_a_batch() {
    let calls = [&[][..], &[1, 2, 3], &[4; 64]].map(|data| Call { to: CONTRACT, value: U256::from(7), data });
    for calls in [&calls[..], &calls[..1], &[]] {
        let good = encoded(&Batch(calls));
        assert!(BatchExecution::parse(&good).unwrap().calls().eq(calls.iter().copied()));
        let context = encoded(&Delegations(&[delegation(Caveats::default())]));
        let context = Context::parse(&context).unwrap();
        let mode = Mode { call: CallType::Batch, execution: ExecutionType::Default };
        let redeem = encoded(&Redeem { context, mode, execution: &good });
        assert!(DelegationCall::decode(&redeem).is_ok());
        let longer = [&good[..], &[0]].concat();
        let malformed = Malformed::BytesAfter { at: good.len(), len: 1 };
        let redeem = encoded(&Redeem { context, mode, execution: &longer });
        assert_eq!(DelegationCall::decode(&redeem), Err(DelegationCallError::Batch(malformed)));

        // Whatever byte is another one, what is read has other calls and is their encoding.
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let Ok(batch) = BatchExecution::parse(&bytes) else { continue };
            let read: Vec<_> = batch.calls().collect();
            assert_eq!(encoded(&Batch(&read)), bytes);
        }
    }
}

/// Delegations with whatever is within the bounds.
fn any_context() -> impl Strategy<Value = Vec<u8>> {
    let terms = || prop::collection::vec(any::<u8>(), 0..70);
    let caveats = prop::collection::vec((any::<[u8; 20]>(), terms()), 0..4);
    let delegation =
        (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<[u8; 32]>(), caveats, any::<[u8; 32]>(), terms());
    prop::collection::vec(delegation, 1..4).prop_map(|delegations| {
        let caveats: Vec<Vec<Caveat<'_>>> = delegations
            .iter()
            .map(|(_, _, _, caveats, _, _)| {
                caveats.iter().map(|(enforcer, terms)| Caveat { enforcer: enforcer.into(), terms }).collect()
            })
            .collect();
        let delegations: Vec<_> = delegations
            .iter()
            .zip(&caveats)
            .map(|((delegate, delegator, authority, _, salt, signature), caveats)| Delegation {
                delegate: delegate.into(),
                delegator: Address::new(*delegator),
                authority: B256::new(*authority),
                caveats: Caveats::from(&caveats[..]),
                salt: U256::from_be_bytes(*salt),
                signature,
            })
            .collect();
        encoded(&Delegations(&delegations)).to_vec()
    })
}

proptest! {
    /// Whatever is changed, what is read is the encoding of what it is read as.
    #[test]
    fn one_encoding_of_a_context(
        mut bytes in any_context(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        words in prop::collection::vec((any::<prop::sample::Index>(), 0..400_u64), 0..2),
    ) {
        let original = bytes.clone();
        for (at, byte) in &changes {
            *at.get_mut(&mut bytes) = *byte;
        }
        for (word, number) in &words {
            let at = word.index(bytes.len() / 32) * 32;
            put(&mut bytes, at, *number);
        }
        let context = Context::parse(&bytes);
        prop_assert!(context.is_ok() || bytes != original);
        if let Ok(context) = context {
            let delegations: Vec<_> = context.delegations().collect();
            prop_assert_eq!(delegations.len(), context.len());
            prop_assert_eq!(&encoded(&Delegations(&delegations))[..], &bytes[..]);
        }
    }

    #[test]
    fn one_encoding_of_a_call(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in 0..3_usize,
    ) {
        let mut bytes = redeem_call();
        bytes.truncate(bytes.len() - cut);
        for (at, byte) in &changes {
            *at.get_mut(&mut bytes) = *byte;
        }
        match DelegationCall::decode(&bytes) {
            Ok(DelegationCall::Redeem(redeem)) => prop_assert_eq!(encoded(&redeem), bytes),
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(_) => {}
        }
    }
}

#[test]
fn a_delegation_that_is_ended_is_read_again() {
    let terms = [caveat(Enforcer::AllowedTargets, KEY.as_slice())];
    let disable = Disable(delegation(Caveats::from(&terms[..])));
    let mut bytes = encoded(&disable);
    assert_eq!(DelegationCall::decode(&bytes), Ok(DelegationCall::Disable(disable)));
    bytes.push(0).unwrap();
    let at = bytes.len() - 4 - 1;
    let error = DelegationCallError::Malformed(Malformed::BytesAfter { at, len: 1 });
    assert_eq!(DelegationCall::decode(&bytes), Err(error));
}
