//! How operations are made, by the options of accounts and sessions.

use std::sync::Arc;

use crate::paid_scene::{COLLECTOR, GOLD, VERIFYING};
use crate::scene::{NFT, Requests, Scene, ether, number, paymaster_of};
use alloy_primitives::aliases::U192;
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall as _;
use quorate::testing::{BundlerDialect, Fault};
use quorate::{
    AccountOverride, Biconomy, Call, Calls, Draft, Erc7677, Error, Fees, LocalSessionKey, Options, Paymaster,
    Percent, Session, SessionGrant, Simulation, SmartAccount, StateOverride, Status,
};
use quorate_contracts::Erc20;
use quorate_core::AccountCall;
use serde_json::{Value, json};

const GWEI: u64 = 1_000_000_000;

fn gwei(amount: u64) -> U256 {
    U256::from(amount) * U256::from(GWEI)
}

fn fees(max: u64, priority: u64) -> Fees {
    Fees { max_fee_per_gas: gwei(max), max_priority_fee_per_gas: gwei(priority) }
}

fn percent(percent: u8) -> Percent {
    Percent::new(percent).unwrap()
}

async fn grant_by(scene: &Scene, account: &SmartAccount) -> Result<Session, Error> {
    let grant = account.grant([scene.policy()])?;
    let pending = account.send(grant, &LocalSessionKey::random(), &scene.owner).await?;
    pending.wait().await?.session().await
}

/// Fault 16: the simulation type is lost. It is the third parameter for a Biconomy bundler, also when the same operation
/// is sent again, and no other bundler is given one.
#[tokio::test]
async fn a_simulation_type_reaches_a_biconomy_bundler_and_no_other() {
    for dialect in
        [BundlerDialect::Standard, BundlerDialect::Pimlico, BundlerDialect::Rundler, BundlerDialect::Biconomy]
    {
        for (simulation, name) in [
            (Simulation::Validation, "validation"),
            (Simulation::ValidationAndExecution, "validation_and_execution"),
        ] {
            let scene = Scene::new().await;
            scene.bundler.set_dialect(dialect);
            let requests = Requests::to_bundler(&scene.bundler);
            let account = scene.account.clone().with_options(Options::new().with_simulation(simulation));
            let session = grant_by(&scene, &account).await.unwrap();
            scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout);
            Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());
            scene.mint_with(&session).await.unwrap().wait().await.unwrap();

            let sendings = requests.of("eth_sendUserOperation");
            assert_eq!(sendings.len(), 3, "the grant, the call and the call again");
            for params in sendings {
                let third = params.get(2).cloned();
                let expected =
                    (dialect == BundlerDialect::Biconomy).then(|| json!({ "simulation_type": name }));
                assert_eq!(third, expected, "{dialect:?}");
            }
        }
    }
}

/// Fault 16: the state override set is lost. It is the third parameter of the estimate, which the bundler makes then, also
/// where a paymaster's service would.
#[tokio::test]
async fn a_state_override_reaches_the_estimate() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    let rich = AccountOverride { balance: Some(gwei(7)), ..AccountOverride::default() };
    let state = StateOverride::from([(scene.account.address(), rich)]);
    let expected = json!({ format!("{:#x}", scene.account.address()): { "balance": "0x1a13b8600" } });
    let assumed = Options::new().with_state_override(state);
    let requests = Requests::to_bundler(&scene.bundler);
    let to_service = Requests::to_paymaster(&service);
    let estimate = || requests.of("eth_estimateUserOperationGas").pop().unwrap();

    let session = grant_by(&scene, &scene.account).await.unwrap();
    assert_eq!(estimate().as_array().unwrap().len(), 2, "none is assumed");
    grant_by(&scene, &scene.account.clone().with_options(assumed.clone())).await.unwrap();
    assert_eq!(estimate()[2], expected);
    let sponsored = assumed.sponsored_by(&Biconomy::new(service.clone()));
    scene.mint_with(&session.with_options(sponsored)).await.unwrap();
    assert_eq!(estimate()[2], expected);
    let asked = to_service.of("pm_sponsorUserOperation");
    assert!(asked.iter().all(|params| params[1]["calculateGasLimits"] == false), "{asked:?}");
}

