//! What nodes answer, and their knobs.

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U192};
use alloy_sol_types::{SolCall, SolEvent as _, sol};
use quorate_contracts::{
    EcdsaOwnershipModule, EntryPoint, Erc20, SessionKeyManager, SmartAccount, SmartAccountFactory,
};
use quorate_core::SessionEpoch;
use quorate_testing::{ScriptedChain, ScriptedNode};
use quorate_transport::{TransportError, TransportExt as _};
use serde_json::{Value, json};

use crate::support::*;

async fn read<C: SolCall>(
    node: &ScriptedNode,
    to: Address,
    function: C,
    block: Value,
) -> Result<C::Return, TransportError> {
    let request = json!({ "to": to, "data": Bytes::from(function.abi_encode()) });
    let answer: Bytes = node.call("eth_call", (request, block)).await?;
    Ok(C::abi_decode_returns(&answer).unwrap())
}

#[tokio::test]
async fn contracts_are_read_at_any_block() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    let account = ready(&chain);
    let deployment = chain.deployment();
    set_root(&chain, account, B256::repeat_byte(1));
    let block: Value = node.call("eth_getBlockByNumber", ("latest", false)).await.unwrap();
    set_root(&chain, account, B256::repeat_byte(2));

    let root = |block: Value| {
        let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
        async {
            read(&node, deployment.session_key_manager, call, block).await.map(|answer| answer.merkleRoot)
        }
    };
    assert_eq!(root(json!("latest")).await.unwrap(), B256::repeat_byte(2));
    assert_eq!(root(block["number"].clone()).await.unwrap(), B256::repeat_byte(1));
    let by_hash = json!({ "blockHash": block["hash"], "requireCanonical": true });
    assert_eq!(root(by_hash.clone()).await.unwrap(), B256::repeat_byte(1));
    assert_eq!(root(json!({ "blockNumber": block["number"] })).await.unwrap(), B256::repeat_byte(1));
    assert_eq!(root(json!("earliest")).await.unwrap(), B256::ZERO);
    assert!(root(json!("0x100")).await.unwrap_err().to_string().contains("header not found"));
    let unknown = json!({ "blockHash": B256::ZERO });
    assert!(root(unknown).await.unwrap_err().to_string().contains("header for hash not found"));

    node.set_block_hashes(false);
    assert_eq!(root(by_hash).await.unwrap_err().rpc().unwrap().code, -32602);

    let latest = || json!("latest");
    let nonce = EntryPoint::getNonceCall { sender: account, key: U192::from(3) };
    assert_eq!(read(&node, deployment.entry_point, nonce, latest()).await.unwrap(), U256::from(3) << 64);
    let owner = EcdsaOwnershipModule::getOwnerCall { smartAccount: account };
    assert_eq!(
        read(&node, deployment.ecdsa_ownership_module, owner, latest()).await.unwrap(),
        key(1).address()
    );
    let none = EcdsaOwnershipModule::getOwnerCall { smartAccount: NFT };
    let error = read(&node, deployment.ecdsa_ownership_module, none, latest()).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, 3);
    let enabled = SmartAccount::isModuleEnabledCall { module: deployment.session_key_manager };
    assert!(read(&node, account, enabled, latest()).await.unwrap());
    let enabled = SmartAccount::isModuleEnabledCall { module: deployment.multichain_ecdsa_module };
    assert!(!read(&node, account, enabled, latest()).await.unwrap());
    let setup = EcdsaOwnershipModule::initForSmartAccountCall { eoaOwner: key(1).address() }.abi_encode();
    let address = SmartAccountFactory::getAddressForCounterFactualAccountCall {
        moduleSetupContract: deployment.ecdsa_ownership_module,
        moduleSetupData: setup.into(),
        index: U256::ZERO,
    };
    assert_eq!(read(&node, deployment.account_factory, address, latest()).await.unwrap(), account);

    let token = Address::repeat_byte(0x70);
    chain.fund_token(token, account, U256::from(9));
    let balance = Erc20::balanceOfCall { account };
    assert_eq!(read(&node, token, balance.clone(), latest()).await.unwrap(), U256::from(9));
    // Without code the answer is empty.
    let request = json!({ "to": NFT, "data": Bytes::from(balance.abi_encode()) });
    assert_eq!(node.call::<String>("eth_call", (request, "latest")).await.unwrap(), "0x");
}

