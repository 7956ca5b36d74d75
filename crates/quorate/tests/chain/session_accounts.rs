//! Keys that redeem by user operations of accounts of their own, at EntryPoint v0.7.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate::delegation::{
    DelegateSigner, Delegated, DelegationPermissions, Delegator, DelegatorError, Deployment, FeeCaps,
    HybridAccount, PendingRedemption, PolicyCaveats, RedeemError, RedeemedBy, Redeemer, RedelegationCaveat,
    Settled, UnsignedDelegation,
};
use quorate::{
    AccountId, Bundler, Condition, DistributedSigner, Erc7677, FunctionSelector, HttpTransport, Limits,
    MemoryStore, PaymasterError, PaymasterRule, Policy, Rule, Store, Transport,
};
use quorate_core::delegation::Enforcer;
use quorate_protocol::Refusal;
use serde_json::json;

use crate::delegate::{LocalKey, Loses, Wire, mint, mint_to, node, permit};
use crate::local::{LocalNetwork, refusal, sign};
use crate::player::{balance_of, block_on, devnet, ether, rpc, soon};

/// To mint so often, to one address or to all.
fn policies(recipient: Option<Address>, uses: u64) -> PolicyCaveats {
    let mut policy = Policy::new(devnet().nft(), FunctionSelector::parse("safeMint(address)").unwrap());
    if let Some(recipient) = recipient {
        policy = policy.with_rule(Rule::new(0, Condition::Equal, recipient.into_word())).unwrap();
    }
    let limits = Limits { uses: Some(uses), ..Limits::default() };
    PolicyCaveats::of(&[policy], &limits, 0).unwrap()
}

fn fees() -> FeeCaps {
    FeeCaps { gas_limit: 3_000_000, fee_per_gas: U256::from(100_000_000_000_u64), total: ether() }
}

fn bundler() -> Bundler {
    Bundler::new(Arc::new(HttpTransport::builder(devnet().bundler_url().clone()).build().unwrap()))
}

async fn executed(pending: PendingRedemption) {
    let settled = pending.wait().await.unwrap();
    assert!(matches!(&settled, Settled::Mined(receipt) if receipt.is_executed()), "{settled:?}");
}