/// Fees that are set are offered, whatever the bundler says; offsets add to them.
#[tokio::test]
async fn fees_that_are_set_are_offered_with_their_offsets() {
    let scene = Scene::new().await;
    scene.bundler.set_price_percent(300);
    let requests = Requests::to_bundler(&scene.bundler);
    let offered = |options: Options| {
        let account = scene.account.clone().with_options(options);
        let (scene, requests) = (&scene, &requests);
        async move {
            let session = grant_by(scene, &account).await.unwrap();
            let by_owner = requests.sent();
            scene.mint_with(&session).await.unwrap();
            let by_session = requests.sent();
            [by_owner, by_session]
                .map(|sent| (number(&sent["maxFeePerGas"]), number(&sent["maxPriorityFeePerGas"])))
        }
    };
    let set = Options::new().with_fees(fees(5, 2));
    assert_eq!(offered(set.clone()).await, [(gwei(5), gwei(2)); 2]);
    let raised = set.with_max_fee_offset(percent(10)).with_max_priority_fee_offset(percent(50));
    let (max, priority) = (U256::from(5_500_000_000_u64), gwei(3));
    assert_eq!(offered(raised).await, [(max, priority); 2]);
    assert!(requests.of("pimlico_getUserOperationGasPrice").is_empty(), "nobody was asked for fees");
}

/// A limit in wei refuses by its name before anything is signed, the owner's operations and a session's.
#[tokio::test]
async fn what_may_cost_more_than_the_limit_is_not_sent() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let requests = Requests::to_bundler(&scene.bundler);
    let limited = Options::new().with_max_cost(U256::from(1_000));
    let account = scene.account.clone().with_options(limited.clone());
    let by_owner = grant_by(&scene, &account).await.unwrap_err();
    let by_session = scene.mint_with(&session.clone().with_options(limited)).await.unwrap_err();
    for error in [by_owner, by_session] {
        let Error::TooExpensive { limit, setter, .. } = &error else { panic!("{error}") };
        assert_eq!((*limit, *setter), (U256::from(1_000), "with_max_cost"));
        assert!(error.to_string().contains("`Options::with_max_cost`"), "{error}");
    }
    assert_eq!(requests.sendings(), 0);

    // A bundler that asks for twenty times the gas that the node estimates.
    scene.bundler.set_gas(1_200_000, 10_000_000, 6_000_000);
    let error = scene.mint_with(&session).await.unwrap_err();
    let Error::TooExpensive { setter, .. } = &error else { panic!("{error}") };
    assert_eq!((*setter, error.code()), ("with_max_cost_factor", "too_expensive"));
    assert_eq!(requests.sendings(), 0);
    let generous = session.with_options(Options::new().with_max_cost_factor(100));
    scene.mint_with(&generous).await.unwrap().wait().await.unwrap();
}

/// A draft that waited is held to the limits again when it is submitted: one made at the price of a spike, when the spike is
/// over, and one that was made without the limit of who submits it.
#[tokio::test]
async fn a_draft_that_waited_is_held_to_the_limits_again() {
    let scene = Scene::new().await;
    scene.chain.set_base_fee(gwei(40));
    scene.chain.mine();
    let text = scene.prepared().await.to_json();
    let draft = || Draft::<SessionGrant>::from_json(&text).unwrap();
    let signature = scene.signed(&draft()).await;

    let limited = scene.account.clone().with_options(Options::new().with_max_cost(U256::from(1_000)));
    let error = limited.submit(draft(), &signature).await.unwrap_err();
    assert!(matches!(error, Error::TooExpensive { setter: "with_max_cost", .. }), "{error}");

    scene.chain.set_base_fee(gwei(1));
    scene.chain.mine();
    let later = scene.restarted().await;
    let requests = Requests::to_bundler(&later.bundler);
    let error = later.account.submit(draft(), &signature).await.unwrap_err();
    assert!(matches!(error, Error::TooExpensive { setter: "with_max_cost_factor", .. }), "{error}");
    assert_eq!((requests.sendings(), later.stored_operations().await), (0, 0));
    // Who means it says so.
    let meant = later.account.clone().with_options(Options::new().with_max_cost_factor(1_000));
    meant.submit(draft(), &signature).await.unwrap().wait().await.unwrap();
    assert_eq!(later.statuses().await, [Status::Active]);
}

