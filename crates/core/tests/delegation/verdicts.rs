//! What many caveats come to, and what is not known.

use quorate_core::delegation::*;
use quorate_core::{Address, B256, Call, U256};

use crate::{Buffer, CONTRACT, KEY, OWNER, caveat, delegation, encoded};

const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// A transfer of so many of the contract's tokens.
fn transfer(amount: u8) -> Buffer {
    let mut data = TRANSFER.to_vec();
    data.extend(KEY.into_word());
    data.extend(U256::from(amount).to_be_bytes::<32>());
    encoded(&SingleExecution(Call { to: CONTRACT, value: U256::ZERO, data: &data }))
}

/// Everything was used this often.
struct Used(u8);

impl Counters for Used {
    fn count(&self, _: &CounterKey) -> Option<U256> {
        Some(U256::from(self.0))
    }

    fn is_id_used(&self, _: Address, _: U256) -> Option<bool> {
        Some(self.0 > 0)
    }
}

fn at<C>(counters: &C) -> State<'_, C> {
    State { time: 1_000, block: None, counters }
}

fn word(number: u8) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

fn verdict_of(caveats: &[Caveat<'_>], execution: &[u8], counters: &impl Counters) -> Verdict {
    let bytes = encoded(&Delegations(&[delegation(Caveats::from(caveats))]));
    let context = Context::parse(&bytes).unwrap();
    let redemption = Redemption::new(context, Mode::SINGLE, execution, KEY).unwrap();
    redemption.evaluate(&Enforcers::V1_3_0, &at(counters))
}

#[test]
fn the_second_of_two_caveats_is_named() {
    let caveats = [
        caveat(Enforcer::AllowedTargets, CONTRACT.as_slice()),
        caveat(Enforcer::AllowedTargets, OWNER.as_slice()),
    ];
    let Verdict::Forbidden(forbidden) = verdict_of(&caveats, &transfer(1), &Unknown) else {
        panic!("it is allowed")
    };
    assert_eq!(forbidden.place, CaveatPlace { delegation: 0, caveat: 1 });
    assert_eq!(forbidden.reason, Reason::Target);
    let text = forbidden.revert_text().unwrap();
    assert!(text == *"AllowedTargetsEnforcer:target-address-not-allowed");
    assert!(text != *"AllowedTargetsEnforcer:invalid-terms-length");
    assert_eq!(
        forbidden.to_string(),
        "delegation 0, caveat 1: AllowedTargetsEnforcer: target-address-not-allowed"
    );
}

#[test]
fn what_is_unknown_is_not_judged_and_never_allowed() {
    let place = CaveatPlace { delegation: 0, caveat: 0 };
    let address = Address::repeat_byte(9);
    let bounds = [[0; 16], 9_u128.to_be_bytes()].concat();
    for (unknown, missing) in [
        (Caveat { enforcer: address, terms: &[] }, Missing::Enforcer { address }),
        (caveat(Enforcer::BlockNumber, &bounds), Missing::Block),
        (caveat(Enforcer::LimitedCalls, &word(1)), Missing::Counter),
        (caveat(Enforcer::Nonce, &word(1)), Missing::Nonce),
        (caveat(Enforcer::Id, &word(1)), Missing::Id),
    ] {
        let not_judged = Verdict::NotJudged(NotJudged { place, missing });
        assert_eq!(verdict_of(&[unknown], &transfer(1), &Unknown), not_judged);
        // Another one that allows changes nothing, one that forbids is what counts.
        let allows = caveat(Enforcer::AllowedTargets, CONTRACT.as_slice());
        assert_eq!(verdict_of(&[unknown, allows], &transfer(1), &Unknown), not_judged);
        let forbids = caveat(Enforcer::AllowedTargets, OWNER.as_slice());
        assert!(matches!(
            verdict_of(&[unknown, forbids], &transfer(1), &Unknown),
            Verdict::Forbidden(Forbidden { place: CaveatPlace { delegation: 0, caveat: 1 }, .. })
        ));
    }
    // No block, no matter: there is no bound. And no counter has room for more than there is in all.
    let unbounded = caveat(Enforcer::BlockNumber, &[0; 32]);
    assert_eq!(verdict_of(&[unbounded], &transfer(1), &Unknown), Verdict::Allowed);
    let terms = [CONTRACT.as_slice(), &word(5)].concat();
    let most = caveat(Enforcer::ERC20TransferAmount, &terms);
    assert!(matches!(verdict_of(&[most], &transfer(6), &Unknown), Verdict::Forbidden(_)));
    assert!(matches!(verdict_of(&[most], &transfer(5), &Unknown), Verdict::NotJudged(_)));
}

#[test]
fn caveats_of_one_enforcer_count_twice_in_one_counter() {
    let (twice, thrice) = (word(2), word(3));
    let caveats = [caveat(Enforcer::LimitedCalls, &thrice), caveat(Enforcer::LimitedCalls, &twice)];
    assert_eq!(verdict_of(&caveats, &transfer(1), &Used(0)), Verdict::Allowed);
    assert!(matches!(
        verdict_of(&caveats, &transfer(1), &Used(1)),
        Verdict::Forbidden(Forbidden {
            place: CaveatPlace { delegation: 0, caveat: 1 },
            reason: Reason::Calls,
            ..
        })
    ));

    let bytes = encoded(&Delegations(&[delegation(Caveats::from(&caveats[..]))]));
    let execution = transfer(1);
    let redemption = Redemption::new(Context::parse(&bytes).unwrap(), Mode::SINGLE, &execution, KEY).unwrap();
    let state = at(&Used(0));
    let totals: Vec<_> = redemption
        .judgements(&Enforcers::V1_3_0, &state)
        .map(|(_, judgement)| match judgement {
            Judgement::Allowed(Some(Charge::Counter { key, counter: Counter::Count(total) })) => {
                assert_eq!((key.delegation, key.enforcer), (redemption.hashes()[0], Enforcer::LimitedCalls));
                total
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(totals, [1, 2].map(U256::from));
}

#[test]
fn an_id_is_used_once_in_a_chain() {
    let middle = Address::repeat_byte(7);
    let id = word(5);
    let caveats = [caveat(Enforcer::Id, &id)];
    let root = Delegation { delegate: middle, ..delegation(Caveats::from(&caveats[..])) };
    for (delegator, allowed) in [(middle, true), (OWNER, false)] {
        // The root's owner may also be the one to whom it was delegated.
        let root = Delegation { delegate: delegator, ..root };
        let leaf = Delegation { delegator, delegate: KEY, authority: root.hash(), ..root };
        let bytes = encoded(&Delegations(&[leaf, root]));
        let execution = transfer(1);
        let redemption =
            Redemption::new(Context::parse(&bytes).unwrap(), Mode::SINGLE, &execution, KEY).unwrap();
        let verdict = redemption.evaluate(&Enforcers::V1_3_0, &at(&Used(0)));
        assert_eq!(verdict == Verdict::Allowed, allowed, "{verdict:?}");
    }
}

#[test]
fn a_chain_leads_from_its_root_to_who_redeems_it() {
    let middle = Address::repeat_byte(7);
    let root = Delegation { delegate: middle, ..delegation(Caveats::default()) };
    let leaf = Delegation { delegator: middle, delegate: KEY, authority: root.hash(), ..root };
    let check = |delegations: &[Delegation<'_>], redeemer| {
        let bytes = encoded(&Delegations(delegations));
        let execution = transfer(1);
        Redemption::new(Context::parse(&bytes).unwrap(), Mode::SINGLE, &execution, redeemer).map(|_| ())
    };
    assert_eq!(check(&[leaf, root], KEY), Ok(()));
    assert_eq!(check(&[leaf, root], OWNER), Err(ChainError::Delegate { delegation: 0, delegate: KEY }));
    let open = Delegation { delegate: ANY_DELEGATE, ..leaf };
    assert!(open.is_open() && !open.is_root() && root.is_root());
    assert_eq!(check(&[open, root], OWNER), Ok(()));

    // A parent that is another one's, no parent, and one that is not the last.
    let other = Delegation { delegate: OWNER, ..root };
    let child = Delegation { authority: other.hash(), ..leaf };
    assert_eq!(check(&[child, other], KEY), Err(ChainError::Delegate { delegation: 1, delegate: OWNER }));
    assert_eq!(check(&[leaf], KEY), Err(ChainError::Authority { delegation: 0 }));
    assert_eq!(check(&[leaf, other], KEY), Err(ChainError::Authority { delegation: 0 }));
    let orphan = Delegation { authority: B256::ZERO, ..root };
    let child = Delegation { authority: orphan.hash(), ..leaf };
    assert_eq!(check(&[child, orphan], KEY), Err(ChainError::Authority { delegation: 1 }));
}

#[test]
fn other_modes_are_for_enforcers_that_take_them() {
    let bounds = [[0; 16], 2_000_u128.to_be_bytes()].concat();
    let bytes = |caveat: Caveat<'_>| encoded(&Delegations(&[delegation(Caveats::from(&[caveat][..]))]));
    let (targets, time) = (
        bytes(caveat(Enforcer::AllowedTargets, CONTRACT.as_slice())),
        bytes(caveat(Enforcer::Timestamp, &bounds)),
    );
    let reason = |context: &[u8], call, execution| {
        let mode = Mode { call, execution };
        let redemption = Redemption::new(Context::parse(context).unwrap(), mode, &[], KEY).unwrap();
        match redemption.evaluate(&Enforcers::V1_3_0, &at(&Unknown)) {
            Verdict::Forbidden(forbidden) => forbidden.revert_text().map(|text| text.to_string()),
            _ => None,
        }
    };
    let (call_type, execution_type) =
        ("CaveatEnforcer:invalid-call-type", "CaveatEnforcer:invalid-execution-type");
    assert_eq!(reason(&targets, CallType::Batch, ExecutionType::Try).as_deref(), Some(call_type));
    assert_eq!(reason(&targets, CallType::Single, ExecutionType::Try).as_deref(), Some(execution_type));
    assert_eq!(reason(&time, CallType::Batch, ExecutionType::Try).as_deref(), Some(execution_type));
    assert_eq!(reason(&time, CallType::Batch, ExecutionType::Default), None);
    for call in [CallType::Single, CallType::Batch] {
        for execution in [ExecutionType::Default, ExecutionType::Try] {
            let mode = Mode { call, execution };
            assert_eq!(Mode::decode(mode.word()), Ok(mode));
        }
    }
}
