//! Calls that are never sent twice.

use crate::scene::Scene;
use quorate::testing::Fault;
use quorate::{Error, Resumed, Status};

#[tokio::test]
async fn a_session_is_granted_used_and_revoked() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    assert_eq!(scene.statuses().await, [Status::Active]);
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 1);
    scene.account.revoke([session.record().id().clone()], &scene.owner).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Revoked]);
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    assert_eq!(scene.minted(), 1);
}

/// D1. The bundler takes the operation, and its answer is lost; who asked asks again.
#[tokio::test]
async fn a_retry_after_a_lost_answer_executes_nothing_twice() {
    for fault in [
        Fault::Timeout,
        Fault::Interrupted,
        Fault::Http(502),
        Fault::Html,
        Fault::RateLimited { retry_after: None, body: true },
        Fault::rpc(-32603, "Internal error: upstream timed out"),
    ] {
        let scene = Scene::new().await;
        let session = scene.session().await;
        let shown = format!("{fault:?}");
        scene.bundler.on_next("eth_sendUserOperation", fault.after_acting());
        let error = scene.mint_with(&session).await.unwrap_err();
        let hash = Scene::unsettled(&error);
        assert_eq!(error.user_op_hash(), Some(hash));
        let again = scene.mint_with(&session).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(again.user_op_hash(), hash, "{shown}");
        again.wait().await.unwrap();
        assert_eq!(scene.minted(), 1, "{shown}");

        // Who means a second call says so, and after the first one's end needs not.
        scene.mint_with(&session).await.unwrap().wait().await.unwrap();
        assert_eq!(scene.minted(), 2, "{shown}");
    }
}

/// D1, for the owner's calls.
#[tokio::test]
async fn a_withdrawal_whose_answer_is_lost_is_not_made_twice() {
    let scene = Scene::new().await;
    let friend = alloy_primitives::Address::repeat_byte(0xfe);
    let wei = alloy_primitives::U256::from(5);
    let withdrawal = [quorate::Withdrawal::of(quorate::Asset::Native, wei)];
    scene.chain.set_automine(false);
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout.after_acting());
    let error = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap_err();
    let hash = Scene::unsettled(&error);
    let other = [quorate::Withdrawal::of(quorate::Asset::Native, wei + wei)];
    let error = scene.account.withdraw(&other, friend, &scene.owner).await.unwrap_err();
    assert!(matches!(error, Error::UnderWay { user_op_hash } if user_op_hash == hash), "{error}");
    let again = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap();
    assert_eq!(again.user_op_hash(), hash);
    scene.chain.mine();
    again.wait().await.unwrap();
    assert_eq!(scene.chain.balance(friend), wei);

    // Whoever knows the end of the first means a second one.
    let second = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap();
    assert_ne!(second.user_op_hash(), hash);
    scene.chain.mine();
    second.wait().await.unwrap();
    assert_eq!(scene.chain.balance(friend), wei + wei);
}

/// D1: the retry comes an hour later, the operation was mined at once, and the application has looked at its sessions in
/// between.
#[tokio::test]
async fn a_retry_long_after_the_operation_was_mined_executes_nothing_twice() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let friend = alloy_primitives::Address::repeat_byte(0xfe);
    let wei = alloy_primitives::U256::from(5);
    let withdrawal = [quorate::Withdrawal::of(quorate::Asset::Native, wei)];
    scene.bundler.on_next("eth_sendUserOperation", Fault::Http(504).after_acting());
    let call = Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout.after_acting());
    let error = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap_err();
    let own = Scene::unsettled(&error);
    for _ in 0..3 {
        for _ in 0..70 {
            scene.chain.mine();
        }
        scene.account.sessions().await.unwrap();
    }
    let restarted = scene.restarted().await;
    let session = restarted.account.session(0).await.unwrap();
    assert_eq!(restarted.mint_with(&session).await.unwrap().user_op_hash(), call);
    let again = restarted.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap();
    assert_eq!(again.user_op_hash(), own);
    again.wait().await.unwrap();
    assert_eq!((scene.minted(), scene.chain.balance(friend)), (1, wei));
    // Now that it was told, it goes.
    scene.account.sessions().await.unwrap();
    assert_eq!(scene.stored_operations().await, 0);
}

