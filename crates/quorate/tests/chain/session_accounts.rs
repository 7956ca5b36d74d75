//! Keys that redeem by user operations of accounts of their own, at EntryPoint v0.7.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, Bytes, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use quorate::delegation::{
    DelegateSigner, Delegated, DelegationPermissions, Delegator, DelegatorError, Deployment, FeeCaps,
    HybridAccount, PendingRedemption, PolicyCaveats, RedeemError, RedeemedBy, Redeemer, RedelegationCaveat,
    Settled, UnsignedDelegation,
};
use quorate::{
    AccountId, Bundler, BundlerError, Condition, DistributedSigner, Erc7677, FunctionSelector, HttpTransport,
    Limits, MemoryStore, PaymasterError, PaymasterRule, Policy, Rule, Store, Transport, TransportError,
};
use quorate_core::delegation::Enforcer;
use quorate_protocol::{Forbidden, Refusal};
use quorate_transport::Repeat;
use serde_json::{Value, json};

use crate::delegate::{LocalKey, Loses, Wire, mint, mint_to, node, permit};
use crate::local::{LocalNetwork, refusal, sign};
use crate::player::{balance_of, block_on, devnet, ether, mined, rpc, soon};

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
        let network = LocalNetwork::start_small().await;
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
        // What an operation leaves of its price stays with the entry point, and pays for the next.
        assert!(status.balance < ether());
        devnet().set_balance(account.address(), U256::ZERO).await.unwrap();
        let deposit = redeemer.status().await.unwrap().balance;
        assert!(deposit > U256::ZERO && deposit < status.balance);
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
        wire.loses(Loses::Request);
        redeemer(&store).free(U256::from(3)).await.unwrap_err();
        // Higher fees for what was signed last: still for nothing.
        redeemer(&store).bump(U256::from(3)).await.unwrap();
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
        // They ask for somebody else to pay.
        let required = DelegationPermissions {
            limits: Limits { paymaster: PaymasterRule::Required, ..permissions.limits.clone() },
            ..permissions.clone()
        };
        let service = |contract| {
            let url = devnet().paymaster_url().clone();
            Erc7677::new(Arc::new(HttpTransport::builder(url).build().unwrap()), contract)
        };
        let redeemer = |contract| {
            let (store, key) = (Arc::new(MemoryStore::new()), key.clone());
            Redeemer::new(node(), store, key, permissions.clone())
                .by_bundler(bundler(), Some(service(contract)))
        };
        let nobody = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), required.clone());
        let nobody =
            nobody.by_bundler(bundler(), None).redeem(mint(&mint_to(key.address()))).await.unwrap_err();
        assert!(matches!(nobody, RedeemError::Forbidden(Forbidden::Uncountable(_))), "{nobody}");

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

/// A key whose account has coin and is not deployed, and a bundler that some of what it is sent is lost on the way to.
struct Scene {
    key: Arc<LocalKey>,
    account: HybridAccount,
    store: Arc<MemoryStore>,
    wire: Arc<Wire>,
    permissions: DelegationPermissions,
    /// Who mints.
    call: Vec<u8>,
    other_call: Vec<u8>,
}

impl Scene {
    async fn set() -> Self {
        let key = Arc::new(LocalKey(PrivateKeySigner::random()));
        let permissions = granted_to(&key, None, 20).await;
        Self {
            account: HybridAccount::of(key.address()),
            store: Arc::new(MemoryStore::new()),
            wire: Arc::new(Wire::new(devnet().bundler_url(), "eth_sendUserOperation")),
            permissions,
            call: mint_to(key.address()),
            other_call: mint_to(PrivateKeySigner::random().address()),
            key,
        }
    }

    fn redeemer(&self) -> Redeemer {
        self.redeemer_by(Arc::clone(&self.wire) as _, None)
    }

    fn redeemer_by(&self, bundler: Arc<dyn Transport>, paymaster: Option<Erc7677>) -> Redeemer {
        let (store, key) = (Arc::clone(&self.store), Arc::clone(&self.key));
        Redeemer::new(node(), store, key, self.permissions.clone())
            .by_bundler(Bundler::new(bundler), paymaster)
    }

    /// How often the call was made.
    async fn minted(&self) -> u64 {
        balance_of(self.key.address()).await
    }
}

#[test]
fn one_operation_deploys_the_account_and_others_wait_for_it() {
    block_on(async {
        let scene = Scene::set().await;
        scene.wire.loses(Loses::Request);
        scene.redeemer().redeem(mint(&scene.call)).await.unwrap_err();
        // The first one is sent again meanwhile.
        let waits = scene.redeemer().redeem(mint(&scene.other_call)).await.unwrap_err();
        let RedeemError::Deploying { account, nonce } = waits else { panic!("{waits}") };
        assert_eq!((account, nonce), (scene.account.address(), U256::ZERO));
        executed(scene.redeemer().redeem(mint(&scene.call)).await.unwrap()).await;
        executed(scene.redeemer().redeem(mint(&scene.other_call)).await.unwrap()).await;
        assert_eq!(scene.minted().await, 1);
    });
}

