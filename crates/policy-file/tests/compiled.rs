//! What is compiled, held against calls that an independent encoder writes and rules that are computed by themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alloy_dyn_abi::{DynSolType, DynSolValue, JsonAbiExt as _};
use alloy_json_abi::Function;
use alloy_primitives::{Address, B256, I256, U256};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_core::{Call, Condition, Encode as _, Execute, SessionKeyData, evaluate};
use quorate_policy_file::{Facts, Format, PolicyFile, Target, Verdict};

/// An argument with the value that its rule speaks of, the value that a call has, and how they are compared.
#[derive(Clone, Debug)]
struct Argument {
    ty: String,
    written: Written,
    called: DynSolValue,
    condition: Condition,
    is_ruled: bool,
}

/// A value as the file has it, and by itself.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    value: DynSolValue,
}

const DECIMALS: u8 = 6;
const TOKEN: Address = Address::repeat_byte(0x77);

/// Numbers that are often near each other, and of any length.
fn numbers(bits: usize) -> impl Strategy<Value = U256> {
    let cut =
        move |number: U256| if bits == 256 { number } else { number & ((U256::ONE << bits) - U256::ONE) };
    prop_oneof![
        (0..4_u64).prop_map(U256::from),
        any::<[u8; 32]>().prop_map(|bytes| U256::from_be_bytes(bytes)),
        (0..4_u64).prop_map(|below| U256::MAX - U256::from(below)),
    ]
    .prop_map(cut)
}

fn uint() -> impl Strategy<Value = Argument> {
    let conditions = proptest::sample::select(Condition::ALL.to_vec());
    (1..=32_usize).prop_flat_map(move |bytes| {
        let bits = bytes * 8;
        let value =
            move |number: U256| Written { text: number.to_string(), value: DynSolValue::Uint(number, bits) };
        let tokens = move |number: U256| {
            let scale = U256::from(10_u64.pow(u32::from(DECIMALS)));
            let text = format!("{}.{:06} USDC", number / scale, number % scale);
            Written { text, value: DynSolValue::Uint(number, bits) }
        };
        let hex = move |number: U256| Written {
            text: format!("{number:#x}"),
            value: DynSolValue::Uint(number, bits),
        };
        let written = prop_oneof![
            numbers(bits).prop_map(value),
            numbers(bits).prop_map(hex),
            numbers(bits).prop_map(tokens)
        ];
        (written, numbers(bits), conditions.clone()).prop_map(move |(written, called, condition)| Argument {
            ty: format!("uint{bits}"),
            written,
            called: DynSolValue::Uint(called, bits),
            condition,
            is_ruled: true,
        })
    })
}

fn equality() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Equal), Just(Condition::NotEqual)]
}

fn int() -> impl Strategy<Value = Argument> {
    (1..=32_usize, any::<i8>(), any::<i8>(), equality()).prop_map(|(bytes, written, called, condition)| {
        let bits = bytes * 8;
        // The extremes of the type, and numbers near 0.
        let most = I256::from_raw((U256::ONE << (bits - 1)) - U256::ONE);
        let number = |it: i8| match it {
            i8::MAX => most,
            i8::MIN => -most - I256::ONE,
            it => I256::try_from(it % 3).unwrap(),
        };
        let value = |it| DynSolValue::Int(number(it), bits);
        let written = Written { text: number(written).to_string(), value: value(written) };
        Argument { ty: format!("int{bits}"), written, called: value(called), condition, is_ruled: true }
    })
}

fn fixed_bytes() -> impl Strategy<Value = Argument> {
    (1..=32_usize, 0..2_u8, 0..2_u8, equality()).prop_map(|(len, written, called, condition)| {
        let value = |byte: u8| {
            let mut word = B256::ZERO;
            word[..len].fill(byte);
            DynSolValue::FixedBytes(word, len)
        };
        let text = format!("0x{}", format!("{written:02x}").repeat(len));
        let written = Written { text, value: value(written) };
        Argument { ty: format!("bytes{len}"), written, called: value(called), condition, is_ruled: true }
    })
}

fn others() -> impl Strategy<Value = Argument> {
    let address = |byte: u8| DynSolValue::Address(Address::repeat_byte(byte));
    let addresses =
        (0x75..0x79_u8, 0x75..0x79_u8, equality()).prop_map(move |(written, called, condition)| {
            // The token's name stands for its address.
            let text =
                if written == 0x77 { "USDC".into() } else { Address::repeat_byte(written).to_string() };
            let written = Written { text, value: address(written) };
            Argument { ty: "address".into(), written, called: address(called), condition, is_ruled: true }
        });
    let bools = (any::<bool>(), any::<bool>(), equality()).prop_map(|(written, called, condition)| {
        let written = Written { text: written.to_string(), value: DynSolValue::Bool(written) };
        let called = DynSolValue::Bool(called);
        Argument { ty: "bool".into(), written, called, condition, is_ruled: true }
    });
    prop_oneof![addresses, bools]
}