/// The account's options hold for all that its owner does: each operation is sponsored and offers the fees that are set.
#[tokio::test]
async fn all_that_an_owner_does_carries_the_account_s_options() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    let requests = Requests::to_bundler(&scene.bundler);
    let options = Options::new().sponsored_by(&Biconomy::new(service)).with_fees(fees(4, 2));
    let account = scene.account.clone().with_options(options);
    let owner = &scene.owner;
    let check = |what: &str, max: U256, priority: U256| {
        let sent = requests.sent();
        assert_eq!(paymaster_of(&sent), Some(VERIFYING), "{what}");
        let offered = (number(&sent["maxFeePerGas"]), number(&sent["maxPriorityFeePerGas"]));
        assert_eq!(offered, (max, priority), "{what}");
    };
    let usual = |what: &str| check(what, gwei(4), gwei(2));

    account.deploy(owner).await.unwrap().wait().await.unwrap();
    usual("a deployment");
    let session = grant_by(&scene, &account).await.unwrap();
    usual("a grant");
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    usual("a session's call");
    let id = session.record().id();
    let extended = account.extend(id, 2_000_000_000, owner).await.unwrap().wait().await.unwrap();
    usual("an extension");
    let key = LocalSessionKey::random();
    let replaced = account.replace_key(extended.id(), &key, owner).await.unwrap().wait().await.unwrap();
    usual("a replacement of the key");
    account.send_calls(&[Call::raw(NFT, scene.mint())], owner).await.unwrap().wait().await.unwrap();
    usual("calls");

    let session = replaced.session().await.unwrap();
    scene.chain.set_automine(false);
    let call = scene.mint_with(&session).await.unwrap();
    account.cancel(call.user_op_hash(), owner).await.unwrap();
    usual("the cancellation of a session's call");
    scene.chain.mine();
    scene.chain.mine();
    let revoked = account.revoke([replaced.id().clone()], owner).await.unwrap();
    usual("a revocation");
    account.cancel(revoked.user_op_hash(), owner).await.unwrap();
    check(
        "the cancellation of the owner's own",
        U256::from(4_400_000_000_u64),
        U256::from(2_200_000_000_u64),
    );
    scene.chain.mine();
    account.revoke_all(owner).await.unwrap();
    usual("the end of all sessions");
    assert_eq!(scene.chain.balance(scene.account.address()), ether(), "the account paid nothing");
}

/// What is said later counts, for each setting by itself: a sponsored account's session that pays for itself keeps the
/// account's fees.
#[tokio::test]
async fn of_merged_options_the_later_settings_count() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    let requests = Requests::to_bundler(&scene.bundler);
    let by_account = Options::new().sponsored_by(&Biconomy::new(service)).with_fees(fees(5, 2));
    let account = scene.account.clone().with_options(by_account);
    let session = grant_by(&scene, &account).await.unwrap();
    let own = Options::new().with_call_gas_offset(percent(50)).paid_by_account();
    scene.mint_with(&session.with_options(own)).await.unwrap().wait().await.unwrap();
    let sent = requests.sent();
    assert_eq!((paymaster_of(&sent), number(&sent["maxFeePerGas"])), (None, gwei(5)));
    assert_eq!(number(&sent["callGasLimit"]), U256::from(450_000));

    let merged = Options::new().with_nonce_key(U192::from(5)).with_forced_batch(true);
    let merged = merged.merged(Options::new().with_forced_batch(false)).merged(Options::new());
    assert_eq!((merged.nonce_key(), merged.forced_batch()), (Some(U192::from(5)), Some(false)));
}