/// What another task resumes is not told to whoever made the call: the retry is still one.
#[tokio::test]
async fn a_retry_after_a_resume_executes_nothing_twice() {
    for fault in [Fault::Timeout, Fault::Timeout.after_acting()] {
        let scene = Scene::new().await;
        let session = scene.session().await;
        scene.bundler.on_next("eth_sendUserOperation", fault);
        let hash = Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());
        for _ in 0..2 {
            let resumed = scene.restarted().await.account.resume().await.unwrap();
            assert!(resumed.iter().any(|one| one.user_op_hash == hash), "{resumed:?}");
        }
        assert_eq!(scene.mint_with(&session).await.unwrap().user_op_hash(), hash);
        assert_eq!(scene.minted(), 1);
        let resumed = scene.account.resume().await.unwrap();
        assert!(resumed.iter().all(|one| one.user_op_hash != hash), "told: {resumed:?}");
    }
}

/// What was refused and made anew is one call; the next one is another.
#[tokio::test]
async fn the_call_after_one_that_was_made_anew_is_another() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "preVerificationGas is not enough"));
    scene.mint_with(&session).await.unwrap_err();
    let first = scene.mint_with(&session).await.unwrap();
    let second = scene.mint_with(&session).await.unwrap();
    assert_ne!(first.user_op_hash(), second.user_op_hash());
    scene.chain.mine();
    first.wait().await.unwrap();
    second.wait().await.unwrap();
    assert_eq!(scene.minted(), 2);
}

/// The owner's calls that were refused are made anew at their nonce, where the owner is at hand.
#[tokio::test]
async fn a_refused_withdrawal_is_made_anew_at_its_nonce() {
    let scene = Scene::new().await;
    scene.granted().await;
    let friend = alloy_primitives::Address::repeat_byte(0xfe);
    let wei = alloy_primitives::U256::from(5);
    let withdrawal = [quorate::Withdrawal::of(quorate::Asset::Native, wei)];
    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "AA40 over verificationGasLimit"));
    let error = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap_err();
    let refused = Scene::unsettled(&error);
    let again = scene.account.withdraw(&withdrawal, friend, &scene.owner).await.unwrap();
    assert_ne!(again.user_op_hash(), refused);
    again.wait().await.unwrap();
    assert_eq!(scene.chain.balance(friend), wei);
    let operations = scene.client.store().operations(scene.account.id()).await.unwrap();
    let nonces = operations.iter().filter(|operation| operation.root_change.is_none());
    let nonces: Vec<_> = nonces.map(|operation| operation.nonce).collect();
    assert!(matches!(nonces[..], [one, other] if one == other), "{nonces:?}");
}

/// Nothing left the machine: nothing is left in the store, and the next sending is another operation.
#[tokio::test]
async fn what_was_not_sent_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let before = scene.stored_operations().await;
    scene.bundler.on_next("eth_sendUserOperation", Fault::Unreachable);
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }), "{error}");
    assert_eq!(scene.stored_operations().await, before);

    scene.bundler.on_next("eth_sendUserOperation", Fault::Unreachable);
    let error = scene.send_grant().await.unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }), "{error}");
    assert_eq!(scene.statuses().await, [Status::Active, Status::Inactive]);
    assert!(
        scene.account.resume().await.unwrap().is_empty(),
        "days later nothing is sent that was seen to fail"
    );
}

/// D2, and the case of a bundler that says by an error that it has the operation. A draft that is submitted again before
/// it is mined erases nothing.
#[tokio::test]
async fn a_grant_that_is_submitted_twice_is_one_grant() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    let draft = scene.prepared().await;
    let signature = scene.signed(&draft).await;
    let first = scene.account.submit(draft.clone(), &signature).await.unwrap();
    let again = scene.account.submit(draft.clone(), &signature).await.unwrap();
    assert_eq!(first.user_op_hash(), again.user_op_hash());
    assert_eq!(scene.statuses().await, [Status::Pending]);
    scene.chain.mine();
    let granted = again.wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
    let session = scene.account.session(granted.id()).await.unwrap();
    scene.chain.set_automine(true);
    scene.mint_with(&session).await.unwrap().wait().await.unwrap();

    // After it is mined, submitting it once more is still the same operation.
    let late = scene.account.submit(draft, &signature).await.unwrap();
    assert_eq!(
        late.wait().await.unwrap().receipt.receipt.transaction_hash,
        granted.receipt.receipt.transaction_hash
    );
}

