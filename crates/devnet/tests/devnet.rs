//! The development network on its real components: npm, solc-js, anvil and alto.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::delegation::{
    Caveat, Caveats, Context, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, Mode, ROOT_AUTHORITY,
    Redeem, SingleExecution,
};
use quorate_core::{Call, Encode as _};
use quorate_devnet::{Devnet, LocalNetwork, LocalNetworkError, ProcessError, Quiet};
use quorate_transport::{HttpTransport, TransportError, TransportExt};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

const FACTORY: Address = address!("000000a56Aaca3e9a4C479ea6b6CD0DbcB6634F5");
const ABI_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
/// `EIP7702StatelessDeleGatorImpl` and `EntryPoint` in `DELEGATOR_CONTRACTS["1.3.0"]` of `delegation-deployments` 2.0.0.
const DELEGATOR_CODE: Address = address!("63c0c19a282a1B52b07dD5a65b58948A07DAE32B");
const ENTRY_POINT_V0_7: Address = address!("0000000071727De22E5E9d8BAf0edAc6f37da032");
/// `HybridDeleGatorImpl` and `SimpleFactory` there.
const HYBRID_CODE: Address = address!("48dBe696A4D990079e039489bA2053B36E8FFEC4");
const ACCOUNT_FACTORY: Address = address!("69Aa2f9fe1572F1B640E1bbc512f5c3a734fc77c");

/// EntryPoint v0.6, then what `reference-sdk.json` and the deployments on public chains name.
const CANONICAL: [Address; 11] = [
    address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
    address!("0000002512019Dafb59528B82CB92D3c5D2423aC"),
    FACTORY,
    address!("0bBa6d96BD616BedC6BFaa341742FD43c60b83C1"),
    address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e"),
    address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489"),
    ABI_MODULE,
    address!("000000D50C68705bd6897B2d17c7de32FB519fDA"),
    address!("00000D09967410f8C76752A104c9848b57ebba55"),
    address!("000000824dc138db84FD9109fc154bdad332Aa8E"),
    address!("4e59b44847b379578588920ca78fbf26c0b4956c"),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    counterfactual: Vec<Counterfactual>,
    rule_semantics: Vec<RuleSemantics>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counterfactual {
    address: Address,
    /// Given for the first indices of each owner only.
    init_code: Option<Bytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleSemantics {
    dest: Address,
    value: String,
    call_data: Bytes,
    session_key_data: Bytes,
    result: Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ok: bool,
    session_key: Option<Address>,
    reason: Option<String>,
}

/// One start serves every check, and the last check is that nothing of it is left.
#[tokio::test(flavor = "multi_thread")]
async fn runs_the_contracts_and_leaves_nothing_behind() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    let devnet = Devnet::builder(cache).start().await.unwrap();
    let chain = HttpTransport::builder(devnet.rpc_url().clone()).build().unwrap();
    let bundler = HttpTransport::builder(devnet.bundler_url().clone()).build().unwrap();
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../tests/vectors/reference-sdk.json")).unwrap();

    holds_code_at_canonical_addresses(&chain, devnet.nft()).await;
    the_factory_gives_the_reference_addresses(&chain, &vectors.counterfactual).await;
    the_abi_module_answers_as_the_reference(&chain, &vectors.rule_semantics).await;
    anyone_may_mint(&chain, devnet.nft()).await;
    the_delegation_framework_is_as_on_public_chains(&chain).await;
    a_delegation_of_the_real_deployment_is_redeemed_once(&devnet, &chain).await;
    let entry_points: Vec<Address> = bundler.call("eth_supportedEntryPoints", ()).await.unwrap();
    assert_eq!(entry_points, [CANONICAL[0], ENTRY_POINT_V0_7]);
    let chain_id: U256 = bundler.call("eth_chainId", ()).await.unwrap();
    assert_eq!(chain_id, U256::from(devnet.chain_id()));
    assert!(devnet.funded_key(9).is_some() && devnet.funded_key(10).is_none());

    let ports = [devnet.rpc_url(), devnet.bundler_url()].map(|url: &Url| url.port().unwrap());
    let started = ports.map(processes_named);
    assert!(started.iter().all(|processes| !processes.is_empty()));
    devnet.shutdown().await;
    for (port, started) in ports.into_iter().zip(started) {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        // Not of another program that was given the port since.
        assert!(started.is_disjoint(&processes_named(port)));
    }
}

#[tokio::test]
async fn names_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let error = Devnet::builder(folder.path()).chain_port(port).start().await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("port {port}, wanted for the chain, is taken")),
        "{error}"
    );
}

