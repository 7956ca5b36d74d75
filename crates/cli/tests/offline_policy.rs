//! What `quorate policy` and the command lines of the other offline commands refuse and point out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up has failed")]

mod program;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use program::{answer, complaint, items, quorate};
use serde_json::{Value, json};

const TOKEN: &str = "0x1111111111111111111111111111111111111111";
const FRIEND: &str = "0x2222222222222222222222222222222222222222";
const MAX: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// One end for all policies of this program, so that equal ones have equal encodings.
static END: LazyLock<u64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1000);

/// A policy with an end within the year, so that nothing is found in it but what its rules are about.
fn policy(function: &str, rules: &[(u16, u8, Value)]) -> Value {
    let rule = |(offset, condition, value): &(u16, u8, Value)| json!({ "offset": offset, "condition": condition, "referenceValue": value });
    json!({
        "sessionKeyAddress": "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
        "contractAddress": TOKEN,
        "functionSelector": function,
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        "interval": { "validAfter": 0, "validUntil": *END },
    })
}

/// The names and texts of what is found in one policy.
fn findings(arguments: &[&str], policy: &Value) -> Vec<(String, String)> {
    let answer = answer(&[&["policy", "lint"], arguments].concat(), &json!([policy]));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    items(&answer["findings"]).iter().map(|it| (text(it, "lint"), text(it, "text"))).collect()
}

#[test]
fn each_finding_has_a_name_and_says_what_is_wrong() {
    let raw = |digits: &str| json!(digits);
    for (function, rules, expected) in [
        // Offsets given as an argument's number.
        (
            "transfer(address,uint256)",
            vec![(0, 0, json!(FRIEND)), (1, 1, json!(1000))],
            &[("offset-not-word", "offset 1 is not a multiple of 32")][..],
        ),
        ("f(uint256,uint256)", vec![(2, 0, json!(1))], &[("offset-not-word", "offset 2 is not")]),
        ("f(uint256)", vec![(32, 0, json!(1))], &[("offset-past-arguments", "end at 32")]),
        // Approvals that are capped by nothing.
        (
            "approve(address,uint256)",
            vec![(0, 0, json!(FRIEND)), (32, 1, raw(MAX))],
            &[
                ("unlimited-approval", "no rule caps the amount that may be approved"),
                ("always-holds", "rule 1"),
            ],
        ),
        (
            "approve(address,uint256)",
            vec![(0, 0, json!(FRIEND)), (32, 0, raw(MAX))],
            &[("unlimited-approval", "no rule caps")],
        ),
        (
            "increaseAllowance(address,uint256)",
            vec![(0, 0, json!(FRIEND))],
            &[("unlimited-approval", "no rule caps")],
        ),
        (
            "approve(address,address,uint160,uint48)",
            vec![],
            &[("unlimited-approval", "offset 64"), ("to-anybody", "offset 32")],
        ),
        (
            "setApprovalForAll(address,bool)",
            vec![(0, 0, json!(FRIEND))],
            &[("approval-for-all", "all tokens")],
        ),
        (
            "transfer(address,uint256)",
            vec![(32, 3, json!(0))],
            &[("moves-tokens-freely", "no rule says to whom"), ("always-holds", "rule 0")],
        ),
        ("transfer(address,uint256)", vec![(32, 1, json!(5))], &[("to-anybody", "any number of times")]),
        ("multicall(bytes[])", vec![], &[("calls-freely", "no rule says which")]),
        // Dynamic arguments.
        (
            "store(bytes data)",
            vec![(64, 0, raw("0xaa00000000000000000000000000000000000000000000000000000000000000"))],
            &[(
                "free-pointer",
                "the word at 64 is data behind a dynamic argument, and nothing holds the pointer at 0",
            )],
        ),
        (
            "store(string text)",
            vec![(0, 0, json!(32))],
            &[("pointer", "only the place of a dynamic argument")],
        ),
        // References and their types.
        (
            "setPrice(int256 p)",
            vec![(0, 3, json!(100))],
            &[("signed-by-order", "the argument is signed (int256)")],
        ),
        ("reg(bytes4 id)", vec![(0, 0, raw("0x12345678"))], &[("not-a-value", "no bytes4 is equal to it")]),
        ("reg(bytes20 id)", vec![(0, 0, json!(FRIEND))], &[("not-a-value", "no bytes20 is equal to it")]),
        (
            "mint(address to)",
            vec![(0, 0, raw("0x2222222222222222222222222222222222222222000000000000000000000000"))],
            &[("not-a-value", "is no address")],
        ),
        ("f(bool on)", vec![(0, 0, json!(2))], &[("not-a-value", "is no bool")]),
        (
            "mint(address)",
            vec![(0, 0, json!("0x0000000000000000000000000000000000000000"))],
            &[("zero-address", "demands the zero address")],
        ),
        ("mint(address)", vec![(0, 1, json!(FRIEND))], &[("address-by-order", "by its order")]),
        // Rules that limit nothing, or allow nothing.
        ("f(uint256)", vec![(0, 2, json!(0))], &[("never-holds", "holds for no call")]),
        ("f(uint256)", vec![(0, 0, json!(1)), (0, 0, json!(2))], &[("contradiction", "rules 0 and 1")]),
        ("mint(address)", vec![(0, 0, json!(FRIEND))], &[]),
    ] {
        let found = findings(&[], &policy(function, &rules));
        let agree = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, it)| found.0 == it.0 && found.1.contains(it.1));
        assert!(agree, "{function} {rules:?}: {found:#?}");
    }
}