/// D2 and D30: whatever the bundler answers, the grant is not given up while its operation can land.
#[tokio::test]
async fn no_answer_of_a_bundler_ends_a_grant() {
    for fault in [
        Fault::rpc(-32500, "AA21 didn't pay prefund"),
        Fault::rpc(-32501, "paymaster says no"),
        Fault::rpc(
            -32602,
            "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%",
        ),
        Fault::rpc(-32603, "Internal error"),
        Fault::rpc(-32000, "upstream"),
        Fault::rpc(-32000, "precheck failed: fees"),
        Fault::Http(503),
        Fault::Timeout,
    ] {
        let scene = Scene::new().await;
        let shown = format!("{fault:?}");
        scene.chain.set_automine(false);
        scene.bundler.on_next("eth_sendUserOperation", fault.after_acting());
        let hash = match scene.send_grant().await {
            Err(error) => Scene::unsettled(&error),
            // It is asked by hash after a conflict, and says that it has it.
            Ok(pending) => pending.user_op_hash(),
        };
        assert_eq!(scene.statuses().await, [Status::Pending], "{shown}");
        scene.chain.mine();
        scene.client.pending(hash).wait().await.unwrap();
        assert_eq!(scene.statuses().await, [Status::Active], "{shown}");
        let session = scene.account.session(0).await.unwrap();
        scene.chain.set_automine(true);
        scene.mint_with(&session).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

/// D5 and its case: ERC-4337 lets a bundler answer null by hash while an operation waits, and "already known" when it
/// comes again.
#[tokio::test]
async fn resume_takes_already_known_for_what_it_says() {
    let scene = Scene::new().await;
    scene.chain.set_automine(false);
    scene.send_grant().await.unwrap();
    let restarted = scene.restarted().await;
    restarted.chain.set_automine(false);
    // A bundler of its own does not know it; the first one does.
    for bundler in [&scene, &restarted] {
        let resumed = bundler.account.resume().await.unwrap();
        let [interrupted] = resumed.as_slice() else { panic!("{resumed:?}") };
        assert!(matches!(interrupted.outcome, Resumed::Pending(_)), "{interrupted:?}");
    }
    scene.chain.mine();
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// D5: it lands while it is looked for, and the bundler refuses it for that. The chain decides.
#[tokio::test]
async fn an_operation_that_lands_while_it_is_resumed_is_not_unsettled() {
    for text in ["AA10 sender already constructed", "AA25 invalid account nonce"] {
        let scene = Scene::new().await;
        scene.bundler.on_next("eth_sendUserOperation", Fault::Http(503));
        let hash = Scene::unsettled(&scene.send_grant().await.unwrap_err());
        scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, text).after_acting());
        let resumed = scene.account.resume().await.unwrap();
        let [interrupted] = resumed.as_slice() else { panic!("{resumed:?}") };
        let Resumed::Pending(pending) = &interrupted.outcome else { panic!("{interrupted:?}") };
        assert_eq!(pending.wait().await.unwrap().user_op_hash, hash);
        assert_eq!(scene.statuses().await, [Status::Active]);
    }
}

/// D5: one operation that cannot be helped does not keep `resume` from the others.
#[tokio::test]
async fn one_refused_operation_does_not_stop_resume() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "AA21 didn't pay prefund"));
    Scene::unsettled(&scene.send_grant().await.unwrap_err());
    scene.bundler.on_next("eth_sendUserOperation", Fault::Timeout);
    let call = Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());

    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "AA21 didn't pay prefund"));
    let resumed = scene.account.resume().await.unwrap();
    let outcome = |hash| &resumed.iter().find(|one| one.user_op_hash == hash).unwrap().outcome;
    assert!(matches!(outcome(call), Resumed::Pending(_)), "{resumed:?}");
    assert_eq!(
        resumed.iter().filter(|one| matches!(one.outcome, Resumed::Unsettled(_))).count(),
        1,
        "{resumed:?}"
    );
    scene.chain.mine();
    assert_eq!(scene.minted(), 1);
}

