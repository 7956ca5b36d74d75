//! What `quorate policy` says of policy files, as people see it: snapshots in `policy`, written anew with
//! `SNAPSHOTS=overwrite`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use snapbox::{Assert, Data};

const KEY: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
const FRIEND: &str = "0x2222222222222222222222222222222222222222";
const USDC: &str = "0x1111111111111111111111111111111111111111";
const NFT: &str = "0x3333333333333333333333333333333333333333";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy")
}

struct Seen {
    code: i32,
    stdout: String,
    stderr: String,
}

fn policy(arguments: &[&str]) -> Seen {
    let command = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .arg("policy")
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap();
    Seen {
        code: command.status.code().unwrap(),
        stdout: String::from_utf8(command.stdout).unwrap(),
        stderr: String::from_utf8(command.stderr).unwrap(),
    }
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let seen = policy(&[arguments, &["--json"]].concat());
    assert_eq!(seen.stdout.lines().count(), 1, "{}", seen.stderr);
    (seen.code, serde_json::from_str(&seen.stdout).unwrap())
}

/// Compares a command and all that it says with a snapshot.
fn is_as_before(arguments: &[&str], snapshot: &str) {
    let Seen { code, stdout, stderr } = policy(arguments);
    let mut seen = format!("$ quorate policy {}\n", arguments.join(" "));
    for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
        if !text.is_empty() {
            seen.push_str(&format!("--- {name}\n{text}"));
        }
    }
    seen.push_str(&format!("--- code {code}\n"));
    let assert = Assert::new().action_env("SNAPSHOTS").normalize_paths(false);
    assert.eq(seen, Data::read_from(&folder().join(snapshot), None));
}

fn files(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.ends_with(".txt")).collect();
    names.sort_unstable();
    names
}

#[test]
fn each_mistake_is_shown_where_it_is() {
    let names = files(&folder().join("wrong"));
    assert!(names.len() > 25);
    for name in names {
        let file = format!("wrong/{name}");
        let more: &[&str] = if name == "other-decimals.toml" { &["--decimals", "USDC=6"] } else { &[] };
        is_as_before(&[&["explain", &file], more].concat(), &format!("{file}.txt"));

        // Programs are told the same, with places that editors have.
        let (code, answer) = json(&[&["explain", &file], more].concat());
        assert_eq!(code, 2);
        let text = std::fs::read_to_string(folder().join(&file)).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        for mistake in answer["mistakes"].as_array().unwrap() {
            for place in mistake["places"].as_array().unwrap() {
                let number = |name: &str| usize::try_from(place[name].as_u64().unwrap()).unwrap();
                let column = lines[number("line") - 1].chars().take(number("column") - 1);
                let before: usize = lines[..number("line") - 1].iter().map(|line| line.len() + 1).sum();
                assert_eq!(before + column.map(char::len_utf8).sum::<usize>(), number("offset"), "{file}");
                assert!(text.get(number("offset")..number("offset") + number("len")).is_some(), "{file}");
            }
        }
    }
}

#[test]
fn a_file_is_explained_for_each_target() {
    let explain = ["explain", "pay.toml", "--decimals", "USDC=6"];
    is_as_before(&explain, "pay.explain.txt");
    is_as_before(&[&explain[..], &["--target", "network", "--all-enforced"]].concat(), "pay.probed.txt");
    is_as_before(
        &[&explain[..], &["--target", "chain", "--unenforced", "!="]].concat(),
        "pay.unenforced.txt",
    );

    let (code, answer) = json(&explain);
    assert_eq!(code, 0);
    let held = |target: usize| {
        let statements = answer["targets"][target]["statements"].as_array().unwrap().clone();
        let of = |text: &str| {
            let found = statements.iter().find(|it| it["text"].as_str().unwrap().contains(text)).unwrap();
            (found["chain"].as_str().unwrap().to_owned(), found["nodes"].as_bool().unwrap())
        };
        ["amount is at most 25 USDC (25000000)", "to is other than", "at most 100 operations"].map(of)
    };
    let is = |chain: &str, nodes| (chain.to_owned(), nodes);
    assert_eq!(answer["targets"][0]["target"], "chain");
    assert_eq!(held(0), [is("held", false), is("not-probed", false), is("not-held", false)]);
    assert_eq!(held(1), [is("held", true), is("not-probed", true), is("not-held", true)]);
}

#[test]
fn what_a_delegation_holds_is_explained_and_what_it_cannot_express_is_drawn() {
    let delegation = ["--target", "delegation"];
    is_as_before(&[&["explain", "delegated.toml"], &delegation[..]].concat(), "delegated.explain.txt");
    let pay = ["explain", "pay.toml", "--decimals", "USDC=6"];
    is_as_before(&[&pay[..], &delegation[..]].concat(), "pay.delegation.txt");
}

#[test]
fn an_allowance_has_windows_that_the_nodes_count() {
    is_as_before(&["explain", "daily.toml"], "daily.explain.txt");
    is_as_before(&["lint", "daily.toml"], "daily.lint.txt");
    let (_, answer) = json(&["encode", "daily.toml", "--session-key", KEY]);
    let daily = &answer["limits"]["arguments"][1];
    assert_eq!((&daily["total"], &daily["seconds"]), (&"0x2faf080".into(), &86_400.into()));
    let hourly = serde_json::json!({ "of": "nativeValue", "total": "0x2386f26fc10000", "seconds": 3600 });
    assert_eq!(answer["limits"]["coinWindows"][0], hourly);
}