#[tokio::test]
async fn code_is_where_contracts_and_accounts_are() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    let account = fresh(&chain);
    let code = |address: Address| {
        let node = &node;
        async move { node.call::<Bytes>("eth_getCode", (address, "latest")).await.unwrap() }
    };
    assert!(code(account).await.is_empty());
    deployed(&chain);
    assert!(!code(account).await.is_empty());
    let entry_point = chain.deployment().entry_point;
    assert!(!code(entry_point).await.is_empty());
    chain.set_code(entry_point, false);
    assert!(code(entry_point).await.is_empty());
    chain.set_code(NFT, true);
    assert!(!code(NFT).await.is_empty());
}

#[tokio::test]
async fn old_state_is_pruned() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    for _ in 0..10 {
        chain.mine();
    }
    chain.prune(3);
    node.call::<U256>("eth_getBalance", (NFT, "0x8")).await.unwrap();
    let error = node.call::<U256>("eth_getBalance", (NFT, "0x7")).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, -32000);
    assert!(error.to_string().contains("missing trie node"), "{error}");
    // Headers stay.
    assert_eq!(node.call::<Value>("eth_getBlockByNumber", ("0x7", false)).await.unwrap()["number"], "0x7");
}

#[tokio::test]
async fn a_node_lags() {
    let chain = ScriptedChain::new();
    let (node, behind) = (chain.node(), chain.node());
    let account = ready(&chain);
    behind.set_lag(2);
    set_root(&chain, account, B256::repeat_byte(1));
    let call = SessionKeyManager::getSessionKeysCall { smartAccount: account };
    let manager = chain.deployment().session_key_manager;
    let latest = json!("latest");
    assert_eq!(
        read(&node, manager, call.clone(), latest.clone()).await.unwrap().merkleRoot,
        B256::repeat_byte(1)
    );
    assert_eq!(read(&behind, manager, call.clone(), latest).await.unwrap().merkleRoot, B256::ZERO);
    let head: Value = node.call("eth_getBlockByNumber", ("latest", false)).await.unwrap();
    assert_eq!(behind.call::<String>("eth_blockNumber", ()).await.unwrap(), "0x2");
    assert!(behind.call::<Value>("eth_getBlockByNumber", (&head["number"], false)).await.unwrap().is_null());
    assert!(behind.call::<Value>("eth_getBlockByHash", (&head["hash"], false)).await.unwrap().is_null());
    let at = json!({ "blockHash": head["hash"], "requireCanonical": true });
    assert!(
        read(&behind, manager, call, at).await.unwrap_err().to_string().contains("header for hash not found")
    );
}

#[tokio::test]
async fn the_entry_point_logs_operations() {
    let chain = ScriptedChain::new();
    let (node, bundler) = (chain.node(), chain.bundler());
    let account = fresh(&chain);
    let hash = send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[1])])).await.unwrap();
    chain.reverting(NFT);
    send(&chain, &bundler, &by_owner(&chain, account, &[call(NFT, &[2])])).await.unwrap();
    let entry_point = chain.deployment().entry_point;
    let topic = EntryPoint::UserOperationEvent::SIGNATURE_HASH;
    let logs = |filter: Value| {
        let node = &node;
        async move { node.call::<Vec<Value>>("eth_getLogs", (filter,)).await.unwrap() }
    };
    let by_hash =
        json!({ "address": entry_point, "topics": [topic, hash], "fromBlock": "0x0", "toBlock": "latest" });
    let found = logs(by_hash).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["blockNumber"], "0x1");
    let topics: Vec<B256> = serde_json::from_value(found[0]["topics"].clone()).unwrap();
    let data: Bytes = serde_json::from_value(found[0]["data"].clone()).unwrap();
    let event = EntryPoint::UserOperationEvent::decode_raw_log(topics, &data).unwrap();
    assert_eq!((event.userOpHash, event.sender, event.paymaster), (hash, account, Address::ZERO));
    assert_eq!((event.nonce, event.success), (U256::ZERO, true));

    let sender = account.into_word();
    let by_sender =
        logs(json!({ "topics": [topic, null, [sender, B256::ZERO]], "fromBlock": "earliest" })).await;
    assert_eq!(by_sender.len(), 2);
    let either = [topic, EntryPoint::AccountDeployed::SIGNATURE_HASH];
    assert_eq!(logs(json!({ "topics": [either], "fromBlock": "0x0" })).await.len(), 3);
    assert_eq!(logs(json!({ "address": [NFT], "fromBlock": "0x0" })).await.len(), 0);
    assert_eq!(logs(json!({ "blockHash": found[0]["blockHash"] })).await.len(), 2);

    let receipt: Value =
        node.call("eth_getTransactionReceipt", (&found[0]["transactionHash"],)).await.unwrap();
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
    assert_eq!(receipt["logs"][1], found[0]);
    assert!(node.call::<Value>("eth_getTransactionReceipt", (B256::ZERO,)).await.unwrap().is_null());
}

