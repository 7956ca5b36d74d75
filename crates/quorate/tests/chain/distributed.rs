//! Sessions whose keys a network of three nodes holds, on a chain where somebody else pays.

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::{ArgumentLimit, Call, Erc20Policy, Limits, Options, SessionEpoch, SmartAccount};
use quorate_contracts::Erc20;
use quorate_contracts::Erc721::safeMintCall;

use crate::local::LocalNetwork;
use crate::payments::{TOKEN, biconomy, erc7677, policy};
use crate::player::{Player, balance_of, block_on, connect, devnet, soon, token, token_balance};

/// The README's example, which is another test, is sponsored by Biconomy's service.
#[test]
fn a_distributed_session_works_for_an_account_without_coin() {
    block_on(async {
        let network = LocalNetwork::start_small().await;
        let token = devnet().token();
        for options in [
            Options::new().sponsored_by(&erc7677()),
            Options::new().with_paymaster(&biconomy()).paid_in(token).up_to(U256::from(500 * TOKEN)),
        ] {
            let owner = PrivateKeySigner::random();
            let account = connect().await.with_network(network.client()).account(owner.address(), 0);
            let account = account.with_options(options);
            devnet().mint_token(token, account.address(), U256::from(1_000 * TOKEN)).await.unwrap();
            let grant = account.grant([policy(&account)]).unwrap();
            let key = grant.distributed_key(&network.client(), &owner).await.unwrap();
            let granted = account.send(grant, &key, &owner).await.unwrap().wait().await.unwrap();
            let session = granted.session().await.unwrap();
            for uses in 1..=2 {
                let mint = Call::new(devnet().nft(), safeMintCall { to: account.address() });
                let minted = session.send(mint).await.unwrap().wait().await.unwrap();
                assert!(minted.paymaster.is_some(), "the receipt names who paid");
                assert_eq!(balance_of(account.address()).await, uses);
            }
            assert_eq!(native(&account).await, U256::ZERO);
        }
    });
}

/// The nodes judge each call of a batch by its own policy, as the router's modules do, and count over all of them.
#[test]
fn a_network_s_key_signs_batches_and_token_transfers_and_counts_their_sum() {
    block_on(async {
        let network = LocalNetwork::start_small().await;
        let player = Player::new().await;
        let account = connect().await.with_network(network.client()).account(player.owner.address(), 0);
        let (gold, friend) = (token(account.address(), U256::from(1_000)).await, player.owner.address());
        let limit = ArgumentLimit {
            contract: gold,
            selector: Erc20::transferCall::SELECTOR.into(),
            offset: 32,
            total: U256::from(150),
            seconds: None,
        };
        let epoch = SessionEpoch::new(0, soon(3600)).unwrap();
        let tokens = Erc20Policy { token: gold, recipient: friend, max_amount: U256::from(100), epoch };
        let grant = account.grant([player.mint_policy()]).unwrap().with_token(tokens).with_batches();
        let grant = grant.with_limits(Limits { arguments: vec![limit], ..Limits::default() });
        let key = grant.distributed_key(&network.client(), &player.owner).await.unwrap();
        account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();

        let session = account.session(0).await.unwrap();
        let transfer =
            |amount| Call::new(gold, Erc20::transferCall { to: friend, amount: U256::from(amount) });
        let mint = Call::new(devnet().nft(), safeMintCall { to: account.address() });
        let calls = [mint.clone(), transfer(60), transfer(40)];
        session.send_batch(&calls).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(account.address()).await, 1);
        assert_eq!(token_balance(gold, friend).await, U256::from(100));

        // 100 of 150 are gone: neither a batch nor a single call comes to more.
        let error = session.send_batch(&[transfer(30), transfer(21)]).await.unwrap_err();
        let reasons = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let reasons: Vec<_> = reasons.map(ToString::to_string).collect();
        assert!(reasons.iter().any(|reason| reason.contains("would come to 151")), "{reasons:?}");
        session.send(transfer(50)).await.unwrap().wait().await.unwrap();
        assert_eq!(token_balance(gold, friend).await, U256::from(150));
    });
}

async fn native(account: &SmartAccount) -> U256 {
    account.balances(&[]).await.unwrap().native
}
