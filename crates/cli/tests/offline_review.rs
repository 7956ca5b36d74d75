//! What `quorate grant review`, `key-request review` and `delegation review` say, and what they refuse.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod program;

use std::num::NonZeroU64;
use std::process::Output;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use quorate_core::{
    Call, Encode as _, ExecuteBatch, FunctionSelector, Policy, SessionEpoch, SessionKeyData, SessionLeaf,
    merkle,
};
use quorate_protocol::{Deployment, Limits, PolicyCaveats, UnsignedDelegation};
use serde_json::{Value, json};

const OWNERSHIP_MODULE: Address = address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e");
const MANAGER: Address = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
const MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
const ACCOUNT: Address = address!("2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856");
const FRIEND: Address = Address::repeat_byte(0x44);

fn review(command: &str, request: &Value) -> (Output, Value) {
    let arguments: &[&str] = match command {
        "grant" => &["grant", "review", "--json", "--chain-id", "137"],
        command => &[command, "review", "--json"],
    };
    let output = program::quorate(arguments, &request.to_string());
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, answer)
}

/// A grant of one session, in a batch after other calls.
struct Grant {
    contract: Address,
    epoch: SessionEpoch,
    before: Vec<(Address, Vec<u8>)>,
    fields: Value,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            contract: Address::repeat_byte(0x11),
            epoch: SessionEpoch::new(0, 4_000_000_000).unwrap(),
            before: Vec::new(),
            fields: json!({}),
        }
    }
}

impl Grant {
    fn request(&self) -> Value {
        let policy = Policy::new(self.contract, FunctionSelector::parse("mint(address)").unwrap());
        let session_key_data = SessionKeyData::new(Address::repeat_byte(0x5e), &policy).to_vec();
        let leaf =
            SessionLeaf { epoch: self.epoch, validation_module: MODULE, session_key_data: &session_key_data };
        let root = merkle::root(&[leaf.hash()]).unwrap();
        let mut calls = self.before.clone();
        calls.push((MANAGER, call("setMerkleRoot(bytes32)", root)));
        let calls: Vec<Call<'_>> =
            calls.iter().map(|(to, data)| Call { to: *to, value: U256::ZERO, data }).collect();
        let mut operation = json!({
            "sender": ACCOUNT,
            "nonce": "0x0",
            "callData": Bytes::from(ExecuteBatch(&calls).to_vec()),
            "callGasLimit": 1,
            "verificationGasLimit": 1,
            "preVerificationGas": 1,
            "maxFeePerGas": 1,
            "maxPriorityFeePerGas": 1,
        });
        operation.as_object_mut().unwrap().extend(self.fields.as_object().unwrap().clone());
        let leaf = json!({
            "sessionKeyData": Bytes::from(session_key_data),
            "validUntil": self.epoch.valid_until(),
            "validAfter": self.epoch.valid_after(),
        });
        json!({ "operation": operation, "leaves": [leaf] })
    }

    #[track_caller]
    fn assert_says(&self, severity: &str, words: &str) {
        let (output, answer) = review("grant", &self.request());
        assert!(output.status.success(), "{answer}");
        let items = answer["items"].as_array().unwrap();
        let said = |item: &Value| {
            let text = format!("{} {}", item["label"].as_str().unwrap(), item["value"].as_str().unwrap());
            item["severity"] == severity && text.contains(words)
        };
        assert!(items.iter().any(said), "no {severity} says `{words}`: {answer:#}");
        assert_eq!(items.len(), answer["lines"].as_array().unwrap().len());
    }
}

fn call(function: &str, word: B256) -> Vec<u8> {
    [FunctionSelector::parse(function).unwrap().as_bytes().as_slice(), word.as_slice()].concat()
}

#[test]
fn a_session_over_what_controls_the_account_is_said() {
    for contract in [OWNERSHIP_MODULE, MANAGER, ACCOUNT] {
        let grant = Grant { contract, ..Grant::default() };
        grant.assert_says(
            "danger",
            &format!("may change who controls the account, or what it has deposited {contract}"),
        );
    }
}

#[test]
fn another_owner_beside_a_grant_is_said() {
    let give_away = call("transferOwnership(address)", FRIEND.into_word());
    let grant = Grant { before: vec![(OWNERSHIP_MODULE, give_away)], ..Grant::default() };
    grant.assert_says("danger", &format!("OWNER OF THE ACCOUNT {FRIEND}"));
}

#[test]
fn what_the_entry_point_would_not_take_is_refused() {
    for (field, words) in [("initCode", "initCode"), ("paymasterAndData", "paymasterAndData")] {
        let grant = Grant { fields: json!({ field: "0x1234" }), ..Grant::default() };
        let (output, answer) = review("grant", &grant.request());
        assert_eq!((output.status.code(), &answer["userOpHash"]), (Some(3), &Value::Null));
        assert!(answer["refusal"].as_str().unwrap().contains(words), "{answer}");
        assert_eq!(answer["items"].as_array().unwrap().last().unwrap()["severity"], "refused");
    }
}