/// Anybody may deploy it, and the first operation can never be executed then as it was signed.
#[test]
fn an_operation_that_nobody_takes_any_more_is_signed_anew_with_its_nonce() {
    block_on(async {
        let scene = Scene::set().await;
        scene.wire.loses(Loses::Request);
        scene.redeemer().redeem(mint(&scene.call)).await.unwrap_err();
        let from = &rpc("eth_accounts", json!([])).await[0];
        let data = Bytes::from(scene.account.factory_data());
        let deployment =
            json!({ "from": from, "to": scene.account.factory(), "data": data, "gas": "0x4c4b40" });
        let hash = rpc("eth_sendTransaction", json!([deployment])).await;
        assert_eq!(mined(&hash).await["status"], "0x1");

        // Other calls are not held up by it.
        executed(scene.redeemer().redeem(mint(&scene.other_call)).await.unwrap()).await;
        let again = scene.redeemer().redeem(mint(&scene.call)).await.unwrap();
        assert_eq!((again.nonce(), again.hashes().await.unwrap().len()), (U256::ZERO, 2));
        executed(again).await;
        assert_eq!(scene.minted().await, 1);
    });
}

/// A bundler that knows of no operation what became of it.
#[derive(Debug)]
struct Forgetful(Arc<Wire>);

#[async_trait]
impl Transport for Forgetful {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        match method {
            "eth_getUserOperationReceipt" | "eth_getUserOperationByHash" => Ok(Value::Null),
            _ => self.0.request(method, params, repeat).await,
        }
    }
}

#[test]
fn what_the_bundler_has_forgotten_is_read_from_the_chain() {
    block_on(async {
        let scene = Scene::set().await;
        let redeemer = scene.redeemer_by(Arc::new(Forgetful(Arc::clone(&scene.wire))), None);
        executed(redeemer.redeem(mint(&scene.call)).await.unwrap()).await;
        let pending = redeemer.redeem(mint(&scene.call)).await.unwrap();
        assert_eq!(pending.nonce(), U256::ONE);
        while scene.minted().await < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let settled = redeemer.settle().await.unwrap();
        assert!(matches!(&settled[..], [Settled::Mined(receipt)] if receipt.is_executed()), "{settled:?}");
    });
}

/// A paymaster's service whose next data is spoilt, as if its time were over.
#[derive(Debug)]
struct Spoiling {
    service: Arc<Wire>,
    spoils: AtomicBool,
}

#[async_trait]
impl Transport for Spoiling {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let mut answer = self.service.request(method, params, repeat).await?;
        if method == "pm_getPaymasterData" && self.spoils.swap(false, Ordering::Relaxed) {
            let data: Bytes = serde_json::from_value(answer["paymasterData"].clone()).unwrap();
            let mut data = data.to_vec();
            // The first second after the last at which it is valid.
            data[..32].copy_from_slice(&U256::from(1).to_be_bytes::<32>());
            answer["paymasterData"] = json!(Bytes::from(data));
        }
        Ok(answer)
    }
}

#[test]
fn a_paymaster_that_fails_holds_up_nothing() {
    block_on(async {
        let scene = Scene::set().await;
        let service = Arc::new(Wire::new(devnet().paymaster_url(), "pm_getPaymasterData"));
        let spoiling = Arc::new(Spoiling { service: Arc::clone(&service), spoils: AtomicBool::new(false) });
        let paymaster = Erc7677::new(Arc::clone(&spoiling) as _, devnet().verifying_paymaster_v0_7());
        let sponsored = scene.redeemer_by(Arc::clone(&scene.wire) as _, Some(paymaster));
        let id = AccountId { chain_id: devnet().chain_id(), address: scene.account.address() };
        executed(sponsored.redeem(mint(&scene.call)).await.unwrap()).await;

        // It does not answer when it should pay: nothing is signed, and the nonce is free.
        service.loses(Loses::Request);
        let failed = sponsored.redeem(mint(&scene.call)).await.unwrap_err();
        assert!(matches!(failed, RedeemError::Paymaster(_)), "{failed}");
        assert_eq!(scene.store.transactions(id).await.unwrap(), []);

        // What it has signed is over when the bundler gets it: that is asked for anew, and others go on meanwhile.
        spoiling.spoils.store(true, Ordering::Relaxed);
        let refused = sponsored.redeem(mint(&scene.call)).await.unwrap_err();
        assert!(matches!(refused, RedeemError::Bundler(BundlerError::Rejected { .. })), "{refused}");
        executed(sponsored.redeem(mint(&scene.other_call)).await.unwrap()).await;
        let again = sponsored.redeem(mint(&scene.call)).await.unwrap();
        assert_eq!(again.hashes().await.unwrap().len(), 2);
        executed(again).await;
        assert_eq!(scene.minted().await, 2);
        assert_eq!(scene.store.transactions(id).await.unwrap(), []);
    });
}

#[test]
fn an_account_that_is_not_deployed_passes_nothing_on() {
    block_on(async {
        let scene = Scene::set().await;
        let refused =
            scene.redeemer().redelegate(scene.key.address(), Vec::new(), U256::ZERO).await.unwrap_err();
        assert!(matches!(refused, RedeemError::NotDeployed { .. }), "{refused}");
    });
}
