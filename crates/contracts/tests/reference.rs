//! Comparison with the output of the JavaScript SDK, and with the bindings' own encoder.

use alloy_primitives::{Bytes, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use quorate_contracts::{
    Deployment, EcdsaOwnershipModule, SessionKeyManager, SmartAccount, SmartAccountFactory, account, calls,
};
use quorate_core::{Address, B256, U256};
use serde_json::Value;

#[test]
fn account_addresses_and_init_codes() {
    let deployment = Deployment::canonical();
    let mut init_codes = 0;
    for vector in reference()["counterfactual"].as_array().unwrap() {
        let owner = parse::<Address>(&vector["owner"]);
        let index = U256::from(vector["index"].as_u64().unwrap());
        assert_eq!(account::address(&deployment, owner, index), parse::<Address>(&vector["address"]));
        if vector["initCode"].is_string() {
            assert_eq!(
                account::init_code(&deployment, owner, index)[..],
                parse::<Bytes>(&vector["initCode"])
            );
            init_codes += 1;
        }
    }
    assert!(init_codes > 0);
}

#[test]
fn the_init_code_hash_is_that_of_the_proxy() {
    let deployment = Deployment::canonical();
    let creation_code = parse::<Bytes>(&reference()["proxyCreationCode"]["bytes"]);
    let init_code = (creation_code.to_vec(), deployment.account_implementation.abi_encode());
    assert_eq!(keccak256([init_code.0, init_code.1].concat()), deployment.account_init_code_hash);
}

#[test]
fn deployments_as_in_the_reference() {
    let meta = &reference()["meta"];
    let deployment = Deployment::canonical();
    for (name, address) in [
        ("entryPoint", deployment.entry_point),
        ("factory", deployment.account_factory),
        ("implementation", deployment.account_implementation),
        ("fallbackHandler", deployment.fallback_handler),
        ("ecdsaModule", deployment.ecdsa_ownership_module),
        ("sessionKeyManager", deployment.session_key_manager),
        ("abiSvm", deployment.abi_session_validation_module),
        ("erc20Svm", deployment.erc20_session_validation_module),
        ("batchedRouter", deployment.batched_session_router),
    ] {
        assert_eq!(parse::<Address>(&meta[name]), address, "{name}");
    }
}

#[test]
fn modules_and_roots() {
    let reference = reference();
    for vector in reference["calldata"]["enableModule"].as_array().unwrap() {
        let call = calls::enable_module(parse(&vector["to"]), parse(&vector["module"]));
        assert_eq!(call.to, parse::<Address>(&vector["to"]));
        assert_eq!(call.data[..], parse::<Bytes>(&vector["data"]));
    }
    for vector in reference["calldata"]["setMerkleRoot"].as_array().unwrap() {
        let manager = Deployment::canonical().session_key_manager;
        let call = calls::set_merkle_root(manager, parse(&vector["root"]));
        assert_eq!(call.as_call().to, manager);
        assert_eq!(*call.as_call().data, parse::<Bytes>(&vector["data"]));
    }
}

#[test]
fn the_same_bytes_as_the_bindings() {
    let deployment = Deployment::canonical();
    let (owner, index) = (Address::repeat_byte(7), U256::MAX);
    let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: owner }.abi_encode();
    let deploy = SmartAccountFactory::deployCounterFactualAccountCall {
        moduleSetupContract: deployment.ecdsa_ownership_module,
        moduleSetupData: setup.into(),
        index,
    };
    let expected = [deployment.account_factory.as_slice(), &deploy.abi_encode()].concat();
    assert_eq!(account::init_code(&deployment, owner, index)[..], expected);

    let enable = SmartAccount::enableModuleCall { module: owner };
    assert_eq!(calls::enable_module(owner, owner).data[..], enable.abi_encode());
    let account = Address::repeat_byte(8);
    let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: owner }.abi_encode();
    let setup_and_enable = SmartAccount::setupAndEnableModuleCall {
        setupContract: deployment.multichain_ecdsa_module,
        setupData: setup.into(),
    };
    let call = calls::setup_and_enable_module(account, deployment.multichain_ecdsa_module, owner);
    assert_eq!(call.to, account);
    assert_eq!(call.data[..], setup_and_enable.abi_encode());
    assert_eq!(call.data[..4], keccak256("setupAndEnableModule(address,bytes)")[..4]);
    let root = SessionKeyManager::setMerkleRootCall { _merkleRoot: B256::repeat_byte(3) };
    assert_eq!(calls::set_merkle_root(owner, B256::repeat_byte(3)).data[..], root.abi_encode());
}

fn reference() -> Value {
    let text = include_str!("../../../tests/vectors/reference-sdk.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().and_then(|text| text.parse().ok()).expect("the vector has such a value")
}
