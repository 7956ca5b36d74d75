use std::{
    string::{String, ToString as _},
    vec,
    vec::Vec,
};

use alloy_primitives::{U256, address};

use super::*;
use crate::{
    abi::{elementary::ElementaryType, known_function::KnownFunction},
    known_functions,
    lint::severity::Severity,
    policy::{Rule, condition::Condition, condition::Condition::*},
    session::session_key_data::SessionKeyData,
    sink::Encode as _,
    trusted::TrustedContext,
};

const TOKEN: Address = Address::repeat_byte(1);
const ACCOUNT: Address = Address::repeat_byte(0xac);
const OWNERSHIP_MODULE: Address = address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e");
const OLD_MANAGER: Address = address!("000000456b395c4e107e0302553B90D1eF4a32e9");
const ENTRY_POINT: Address = address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789");
const ROUTER: Address = address!("00000D09967410f8C76752A104c9848b57ebba55");

const MAX: U256 = U256::MAX;
const FRIEND: U256 = U256::from_limbs([7, 7, 7, 0]);
const UINT160: U256 = U256::from_limbs([u64::MAX, u64::MAX, u32::MAX as u64, 0]);

fn n(number: u64) -> U256 {
    U256::from(number)
}

fn policy(contract: Address, function: &str, rules: &[(u16, Condition, U256)]) -> Policy {
    let policy =
        Policy::new(contract, function.parse().unwrap()).with_epoch(SessionEpoch::new(0, 1_000_000).unwrap());
    rules.iter().try_fold(policy, |policy, it| policy.with_rule(Rule::new(it.0, it.1, it.2))).unwrap()
}

/// What is found in the policy, the same as in its session key data.
fn findings(policy: &Policy, context: &LintContext<'_>) -> Vec<Lint> {
    let (mut found, mut signed) = (Vec::new(), Vec::new());
    policy.lint(context, &mut |lint| found.push(lint));
    let data = SessionKeyData::new(ACCOUNT, policy).to_vec();
    let parsed = ParsedSessionKeyData::parse(&data).unwrap();
    parsed.lint(policy.epoch(), context, &mut |lint| signed.push(lint)).unwrap();
    assert_eq!(found, signed);
    found
}

