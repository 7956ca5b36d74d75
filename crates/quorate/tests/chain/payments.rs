//! Grants and session calls that somebody else pays for: a sponsor, or the account in a token, by both dialects of a
//! real service on a real chain.

use std::sync::Arc;
use std::time::Duration;

use crate::player::{Player, balance_of, block_on, call, connect, devnet, ether, mint};
use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use quorate::{
    Asset, Biconomy, Call, Condition, Erc7677, Error, HttpTransport, LocalSessionKey, Options, Paymaster,
    PaymasterError, Policy, SmartAccount, TokenList, Transport, Withdrawal,
};
use quorate_contracts::Erc721::safeMintCall;
use quorate_devnet::PaymasterFault;

/// A million units: one of the development tokens.
pub(crate) const TOKEN: u64 = 1_000_000;

fn service() -> Arc<dyn Transport> {
    Arc::new(HttpTransport::builder(devnet().paymaster_url().clone()).build().unwrap())
}

pub(crate) fn biconomy() -> Biconomy {
    Biconomy::new(service())
        .with_sponsor(devnet().verifying_paymaster())
        .with_token_paymaster(devnet().token_paymaster())
}

pub(crate) fn erc7677() -> Erc7677 {
    Erc7677::new(service(), devnet().verifying_paymaster()).with_token_paymaster(devnet().token_paymaster())
}

/// An account that has no native coin, and does not exist yet.
async fn poor_account() -> (SmartAccount, PrivateKeySigner) {
    let client = connect().await;
    let owner = PrivateKeySigner::random();
    (client.account(owner.address(), 0), owner)
}

pub(crate) fn policy(
    account: &SmartAccount,
) -> impl TryInto<Policy, Error: Into<quorate::PolicyErrors>> + use<> {
    Policy::on(devnet().nft()).allow::<safeMintCall>().arg(0, Condition::Equal, account.address())
}

/// A paymaster's contract runs within the verification's gas limit twice more.
#[test]
fn an_estimate_counts_the_verification_thrice_where_a_paymaster_pays() {
    block_on(async {
        let (account, _) = poor_account().await;
        let account = account.with_options(Options::new().sponsored_by(&biconomy()));
        let cost = account.estimate(&[call(&mint(account.address()))]).await.unwrap();
        let gas = cost.gas.call_gas_limit
            + cost.gas.verification_gas_limit * U256::from(3)
            + cost.gas.pre_verification_gas;
        assert_eq!(cost.wei, gas * cost.fees.max_fee_per_gas);
    });
}

/// Grants a session, and mints with it.
async fn grant_and_mint(account: &SmartAccount, owner: &PrivateKeySigner) {
    let grant = account.grant([policy(account)]).unwrap();
    let granted = account.send(grant, &LocalSessionKey::random(), owner).await.unwrap().wait().await.unwrap();
    assert!(granted.receipt.paymaster.is_some(), "the receipt names who paid");
    let session = account.session(granted.id()).await.unwrap();
    let minted =
        session.send(Call::new(devnet().nft(), safeMintCall { to: account.address() })).await.unwrap();
    assert!(minted.wait().await.unwrap().success);
    assert_eq!(balance_of(account.address()).await, 1);
}

#[test]
fn a_sponsored_grant_and_its_calls_cost_the_account_nothing() {
    block_on(async {
        let paymasters: [Arc<dyn Paymaster>; 4] = [
            Arc::new(biconomy()),
            Arc::new(biconomy().with_calculated_gas(false)),
            Arc::new(erc7677()),
            Arc::new(erc7677().with_post_op_gas(60_000)),
        ];
        for paymaster in paymasters {
            let (account, owner) = poor_account().await;
            let account = account.with_options(Options::new().sponsored_by(&paymaster));
            grant_and_mint(&account, &owner).await;
            let balances = account.balances(&[]).await.unwrap();
            assert_eq!((balances.native, balances.deposit), (U256::ZERO, U256::ZERO));
        }
    });
}

