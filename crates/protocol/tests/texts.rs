//! The texts that people and programs write: permissions, the message to sign, and the refusals that they read.

#![allow(clippy::unwrap_used, reason = "a text that should be read and is not has failed")]

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, U256, address};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use quorate_core::{Condition, FunctionSelector, Policy, Rule, SessionEpoch};
use quorate_protocol::{
    AdmissionToken, AdmissionTokenError, ArgumentLimit, CallPolicy, ClientError, Coin, CoinWindow,
    EphemeralClaim, KeyRequest, Limits, MessageError, NetworkDescriptor, NodeIndex, OperationMessage,
    PaymasterRule, Permissions, PermissionsError, PermittedPolicy, Refusal,
};
use serde_json::{Value, json};

const OWNER: Address = address!("19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");

fn permissions() -> Permissions {
    let selector = FunctionSelector::parse("transfer(address,uint256)").unwrap();
    let policy = Policy::new(Address::repeat_byte(0x0f), selector)
        .with_value_limit_wei(U256::from(7))
        .unwrap()
        .with_epoch(SessionEpoch::new(1_700_000_000, 1_800_000_000).unwrap())
        .with_rule(Rule::new(0, Condition::Equal, Address::repeat_byte(0xaa)))
        .unwrap()
        .with_rule(Rule::new(32, Condition::LessThanOrEqual, U256::from(1000)))
        .unwrap();
    Permissions {
        owner: OWNER,
        account: Address::repeat_byte(0xaa),
        chain_id: 80002,
        entry_point: Address::repeat_byte(0xee),
        session_key_manager: Address::repeat_byte(0x5e),
        policies: vec![PermittedPolicy {
            validation_module: Address::repeat_byte(0xab),
            policy: policy.into(),
        }],
        limits: Limits::default(),
    }
}

/// The permissions' JSON with the value at `pointer` (RFC 6901) put in place of what is there.
fn with(pointer: &str, value: Value) -> String {
    let mut text: Value = serde_json::from_str(&permissions().to_json()).unwrap();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = text.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        parent => parent[field] = value,
    }
    text.to_string()
}

#[test]
fn permissions_keep_their_form() {
    let text = permissions().to_json();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "version": 1,
            "owner": "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a",
            "account": Address::repeat_byte(0xaa),
            "chainId": 80002,
            "entryPoint": Address::repeat_byte(0xee),
            "sessionKeyManager": Address::repeat_byte(0x5e),
            "policies": [{
                "validationModule": Address::repeat_byte(0xab),
                "contract": Address::repeat_byte(0x0f),
                "selector": "0xa9059cbb",
                "rules": [
                    { "offset": 0, "condition": 0, "referenceValue": Address::repeat_byte(0xaa).into_word() },
                    { "offset": 32, "condition": 1, "referenceValue": B256::from(U256::from(1000)) },
                ],
                "valueLimit": "0x7",
                "validAfter": 1_700_000_000,
                "validUntil": 1_800_000_000,
            }],
        })
    );
    assert_eq!(Permissions::from_json(&text).unwrap(), permissions());
    // What is hashed is the text, so another text of the same permissions is another hash.
    assert_ne!(Permissions::hash_of(&text), Permissions::hash_of(&format!("{text} ")));
}

#[test]
fn addresses_are_checksummed_or_in_lower_case() {
    for right in [OWNER.to_string(), format!("{OWNER:?}").to_lowercase()] {
        assert_eq!(Permissions::from_json(&with("/owner", json!(right))).unwrap().owner, OWNER);
    }
    let swapped = OWNER.to_string().replace("E7E376", "e7E376");
    for (pointer, path) in [
        ("/owner", "owner"),
        ("/account", "account"),
        ("/entryPoint", "entryPoint"),
        ("/sessionKeyManager", "sessionKeyManager"),
        ("/policies/0/validationModule", "policies[0].validationModule"),
        ("/policies/0/contract", "policies[0].contract"),
    ] {
        refused_at(&with(pointer, json!(swapped)), path, "checksum");
        refused_at(&with(pointer, json!(&swapped[2..])), path, "0x and 40 hex digits");
    }
}

