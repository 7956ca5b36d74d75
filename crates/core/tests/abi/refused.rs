//! What is refused, and how it is said.

use alloy_sol_types::SolType;
use quorate_core::{ArgumentError as E, Condition::*, EncodeError, FunctionError, Policy, PolicyError, U256};

use crate::*;

macro_rules! refused {
    ($call:ident, $index:expr, $condition:expr, $value:expr) => {
        Policy::on(CONTRACT).allow_abi::<$call>().arg($index, $condition, $value).build()
    };
}

fn other_type(expected: &str, found: &'static str) -> E {
    E::OtherType { expected: expected.into(), found }
}

fn dynamic(ty: &str) -> E {
    E::Dynamic { ty: ty.into() }
}

fn not_ordered(ty: &str, condition: quorate_core::Condition) -> E {
    E::NotOrdered { ty: ty.into(), condition }
}

#[test]
fn each_by_an_error_that_names_the_argument() {
    let one = U256::from(1);
    let known = |names: &[&str]| E::UnknownName { known: names.iter().map(|name| (*name).into()).collect() };
    let cases = [
        // There is no such argument.
        (refused!(transferCall, 2, Equal, one), "2", E::UnknownPosition { position: 2, count: 2 }),
        (refused!(transferCall, "too", Equal, ALICE), "too", known(&["to", "amount"])),
        (refused!(fillCall, "order.taker", Equal, ALICE), "order.taker", known(&["maker", "amount"])),
        (refused!(fillCall, "order.2", Equal, one), "order.2", E::UnknownPosition { position: 2, count: 2 }),
        (refused!(setIdsCall, "ids[3]", Equal, one), "ids[3]", E::UnknownPosition { position: 3, count: 3 }),
        (refused!(fillCall, "nonce.x", Equal, one), "nonce.x", E::NotATuple { ty: "uint256".into() }),
        (refused!(setIdsCall, "ids.0", Equal, one), "ids.0", E::NotATuple { ty: "uint256[3]".into() }),
        (
            refused!(fillCall, "order[0]", Equal, ALICE),
            "order[0]",
            E::NotAnArray { ty: "(address,uint256)".into() },
        ),
        (refused!(transferCall, "", Equal, one), "", E::NotAPath { at: 0 }),
        (refused!(transferCall, "[0]", Equal, one), "[0]", E::NotAPath { at: 0 }),
        (refused!(fillCall, "order.", Equal, one), "order.", E::NotAPath { at: 5 }),
        (refused!(setIdsCall, "ids[x]", Equal, one), "ids[x]", E::NotAPath { at: 3 }),
        (refused!(setIdsCall, "ids[1", Equal, one), "ids[1", E::NotAPath { at: 3 }),
        (refused!(setIdsCall, "ids 1", Equal, one), "ids 1", E::NotAPath { at: 3 }),
        // It is not one word, or nobody knows where.
        (refused!(postCall, "data", Equal, one), "data", dynamic("bytes")),
        (refused!(postCall, "memo", Equal, "text"), "memo", dynamic("string")),
        (refused!(writeCall, "note", Equal, one), "note", dynamic("(string,uint256)")),
        (refused!(writeCall, "note.number", Equal, one), "note.number", dynamic("(string,uint256)")),
        (
            refused!(writeAllCall, "orders[0].amount", Equal, one),
            "orders[0].amount",
            dynamic("(address,uint256)[]"),
        ),
        (refused!(writeAllCall, "titles[0]", Equal, "x"), "titles[0]", dynamic("string[2]")),
        (refused!(fillCall, "order", Equal, one), "order", E::NotOneWord { ty: "(address,uint256)".into() }),
        (refused!(setIdsCall, "ids", Equal, [one; 3]), "ids", E::NotOneWord { ty: "uint256[3]".into() }),
        // The value is of another type.
        (refused!(transferCall, "amount", Equal, ALICE), "amount", other_type("uint256", "address")),
        (refused!(transferCall, "amount", Equal, 1_u64), "amount", other_type("uint256", "uint64")),
        (refused!(transferCall, "amount", Equal, 1), "amount", other_type("uint256", "int32")),
        (refused!(postCall, "until", Equal, 1_u32), "until", other_type("uint64", "uint32")),
        (refused!(postCall, "until", Equal, 1_u128), "until", other_type("uint64", "uint128")),
        (refused!(transferCall, "to", Equal, one), "to", other_type("address", "uint256")),
        (refused!(adjustCall, "delta", Equal, one), "delta", other_type("int64", "uint256")),
        (refused!(tagCall, "kind", Equal, [1_u8; 5]), "kind", other_type("bytes4", "bytes5")),
        (refused!(tagCall, "kind", Equal, one), "kind", other_type("bytes4", "uint256")),
        (refused!(tradeCall, "price", Equal, [1_u8; 12]), "price", other_type("uint96", "bytes12")),
        (refused!(tradeCall, "side", Equal, true), "side", other_type("uint8", "bool")),
        (refused!(transferCall, "amount", Equal, "1"), "amount", other_type("uint256", "string")),
        // It does not fit.
        (
            refused!(setIdsCall, "level", Equal, U256::from(256)),
            "level",
            E::OutOfRange { bits: 8, value: U256::from(256) },
        ),
        (
            refused!(tradeCall, "price", LessThan, one << 96),
            "price",
            E::OutOfRange { bits: 96, value: one << 96 },
        ),
        // The chain would compare something else.
        (refused!(adjustCall, "delta", LessThan, 1_i64), "delta", not_ordered("int64", LessThan)),
        (
            refused!(setApprovalForAllCall, "approved", GreaterThan, false),
            "approved",
            not_ordered("bool", GreaterThan),
        ),
        (refused!(transferCall, "to", LessThanOrEqual, ALICE), "to", not_ordered("address", LessThanOrEqual)),
        (
            refused!(tagCall, "kind", GreaterThanOrEqual, [0_u8; 4]),
            "kind",
            not_ordered("bytes4", GreaterThanOrEqual),
        ),
        (refused!(tradeCall, "token", LessThan, ALICE), "token", not_ordered("address", LessThan)),
        // Nothing but a position is known.
        (Policy::on(CONTRACT).allow::<transferCall>().arg("to", Equal, ALICE).build(), "to", E::Nameless),
        (
            Policy::on(CONTRACT)
                .allow_fn("f((uint256,uint256) pair)")
                .unwrap()
                .arg("pair.x", Equal, one)
                .build(),
            "pair.x",
            E::Nameless,
        ),
        (
            Policy::on(CONTRACT).allow_fn("f(uint a, uint b, uint a)").unwrap().arg("a", Equal, one).build(),
            "a",
            E::AmbiguousName { first: 0, second: 2 },
        ),
    ];
    for (built, argument, error) in cases {
        let text = format!("argument {argument}: {error}");
        let expected = PolicyError::Argument { argument: argument.into(), error };
        let errors = built.unwrap_err();
        assert_eq!(errors.as_slice(), [expected], "{text}");
        assert_eq!(errors.to_string(), text);
    }
}

