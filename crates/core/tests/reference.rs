//! Comparison with the output of the JavaScript SDK and with the answers of the contract.

use alloy_primitives::{Bytes, hex};
use quorate_core::{
    AccountCall, Address, B256, Call, Condition, DUMMY_SESSION_SIGNATURE, Encode, Execute, ExecuteBatch,
    FunctionSelector, KeyRequest, KeyRequestReview, ModuleSignature, ParsedSessionKeyData, Policy,
    ReferenceValue, Refusal, Rule, SessionEpoch, SessionKeyData, SessionLeaf, TaggedValue, Text,
    TrustedContext, U256, UserOperation, address, evaluate, merkle,
};
use serde_json::Value;

#[test]
fn session_key_data_and_leaves() {
    let reference = reference();
    let module = parse::<Address>(&reference["meta"]["abiSvm"]);
    for vector in array(&reference["policies"]) {
        let input = &vector["input"];
        let policy = policy(input);
        let session_key = parse::<Address>(&input["sessionKeyAddress"]);
        let encoder = SessionKeyData::new(session_key, &policy);
        let data = encode(&encoder);
        assert_eq!(data, parse::<Bytes>(&vector["sessionKeyData"]));
        assert_eq!(data.len(), encoder.encoded_len());

        let leaf = SessionLeaf { epoch: policy.epoch(), validation_module: module, session_key_data: &data };
        assert_eq!(leaf.hash(), parse::<B256>(&vector["leaf"]));

        let parsed = ParsedSessionKeyData::parse(&data).unwrap();
        assert_eq!(parsed.session_key(), session_key);
        assert_eq!(parsed.to_policy::<16>(policy.epoch()), Ok(policy));
    }
}

/// The original's own input is read by the JSON forms, but for the key, which is no part of a policy, and for its
/// reference values, which the vectors describe and do not hold as they were given.
#[cfg(feature = "serde")]
#[test]
fn policies_as_json() {
    for vector in array(&reference()["policies"]) {
        let input = &vector["input"];
        let mut form = input.clone();
        form.as_object_mut().unwrap().remove("sessionKeyAddress");
        for rule in form["rules"].as_array_mut().unwrap() {
            let reference = rule["referenceValue"].take();
            rule["referenceValue"] = match reference["type"].as_str().unwrap() {
                "raw" => serde_json::json!({ "raw": reference["value"] }),
                _ => reference["value"].clone(),
            };
        }
        let read = serde_json::from_value::<Policy>(form).unwrap();
        assert_eq!(read, policy(input));
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&written).unwrap(), read);
    }
}

#[test]
fn trees() {
    for vector in array(&reference()["merkle"]) {
        let leaves = array(&vector["leaves"]).iter().map(parse).collect::<Vec<B256>>();
        let root = parse::<B256>(&vector["root"]);
        assert_eq!(merkle::root(&leaves), Ok(root));
        for (leaf, expected) in leaves.iter().zip(array(&vector["proofs"])) {
            let expected = array(expected).iter().map(parse).collect::<Vec<B256>>();
            let proof = merkle::Proof::of(&leaves, *leaf).unwrap();
            assert_eq!(proof.siblings(), expected);
            assert_eq!(proof.root(), root);
            assert!(merkle::verify(root, *leaf, proof.siblings()));
        }
    }
}

#[test]
fn user_operation_hashes() {
    let reference = reference();
    let entry_point = parse::<Address>(&reference["meta"]["entryPoint"]);
    for vector in array(&reference["userOps"]) {
        let op = &vector["op"];
        let operation = UserOperation {
            sender: parse(&op["sender"]),
            nonce: parse(&op["nonce"]),
            init_code: parse::<Bytes>(&op["initCode"]),
            call_data: parse(&op["callData"]),
            call_gas_limit: parse(&op["callGasLimit"]),
            verification_gas_limit: parse(&op["verificationGasLimit"]),
            pre_verification_gas: parse(&op["preVerificationGas"]),
            max_fee_per_gas: parse(&op["maxFeePerGas"]),
            max_priority_fee_per_gas: parse(&op["maxPriorityFeePerGas"]),
            paymaster_and_data: parse(&op["paymasterAndData"]),
        };
        let chain_id = vector["chainId"].as_u64().unwrap();
        assert_eq!(operation.hash(entry_point, chain_id), parse::<B256>(&vector["hash"]));
        assert_eq!(operation.as_slices().hash(entry_point, 80_002), parse::<B256>(&vector["hash80002"]));
    }
}