#[test]
fn a_signature_by_hand_names_the_types_of_a_bare_selector() {
    let signature = "setPrice(int256 p)";
    let named = answer(&["policy", "encode"], &json!([policy(signature, &[])]));
    let data = named["sessions"][0]["sessionKeyData"].as_str().unwrap();
    // It stands after the key and the contract.
    let selector = format!("0x{}", &data[82..90]);
    let bare = policy(&selector, &[(0, 3, json!(100))]);
    assert_eq!(findings(&[], &bare), []);
    assert_eq!(findings(&["--function", signature], &bare)[0].0, "signed-by-order");
}

#[test]
fn times_and_contracts_that_cannot_be_meant() {
    let mint = policy("mint(address)", &[(0, 0, json!(FRIEND))]);
    for (field, value, expected) in [
        (
            "interval",
            json!({ "validAfter": 4_790_000_000_u64, "validUntil": 4_780_000_000_u64 }),
            &[("never-valid", "is not later than validAfter"), ("longer-than-a-year", "more than a year")][..],
        ),
        (
            "interval",
            json!({ "validAfter": 1_735_689_600_000_u64, "validUntil": 0 }),
            &[
                ("no-end", "never ends"),
                ("time-in-milliseconds", "validAfter: 1735689600000 looks like milliseconds"),
            ],
        ),
        (
            "interval",
            json!({ "validAfter": 0, "validUntil": 1_735_689_600_000_u64 }),
            &[("time-in-milliseconds", "validUntil: 1735689600000 looks like milliseconds")],
        ),
        ("interval", json!({ "validAfter": 5, "validUntil": 5 }), &[("over", "validUntil: 5 is over")]),
        (
            "contractAddress",
            json!("0x0000000000000000000000000000000000000000"),
            &[("zero-contract", "the zero address is no contract")],
        ),
        (
            "contractAddress",
            json!("0x000000456b395c4e107e0302553B90D1eF4a32e9"),
            &[("controls-account", "controls accounts")],
        ),
        (
            "contractAddress",
            json!("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            &[("controls-account", "deposited")],
        ),
        ("valueLimit", json!(1), &[]),
    ] {
        let mut policy = mint.clone();
        policy[field] = value;
        let found = findings(&[], &policy);
        let agree = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, it)| found.0 == it.0 && found.1.contains(it.1));
        assert!(agree, "{field}: {found:#?}");
    }
    assert_eq!(findings(&["--account", TOKEN], &mint)[0].0, "controls-account");
}

