//! What the contracts enforce.

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U192, keccak256};
use alloy_signer::SignerSync as _;
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use quorate_contracts::{Deployment, EcdsaOwnershipModule, Erc20, SmartAccount, calls};
use quorate_core::*;
use quorate_testing::ScriptedChain;

use crate::support::*;

sol! {
    function incrementNonce(uint192 key) external;
    function setupAndEnableModule(address, bytes memory) external returns (address);
}

#[tokio::test]
async fn an_operation_deploys_its_account_and_acts() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let before = chain.balance(account);
    let signed = by_owner(&chain, account, &[call(NFT, &[1, 2, 3, 4])]);
    let hash = send(&chain, &bundler, &signed).await.unwrap();

    assert!(chain.is_deployed(account));
    assert_eq!(chain.owner(account), Some(key(1).address()));
    assert_eq!(chain.nonce(account, U192::ZERO), U256::from(1));
    assert_eq!(chain.outcome(hash), Some(true));
    assert!(chain.balance(account) < before);
    let executions = chain.executions();
    assert_eq!(executions.len(), 1);
    assert_eq!((executions[0].sender, executions[0].to), (account, NFT));
    assert_eq!((executions[0].user_op_hash, executions[0].block), (Some(hash), 1));
}

#[tokio::test]
async fn init_code_is_for_a_new_account_at_its_own_address() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = fresh(&chain);
    let first = operation(&chain, account, &[call(NFT, &[])]);

    let elsewhere = UserOperation { sender: NFT, ..first.clone() };
    let error = refused(&chain, &bundler, &sign(&chain, elsewhere, &key(1))).await;
    assert!(error.message.contains("AA14"), "{error}");

    let mut broken = first.clone();
    broken.init_code.truncate(60);
    let error = refused(&chain, &bundler, &sign(&chain, broken, &key(1))).await;
    assert!(error.message.contains("AA13"), "{error}");

    let none = UserOperation { init_code: Vec::new(), ..first.clone() };
    let error = refused(&chain, &bundler, &sign(&chain, none, &key(1))).await;
    assert!(error.message.contains("AA20"), "{error}");

    // Anyone may call the factory.
    assert_eq!(chain.deploy_directly(key(1).address(), U256::ZERO), account);
    let error = refused(&chain, &bundler, &sign(&chain, first, &key(1))).await;
    assert_eq!(error.code, -32500);
    assert!(error.message.contains("AA10"), "{error}");
}

#[tokio::test]
async fn signatures_of_others_and_malformed_ones() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let op = operation(&chain, account, &[call(NFT, &[])]);

    let error = refused(&chain, &bundler, &sign(&chain, op.clone(), &key(9))).await;
    assert_eq!(error.code, -32507);
    assert!(error.message.contains("AA24"), "{error}");

    let module = chain.deployment().ecdsa_ownership_module;
    let malformed = ModuleSignature { module_signature: &[1; 65][..], module }.to_vec();
    let error = refused(&chain, &bundler, &op.clone().sign(malformed)).await;
    assert!(error.message.contains("AA23 reverted: ECDSA: invalid signature"), "{error}");

    let module = chain.deployment().session_key_manager;
    let not_enabled = ModuleSignature { module_signature: &[1; 65][..], module }.to_vec();
    let error = refused(&chain, &bundler, &op.sign(not_enabled)).await;
    assert!(error.message.contains("AA23 reverted (or OOG)"), "{error}");
}

#[tokio::test]
async fn nonces_are_counted_by_stream() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let in_stream = |nonce: U256| {
        let op = operation(&chain, account, &[call(NFT, &[])]);
        sign(&chain, UserOperation { nonce, ..op }, &key(1))
    };
    let stream = U256::from(7) << 64;
    send(&chain, &bundler, &in_stream(U256::ZERO)).await.unwrap();
    send(&chain, &bundler, &in_stream(stream)).await.unwrap();
    assert_eq!(chain.nonce(account, U192::from(7)), stream + U256::from(1));
    let error = refused(&chain, &bundler, &in_stream(stream)).await;
    assert_eq!(error.code, -32500);
    assert!(error.message.contains("AA25 invalid account nonce"), "{error}");

    // The account burns a nonce of another stream.
    let burn = incrementNonceCall { key: U192::from(8) }.abi_encode();
    send(&chain, &bundler, &by_owner(&chain, account, &[call(chain.deployment().entry_point, &burn)]))
        .await
        .unwrap();
    assert_eq!(chain.nonce(account, U192::from(8)), (U256::from(8) << 64) + U256::from(1));
}

