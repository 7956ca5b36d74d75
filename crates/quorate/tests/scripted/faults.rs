//! Faults of the original SDK that this one has not, by their numbers in the list of them.

use std::iter;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::local::LocalNetwork;
use crate::paid_scene::{COLLECTOR, GOLD, IRON, PaidScene};
use crate::scene::{NFT, Requests, Scene, ether, number};
use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::{Revert, SolCall as _, SolError as _};
use quorate::testing::{BundlerDialect, Fault, Numbers, ScriptedChain};
use quorate::{
    BundlerError, Call, Concern, Error, NetworkDescriptor, Options, PaymasterError, Percent, SigningNetwork,
};
use quorate_contracts::Erc20;
use quorate_core::{AccountCall, SignedUserOperation};
use quorate_network::NetworkError;
use serde_json::{Value, json};

/// One more than the largest odd number that a double holds.
const BEYOND_A_DOUBLE: u64 = (1 << 53) + 1;

/// Fault 7: sockets without a deadline, one text for every failure, payloads in logs. A gateway that takes the connection
/// and never answers is given up at the deadline.
#[tokio::test]
async fn a_network_that_never_answers_ends_at_the_deadline() {
    let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let descriptor = quorate_node::init(folder.path(), 3, 5, address, 0, None).unwrap().to_json();
    let descriptor = NetworkDescriptor::from_json(&descriptor).unwrap();
    let network = SigningNetwork::new(descriptor).with_signing_deadline(Duration::from_millis(50));

    let scene = Scene::new().await;
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let error = grant.distributed_key(&network, &scene.owner).await.unwrap_err();
    let deadline =
        matches!(error, Error::Network(NetworkError::Deadline { after, .. }) if after.as_millis() == 50);
    assert!(deadline, "{error:?}");
    assert_eq!((error.concern(), error.code()), (Concern::Network, "network"));
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "the gateway is named: {error}");
    assert_eq!((scene.stored_operations().await, scene.statuses().await.len()), (0, 0));
}

/// Fault 7: a signature that does not come in time is the signer's error. Nothing is sent, and the call made again is the
/// first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_does_not_sign_in_time_has_nothing_sent() {
    let network = LocalNetwork::start_small().await;
    let scene = Scene::new().await;
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let key = grant.distributed_key(&network.client(), &scene.owner).await.unwrap();
    let granted = scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    let requests = Requests::to_bundler(&scene.bundler);
    let session_by = |network: SigningNetwork| {
        let client = scene.client.clone().with_network(network);
        let account = client.account(scene.account.owner(), 0);
        let id = granted.id().clone();
        async move { account.session(id).await.unwrap() }
    };

    // No socket is connected in no time.
    let session = session_by(network.client().with_signing_deadline(Duration::ZERO)).await;
    let error = scene.mint_with(&session).await.unwrap_err();
    let reasons = iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let mut of_network = reasons.filter_map(|reason| reason.downcast_ref::<NetworkError>());
    assert!(of_network.any(|reason| matches!(reason, NetworkError::Deadline { .. })), "{error:?}");
    assert_eq!((error.concern(), error.code()), (Concern::Signature, "signer"), "{error:?}");
    assert!(!format!("{error:?}").contains(&hex::encode(scene.mint())), "{error:?}");
    assert_eq!(requests.sendings(), 0);

    scene.mint_with(&session_by(network.client()).await).await.unwrap().wait().await.unwrap();
    assert_eq!((requests.sendings(), scene.minted()), (1, 1));
}

