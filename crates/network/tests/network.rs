//! A whole network of five nodes and a gateway, on real sockets and real databases, and our own client.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_core::{
    Address, Call, Condition, Encode as _, Execute, FunctionSelector, Policy, Rule, U256, UserOperation,
    signing_hash,
};
use quorate_network::{AttestedKey, EphemeralKey, NetworkDescriptor, NetworkError, Refusal, SigningNetwork};
use quorate_node::{Gateway, GatewayConfig, Node, NodeConfig, init};
use quorate_protocol::{ClientError, KeyDraft, OperationMessage, Permissions, PermittedPolicy};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const CHAIN: u64 = 31337;
const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const ACCOUNT: Address = Address::repeat_byte(0xaa);
const NFT: Address = Address::repeat_byte(0x0f);

/// One network and one key serve all tests that do not change them: making a key computes for seconds.
static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (network, owner, ephemeral, key) = runtime.block_on(async {
        let network = LocalNetwork::start().await;
        let owner = PrivateKeySigner::random();
        let ephemeral = EphemeralKey::random().unwrap();
        let draft = network.client().prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
        let key = network.client().submit_key(&draft, &sign(&owner, &draft)).await.unwrap();
        (network, owner, ephemeral, key)
    });
    Shared { runtime, network, owner, ephemeral, key }
});

struct Shared {
    runtime: Runtime,
    network: LocalNetwork,
    owner: PrivateKeySigner,
    ephemeral: EphemeralKey,
    key: AttestedKey,
}

struct LocalNetwork {
    descriptor: NetworkDescriptor,
    _folder: TempDir,
    nodes: Vec<CancellationToken>,
}