fn context<'a>(functions: &'a [KnownFunction<'a>]) -> LintContext<'a> {
    let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
    LintContext { now: Some(500_000), account: Some(ACCOUNT), trusted, unenforced: &[] }
}

/// Without the function's signature.
fn untyped(function: &str, rules: &[(u16, Condition, U256)]) -> Vec<Lint> {
    findings(&policy(TOKEN, function, rules), &context(&[]))
}

fn typed(function: &str, rules: &[(u16, Condition, U256)]) -> Vec<Lint> {
    findings(&policy(TOKEN, function, rules), &context(&[KnownFunction::parse(function).unwrap()]))
}

#[test]
fn nothing_in_narrow_policies() {
    for (function, rules) in [
        ("mint(address to)", &[(0, Equal, FRIEND)][..]),
        ("mint(address to)", &[]),
        ("transfer(address to, uint256 amount)", &[(0, Equal, FRIEND), (32, LessThanOrEqual, n(1000))]),
        // All to one recipient is what a savings plan is.
        ("transfer(address to, uint256 amount)", &[(0, Equal, FRIEND)]),
        ("approve(address,uint256)", &[(0, Equal, FRIEND), (32, LessThan, U256::ONE << 128)]),
        (
            "approve(address,uint256)",
            &[(0, GreaterThanOrEqual, FRIEND), (0, LessThanOrEqual, FRIEND), (32, Equal, n(5))],
        ),
        ("setApprovalForAll(address,bool)", &[(32, Equal, U256::ZERO)]),
        ("f(uint8[2] a, address b)", &[(0, LessThan, n(7)), (64, Equal, FRIEND)]),
        ("f(uint8 a)", &[(0, NotEqual, n(7))]),
        ("f(bytes4 id)", &[(0, Equal, n(0x1234_5678) << 224)]),
        ("f(int8 a)", &[(0, Equal, MAX)]),
        ("f(bytes data)", &[(0, Equal, n(32)), (64, Equal, n(7))]),
        ("f(bytes a, bytes b)", &[(0, Equal, n(64)), (96, Equal, n(7))]),
    ] {
        assert_eq!(typed(function, rules), [], "{function} {rules:?}");
    }
}

#[test]
fn tokens_to_anybody_or_without_bound() {
    let transfer = "transfer(address,uint256)";
    let approve = "approve(address,uint256)";
    let permit2 = "approve(address,address,uint160,uint48)";
    let selector = |function: &str| function.parse().unwrap();
    let free = |function, offset| Lint::MovesTokensFreely { selector: selector(function), offset };
    let anybody = |function, offset| Lint::ToAnybody { selector: selector(function), offset };
    let unlimited = |offset| Lint::UnlimitedApproval { offset };
    for (function, rules, expected) in [
        (transfer, &[][..], vec![free(transfer, 0)]),
        (transfer, &[(32, GreaterThanOrEqual, n(0))], vec![free(transfer, 0), Lint::AlwaysHolds { rule: 0 }]),
        (transfer, &[(0, NotEqual, FRIEND)], vec![free(transfer, 0)]),
        (transfer, &[(0, LessThan, FRIEND)], vec![free(transfer, 0), Lint::AddressByOrder { rule: 0 }]),
        (transfer, &[(32, LessThanOrEqual, n(5))], vec![anybody(transfer, 0)]),
        (transfer, &[(0, Equal, n(0))], vec![Lint::ZeroAddress { rule: 0 }]),
        (
            "transferFrom(address,address,uint256)",
            &[(0, Equal, FRIEND)],
            vec![free("transferFrom(address,address,uint256)", 32)],
        ),
        (approve, &[], vec![unlimited(32), anybody(approve, 0)]),
        (approve, &[(0, Equal, FRIEND)], vec![unlimited(32)]),
        (approve, &[(0, Equal, FRIEND), (32, Equal, MAX)], vec![unlimited(32)]),
        (
            approve,
            &[(0, Equal, FRIEND), (32, LessThanOrEqual, MAX)],
            vec![unlimited(32), Lint::AlwaysHolds { rule: 1 }],
        ),
        (approve, &[(0, Equal, FRIEND), (32, LessThan, MAX)], vec![unlimited(32)]),
        (approve, &[(0, Equal, FRIEND), (32, LessThanOrEqual, U256::ONE << 128)], vec![unlimited(32)]),
        (approve, &[(0, Equal, FRIEND), (32, GreaterThan, n(5))], vec![unlimited(32)]),
        (approve, &[(0, Equal, FRIEND), (32, NotEqual, n(5))], vec![unlimited(32)]),
        (approve, &[(32, LessThanOrEqual, n(5))], vec![anybody(approve, 0)]),
        (approve, &[(0, Equal, n(0)), (32, LessThanOrEqual, n(5))], vec![Lint::ZeroAddress { rule: 0 }]),
        ("increaseAllowance(address,uint256)", &[(0, Equal, FRIEND)], vec![unlimited(32)]),
        (permit2, &[], vec![unlimited(64), anybody(permit2, 32)]),
        (permit2, &[(32, Equal, FRIEND), (64, LessThanOrEqual, UINT160)], vec![unlimited(64)]),
        (
            "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
            &[(32, Equal, FRIEND)],
            vec![unlimited(64)],
        ),
        (
            "setApprovalForAll(address,bool)",
            &[(0, Equal, FRIEND)],
            vec![Lint::ApprovalForAll { selector: selector("setApprovalForAll(address,bool)") }],
        ),
    ] {
        assert_eq!(untyped(function, rules), expected, "{function} {rules:?}");
        let danger = |lint: &Lint| lint.level() == Severity::Danger;
        assert!(expected.iter().any(danger) != rules.contains(&(0, Equal, n(0))));
    }
}

#[test]
fn contracts_that_control_the_account() {
    for contract in [ACCOUNT, OWNERSHIP_MODULE, OLD_MANAGER, ENTRY_POINT] {
        let policy = policy(contract, "withdrawTo(address,uint256)", &[(0, Equal, FRIEND)]);
        assert_eq!(findings(&policy, &context(&[])), [Lint::ControlsAccount { contract }]);
    }
    assert_eq!(findings(&policy(ROUTER, "f()", &[]), &context(&[])), []);
    let nowhere = policy(Address::ZERO, "f()", &[]);
    assert_eq!(findings(&nowhere, &context(&[])), [Lint::ZeroContract]);
    let unknown = LintContext { account: None, ..context(&[]) };
    assert_eq!(findings(&policy(ACCOUNT, "f()", &[]), &unknown), []);
}

#[test]
fn value_that_no_rule_limits() {
    let without = Lint::ValueWithoutRule { value_limit: 7 };
    for (rules, expected) in [
        (&[][..], vec![without]),
        (&[(0, GreaterThanOrEqual, n(0))], vec![without, Lint::AlwaysHolds { rule: 0 }]),
        (&[(0, LessThanOrEqual, n(255))], vec![without, Lint::AlwaysHolds { rule: 0 }]),
        (&[(0, LessThan, n(255))], vec![]),
    ] {
        let policy = policy(TOKEN, "f(uint8)", rules).with_value_limit(7);
        assert_eq!(findings(&policy, &context(known_functions!["f(uint8)"])), expected, "{rules:?}");
    }
}

#[test]
fn rules_that_always_or_never_hold() {
    let (always, never) = (|rule| Lint::AlwaysHolds { rule }, |rule| Lint::NeverHolds { rule });
    let contradiction = |other, rule| Lint::Contradiction { rule, other };
    for (rules, expected) in [
        (&[(0, GreaterThanOrEqual, n(0))][..], vec![always(0)]),
        (&[(0, LessThanOrEqual, MAX)], vec![always(0)]),
        (&[(0, GreaterThan, n(0))], vec![]),
        (&[(0, LessThan, n(0))], vec![never(0)]),
        (&[(0, GreaterThan, MAX)], vec![never(0)]),
        (&[(0, GreaterThanOrEqual, MAX)], vec![]),
        (&[(0, Equal, n(1)), (0, Equal, n(2))], vec![contradiction(0, 1)]),
        (&[(0, Equal, n(1)), (32, Equal, n(2))], vec![]),
        (&[(0, GreaterThan, n(5)), (32, Equal, n(1)), (0, LessThan, n(3))], vec![contradiction(0, 2)]),
        (&[(0, Equal, n(1)), (0, NotEqual, n(1))], vec![contradiction(0, 1)]),
        (&[(0, NotEqual, n(5)), (0, GreaterThan, n(4)), (0, LessThan, n(6))], vec![contradiction(0, 2)]),
        (&[(0, LessThan, n(9)), (0, GreaterThan, n(2)), (0, GreaterThan, n(8))], vec![contradiction(0, 2)]),
        (&[(0, GreaterThan, n(2)), (0, LessThan, n(9)), (0, GreaterThan, n(8))], vec![contradiction(1, 2)]),
        (&[(0, LessThan, n(0)), (0, Equal, n(2))], vec![never(0)]),
    ] {
        assert_eq!(untyped("f(uint256,uint256)", rules), expected, "{rules:?}");
    }
    for (function, rule, expected) in [
        ("f(uint8)", (0, LessThanOrEqual, n(255)), vec![always(0)]),
        ("f(uint8)", (0, LessThan, n(255)), vec![]),
        ("f(uint8)", (0, LessThan, n(1000)), vec![always(0)]),
        ("f(uint8)", (0, GreaterThan, n(255)), vec![never(0)]),
        ("f(bool)", (0, GreaterThan, n(1)), vec![never(0)]),
        ("f(uint)", (0, LessThanOrEqual, MAX), vec![always(0)]),
    ] {
        assert_eq!(typed(function, &[rule]), expected, "{function} {rule:?}");
    }
}

#[test]
fn what_the_arguments_types_say() {
    let past = |rule, offset, arguments| Lint::OffsetPastArguments { rule, offset, arguments };
    let no_value = |kind| Lint::NotAValue { rule: 0, kind };
    let address = ElementaryType::Address;
    let bytes4 = ElementaryType::FixedBytes { len: 4 };
    let int = |bits| ElementaryType::Int { bits };
    for (function, rules, expected) in [
        ("f(address,uint256)", &[(64, Equal, n(5))][..], vec![past(0, 64, 64)]),
        ("f(uint8[2] a)", &[(64, Equal, n(5))], vec![past(0, 64, 64)]),
        ("f()", &[(0, Equal, n(5))], vec![past(0, 0, 0)]),
        (
            "f(uint8,uint8)",
            &[(33, Equal, n(5))],
            vec![Lint::OffsetNotWord { rule: 0, offset: 33 }, past(0, 33, 64)],
        ),
        ("f(uint256,uint256)", &[(1, Equal, n(5))], vec![Lint::OffsetNotWord { rule: 0, offset: 1 }]),
        ("f(address a)", &[(0, GreaterThan, n(5))], vec![Lint::AddressByOrder { rule: 0 }]),
        ("f(uint8[2] a, address b)", &[(64, LessThan, n(5))], vec![Lint::AddressByOrder { rule: 0 }]),
        ("f((uint8 a, address b) c)", &[(32, LessThan, n(5))], vec![Lint::AddressByOrder { rule: 0 }]),
        ("f(address a)", &[(0, Equal, FRIEND << 96)], vec![no_value(address)]),
        ("f(address a)", &[(0, NotEqual, FRIEND << 96)], vec![no_value(address)]),
        ("f(address to)", &[(0, Equal, n(0))], vec![Lint::ZeroAddress { rule: 0 }]),
        ("f(bool a)", &[(0, Equal, n(2))], vec![no_value(ElementaryType::Bool)]),
        ("f(uint16 a)", &[(0, Equal, n(65_536))], vec![no_value(ElementaryType::Uint { bits: 16 })]),
        (
            "f(int256 p)",
            &[(0, GreaterThanOrEqual, n(100))],
            vec![Lint::SignedByOrder { rule: 0, kind: int(256) }],
        ),
        ("f(int8 p)", &[(0, Equal, n(255))], vec![no_value(int(8))]),
        ("f(bytes4 id)", &[(0, Equal, n(0x1234_5678))], vec![no_value(bytes4)]),
        ("f(bytes4 id)", &[(0, LessThan, n(0x1234_5678))], vec![no_value(bytes4)]),
    ] {
        assert_eq!(typed(function, rules), expected, "{function} {rules:?}");
    }
}

#[test]
fn pointers_of_dynamic_arguments() {
    let pointer = |rule, offset| Lint::Pointer { rule, offset };
    let free = |rule, offset, pointer| Lint::FreePointer { rule, offset, pointer };
    for (function, rules, expected) in [
        ("f(bytes data)", &[(0, Equal, n(32))][..], vec![pointer(0, 0)]),
        ("f(uint8 a, string s)", &[(32, LessThan, n(99))], vec![pointer(0, 32)]),
        ("f(uint8[] a)", &[(0, Equal, n(32))], vec![pointer(0, 0)]),
        ("f((bytes a) b)", &[(0, Equal, n(32))], vec![pointer(0, 0)]),
        ("f(bytes data)", &[(64, Equal, n(5))], vec![free(0, 64, 0)]),
        ("f(uint8 a, bytes data)", &[(96, Equal, n(5))], vec![free(0, 96, 32)]),
        // A pointer that is held loosely, or behind the word, holds nothing.
        ("f(bytes data)", &[(64, Equal, n(5)), (0, LessThan, n(99))], vec![free(0, 64, 0), pointer(1, 0)]),
        ("f(bytes data)", &[(64, Equal, n(5)), (0, Equal, n(320))], vec![free(0, 64, 0)]),
    ] {
        assert_eq!(typed(function, rules), expected, "{function} {rules:?}");
    }
}

#[test]
fn calls_that_arguments_hold() {
    let calls = |function: &str| Lint::CallsFreely { selector: function.parse().unwrap() };
    let multicall = "multicall(bytes[])";
    let execute = "execute(address,uint256,bytes)";
    assert_eq!(untyped(multicall, &[]), [calls(multicall)]);
    assert_eq!(untyped(execute, &[(0, Equal, FRIEND)]), [calls(execute)]);
    assert_eq!(untyped(execute, &[(128, Equal, FRIEND)]), []);
    let relay = "relayAll(bytes data)";
    assert_eq!(untyped(relay, &[]), []);
    assert_eq!(typed(relay, &[]), [calls(relay)]);
}

#[test]
fn conditions_that_the_chain_does_not_enforce() {
    let approve = "approve(address,uint256)";
    let policy = policy(TOKEN, approve, &[(0, Equal, FRIEND), (32, LessThanOrEqual, n(5))]);
    let context = LintContext { unenforced: &[LessThanOrEqual], ..context(&[]) };
    let unenforced = Lint::Unenforced { rule: 1, condition: LessThanOrEqual };
    assert_eq!(findings(&policy, &context), [Lint::UnlimitedApproval { offset: 32 }, unenforced]);
}

#[test]
fn malformed_data_is_refused_first() {
    let policy = policy(TOKEN, "f()", &[(0, LessThan, n(0))]);
    let mut data = SessionKeyData::new(ACCOUNT, &policy).to_vec();
    data.push(0);
    let parsed = ParsedSessionKeyData::parse(&data).unwrap();
    let refused = parsed.lint(policy.epoch(), &context(&[]), &mut |lint| panic!("{lint} is passed on"));
    assert_eq!(refused, Err(MalformedSessionKeyData::BytesAfterRules { len: 1 }));
}

#[test]
fn token_sessions() {
    use crate::session::erc20::Erc20Policy;
    let narrow = Erc20Policy {
        token: TOKEN,
        recipient: ACCOUNT,
        max_amount: n(5),
        epoch: SessionEpoch::new(0, 1_000_000).unwrap(),
    };
    for (policy, expected) in [
        (narrow, None),
        (Erc20Policy { epoch: SessionEpoch::UNLIMITED, ..narrow }, Some(Lint::NoEnd)),
        (
            Erc20Policy { epoch: SessionEpoch::new(9, 8).unwrap(), ..narrow },
            Some(Lint::NeverValid { valid_after: 9, valid_until: 8 }),
        ),
        (Erc20Policy { token: Address::ZERO, ..narrow }, Some(Lint::ZeroContract)),
        (Erc20Policy { token: ACCOUNT, ..narrow }, Some(Lint::ControlsAccount { contract: ACCOUNT })),
        (Erc20Policy { recipient: Address::ZERO, ..narrow }, Some(Lint::ZeroRecipient)),
        (Erc20Policy { max_amount: U256::ONE << 128, ..narrow }, Some(Lint::UnlimitedAmount)),
    ] {
        let mut found = Vec::new();
        policy.lint(&context(&[]), &mut |lint| found.push(lint));
        let expected: Vec<Lint> = expected.into_iter().chain([Lint::AnyTokenFunction]).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(Lint::AnyTokenFunction.level(), Severity::Info);
}

#[test]
fn texts_say_where_and_what_would_be_right() {
    for (lint, words) in [
        (Lint::OffsetNotWord { rule: 2, offset: 4 }, &["rule 2", "offset 4 is not a multiple of 32"][..]),
        (Lint::NeverValid { valid_after: 9, valid_until: 8 }, &["8 is not later than validAfter, 9"]),
        (
            Lint::SignedByOrder { rule: 0, kind: ElementaryType::Int { bits: 8 } },
            &["signed (int8)", "equality"],
        ),
        (Lint::FreePointer { rule: 0, offset: 64, pointer: 0 }, &["the word at 64", "the pointer at 0"]),
        (Lint::Contradiction { rule: 3, other: 1 }, &["rules 1 and 3"]),
        (Lint::ValueWithoutRule { value_limit: u128::MAX }, &["340282366920938463463374607431768211455 wei"]),
    ] {
        let text: String = lint.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}