/// Fault 7, for node, bundler and paymaster: the error names who did not answer and what it was asked, and neither what
/// was signed nor the key is in it.
#[tokio::test]
async fn who_does_not_answer_is_named_and_no_payload_is() {
    let paid = PaidScene::new().await;
    let scene = &paid.scene;
    let session = scene.session().await;
    let secret = scene.owner.to_bytes();
    let requests = Requests::to_bundler(&scene.bundler);
    let sponsored = session.clone().with_options(Options::new().sponsored_by(&paid.erc7677()));

    scene.node.on_next("eth_feeHistory", Fault::Timeout);
    let by_node = scene.mint_with(&session).await.unwrap_err();
    paid.service.on_next("pm_getPaymasterData", Fault::Timeout);
    let by_paymaster = scene.mint_with(&sponsored).await.unwrap_err();
    scene.bundler.on_next("eth_estimateUserOperationGas", Fault::Timeout);
    let by_bundler = scene.mint_with(&session).await.unwrap_err();
    assert_eq!(requests.sendings(), 0);
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout);
    let of_sending = scene.mint_with(&session).await.unwrap_err();

    let signature = requests.sent()["signature"].as_str().unwrap().trim_start_matches("0x").to_owned();
    for (error, endpoint, method, concern) in [
        (&by_node, "node-0.scripted.test", "eth_feeHistory", Concern::Chain),
        (&by_paymaster, "paymaster-0.scripted.test", "pm_getPaymasterData", Concern::Payment),
        (&by_bundler, "bundler-0.scripted.test", "eth_estimateUserOperationGas", Concern::Bundler),
        (&of_sending, "bundler-0.scripted.test", "eth_sendUserOperation", Concern::Operation),
    ] {
        let text = error.to_string();
        assert!(text.contains(endpoint) && text.contains(method), "{text}");
        assert_eq!(error.concern(), concern, "{text}");
        let everything = format!("{text} {error:?}");
        for secret in [&signature, &hex::encode(scene.mint()), &hex::encode(secret)] {
            assert!(!everything.contains(secret.as_str()), "{everything}");
        }
    }
    assert_eq!(of_sending.user_op_hash(), Some(Scene::unsettled(&of_sending)));
}

/// Faults 9 and 20: decimal digits after 0x, and an exception where the bundler has no fees. Whoever names the fees, they
/// are written in hex and are exactly those.
#[tokio::test]
async fn fees_are_written_in_hex_and_come_from_the_node_where_the_bundler_has_none() {
    let tip = U256::from(1_234_567_891);
    let base_fee = U256::from(3_456_789_012_u64);
    let whole = base_fee + base_fee + tip;
    // Pimlico's standard price in this scripted chain is five percent above the slow one.
    let standard = |wei: U256| wei * U256::from(105) / U256::from(100);
    for (dialect, fee, priority) in [
        (BundlerDialect::Standard, whole, tip),
        (BundlerDialect::Rundler, whole, tip),
        (BundlerDialect::Biconomy, whole, tip),
        (BundlerDialect::Pimlico, standard(whole), standard(tip)),
    ] {
        let scene = priced_scene(base_fee, tip).await;
        scene.bundler.set_dialect(dialect);
        let requests = Requests::to_bundler(&scene.bundler);
        scene.granted().await;
        assert_fees(&requests.sent(), fee, priority, &format!("{dialect:?}"));
    }
    for (method, answer) in [
        ("pimlico_getUserOperationGasPrice", json!({ "standard": { "maxFeePerGas": "0x5" } })),
        ("pimlico_getUserOperationGasPrice", json!({ "standard": null, "slow": {} })),
        ("biconomy_getGasFeeValues", json!({ "maxPriorityFeePerGas": "5" })),
        ("biconomy_getGasFeeValues", json!({ "maxFeePerGas": null, "maxPriorityFeePerGas": null })),
        ("rundler_maxPriorityFeePerGas", json!("")),
        ("rundler_maxPriorityFeePerGas", Value::Null),
    ] {
        let scene = priced_scene(base_fee, tip).await;
        scene.bundler.set_dialect(BundlerDialect::Standard);
        scene.bundler.always(method, Fault::Answer(answer.clone()));
        let requests = Requests::to_bundler(&scene.bundler);
        scene.granted().await;
        assert_fees(&requests.sent(), whole, tip, &format!("{method}: {answer}"));
    }
}