/// The permissions' JSON with an ERC-20 policy after the ABI policy.
fn with_erc20() -> Value {
    let mut text: Value = serde_json::from_str(&permissions().to_json()).unwrap();
    text["policies"].as_array_mut().unwrap().push(json!({
        "validationModule": Address::repeat_byte(0xac),
        "kind": "erc20",
        "token": Address::repeat_byte(0x70),
        "recipient": Address::repeat_byte(0xf1),
        "maxAmount": "0x3e8",
        "validAfter": 0,
        "validUntil": 1_800_000_000,
    }));
    text
}

#[test]
fn policies_of_both_kinds_keep_their_form() {
    let text = with_erc20();
    let both = Permissions::from_json(&text.to_string()).unwrap();
    let CallPolicy::Erc20(policy) = &both.policies[1].policy else { panic!("{both:?}") };
    assert_eq!(policy.max_amount, U256::from(1000));
    assert_eq!(serde_json::from_str::<Value>(&both.to_json()).unwrap(), text);
    assert_eq!(both.policies[0], permissions().policies[0]);
}

/// Its hash is what owners have signed and nodes have attested to.
#[test]
fn permissions_of_abi_policies_are_the_same_to_the_byte() {
    let hash = Permissions::hash_of(&permissions().to_json());
    assert_eq!(hash.to_string(), "0x3eaf8b0a1f18936f7a709529fd7f758f43911905c6fab2b7004bfd2ea2d48fef");
}

#[test]
fn a_policy_has_the_fields_of_its_kind_alone() {
    let without = |place: usize, field: &str| {
        let mut text = with_erc20();
        text["policies"][place].as_object_mut().unwrap().remove(field).unwrap();
        text.to_string()
    };
    let given = |place: usize, field: &str, value: Value| {
        let mut text = with_erc20();
        text["policies"][place][field] = value;
        text.to_string()
    };
    for field in
        ["validationModule", "contract", "selector", "rules", "valueLimit", "validAfter", "validUntil"]
    {
        refused_at(&without(0, field), "policies[0]", &format!("missing field `{field}`"));
    }
    for field in ["validationModule", "token", "recipient", "maxAmount", "validAfter", "validUntil"] {
        refused_at(&without(1, field), "policies[1]", &format!("missing field `{field}`"));
    }
    // Without its kind it is taken for one of the ABI module.
    refused_at(&without(1, "kind"), "policies[1]", "unknown field `token` of an ABI policy");
    let cases = [
        (0, "kind", json!("erc20"), "policies[0]", "unknown field `contract` of an ERC-20 policy"),
        (0, "kind", json!("abi"), "policies[0].kind", "unknown variant `abi`"),
        (1, "kind", json!("ERC20"), "policies[1].kind", "unknown variant `ERC20`"),
        (0, "kind", json!(null), "policies[0].kind", "expected value"),
        (0, "rules", json!(null), "policies[0].rules", "invalid type: null"),
        (0, "maxAmount", json!("1"), "policies[0]", "unknown field `maxAmount` of an ABI policy"),
        (1, "rules", json!([]), "policies[1]", "unknown field `rules` of an ERC-20 policy"),
        (1, "valueLimit", json!("0"), "policies[1]", "unknown field `valueLimit` of an ERC-20 policy"),
        (1, "note", json!(""), "policies[1].note", "unknown field `note`"),
        (1, "token", json!("0x12"), "policies[1].token", "0x and 40 hex digits"),
        (1, "maxAmount", json!("01"), "policies[1].maxAmount", "without leading zeros"),
    ];
    for (place, field, value, path, reason) in cases {
        refused_at(&given(place, field, value), path, reason);
    }
    let doubled = with_erc20().to_string().replacen("\"kind\":", "\"kind\":\"erc20\",\"kind\":", 1);
    let error = source_of(&Permissions::from_json(&doubled).unwrap_err());
    assert!(error.contains("duplicate field `kind`"), "{error}");
    let far = given(1, "validUntil", json!(1_u64 << 48));
    let error = Permissions::from_json(&far).unwrap_err();
    assert!(matches!(error, PermissionsError::Policy { policy: 1, .. }), "{error}");
}

