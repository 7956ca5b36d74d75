//! Services that refuse, are slow, down or lie: each is a typed error, and nothing is signed by what they say.

use alloy_primitives::U256;
use quorate::testing::{Fault, PaymasterFault};
use quorate::{Concern, Error, LocalSessionKey, Options, PaymasterError, Status, TransportError};

use crate::paid_scene::{COLLECTOR, GOLD, PaidScene, VERIFYING};
use crate::scene::{Requests, Scene, ether, paymaster_of};

/// What a paymaster's service does wrong.
enum Wrong {
    /// It signs what it should not.
    Data(PaymasterFault),
    /// It does not answer.
    Outage(Fault),
}

/// A service that refuses, is slow, is down or lies: the error says which, nothing is sent, and the store keeps nothing
/// that is in the next grant's way.
#[tokio::test]
async fn a_paymaster_that_errs_has_nothing_sent_and_blocks_nothing() {
    let refuse = PaymasterFault::Refuse("no budget left".to_owned());
    for (wrong, place, in_token, expected) in [
        (Wrong::Data(refuse.clone()), 0, false, "no budget left"),
        (Wrong::Data(refuse.clone()), 1, false, "no budget left"),
        (Wrong::Data(refuse), 2, false, "no budget left"),
        (Wrong::Outage(Fault::Timeout), 0, false, "no answer"),
        (Wrong::Outage(Fault::Timeout), 2, false, "no answer"),
        (Wrong::Outage(Fault::Unreachable), 0, true, "cannot connect"),
        (Wrong::Outage(Fault::Unreachable), 2, false, "cannot connect"),
        (Wrong::Outage(Fault::Http(503)), 1, false, "503"),
        (Wrong::Outage(Fault::Html), 1, false, "invalid"),
        (Wrong::Data(PaymasterFault::HigherGas), 1, false, "not used"),
        (Wrong::Data(PaymasterFault::HigherCharge), 0, true, "its quote was"),
        (Wrong::Data(PaymasterFault::OtherToken), 0, true, "not used"),
        (Wrong::Data(PaymasterFault::OtherToken), 2, true, "not used"),
        (Wrong::Data(PaymasterFault::OtherPaymaster), 0, false, "not used"),
        (Wrong::Data(PaymasterFault::OtherPaymaster), 1, false, "not used"),
        (Wrong::Data(PaymasterFault::OtherPaymaster), 2, true, "not used"),
        (Wrong::Data(PaymasterFault::Empty), 0, false, "0 bytes"),
        (Wrong::Data(PaymasterFault::Empty), 2, false, "0 bytes"),
    ] {
        let paid = PaidScene::new().await;
        let paymaster = &paid.paymasters()[place];
        let shown = format!("{expected}, {paymaster:?}");
        match wrong {
            Wrong::Data(fault) => paid.service.set_fault(Some(fault)),
            Wrong::Outage(fault) => paid.service.down(fault),
        }
        let options = Options::new().with_paymaster(paymaster);
        // The operation takes some twenty tokens at most.
        let hundred = ether() * U256::from(100);
        let options = if in_token { options.paid_in(GOLD).up_to(hundred) } else { options.sponsored() };
        let requests = Requests::to_bundler(&paid.scene.bundler);
        let error = paid.grant(options.clone()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{shown}: {error}");
        assert_eq!(error.concern(), Concern::Payment, "{shown}: {error:?}");
        assert_eq!(requests.sendings(), 0, "{shown}");
        assert_eq!(paid.scene.stored_operations().await, 0, "{shown}");
        assert!(paid.scene.statuses().await.is_empty(), "{shown}");

        // The same with a service that works.
        paid.service.clear_faults();
        paid.grant(options).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(paid.scene.statuses().await, [Status::Active], "{shown}");
        assert!(
            paymaster_of(&requests.sent())
                .is_some_and(|paymaster| [VERIFYING, COLLECTOR].contains(&paymaster))
        );
    }
}

/// An outage of the service is told from its refusal: only the first may pass.
#[tokio::test]
async fn an_outage_of_the_service_is_no_refusal() {
    let paid = PaidScene::new().await;
    let sponsored = || Options::new().sponsored_by(&paid.biconomy());
    paid.service.on_next("pm_sponsorUserOperation", Fault::Timeout);
    let error = paid.grant(sponsored()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let Error::Paymaster(reason) = &error else { panic!("{error}") };
    assert!(matches!(&**reason, PaymasterError::Transport(TransportError::Timeout { .. })), "{error}");
    paid.service.fault_next(PaymasterFault::Refuse("not you".to_owned()));
    let error = paid.grant(sponsored()).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    let Error::Paymaster(reason) = &error else { panic!("{error}") };
    assert!(matches!(&**reason, PaymasterError::Refused { code: -32001, .. }), "{error}");
}

/// What only the paymaster's contract can see, a signature by another key or over other gas: the bundler refuses the
/// operation, nothing is executed, and the next grant goes on.
#[tokio::test]
async fn a_lie_that_only_the_contract_sees_executes_nothing_and_blocks_nothing() {
    for (fault, place) in [
        (PaymasterFault::WrongSigner, 0),
        (PaymasterFault::WrongSigner, 1),
        (PaymasterFault::WrongSigner, 2),
        (PaymasterFault::HigherGas, 0),
    ] {
        let paid = PaidScene::new().await;
        let sponsored = Options::new().sponsored_by(&paid.paymasters()[place]);
        paid.service.set_fault(Some(fault));
        let error = paid.grant(sponsored.clone()).await.unwrap_err();
        let hash = Scene::unsettled(&error);
        assert!(error.to_string().contains("AA34"), "{error}");
        assert!(error.remedy().is_some(), "{error}");
        assert_eq!((paid.scene.chain.outcome(hash), paid.scene.root().is_zero()), (None, true));

        paid.service.clear_faults();
        paid.grant(sponsored).await.unwrap();
        assert_eq!(paid.scene.statuses().await, [Status::Inactive, Status::Active]);
    }
}

/// Data whose time is over is not signed with, whoever gave it.
#[tokio::test]
async fn paymaster_data_whose_time_is_over_is_not_sent() {
    for place in 0..3 {
        let paid = PaidScene::new().await;
        paid.service.set_fault(Some(PaymasterFault::Expired));
        let requests = Requests::to_bundler(&paid.scene.bundler);
        let sponsored = Options::new().sponsored_by(&paid.paymasters()[place]);
        let error = paid.grant(sponsored).await.unwrap_err();
        assert_eq!((error.concern(), requests.sendings()), (Concern::Payment, 0), "{error}");
    }
}

/// A sponsored draft that waited past its paymaster's time is neither written down nor sent.
#[tokio::test]
async fn a_sponsored_draft_that_waited_too_long_is_not_sent() {
    let paid = PaidScene::new().await;
    let account = paid.account(Options::new().sponsored_by(&paid.biconomy()));
    let grant = account.grant([paid.scene.policy()]).unwrap();
    let draft = account.prepare(grant, &LocalSessionKey::random()).await.unwrap();
    let signature = paid.scene.signed(&draft).await;
    paid.scene.chain.advance(400);
    let requests = Requests::to_bundler(&paid.scene.bundler);
    let error = account.submit(draft, &signature).await.unwrap_err();
    assert_eq!((requests.sendings(), paid.scene.stored_operations().await), (0, 0), "{error}");
}

/// An allowance is for many operations: one may not be charged what the allowance reaches for.
#[tokio::test]
async fn data_that_charges_more_than_its_quote_is_not_used() {
    let paid = PaidScene::new().await;
    paid.service.set_fault(Some(PaymasterFault::HigherCharge));
    let allowance = ether() * U256::from(1_000);
    let options = Options::new().with_paymaster(&paid.biconomy()).paid_in(GOLD).up_to(allowance);
    let requests = Requests::to_bundler(&paid.scene.bundler);
    let sent = paid.grant(options).await;
    assert!(sent.is_err() && requests.sendings() == 0, "{sent:?}, {} sent", requests.sendings());
}
