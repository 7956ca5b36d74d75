use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, address};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use quorate_protocol::{Authentication, ContractAccount, Operation, Setup, Signed, TypedDataSignature};
use serde_json::{Value, json};

use super::*;

const CHAIN: u64 = 84532;
const CONTRACT: Address = address!("00000000000000000000000000000000000000aa");
const BLOCK: B256 = B256::repeat_byte(0xb1);
const YES: &str = "0x1626ba7e00000000000000000000000000000000000000000000000000000000";

/// What a chain's RPC answers to each method: a result, or an error where there is a code.
#[derive(Clone)]
struct Script {
    chain_id: Value,
    block: Value,
    head: Value,
    code: Value,
    answer: Value,
    asked: Arc<std::sync::Mutex<Vec<(String, Value)>>>,
    /// Before each answer.
    pause: Duration,
    /// How many calls are under way, and the most that ever were.
    counted: (Arc<AtomicUsize>, Arc<AtomicUsize>),
}

impl Script {
    /// A contract that says yes in block 100, the newest.
    fn yes() -> Self {
        Self {
            chain_id: json!("0x14a34"),
            block: json!({ "number": "0x64", "hash": BLOCK }),
            head: json!("0x64"),
            code: json!("0x60"),
            answer: json!(YES),
            asked: Arc::default(),
            pause: Duration::ZERO,
            counted: Default::default(),
        }
    }

    fn of(&self, method: &str) -> Value {
        match method {
            "eth_chainId" => &self.chain_id,
            "eth_getBlockByHash" => &self.block,
            "eth_blockNumber" => &self.head,
            "eth_getCode" => &self.code,
            "eth_call" => &self.answer,
            _ => panic!("{method} is not asked for"),
        }
        .clone()
    }

    async fn serve(self) -> Chains {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rpc = format!("http://{}/v2/Secret0123456789abc", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(answer)).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        chains(&rpc)
    }

    /// What comes of the claim that the contract signed.
    async fn asked(self) -> Result<Verified<()>, Refusal> {
        self.serve().await.verify(claimed(CHAIN)).await
    }
}

async fn answer(State(script): State<Script>, Json(request): Json<Value>) -> Json<Value> {
    let (under_way, most) = &script.counted;
    most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    tokio::time::sleep(script.pause).await;
    under_way.fetch_sub(1, Ordering::Relaxed);
    let method = request["method"].as_str().unwrap();
    script.asked.lock().unwrap().push((method.to_owned(), request["params"].clone()));
    let answer = script.of(method);
    let kind = if answer["code"].is_i64() { "error" } else { "result" };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], kind: answer }))
}

fn node() -> NodeIndex {
    NodeIndex::new(1).unwrap()
}

fn chains(rpc: &str) -> Chains {
    let config = ChainConfig { rpc: rpc.parse().unwrap() };
    Chains::new(node(), &ChainConfigs([(CHAIN, config)].into())).unwrap()
}