async fn priced_scene(base_fee: U256, tip: U256) -> Scene {
    let chain = ScriptedChain::new();
    chain.set_base_fee(base_fee);
    chain.set_priority_fee(tip);
    chain.mine();
    Scene::with(chain, Arc::new(quorate::MemoryStore::new())).await
}

fn assert_fees(operation: &Value, fee: U256, priority: U256, shown: &str) {
    assert_eq!(operation["maxFeePerGas"], format!("{fee:#x}"), "{shown}");
    assert_eq!(operation["maxPriorityFeePerGas"], format!("{priority:#x}"), "{shown}");
}

/// Fault 10: with gas offsets the paymaster signs first and gas changes after. What its service saw last is what is sent,
/// but for the two signatures, and the offsets are in it.
#[tokio::test]
async fn nothing_but_signatures_changes_after_the_paymaster_signed() {
    let twenty = Percent::new(20).unwrap();
    let offsets = Options::new()
        .with_call_gas_offset(twenty)
        .with_verification_gas_offset(twenty)
        .with_pre_verification_gas_offset(twenty)
        .with_max_fee_offset(twenty)
        .with_max_priority_fee_offset(twenty);
    for payment in [Options::new().sponsored(), Options::new().paid_in(GOLD)] {
        for place in 0..3 {
            let paid = PaidScene::new().await;
            let paymaster = &paid.paymasters()[place];
            // ERC-7677 has no quotes, so that the allowance is the caller's to name.
            let payment = payment.clone().with_paymaster(paymaster).up_to(ether() * ether());
            let (to_service, to_bundler) =
                (Requests::to_paymaster(&paid.service), Requests::to_bundler(&paid.scene.bundler));
            paid.grant(payment.merged(offsets.clone())).await.unwrap();
            let method = if place == 2 { "pm_getPaymasterData" } else { "pm_sponsorUserOperation" };
            let (signed, sent) = (to_service.last(method), to_bundler.sent());
            for field in ["sender", "initCode", "callData"] {
                let bytes =
                    [&signed, &sent].map(|operation| operation[field].as_str().unwrap().to_lowercase());
                assert_eq!(bytes[0], bytes[1], "{field} {paymaster:?}");
            }
            for field in NUMBERS {
                assert_eq!(number(&signed[field]), number(&sent[field]), "{field} {paymaster:?}");
            }
            assert_eq!(number(&sent["callGasLimit"]), U256::from(360_000), "300 000 and a fifth");
            assert_eq!(number(&sent["preVerificationGas"]), U256::from(72_000), "60 000 and a fifth");
        }
    }
}

const NUMBERS: [&str; 6] = [
    "nonce",
    "callGasLimit",
    "verificationGasLimit",
    "preVerificationGas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
];