/// From a key that the network makes to two tokens that its account mints.
#[test]
fn a_network_s_key_redeems_through_an_account_of_its_own() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let (owner, friend) = (PrivateKeySigner::random(), PrivateKeySigner::random().address());
        devnet().make_delegator(owner.address()).await.unwrap();
        let (store, client) = (Arc::new(MemoryStore::new()), network.client());
        let chain_id = NonZeroU64::new(devnet().chain_id()).unwrap();
        let delegator = Delegator::new(node(), store.clone(), client.clone(), chain_id, owner.address());

        let (draft, ephemeral) = delegator.prepare_key(owner.address(), soon(3600)).await.unwrap();
        let key = client.submit_key(&draft, sign(&owner, &draft)).await.unwrap();
        let key = DistributedSigner::new(client, key, ephemeral);
        let account = HybridAccount::of(DelegateSigner::address(&key));
        let (redeemer, policies) = (RedeemedBy::Account(account.pinned()), policies(Some(friend), 3));
        let delegation = delegator.delegation(account.address(), &policies).unwrap();
        let signature = owner.sign_hash_sync(&delegation.typed_data().digest()).unwrap().as_bytes();
        let permissions = delegator
            .permissions(owner.address(), redeemer, &delegation, &signature, &policies, fees())
            .await
            .unwrap();
        delegator.keep(&key, &permissions).await.unwrap();
        permit(&network, &key, &owner, permissions.into()).await;

        let kept = async || -> Delegated { delegator.keys().await.unwrap().remove(0) };
        let without = delegator.redeemer(kept().await).await.unwrap_err();
        assert!(matches!(without, DelegatorError::NoBundler { .. }), "{without}");
        let redeemer = delegator.clone().with_bundler(bundler(), None).redeemer(kept().await).await.unwrap();
        assert_eq!(redeemer.delegate(), account.address());

        let data = mint_to(friend);
        let poor = redeemer.redeem(mint(&data)).await.unwrap_err();
        let RedeemError::Balance { payer, found, .. } = poor else { panic!("{poor}") };
        assert_eq!((payer, found), (account.address(), U256::ZERO));
        let id = AccountId { chain_id: chain_id.get(), address: account.address() };
        assert_eq!(store.transactions(id).await.unwrap(), [], "its nonce is free");

        devnet().set_balance(account.address(), ether()).await.unwrap();
        assert_eq!(rpc("eth_getCode", json!([account.address(), "latest"])).await, "0x");
        executed(redeemer.redeem(mint(&data)).await.unwrap()).await;
        assert_eq!(balance_of(friend).await, 1);
        assert_ne!(rpc("eth_getCode", json!([account.address(), "latest"])).await, "0x", "it is deployed");
        executed(redeemer.redeem(mint(&data)).await.unwrap()).await;
        assert_eq!(balance_of(friend).await, 2);
        assert_eq!(store.transactions(id).await.unwrap(), []);

        // A wrong argument is refused for the same caveat by the client, by the nodes and by the chain.
        let wrong = mint_to(owner.address());
        let by_client = redeemer.redeem(mint(&wrong)).await.unwrap_err();
        let RedeemError::Forbidden(by_client) = by_client else { panic!("{by_client}") };
        let subject = redeemer.subject(mint(&wrong), U256::ZERO).unwrap();
        let by_nodes = refusal(key.sign_subject(&subject).await.unwrap_err());
        let Refusal::Forbidden { reason: by_nodes, .. } = by_nodes else { panic!("{by_nodes}") };
        assert_eq!(by_nodes.to_string(), by_client.to_string());
        let by_chain = redeemer.ask_chain(mint(&wrong)).await.unwrap_err();
        let RedeemError::Caveat { place, .. } = &by_chain else { panic!("{by_chain}") };
        assert!(by_client.to_string().contains(&place.to_string()), "{by_client}");

        // The nodes have counted two of three uses, whatever carried them.
        let status = redeemer.status().await.unwrap();
        let [left] = status.left[..] else { panic!("{status:?}") };
        assert_eq!((left.enforcer, left.amount), (Enforcer::LimitedCalls, U256::ONE));
        assert!(status.balance < ether() && status.balance > U256::ZERO);
    });
}

/// What a key in this process may redeem through its account.
async fn granted_to(key: &LocalKey, recipient: Option<Address>, uses: u64) -> DelegationPermissions {
    let owner = PrivateKeySigner::random();
    devnet().make_delegator(owner.address()).await.unwrap();
    let (chain_id, deployment) = (NonZeroU64::new(devnet().chain_id()).unwrap(), Deployment::V1_3_0);
    let (account, caveats) = (HybridAccount::of(key.address()), policies(recipient, uses));
    let delegation = UnsignedDelegation::new(
        chain_id,
        &deployment,
        owner.address(),
        account.address(),
        &caveats.caveats,
        U256::ZERO,
    );
    let delegation = delegation.unwrap();
    let signature = owner.sign_hash_sync(&delegation.typed_data().digest()).unwrap().as_bytes();
    devnet().set_balance(account.address(), ether()).await.unwrap();
    DelegationPermissions {
        owner: owner.address(),
        chain_id,
        deployment,
        context: delegation.signed(&signature).unwrap(),
        redeemer: RedeemedBy::Account(account.pinned()),
        nonces: BTreeMap::new(),
        unjudged: BTreeSet::new(),
        fees: fees(),
        given_up: BTreeSet::new(),
        epoch: caveats.epoch,
        limits: caveats.limits,
    }
}