#[tokio::test]
async fn a_range_of_logs_is_too_large() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    for _ in 0..10 {
        chain.mine();
    }
    node.set_log_range(Some(5));
    let logs = |from: &str| json!([{ "fromBlock": from, "toBlock": "0x9" }]);
    node.call::<Vec<Value>>("eth_getLogs", logs("0x5")).await.unwrap();
    let error = node.call::<Vec<Value>>("eth_getLogs", logs("0x4")).await.unwrap_err();
    assert!(error.to_string().contains("range too large"), "{error}");
    node.set_log_range(None);
    node.call::<Vec<Value>>("eth_getLogs", logs("0x4")).await.unwrap();
}

#[tokio::test]
async fn fees() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    chain.set_base_fee(U256::from(7));
    chain.set_priority_fee(U256::from(2));
    chain.mine();
    chain.mine();
    assert_eq!(node.call::<String>("eth_gasPrice", ()).await.unwrap(), "0x9");
    assert_eq!(node.call::<String>("eth_maxPriorityFeePerGas", ()).await.unwrap(), "0x2");
    let history: Value = node.call("eth_feeHistory", ("0x2", "latest", [25.0, 75.0])).await.unwrap();
    assert_eq!(history["oldestBlock"], "0x1");
    assert_eq!(history["baseFeePerGas"], json!(["0x7", "0x7", "0x7"]));
    assert_eq!(history["reward"], json!([["0x2", "0x2"], ["0x2", "0x2"]]));
    let block: Value = node.call("eth_getBlockByNumber", ("latest", false)).await.unwrap();
    assert_eq!(block["baseFeePerGas"], "0x7");
}

#[tokio::test]
async fn what_a_node_serves() {
    let node = ScriptedChain::new().node();
    assert_eq!(node.call::<String>("eth_chainId", ()).await.unwrap(), "0x7a69");
    let error = node.call::<Value>("debug_traceCall", ()).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().code, -32601);
}

#[tokio::test]
async fn gas_is_estimated_for_calls_that_go_through() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    let account = deployed(&chain);
    let op = operation(&chain, account, &[call(NFT, &[1])]);
    let request = json!({
        "from": chain.deployment().entry_point,
        "to": account,
        "data": Bytes::from(op.call_data),
    });
    node.call::<U256>("eth_estimateGas", [&request]).await.unwrap();
    chain.reverting(NFT);
    let error = node.call::<U256>("eth_estimateGas", [&request]).await.unwrap_err();
    assert!(error.to_string().contains("execution reverted: scripted to revert"), "{error}");
}

sol! {
    function validateSessionParams(address, uint256, bytes memory, bytes memory, bytes memory) external returns (address);
}

#[tokio::test]
async fn a_session_validation_module_is_asked_directly() {
    let chain = ScriptedChain::new();
    let node = chain.node();
    let session = Session::minting(&chain, SessionEpoch::UNLIMITED);
    let probe = |to: Address| {
        let data = session.data.clone().into();
        let call = validateSessionParamsCall {
            _0: NFT,
            _1: U256::ZERO,
            _2: mint(to).into(),
            _3: data,
            _4: Bytes::new(),
        };
        read(&node, session.module, call, json!("latest"))
    };
    assert_eq!(probe(Address::repeat_byte(0xcc)).await.unwrap(), key(2).address());
    let error = probe(NFT).await.unwrap_err();
    assert!(error.to_string().contains("execution reverted: ABISV Arg Rule Violated"), "{error}");
}