#[test]
fn findings_have_levels_and_are_refused_when_strict() {
    let narrow = json!([policy("mint(address)", &[(0, 0, json!(FRIEND))])]).to_string();
    let wide = json!([policy("transfer(address,uint256)", &[(1, 0, json!(5))])]);
    let found = answer(&["policy", "lint"], &wide)["findings"].clone();
    assert_eq!(found[0]["policy"], 0);
    assert_eq!((&found[0]["level"], &found[0]["lint"]), (&json!("danger"), &json!("moves-tokens-freely")));
    assert_eq!((&found[1]["level"], &found[1]["lint"]), (&json!("warning"), &json!("offset-not-word")));
    let wide = wide.to_string();

    for command in ["lint", "encode"] {
        let code = |arguments: &[&str], stdin: &str| {
            quorate(&[&["policy", command, "--json"], arguments].concat(), stdin).status.code()
        };
        assert_eq!([code(&[], &wide), code(&["--strict"], &wide)], [Some(0), Some(3)]);
        assert_eq!(code(&["--strict"], &narrow), Some(0));
    }
    let encoded = quorate(&["policy", "encode", "--json"], &wide);
    let warnings = String::from_utf8(encoded.stderr).unwrap();
    assert!(warnings.starts_with("policy 0: danger (moves-tokens-freely): "), "{warnings}");
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
    assert!(serde_json::from_slice::<Value>(&encoded.stdout).unwrap()["root"].is_string());
    let refused = quorate(&["policy", "encode", "--json", "--strict"], &wide);
    assert!(refused.stdout.is_empty());
    let text = String::from_utf8(quorate(&["policy", "lint"], &wide).stdout).unwrap();
    assert_eq!(text, warnings);
}

#[test]
fn what_is_no_function_is_refused_with_its_place() {
    for (text, words) in [
        ("receive() external payable", "byte 0"),
        ("fallback() external", "byte 0"),
        ("constructor(address owner)", "byte 0"),
        ("f(bytes 32)", "byte 8"),
        ("f(uint 256)", "byte 7"),
        ("transfer(address to, uint256 amount", "byte 35"),
        ("f(address))", "byte 10"),
    ] {
        let complaint = complaint(&["policy", "encode"], &json!([policy(text, &[])]).to_string());
        assert!(complaint.contains("functionSelector") && complaint.contains(words), "{text}: {complaint}");
        for command in
            [&["policy", "lint"][..], &["policy", "encode"], &["grant", "review", "--chain-id", "1"]]
        {
            refused(&[command, &["--function", text]].concat(), &[text, words]);
        }
    }
    refused(&["policy", "lint", "--function", "0xa9059cbb"], &["says nothing of the arguments"]);
}

/// A command line that is refused before anything is read.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = quorate(arguments, "");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(words.iter().all(|word| error.contains(word)), "{arguments:?}: {error}");
}

#[test]
fn checksums_are_held_on_every_command_line() {
    let wrong = "0x7E5f4552091A69125d5DfCb7b8C2659029395Bdf";
    let commands = [
        &["account", "address", "--owner"][..],
        &["policy", "lint", "--account"],
        &["policy", "encode", "--account"],
        &["policy", "encode", "--validation-module"],
        &["user-op", "hash", "--chain-id", "1", "--entry-point-address"],
        &["user-op", "hash", "--chain-id", "1", "--delegate"],
        &["grant", "review", "--chain-id", "1", "--entry-point-address"],
    ];
    for command in commands {
        refused(
            &[command, &[wrong]].concat(),
            &["the checksum is wrong", "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"],
        );
        refused(&[command, &[&wrong[2..]]].concat(), &["0x and 40 hex digits"]);
    }
    for owner in [wrong.to_lowercase(), format!("0x{}", wrong[2..].to_uppercase())] {
        let address = answer(&["account", "address", "--owner", &owner], &Value::Null);
        assert_eq!(address["address"], "0x9e47d5217fb605e2bdb3b02adc457be53782c020");
    }
}

