//! The commands that need no network, as a program in another language calls them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod program;

use program::{answer, complaint, items, quorate};
use serde_json::{Value, json};

fn vectors(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap()).unwrap()
}

/// A policy as the original takes it, from its description in the vectors.
fn seed_policy(vector: &Value) -> Value {
    let mut policy = vector["input"].clone();
    for rule in policy["rules"].as_array_mut().unwrap() {
        let described = rule["referenceValue"].take();
        rule["referenceValue"] = match described["type"].as_str().unwrap() {
            "raw" => json!({ "raw": described["value"] }),
            _ => described["value"].clone(),
        };
    }
    policy
}

#[test]
fn policies_become_the_sessions_of_the_reference() {
    let reference = vectors("reference-sdk");
    let policies = items(&reference["policies"]);
    let seed: Vec<Value> = policies.iter().map(seed_policy).collect();

    let all = answer(&["policy", "encode"], &json!(seed));
    for (session, vector) in items(&all["sessions"]).iter().zip(policies) {
        assert_eq!(session["sessionKeyData"], vector["sessionKeyData"].as_str().unwrap().to_lowercase());
        assert_eq!(session["leaf"], vector["leaf"]);
        assert!(!items(&session["proof"]).is_empty());
    }

    let one = answer(&["policy", "encode"], &json!([seed[0]]));
    assert_eq!(one["root"], policies[0]["leaf"]);
    assert_eq!(one["sessions"][0]["proof"], json!([]));
    let root = one["root"].as_str().unwrap().trim_start_matches("0x");
    assert_eq!(one["setMerkleRoot"], format!("0x7cb64759{root}"));
}

#[test]
fn calls_get_the_contract_s_own_answer() {
    for vector in items(&vectors("reference-sdk")["ruleSemantics"]) {
        let question = json!({
            "sessionKeyData": vector["sessionKeyData"],
            "to": vector["dest"],
            "value": vector["value"],
            "data": vector["callData"],
        });
        let expected = &vector["result"];
        let answer = answer(&["policy", "check"], &question);
        assert_eq!(answer["allowed"], expected["ok"]);
        assert_eq!(answer["reason"], expected["reason"]);
    }
}

#[test]
fn user_operations_have_the_hash_of_each_entry_point() {
    for vector in items(&vectors("reference-sdk")["userOps"]) {
        let chain_id = vector["chainId"].to_string();
        let arguments = ["user-op", "hash", "--entry-point", "v0.6", "--chain-id", &chain_id];
        assert_eq!(answer(&arguments, &vector["op"])["userOpHash"], vector["hash"]);
    }
    for vector in items(&vectors("user-operation-hashes")) {
        for (version, hash) in vector["hashes"].as_object().unwrap() {
            let chain_id = vector["chainId"].to_string();
            let arguments = ["user-op", "hash", "--entry-point", version, "--chain-id", &chain_id];
            assert_eq!(&answer(&arguments, &vector["op"])["userOpHash"], hash, "{version}: {vector}");
            if vector["packed"].is_object() {
                assert_eq!(&answer(&arguments, &vector["packed"])["userOpHash"], hash, "{version}: {vector}");
            }
        }
    }
}

#[test]
fn a_grant_is_reviewed_and_other_sessions_are_refused() {
    let policy = json!([{
        "sessionKeyAddress": "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "contractAddress": "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "functionSelector": "safeMint(address)",
        "rules": [{ "offset": 0, "condition": 0, "referenceValue": "0xcccccccccccccccccccccccccccccccccccccccc" }],
    }]);
    let tree = answer(&["policy", "encode"], &policy);
    let set_root = tree["setMerkleRoot"].as_str().unwrap().trim_start_matches("0x");
    // execute_ncC(session key manager, 0, setMerkleRoot(root))
    let call_data = format!(
        "0x0000189a{:0>64}{:0>64}{:0>64}{:0>64}{:0<128}",
        "000002FbFfedd9B33F4E7156F2DE8D48945E7489".to_lowercase(),
        "0",
        "60",
        "24",
        set_root,
    );
    let operation = json!({
        "sender": "0x2e49cbe7db211cbd38bc977e8a3f7effe459c856",
        "nonce": 0,
        "callData": call_data,
        "callGasLimit": 1,
        "verificationGasLimit": 1,
        "preVerificationGas": 1,
        "maxFeePerGas": 1,
        "maxPriorityFeePerGas": 1,
    });
    let leaf =
        json!({ "sessionKeyData": tree["sessions"][0]["sessionKeyData"], "validUntil": 0, "validAfter": 0 });
    let request = json!({ "operation": operation, "leaves": [leaf] });
    let review = ["grant", "review", "--chain-id", "137", "--function", "safeMint(address to)"];
    let reviewed = answer(&review, &request);
    let hash = answer(&["user-op", "hash", "--entry-point", "v0.6", "--chain-id", "137"], &operation);
    assert_eq!(reviewed["userOpHash"], hash["userOpHash"]);
    assert_eq!(reviewed["refusal"], Value::Null);
    let lines = reviewed["lines"].to_string().to_lowercase();
    assert!(lines.contains("only if to is equal to 0xcccccccccccccccccccccccccccccccccccccccc"), "{lines}");

    let mut other = request.clone();
    other["leaves"][0]["validUntil"] = json!(1_900_000_000);
    let output = quorate(&[&review[..], &["--json"]].concat(), &other.to_string());
    assert_eq!(output.status.code(), Some(3));
    let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(refused["userOpHash"], Value::Null);
    assert!(refused["refusal"].as_str().unwrap().contains("other sessions would be granted"), "{refused}");
}