/// Each of the five offsets raises its own number, and no other.
#[tokio::test]
async fn each_offset_raises_its_own_number() {
    const FIELDS: [&str; 5] = [
        "callGasLimit",
        "verificationGasLimit",
        "preVerificationGas",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
    ];
    let scene = Scene::new().await;
    let session = scene.session().await;
    let requests = Requests::to_bundler(&scene.bundler);
    let numbers = |options: Options| {
        let session = session.clone().with_options(options);
        let (scene, requests) = (&scene, &requests);
        async move {
            scene.mint_with(&session).await.unwrap().wait().await.unwrap();
            FIELDS.map(|field| number(&requests.sent()[field]))
        }
    };
    let plain = numbers(Options::new()).await;
    let ten = percent(10);
    for (raised, options) in [
        Options::new().with_call_gas_offset(ten),
        Options::new().with_verification_gas_offset(ten),
        Options::new().with_pre_verification_gas_offset(ten),
        Options::new().with_max_fee_offset(ten),
        Options::new().with_max_priority_fee_offset(ten),
    ]
    .into_iter()
    .enumerate()
    {
        let mut expected = plain;
        expected[raised] = (expected[raised] * U256::from(110)).div_ceil(U256::from(100));
        assert_eq!(numbers(options).await, expected, "{}", FIELDS[raised]);
    }
}

/// A nonce that the caller chose does not make a retry a second call: the stored operation goes on, whether the bundler got
/// it or not.
#[tokio::test]
async fn a_retry_with_the_caller_s_own_nonce_is_the_same_operation() {
    let nonce: U256 = U256::from(77) << 64;
    for fault in [Fault::Timeout, Fault::Timeout.after_acting()] {
        let scene = Scene::new().await;
        let session = scene.session().await.with_options(Options::new().with_nonce(nonce));
        let requests = Requests::to_bundler(&scene.bundler);
        scene.bundler.on_next("eth_sendUserOperation", fault);
        let hash = Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());
        let again = scene.mint_with(&session).await.unwrap();
        assert_eq!(again.user_op_hash(), hash);
        again.wait().await.unwrap();
        assert_eq!(number(&requests.sent()["nonce"]), nonce);
        assert_eq!(scene.minted(), 1);
    }
}

/// The original's dummy `paymasterAndData`: gas is estimated with data of the final length and of the final paymaster, so
/// that the bundler counts its bytes.
#[tokio::test]
async fn gas_is_estimated_with_data_of_the_final_length() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    let biconomy = Biconomy::new(service.clone()).with_calculated_gas(false);
    let paymasters: [Arc<dyn Paymaster>; 2] =
        [Arc::new(biconomy), Arc::new(Erc7677::new(service, VERIFYING))];
    for paymaster in paymasters {
        let requests = Requests::to_bundler(&scene.bundler);
        let account = scene.account.clone().with_options(Options::new().sponsored_by(&paymaster));
        grant_by(&scene, &account).await.unwrap();
        let (estimated, sent) = (requests.last("eth_estimateUserOperationGas"), requests.sent());
        assert_eq!(paymaster_of(&estimated), Some(VERIFYING), "{paymaster:?}");
        let len = |operation: &Value| operation["paymasterAndData"].as_str().unwrap().len();
        assert_eq!(len(&estimated), len(&sent), "{paymaster:?}");
    }
}

/// The original's option for an empty call of a deployment is what a deployment does.
#[tokio::test]
async fn a_deployment_makes_no_call() {
    let scene = Scene::new().await;
    let requests = Requests::to_bundler(&scene.bundler);
    scene.account.deploy(&scene.owner).await.unwrap().wait().await.unwrap();
    let sent = requests.sent();
    assert_eq!(sent["callData"], "0x");
    assert_ne!(sent["initCode"], "0x");
    assert!(scene.chain.is_deployed(scene.account.address()));
}

/// A single call is a batch of one where that is asked for, and the owner's choice is no session's.
#[tokio::test]
async fn a_forced_batch_is_one_of_the_owner_s_calls() {
    let scene = Scene::new().await;
    let requests = Requests::to_bundler(&scene.bundler);
    let account = scene.account.clone().with_options(Options::new().with_forced_batch(true));
    let session = grant_by(&scene, &account).await.unwrap();
    let sent = || calls(&requests.sent());
    account.send_calls(&[Call::raw(NFT, scene.mint())], &scene.owner).await.unwrap().wait().await.unwrap();
    assert!(sent().1, "a batch");
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert!(!sent().1, "a single call, which the batched router is not enabled for");
    assert_eq!(scene.minted(), 2);
}

/// The calls of an operation, and whether they are a batch.
fn calls(operation: &Value) -> (Vec<Call>, bool) {
    let call_data: Bytes = serde_json::from_value(operation["callData"].clone()).unwrap();
    let decoded = AccountCall::decode(&call_data).unwrap();
    (decoded.calls().map(Call::from).collect(), matches!(decoded, AccountCall::Batch(_)))
}