#[cfg(feature = "serde")]
#[test]
fn user_operations_as_json() {
    let reference = reference();
    let entry_point = parse::<Address>(&reference["meta"]["entryPoint"]);
    for vector in array(&reference["userOps"]) {
        let operation = serde_json::from_value::<UserOperation<Vec<u8>>>(vector["op"].clone()).unwrap();
        assert_eq!(operation.hash(entry_point, 80_002), parse::<B256>(&vector["hash80002"]));
    }
}

/// What wallets sign for the unmodified clients of the wallet-provider protocol, by viem.
#[test]
fn key_requests() {
    let text = include_str!("../../../tests/vectors/wallet-provider.json");
    let vectors = serde_json::from_str::<Value>(text).unwrap();
    let mut seen = 0;
    for exchange in array(&vectors["exchanges"]).iter().filter(|exchange| exchange["path"] == "keygen") {
        let message = &exchange["typedData"]["message"];
        let metadata: Vec<TaggedValue<'_>> = array(&message["setup"]["metadata"])
            .iter()
            .map(|entry| TaggedValue {
                tag: u16::try_from(entry["tag"].as_u64().unwrap()).unwrap(),
                value: entry["value"].as_str().unwrap(),
            })
            .collect();
        let number = |name: &str| u32::try_from(message["setup"][name].as_u64().unwrap()).unwrap();
        let request = KeyRequest {
            threshold: number("t"),
            nodes: number("n"),
            metadata: &metadata,
            challenge: message["challenge"].as_str().unwrap(),
        };
        assert_eq!(request.digest(), parse::<B256>(&exchange["digest"]));
        // Names that JSON has to escape are not shown.
        let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, Text(String::new()));
        let shown = review.begin(&request).and_then(|()| review.finish()).is_ok();
        assert_eq!(shown, !metadata.iter().any(|entry| entry.value.contains('\\')));
        seen += 1;
    }
    assert!(seen >= 2);
}

#[test]
fn single_calls() {
    for vector in array(&reference()["calldata"]["execute_ncC"]) {
        let data = parse::<Bytes>(&vector["tx"]["data"]);
        let call = call(&vector["tx"], &data);
        let encoded = encode(&Execute(call));
        assert_eq!(encoded, parse::<Bytes>(&vector["data"]));
        assert_eq!(encoded.len(), Execute(call).encoded_len());
        assert!(AccountCall::decode(&encoded).unwrap().calls().eq([call]));
    }
}

#[test]
fn batches() {
    let vector = &reference()["calldata"]["executeBatch_y6U_3"];
    let data = array(&vector["txs"]).iter().map(|tx| parse(&tx["data"])).collect::<Vec<Bytes>>();
    let calls = array(&vector["txs"]).iter().zip(&data).map(|(tx, data)| call(tx, data)).collect::<Vec<_>>();
    let encoded = encode(&ExecuteBatch(&calls));
    assert_eq!(encoded, parse::<Bytes>(&vector["data"]));
    assert_eq!(encoded.len(), ExecuteBatch(&calls).encoded_len());
    assert!(AccountCall::decode(&encoded).unwrap().calls().eq(calls));
}

#[test]
fn answers_of_the_contract() {
    let reference = reference();
    let vectors = array(&reference["ruleSemantics"]);
    for vector in vectors {
        let data = parse::<Bytes>(&vector["callData"]);
        let call = Call { to: parse(&vector["dest"]), value: decimal(&vector["value"]), data: &data };
        let answer = evaluate(&parse::<Bytes>(&vector["sessionKeyData"]), &encode(&Execute(call)));
        let result = &vector["result"];
        if result["ok"].as_bool().unwrap() {
            assert_eq!(answer, Ok(parse(&result["sessionKey"])));
        } else {
            let reason = result["reason"].as_str().filter(|reason| *reason != "execution reverted");
            assert_eq!(answer.map_err(|refusal: Refusal| refusal.revert_reason()), Err(reason));
        }
    }
    assert_eq!(vectors.len(), 32);
}