#[test]
fn an_operation_is_neither_lost_nor_made_twice() {
    block_on(async {
        let (key, friend) =
            (Arc::new(LocalKey(PrivateKeySigner::random())), PrivateKeySigner::random().address());
        let permissions = granted_to(&key, Some(friend), 20).await;
        let store = Arc::new(MemoryStore::new());
        let wire = Arc::new(Wire::new(devnet().bundler_url(), "eth_sendUserOperation"));
        let redeemer = |store: &Arc<MemoryStore>| {
            let (key, permissions) = (Arc::clone(&key), permissions.clone());
            let bundler = Bundler::new(Arc::clone(&wire) as Arc<dyn Transport>);
            Redeemer::new(node(), store.clone(), key, permissions).by_bundler(bundler, None)
        };
        let data = mint_to(friend);
        let count = async || balance_of(friend).await;

        // A lost answer is no lost operation: the same call is the same redemption until its end was told.
        wire.loses(Loses::Answer);
        redeemer(&store).redeem(mint(&data)).await.unwrap_err();
        executed(redeemer(&store).redeem(mint(&data)).await.unwrap()).await;
        assert_eq!(count().await, 1);

        // What the bundler did not get is sent again, as it was signed.
        wire.loses(Loses::Request);
        redeemer(&store).redeem(mint(&data)).await.unwrap_err();
        let again = redeemer(&store).redeem(mint(&data)).await.unwrap();
        assert_eq!((again.nonce(), again.hashes().await.unwrap().len()), (U256::ONE, 1));
        executed(again).await;
        assert_eq!(count().await, 2);

        // A stuck one is signed again with higher fees; one of the two gets into a block.
        wire.loses(Loses::Request);
        redeemer(&store).redeem(mint(&data)).await.unwrap_err();
        let bumped = redeemer(&store).bump(U256::from(2)).await.unwrap();
        assert_eq!(bumped.hashes().await.unwrap().len(), 2);
        executed(bumped).await;
        assert_eq!(count().await, 3);

        // A nonce that is not wanted any more is used up for fees alone.
        wire.loses(Loses::Request);
        redeemer(&store).redeem(mint(&data)).await.unwrap_err();
        redeemer(&store).free(U256::from(3)).await.unwrap();
        let freed = redeemer(&store).redeem(mint(&data)).await.unwrap().wait().await.unwrap();
        assert!(matches!(freed, Settled::Freed(receipt) if receipt.is_executed()));
        assert_eq!(count().await, 3);

        // One that was used elsewhere is said to be.
        wire.loses(Loses::Request);
        redeemer(&store).redeem(mint(&data)).await.unwrap_err();
        let elsewhere = redeemer(&Arc::new(MemoryStore::new()));
        wire.loses(Loses::Request);
        elsewhere.redeem(mint(&data)).await.unwrap_err();
        executed(elsewhere.bump(U256::from(4)).await.unwrap()).await;
        assert_eq!(redeemer(&store).settle().await.unwrap(), [Settled::Foreign { nonce: U256::from(4) }]);
    });
}

/// Two calls at once are operations of two streams, so that neither waits for the other.
#[test]
fn operations_at_once_have_streams_of_their_own() {
    block_on(async {
        let key = Arc::new(LocalKey(PrivateKeySigner::random()));
        let permissions = granted_to(&key, None, 20).await;
        let store = Arc::new(MemoryStore::new());
        let redeemer = || {
            Redeemer::new(node(), store.clone(), key.clone(), permissions.clone()).by_bundler(bundler(), None)
        };
        let [first, second] = [(); 2].map(|()| PrivateKeySigner::random().address());
        let [to_first, to_second] = [first, second].map(mint_to);
        executed(redeemer().redeem(mint(&to_first)).await.unwrap()).await;

        let (one, two) = (redeemer(), redeemer());
        let (one, two) = tokio::join!(one.redeem(mint(&to_first)), two.redeem(mint(&to_second)));
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut nonces = [one.nonce(), two.nonce()];
        nonces.sort();
        assert_eq!(nonces, [U256::ONE, U256::ONE << 64]);
        tokio::join!(executed(one), executed(two));
        assert_eq!((balance_of(first).await, balance_of(second).await), (2, 1));
    });
}