impl LocalNetwork {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let descriptor = init(folder.path(), 3, 5, address).unwrap();
        let gateway = GatewayConfig::load(&folder.path().join("gateway/gateway.toml")).unwrap();
        let gateway = Gateway::open(gateway).await.unwrap();
        tokio::spawn(gateway.serve(CancellationToken::new()));
        let mut nodes = Vec::new();
        for index in 1..=5 {
            let config = NodeConfig::load(&folder.path().join(format!("node-{index}/node.toml"))).unwrap();
            let stop = CancellationToken::new();
            tokio::spawn(Node::open(config).await.unwrap().serve(stop.clone()));
            nodes.push(stop);
        }
        let network = Self { descriptor, _folder: folder, nodes };
        network.until_ready().await;
        network
    }

    /// A key request is refused by name while nodes are missing, and challenged once all are there.
    async fn until_ready(&self) {
        let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
        let ready = async {
            while let Err(error) = self.client().prepare_key(&permissions(&owner), &claim(&ephemeral)).await {
                assert!(matches!(refusal(error), Refusal::Nodes { needed: 5, .. }));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("the network starts within 20 s");
    }

    fn client(&self) -> SigningNetwork {
        SigningNetwork::new(self.descriptor.clone())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claim(key: &EphemeralKey) -> quorate_protocol::EphemeralClaim {
    key.claim("test", now() + 3600)
}

fn selector() -> FunctionSelector {
    FunctionSelector::parse("safeMint(address)").unwrap()
}

/// The account may mint to itself.
fn permissions(owner: &PrivateKeySigner) -> Permissions {
    let policy = Policy::new(NFT, selector()).with_rule(Rule::new(0, Condition::Equal, ACCOUNT)).unwrap();
    Permissions {
        owner: owner.address(),
        account: ACCOUNT,
        chain_id: CHAIN,
        entry_point: ENTRY_POINT,
        session_key_manager: Address::repeat_byte(0x5e),
        policies: vec![PermittedPolicy { validation_module: Address::repeat_byte(0xab), policy }],
    }
}

fn sign(owner: &PrivateKeySigner, draft: &KeyDraft) -> alloy_primitives::Signature {
    owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap()
}

fn mint_to(recipient: Address) -> OperationMessage {
    let mut data = selector().as_bytes().to_vec();
    data.extend(recipient.into_word());
    let call_data = Execute(Call { to: NFT, value: U256::ZERO, data: &data }).to_vec();
    let operation = UserOperation {
        sender: ACCOUNT,
        nonce: U256::from(7),
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(1_000_000_000),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: Vec::new(),
    };
    OperationMessage { operation, entry_point: ENTRY_POINT, chain_id: CHAIN }
}

fn ask(message: &OperationMessage) -> Result<alloy_primitives::Signature, NetworkError> {
    ask_as(message, &SHARED.ephemeral)
}

fn ask_as(
    message: &OperationMessage,
    key: &EphemeralKey,
) -> Result<alloy_primitives::Signature, NetworkError> {
    let Shared { runtime, network, key: session, .. } = &*SHARED;
    runtime.block_on(network.client().sign(&session.key_id, session.address, message, key))
}

fn refusal(error: NetworkError) -> Refusal {
    match error {
        NetworkError::Client(ClientError::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}

#[test]
fn a_permitted_operation_is_signed_by_the_session_key() {
    let message = mint_to(ACCOUNT);
    let signature = ask(&message).unwrap();
    let digest = signing_hash(message.operation.hash(ENTRY_POINT, CHAIN));
    assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), SHARED.key.address);
    assert!(SHARED.key.attestations.len() >= 4);
}

#[test]
fn an_operation_outside_the_policy_is_refused_with_both_values() {
    let stranger = Address::repeat_byte(0xcc);
    let Refusal::Forbidden { reason, revert } = refusal(ask(&mint_to(stranger)).unwrap_err()) else {
        panic!()
    };
    for word in ["rule 0", &stranger.into_word().to_string(), &ACCOUNT.into_word().to_string()] {
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(revert.as_deref(), Some("ABISV Arg Rule Violated"));
}

#[test]
fn another_account_chain_entry_point_or_a_deployment_is_refused() {
    let mut other_account = mint_to(ACCOUNT);
    other_account.operation.sender = NFT;
    let other_chain = OperationMessage { chain_id: 1, ..mint_to(ACCOUNT) };
    let other_entry_point = OperationMessage { entry_point: NFT, ..mint_to(ACCOUNT) };
    let mut deployment = mint_to(ACCOUNT);
    deployment.operation.init_code = vec![1];
    for message in [other_account, other_chain, other_entry_point, deployment] {
        assert!(matches!(refusal(ask(&message).unwrap_err()), Refusal::Forbidden { revert: None, .. }));
    }
}

#[test]
fn call_data_in_another_encoding_is_refused() {
    let mut message = mint_to(ACCOUNT);
    message.operation.call_data.extend([0; 32]);
    let Refusal::Forbidden { reason, .. } = refusal(ask(&message).unwrap_err()) else { panic!() };
    assert!(reason.contains("canonical"), "{reason}");
}

#[test]
fn only_a_registered_ephemeral_key_may_ask() {
    let stranger = EphemeralKey::random().unwrap();
    assert!(matches!(
        refusal(ask_as(&mint_to(ACCOUNT), &stranger).unwrap_err()),
        Refusal::EphemeralKey { .. }
    ));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let Shared { runtime, network, ephemeral, key, .. } = &*SHARED;
    let asked = network.client();
    let error = runtime.block_on(asked.sign("no-such-key", key.address, &mint_to(ACCOUNT), ephemeral));
    assert!(matches!(refusal(error.unwrap_err()), Refusal::UnknownKey { key_id } if key_id == "no-such-key"));
}

#[test]
fn a_key_is_made_for_the_owner_who_signed_only() {
    let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
    runtime.block_on(async {
        let client = network.client();
        let draft = client.prepare_key(&permissions(owner), &claim(ephemeral)).await.unwrap();
        let thief = PrivateKeySigner::random();
        let error = client.submit_key(&draft, &sign(&thief, &draft)).await.unwrap_err();
        assert!(matches!(refusal(error), Refusal::Unauthenticated { .. }));
    });
}

#[test]
fn swapped_permissions_are_refused() {
    let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
    runtime.block_on(async {
        let client = network.client();
        let draft = client.prepare_key(&permissions(owner), &claim(ephemeral)).await.unwrap();
        let signature = sign(owner, &draft);
        let wider = draft.to_json().replace(&format!("{NFT:?}"), &format!("{ACCOUNT:?}"));
        assert_ne!(wider, draft.to_json());
        let error = client.submit_key(&KeyDraft::from_json(&wider).unwrap(), &signature).await.unwrap_err();
        // The gateway knows no such challenge; past it, the hash in the signed entry differs.
        assert!(matches!(refusal(error), Refusal::Challenge | Refusal::Malformed { .. }));
    });
}

#[test]
fn a_key_draft_goes_on_in_another_process() {
    let draft = {
        let Shared { runtime, network, owner, ephemeral, .. } = &*SHARED;
        runtime.block_on(network.client().prepare_key(&permissions(owner), &claim(ephemeral))).unwrap()
    };
    assert_eq!(KeyDraft::from_json(&draft.to_json()).unwrap(), draft);
}

#[test]
fn signing_goes_on_with_two_nodes_down_and_stops_with_three() {
    Runtime::new().unwrap().block_on(async {
        let network = LocalNetwork::start().await;
        let client = network.client();
        let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random().unwrap());
        let draft = client.prepare_key(&permissions(&owner), &claim(&ephemeral)).await.unwrap();
        let key = client.submit_key(&draft, &sign(&owner, &draft)).await.unwrap();
        for node in &network.nodes[..2] {
            node.cancel();
        }
        client.sign(&key.key_id, key.address, &mint_to(ACCOUNT), &ephemeral).await.unwrap();
        network.nodes[2].cancel();
        let stopped = async {
            loop {
                match client.sign(&key.key_id, key.address, &mint_to(ACCOUNT), &ephemeral).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => break error,
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap();
        assert!(refusal(error).is_transient());
    });
}