/// Arguments that no rule is about, which move the others.
fn unruled() -> impl Strategy<Value = Argument> {
    let dynamic = proptest::sample::select(vec![
        "bytes",
        "string",
        "uint8[]",
        "(bytes,bool)",
        "(uint8,bool)[3]",
        "int8[2]",
    ]);
    dynamic.prop_flat_map(|ty| {
        let parsed = DynSolType::parse(ty).unwrap();
        let called = match &parsed {
            DynSolType::Bytes => DynSolValue::Bytes(vec![7; 40]),
            DynSolType::String => DynSolValue::String("text".into()),
            DynSolType::Array(_) => DynSolValue::Array(vec![DynSolValue::Uint(U256::ONE, 8)]),
            DynSolType::Tuple(_) => {
                DynSolValue::Tuple(vec![DynSolValue::Bytes(vec![1]), DynSolValue::Bool(true)])
            }
            DynSolType::FixedArray(of, 3) => {
                assert!(matches!(**of, DynSolType::Tuple(_)));
                let tuple =
                    DynSolValue::Tuple(vec![DynSolValue::Uint(U256::ONE, 8), DynSolValue::Bool(true)]);
                DynSolValue::FixedArray(vec![tuple; 3])
            }
            _ => DynSolValue::FixedArray(vec![DynSolValue::Int(I256::MINUS_ONE, 8); 2]),
        };
        let written = Written { text: String::new(), value: DynSolValue::Bool(false) };
        Just(Argument { ty: ty.into(), written, called, condition: Condition::Equal, is_ruled: false })
    })
}

fn arguments() -> impl Strategy<Value = Vec<Argument>> {
    vec(prop_oneof![3 => uint(), 1 => int(), 1 => fixed_bytes(), 2 => others(), 2 => unruled()], 0..8)
}

fn comparison(condition: Condition) -> &'static str {
    match condition {
        Condition::Equal => "==",
        Condition::NotEqual => "!=",
        Condition::LessThan => "<",
        Condition::LessThanOrEqual => "<=",
        Condition::GreaterThan => ">",
        Condition::GreaterThanOrEqual => ">=",
    }
}

/// Whether a rule holds, from the values as they were before anybody encoded them.
fn holds(argument: &Argument) -> bool {
    match (&argument.called, &argument.written.value, argument.condition) {
        (called, written, Condition::Equal) => called == written,
        (called, written, Condition::NotEqual) => called != written,
        (DynSolValue::Uint(called, _), DynSolValue::Uint(written, _), condition) => match condition {
            Condition::LessThan => called < written,
            Condition::LessThanOrEqual => called <= written,
            Condition::GreaterThan => called > written,
            _ => called >= written,
        },
        _ => panic!("only unsigned numbers are ordered"),
    }
}

fn file(arguments: &[Argument], function: &str, format: Format) -> String {
    let mut rules = Vec::new();
    for (place, argument) in arguments.iter().enumerate().filter(|(_, argument)| argument.is_ruled) {
        rules.push(format!("a{place} {} {}", comparison(argument.condition), argument.written.text));
    }
    match format {
        Format::Toml => {
            let mut text = format!("[tokens]\nUSDC = \"{TOKEN}\"\n[[allow]]\ncontract = \"USDC\"\n");
            write!(text, "function = \"{function}\"\nvalue = \"2 gwei\"\nrules = {rules:?}").unwrap();
            text
        }
        Format::Json => serde_json::json!({
            "tokens": { "USDC": TOKEN.to_string() },
            "allow": [{ "contract": "USDC", "function": function, "value": "2 gwei", "rules": rules }],
        })
        .to_string(),
    }
}

/// The words that the module compares, read from the call data where alloy put them.
fn hand_built(arguments: &[Argument], function: &Function) -> Vec<u8> {
    let mut policy =
        quorate_core::Policy::new(TOKEN, (*function.selector()).into()).with_value_limit(2_000_000_000);
    let mut head = 0_u16;
    for argument in arguments {
        if argument.is_ruled {
            // A static word's own encoding is the word.
            let word = B256::from_slice(&argument.written.value.abi_encode());
            policy = policy.with_rule(quorate_core::Rule::new(head, argument.condition, word)).unwrap();
        }
        let ty = DynSolType::parse(&argument.ty).unwrap();
        // What is dynamic has a pointer in the head; what is not has all of its encoding there.
        let words = match ty.is_dynamic() {
            true => 1,
            false => argument.called.abi_encode().len() / 32,
        };
        head += u16::try_from(words * 32).unwrap();
    }
    SessionKeyData::new(Address::ZERO, &policy).to_vec()
}