/// The account is the delegator of what its key passes on: it says itself that the signature is its own (ERC-1271).
#[test]
fn what_an_account_passes_on_is_redeemed_until_it_ends_that() {
    block_on(async {
        let [key, friend] = [(); 2].map(|()| Arc::new(LocalKey(PrivateKeySigner::random())));
        let permissions = granted_to(&key, None, 20).await;
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), key, permissions.clone());
        let redeemer = redeemer.by_bundler(bundler(), None);
        let data = mint_to(friend.address());
        executed(redeemer.redeem(mint(&data)).await.unwrap()).await;

        let caveat = |enforcer: Enforcer, number: u64| RedelegationCaveat {
            enforcer: enforcer.address_v1_3_0(),
            terms: U256::from(number).to_be_bytes::<32>().to_vec(),
        };
        let caveats = vec![caveat(Enforcer::LimitedCalls, 2), caveat(Enforcer::Timestamp, soon(600))];
        let passed_on = redeemer.redelegate(friend.address(), caveats, U256::ZERO).await.unwrap();
        let of_friend =
            DelegationPermissions { context: passed_on.clone(), redeemer: RedeemedBy::Key, ..permissions };
        devnet().set_balance(friend.address(), ether()).await.unwrap();
        let by_friend = Redeemer::new(node(), Arc::new(MemoryStore::new()), friend.clone(), of_friend);
        executed(by_friend.redeem(mint(&data)).await.unwrap()).await;
        assert_eq!(balance_of(friend.address()).await, 2);

        executed(redeemer.disable(&passed_on).await.unwrap()).await;
        let ended = by_friend.redeem(mint(&data)).await.unwrap_err();
        assert!(matches!(ended, RedeemError::Disabled { delegation: 0, .. }), "{ended}");
    });
}

/// A key and an account that have nothing: the paymaster pays, also for the deployment.
#[test]
fn a_paymaster_pays_for_an_account_that_has_nothing() {
    block_on(async {
        let key = Arc::new(LocalKey(PrivateKeySigner::random()));
        let permissions = granted_to(&key, None, 20).await;
        devnet().set_balance(HybridAccount::of(key.address()).address(), U256::ZERO).await.unwrap();
        let service = |contract| {
            let url = devnet().paymaster_url().clone();
            Erc7677::new(Arc::new(HttpTransport::builder(url).build().unwrap()), contract)
        };
        let redeemer = |contract| {
            let (store, key) = (Arc::new(MemoryStore::new()), key.clone());
            Redeemer::new(node(), store, key, permissions.clone())
                .by_bundler(bundler(), Some(service(contract)))
        };
        let sponsored = redeemer(devnet().verifying_paymaster_v0_7());
        let data = mint_to(key.address());
        executed(sponsored.redeem(mint(&data)).await.unwrap()).await;
        executed(sponsored.redeem(mint(&data)).await.unwrap()).await;
        assert_eq!(balance_of(key.address()).await, 2);
        assert_eq!(sponsored.status().await.unwrap().balance, U256::ZERO);

        // Data of a contract that nobody named is not signed.
        let other = redeemer(devnet().verifying_paymaster()).redeem(mint(&data)).await.unwrap_err();
        assert!(matches!(other, RedeemError::Paymaster(PaymasterError::OtherPaymaster { .. })), "{other}");

        // The permissions say whether somebody else may pay.
        let mut alone = permissions.clone();
        alone.limits.paymaster = PaymasterRule::Forbidden;
        let store = Arc::new(MemoryStore::new());
        let alone = Redeemer::new(node(), store, key.clone(), alone);
        let alone = alone.by_bundler(bundler(), Some(service(devnet().verifying_paymaster_v0_7())));
        let forbidden = alone.redeem(mint(&data)).await.unwrap_err();
        assert!(forbidden.to_string().contains("paymaster"), "{forbidden}");
    });
}