#[tokio::test]
async fn a_signing_network_needs_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("quorate");
    let error = LocalNetwork::start(&missing, folder.path(), 5, 3, &Quiet).await.unwrap_err();
    assert!(matches!(error, LocalNetworkError::NoProgram { .. }), "{error}");

    let error = LocalNetwork::start(Path::new("/bin/false"), folder.path(), 5, 3, &Quiet).await.unwrap_err();
    assert!(matches!(error, LocalNetworkError::Process(ProcessError::Died { .. })), "{error}");
}

async fn holds_code_at_canonical_addresses(chain: &HttpTransport, nft: Address) {
    for address in CANONICAL.into_iter().chain([nft]) {
        let code: Bytes = chain.call("eth_getCode", (address, "latest")).await.unwrap();
        assert!(!code.is_empty(), "{address}");
    }
}

async fn the_factory_gives_the_reference_addresses(chain: &HttpTransport, vectors: &[Counterfactual]) {
    assert!(vectors.iter().any(|vector| vector.init_code.is_some()));
    let question = selector("getAddressForCounterFactualAccount(address,bytes,uint256)");
    for (vector, init_code) in vectors.iter().filter_map(|vector| Some((vector, vector.init_code.as_ref()?)))
    {
        // The init code is the factory, then a call with the same arguments as the question.
        let (factory, call) = init_code.split_at(20);
        assert_eq!(factory, FACTORY);
        let data = Bytes::from([&question[..], &call[4..]].concat());
        let answer = eth_call(chain, FACTORY, &data).await.unwrap();
        assert_eq!(Address::from_word(B256::from_slice(&answer)), vector.address);
    }
}

async fn the_abi_module_answers_as_the_reference(chain: &HttpTransport, vectors: &[RuleSemantics]) {
    assert!(!vectors.is_empty());
    for (number, vector) in vectors.iter().enumerate() {
        let answer = eth_call(chain, ABI_MODULE, &validate_session_params(vector)).await;
        match answer {
            Ok(word) => {
                assert!(vector.result.ok, "vector {number}");
                assert_eq!(Some(Address::from_word(B256::from_slice(&word))), vector.result.session_key);
            }
            Err(error) => {
                assert!(!vector.result.ok, "vector {number}: {error}");
                let message = error.to_string();
                let reason = vector.result.reason.as_deref().unwrap();
                assert!(message.contains(reason), "vector {number}: {message}, not {reason}");
                assert_eq!(message.contains("ABISV"), reason.contains("ABISV"), "vector {number}: {message}");
            }
        }
    }
}

async fn anyone_may_mint(chain: &HttpTransport, nft: Address) {
    let recipient = Address::repeat_byte(0x42).into_word();
    let sender = Address::repeat_byte(0x17);
    chain.call::<()>("anvil_impersonateAccount", (sender,)).await.unwrap();
    chain.call::<()>("anvil_setBalance", (sender, U256::MAX >> 8)).await.unwrap();
    let mint = Bytes::from([&selector("safeMint(address)")[..], &recipient[..]].concat());
    let transaction = json!({ "from": sender, "to": nft, "data": mint });
    assert_eq!(mined(chain, transaction).await["status"], "0x1");
    assert_eq!(nfts_of(chain, nft, Address::from_word(recipient)).await, U256::ONE);
}

async fn the_delegation_framework_is_as_on_public_chains(chain: &HttpTransport) {
    let enforcers = Enforcer::ALL.iter().map(|enforcer| enforcer.address_v1_3_0());
    for address in enforcers.chain([MANAGER_V1_3_0, ENTRY_POINT_V0_7, HYBRID_CODE, ACCOUNT_FACTORY]) {
        let code: Bytes = chain.call("eth_getCode", (address, "latest")).await.unwrap();
        assert!(!code.is_empty(), "{address}");
    }
    for account in [DELEGATOR_CODE, HYBRID_CODE] {
        let answer = eth_call(chain, account, &selector("delegationManager()").into()).await.unwrap();
        assert_eq!(Address::from_word(B256::from_slice(&answer)), MANAGER_V1_3_0);
        let answer = eth_call(chain, account, &selector("entryPoint()").into()).await.unwrap();
        assert_eq!(Address::from_word(B256::from_slice(&answer)), ENTRY_POINT_V0_7);
    }
}