/// Faults 10 and 11: gas changes after the paymaster signed, and approvals go through floating point.
#[test]
fn gas_is_final_before_the_paymaster_signs() {
    block_on(async {
        let offset = quorate::Percent::new(20).unwrap();
        for paymaster in [Arc::new(biconomy()) as Arc<dyn Paymaster>, Arc::new(erc7677())] {
            let (account, owner) = poor_account().await;
            let options = Options::new().sponsored_by(&paymaster).with_call_gas_offset(offset);
            let account = account.with_options(options.with_max_priority_fee_offset(offset));
            // A signature over other gas would be AA34.
            grant_and_mint(&account, &owner).await;
        }
    });
}

#[test]
fn a_grant_paid_in_a_token_gives_the_allowance_for_its_calls() {
    block_on(async {
        for (paymaster, token) in [
            (Arc::new(biconomy()) as Arc<dyn Paymaster>, devnet().token()),
            (Arc::new(biconomy()), devnet().picky_token()),
            (Arc::new(erc7677()), devnet().token()),
        ] {
            let (account, owner) = poor_account().await;
            let purse = U256::from(1_000 * TOKEN);
            devnet().mint_token(token, account.address(), purse).await.unwrap();
            let options =
                Options::new().with_paymaster(&paymaster).paid_in(token).up_to(U256::from(500 * TOKEN));
            let account = account.with_options(options);
            grant_and_mint(&account, &owner).await;
            let balances = account.balances(&[token]).await.unwrap();
            assert_eq!(balances.native, U256::ZERO);
            let spent = purse - balances.tokens[0].amount;
            assert!(spent > U256::ZERO && spent < U256::from(500 * TOKEN), "{spent}");
            let allowance = account.token_allowance(token, devnet().token_paymaster()).await.unwrap();
            assert_eq!(allowance + spent, U256::from(500 * TOKEN), "one approval, and none by the call");

            // Another allowance, where a token may want the old one to be zero first.
            let more = account.with_options(Options::new().up_to(U256::from(700 * TOKEN)));
            let sent = more.send_calls(&[call(&mint(more.address()))], &owner).await.unwrap();
            sent.wait().await.unwrap();
            let allowance = more.token_allowance(token, devnet().token_paymaster()).await.unwrap();
            assert!(allowance > U256::from(600 * TOKEN), "{allowance}");
        }
    });
}

#[test]
fn a_session_s_call_carries_no_approval() {
    block_on(async {
        let player = Player::new().await;
        let session = player.session().await;
        let token = devnet().token();
        let paid = Options::new().with_paymaster(&biconomy()).paid_in(token).up_to(U256::from(500 * TOKEN));
        let session = session.with_options(paid);
        let error = session.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::TokenBalanceTooLow { .. }), "{error}");
        devnet().mint_token(token, player.account.address(), U256::from(100 * TOKEN)).await.unwrap();
        let error = session.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::AllowanceTooLow { .. }), "{error}");
        assert_eq!(player.minted().await, 0, "nothing was sent");
    });
}

/// Fault 14: a token address is taken for a fee quote.
#[test]
fn quotes_name_the_most_that_is_taken() {
    block_on(async {
        let (account, _) = poor_account().await;
        let account = account.with_options(Options::new().with_paymaster(&biconomy()));
        let calls = [call(&mint(account.address()))];
        let all = account.token_quotes(&calls, TokenList::default()).await.unwrap();
        assert_eq!(all.quotes.len(), 2, "all that the paymaster takes");
        let tokens = TokenList { tokens: vec![devnet().token(), devnet().nft()], preferred: None };
        let quotes = account.token_quotes(&calls, tokens).await.unwrap();
        let quote = quotes.for_token(devnet().token()).unwrap();
        assert_eq!((quote.decimals, quote.paymaster), (6, devnet().token_paymaster()));
        assert!(quote.max_fee > U256::ZERO);
        assert_eq!(quotes.unsupported, [devnet().nft()]);
        let none = quotes.for_token(devnet().nft()).unwrap_err();
        assert!(matches!(none, PaymasterError::UnsupportedToken { .. }), "{none}");
    });
}