#[test]
fn numbers_are_read_whole_however_large() {
    let number = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let of = |reference: &str| {
        let policy = policy("f(uint256)", &[(0, 0, json!("REFERENCE"))]);
        json!([policy]).to_string().replace("\"REFERENCE\"", reference)
    };
    let encoded = |reference: &str| quorate(&["policy", "encode", "--json"], &of(reference)).stdout;
    assert!(!encoded(number).is_empty());
    assert_eq!(encoded(number), encoded(&format!("\"{number}\"")));
    assert_eq!(encoded("18446744073709551616"), encoded("\"0x10000000000000000\""));
    for reference in
        ["1e3", "1.0", "-1", "-18446744073709551616", "18446744073709551616.0", &format!("{number}0")]
    {
        let complaint = complaint(&["policy", "encode"], &of(reference));
        assert!(complaint.contains("[0].rules[0].referenceValue"), "{reference}: {complaint}");
    }
    let operation = operation().to_string().replace("\"nonce\":0", &format!("\"nonce\":{number}"));
    let hash = ["user-op", "hash", "--chain-id", "137"];
    assert!(quorate(&hash, &operation).status.success());
}

fn operation() -> Value {
    json!({
        "sender": "0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856",
        "nonce": 0,
        "callData": "0x",
        "callGasLimit": 1,
        "verificationGasLimit": 1,
        "preVerificationGas": 1,
        "maxFeePerGas": 1,
        "maxPriorityFeePerGas": 1,
    })
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let operation = operation().to_string().replace("\"nonce\":0", "\"nonce\":0,\"nonce\":1");
    let hash = ["user-op", "hash", "--chain-id", "137"];
    let review = ["grant", "review", "--chain-id", "137"];
    let policy = json!([policy("f()", &[])]).to_string().replace("\"rules\":[]", "\"rules\":[],\"rules\":[]");
    let item =
        r#"[{"functionSelector":{"type":"function","name":"f","inputs":[],"outputs":[{"a":1,"a":2}]}}]"#;
    for (arguments, stdin, words) in [
        (&hash[..], operation.clone(), "`nonce`"),
        (&[&hash[..], &["--entry-point", "0.7"]].concat(), operation.clone(), "`nonce`"),
        (
            &review,
            format!(r#"{{"operation":{operation},"leaves":[]}}"#),
            "operation: duplicate field `nonce`",
        ),
        (&review, r#"{"leaves":[],"leaves":[]}"#.to_owned(), "`leaves`"),
        (&["policy", "encode"], policy.clone(), "[0]: duplicate field `rules`"),
        (&["policy", "lint"], policy, "`rules`"),
        (&["policy", "lint"], item.to_owned(), "outputs[0]: duplicate field `a`"),
        (&["policy", "check"], r#"{"value":1,"value":2}"#.to_owned(), "`value`"),
    ] {
        let complaint = complaint(arguments, &stdin);
        assert!(complaint.contains("duplicate field") && complaint.contains(words), "{complaint}");
    }
}

#[test]
fn entry_points_have_their_names() {
    let hash = |version: &str| {
        let arguments = ["user-op", "hash", "--chain-id", "1", "--entry-point", version];
        answer(&arguments, &operation())["userOpHash"].clone()
    };
    for version in ["6", "7", "8", "9"] {
        let name = format!("v0.{version}");
        assert_eq!(hash(&name), hash(&name[1..]));
        assert_eq!(hash(&name), hash(&format!("{name}.0")));
    }
    assert_ne!(hash("v0.6"), hash("v0.7"));
    refused(&["user-op", "hash", "--chain-id", "1", "--entry-point", "v0.5"], &["v0.6, v0.7, v0.8, v0.9"]);
}