#[tokio::test]
async fn an_operation_is_paid_for() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let poor = chain.deploy_directly(key(1).address(), U256::ZERO);
    let op = operation(&chain, poor, &[call(NFT, &[])]);
    let error = refused(&chain, &bundler, &sign(&chain, op.clone(), &key(1))).await;
    assert!(error.message.contains("AA21"), "{error}");

    let paymaster = Address::repeat_byte(0x99);
    let sponsored = UserOperation { paymaster_and_data: paymaster.to_vec(), ..op };
    let error = refused(&chain, &bundler, &sign(&chain, sponsored.clone(), &key(1))).await;
    assert_eq!(error.code, -32501);
    assert!(error.message.contains("AA30"), "{error}");
    chain.fund_paymaster(paymaster, U256::from(1));
    let error = refused(&chain, &bundler, &sign(&chain, sponsored.clone(), &key(1))).await;
    assert!(error.message.contains("AA31"), "{error}");
    chain.fund_paymaster(paymaster, U256::from(10).pow(U256::from(18)));
    send(&chain, &bundler, &sign(&chain, sponsored, &key(1))).await.unwrap();
}

#[tokio::test]
async fn ownership_is_handed_over() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let transfer = EcdsaOwnershipModule::transferOwnershipCall { owner: key(3).address() }.abi_encode();
    let module = chain.deployment().ecdsa_ownership_module;
    send(&chain, &bundler, &by_owner(&chain, account, &[call(module, &transfer)])).await.unwrap();
    assert_eq!(chain.owner(account), Some(key(3).address()));
    let error = refused(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[])])).await;
    assert!(error.message.contains("AA24"), "{error}");
    let op = operation(&chain, account, &[call(NFT, &[])]);
    send(&chain, &bundler, &sign(&chain, op, &key(3))).await.unwrap();
}

#[tokio::test]
async fn a_module_is_enabled_once_and_a_batch_reverts_as_a_whole() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let manager = chain.deployment().session_key_manager;
    let enable = calls::enable_module(account, manager);
    let root = calls::set_merkle_root(manager, B256::repeat_byte(1));
    let batch = [root.as_call(), enable.as_call()];
    let first = send(&chain, &bundler, &by_owner(&chain, account, &batch)).await.unwrap();
    assert_eq!(chain.outcome(first), Some(true));
    assert_eq!(chain.root(account), B256::repeat_byte(1));

    let root = calls::set_merkle_root(manager, B256::repeat_byte(2));
    let batch = [root.as_call(), enable.as_call()];
    let again = send(&chain, &bundler, &by_owner(&chain, account, &batch)).await.unwrap();
    assert_eq!(chain.outcome(again), Some(false));
    assert_eq!(chain.root(account), B256::repeat_byte(1));
    assert_eq!(chain.nonce(account, U192::ZERO), U256::from(2));
    assert_eq!(chain.executions().len(), 2);

    // The account's own function, called by the entry point itself.
    let data = SmartAccount::enableModuleCall { module: NFT }.abi_encode();
    let op = UserOperation { call_data: data, ..operation(&chain, account, &[]) };
    let own = send(&chain, &bundler, &sign(&chain, op, &key(1))).await.unwrap();
    assert_eq!(chain.outcome(own), Some(true));
    assert!(chain.is_module_enabled(account, NFT));
}

#[tokio::test]
async fn a_contract_reverts_as_scripted() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    chain.reverting(NFT);
    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[1])])).await.unwrap();
    let receipt = receipt(&bundler, hash).await;
    assert_eq!(receipt["success"], false);
    assert_eq!(receipt["reason"], "scripted to revert");
    // The operation's log says so, and the one before it why.
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 2);
    assert!(chain.executions().is_empty());

    chain.not_reverting(NFT);
    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[1])])).await.unwrap();
    assert_eq!(chain.outcome(hash), Some(true));
}