#[test]
fn all_native_coin_leaves_where_somebody_else_pays() {
    block_on(async {
        let player = Player::new().await;
        let heir = PrivateKeySigner::random().address();
        let all = [Withdrawal::all(Asset::Native)];
        let error = player.account.withdraw(&all, heir, &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::AllOfNative { .. }), "{error}");
        let account = player.account.clone().with_options(Options::new().sponsored_by(&biconomy()));
        account.withdraw(&all, heir, &player.owner).await.unwrap().wait().await.unwrap();
        assert_eq!(account.balances(&[]).await.unwrap().native, U256::ZERO);
        assert_eq!(player.client.account(heir, 0).owner(), heir);
        let received = crate::player::rpc("eth_getBalance", serde_json::json!([heir, "latest"])).await;
        assert_eq!(serde_json::from_value::<U256>(received).unwrap(), ether());
    });
}

/// A refusing, slow or lying service: nothing of it reaches the chain, and each error says what was wrong.
#[test]
fn a_service_that_errs_is_not_believed() {
    block_on(async {
        let (account, owner) = poor_account().await;
        // A service of its own, since a fault is the whole service's.
        let devnet = crate::player::another_devnet().await;
        let client =
            quorate::Quorate::connect(devnet.rpc_url().clone(), devnet.bundler_url().clone()).await.unwrap();
        let account = client.account(account.owner(), 0);
        let paymasters = |deadline| -> [Arc<dyn Paymaster>; 2] {
            let url = devnet.paymaster_url().clone();
            let deadline = Duration::from_secs(deadline);
            let transport = HttpTransport::builder(url).deadline(deadline).retries(0).build().unwrap();
            let transport: Arc<dyn Transport> = Arc::new(transport);
            let biconomy = Biconomy::new(Arc::clone(&transport))
                .with_sponsor(devnet.verifying_paymaster())
                .with_token_paymaster(devnet.token_paymaster());
            let erc7677 = Erc7677::new(transport, devnet.verifying_paymaster());
            [Arc::new(biconomy), Arc::new(erc7677)]
        };
        let send = async |paymaster: &Arc<dyn Paymaster>, fault| {
            devnet.paymaster().set_fault(Some(fault));
            let account = account.clone().with_options(Options::new().sponsored_by(paymaster));
            account.deploy(&owner).await.map(drop)
        };
        // What is slow is not waited for; what is wrong is seen however late it comes.
        let (hasty, patient) = (paymasters(2), paymasters(60));
        for (hasty, patient) in hasty.iter().zip(&patient) {
            for (fault, expected) in [
                (PaymasterFault::Refuse, "refuses"),
                (PaymasterFault::Slow(Duration::from_secs(30)), "no answer"),
                (PaymasterFault::Empty, "0 bytes"),
                (PaymasterFault::OtherPaymaster, "not used"),
                (PaymasterFault::Expired, "valid until"),
                (PaymasterFault::WrongSigner, "paymaster signature"),
            ] {
                let paymaster = if matches!(fault, PaymasterFault::Slow(_)) { hasty } else { patient };
                let error = send(paymaster, fault).await.unwrap_err();
                assert!(error.to_string().contains(expected), "{fault:?}: {error}");
            }
        }
        let error = send(&patient[0], PaymasterFault::HigherGas).await.unwrap_err();
        assert!(
            error.to_string().contains("paymaster signature"),
            "the signature is over other gas: {error}"
        );
        assert!(!account.is_deployed().await.unwrap());
        devnet.paymaster().set_fault(None);
        devnet.shutdown().await;
    });
}