async fn a_delegation_of_the_real_deployment_is_redeemed_once(devnet: &Devnet, chain: &HttpTransport) {
    let (owner, nft) = (PrivateKeySigner::random(), devnet.nft());
    let delegate = PrivateKeySigner::from_bytes(&devnet.funded_key(0).unwrap()).unwrap().address();
    let once = U256::ONE.to_be_bytes::<32>();
    let caveats = [
        Caveat { enforcer: Enforcer::LimitedCalls.address_v1_3_0(), terms: &once },
        Caveat { enforcer: Enforcer::AllowedTargets.address_v1_3_0(), terms: nft.as_slice() },
    ];
    let unsigned = Delegation {
        delegate,
        delegator: owner.address(),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(&caveats[..]),
        salt: U256::ZERO,
        signature: &[],
    };
    let digest = unsigned.signing_digest(devnet.chain_id(), MANAGER_V1_3_0);
    let signature = owner.sign_hash_sync(&digest).unwrap().as_bytes();
    let context = Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec();
    let redemption = |to: Address| {
        let data = safeMintCall { to: owner.address() }.abi_encode();
        let execution = SingleExecution(Call { to, value: U256::ZERO, data: &data }).to_vec();
        let context = Context::parse(&context).unwrap();
        let data = Redeem { context, mode: Mode::SINGLE, execution: &execution }.to_vec();
        json!({ "from": delegate, "to": MANAGER_V1_3_0, "data": Bytes::from(data), "gas": "0x7a120" })
    };

    // An address without code executes nothing.
    eth_call_as(chain, redemption(nft)).await.unwrap_err();
    devnet.make_delegator(owner.address()).await.unwrap();

    let elsewhere = eth_call_as(chain, redemption(FACTORY)).await.unwrap_err().to_string();
    assert!(elsewhere.contains("AllowedTargetsEnforcer:target-address-not-allowed"), "{elsewhere}");
    let first = mined(chain, redemption(nft)).await;
    assert_eq!(first["status"], "0x1", "{first}");
    assert_eq!(nfts_of(chain, nft, owner.address()).await, U256::ONE);

    let second = eth_call_as(chain, redemption(nft)).await.unwrap_err().to_string();
    assert!(second.contains("LimitedCallsEnforcer:limit-exceeded"), "{second}");
    assert_eq!(mined(chain, redemption(nft)).await["status"], "0x0");
    assert_eq!(nfts_of(chain, nft, owner.address()).await, U256::ONE);
}

/// The receipt of a transaction of an account that the chain signs for.
async fn mined(chain: &HttpTransport, transaction: Value) -> Value {
    let hash: B256 = chain.call_once("eth_sendTransaction", (transaction,)).await.unwrap();
    loop {
        let receipt: Option<Value> = chain.call("eth_getTransactionReceipt", (hash,)).await.unwrap();
        if let Some(receipt) = receipt {
            return receipt;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn nfts_of(chain: &HttpTransport, nft: Address, owner: Address) -> U256 {
    let question = [&selector("balanceOf(address)")[..], &owner.into_word()[..]].concat();
    U256::from_be_slice(&eth_call(chain, nft, &question.into()).await.unwrap())
}

/// `validateSessionParams(address,uint256,bytes,bytes,bytes)`, the last of them empty.
fn validate_session_params(vector: &RuleSemantics) -> Bytes {
    let value: U256 = vector.value.parse().unwrap();
    let call_data = dynamic(&vector.call_data);
    let session_key_data = dynamic(&vector.session_key_data);
    let first = 5 * 32;
    let second = first + call_data.len();
    let third = second + session_key_data.len();
    let offsets = [first, second, third].map(|offset| U256::from(offset).to_be_bytes::<32>()).concat();
    let mut data = selector("validateSessionParams(address,uint256,bytes,bytes,bytes)").to_vec();
    data.extend(vector.dest.into_word());
    data.extend(value.to_be_bytes::<32>());
    data.extend([offsets, call_data, session_key_data, dynamic(&[])].concat());
    data.into()
}

/// The length in a word, then the bytes, filled up to whole words.
fn dynamic(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = U256::from(bytes.len()).to_be_bytes::<32>().to_vec();
    encoded.extend(bytes);
    encoded.resize(encoded.len().next_multiple_of(32), 0);
    encoded
}

fn selector(signature: &str) -> [u8; 4] {
    let hash = keccak256(signature);
    [hash[0], hash[1], hash[2], hash[3]]
}

async fn eth_call(chain: &HttpTransport, to: Address, data: &Bytes) -> Result<Bytes, TransportError> {
    eth_call_as(chain, json!({ "to": to, "data": data })).await
}

async fn eth_call_as(chain: &HttpTransport, call: Value) -> Result<Bytes, TransportError> {
    chain.call("eth_call", (call, "latest")).await
}

/// The processes of this machine, by their numbers, that were started with this port among their arguments.
fn processes_named(port: u16) -> BTreeSet<OsString> {
    let port = port.to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let is_named = line.split(|byte| *byte == 0).any(|word| word == port.as_bytes());
        is_named.then(|| entry.file_name())
    });
    processes.collect()
}