/// Fault 11: bundlers' numbers and approvals go through floating point. Beyond 2^53 they keep their last digit.
#[tokio::test]
async fn numbers_beyond_2_to_53_keep_their_digits() {
    for numbers in [Numbers::Hex, Numbers::Decimal, Numbers::Json, Numbers::HexObject, Numbers::BigNumber] {
        // A unit of gas costs next to nothing, so that the account can pay for so many.
        let mut scene = priced_scene(U256::from(3), U256::from(1)).await;
        scene.account = scene.account.with_options(Options::new().with_max_cost_factor(1_000));
        scene.bundler.set_numbers(numbers);
        scene.bundler.set_gas(BEYOND_A_DOUBLE, BEYOND_A_DOUBLE, BEYOND_A_DOUBLE + 2);
        let requests = Requests::to_bundler(&scene.bundler);
        scene.granted().await;
        let sent = requests.sent();
        assert_eq!(sent["preVerificationGas"], "0x20000000000001", "{numbers:?}");
        assert_eq!(sent["callGasLimit"], "0x20000000000003", "{numbers:?}");
    }
    for numbers in [Numbers::Decimal, Numbers::Json] {
        let scene = priced_scene(U256::ZERO, U256::from(BEYOND_A_DOUBLE)).await;
        scene.chain.fund(scene.account.address(), ether() * ether());
        scene.bundler.set_dialect(BundlerDialect::Rundler);
        scene.bundler.set_numbers(numbers);
        let requests = Requests::to_bundler(&scene.bundler);
        scene.granted().await;
        assert_eq!(requests.sent()["maxPriorityFeePerGas"], "0x20000000000001", "{numbers:?}");
    }

    // 2^53 + 1 whole tokens, and one of the smallest units.
    let quoted: U256 = U256::from(BEYOND_A_DOUBLE) * ether() + U256::from(1);
    let paid = PaidScene::new().await;
    let quote = json!({
        "symbol": "GLD", "decimal": 18, "tokenAddress": GOLD,
        "maxGasFee": format!("{BEYOND_A_DOUBLE}.000000000000000001"),
    });
    let quotes = json!({ "mode": "ERC20", "paymasterAddress": COLLECTOR, "feeQuotes": [quote] });
    paid.service.always("pm_getFeeQuoteOrData", Fault::Answer(quotes));
    let requests = Requests::to_bundler(&paid.scene.bundler);
    let in_gold = Options::new().with_paymaster(&paid.biconomy()).paid_in(GOLD);
    paid.grant(in_gold.clone()).await.unwrap();
    assert_eq!(approved(&requests.sent()), [quoted]);
    let more = quoted + U256::from(2);
    paid.grant(in_gold.up_to(more)).await.unwrap();
    assert_eq!(approved(&requests.sent()).last(), Some(&more));
}

/// The amounts that an operation approves.
fn approved(operation: &Value) -> Vec<U256> {
    let call_data: Bytes = serde_json::from_value(operation["callData"].clone()).unwrap();
    let calls = AccountCall::decode(&call_data).unwrap();
    let approvals = calls.calls().filter_map(|call| Erc20::approveCall::abi_decode(call.data).ok());
    approvals.map(|approval| approval.amount).collect()
}

/// Fault 14: a token's address is taken for a fee quote. Where the service quotes others only, nothing is approved,
/// signed or sent.
#[tokio::test]
async fn a_token_without_a_quote_pays_for_nothing() {
    let paid = PaidScene::new().await;
    let quote = json!({ "symbol": "IRN", "decimal": 18, "tokenAddress": IRON, "maxGasFee": 5 });
    let quotes = json!({ "mode": "ERC20", "paymasterAddress": COLLECTOR, "feeQuotes": [quote] });
    paid.service.always("pm_getFeeQuoteOrData", Fault::Answer(quotes));
    let requests = Requests::to_bundler(&paid.scene.bundler);
    let error = paid.grant(Options::new().with_paymaster(&paid.biconomy()).paid_in(GOLD)).await.unwrap_err();
    let Error::Paymaster(reason) = &error else { panic!("{error}") };
    let PaymasterError::UnsupportedToken { token, supported } = &**reason else { panic!("{error}") };
    assert_eq!((*token, supported.as_slice()), (GOLD, [IRON].as_slice()));
    assert!(error.to_string().contains(&GOLD.to_string()), "{error}");
    assert_eq!((requests.sendings(), paid.scene.stored_operations().await), (0, 0));
}

/// Fault 17: confirmations are compared the wrong way round. A wait for n ends when n blocks are on top, and not before.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_exactly_so_many_blocks_on_top() {
    for confirmations in 0..4 {
        let scene = Scene::new().await;
        let session = scene.session().await;
        let pending = scene.mint_with(&session).await.unwrap().with_confirmations(confirmations);
        for _ in 0..confirmations {
            let early = pending.clone().with_deadline(Duration::from_secs(5)).wait().await;
            assert!(matches!(early, Err(Error::Timeout { .. })), "{confirmations}: {early:?}");
            scene.chain.mine();
        }
        let receipt = pending.wait().await.unwrap();
        let block = scene.chain.block_of(receipt.user_op_hash).unwrap();
        assert_eq!(scene.chain.block_number() - block, confirmations);
    }
}