#[test]
fn enclosed_signatures() {
    let reference = reference();
    let vector = &reference["ecdsaSignature"];
    let module_signature = parse::<Bytes>(&vector["moduleSignature"]);
    let enclosed = ModuleSignature {
        module_signature: &module_signature[..],
        module: parse(&reference["meta"]["ecdsaModule"]),
    };
    assert_eq!(encode(&enclosed), parse::<Bytes>(&vector["enclosing"]));
    assert_eq!(enclosed.encoded_len(), encode(&enclosed).len());
    assert_eq!(DUMMY_SESSION_SIGNATURE[..], parse::<Bytes>(&reference["mockEcdsaSessionKeySig"]));
}

fn policy(input: &Value) -> Policy {
    let selector = selector(&input["functionSelector"]);
    let mut policy = Policy::new(parse(&input["contractAddress"]), selector)
        .with_value_limit_wei(decimal(&input["valueLimit"]))
        .expect("a value limit");
    for rule in array(&input["rules"]) {
        let number = |name: &str| rule[name].as_u64().expect("a number");
        let condition = u8::try_from(number("condition")).ok().and_then(|n| Condition::try_from(n).ok());
        let rule = Rule::new(
            u16::try_from(number("offset")).expect("an offset"),
            condition.expect("a condition"),
            parse::<ReferenceValue>(&rule["referenceValue"]["value"]),
        );
        policy = policy.with_rule(rule).expect("room for the rule");
    }
    match input.get("interval") {
        None => policy,
        Some(interval) => {
            let time = |name: &str| interval[name].as_u64().expect("a time");
            policy.with_epoch(SessionEpoch::new(time("validAfter"), time("validUntil")).expect("48 bits"))
        }
    }
}

/// A signature, four raw bytes, or an item of an ABI, of which the vectors have none with tuples.
fn selector(function: &Value) -> FunctionSelector {
    if function.is_string() {
        return parse(function);
    }
    if function["raw"].is_string() {
        return parse(&function["raw"]);
    }
    let name = function["name"].as_str().expect("the function's name");
    let types = array(&function["inputs"]).iter().map(|input| input["type"].as_str().expect("a type"));
    let signature = format!("{name}({})", types.collect::<Vec<_>>().join(","));
    signature.parse().expect("a function")
}

fn encode(encoder: &impl Encode) -> Vec<u8> {
    let mut buffer = heapless::Vec::<u8, 4096>::new();
    encoder.write_to(&mut buffer).expect("room");
    buffer.to_vec()
}

fn call<'a>(tx: &Value, data: &'a [u8]) -> Call<'a> {
    Call { to: parse(&tx["to"]), value: decimal(&tx["value"]), data }
}

fn reference() -> Value {
    let text = include_str!("../../../tests/vectors/reference-sdk.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("the vector has an array there")
}

fn decimal(value: &Value) -> U256 {
    parse(value)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().and_then(|text| text.parse().ok()).expect("the vector has such a value there")
}

/// A session's signature as `abi.encode` of Solidity gives it, written out by hand.
#[test]
fn session_signatures() {
    let proof = [B256::repeat_byte(0xaa), B256::repeat_byte(0xbb)];
    let signature = quorate_core::SessionSignature {
        epoch: SessionEpoch::new(3, 5).unwrap(),
        validation_module: address!("000006bC2eCdAe38113929293d241Cf252D91861"),
        session_key_data: &[0x11; 33],
        proof: &proof,
        signature: &[0x22; 4],
    };
    let expected = hex!(
        "0000000000000000000000000000000000000000000000000000000000000005"
        "0000000000000000000000000000000000000000000000000000000000000003"
        "000000000000000000000000000006bC2eCdAe38113929293d241Cf252D91861"
        "00000000000000000000000000000000000000000000000000000000000000c0"
        "0000000000000000000000000000000000000000000000000000000000000120"
        "0000000000000000000000000000000000000000000000000000000000000180"
        "0000000000000000000000000000000000000000000000000000000000000021"
        "1111111111111111111111111111111111111111111111111111111111111111"
        "1100000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000002"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "0000000000000000000000000000000000000000000000000000000000000004"
        "2222222200000000000000000000000000000000000000000000000000000000"
    );
    assert_eq!(encode(&signature), expected);
    assert_eq!(signature.encoded_len(), expected.len());
    let module = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
    assert_eq!(
        encode(&ModuleSignature { module_signature: signature, module }),
        encode(&ModuleSignature { module_signature: &expected[..], module }),
    );
}