#[test]
fn permissions_that_are_refused_say_where() {
    let cases = [
        ("/note", json!(""), "note", "unknown field `note`"),
        ("/policies/0/note", json!(""), "policies[0].note", "unknown field `note`"),
        ("/policies/0/rules/1/note", json!(""), "policies[0].rules[1].note", "unknown field `note`"),
        ("/chainId", json!("80002"), "chainId", "invalid type: string"),
        ("/chainId", json!(-1), "chainId", "invalid value: integer `-1`"),
        ("/owner", json!(7), "owner", "invalid type: integer"),
        ("/owner", json!("0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2"), "owner", "0x and 40 hex digits"),
        ("/policies", json!({}), "policies", "invalid type: map"),
        ("/policies/0/validUntil", json!(1.5), "policies[0].validUntil", "invalid type: floating point"),
        ("/policies/0/rules/1/offset", json!(65_536), "policies[0].rules[1].offset", "65536"),
        ("/policies/0/rules/0/condition", json!("equal"), "policies[0].rules[0].condition", "string"),
    ];
    for (pointer, value, path, reason) in cases {
        refused_at(&with(pointer, value), path, reason);
    }
}

/// The permissions' JSON with every limit that there is.
fn limited() -> Value {
    json!({
        "uses": 10,
        "window": { "uses": 2, "seconds": 3600 },
        "nativeValue": "0x64",
        "gasCost": "1000000000000000000",
        "arguments": [{
            "contract": Address::repeat_byte(0x0f),
            "selector": "0xa9059cbb",
            "offset": 32,
            "total": "0x3e8",
        }, {
            "contract": Address::repeat_byte(0x0f),
            "selector": "0xa9059cbb",
            "offset": 32,
            "total": "0x64",
            "seconds": 86400,
        }],
        "paymaster": "required",
        "coinWindows": [
            { "of": "nativeValue", "total": "0x5", "seconds": 3600 },
            { "of": "gasCost", "total": "0x6", "seconds": 86400 },
        ],
    })
}

/// The permissions' JSON with all limits, and the value at `pointer` put in place of what is there.
fn limited_with(pointer: &str, value: Value) -> String {
    let mut text: Value = serde_json::from_str(&with("/limits", limited())).unwrap();
    *text.pointer_mut(pointer).unwrap() = value;
    text.to_string()
}

#[test]
fn a_number_has_one_decimal_and_one_hex_spelling() {
    let numbers = [
        ("/policies/0/valueLimit", "policies[0].valueLimit"),
        ("/limits/nativeValue", "limits.nativeValue"),
        ("/limits/gasCost", "limits.gasCost"),
        ("/limits/arguments/0/total", "limits.arguments[0].total"),
        ("/limits/coinWindows/1/total", "limits.coinWindows[1].total"),
    ];
    let over = format!("0x1{}", "0".repeat(64));
    let odd = [
        "",
        "0x",
        "0b101",
        "0o17",
        "0x0x1",
        "0X10",
        "1_000",
        "0x1_0",
        "007",
        "00",
        "0x07",
        "0x00",
        "-1",
        "+1",
        "1e3",
        "1.0",
        " 1",
        "1 ",
        "٣",
        "ff",
        "0xfg",
        "lots",
        &over,
        &U256::MAX.to_string().replace('5', "9"),
    ];
    let no_strings =
        [json!(-1), json!(1.5), json!(1_u64 << 53), json!(1e30), json!(true), json!(null), json!([1])];
    for (pointer, path) in numbers {
        for spelling in odd.iter().map(|text| json!(text)).chain(no_strings.clone()) {
            refused_at(&limited_with(pointer, spelling), path, "a number below 2^256");
        }
        for (spelling, number) in [
            (json!("0"), 0),
            (json!("0x0"), 0),
            (json!(0), 0),
            (json!("31"), 31),
            (json!("0x1f"), 31),
            (json!("0x1F"), 31),
            (json!(31), 31),
            (json!((1_u64 << 53) - 1), (1_u64 << 53) - 1),
        ] {
            let hex = json!(U256::from(number));
            let read = |spelling| Permissions::from_json(&limited_with(pointer, spelling)).unwrap();
            assert_eq!(read(spelling), read(hex), "{path}");
        }
    }
}