/// One intent, one nonce: what takes the place of a call of a session has its nonce, whatever the bundler says.
#[tokio::test]
async fn a_call_that_was_refused_is_made_anew_at_its_nonce() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    scene.bundler.on_next("eth_sendUserOperation", Fault::rpc(-32500, "preVerificationGas is not enough"));
    let refused = Scene::unsettled(&scene.mint_with(&session).await.unwrap_err());
    let again = scene.mint_with(&session).await.unwrap();
    assert_ne!(again.user_op_hash(), refused);
    let operations = scene.client.store().operations(scene.account.id()).await.unwrap();
    let of = |hash| operations.iter().find(|operation| operation.user_op_hash == hash).unwrap();
    assert_eq!(of(refused).nonce, of(again.user_op_hash()).nonce);
    scene.chain.mine();
    again.wait().await.unwrap();
    // Who waits for the first learns of the second, which made the same call.
    let receipt = scene.client.pending(again.user_op_hash()).wait().await.unwrap();
    assert!(receipt.success);
    assert_eq!(scene.minted(), 1);
}

/// A2: a refused operation is in somebody's hands. Whichever of the two lands, the other cannot.
#[tokio::test]
async fn a_refused_operation_that_lands_all_the_same_is_the_only_one() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    scene
        .bundler
        .on_next("eth_sendUserOperation", Fault::rpc(-32500, "AA21 didn't pay prefund").after_acting());
    scene.mint_with(&session).await.unwrap_err();
    let second = scene.restarted().await;
    let session = second.account.session(0).await.unwrap();
    second.mint_with(&session).await.unwrap();
    scene.chain.mine();
    scene.chain.mine();
    assert_eq!(scene.minted(), 1);
}

/// D27: parallel calls of one session, by two processes that share a store, never meet in one nonce.
#[tokio::test]
async fn parallel_calls_have_nonces_of_their_own() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let (one, other) = (scene.restarted().await, scene.restarted().await);
    let sessions = [one.account.session(0).await.unwrap(), other.account.session(0).await.unwrap()];
    for (scene, session) in [&one, &other].into_iter().zip(&sessions) {
        let calls = (0..4).map(|_| scene.mint_with(session));
        for pending in futures_util::future::join_all(calls).await {
            pending.unwrap().wait().await.unwrap();
        }
    }
    scene.mint_with(&session).await.unwrap();
    assert_eq!(scene.minted(), 9);
    let operations = scene.client.store().operations(scene.account.id()).await.unwrap();
    let calls = operations.iter().filter(|operation| operation.root_change.is_none());
    let streams: std::collections::BTreeSet<alloy_primitives::U256> =
        calls.map(|operation| operation.nonce >> 64).collect();
    assert_eq!(streams.len(), 9);
    assert!(streams.iter().all(|stream| stream.bit_len() > 128), "192 random bits");
}

/// D32: a session's call is prepared, stored and sent by another process, and twice.
#[tokio::test]
async fn a_session_s_call_is_stored_and_sent_after_a_restart() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let data = scene.mint();
    let call = quorate::Call::raw(crate::scene::NFT, data);
    let text = session.prepare(call.clone()).await.unwrap().to_json();
    assert_eq!(scene.minted(), 0);

    let later = scene.restarted().await;
    let draft = quorate::Draft::from_json(&text).unwrap();
    let session = later.account.session(0).await.unwrap();
    let hash = draft.user_op_hash();
    assert_eq!(session.submit(draft.clone()).await.unwrap().user_op_hash(), hash);
    session.submit(draft).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 1);

    let calls = later.account.prepare_calls(&[call]).await.unwrap();
    let calls = quorate::Draft::<quorate::Calls>::from_json(&calls.to_json()).unwrap();
    let signature = scene.signed(&calls).await;
    scene.account.submit(calls, &signature).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 2);
    assert!(quorate::Draft::<quorate::TreeUpdate>::from_json(&text).is_err(), "another kind of draft");
}

