//! A session on a real chain and bundler, with a local key.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod player;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use alloy_signer::Signer as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use player::{Player, balance_of, block_on, call, connect, mint, mint_policy, nft};
use quorate::{
    Call, Condition, Error, GasEstimate, GrantDraft, LocalSessionKey, Rule, SessionEpoch, SessionRecord,
};
use quorate_contracts::Erc721;
use quorate_signer::sign_as_owner;

const GAS: GasEstimate = GasEstimate {
    pre_verification_gas: U256::from_limbs([100_000, 0, 0, 0]),
    verification_gas_limit: U256::from_limbs([500_000, 0, 0, 0]),
    call_gas_limit: U256::from_limbs([200_000, 0, 0, 0]),
};

#[test]
fn a_grant_is_signed_and_sent_by_others_than_prepared_it() {
    block_on(async {
        let player = Player::new().await;
        let key = LocalSessionKey::random();
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let draft = player.account.prepare(grant, &key).await.unwrap().to_json();

        // The wallet, which knows the hash alone.
        let hash = GrantDraft::from_json(&draft).unwrap().user_op_hash();
        let signature = sign_as_owner(&player.owner, hash).await.unwrap();

        // Another process.
        let client = connect().await;
        let account = client.account(player.owner.address(), 0);
        let pending = account.submit(GrantDraft::from_json(&draft).unwrap(), &signature).await.unwrap();
        assert_eq!(pending.user_op_hash(), hash);
        let stored = pending.wait().await.unwrap().record.to_json();

        // And one more, which has the stored session and its key.
        let session = connect().await.session(SessionRecord::from_json(&stored).unwrap(), Arc::new(key));
        session.send(call(&player.mint())).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(account.address()).await, 1);
    });
}

#[test]
fn a_signature_of_somebody_else_is_not_sent() {
    block_on(async {
        let player = Player::new().await;
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let draft = player.account.prepare(grant, &LocalSessionKey::random()).await.unwrap();
        let thief = PrivateKeySigner::random();
        let signature = thief.sign_message(draft.user_op_hash().as_slice()).await.unwrap().as_bytes();
        let error = player.account.submit(draft, &signature).await.unwrap_err();
        assert!(matches!(error, Error::Signer(_)), "{error}");
        assert!(error.to_string().contains(&player.owner.address().to_string()), "{error}");
    });
}

#[test]
fn what_is_evidently_a_mistake_needs_to_be_allowed() {
    block_on(async {
        let player = Player::new().await;
        let odd = [
            mint_policy().with_rule(Rule::new(4, Condition::Equal, Address::ZERO)).unwrap(),
            mint_policy().with_epoch(SessionEpoch::new(0, 1_900_000_000_000).unwrap()),
            mint_policy().with_epoch(SessionEpoch::new(20, 10).unwrap()),
        ];
        for (policy, field) in odd.into_iter().zip(["offset 4", "milliseconds", "validAfter"]) {
            let error = player.account.grant([player.mint_policy(), policy.clone()]).unwrap_err().to_string();
            assert!(error.contains("policy 1") && error.contains(field), "{error}");
            player.account.grant_with_mistakes_allowed([policy]).unwrap();
        }
        assert!(matches!(player.account.grant([]), Err(Error::NoPolicy)));
    });
}

#[test]
fn sessions_of_another_device_are_not_ended_unseen() {
    block_on(async {
        let player = Player::new().await;
        let first = player.session().await;

        // Another device, which knows nothing of the first session.
        let other = player.on_another_device().await;
        let key = LocalSessionKey::random();
        let grant = other.account.grant([player.mint_policy()]).unwrap();
        let error = other.account.send(grant.clone(), &key, &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::ForeignRoot { .. }), "{error}");

        let grant = grant.keeping(first.record().leaves());
        let record = other.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let second = player.client.session(record, Arc::new(key));
        second.send(call(&player.mint())).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(player.account.address()).await, 1);
    });
}

#[test]
fn a_call_outside_the_policy_goes_nowhere() {
    block_on(async {
        let player = Player::new().await;
        let session = player.session().await;
        let data = player.mint();
        let elsewhere = Call { to: Address::repeat_byte(1), value: U256::ZERO, data: &data };
        let paid = Call { to: nft(), value: U256::from(1), data: &data };
        for (call, words) in [
            (call(&mint(nft())), "rule 0"),
            (elsewhere, "0x0101010101010101010101010101010101010101"),
            (paid, "1 wei"),
            (call(&Erc721::balanceOfCall { owner: nft() }.abi_encode()), "0x70a08231"),
        ] {
            let error = session.send(call).await.unwrap_err();
            assert!(matches!(error, Error::Forbidden { .. }), "{error}");
            assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
        }
    });
}

#[test]
fn uses_of_one_session_run_in_parallel() {
    block_on(async {
        let player = Player::new().await;
        let session = player.session().await;
        let data = player.mint();
        let send = || async { session.send(call(&data)).await?.wait().await };
        let (one, two, three) = tokio::join!(send(), send(), send());
        for mined in [one, two, three] {
            mined.unwrap();
        }
        assert_eq!(balance_of(player.account.address()).await, 3);
    });
}

#[test]
fn a_wait_that_ends_early_can_go_on_by_the_hash() {
    block_on(async {
        let player = Player::new().await;
        let session = player.session().await;
        let pending = session.send(call(&player.mint())).await.unwrap();
        let error = pending.clone().with_deadline(Duration::ZERO).wait().await.unwrap_err();
        let Error::Timeout { user_op_hash, .. } = error else { panic!("{error}") };
        assert!(error.to_string().contains(&user_op_hash.to_string()), "{error}");

        let receipt = connect().await.pending(user_op_hash).wait().await.unwrap();
        assert!(receipt.success);
    });
}

#[test]
fn an_operation_whose_call_reverts_is_not_taken_for_done() {
    block_on(async {
        let player = Player::new().await;
        let key = LocalSessionKey::random();
        let grant = player.account.grant([mint_policy()]).unwrap();
        let record = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let session = player.client.session(record, Arc::new(key));

        // The policy has no rule, the contract does: it mints nothing to the zero address.
        let pending = session.send_unchecked(call(&mint(Address::ZERO)), GAS).await.unwrap();
        let error = pending.wait().await.unwrap_err();
        assert!(matches!(error, Error::Reverted { .. }), "{error}");
        assert!(error.to_string().contains(&pending.user_op_hash().to_string()), "{error}");
    });
}
