use std::{format, string::String, vec::Vec};

use alloy_dyn_abi::DynSolType;
use alloy_json_abi::Function;
use alloy_primitives::keccak256;
use proptest::prelude::*;

use super::*;
use crate::abi::selector::FunctionSelector;

fn canonical(signature: &str) -> FunctionSelector {
    let [a, b, c, d, ..] = keccak256(signature).0;
    FunctionSelector::new([a, b, c, d])
}

#[test]
fn the_same_function_written_differently() {
    for (text, signature) in [
        ("f()", "f()"),
        (" function  f ( ) ", "f()"),
        ("function f() external view returns (uint256, (bool b) memory);", "f()"),
        ("function receive(uint256) external", "receive(uint256)"),
        ("received()", "received()"),
        ("transfer(address to, uint amount)", "transfer(address,uint256)"),
        ("g(bytes calldata data, string memory)", "g(bytes,string)"),
        ("g(address payable to)", "g(address)"),
        ("g(address payable[] memory to)", "g(address[])"),
        ("h((uint8,bool)[2][] calldata pairs, int)", "h((uint8,bool)[2][],int256)"),
        ("h(tuple(address a, (bytes32) b) t)", "h((address,(bytes32)))"),
        ("i(fixed, ufixed128x18)", "i(fixed128x18,ufixed128x18)"),
        ("$_1(function callback)", "$_1(function)"),
    ] {
        assert_eq!(FunctionSelector::parse(text), Ok(canonical(signature)), "{text}");
    }
}

#[test]
fn what_is_no_signature() {
    let expected = |at, expected| Err(SelectorError::Expected { at, expected });
    for (text, error) in [
        ("", expected(0, "the function's name")),
        ("function(uint a)", expected(8, "the function's name")),
        ("1f()", expected(0, "the function's name")),
        ("receive() external payable", Err(SelectorError::NoFunction { at: 0 })),
        (" fallback(bytes calldata) external", Err(SelectorError::NoFunction { at: 1 })),
        ("constructor(address owner)", Err(SelectorError::NoFunction { at: 0 })),
        ("f(bytes 32)", expected(8, "a name, which starts with a letter, `_` or `$`")),
        ("f(uint 256, bool b)", expected(7, "a name, which starts with a letter, `_` or `$`")),
        ("f(bytes memory 1a)", expected(15, "a name, which starts with a letter, `_` or `$`")),
        ("f((uint a) 2)", expected(11, "a name, which starts with a letter, `_` or `$`")),
        ("f(address to) returns (bool", expected(27, "a closing parenthesis")),
        ("f(address to))", expected(13, "the end of the text, a modifier or `returns`")),
        ("transfer(address to, uint256 amount", expected(35, "a comma or a closing parenthesis")),
        ("f", expected(1, "an opening parenthesis")),
        ("f(", expected(2, "a type")),
        ("f(uint256", expected(9, "a comma or a closing parenthesis")),
        ("f(uint256,)", expected(10, "a type")),
        ("f(uint256[x])", expected(10, "the array's length, a decimal number from 1")),
        ("f(uint256[1)", expected(11, "a closing bracket")),
        ("f() else", expected(4, "the end of the text, a modifier or `returns`")),
        ("f(Order)", Err(SelectorError::UnknownType { at: 2 })),
        ("f(uint7)", Err(SelectorError::UnknownType { at: 2 })),
        ("f(bytes33)", Err(SelectorError::UnknownType { at: 2 })),
        ("f(bytes01)", Err(SelectorError::UnknownType { at: 2 })),
        ("0x1234567", Err(SelectorError::WrongLength { digits: 7 })),
        ("0x1234567g", Err(SelectorError::NotHex { at: 9 })),
        ("0x", Err(SelectorError::WrongLength { digits: 0 })),
    ] {
        assert_eq!(FunctionSelector::parse(text), error, "{text}");
    }
    let deep = std::format!("f{}{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(FunctionSelector::parse(&deep), Err(SelectorError::TooDeep { limit: 16 }));
}

fn kind(argument: Argument<'_>) -> String {
    match argument.kind {
        ArgumentKind::Pointer => "*".into(),
        ArgumentKind::Value(kind) => format!("{kind}"),
        ArgumentKind::Other => "function".into(),
    }
}

/// Each word of the arguments: its type, or `*` for a pointer, and its name.
fn words(text: &str) -> Vec<String> {
    let shown = |it: Argument<'_>| format!("{} {}", kind(it), it.name.unwrap_or("-"));
    (0..20).map_while(|word| argument(text, word).map(shown)).collect()
}

#[test]
fn what_each_word_is() {
    for (text, expected, dynamic) in [
        ("f()", &[][..], false),
        ("f(address to, uint)", &["address to", "uint256 -"], false),
        ("f(bytes data, bool ok)", &["* data", "bool ok"], true),
        ("f(uint8[2] a, address b)", &["uint8 -", "uint8 -", "address b"], false),
        ("f(uint8[1] a)", &["uint8 a"], false),
        ("f(uint8[] calldata a, bytes4 b)", &["* a", "bytes4 b"], true),
        ("f((address maker, uint amount) order, bool b)", &["address -", "uint256 -", "bool b"], false),
        ("f((address maker, string s) order, bool b)", &["* order", "bool b"], true),
        (
            "f((address a, bool[2] b)[2] x, int8 c)",
            &["address -", "bool -", "bool -", "address -", "bool -", "bool -", "int8 c"],
            false,
        ),
        ("f((uint8[2] a, (int b) c) d, bool e)", &["uint8 -", "uint8 -", "int256 -", "bool e"], false),
        ("f((bytes b)[2] x, bool c)", &["* x", "bool c"], true),
        ("f(() nothing, bool c)", &["bool c"], false),
        ("f(address payable[2] to, bool c)", &["address -", "address -", "bool c"], false),
    ] {
        assert_eq!(words(text), expected, "{text}");
        let signature = read(text).unwrap();
        assert_eq!((signature.head_words, signature.dynamic, signature.name), (expected.len(), dynamic, "f"));
    }
}

#[test]
fn an_array_of_any_length_costs_nothing() {
    let text = "f(uint8[99999999999999999999999][99999999999999999999] a, bool b)";
    assert_eq!(argument(text, usize::MAX - 1).map(kind).as_deref(), Some("uint8"));
    assert_eq!(read(text).unwrap().head_words, usize::MAX);
}

/// The words that alloy's reader finds, each the same as in [`words`] without names.
fn alloy_words(ty: &DynSolType, out: &mut Vec<String>) {
    match ty {
        _ if ty.is_dynamic() => out.push("*".into()),
        DynSolType::Tuple(types) => types.iter().for_each(|ty| alloy_words(ty, out)),
        DynSolType::FixedArray(element, count) => (0..*count).for_each(|_| alloy_words(element, out)),
        _ => out.push(ty.sol_type_name().into_owned()),
    }
}

fn types() -> impl Strategy<Value = String> {
    const ELEMENTARY: &[&str] = &[
        "address", "bool", "uint8", "uint", "int", "int24", "bytes", "string", "bytes4", "bytes32",
        "function", "bytes33", "uint7", "Order", "", "tuple",
    ];
    let leaf = proptest::sample::select(ELEMENTARY).prop_map(String::from);
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (inner.clone(), proptest::sample::select(&["[]", "[2]", "[0]", "[ 3 ]", "[x]", "["][..]))
                .prop_map(|(inner, suffix)| format!("{inner}{suffix}")),
            proptest::collection::vec((inner, names()), 1..4).prop_map(|all| format!("({})", listed(&all))),
        ]
    })
}