/// Fault 18: FAILED is taken for success.
#[tokio::test(start_paused = true)]
async fn a_call_that_failed_gives_no_transaction_hash() {
    for dialect in [BundlerDialect::Standard, BundlerDialect::Pimlico, BundlerDialect::Biconomy] {
        let scene = Scene::new().await;
        scene.bundler.set_dialect(dialect);
        let session = scene.session().await;
        scene.chain.set_automine(false);
        let pending = scene.mint_with(&session).await.unwrap();
        scene.chain.reverting(NFT);
        scene.chain.mine();
        let error = pending.wait_for_tx_hash().await.unwrap_err();
        assert!(matches!(error, Error::Reverted { .. }), "{dialect:?}: {error}");
        assert_eq!(error.user_op_hash(), Some(pending.user_op_hash()));
    }
}

/// Fault 18: an operation that is dropped is never seen to be. The wait says so; the same call made again keeps the nonce,
/// so that it is executed once whether the old bytes land, the new ones or both are tried.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_goes_on_at_its_nonce_and_is_executed_once() {
    for (dialect, old_bytes_land) in [
        (BundlerDialect::Biconomy, true),
        (BundlerDialect::Biconomy, false),
        (BundlerDialect::Pimlico, true),
        (BundlerDialect::Pimlico, false),
    ] {
        let scene = Scene::new().await;
        scene.bundler.set_dialect(dialect);
        let session = scene.session().await;
        let requests = Requests::to_bundler(&scene.bundler);
        scene.chain.set_automine(false);
        let pending = scene.mint_with(&session).await.unwrap();
        let old: SignedUserOperation<Vec<u8>> = serde_json::from_value(requests.sent()).unwrap();
        assert!(scene.bundler.reject_operation(pending.user_op_hash(), "evicted for a better one"));
        let error = pending.wait().await.unwrap_err();
        let Error::Dropped { user_op_hash, reason } = &error else { panic!("{dialect:?}: {error}") };
        assert_eq!(*user_op_hash, pending.user_op_hash());
        assert_eq!(reason.is_some(), dialect == BundlerDialect::Biconomy, "as far as the bundler says");
        assert_eq!((error.code(), error.concern()), ("dropped", Concern::Operation));

        let again = scene.mint_with(&session).await.unwrap();
        assert_eq!(number(&requests.sent()["nonce"]), old.operation.nonce, "{dialect:?}");
        if old_bytes_land {
            scene.chain.inject(&old);
        }
        scene.chain.mine();
        scene.chain.inject(&old);
        scene.chain.mine();
        assert!(again.wait().await.unwrap().success);
        assert_eq!(scene.minted(), 1, "{dialect:?}, {old_bytes_land}");
    }
}

/// Fault 18: what another operation took the place of is told apart from what was dropped.
#[tokio::test(start_paused = true)]
async fn replaced_is_another_end_than_dropped() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene.chain.set_automine(false);
    let friend = Address::repeat_byte(0xfe);
    let gift = |wei: u64| Call::transfer(friend, U256::from(wei));
    let pending = scene.account.send_calls(&[gift(1)], &scene.owner).await.unwrap();
    // Software that knows nothing of the first operation outbids it.
    let dearer = Options::new().with_max_fee_offset(Percent::new(50).unwrap());
    let dearer = dearer.with_max_priority_fee_offset(Percent::new(50).unwrap());
    let elsewhere = scene.on_another_device().await;
    let other = elsewhere.account.clone().with_options(dearer);
    let draft = other.prepare_calls(&[gift(2)]).await.unwrap();
    let signature = scene.signed(&draft).await;
    let other = other.submit(draft, &signature).await.unwrap();
    scene.bundler.drop_operation(pending.user_op_hash());
    scene.chain.mine();
    let error = pending.wait().await.unwrap_err();
    let Error::Replaced { user_op_hash, by, .. } = error else { panic!("{error}") };
    assert_eq!((user_op_hash, by), (pending.user_op_hash(), other.user_op_hash()));
    assert_eq!(error.code(), "replaced");
    assert_eq!(scene.chain.balance(friend), U256::from(2));
}