#[test]
fn bytes_have_0x_and_all_their_digits() {
    let fields = [
        ("/policies/0/selector", "policies[0].selector", 4),
        ("/policies/0/rules/1/referenceValue", "policies[0].rules[1].referenceValue", 32),
        ("/limits/arguments/0/selector", "limits.arguments[0].selector", 4),
    ];
    for (pointer, path, len) in fields {
        let digits = "a9".repeat(len);
        Permissions::from_json(&limited_with(pointer, json!(format!("0x{digits}")))).unwrap();
        let odd = [
            String::new(),
            "0x".to_owned(),
            digits.clone(),
            format!("0X{digits}"),
            format!("0x{}", &digits[1..]),
            format!("0x{digits}a9"),
            format!("0x0x{}", &digits[2..]),
            format!("0x{} ", &digits[1..]),
            format!("0x{}g", &digits[1..]),
        ];
        for spelling in odd {
            refused_at(&limited_with(pointer, json!(spelling)), path, &format!("is not {len} bytes: 0x and"));
        }
        refused_at(&limited_with(pointer, json!([0xa9, 0x05])), path, "invalid type");
    }
}

#[test]
fn doubled_missing_and_trailing_content_is_refused() {
    let text = permissions().to_json();
    let doubled = text.replacen("{", "{\"chainId\":1,", 1);
    let missing = text.replacen("\"version\":1,", "", 1);
    for (text, reason) in [
        (doubled, "duplicate field `chainId`"),
        (missing, "missing field `version`"),
        (format!("{text}{{}}"), "trailing characters"),
        (String::new(), "EOF"),
    ] {
        let error = source_of(&Permissions::from_json(&text).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn permissions_that_could_never_hold_are_refused() {
    let refused = |pointer: &str, value| Permissions::from_json(&with(pointer, value)).unwrap_err();
    assert!(matches!(refused("/version", json!(2)), PermissionsError::Version { found: 2 }));
    assert!(matches!(refused("/policies", json!([])), PermissionsError::NoPolicies));
    let condition = refused("/policies/0/rules/1/condition", json!(6));
    assert!(matches!(condition, PermissionsError::Condition { policy: 0, rule: 1, condition: 6 }));
    for (pointer, value) in [
        ("/policies/0/valueLimit", json!("0x100000000000000000000000000000000")),
        ("/policies/0/validUntil", json!(1_u64 << 48)),
    ] {
        let error = refused(pointer, value);
        assert!(matches!(error, PermissionsError::Policy { policy: 0, .. }), "{pointer}: {error}");
    }
}

#[test]
fn permissions_that_no_node_takes_are_found_before_they_are_asked_for() {
    let argument = |offset| ArgumentLimit {
        contract: OWNER,
        selector: [1; 4].into(),
        offset,
        total: U256::from(offset),
        seconds: None,
    };
    let daily = |offset| ArgumentLimit { seconds: NonZeroU64::new(86_400), ..argument(offset) };
    let window = |of, seconds| CoinWindow {
        of,
        total: U256::from(seconds),
        seconds: NonZeroU64::new(seconds).unwrap(),
    };
    let sized = |policies: usize, arguments: u16| {
        let mut sized = permissions();
        sized.policies = vec![sized.policies[0].clone(); policies];
        sized.limits.arguments = (0..arguments).map(argument).collect();
        sized
    };
    let many = sized(64, 64);
    many.check().unwrap();
    assert_eq!(Permissions::from_json(&many.to_json()).unwrap(), many);

    let limited = |arguments: &[ArgumentLimit], coin_windows: &[CoinWindow]| Permissions {
        limits: Limits {
            arguments: arguments.to_vec(),
            coin_windows: coin_windows.to_vec(),
            ..Limits::default()
        },
        ..permissions()
    };
    // An argument and the coin may have several windows, besides what they may come to in all.
    let (value, gas) = (window(Coin::NativeValue, 60), window(Coin::GasCost, 60));
    let windows = limited(&[argument(4), daily(4)], &[value, gas, window(Coin::GasCost, 3600)]);
    windows.check().unwrap();
    assert_eq!(Permissions::from_json(&windows.to_json()).unwrap(), windows);
    let repeated = limited(&[3, 4, 5, 4].map(argument), &[]);
    let repeated_window = limited(&[argument(4), daily(3), daily(4), daily(3)], &[]);
    let repeated_coin = limited(&[], &[value, gas, CoinWindow { total: U256::ZERO, ..gas }]);
    let mut full = sized(1, 64);
    full.limits.coin_windows = vec![gas];
    let cases = [
        (sized(0, 0), "hold no policy"),
        (sized(65, 0), "hold 65 policies, at most 64 are taken"),
        (sized(1, 65), "hold 65 argument limits and coin windows, at most 64 are taken"),
        (full, "hold 65 argument limits and coin windows, at most 64 are taken"),
        (repeated, "argument limit 3 is of the argument and the window that limit 1 is of"),
        (repeated_window, "argument limit 3 is of the argument and the window that limit 1 is of"),
        (repeated_coin, "coin window 2 is of what window 1 is of, and as long"),
    ];
    let network = {
        let nodes = (1..=3).map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).collect();
        NetworkDescriptor::new(2, nodes, vec!["ws://gateway.example".parse().unwrap()]).unwrap()
    };
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
    let claim = |id: &str| EphemeralClaim { key, id: Some(id.to_owned()), expiry: Some(1_735_693_200) };
    for (refused, reason) in cases {
        for error in [
            refused.check().unwrap_err().to_string(),
            Permissions::from_json(&refused.to_json()).unwrap_err().to_string(),
            KeyRequest::new(&network, &refused, &claim("mine"), None).unwrap_err().to_string(),
        ] {
            assert!(error.contains(reason), "{error}");
        }
    }
    KeyRequest::new(&network, &many, &claim("mine"), None).unwrap();
    let error = KeyRequest::new(&network, &many, &claim(&"i".repeat(512)), None).unwrap_err();
    assert!(error.to_string().contains("choose a shorter id"), "{error}");

    let padded = format!("{}{}", permissions().to_json(), " ".repeat(Permissions::MAX_LEN));
    let error = Permissions::from_json(&padded).unwrap_err();
    assert!(matches!(error, PermissionsError::TooLong { limit: 131_072, .. }), "{error}");
}

#[test]
fn a_client_sends_no_admission_token_of_another_owner_or_network() {
    let key = |seed| SigningKey::from_bytes(&[seed; 32]);
    let nodes = (1..=3).map(|seed| key(seed).verifying_key()).collect();
    let network = NetworkDescriptor::new(2, nodes, vec!["ws://gateway.example".parse().unwrap()]).unwrap();
    let claim = EphemeralClaim { key: key(7).verifying_key(), id: None, expiry: None };
    let ask = |token: &AdmissionToken| KeyRequest::new(&network, &permissions(), &claim, Some(token));
    let token = |network, owner| AdmissionToken::issue(&key(8), network, owner, 1_735_693_200, 3);
    let refusal = |token: &AdmissionToken| match ask(token).unwrap_err() {
        ClientError::AdmissionToken(error) => error,
        other => panic!("{other}"),
    };

    let good = token(network.id(), OWNER);
    assert!(ask(&good).unwrap().setup().contains(r#""tag":5"#));
    let other_network = refusal(&token(B256::ZERO, OWNER));
    assert!(matches!(other_network, AdmissionTokenError::OtherNetwork { found: B256::ZERO, .. }));
    let other_owner = refusal(&token(network.id(), Address::ZERO));
    assert_eq!(
        other_owner,
        AdmissionTokenError::OtherOwner { found: Address::ZERO.into(), expected: OWNER.into() }
    );
    let altered = good.to_json().replace(r#""keys":3"#, r#""keys":9"#);
    let altered = refusal(&AdmissionToken::from_json(&altered).unwrap());
    assert!(matches!(altered, AdmissionTokenError::Signature { .. }), "{altered}");
}

#[test]
fn messages_that_are_refused_say_where() {
    let good = json!({
        "userOperation": {
            "sender": OWNER, "nonce": "0x7", "initCode": "", "callData": "0000189a", "callGasLimit": "1",
            "verificationGasLimit": "2", "preVerificationGas": 3, "maxFeePerGas": "0x4",
            "maxPriorityFeePerGas": "0x5", "paymasterAndData": "0x",
        },
        "entryPointVersion": "v0.6.0", "entryPointAddress": Address::repeat_byte(0xee), "chainId": 80002,
    });
    OperationMessage::from_json(&good.to_string()).unwrap();
    let altered = |pointer: &str, value: Value| {
        let mut message = good.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        message.pointer_mut(parent).unwrap()[field] = value;
        OperationMessage::from_json(&message.to_string()).unwrap_err()
    };
    let over = format!("0x1{}", "0".repeat(64));
    for number in ["", "0x", "-1", "+1", "1e3", "1.0", "0b1", "1_000", " 1", over.as_str()] {
        let error = source_of(&altered("/userOperation/nonce", json!(number)));
        assert!(error.contains("userOperation.nonce"), "{number}: {error}");
    }
    // A number that JavaScript holds as a float has lost digits, or is none.
    let strings = "a decimal string or a hex string with 0x";
    for (number, words) in
        [(json!(1e21), strings), (json!(1.5), strings), (json!(-1), "below 0"), (json!(null), strings)]
    {
        let error = source_of(&altered("/userOperation/maxFeePerGas", number.clone()));
        assert!(error.contains("userOperation.maxFeePerGas"), "{number}: {error}");
        assert!(error.contains(words), "{number}: {error}");
    }
    for (field, value) in [("callData", "0x123"), ("initCode", "zz"), ("paymasterAndData", "0x0")] {
        let error = altered(&format!("/userOperation/{field}"), json!(value));
        assert!(matches!(error, MessageError::Bytes { field: named } if named == field), "{error}");
    }
    let version = altered("/entryPointVersion", json!("v0.7.0"));
    assert!(matches!(version, MessageError::EntryPointVersion { found } if found == "v0.7.0"));
    for (pointer, path) in [("/userOperation/factory", "userOperation.factory"), ("/note", "note")] {
        let error = source_of(&altered(pointer, json!("")));
        assert!(error.contains(&format!("`{path}`: unknown field")), "{error}");
    }
}

#[test]
fn a_refused_rule_is_read_whole_in_a_close_reason() {
    let refusal = Refusal::Forbidden {
        reason: format!(
            "policy 0 forbids the call: rule 0: the word at offset 0 is {}, permitted is equal to {}",
            Address::repeat_byte(0xcc).into_word(),
            OWNER.into_word()
        )
        .into(),
        revert: None,
    };
    let reason = refusal.close_reason();
    assert!(reason.len() <= 123, "{reason}");
    for part in ["policy 0 forbids the call: rule 0", "cccc, permitted is equal to 0x", "ff2a"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn short_close_reasons_are_the_refusals_text() {
    let missing = [1, 4].into_iter().filter_map(NodeIndex::new).collect();
    for refusal in [
        Refusal::Challenge,
        Refusal::NoPermissions,
        Refusal::UnknownKey { key_id: "key-1".into() },
        Refusal::Owner { key_id: "key-1".into(), owner: OWNER.into() },
        Refusal::Nodes { ready: 3, needed: 5, missing },
    ] {
        assert_eq!(refusal.close_reason(), refusal.to_string());
    }
}

proptest! {
    /// RFC 6455, 5.5: a control frame has 125 bytes at most, two of which are the status code.
    #[test]
    fn close_reasons_fit_a_close_frame(reason in ".{0,400}|(0x[0-9a-f]{0,80} ?){0,9}|[…✓é]{100}") {
        let refusals = [
            Refusal::Malformed { reason: reason.clone().into() },
            Refusal::Forbidden { reason: reason.clone().into(), revert: None },
            Refusal::UnknownKey { key_id: reason.clone().into() },
        ];
        for refusal in refusals {
            let short = refusal.close_reason();
            prop_assert!(short.len() <= 123, "{short}");
            prop_assert_eq!(short.is_empty(), refusal.to_string().is_empty());
        }
    }

    #[test]
    fn refusals_travel_whole(reason in ".{0,400}", revert in proptest::option::of(".*")) {
        let refusal = Refusal::Forbidden { reason: reason.into(), revert: revert.map(Into::into) };
        let json = serde_json::to_string(&refusal).unwrap();
        prop_assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal);
    }

    #[test]
    fn a_refused_owner_is_told_of_a_token_where_there_is_one(token in proptest::option::of("[a-z]{1,40}")) {
        let refusal = Refusal::NotAdmitted { owner: OWNER.into(), token: token.clone().map(Into::into) };
        let json = serde_json::to_value(&refusal).unwrap();
        let fields = json.as_object().unwrap().len();
        prop_assert_eq!(fields, if token.is_some() { 3 } else { 2 }, "as before where there is none");
        prop_assert_eq!(&serde_json::from_value::<Refusal>(json).unwrap(), &refusal);
        prop_assert!(refusal.to_string().contains(&token.unwrap_or_default()));
    }
}

/// Asserts that the text is refused at that path, for that reason.
fn refused_at(text: &str, path: &str, reason: &str) {
    let error = source_of(&Permissions::from_json(text).unwrap_err());
    assert!(error.contains(&format!("not valid at `{path}`: ")) && error.contains(reason), "{path}: {error}");
}

fn source_of(error: &dyn std::error::Error) -> String {
    error.source().unwrap().to_string()
}

#[test]
fn limits_keep_their_form() {
    let text = with("/limits", limited());
    let limited = Permissions::from_json(&text).unwrap();
    let dimensions: Vec<_> = limited.limits.counters().iter().map(|counter| counter.limit).collect();
    let ether = U256::from(10).pow(U256::from(18));
    let number = |number: u64| U256::from(number);
    let [uses, window, value] = [10, 2, 100].map(number);
    let [argument, daily, hourly_value, daily_gas] = [1000, 100, 5, 6].map(number);
    assert_eq!(dimensions, [uses, window, value, ether, argument, daily, hourly_value, daily_gas]);
    let counted = |place: usize| limited.limits.counters()[place].dimension.to_string();
    let argument = format!("of the argument at byte 32 of 0xa9059cbb at {}", Address::repeat_byte(0x0f));
    assert_eq!(
        [0, 1, 2, 3].map(counted),
        [
            "number of uses",
            "number of uses within 3600 s",
            "value sent in all (wei)",
            "gas cost in all (wei)",
        ]
    );
    assert_eq!(
        [4, 5].map(counted),
        [format!("total {argument}"), format!("total within 86400 s {argument}")]
    );
    assert_eq!([6, 7].map(counted), ["value sent within 3600 s (wei)", "gas cost within 86400 s (wei)"]);
    assert_eq!(limited.limits.paymaster, PaymasterRule::Required);
    assert_eq!(Permissions::from_json(&limited.to_json()).unwrap(), limited);
}

/// Texts that are registered and hashed already.
#[test]
fn limits_without_windows_of_amounts_are_written_as_before() {
    let argument = ArgumentLimit {
        contract: Address::repeat_byte(0x0f),
        selector: [1; 4].into(),
        offset: 32,
        total: U256::from(9),
        seconds: None,
    };
    let limits = Limits { uses: Some(3), arguments: vec![argument], ..Limits::default() };
    let text = Permissions { limits, ..permissions() }.to_json();
    let expected = concat!(
        r#","limits":{"uses":3,"arguments":[{"contract":"0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","#,
        r#""selector":"0x01010101","offset":32,"total":"0x9"}]}}"#
    );
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn limits_that_are_refused_say_where() {
    let cases = [
        (json!({ "users": 1 }), "limits.users", "unknown field"),
        (json!({ "uses": -1 }), "limits.uses", "invalid value"),
        (json!({ "window": { "uses": 1, "seconds": 0 } }), "limits.window.seconds", "nonzero"),
        (json!({ "window": { "uses": 1 } }), "limits.window", "seconds"),
        (json!({ "arguments": [{ "offset": 0 }] }), "limits.arguments[0]", "missing field"),
        (json!({ "paymaster": "sometimes" }), "limits.paymaster", "unknown variant"),
        (
            json!({ "coinWindows": [{ "of": "gasCost", "total": 1, "seconds": 0 }] }),
            "limits.coinWindows[0].seconds",
            "nonzero",
        ),
        (json!({ "coinWindows": [{ "of": "gasCost", "total": 1 }] }), "limits.coinWindows[0]", "seconds"),
        (json!({ "coinWindows": [{ "of": "uses" }] }), "limits.coinWindows[0].of", "unknown variant"),
    ];
    for (limits, path, reason) in cases {
        refused_at(&with("/limits", limits), path, reason);
    }
}