/// The original's `spender`, `maxApproval` and `skipPatchCallData`: the approval goes to the paymaster that the service is
/// pinned to, for the quote's maximum or what is named, and where there is one already, none is put before the calls.
#[tokio::test]
async fn an_approval_is_put_before_the_calls_unless_there_is_one() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    let account = scene.account.address();
    scene.chain.fund_token(GOLD, account, ether() * ether());
    let requests = Requests::to_bundler(&scene.bundler);
    let in_gold = Options::new().with_paymaster(&Biconomy::new(service)).paid_in(GOLD);
    let send = |options: Options| {
        let account = scene.account.clone().with_options(options);
        let call = Call::raw(NFT, scene.mint());
        let owner = &scene.owner;
        async move { account.send_calls(&[call], owner).await?.wait().await }
    };

    let error = send(in_gold.clone().with_existing_allowance()).await.unwrap_err();
    let Error::AllowanceTooLow { token, spender, allowance, .. } = error else { panic!("{error}") };
    assert_eq!((token, spender, allowance), (GOLD, COLLECTOR, U256::ZERO));
    assert_eq!(requests.sendings(), 0);

    send(in_gold.clone().up_to(ether() * U256::from(1_000))).await.unwrap();
    let (made, is_batch) = calls(&requests.sent());
    let approval = Erc20::approveCall::abi_decode(&made[0].data).unwrap();
    assert_eq!((made.len(), is_batch, made[0].to), (2, true, GOLD));
    assert_eq!((approval.spender, approval.amount), (COLLECTOR, ether() * U256::from(1_000)));

    send(in_gold.with_existing_allowance()).await.unwrap();
    let (made, is_batch) = calls(&requests.sent());
    assert_eq!((made.len(), is_batch, made[0].to), (1, false, NFT));
    let left = scene.account.token_allowance(GOLD, COLLECTOR).await;
    assert!(left.is_ok(), "{left:?}");
}

/// The fields of the original's paymaster service data, as the facade's operations have the service told them.
#[tokio::test]
async fn the_service_is_told_what_the_options_say() {
    let scene = Scene::new().await;
    let service = scene.chain.paymaster();
    scene.chain.fund_token(GOLD, scene.account.address(), ether() * ether());
    let to_service = Requests::to_paymaster(&service);
    let paymaster = Biconomy::new(service)
        .with_expiry(std::time::Duration::from_secs(900))
        .with_webhook_data(json!({ "user": 7 }));
    let info = json!({
        "webhookData": { "user": 7 },
        "smartAccountInfo": { "name": "BICONOMY", "version": "2.0.0" },
    });
    let told = |method: &str| to_service.of(method).pop().unwrap()[1].clone();

    let sponsored = scene.account.clone().with_options(Options::new().sponsored_by(&paymaster));
    grant_by(&scene, &sponsored).await.unwrap();
    let expected = json!({ "mode": "SPONSORED", "calculateGasLimits": true, "expiryDuration": 900, "sponsorshipInfo": info });
    assert_eq!(told("pm_sponsorUserOperation"), expected);

    let in_gold = Options::new().with_paymaster(&paymaster).paid_in(GOLD);
    let account = scene.account.clone().with_options(in_gold);
    let draft: Draft<Calls> = account.prepare_calls(&[Call::raw(NFT, scene.mint())]).await.unwrap();
    assert!(draft.valid_until().is_some_and(|until| until >= scene.chain.now() + 900));
    let token_info = json!({ "tokenList": [GOLD], "preferredToken": GOLD });
    assert_eq!(told("pm_getFeeQuoteOrData")["tokenInfo"], lower_case(&token_info));
    assert_eq!(told("pm_getFeeQuoteOrData")["mode"], "ERC20");
    assert_eq!(told("pm_sponsorUserOperation")["tokenInfo"], lower_case(&json!({ "feeTokenAddress": GOLD })));
}

/// Addresses are written in lower case.
fn lower_case(json: &Value) -> Value {
    let text = json.to_string().replace(&GOLD.to_string(), &format!("{GOLD:#x}"));
    serde_json::from_str(&text).unwrap()
}