#[test]
fn a_window_that_never_opens_is_said() {
    let epoch = SessionEpoch::new(4_000_000_001, 4_000_000_000).unwrap();
    Grant { epoch, ..Grant::default() }.assert_says("warning", "validUntil");
}

#[test]
fn a_second_root_with_a_byte_more_is_refused() {
    let evil = [call("setMerkleRoot(bytes32)", B256::repeat_byte(0xe1)), vec![0]].concat();
    let (output, answer) =
        review("grant", &Grant { before: vec![(MANAGER, evil)], ..Grant::default() }.request());
    assert_eq!(output.status.code(), Some(3));
    assert!(answer["refusal"].as_str().unwrap().contains("call 1 goes to"), "{answer}");
}

#[test]
fn a_request_for_a_key_is_shown_with_the_permissions_that_it_names() {
    let permissions = json!({
        "version": 1, "owner": FRIEND, "account": ACCOUNT, "chainId": 137,
        "entryPoint": address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"), "sessionKeyManager": MANAGER,
        "policies": [{
            "validationModule": MODULE, "contract": Address::repeat_byte(0x11), "selector": "0x6a627842",
            "rules": [], "valueLimit": "0x0", "validAfter": 0, "validUntil": 1_900_000_000,
        }],
    });
    // `json!` sorts its members; clients write them in this order.
    let order = ["version", "owner", "account", "chainId", "entryPoint", "sessionKeyManager", "policies"];
    let of_policy =
        ["validationModule", "contract", "selector", "rules", "valueLimit", "validAfter", "validUntil"];
    let write = |value: &Value, names: &[&str]| {
        let members = names.iter().map(|name| format!("\"{name}\":{}", value[*name]));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let policy = write(&permissions["policies"][0], &of_policy);
    let text =
        write(&permissions, &order).replace(&permissions["policies"].to_string(), &format!("[{policy}]"));
    let ephemeral = format!(r#"{{"ephId":"app","ephPK":"{}","expiry":1900000000}}"#, B256::repeat_byte(1));
    let claim = format!(
        r#"{{"network":"{}","chainId":137,"permissions":"{}"}}"#,
        B256::repeat_byte(2),
        keccak256(&text)
    );
    let mut request = json!({
        "setup": { "t": 3, "n": 5, "metadata": [{ "tag": 2, "value": ephemeral }, { "tag": 4, "value": claim }] },
        "challenge": "9f9f",
        "permissions": text,
    });
    let (output, answer) = review("key-request", &request);
    assert!(output.status.success(), "{answer}");
    let lines = answer["lines"].to_string();
    assert!(
        lines.contains(&format!("may call {}", Address::repeat_byte(0x11))) && !lines.contains("DANGER"),
        "{lines}"
    );
    assert!(answer["digest"].is_string());

    request["permissions"] = json!(text.replace("1900000000", "1900000001"));
    let (output, answer) = review("key-request", &request);
    assert_eq!((output.status.code(), &answer["digest"]), (Some(3), &Value::Null));
    assert!(answer["refusal"].as_str().unwrap().contains("the permissions shown have keccak"), "{answer}");

    request.as_object_mut().unwrap().remove("permissions");
    let (_, answer) = review("key-request", &request);
    assert!(answer["lines"].to_string().contains("DANGER: what the key may sign is not shown"), "{answer}");
}

/// The typed data of a delegation, of which wallets have more members.
fn delegation() -> Value {
    let mint = Policy::new(Address::repeat_byte(0x11), FunctionSelector::parse("safeMint(address)").unwrap());
    let caveats = PolicyCaveats::of(&[mint], &Limits::default(), 1_900_000_000).unwrap().caveats;
    let (chain_id, salt) = (NonZeroU64::new(137).unwrap(), U256::from(1));
    let unsigned =
        UnsignedDelegation::new(chain_id, &Deployment::V1_3_0, ACCOUNT, FRIEND, &caveats, salt).unwrap();
    unsigned.typed_data().document().clone()
}

#[test]
fn a_delegation_is_shown_from_what_is_signed() {
    let (output, answer) = review("delegation", &delegation());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> =
        answer["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines[0], format!("Delegation of the account {ACCOUNT}"));
    assert!(lines.contains(&"  WARNING: it has no end"), "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!(*last, format!("Hash of all this {}", answer["digest"].as_str().unwrap()));

    let mut unreadable = delegation();
    unreadable["message"]["caveats"][1]["terms"] = json!("0x0102");
    let (output, answer) = review("delegation", &unreadable);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        answer["digest"].is_null() && answer["refusal"].as_str().unwrap().contains("caveat 1"),
        "{answer}"
    );
}