#[tokio::test]
async fn value_and_tokens_move() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = deployed(&chain);
    let (token, friend) = (Address::repeat_byte(0x70), Address::repeat_byte(0x0f));
    chain.fund_token(token, account, U256::from(100));
    let transfer = Erc20::transferCall { to: friend, amount: U256::from(60) }.abi_encode();
    let batch = [Call { to: friend, value: U256::from(5), data: &[] }, call(token, &transfer)];
    send(&chain, &bundler, &by_owner(&chain, account, &batch)).await.unwrap();
    assert_eq!(chain.balance(friend), U256::from(5));
    assert_eq!(chain.token_balance(token, account), U256::from(40));
    assert_eq!(chain.token_balance(token, friend), U256::from(60));

    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(token, &transfer)])).await.unwrap();
    assert_eq!(chain.outcome(hash), Some(false));
}

#[tokio::test]
async fn a_session_key_does_what_its_policy_allows() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = ready(&chain);
    let friend = Address::repeat_byte(0xcc);
    let session = Session::minting(&chain, SessionEpoch::UNLIMITED);
    let other = Session::minting(&chain, SessionEpoch::new(1, 0).unwrap());
    let leaves = [other.leaf(), session.leaf()];
    let proof = merkle::Proof::of(&leaves, session.leaf()).unwrap();
    let proof = proof.siblings();
    let minting = |to| operation(&chain, account, &[call(NFT, &mint(to))]);

    let error = refused(&chain, &bundler, &session.sign(&chain, minting(friend), proof, &key(2))).await;
    assert!(error.message.contains("AA23 reverted: SessionNotApproved"), "{error}");

    set_root(&chain, account, merkle::root(&leaves).unwrap());
    send(&chain, &bundler, &session.sign(&chain, minting(friend), proof, &key(2))).await.unwrap();
    assert_eq!(chain.executions().last().unwrap().to, NFT);

    let error = refused(&chain, &bundler, &session.sign(&chain, minting(friend), proof, &key(9))).await;
    assert!(error.message.contains("AA24"), "{error}");
    let error = refused(&chain, &bundler, &session.sign(&chain, minting(NFT), proof, &key(2))).await;
    assert!(error.message.contains("AA23 reverted: ABISV Arg Rule Violated"), "{error}");
    let error = refused(&chain, &bundler, &session.sign(&chain, minting(friend), &[], &key(2))).await;
    assert!(error.message.contains("SessionNotApproved"), "{error}");
}

#[tokio::test]
async fn a_session_is_valid_by_the_block_s_time() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = ready(&chain);
    let now = chain.now();
    let session = Session::minting(&chain, SessionEpoch::new(now + 1000, now + 2000).unwrap());
    set_root(&chain, account, session.leaf());
    let minting = || {
        let op = operation(&chain, account, &[call(NFT, &mint(Address::repeat_byte(0xcc)))]);
        session.sign(&chain, op, &[], &key(2))
    };
    let early = refused(&chain, &bundler, &minting()).await;
    assert_eq!(early.code, -32503);
    assert!(early.message.contains("AA22"), "{early}");
    chain.advance(1000);
    send(&chain, &bundler, &minting()).await.unwrap();

    // It is held until its time is over, and then never mined.
    bundler.hold_all(true);
    let late = send(&chain, &bundler, &minting()).await.unwrap();
    chain.advance(1000);
    bundler.hold_all(false);
    assert_eq!((chain.outcome(late), bundler.pending()), (None, vec![]));
    assert!(refused(&chain, &bundler, &minting()).await.message.contains("AA22"));
}

#[tokio::test]
async fn a_token_s_session() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = ready(&chain);
    let (token, friend) = (Address::repeat_byte(0x70), Address::repeat_byte(0xcc));
    chain.fund_token(token, account, U256::from(100));
    let epoch = SessionEpoch::UNLIMITED;
    let policy = Erc20Policy { token, recipient: friend, max_amount: U256::from(50), epoch };
    let session = Session {
        epoch,
        module: chain.deployment().erc20_session_validation_module,
        data: Erc20SessionKeyData::new(key(2).address(), policy).to_vec(),
    };
    set_root(&chain, account, session.leaf());
    let moving = |amount: u64| {
        let data = Erc20::transferCall { to: friend, amount: U256::from(amount) }.abi_encode();
        session.sign(&chain, operation(&chain, account, &[call(token, &data)]), &[], &key(2))
    };
    send(&chain, &bundler, &moving(50)).await.unwrap();
    assert_eq!(chain.token_balance(token, friend), U256::from(50));
    let error = refused(&chain, &bundler, &moving(51)).await;
    assert!(error.message.contains("ERC20SV Max Amount Exceeded"), "{error}");
}

