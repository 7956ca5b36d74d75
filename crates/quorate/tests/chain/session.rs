//! A session on a real chain and bundler, with a local key.

use std::sync::Arc;
use std::time::Duration;

use crate::player::{Player, balance_of, block_on, call, connect, mint, mint_policy};
use alloy_primitives::{Address, U256};
use quorate::{Draft, Error, GasEstimate, LocalSessionKey, Overwritten, SessionGrant, SessionRecord};
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
        let hash = Draft::<SessionGrant>::from_json(&draft).unwrap().user_op_hash();
        let signature = sign_as_owner(&player.owner, hash).await.unwrap();

        // Another process, with a store of its own.
        let sender = player.on_another_device().await;
        let draft = Draft::<SessionGrant>::from_json(&draft).unwrap();
        let pending = sender.account.submit(draft, &signature).await.unwrap();
        assert_eq!(pending.user_op_hash(), hash);
        let stored = pending.wait().await.unwrap().record.to_json();
        let leaves = sender.account.export_leaves().await.unwrap();

        // And one more, which has the stored session, its key, and the leaves of the account's tree.
        let user = player.on_another_device().await;
        let record = SessionRecord::from_json(&stored).unwrap();
        let session = user.client.session(record, Arc::new(key)).unwrap();
        let error = session.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::UnknownTree { .. }), "{error}");
        user.account.import_leaves(leaves).await.unwrap();
        user.mint_with(&session).await;
        assert_eq!(player.minted().await, 1);
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
        let granted = other.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        assert_eq!(granted.overwritten, Overwritten::Nothing);
        other.mint_with(&other.account.session(granted.id()).await.unwrap()).await;

        // The first device can use either, once it knows the tree.
        let second = player.client.session(granted, Arc::new(key)).unwrap();
        let error = second.send(call(&player.mint())).await.unwrap_err();
        assert!(matches!(error, Error::UnknownTree { .. }), "{error}");
        player.account.import_leaves(other.account.export_leaves().await.unwrap()).await.unwrap();
        player.mint_with(&second).await;
        player.mint_with(&first).await;
        assert_eq!(player.minted().await, 3);
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
        let granted = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        let session = player.client.session(granted, Arc::new(key)).unwrap();

        // The policy has no rule, the contract does: it mints nothing to the zero address.
        let pending = session.send_unchecked(call(&mint(Address::ZERO)), GAS).await.unwrap();
        let error = pending.wait().await.unwrap_err();
        assert!(matches!(error, Error::Reverted { .. }), "{error}");
        assert!(error.to_string().contains(&pending.user_op_hash().to_string()), "{error}");
    });
}
