//! What is said of any text.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up has failed")]

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use miette::GraphicalReportHandler;
use proptest::prelude::*;
use quorate_core::{Call, Condition};
use quorate_policy_file::{Facts, Format, PolicyFile, Target};

const DECIMALS: u8 = 6;
const TOKEN: Address = Address::repeat_byte(0x77);

proptest! {
    /// Whatever is read, nothing panics, and what is reported can be drawn.
    #[test]
    fn nothing_panics(
        cut in any::<(usize, usize)>(),
        insert in prop_oneof!["[\\[\\]{}\"'=<>!,.0-9a-zé_\n -]{0,6}", any::<String>()],
        is_json: bool,
    ) {
        let format = if is_json { Format::Json } else { Format::Toml };
        let whole = if is_json { JSON } else { TOML };
        let boundaries: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
        let first = cut.0 % boundaries.len();
        let start = boundaries[first];
        let end = boundaries.get(first + cut.1 % 8).copied().unwrap_or(whole.len());
        let text = format!("{}{insert}{}", &whole[..start], &whole[end..]);
        let facts = Facts { decimals: BTreeMap::from([(TOKEN, DECIMALS)]), now: Some(1_800_000_000) };
        let file = PolicyFile::parse("policy", &text, format);
        let mistakes = match &file {
            Ok(file) => match file.compile(&facts) {
                Ok(compiled) => {
                    compiled.explain(Target::Network, Some(&Condition::ALL)).to_string();
                    compiled.lint(&quorate_core::LintContext::default());
                    compiled.check(&Call { to: TOKEN, value: U256::ZERO, data: &[1, 2, 3, 4] }, Some(5));
                    return Ok(());
                }
                Err(mistakes) => mistakes,
            },
            Err(mistakes) => mistakes.clone(),
        };
        prop_assert!(!mistakes.as_slice().is_empty());
        for place in mistakes.as_slice().iter().flat_map(|mistake| mistake.places()) {
            let read = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert!(read.get(place.offset..place.offset + place.len).is_some(), "{:?}", place);
        }
        let mut drawn = String::new();
        GraphicalReportHandler::new().render_report(&mut drawn, &mistakes).unwrap();
        prop_assert!(drawn.contains(mistakes.as_slice()[0].kind().name()));
    }
}

const TOML: &str = r#"
from = "2026-01-01"
for = "7 days"
[limits]
uses = 1_00
rate = "10 per 2 days"
value = "1 ether"
gas = 0x10
paymaster = "required"
per_hour = { value = "1 gwei", gas = 5 }
[tokens]
USDC = { address = "0x7777777777777777777777777777777777777777", decimals = 6 }
[[allow]]
contract = "USDC"
function = "f((uint8 a, bytes4 b)[2] é, int8 c, bool d, address e)"
rules = ["0[0].a <= 5", "0[1].b == 0x01020304", "c == -5", "d != true", "e == USDC"]
value = "0.1 ether"
"#;

const JSON: &str = r#"{"until": "2026-12-31T00:00:00Z", "limits": {"uses": 1, "rate": "1 per day"},
"tokens": {"USDC": "0x7777777777777777777777777777777777777777"},
"allow": [{"contract": "USDC", "function": "transfer(address to, uint256 amount)",
"rules": ["to == USDC", "amount <= \u0035 USDC"], "totals": ["amount <= 500 USDC"],
"per_day": ["amount <= 50 USDC"]}]}"#;

#[test]
fn what_the_mutations_start_from_is_right() {
    for (text, format) in [(TOML.replace('é', "e1"), Format::Toml), (JSON.to_owned(), Format::Json)] {
        let facts = Facts { decimals: BTreeMap::from([(TOKEN, DECIMALS)]), now: Some(1_800_000_000) };
        PolicyFile::parse("policy", &text, format).unwrap().compile(&facts).unwrap();
    }
}

/// The names of the mistakes.
fn mistakes(text: &str, format: Format, facts: &Facts) -> Vec<&'static str> {
    let mistakes = match PolicyFile::parse("policy", text, format) {
        Ok(file) => file.compile(facts).err().unwrap(),
        Err(mistakes) => mistakes,
    };
    mistakes.as_slice().iter().map(|mistake| mistake.kind().name()).collect()
}

#[test]
fn what_only_a_caller_can_do_wrong() {
    let allow = format!("[[allow]]\ncontract = \"{TOKEN}\"\nfunction = \"f()\"");
    let none = Facts::default();
    assert_eq!(mistakes(&format!("for = \"7 days\"\n{allow}"), Format::Toml, &none), ["no-clock"]);
    assert_eq!(mistakes(&format!("#{}\n{allow}", "x".repeat(1 << 17)), Format::Toml, &none), ["too-long"]);
    // Years that no time has.
    let late = Facts { now: Some(253_402_300_799), ..none };
    assert_eq!(mistakes(&format!("for = \"7 days\"\n{allow}"), Format::Toml, &late), ["not-a-time"]);
}

#[test]
fn deep_texts_are_refused() {
    let deep = "[".repeat(60_000);
    let none = Facts::default();
    assert_eq!(mistakes(&format!("{{\"allow\":{deep}"), Format::Json, &none), ["syntax"]);
    assert!(!mistakes(&format!("allow = {deep}"), Format::Toml, &none).is_empty());
    let keys = vec!["a"; 30_000].join(".");
    assert!(!mistakes(&format!("{keys} = 1"), Format::Toml, &none).is_empty());
    let tables = "{\"a\":".repeat(20_000);
    assert_eq!(mistakes(&tables, Format::Json, &none), ["syntax"]);
}

#[test]
fn what_is_shown_of_a_text_is_one_line() {
    let text = format!(
        "[[allow]]\ncontract = \"{TOKEN}\"\nfunction = \"f(uint256\\n\\na)\"\nrules = [\"a <= 1 \\n gwei\"]\nvalue = \"2\\n\\n wei\""
    );
    let file = PolicyFile::parse("policy", &text, Format::Toml).unwrap();
    let compiled = file.compile(&Facts::default()).unwrap();
    let explained = compiled.explain(Target::ChainAlone, None);
    let texts: Vec<_> = explained.statements().iter().map(|it| it.text.as_str()).collect();
    let function = format!("f(uint256 a) on {TOKEN}");
    assert_eq!(
        texts[1..],
        [&function, "only if a is at most 1 gwei (1000000000)", "each call sends at most 2 wei"]
    );
}