/// Fault 27: a decoder of errors that asks the network loses the error offline. Reason, code and remedy are in the error.
#[tokio::test]
async fn a_module_s_reason_is_told_from_the_error_alone() {
    let revert = hex::encode_prefixed(Revert::from("ABISV Arg Mismatch").abi_encode());
    for (message, data) in [
        ("AA23 reverted (or OOG)", Some(json!(revert))),
        ("AA23 reverted: ABISV Arg Mismatch", None),
        ("validation reverted: [reason]: ABISV Arg Mismatch", None),
    ] {
        let scene = Scene::new().await;
        let session = scene.session().await;
        let rejection = Fault::Rpc { code: -32500, message: message.to_owned(), data };
        scene.bundler.on_next("eth_estimateUserOperationGas", rejection);
        let error = scene.mint_with(&session).await.unwrap_err();
        let asked = scene.chain.requests().len();
        // Offline from here on.
        scene.node.down(Fault::Unreachable);
        scene.bundler.down(Fault::Unreachable);
        assert_eq!((error.code(), error.concern()), ("bundler", Concern::Bundler));
        assert!(error.to_string().contains("ABISV Arg Mismatch"), "{error}");
        let Error::Bundler(rejected) = &error else { panic!("{error}") };
        assert!(matches!(rejected, BundlerError::Rejected { .. }), "{error}");
        assert!(error.remedy().is_some(), "{message}");
        assert_eq!(scene.chain.requests().len(), asked, "{message}");
    }
}

/// Fault 29: a wait that timed out loses the hash. It is in the error, and another process goes on with it.
#[tokio::test(start_paused = true)]
async fn a_wait_that_timed_out_goes_on_by_the_hash() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    let pending = scene.mint_with(&session).await.unwrap();
    for fault in [None, Some(Fault::Silence)] {
        if let Some(fault) = fault {
            scene.bundler.always("eth_getUserOperationReceipt", fault);
        }
        let error = pending.clone().with_deadline(Duration::from_secs(3)).wait().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert_eq!(error.user_op_hash(), Some(pending.user_op_hash()));
        assert!(error.to_string().contains(&pending.user_op_hash().to_string()), "{error}");
        assert!(error.remedy().is_some_and(|remedy| remedy.contains("hash")));
    }
    let later = scene.restarted().await;
    scene.chain.mine();
    let receipt = later.client.pending(pending.user_op_hash()).wait().await.unwrap();
    assert_eq!((receipt.user_op_hash, scene.minted()), (pending.user_op_hash(), 1));
}

/// The owner's retry at a nonce of their own goes on with the stored operation.
#[tokio::test]
async fn an_owner_s_retry_with_a_nonce_of_their_own_is_the_same_operation() {
    for fault in [Fault::Timeout, Fault::Timeout.after_acting()] {
        let scene = Scene::new().await;
        scene.granted().await;
        let nonce = scene.account.nonce(Default::default()).await.unwrap();
        let account = scene.account.clone().with_options(Options::new().with_nonce(nonce));
        let gift = [Call::transfer(Address::repeat_byte(0xfe), U256::from(1))];
        scene.bundler.on_next("eth_sendUserOperation", fault);
        let hash = Scene::unsettled(&account.send_calls(&gift, &scene.owner).await.unwrap_err());
        let again = account.send_calls(&gift, &scene.owner).await.unwrap();
        assert_eq!(again.user_op_hash(), hash);
    }
}
