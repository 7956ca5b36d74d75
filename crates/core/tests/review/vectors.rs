//! `tests/vectors/device-review.json`.

use super::*;

/// `tests/vectors/device-review.json`: reviews that any other implementation, or a caller from another language, has to
/// repeat to the letter. Where what is shown changes on purpose, the file that this test writes takes its place.
#[test]
fn the_review_vectors_hold() {
    let (sessions, call_data) = (sessions(), grant());
    let mut altered = sessions.clone();
    altered[1].epoch = SessionEpoch::new(1_700_000_000, 1_900_000_001).unwrap();
    let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], FRIEND.into_word().as_slice(), &[0; 31], &[200]].concat();
    let transfer = single(TOKEN, &transfer);
    let unreadable = [call_data.as_slice(), &[0; 32]].concat();
    let cases = [
        ("a grant of two sessions", call_data.as_slice(), sessions.as_slice()),
        ("a call", transfer.as_slice(), &[]),
        ("a grant with an altered session", call_data.as_slice(), &altered),
        ("a grant whose sessions were not given", call_data.as_slice(), &[]),
        ("call data that is not canonical", &unreadable, &sessions),
    ];
    let cases: Vec<_> =
        cases.map(|(name, call_data, sessions)| case(name, operation(call_data), sessions)).into();
    let vectors = serde_json::json!({
        "meta": {
            "source": "quorate-core's own reviews of operations of EntryPoint v0.6; the hashes are \
                       UserOperation::hash's, which is proved against the contract",
        },
        "trusted": {
            "sessionKeyManager": MANAGER.to_string(),
            "abiSessionValidationModule": MODULE.to_string(),
            "erc20SessionValidationModule": ERC20_MODULE.to_string(),
            "functions": TRUSTED.functions.iter().map(KnownFunction::signature).collect::<Vec<_>>(),
        },
        "domain": { "entryPoint": DOMAIN.entry_point.to_string(), "chainId": DOMAIN.chain_id },
        "cases": cases,
    });
    let path = "../../tests/vectors/device-review.json";
    let kept = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    if kept.as_ref() != Some(&vectors) {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/device-review.json");
        std::fs::write(new, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
        panic!("reviews differ from {path}; as they are now, they are in {new}");
    }
}

fn case(name: &str, operation: UserOperation<&[u8]>, sessions: &[Session]) -> serde_json::Value {
    let hex = |bytes: &[u8]| alloy_primitives::hex::encode_prefixed(bytes);
    let number = |number: U256| format!("{number:#x}");
    let Reviewed { lines, hash: ended } = review(operation, sessions);
    let session = |session: &Session| {
        let leaf = session.leaf();
        serde_json::json!({
            "validAfter": leaf.epoch.valid_after(),
            "validUntil": leaf.epoch.valid_until(),
            "sessionValidationModule": leaf.validation_module.to_string(),
            "sessionKeyData": hex(leaf.session_key_data),
        })
    };
    serde_json::json!({
        "name": name,
        "operation": {
            "sender": operation.sender.to_string(),
            "nonce": number(operation.nonce),
            "initCode": hex(operation.init_code),
            "callData": hex(operation.call_data),
            "callGasLimit": number(operation.call_gas_limit),
            "verificationGasLimit": number(operation.verification_gas_limit),
            "preVerificationGas": number(operation.pre_verification_gas),
            "maxFeePerGas": number(operation.max_fee_per_gas),
            "maxPriorityFeePerGas": number(operation.max_priority_fee_per_gas),
            "paymasterAndData": hex(operation.paymaster_and_data),
        },
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
        "lines": lines,
        "hash": ended.as_ref().ok().map(|hash| hash.to_string()),
        "refused": ended.as_ref().err().map(|refused| refused.to_string()),
    })
}