fn names() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["", " a", " _b", " $c", " calldata d", " memory", " 1", " 32"][..])
}

fn listed(parameters: &[(String, &str)]) -> String {
    let all: Vec<String> = parameters.iter().map(|(ty, name)| format!("{ty}{name}")).collect();
    all.join(", ")
}

proptest! {
    /// alloy reads less: no names of components, no blanks in brackets. What both read is the same to both.
    #[test]
    fn alloy_reads_the_same(
        name in proptest::sample::select(&["f", "function f", "receive", "1f", "", "$"][..]),
        parameters in proptest::collection::vec((types(), names()), 0..4),
        tail in proptest::sample::select(&["", " external", " view returns (uint256)", ")", " returns (", ";"][..]),
    ) {
        let text = format!("{name}({}){tail}", listed(&parameters));
        let ours = read(&text);
        let Ok(theirs) = Function::parse(&text) else { return Ok(()) };
        // alloy takes these three for functions, and numbers for names.
        let refused = name == "receive" || parameters.iter().any(|(_, name)| matches!(*name, " 1" | " 32"));
        let known = theirs.inputs.iter().map(|input| DynSolType::parse(&input.selector_type()));
        let Ok(known) = known.collect::<Result<Vec<_>, _>>() else { return Ok(()) };
        match ours {
            Ok(signature) => {
                prop_assert_eq!(signature.selector, theirs.selector().0, "{}", text);
                let mut expected = Vec::new();
                known.iter().for_each(|ty| alloy_words(ty, &mut expected));
                let kinds: Vec<_> = (0..).map_while(|word| argument(&text, word).map(kind)).collect();
                prop_assert_eq!(signature.head_words, expected.len());
                prop_assert_eq!(kinds, expected);
            }
            Err(error) => prop_assert!(refused || text.contains("[0]"), "{}: {}", text, error),
        }
    }
}