/// A revocation that a contract is said to have signed.
fn claimed(chain_id: u64) -> Claimed<()> {
    let account = ContractAccount { chain_id, address: CONTRACT };
    let signature = TypedDataSignature::Contract { block: BLOCK, signature: vec![5; 70].into() };
    let text = Authentication::owner_text(account, "", signature).unwrap();
    let setup = format!(r#"{{"network":"{}","keyId":"{}"}}"#, B256::ZERO, "ab".repeat(32));
    let typed_data = Setup::parse(Operation::Revoke, &setup).unwrap().typed_data("").unwrap();
    match Authentication::parse(&text).unwrap().verify_owner(&typed_data).unwrap() {
        Signed::Claimed(claimed) => claimed,
        Signed::Verified(_) => panic!("nobody has asked the contract"),
    }
}

fn error(code: i64, message: &str) -> Value {
    json!({ "code": code, "message": message })
}

#[tokio::test]
async fn a_contract_is_asked_with_bounded_gas_in_the_block_that_the_request_names() {
    let script = Script::yes();
    let asked = script.asked.clone();
    let chains = script.serve().await;
    let verified = chains.verify(claimed(CHAIN)).await.unwrap();
    assert_eq!(verified.owner().to_string(), format!("eip155:{CHAIN}:{CONTRACT}"));
    chains.verify(claimed(CHAIN)).await.unwrap();

    let asked = asked.lock().unwrap();
    let of = |method: &str| asked.iter().filter(|(asked, _)| asked == method).collect::<Vec<_>>();
    assert_eq!(of("eth_chainId").len(), 1, "once");
    let state = json!({ "blockHash": BLOCK, "requireCanonical": true });
    let data = Bytes::from(claimed(CHAIN).claim().call_data());
    let call = json!({ "to": CONTRACT, "data": data, "gas": "0xf4240" });
    assert_eq!(of("eth_call")[0].1, json!([call, state]));
    assert_eq!(of("eth_getCode")[0].1, json!([CONTRACT, state]));
}

#[tokio::test]
async fn a_block_is_at_most_256_blocks_old() {
    Script { head: json!("0x164"), ..Script::yes() }.asked().await.unwrap();
    // A node behind a load balancer may be ahead of the one that tells the head.
    Script { head: json!("0x63"), ..Script::yes() }.asked().await.unwrap();
    let refused = Script { head: json!("0x165"), ..Script::yes() }.asked().await.unwrap_err();
    assert_eq!(refused, Refusal::OldBlock { block: BLOCK, age: 257, limit: 256 });
    assert!(!refused.is_transient() && refused.to_string().ends_with("name a newer block"));
}

#[tokio::test]
async fn a_block_that_is_not_there_yet_or_no_longer_may_come() {
    let behind = Refusal::Behind { node: node(), chain_id: CHAIN, block: BLOCK };
    assert!(behind.is_transient());
    let missing = error(-32000, "header not found");
    let (code, answer) = (missing.clone(), missing);
    assert_eq!(
        Script { block: Value::Null, code, answer, ..Script::yes() }.asked().await,
        Err(behind.clone())
    );
    let not_canonical = error(-32000, "hash 0xb1 is not currently canonical");
    let (code, answer) = (not_canonical.clone(), not_canonical);
    assert_eq!(Script { code, answer, ..Script::yes() }.asked().await, Err(behind));
}

#[tokio::test]
async fn an_owner_without_code_cannot_sign() {
    let (code, answer) = (json!("0x"), json!("0x"));
    let refused = Script { code, answer, ..Script::yes() }.asked().await.unwrap_err();
    let account = ContractAccount { chain_id: CHAIN, address: CONTRACT };
    assert_eq!(refused, Refusal::NoContract { account, block: BLOCK });
    assert!(refused.to_string().contains("an undeployed owner cannot sign"));
}

#[tokio::test]
async fn a_contract_that_says_anything_but_yes_has_not_signed() {
    for answer in [
        error(3, "execution reverted: wrong signature"),
        error(-32000, "Execution reverted"),
        error(-32000, "out of gas"),
        json!("0x"),
        json!("0x1626ba7e"),
        json!(YES.replace("1626ba7e", "ffffffff")),
        json!(YES.replace("1626ba7e00", "1626ba7e01")),
        json!(format!("0x{}1626ba7e", "0".repeat(56))),
    ] {
        let refused = Script { answer: answer.clone(), ..Script::yes() }.asked().await.unwrap_err();
        assert!(matches!(refused, Refusal::Unauthenticated { .. }), "{answer}: {refused}");
    }
}

#[tokio::test]
async fn an_rpc_that_does_not_answer_is_named_by_its_node_without_its_url() {
    let unavailable = Refusal::ChainUnavailable { node: node(), chain_id: CHAIN };
    assert!(unavailable.is_transient());
    let down = chains("http://127.0.0.1:1/v2/Secret0123456789abc");
    assert_eq!(down.verify(claimed(CHAIN)).await, Err(unavailable.clone()));
    let broken = error(-32603, "the backend of Secret0123456789abc is gone");
    for script in [
        Script { chain_id: broken.clone(), ..Script::yes() },
        Script { block: broken.clone(), ..Script::yes() },
        Script { head: broken.clone(), ..Script::yes() },
        Script { answer: broken, ..Script::yes() },
        Script { answer: json!(7), ..Script::yes() },
    ] {
        assert_eq!(script.asked().await, Err(unavailable.clone()));
    }
    assert!(!format!("{down:?}").contains("Secret"));
}

#[tokio::test]
async fn only_the_chains_that_are_configured_are_asked_and_each_is_the_one_it_should_be() {
    let refused = Script::yes().serve().await.verify(claimed(CHAIN + 1)).await.unwrap_err();
    assert_eq!(refused, Refusal::UnservedChain { node: node(), chain_id: CHAIN + 1 });
    assert!(refused.to_string().contains("serves no contract owners on chain 84533"), "{refused}");

    let script = Script { chain_id: json!("0x1"), ..Script::yes() };
    let asked = script.asked.clone();
    let other = Refusal::OtherChain { node: node(), chain_id: CHAIN, found: 1 };
    assert_eq!(script.asked().await, Err(other));
    assert!(asked.lock().unwrap().iter().all(|(method, _)| method == "eth_chainId"));
}

#[tokio::test]
async fn a_chain_is_asked_about_a_few_claims_at_once() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (under_way, most.clone());
    let script = Script { pause: Duration::from_millis(50), counted, ..Script::yes() };
    let chains = script.serve().await;
    let asked = (0..3 * PLACES).map(|_| chains.verify(claimed(CHAIN)));
    for verified in futures_util::future::join_all(asked).await {
        verified.unwrap();
    }
    let most = most.load(Ordering::Relaxed);
    assert!((1..=4 * PLACES).contains(&most), "four calls for each claim: {most}");
}