#[test]
fn the_messages_say_what_would_be_right() {
    for (built, text) in [
        (
            refused!(transferCall, "too", Equal, ALICE),
            "argument too: there is no such name; there are to, amount",
        ),
        (
            refused!(postCall, "until", Equal, 1_u32),
            "argument until: the argument is uint64, the value uint32; give uint64, or a U256 in its range",
        ),
        (
            refused!(transferCall, "amount", Equal, 1_u64),
            "argument amount: the argument is uint256, the value uint64; give uint256",
        ),
        (
            refused!(adjustCall, 0, LessThan, 1_i64),
            "argument 0: int64 cannot be less than a value: the chain orders unsigned words; compare it for equality",
        ),
        (
            refused!(setIdsCall, 1, LessThan, U256::from(1_000)),
            "argument 1: 1000 does not fit uint8; give a number below 2^8",
        ),
    ] {
        assert_eq!(built.unwrap_err().to_string(), text);
    }
}

#[test]
fn all_that_is_wrong_at_once() {
    let built = Policy::on(CONTRACT)
        .allow_abi::<transferCall>()
        .arg("to", LessThan, U256::from(1))
        .arg("amount", Equal, U256::from(1))
        .arg("sum", Equal, U256::from(1))
        .valid_until(1 << 48)
        .build();
    let text = built.unwrap_err().to_string();
    assert_eq!(text.lines().count(), 5, "{text}");
    for start in [
        "the policy has 4 errors:",
        "- argument to: the argument is address, the value uint256",
        "- argument to: address cannot be less than",
        "- argument sum: there is no such name",
        "- validUntil: ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start}\n{text}");
    }
}

