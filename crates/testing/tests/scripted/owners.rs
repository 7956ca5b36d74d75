//! The two owner's modules: accounts that either sets up, and the owner that each keeps.

use alloy_primitives::{Address, U256};
use alloy_signer::SignerSync as _;
use alloy_sol_types::{SolCall as _, sol};
use quorate_contracts::{Deployment, EcdsaOwnershipModule, SmartAccountFactory, account, account::Creation};
use quorate_core::*;
use quorate_testing::ScriptedChain;
use quorate_transport::TransportExt as _;
use serde_json::json;

use crate::support::*;

sol! {
    function setupAndEnableModule(address, bytes memory) external returns (address);
    function renounceOwnership() external;
}

fn multichain() -> Address {
    Deployment::canonical().multichain_ecdsa_module
}

/// A funded account of key 1 that the multichain module is to set up, and what deploys it.
fn fresh_multichain(chain: &ScriptedChain) -> (Address, Vec<u8>) {
    let deployment = chain.deployment();
    let creation = Creation { owner_module: multichain(), owner: key(1).address(), index: U256::ZERO };
    let address = creation.address(&deployment);
    chain.fund(address, U256::from(10).pow(U256::from(18)));
    (address, creation.init_code(&deployment).to_vec())
}

fn sign_by(chain: &ScriptedChain, op: UserOperation<Vec<u8>>, signer: u8, module: Address) -> Signed {
    let signature = key(signer).sign_message_sync(hash(chain, &op).as_slice()).unwrap().as_bytes();
    op.sign(ModuleSignature { module_signature: &signature[..], module }.to_vec())
}

fn transfer_to(owner: u8) -> Vec<u8> {
    EcdsaOwnershipModule::transferOwnershipCall { owner: key(owner).address() }.abi_encode()
}

#[tokio::test]
async fn an_operation_deploys_an_account_of_the_multichain_module() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let ecdsa = chain.deployment().ecdsa_ownership_module;
    let (account, init_code) = fresh_multichain(&chain);
    let op = UserOperation { init_code, ..operation(&chain, account, &[call(NFT, &[1])]) };

    // The other module is not enabled there, and its initCode is for another address.
    let error = refused(&chain, &bundler, &sign_by(&chain, op.clone(), 1, ecdsa)).await;
    assert!(error.message.contains("AA23"), "{error}");
    let elsewhere = account::init_code(&chain.deployment(), key(1).address(), U256::ZERO).to_vec();
    let elsewhere = UserOperation { init_code: elsewhere, ..op.clone() };
    let error = refused(&chain, &bundler, &sign_by(&chain, elsewhere, 1, multichain())).await;
    assert!(error.message.contains("AA14"), "{error}");
    let error = refused(&chain, &bundler, &sign_by(&chain, op.clone(), 2, multichain())).await;
    assert!(error.message.contains("AA24"), "{error}");

    let sent = send(&chain, &bundler, &sign_by(&chain, op, 1, multichain())).await.unwrap();
    assert_eq!(chain.outcome(sent), Some(true));
    assert_eq!(chain.owner_by(account, multichain()), Some(key(1).address()));
    assert_eq!(chain.owner(account), None);
    assert!(chain.is_module_enabled(account, multichain()) && !chain.is_module_enabled(account, ecdsa));
}

#[tokio::test]
async fn the_factory_names_the_address_by_either_module_and_by_no_other() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: key(1).address() }.abi_encode();
    let ask = async |module: Address| {
        let data = SmartAccountFactory::getAddressForCounterFactualAccountCall {
            moduleSetupContract: module,
            moduleSetupData: setup.clone().into(),
            index: U256::ZERO,
        };
        let data = alloy_primitives::Bytes::from(data.abi_encode());
        let call = json!({ "to": chain.deployment().account_factory, "data": data });
        let answer = node.call::<B256>("eth_call", (call, "latest")).await;
        answer.map(Address::from_word)
    };
    assert_eq!(
        ask(multichain()).await.unwrap(),
        chain.deploy_multichain_directly(key(1).address(), U256::ZERO)
    );
    let other = ask(chain.deployment().ecdsa_ownership_module).await.unwrap();
    assert_eq!(other, chain.deploy_directly(key(1).address(), U256::ZERO));
    assert!(ask(NFT).await.is_err());
}

#[tokio::test]
async fn each_module_keeps_an_owner_of_its_own() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let ecdsa = chain.deployment().ecdsa_ownership_module;
    let init = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: key(1).address() }.abi_encode();
    let setup = setupAndEnableModuleCall { _0: multichain(), _1: init.into() }.abi_encode();
    let set_up = by_owner(&chain, account, &[call(account, &setup)]);
    let sent = send(&chain, &bundler, &set_up).await.unwrap();
    assert_eq!(chain.outcome(sent), Some(true));
    assert!(chain.is_module_enabled(account, multichain()));
    // Once only: the module has an owner already.
    let again = send(&chain, &bundler, &by_owner(&chain, account, &[call(account, &setup)])).await.unwrap();
    assert_eq!(chain.outcome(again), Some(false));

    // Handed over at one module, the account still has the old owner at the other.
    let transfer = transfer_to(3);
    let sent = send(&chain, &bundler, &by_owner(&chain, account, &[call(ecdsa, &transfer)])).await.unwrap();
    assert_eq!(chain.outcome(sent), Some(true));
    assert_eq!(chain.owner(account), Some(key(3).address()));
    assert_eq!(chain.owner_by(account, multichain()), Some(key(1).address()));
    let op = || operation(&chain, account, &[call(NFT, &[1])]);
    let error = refused(&chain, &bundler, &sign_by(&chain, op(), 1, ecdsa)).await;
    assert!(error.message.contains("AA24"), "{error}");
    send(&chain, &bundler, &sign_by(&chain, op(), 1, multichain())).await.unwrap();

    let transfer = operation(&chain, account, &[call(multichain(), &transfer)]);
    send(&chain, &bundler, &sign_by(&chain, transfer, 3, ecdsa)).await.unwrap();
    let error = refused(&chain, &bundler, &sign_by(&chain, op(), 1, multichain())).await;
    assert!(error.message.contains("AA24"), "{error}");
    send(&chain, &bundler, &sign_by(&chain, op(), 3, multichain())).await.unwrap();
}

#[tokio::test]
async fn a_renounced_module_has_no_owner() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = chain.deploy_multichain_directly(key(1).address(), U256::from(7));
    chain.execute_directly(account, &[call(multichain(), &renounceOwnershipCall {}.abi_encode())]);
    assert_eq!(chain.owner_by(account, multichain()), None);
    let op = operation(&chain, account, &[call(NFT, &[1])]);
    let error = refused(&chain, &bundler, &sign_by(&chain, op, 1, multichain())).await;
    assert!(error.message.contains("AA23"), "{error}");
}