proptest! {
    #[test]
    fn calls_are_allowed_exactly_if_all_rules_hold(arguments in arguments(), gwei in 0..4_u64, is_json: bool) {
        let format = if is_json { Format::Json } else { Format::Toml };
        let params: Vec<_> = arguments.iter().enumerate().map(|(at, it)| format!("{} a{at}", it.ty)).collect();
        let signature = format!("f({})", params.join(", "));
        let function = Function::parse(&signature).unwrap();
        let text = file(&arguments, &signature, format);
        let file = PolicyFile::parse("policy", &text, format).unwrap();
        let facts = Facts { decimals: BTreeMap::from([(TOKEN, DECIMALS)]), now: None };
        let compiled = file.compile(&facts).unwrap();

        let encoded = SessionKeyData::new(Address::ZERO, &compiled.policies()[0]).to_vec();
        prop_assert_eq!(&encoded, &hand_built(&arguments, &function));

        let called: Vec<_> = arguments.iter().map(|argument| argument.called.clone()).collect();
        let data = function.abi_encode_input(&called).unwrap();
        prop_assert_eq!(function.abi_decode_input(&data[4..]).unwrap(), called);
        let value = U256::from(gwei * 1_000_000_000);
        let call = Call { to: TOKEN, value, data: &data };
        let ruled: Vec<_> = arguments.iter().filter(|argument| argument.is_ruled).collect();
        let broken = ruled.iter().position(|argument| !holds(argument));
        let expected = gwei <= 2 && broken.is_none();
        prop_assert_eq!(evaluate(&encoded, &Execute(call).to_vec()).is_ok(), expected);
        match compiled.check(&call, None) {
            Verdict::Allowed { .. } => prop_assert!(expected),
            Verdict::Refused(refused) => {
                prop_assert!(!expected);
                let place = refused.place.unwrap();
                let refusing = &text[place.offset..place.offset + place.len];
                match broken {
                    Some(place) if gwei <= 2 => prop_assert!(refusing.ends_with(&ruled[place].written.text)),
                    _ => prop_assert_eq!(refusing, "2 gwei"),
                }
            }
        }

        for target in [Target::ChainAlone, Target::Network] {
            let explained = compiled.explain(target, None);
            let words = explained.to_string();
            for (place, argument) in arguments.iter().enumerate().filter(|(_, argument)| argument.is_ruled) {
                let rule = format!("only if a{place} is {} {}", argument.condition, argument.written.text);
                prop_assert!(words.contains(&rule), "{} lacks {}", words, rule);
            }
            let uncertain = ruled.iter().filter(|argument| argument.condition == Condition::NotEqual).count();
            prop_assert_eq!(explained.not_on_chain().count(), uncertain);
        }
    }
}

#[test]
fn json_and_toml_say_the_same() {
    let toml = "[[allow]]\ncontract = \"0x7777777777777777777777777777777777777777\"\nfunction = \"f(uint8 a)\"\nrules = [\"a > 3\"]";
    let json = r#"{"allow":[{"contract":"0x7777777777777777777777777777777777777777","function":"f(uint8 a)","rules":["a > 3"]}]}"#;
    let of = |text, format| {
        let file = PolicyFile::parse("policy", text, format).unwrap();
        file.compile(&Facts::default()).unwrap().policies().to_vec()
    };
    assert_eq!(of(toml, Format::Toml), of(json, Format::Json));
}

#[test]
fn limits_are_those_of_the_network() {
    let facts = Facts { decimals: BTreeMap::from([(TOKEN, DECIMALS)]), now: Some(1_800_000_000) };
    let file = PolicyFile::parse("policy", JSON, Format::Json).unwrap();
    let compiled = file.compile(&facts).unwrap();
    let limits = serde_json::to_value(compiled.limits()).unwrap();
    assert_eq!(
        limits,
        serde_json::json!({
            "uses": 1,
            "window": { "uses": 1, "seconds": 86_400 },
            "arguments": [{
                "contract": TOKEN,
                "selector": "0xa9059cbb",
                "offset": 32,
                "total": "0x1dcd6500",
            }],
        })
    );
    assert_eq!(compiled.policies()[0].rules()[1].reference().to_uint(), U256::from(5_000_000));
    assert_eq!(compiled.epoch().valid_until(), 1_798_675_200);
}

const JSON: &str = r#"{"until": "2026-12-31T00:00:00Z", "limits": {"uses": 1, "rate": "1 per day"},
"tokens": {"USDC": "0x7777777777777777777777777777777777777777"},
"allow": [{"contract": "USDC", "function": "transfer(address to, uint256 amount)",
"rules": ["to == USDC", "amount <= \u0035 USDC"], "totals": ["amount <= 500 USDC"]}]}"#;