#[test]
fn a_rule_beyond_the_room_names_its_argument() {
    let mut builder = Policy::on(CONTRACT).allow::<safeMintCall>();
    for _ in 0..16 {
        builder = builder.arg(0, Equal, ALICE);
    }
    assert!(builder.clone().build().is_ok());
    let errors = builder.arg("0", Equal, ALICE).build().unwrap_err();
    let error = E::Encode(EncodeError::TooManyRules { limit: 16 });
    assert_eq!(errors.as_slice(), [PolicyError::Argument { argument: "0".into(), error }]);
}

#[test]
fn a_word_beyond_the_reach_of_a_rule() {
    let one = U256::from(1);
    let at =
        |text: &str, index: &str| Policy::on(CONTRACT).allow_fn(text).unwrap().arg(index, Equal, one).build();
    let last = at("f(uint256[2047] a, uint256 b)", "b").unwrap();
    assert_eq!(last.rules()[0].offset(), 65_504);
    for (text, index, offset) in [
        ("f(uint256[2048] a, uint256 b)", "b", 65_536),
        ("f(uint256[3000] a)", "a[2048]", 65_536),
        ("f((uint256[18446744073709551615][18446744073709551615] x, uint256 y) a)", "a.y", usize::MAX),
        ("f(uint256[2][18446744073709551615] a)", "a[18446744073709551614][0]", usize::MAX),
    ] {
        let error = E::TooFar { offset };
        let expected = PolicyError::Argument { argument: index.into(), error };
        assert_eq!(at(text, index).unwrap_err().as_slice(), [expected], "{text}");
    }
}

#[test]
fn texts_that_are_no_function() {
    for text in [
        "",
        "safeMint",
        "safeMint(address",
        "safeMint(adress to)",
        "f(uint256[0] a)",
        "f(Order order)",
        "0x40d097c3",
    ] {
        assert!(Policy::on(CONTRACT).allow_fn(text).is_err(), "{text}");
    }
    let selector = safeMintCall::SELECTOR.into();
    let refused = Policy::on(CONTRACT).allow_fn("0x40d097c3").map(|_| ());
    assert_eq!(refused, Err(FunctionError::OnlySelector { selector }));
    let mut function = <transferCall as alloy_sol_types::JsonAbiExt>::abi();
    function.inputs[0].ty = "Library.Kind".into();
    let refused = Policy::on(CONTRACT).allow_fn(function);
    assert!(matches!(refused, Err(FunctionError::Signature(_))));
}

#[test]
fn a_call_type_that_contradicts_itself() {
    let errors = Policy::on(CONTRACT).allow::<Contradictory>().arg(0, Equal, ALICE).build().unwrap_err();
    assert!(
        matches!(
            errors.as_slice(),
            [PolicyError::Function { error: FunctionError::OtherSelector { .. }, .. }]
        ),
        "{errors}"
    );
}

/// `safeMint` with the selector of `transfer`.
struct Contradictory(safeMintCall);

impl SolCall for Contradictory {
    type Parameters<'a> = <safeMintCall as SolCall>::Parameters<'a>;
    type Token<'a> = <safeMintCall as SolCall>::Token<'a>;
    type Return = <safeMintCall as SolCall>::Return;
    type ReturnTuple<'a> = <safeMintCall as SolCall>::ReturnTuple<'a>;
    type ReturnToken<'a> = <safeMintCall as SolCall>::ReturnToken<'a>;
    const SIGNATURE: &'static str = safeMintCall::SIGNATURE;
    const SELECTOR: [u8; 4] = transferCall::SELECTOR;

    fn new(arguments: <Self::Parameters<'_> as SolType>::RustType) -> Self {
        Self(safeMintCall::new(arguments))
    }

    fn tokenize(&self) -> Self::Token<'_> {
        self.0.tokenize()
    }

    fn tokenize_returns(result: &Self::Return) -> Self::ReturnToken<'_> {
        safeMintCall::tokenize_returns(result)
    }

    fn abi_decode_returns(data: &[u8]) -> alloy_sol_types::Result<Self::Return> {
        safeMintCall::abi_decode_returns(data)
    }
}