#[tokio::test]
async fn a_batch_of_a_session_goes_by_the_router() {
    let chain = ScriptedChain::new();
    let bundler = chain.bundler();
    let account = ready(&chain);
    let deployment = chain.deployment();
    let session = Session::minting(&chain, SessionEpoch::UNLIMITED);
    set_root(&chain, account, session.leaf());
    let data = mint(Address::repeat_byte(0xcc));
    let routed = |calls: &[Call<'_>], entries: usize, signer: u8| {
        let op = operation(&chain, account, calls);
        let hash = routed_hash(hash(&chain, &op), deployment.session_key_manager);
        let signature = key(signer).sign_message_sync(hash.as_slice()).unwrap().as_bytes();
        let entry = RoutedSession {
            epoch: session.epoch,
            validation_module: session.module,
            session_key_data: &session.data,
            proof: &[],
            call_specific_data: &[],
        };
        let module_signature = RoutedSignature {
            session_key_manager: deployment.session_key_manager,
            sessions: &vec![entry; entries],
            signature: &signature,
        };
        let module = deployment.batched_session_router;
        op.sign(ModuleSignature { module_signature, module }.to_vec())
    };
    let two = [call(NFT, &data), call(NFT, &data)];
    let before = chain.executions().len();
    send(&chain, &bundler, &routed(&two, 2, 2)).await.unwrap();
    assert_eq!(chain.executions().len(), before + 2);

    let error = refused(&chain, &bundler, &routed(&two, 1, 2)).await;
    assert!(error.message.contains("Lengths mismatch"), "{error}");
    let error = refused(&chain, &bundler, &routed(&two[..1], 1, 2)).await;
    assert!(error.message.contains("SR Invalid Selector"), "{error}");
    let error = refused(&chain, &bundler, &routed(&two, 2, 3)).await;
    assert!(error.message.contains("AA24"), "{error}");
    let elsewhere = [call(NFT, &data), call(token(), &data)];
    let error = refused(&chain, &bundler, &routed(&elsewhere, 2, 2)).await;
    assert!(error.message.contains("ABISV Destination Forbidden"), "{error}");
}

fn token() -> Address {
    Address::repeat_byte(0x70)
}

#[tokio::test]
async fn one_signature_for_several_chains() {
    let chains =
        [1, 2].map(|id| ScriptedChain::with(id, Deployment::canonical(), ScriptedChain::GENESIS_TIME));
    let module = Deployment::canonical().multichain_ecdsa_module;
    let until = ScriptedChain::GENESIS_TIME + 1000;
    let mut operations = Vec::new();
    let mut leaves = Vec::new();
    for chain in &chains {
        let account = deployed(chain);
        let owner = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: key(1).address() }.abi_encode();
        let setup = setupAndEnableModuleCall { _0: module, _1: owner.into() }.abi_encode();
        chain.execute_directly(account, &[call(account, &setup)]);
        let op = operation(chain, account, &[call(NFT, &[])]);
        leaves.push(keccak256([&until.to_be_bytes()[2..], &[0; 6], hash(chain, &op).as_slice()].concat()));
        operations.push(op);
    }
    let root = merkle::root(&leaves).unwrap();
    let signature = key(1).sign_message_sync(root.as_slice()).unwrap().as_bytes();
    let signed = |at: usize, proof_of: usize| {
        let proof = merkle::Proof::of(&leaves, leaves[proof_of]).unwrap().siblings().to_vec();
        let time = alloy_primitives::aliases::U48::from(until);
        let none = alloy_primitives::aliases::U48::ZERO;
        let module_signature = (time, none, root, proof, Bytes::from(signature)).abi_encode_params();
        operations[at]
            .clone()
            .sign(ModuleSignature { module_signature: &module_signature[..], module }.to_vec())
    };
    for (at, chain) in chains.iter().enumerate() {
        let bundler = chain.bundler();
        let error = refused(chain, &bundler, &signed(at, 1 - at)).await;
        assert!(error.message.contains("AA23 reverted: Invalid UserOp"), "{error}");
        send(chain, &bundler, &signed(at, at)).await.unwrap();
    }
}
