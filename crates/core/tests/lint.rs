//! Findings against the evaluator: what is said to hold always, or never, does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up has failed")]

use proptest::prelude::*;
use quorate_core::{
    Address, Call, Condition, Encode as _, Execute, KnownFunction, Lint, LintContext, ParsedSessionKeyData,
    Policy, Refusal, Rule, SessionKeyData, TrustedContext, U256, evaluate,
};

const CONTRACT: Address = Address::repeat_byte(0x11);
const KEY: Address = Address::repeat_byte(0x22);

/// A type, how many low bits its values have, and whether they stand on the left or have a sign.
#[derive(Clone, Copy, Debug)]
struct Type(&'static str, usize, Place);

#[derive(Clone, Copy, Debug)]
enum Place {
    Right,
    Left,
    Signed,
}

const TYPES: &[Type] = &[
    Type("address", 160, Place::Right),
    Type("bool", 1, Place::Right),
    Type("uint8", 8, Place::Right),
    Type("uint160", 160, Place::Right),
    Type("uint", 256, Place::Right),
    Type("int8", 8, Place::Signed),
    Type("int256", 256, Place::Signed),
    Type("bytes4", 32, Place::Left),
    Type("bytes32", 256, Place::Left),
];

impl Type {
    /// The value that these bits make.
    fn value(self, bits: U256) -> U256 {
        let Self(_, width, place) = self;
        let low = bits << (256 - width);
        match place {
            Place::Right => low >> (256 - width),
            Place::Left => low,
            Place::Signed => low.arithmetic_shr(256 - width),
        }
    }
}

fn edges() -> impl Strategy<Value = U256> {
    let (one, max) = (U256::ONE, U256::MAX);
    let edge = [
        U256::ZERO,
        one,
        U256::from(2),
        U256::from(127),
        U256::from(128),
        U256::from(255),
        U256::from(256),
        (one << 160) - one,
        one << 160,
        one << 224,
        one << 255,
        max - one,
        max,
    ];
    prop_oneof![4 => proptest::sample::select(edge.to_vec()), 1 => any::<[u64; 4]>().prop_map(U256::from_limbs)]
}

/// A function, rules on its arguments, and some values of these.
fn cases() -> impl Strategy<Value = (Vec<Type>, Vec<Rule>, Vec<Vec<U256>>)> {
    proptest::collection::vec(proptest::sample::select(TYPES), 1..4).prop_flat_map(|types| {
        let count = types.len();
        let rule = (0..count, 0..6_u8, edges()).prop_map(|(word, condition, reference)| {
            Rule::new(u16::try_from(32 * word).unwrap(), Condition::try_from(condition).unwrap(), reference)
        });
        let calls = proptest::collection::vec(proptest::collection::vec(edges(), count), 24);
        (Just(types), proptest::collection::vec(rule, 1..6), calls)
    })
}

fn text(types: &[Type]) -> String {
    let names: Vec<&str> = types.iter().map(|it| it.0).collect();
    format!("f({})", names.join(","))
}

fn policy(text: &str, rules: &[Rule]) -> Policy {
    let policy = Policy::new(CONTRACT, text.parse().unwrap());
    rules.iter().try_fold(policy, |policy, rule| policy.with_rule(*rule)).unwrap()
}

fn findings(policy: &Policy, text: &str) -> Vec<Lint> {
    let functions = [KnownFunction::parse(text).unwrap()];
    let trusted = TrustedContext { functions: &functions, ..TrustedContext::CANONICAL };
    let context = LintContext { trusted, ..LintContext::default() };
    let (mut found, mut signed) = (Vec::new(), Vec::new());
    policy.lint(&context, &mut |lint| found.push(lint));
    let data = SessionKeyData::new(KEY, policy).to_vec();
    let session = ParsedSessionKeyData::parse(&data).unwrap();
    session.lint(policy.epoch(), &context, &mut |lint| signed.push(lint)).unwrap();
    assert_eq!(found, signed, "the policy and what is signed of it");
    found
}

/// Whether the chain would allow the call; any refusal but a rule's fails.
fn allows(policy: &Policy, types: &[Type], bits: &[U256]) -> bool {
    let arguments = types.iter().zip(bits).flat_map(|(ty, bits)| ty.value(*bits).to_be_bytes::<32>());
    let data: Vec<u8> = policy.selector().as_bytes().iter().copied().chain(arguments).collect();
    let call = Execute(Call { to: CONTRACT, value: U256::ZERO, data: &data }).to_vec();
    match evaluate(&SessionKeyData::new(KEY, policy).to_vec(), &call) {
        Ok(_) => true,
        Err(Refusal::RuleViolated { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_said_to_hold_always_or_never_does((types, rules, calls) in cases()) {
        let text = text(&types);
        let whole = policy(&text, &rules);
        for lint in findings(&whole, &text) {
            let allowed_by = |rule: usize| {
                let alone = policy(&text, &rules[rule..=rule]);
                calls.iter().filter(|call| allows(&alone, &types, call)).count()
            };
            match lint {
                Lint::AlwaysHolds { rule } => prop_assert_eq!(allowed_by(rule), calls.len(), "{:?}", rules[rule]),
                Lint::NeverHolds { rule } => prop_assert_eq!(allowed_by(rule), 0, "{:?}", rules[rule]),
                Lint::NotAValue { rule, .. } if rules[rule].condition() == Condition::Equal => {
                    prop_assert_eq!(allowed_by(rule), 0, "{:?}", rules[rule]);
                }
                Lint::Contradiction { rule, other } => {
                    prop_assert_eq!(rules[rule].offset(), rules[other].offset());
                    prop_assert!(!calls.iter().any(|call| allows(&whole, &types, call)), "{:?}", rules);
                }
                _ => {}
            }
        }
    }

    /// The other way round: where the rules allow nothing, or everything, something is said.
    #[test]
    fn a_session_of_no_call_or_any_call_is_found((types, rules, calls) in cases()) {
        let text = text(&types);
        let whole = policy(&text, &rules);
        let found = findings(&whole, &text);
        // All values next to the references are tried, one word at a time being enough: words are independent.
        let near: Vec<U256> = rules
            .iter()
            .map(|rule| rule.reference().to_uint())
            .flat_map(|it| [it.wrapping_sub(U256::ONE), it, it.wrapping_add(U256::ONE)])
            .chain([U256::ZERO, U256::MAX])
            .chain(calls.into_iter().flatten())
            .collect();
        let allows_word = |word: usize| {
            let offset = u16::try_from(32 * word).unwrap();
            let on: Vec<Rule> = rules.iter().copied().filter(|rule| rule.offset() == offset).collect();
            let policy = policy(&text, &on);
            near.iter().any(|bits| {
                // As the chain sees any word, a value of its type or not.
                on.iter().all(|rule| rule.condition().holds(*bits, rule.reference().to_uint()))
                    || allows(&policy, &types, &vec![*bits; types.len()])
            })
        };
        let usable = (0..types.len()).all(allows_word);
        let says_so = |lint: &Lint| matches!(lint, Lint::NeverHolds { .. } | Lint::Contradiction { .. } | Lint::NotAValue { .. });
        prop_assert!(usable || found.iter().any(says_so), "{:?}: {:?}", rules, found);
    }
}