/// Crashes between the store and the bundler: the operation is known, and goes on.
#[tokio::test]
async fn an_operation_is_written_down_before_it_leaves() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let granting = scene.account.clone();
    scene.bundler.on_next("eth_sendUserOperation", Fault::Crash);
    let data = scene.mint();
    let crashed = tokio::spawn(async move {
        let call = quorate::Call::raw(crate::scene::NFT, data);
        session.send(call).await.map(drop)
    });
    assert!(crashed.await.unwrap_err().is_panic());
    drop(granting);

    let restarted = scene.restarted().await;
    let resumed = restarted.account.resume().await.unwrap();
    // The grant's end was seen by another process.
    let outcomes = resumed.iter().map(|interrupted| &interrupted.outcome).collect::<Vec<_>>();
    let [Resumed::Settled(_), Resumed::Pending(pending)] = outcomes[..] else { panic!("{resumed:?}") };
    pending.wait().await.unwrap();
    assert_eq!(scene.minted(), 1);
    // The application, which knows nothing of it, makes its call: that is another one now.
    let session = restarted.account.session(0).await.unwrap();
    restarted.mint_with(&session).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.minted(), 2);
}

/// D13: whatever a signer returns is checked, and a session takes no other key's signer.
#[tokio::test]
async fn a_signature_of_another_key_is_not_sent() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    let other = std::sync::Arc::new(quorate::LocalSessionKey::random());
    let error = scene.client.session(session.record().clone(), other).unwrap_err();
    assert!(matches!(error, Error::OtherKey { .. }), "{error}");

    let impostor = std::sync::Arc::new(Impostor(session.record().session_key()));
    let session = scene.client.session(session.record().clone(), impostor).unwrap();
    scene.chain.clear_requests();
    let error = scene.mint_with(&session).await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
    assert!(scene.chain.requests().iter().all(|(_, method)| method != "eth_sendUserOperation"));
}

/// Says that it is another key.
#[derive(Debug)]
struct Impostor(alloy_primitives::Address);

#[async_trait::async_trait]
impl quorate::SessionSigner for Impostor {
    fn address(&self) -> alloy_primitives::Address {
        self.0
    }

    async fn sign_user_operation(
        &self,
        operation: &quorate_core::UserOperation<Vec<u8>>,
        entry_point: alloy_primitives::Address,
        chain_id: u64,
    ) -> Result<[u8; 65], quorate_signer::SignerError> {
        quorate::LocalSessionKey::random().sign_user_operation(operation, entry_point, chain_id).await
    }
}

/// D20: some wallets give v as 0 or 1, or a high s.
#[tokio::test]
async fn a_wallet_s_v_of_0_or_1_is_taken() {
    let scene = Scene::new().await;
    let draft = scene.prepared().await;
    let mut signature = scene.signed(&draft).await;
    signature[64] -= 27;
    scene.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
    assert_eq!(scene.statuses().await, [Status::Active]);
}

/// Round trips before the first byte: three for a use, four for a grant.
#[tokio::test]
async fn a_use_takes_three_round_trips_and_a_grant_four() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.clear_requests();
    scene.mint_with(&session).await.unwrap();
    let methods: Vec<String> = scene.chain.requests().into_iter().map(|(_, method)| method).collect();
    let expected = [
        // Together.
        "eth_getBlockByNumber",
        "pimlico_getUserOperationGasPrice",
        "eth_feeHistory",
        "eth_maxPriorityFeePerGas",
        // After the block is known.
        "eth_call",
        "eth_getCode",
        // Together.
        "eth_estimateUserOperationGas",
        "eth_estimateGas",
        "eth_sendUserOperation",
    ];
    let mut sorted = methods.clone();
    sorted.sort();
    let mut wanted = expected.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(sorted, wanted, "{methods:?}");
}

/// B9: a bundler takes ten operations of an account at a time. The others wait for their turn; nobody sees an error.
#[tokio::test]
async fn more_parallel_calls_than_a_bundler_takes_wait_for_their_turn() {
    let scene = Scene::new().await;
    let session = scene.session().await;
    scene.chain.set_automine(false);
    let chain = scene.chain.clone();
    let mining = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            chain.mine();
        }
    });
    let calls = (0..15).map(|_| async {
        scene.mint_with(&session).await.unwrap().wait().await.unwrap();
    });
    futures_util::future::join_all(calls).await;
    mining.abort();
    assert_eq!(scene.minted(), 15);
}
