//! Policies that a delegation holds allow what the same policies in a session allow.

use alloy_primitives::{B256, FixedBytes};
use proptest::prelude::*;
use quorate_core::{Condition, Execute, FunctionSelector, Policy, Rule, SessionKeyData, evaluate};
use quorate_protocol::{ArgumentLimit, Inexpressible, PaymasterRule, PolicyCaveat, PolicyCaveats};

use super::*;

/// Some of few, so that calls often meet policies.
fn contract() -> impl Strategy<Value = Address> {
    prop::sample::select(vec![NFT, FRIEND])
}

fn selector() -> impl Strategy<Value = [u8; 4]> {
    prop::sample::select(vec![MINT, [0x51; 4]])
}

fn argument() -> impl Strategy<Value = B256> {
    prop::sample::select(vec![FRIEND.into_word(), KEY.into_word()])
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let rules = prop::collection::vec((0_u16..3, argument()), 0..3);
    let pairs = prop::collection::vec((contract(), selector()), 1..3);
    let times =
        prop::sample::select(vec![(0, 0), (NOW, 0), (0, NOW), (NOW - 1, NOW + 1), (NOW + 1, NOW + 2)]);
    (pairs, rules, 0_u128..2, times).prop_map(|(pairs, rules, value, (from, until))| {
        let epoch = SessionEpoch::new(from, until).unwrap();
        let policy = |(contract, selector)| {
            let policy = Policy::new(contract, FunctionSelector::new(selector)).with_epoch(epoch);
            let rule = |(place, word): &(u16, B256)| Rule::new(place * 32, Condition::Equal, *word);
            rules.iter().map(rule).try_fold(policy.with_value_limit(value), Policy::with_rule).unwrap()
        };
        pairs.into_iter().map(policy).collect()
    })
}

/// A contract, a value, and call data of up to three words.
fn calls() -> impl Strategy<Value = (Address, u64, Vec<u8>)> {
    let arguments = prop::collection::vec(argument(), 0..4);
    (contract(), 0_u64..3, selector(), arguments).prop_map(|(to, value, selector, arguments)| {
        (to, value, [&selector[..], arguments.concat().as_slice()].concat())
    })
}

fn of_caveats(caveats: &PolicyCaveats) -> DelegationPermissions {
    let written: Vec<_> =
        caveats.caveats.iter().map(|PolicyCaveat { enforcer, terms }| caveat(*enforcer, terms)).collect();
    DelegationPermissions { epoch: caveats.epoch, limits: caveats.limits.clone(), ..permissions_of(&written) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn caveats_allow_what_policies_do((policies, (to, value, data)) in (policies(), calls())) {
        let Ok(caveats) = PolicyCaveats::of(&policies, &Limits::default(), NOW) else {
            let differs = |part: fn(&Policy) -> B256| policies.iter().any(|policy| part(policy) != part(&policies[0]));
            let contract = |policy: &Policy| policy.contract().into_word();
            let function = |policy: &Policy| B256::right_padding_from(policy.selector().as_bytes());
            prop_assert!(differs(contract) && differs(function));
            return Ok(());
        };
        let call = call(to, value, &data);
        let in_session = policies.iter().any(|policy| {
            let mut key_data = Vec::new();
            SessionKeyData::new(KEY, policy).write_to(&mut key_data).unwrap();
            policy.epoch().contains(NOW) && evaluate(&key_data, &Execute(call).to_vec()).is_ok()
        });
        let permissions = of_caveats(&caveats);
        let delegated = judge(&permissions, Subject::Transaction(transaction(redeem(&permissions, call))));
        prop_assert_eq!(delegated.is_ok(), in_session, "{:?}", delegated.err());
    }
}

fn mint() -> Policy {
    Policy::new(NFT, FunctionSelector::new(MINT))
}

fn refused(policies: &[Policy], limits: &Limits) -> Inexpressible {
    PolicyCaveats::of(policies, limits, NOW).unwrap_err()
}

#[test]
fn what_a_delegation_cannot_express_is_said() {
    let none = Limits::default();
    assert_eq!(refused(&[], &none), Inexpressible::NoPolicy);
    let rule = |condition| Rule::new(0, condition, FRIEND);
    let compared = mint().with_rule(rule(Condition::Equal)).unwrap();
    let compared = compared.with_rule(rule(Condition::LessThan)).unwrap();
    let condition = Condition::LessThan;
    assert_eq!(refused(&[compared], &none), Inexpressible::Comparison { policy: 0, rule: 1, condition });
    // Contract A with function f and contract B with function g would let A.g through.
    let other = Policy::new(FRIEND, FunctionSelector::new([1; 4]));
    assert_eq!(refused(&[mint(), mint(), other], &none), Inexpressible::Pairs { policy: 2 });
    let to_friend = mint().with_rule(rule(Condition::Equal)).unwrap();
    assert_eq!(refused(&[mint(), to_friend], &none), Inexpressible::Differs { policy: 1, part: "rules" });
    let worth = mint().with_value_limit(1);
    assert_eq!(refused(&[mint(), worth], &none), Inexpressible::Differs { policy: 1, part: "value" });
    let later = mint().with_epoch(SessionEpoch::new(NOW, 0).unwrap());
    assert_eq!(refused(&[mint(), later], &none), Inexpressible::Differs { policy: 1, part: "times" });
    // Who pays is for the nodes to hold.
    let paid = Limits { paymaster: PaymasterRule::Required, ..none };
    assert_eq!(PolicyCaveats::of(&[mint()], &paid, NOW).unwrap().limits.paymaster, PaymasterRule::Required);
}

/// What enforcers count leaves the nodes' limits, and what they do not stays there.
#[test]
fn amounts_are_held_on_chain_where_an_enforcer_counts_them() {
    let transfer = [0xa9, 0x05, 0x9c, 0xbb];
    let day = NonZeroU64::new(86_400);
    let limit = |total: u64, seconds| ArgumentLimit {
        contract: NFT,
        selector: FixedBytes(transfer),
        offset: 32,
        total: U256::from(total),
        seconds,
    };
    let (all, daily, hourly) = (limit(50, None), limit(9, day), limit(3, NonZeroU64::new(3600)));
    let limits = Limits { uses: Some(8), arguments: vec![hourly, all, daily], ..Limits::default() };
    let pay = Policy::new(NFT, FunctionSelector::new(transfer));
    let caveats = PolicyCaveats::of(std::slice::from_ref(&pay), &limits, NOW).unwrap();
    // One kind of period is on chain, the first.
    assert_eq!(caveats.limits, Limits { arguments: vec![daily], ..Limits::default() });
    let permissions = of_caveats(&caveats);
    let pays = |amount: u64| {
        let data = [&transfer[..], FRIEND.into_word().as_slice(), &word(amount)].concat();
        judge(&permissions, Subject::Transaction(transaction(redeem(&permissions, call(NFT, 0, &data)))))
    };
    assert_eq!(pays(3).unwrap().caveats.len(), 3, "uses, the total, and the hour's");
    let forbidden = pays(4).unwrap_err().to_string();
    assert!(forbidden.contains("delegation 0, caveat 5"), "{forbidden}");

    // Beside another function a token's enforcer would forbid that one.
    let both = [pay, Policy::new(NFT, FunctionSelector::new(MINT))];
    let caveats = PolicyCaveats::of(&both, &limits, NOW).unwrap();
    assert_eq!(caveats.limits, Limits { uses: None, ..limits });
}
