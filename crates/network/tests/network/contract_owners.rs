//! Owners that are contracts: a smart account on a real chain says by itself what it signed (ERC-1271), and each of five
//! nodes asks it.

use std::path::Path;
use std::time::Duration;

use crate::databases::{count, in_time, until};
use crate::local::{
    ACCOUNT, CHAIN, LocalNetwork, Session, claim, free_address, mint_with_nonce, permissions, refusal,
};
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue as _;
use quorate_contracts::{Deployment, account};
use quorate_devnet::Devnet;
use quorate_network::{
    ContractAccount, EphemeralKey, NetworkError, Owner, Refusal, Revocation, TypedDataSignature,
};
use quorate_protocol::{KeyDraft, Permissions};
use quorate_transport::{HttpTransport, TransportExt as _};
use serde_json::{Value, json};

/// A chain, and a smart account on it whose wallet signs through the ECDSA ownership module.
struct Chain {
    devnet: Devnet,
    rpc: HttpTransport,
}

impl Chain {
    async fn start() -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
        let devnet = Devnet::builder(cache).chain_id(CHAIN).start().await.unwrap();
        let rpc = HttpTransport::builder(devnet.rpc_url().clone()).build().unwrap();
        Self { devnet, rpc }
    }

    async fn network(&self) -> LocalNetwork {
        LocalNetwork::start_asking(CHAIN, self.devnet.rpc_url().as_str()).await
    }

    async fn deploy(&self, account: &SmartAccount) {
        let init_code = account::init_code(&Deployment::canonical(), account.wallet.address(), U256::ZERO);
        let (factory, data) = init_code.split_at(20);
        let [payer, ..] = self.rpc.call::<Vec<Address>>("eth_accounts", ()).await.unwrap()[..] else {
            panic!("the chain signs for nobody")
        };
        let (factory, data) = (Address::from_slice(factory), Bytes::copy_from_slice(data));
        let transaction = json!({ "from": payer, "to": factory, "data": data, "gas": "0x4c4b40" });
        let hash: B256 = self.rpc.call_once("eth_sendTransaction", [transaction]).await.unwrap();
        // The chain gives the hash before there is a block.
        for _ in 0..600 {
            let receipt: Value = self.rpc.call("eth_getTransactionReceipt", [hash]).await.unwrap();
            if !receipt.is_null() {
                assert_eq!(receipt["status"], "0x1");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{hash} is in no block");
    }

    /// The hash of the newest block.
    async fn head(&self) -> B256 {
        let block: Value = self.rpc.call("eth_getBlockByNumber", ("latest", false)).await.unwrap();
        block["hash"].as_str().unwrap().parse().unwrap()
    }
}

struct SmartAccount {
    wallet: PrivateKeySigner,
    address: Address,
}

impl SmartAccount {
    fn new() -> Self {
        let wallet = PrivateKeySigner::random();
        let address = account::address(&Deployment::canonical(), wallet.address(), U256::ZERO);
        Self { wallet, address }
    }

    const fn owner(&self) -> ContractAccount {
        ContractAccount { chain_id: CHAIN, address: self.address }
    }

    fn permissions(&self) -> Permissions {
        Permissions { owner: self.address, ..permissions(&self.wallet) }
    }

    /// What the account takes for a signature: its module's, and which module that is.
    fn sign(&self, digest: B256, block: B256) -> TypedDataSignature {
        contract_signature(self.wallet.sign_hash_sync(&digest).unwrap(), block)
    }
}

fn contract_signature(signature: Signature, block: B256) -> TypedDataSignature {
    let module = Deployment::canonical().ecdsa_ownership_module;
    let signature = (Bytes::copy_from_slice(&signature.as_bytes()), module).abi_encode_params();
    TypedDataSignature::Contract { block, signature: signature.into() }
}

async fn draft(network: &LocalNetwork, permissions: &Permissions, ephemeral: &EphemeralKey) -> KeyDraft {
    let draft = network.client().prepare_key(permissions, &claim(ephemeral)).await.unwrap();
    draft.by_contract().unwrap()
}

/// A key that the account asks for in the newest block.
async fn key(network: &LocalNetwork, chain: &Chain, account: &SmartAccount) -> Result<Session, NetworkError> {
    let (client, ephemeral) = (network.client(), EphemeralKey::random().unwrap());
    let draft = draft(network, &account.permissions(), &ephemeral).await;
    let signature = account.sign(draft.typed_data().unwrap().digest(), chain.head().await);
    let key = client.submit_key(&draft, signature).await?;
    Ok(Session { client, key, ephemeral })
}

async fn register(
    session: &Session,
    owner: impl Into<Owner>,
    sign: impl AsyncFnOnce(B256) -> TypedDataSignature,
) -> Result<Session, NetworkError> {
    let (client, ephemeral) = (session.client.clone(), EphemeralKey::random().unwrap());
    let pending = client.prepare_registration(owner, &session.key.key_id, &claim(&ephemeral)).await?;
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(sign(digest).await).await?;
    Ok(Session { client: session.client.clone(), key: session.key.clone(), ephemeral })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_learns_from_the_others_what_a_contract_has_signed() {
    let chain = Chain::start().await;
    let mut network = chain.network().await;
    let account = SmartAccount::new();
    chain.deploy(&account).await;

    // Its keys were made while it was there.
    network.stop(5).await;
    let first = key(&network, &chain, &account).await.unwrap();
    assert_eq!(first.key.birth.owner, account.owner().into());
    assert_eq!(first.key.attestations.len(), 4);
    first.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap();

    let by_account = async |digest| account.sign(digest, chain.head().await);
    let second = register(&first, account.owner(), by_account).await.unwrap();
    second.sign(&mint_with_nonce(ACCOUNT, 2)).await.unwrap();
    let (key_id, ephemeral) = (&first.key.key_id, Some(first.ephemeral.public()));
    let revocation = Revocation::new(network.descriptor(), account.owner(), key_id, ephemeral);
    let signature = account.sign(revocation.typed_data().unwrap().digest(), chain.head().await);
    let are_told = async || {
        let revoked = first.client.revoke(&revocation, signature.clone()).await.unwrap();
        revoked.missing.iter().map(|node| node.get()).eq([5])
    };
    in_time("all but node 5 to have the end", are_told).await;
    for index in 3..=4 {
        until(&network, index, "SELECT COUNT(*) FROM attestations", 4).await;
        until(&network, index, "SELECT COUNT(*) FROM vouchers", 8).await;
    }

    // Nobody can ask the contract any more.
    chain.devnet.shutdown().await;
    network.start_node(5).await;
    network.until_ready().await;
    network.stop(1).await;
    network.stop(2).await;
    let signs = async || second.sign(&mint_with_nonce(ACCOUNT, 3)).await.is_ok();
    in_time("node 5 to learn of the key", signs).await;
    until(&network, 5, "SELECT COUNT(*) FROM vouchers", 8).await;
    let refused = refusal(first.sign(&mint_with_nonce(ACCOUNT, 4)).await.unwrap_err());
    assert!(matches!(refused, Refusal::EphemeralKey { .. }), "{refused}");
}

/// Another key would not help: the gateway offers the only one that there is, and has none made for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_contract_whose_chain_does_not_answer_is_told_so_and_costs_no_keys() {
    let nobody = format!("http://{}", free_address());
    let network = LocalNetwork::start_small_asking(CHAIN, &nobody).await;
    let account = SmartAccount::new();
    let draft = draft(&network, &account.permissions(), &EphemeralKey::random().unwrap()).await;
    let signature = account.sign(draft.typed_data().unwrap().digest(), B256::ZERO);
    let error = network.client().submit_key(&draft, signature).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(matches!(refusal(error), Refusal::ChainUnavailable { .. }));
    assert_eq!(count(&network, 1, "SELECT COUNT(*) FROM shares").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_itself_on_its_own_chain_and_says_itself_what_it_signed() {
    let chain = Chain::start().await;
    let network = chain.network().await;
    let account = SmartAccount::new();
    let undeployed = refusal(key(&network, &chain, &account).await.err().unwrap());
    assert!(matches!(undeployed, Refusal::NoContract { .. }), "{undeployed}");
    chain.deploy(&account).await;

    let thief = SmartAccount { wallet: PrivateKeySigner::random(), address: account.address };
    let refused = refusal(key(&network, &chain, &thief).await.err().unwrap());
    assert!(matches!(refused, Refusal::Unauthenticated { .. }), "{refused}");

    // The account's own signature, with which it may be on another chain too.
    let elsewhere = Permissions { chain_id: CHAIN + 1, ..account.permissions() };
    let draft = draft(&network, &elsewhere, &EphemeralKey::random().unwrap()).await;
    let signature = account.sign(draft.typed_data().unwrap().digest(), chain.head().await);
    let refused = refusal(network.client().submit_key(&draft, signature).await.unwrap_err());
    assert!(matches!(refused, Refusal::UnservedChain { chain_id, .. } if chain_id == CHAIN + 1), "{refused}");

    let session = key(&network, &chain, &account).await.unwrap();
    session.sign(&mint_with_nonce(ACCOUNT, 1)).await.unwrap();
    let by_account = async |digest| account.sign(digest, chain.head().await);
    let on_another_chain = ContractAccount { chain_id: CHAIN + 1, ..account.owner() };
    let refused = refusal(register(&session, on_another_chain, by_account).await.err().unwrap());
    assert!(matches!(refused, Refusal::Owner { .. }), "{refused}");
    // The wallet is not the account.
    let by_wallet = async |digest: B256| account.wallet.sign_hash_sync(&digest).unwrap().into();
    let refused = refusal(register(&session, account.wallet.address(), by_wallet).await.err().unwrap());
    assert!(matches!(refused, Refusal::Owner { .. }), "{refused}");
    let by_thief = async |digest| thief.sign(digest, chain.head().await);
    let refused = refusal(register(&session, account.owner(), by_thief).await.err().unwrap());
    assert!(matches!(refused, Refusal::Unauthenticated { .. }), "{refused}");
    chain.devnet.shutdown().await;
}
