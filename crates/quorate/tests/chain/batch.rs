//! Batches of a session and sessions that move tokens, on a real chain and bundler.

use crate::player::{Player, block_on, call, mint, mint_policy, nft, token, token_balance};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use quorate::{Call, Erc20Policy, Error, LocalSessionKey, SessionEpoch};
use quorate_contracts::{Deployment, Erc20};

fn transfer(to: Address, amount: u64) -> Vec<u8> {
    Erc20::transferCall { to, amount: U256::from(amount) }.abi_encode()
}

fn call_of(token: Address, data: &[u8]) -> Call {
    Call::raw(token, data.to_vec())
}

fn policy(token: Address, recipient: Address) -> Erc20Policy {
    let epoch = SessionEpoch::new(0, crate::player::soon(3600)).unwrap();
    Erc20Policy { token, recipient, max_amount: U256::from(100), epoch }
}

#[test]
fn a_token_s_session_moves_no_more_and_to_nobody_else() {
    block_on(async {
        let player = Player::new().await;
        let gold = token(player.account.address(), U256::from(1_000)).await;
        let friend = player.owner.address();
        let grant = player.account.grant_tokens().with_token(policy(gold, friend));
        let key = LocalSessionKey::random();
        player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let session = player.account.session(0).await.unwrap();

        for (to, amount, words) in [(friend, 101, "at most 100"), (gold, 5, "the recipient is")] {
            let data = transfer(to, amount);
            let error = session.send(call_of(gold, &data)).await.unwrap_err();
            assert!(matches!(error, Error::Forbidden { .. }), "{error}");
            assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
        }
        let data = transfer(friend, 100);
        session.send(call_of(gold, &data)).await.unwrap().wait().await.unwrap();
        assert_eq!(token_balance(gold, friend).await, U256::from(100));
    });
}

#[test]
fn each_call_of_a_batch_is_allowed_by_its_own_policy() {
    block_on(async {
        let player = Player::new().await;
        let gold = token(player.account.address(), U256::from(1_000)).await;
        let friend = player.owner.address();
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let grant = grant.with_token(policy(gold, friend)).with_batches();
        let key = LocalSessionKey::random();
        player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let router = Deployment::canonical().batched_session_router;
        assert!(player.account.is_module_enabled(router).await.unwrap());

        let session = player.account.session(0).await.unwrap();
        let (minted, moved) = (player.mint(), transfer(friend, 60));
        let calls = [call(&minted), call_of(gold, &moved), call(&minted)];
        session.send_batch(&calls).await.unwrap().wait().await.unwrap();
        assert_eq!(player.minted().await, 2);
        assert_eq!(token_balance(gold, friend).await, U256::from(60));

        let forbidden = mint(nft());
        let error = session.send_batch(&[call(&minted), call(&forbidden)]).await.unwrap_err();
        assert!(matches!(error, Error::Forbidden { call: 1, .. }), "{error}");
        assert!(session.check(&[call(&forbidden)]).is_err() && session.check(&calls).is_ok());
        assert!(matches!(session.send_batch(&[]).await, Err(Error::NoCalls)));
    });
}

/// Fault 23: a batch ignores the given sessions.
#[test]
fn a_batch_spans_sessions_of_one_key() {
    block_on(async {
        let player = Player::new().await;
        let gold = token(player.account.address(), U256::from(1_000)).await;
        let friend = player.owner.address();
        let key = LocalSessionKey::random();
        let grant = player.account.grant([player.mint_policy()]).unwrap().with_batches();
        player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let grant = player.account.grant_tokens().with_token(policy(gold, friend));
        player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let grant = player.account.grant([mint_policy()]).unwrap();
        let other = LocalSessionKey::random();
        player.account.send(grant, &other, &player.owner).await.unwrap().wait().await.unwrap();

        let open = async |index: usize| player.account.session(index).await.unwrap();
        let (minted, moved) = (player.mint(), transfer(friend, 60));
        let calls = [call(&minted), call_of(gold, &moved)];
        let alone = open(0).await.send_batch(&calls).await.unwrap_err();
        assert!(matches!(alone, Error::Forbidden { call: 1, .. }), "{alone}");
        let both = open(0).await.combined(&open(1).await).unwrap();
        both.send_batch(&calls).await.unwrap().wait().await.unwrap();
        assert_eq!(player.minted().await, 1);
        assert_eq!(token_balance(gold, friend).await, U256::from(60));

        let error = open(0).await.combined(&open(2).await).unwrap_err();
        assert!(matches!(error, Error::OtherSession { .. }), "{error}");
    });
}