#[test]
fn calls_are_allowed_or_refused_with_the_line() {
    let transfer = |to: &str, amount: u64| format!("0xa9059cbb{:0>64}{amount:064x}", &to[2..]);
    let check = |to: &str, data: &str, more: &[&str]| -> Vec<String> {
        let all = ["check", "pay.toml", "--decimals", "USDC=6", "--to", to, "--data", data];
        all.iter().chain(more).map(|it| (*it).to_owned()).collect()
    };
    for (name, arguments) in [
        ("allowed", check(USDC, &transfer(FRIEND, 25_000_000), &[])),
        ("rule", check(USDC, &transfer(FRIEND, 25_000_001), &[])),
        ("address", check(USDC, &transfer(NFT, 1), &[])),
        ("value", check(USDC, &transfer(FRIEND, 1), &["--value", "1 wei"])),
        ("contract", check(FRIEND, &transfer(FRIEND, 1), &[])),
        ("function", check(NFT, &transfer(FRIEND, 1), &[])),
        ("short", check(USDC, "0xa9059cbb", &[])),
        ("empty", check(USDC, "0x", &[])),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        is_as_before(&arguments, &format!("pay.check-{name}.txt"));
        let (code, answer) = json(&arguments);
        assert_eq!(
            (code == 0, code),
            (answer["allowed"].as_bool().unwrap(), if name == "allowed" { 0 } else { 3 })
        );
    }
    is_as_before(&["check", "over.toml", "--to", USDC, "--data", "0x26121ff0"], "over.check.txt");

    let arguments = check(USDC, &transfer(FRIEND, 25_000_001), &[]);
    let (_, answer) = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(answer["reason"], "ABISV Arg Rule Violated");
    assert_eq!(answer["expected"], "`amount` at most 25 USDC (25000000)");
    assert_eq!((&answer["actual"], &answer["place"]["line"]), (&"25000001".into(), &15.into()));
}

#[test]
fn findings_stand_at_their_lines() {
    is_as_before(&["lint", "free.toml"], "free.lint.txt");
    is_as_before(&["lint", "free.toml", "--strict"], "free.strict.txt");
    let (code, answer) = json(&["lint", "free.toml"]);
    assert_eq!(code, 0);
    let findings = answer["findings"].as_array().unwrap();
    let found: Vec<_> =
        findings.iter().map(|it| (it["lint"].as_str().unwrap(), &it["place"]["line"])).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&("always-holds", &4.into())), "{found:?}");
}

#[test]
fn a_file_is_encoded_as_its_policies_are() {
    let (code, answer) = json(&["encode", "free.toml", "--session-key", KEY]);
    assert_eq!(code, 0);
    // The same policy as JSON on stdin.
    let stdin = serde_json::json!([{
        "sessionKeyAddress": KEY,
        "contractAddress": USDC,
        "functionSelector": "transfer(address,uint256)",
        "rules": [{ "offset": 32, "condition": 3, "referenceValue": 0 }],
    }]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["policy", "encode", "--json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.to_string().as_bytes()).unwrap();
    let other: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    for field in ["sessions", "root", "setMerkleRoot"] {
        assert_eq!(answer[field], other[field]);
    }
    assert_eq!(answer["limits"], serde_json::json!({}));

    let (_, answer) = json(&["encode", "pay.toml", "--decimals", "USDC=6", "--session-key", KEY]);
    assert_eq!(answer["limits"]["arguments"][0]["total"], "0x1dcd6500");
    is_as_before(&["encode", "free.toml", "--session-key", KEY], "free.encode.txt");
    assert_eq!(policy(&["encode", "free.toml", "--session-key", KEY, "--strict"]).code, 3);
    assert_eq!(policy(&["encode", "free.toml"]).code, 2);
}

#[test]
fn a_new_file_is_right_once_it_is_filled_in() {
    is_as_before(&["new"], "new.txt");
    let fill = ["new", "--abi", "abi.json", "--function", "fill", "--contract", NFT];
    is_as_before(&fill, "new.fill.txt");
    for (name, function) in [("none", "empty"), ("several", "stop")] {
        is_as_before(&["new", "--abi", "abi.json", "--function", function], &format!("new.{name}.txt"));
    }
    assert_eq!(policy(&["new", "--abi", "abi.json", "--function", "stop(uint64)"]).code, 0);
    is_as_before(&["new", "--function", "f(uint257 a)"], "new.signature.txt");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fill.toml");
    let file = path.to_str().unwrap();
    assert_eq!(policy(&[&fill[..], &[file]].concat()).code, 0);
    assert_eq!(json(&["explain", file]).0, 0);
    let written = std::fs::read_to_string(&path).unwrap();
    let again = policy(&[&fill[..], &[file]].concat());
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    // All that is offered in comments can be used.
    std::fs::write(&path, written.replace("    # \"", "    \"")).unwrap();
    let (_, answer) = json(&["explain", file, "--target", "chain"]);
    let texts = answer["targets"][0]["statements"].to_string();
    assert!(texts.contains("argument 2 is equal to true"), "{texts}");
}

#[test]
fn what_is_not_there_is_bad_input() {
    is_as_before(&["lint", "nowhere.toml"], "nowhere.txt");
    is_as_before(&["explain", "free.toml", "--decimals", "DAI=18"], "no-token.txt");
    assert_eq!(policy(&["check", "pay.toml"]).code, 2);
    assert_eq!(policy(&["lint", "--decimals", "USDC=6"]).code, 2);
}