#[test]
fn accounts_are_where_the_factory_puts_them() {
    for vector in items(&vectors("reference-sdk")["counterfactual"]) {
        let index = vector["index"].to_string();
        let index = index.trim_matches('"');
        let owner = vector["owner"].as_str().unwrap();
        let address = answer(&["account", "address", "--owner", owner, "--index", index], &Value::Null);
        assert_eq!(
            address["address"].as_str().unwrap().to_lowercase(),
            vector["address"].as_str().unwrap().to_lowercase()
        );
    }
}

#[test]
fn without_json_the_answer_is_for_people() {
    let reference = vectors("reference-sdk");
    let policy = json!([seed_policy(&reference["policies"][0])]).to_string();
    let text = String::from_utf8(quorate(&["policy", "encode"], &policy).stdout).unwrap();
    assert!(text.starts_with("session 0\n") && text.contains("root"), "{text}");
    assert!(text.contains(reference["policies"][0]["leaf"].as_str().unwrap()));

    let refused =
        items(&reference["ruleSemantics"]).iter().find(|vector| vector["result"]["ok"] == false).unwrap();
    let question = json!({
        "sessionKeyData": refused["sessionKeyData"],
        "to": refused["dest"],
        "value": refused["value"],
        "data": refused["callData"],
    });
    let text = String::from_utf8(quorate(&["policy", "check"], &question.to_string()).stdout).unwrap();
    assert!(text.starts_with("refused: rule 0") && text.contains("ABISV Arg Rule Violated"), "{text}");
}

#[test]
fn what_cannot_be_taken_is_named_with_its_place() {
    let mut policy = seed_policy(&vectors("reference-sdk")["policies"][2]);
    let encode = ["policy", "encode"];
    let rules = policy["rules"].take();
    for (field, value, place, words) in [
        ("valueLimit", json!("0x100000000000000000000000000000000"), "[0].valueLimit", "128 bits"),
        (
            "contractAddress",
            json!("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d278"),
            "[0].contractAddress",
            "40 hex digits",
        ),
        (
            "contractAddress",
            json!("0x5fF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            "[0].contractAddress",
            "checksum",
        ),
        ("functionSelector", json!("transfer(addres)"), "[0].functionSelector", "addres"),
        ("colour", json!("red"), "[0].colour", "unknown field"),
        ("interval", json!({ "validAfter": 0, "validUntil": "281474976710656" }), "[0].interval", "48 bits"),
        (
            "rules",
            json!([{ "offset": 0, "condition": 9, "referenceValue": 1 }]),
            "[0].rules[0].condition",
            "9",
        ),
        (
            "rules",
            json!([{ "offset": 65536, "condition": 0, "referenceValue": 1 }]),
            "[0].rules[0].offset",
            "16 bits",
        ),
        (
            "rules",
            json!([{ "offset": 0, "condition": 0, "referenceValue": "0xg" }]),
            "[0].rules[0].referenceValue",
            "digit",
        ),
    ] {
        let mut broken = policy.clone();
        broken["rules"] = rules.clone();
        broken[field] = value;
        let complaint = complaint(&encode, &json!([broken]).to_string());
        assert!(complaint.contains(place) && complaint.contains(words), "{field}: {complaint}");
    }
    assert!(complaint(&encode, "[]").contains("at least one leaf"));
    assert!(complaint(&encode, "[").contains("EOF"));
    assert!(complaint(&encode, "[] []").contains("goes on"));
    assert!(complaint(&["policy", "check"], "{}").contains("sessionKeyData"));
}
