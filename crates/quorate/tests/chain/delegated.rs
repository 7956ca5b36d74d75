//! Delegations that a user of MetaMask's kit signs to a network's key, which redeems them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, Bytes, Signature, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, sol};
use async_trait::async_trait;
use quorate::delegation::{
    Approver, Asset, DelegateSigner, Ended, Granted, PermissionRequest, RedeemError, Redeemer, Redemptions,
    Settled, Spending, pin_context,
};
use quorate::{
    AccountId, DistributedSigner, EphemeralKey, HttpTransport, MemoryStore, SessionEpoch, Store, Transport,
    TransportError,
};
use quorate_contracts::Erc20;
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::delegation::{
    Caveat, CaveatPlace, Caveats, Delegation, Delegations, Enforcer, ROOT_AUTHORITY,
};
use quorate_core::{Call, Encode as _};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Limits, Redeemer as By, Refusal, Subject, Target,
};
use quorate_transport::Repeat;
use serde_json::{Value, json};

use crate::local::{LocalNetwork, claim, refusal, sign};
use crate::player::{balance_of, block_on, devnet, ether, rpc, soon, token, token_balance};

sol! {
    function incrementNonce(address delegationManager) external returns (uint256);
}

/// What the kit deployed, and a user's delegation under it.
struct Kit {
    user: PrivateKeySigner,
    environment: Value,
}

impl Kit {
    fn new() -> Self {
        Self { user: PrivateKeySigner::random(), environment: Value::Null }
    }

    /// Has the kit sign a delegation to a key; gives its context.
    async fn delegate(&mut self, delegate: Address, scope: Value, caveats: Value) -> Vec<u8> {
        let mut request = json!({
            "rpc": devnet().rpc_url(),
            "chainId": devnet().chain_id(),
            "deployer": devnet().funded_key(2).unwrap(),
            "user": self.user.to_bytes(),
            "delegate": delegate,
            "scope": scope,
            "caveats": caveats,
        });
        if !self.environment.is_null() {
            request["environment"] = self.environment.clone();
        }
        let ran = tokio::process::Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chain/kit.cjs"))
            .arg(request.to_string())
            .env("NODE_PATH", devnet().toolchain().folder().join("node_modules"))
            .output()
            .await
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let mut answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        self.environment = answer["environment"].take();
        hex::decode(answer["context"].as_str().unwrap()).unwrap()
    }

    /// The user's wallet grants so much of a token in all, whatever it is asked for, and says that it is all.
    fn grant_less(&self, request: &PermissionRequest, token: Address, amount: u64) -> Value {
        let deployment = self.deployment();
        let Deployment::Other { manager, enforcers } = &deployment else { panic!() };
        let address = |of: Enforcer| enforcers.iter().find(|(_, enforcer)| *enforcer == of).unwrap().0;
        let word = |number: U256| number.to_be_bytes::<32>().to_vec();
        let (most, start) = (word(U256::from(amount)), word(U256::from(soon(0) - 60)));
        let spending = [token.to_vec(), most, word(U256::MAX), start].concat();
        let (none, until) = (word(U256::ZERO), word(U256::from(soon(1800))));
        let caveats = [
            Caveat { enforcer: address(Enforcer::ERC20PeriodTransfer), terms: &spending },
            Caveat { enforcer: address(Enforcer::ValueLte), terms: &none },
            Caveat { enforcer: address(Enforcer::Nonce), terms: &none },
            Caveat { enforcer: address(Enforcer::Timestamp), terms: &until },
        ];
        let unsigned = Delegation {
            delegate: request.to,
            delegator: self.user.address(),
            authority: ROOT_AUTHORITY,
            caveats: Caveats::from(&caveats[..]),
            salt: U256::from(1),
            signature: &[],
        };
        let digest = unsigned.signing_digest(devnet().chain_id(), *manager);
        let signature = self.user.sign_hash_sync(&digest).unwrap().as_bytes();
        let context = Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec();
        let mut answer = request.params();
        answer[0]["context"] = json!(Bytes::from(context));
        answer[0]["delegationManager"] = json!(manager);
        answer[0]["dependencies"] = json!([]);
        answer
    }

    /// Ends all delegations of the user's nonce.
    async fn increment_nonce(&self) {
        let Deployment::Other { manager, enforcers } = self.deployment() else { panic!() };
        let (enforcer, _) = enforcers.iter().find(|(_, enforcer)| *enforcer == Enforcer::Nonce).unwrap();
        let user = self.user.address();
        devnet().set_balance(user, ether()).await.unwrap();
        rpc("anvil_impersonateAccount", json!([user])).await;
        let data = Bytes::from(incrementNonceCall { delegationManager: manager }.abi_encode());
        rpc("eth_sendTransaction", json!([{ "from": user, "to": enforcer, "data": data }])).await;
    }

    /// What is known of the contracts at the addresses that the kit gave them.
    fn deployment(&self) -> Deployment {
        let address = |value: &Value| value.as_str().unwrap().parse::<Address>().unwrap();
        let of_name = |enforcer: &Enforcer| {
            let name = format!("{}Enforcer", enforcer.name());
            let found = self.environment["caveatEnforcers"].get(&name)?;
            Some((address(found), *enforcer))
        };
        let enforcers = Enforcer::ALL.iter().filter_map(of_name).collect();
        Deployment::Other { manager: address(&self.environment["DelegationManager"]), enforcers }
    }

    fn permissions(&self, context: Vec<u8>) -> DelegationPermissions {
        DelegationPermissions {
            owner: self.user.address(),
            chain_id: NonZeroU64::new(devnet().chain_id()).unwrap(),
            deployment: self.deployment(),
            context: pin_context(&context).unwrap(),
            redeemer: By::Key,
            nonces: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            fees: FeeCaps {
                gas_limit: 1_000_000,
                fee_per_gas: U256::from(100_000_000_000_u64),
                total: ether(),
            },
            given_up: BTreeSet::new(),
            epoch: SessionEpoch::new(0, soon(3600)).unwrap(),
            limits: Limits::default(),
        }
    }
}

/// A key of the network that signs nothing yet.
async fn key(network: &LocalNetwork, owner: &PrivateKeySigner) -> DistributedSigner {
    let (client, ephemeral) = (network.client(), EphemeralKey::random().unwrap());
    let draft = client.prepare_key_without_permissions(owner.address(), &claim(&ephemeral)).await.unwrap();
    let key = client.submit_key(&draft, sign(owner, &draft)).await.unwrap();
    DistributedSigner::new(client, key, ephemeral)
}

async fn permit(network: &LocalNetwork, key: &DistributedSigner, owner: &PrivateKeySigner, target: Target) {
    let client = network.client();
    let pending = client.prepare_permit(owner.address(), &key.key().key_id, &target).await.unwrap();
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(owner.sign_hash_sync(&digest).unwrap()).await.unwrap();
}

fn mint_to(recipient: Address) -> Vec<u8> {
    safeMintCall { to: recipient }.abi_encode()
}

fn mint(data: &[u8]) -> Call<'_> {
    Call { to: devnet().nft(), value: U256::ZERO, data }
}

/// The kit's own scope is three caveats: targets, methods, no value. The recipient and the number of uses are beside it.
#[test]
fn a_network_s_key_redeems_a_function_call_that_the_kit_delegated() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let mut kit = Kit::new();
        let key = key(&network, &kit.user).await;
        let friend = PrivateKeySigner::random().address();
        let scope = json!({
            "type": "functionCall",
            "targets": [devnet().nft()],
            "selectors": [Bytes::from(safeMintCall::SELECTOR)],
        });
        let caveats = json!([
            { "type": "allowedCalldata", "startIndex": 4, "value": friend.into_word() },
            { "type": "limitedCalls", "limit": 2 },
        ]);
        let context = kit.delegate(DelegateSigner::address(&key), scope, caveats).await;
        let permissions = kit.permissions(context);
        permit(&network, &key, &kit.user, permissions.clone().into()).await;
        let address = DelegateSigner::address(&key);
        let key = Arc::new(key);
        let store = Arc::new(MemoryStore::new());
        let redeemer = Redeemer::new(node(), store.clone(), key.clone(), permissions.clone());

        let data = mint_to(friend);
        let poor = redeemer.redeem(mint(&data)).await.unwrap_err();
        assert!(matches!(poor, RedeemError::Balance { found: U256::ZERO, .. }), "{poor}");
        let id = AccountId { chain_id: devnet().chain_id(), address };
        assert_eq!(store.transactions(id).await.unwrap(), [], "its nonce is free");
        devnet().set_balance(address, ether()).await.unwrap();
        let Settled::Mined(receipt) = redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap()
        else {
            panic!("the key was used elsewhere")
        };
        assert!(receipt.is_executed());
        assert_eq!(balance_of(friend).await, 1);
        assert_eq!(store.transactions(id).await.unwrap(), []);

        // A wrong argument: by the client's judgement, by each node's, and by the chain itself.
        let wrong = mint_to(address);
        let place = permissions_place(&permissions, Enforcer::AllowedCalldata);
        let RedeemError::Forbidden(forbidden) = redeemer.redeem(mint(&wrong)).await.unwrap_err() else {
            panic!()
        };
        let text = forbidden.enforcer_text().unwrap().to_string();
        assert_eq!(text, "AllowedCalldataEnforcer:invalid-calldata");
        let by_client = forbidden.to_string();
        assert!(by_client.contains(&place.to_string()), "{by_client}");
        let subject = Subject::Transaction(redeemer.transaction(mint(&wrong), 1).unwrap());
        let Refusal::Forbidden { reason, revert } = refusal(key.sign_subject(&subject).await.unwrap_err())
        else {
            panic!("a node signs it")
        };
        assert_eq!((reason.to_string(), revert.unwrap().to_string()), (by_client, text.clone()));
        let by_chain = redeemer.ask_chain(mint(&wrong)).await.unwrap_err();
        let RedeemError::Caveat { place: found, reason } = &by_chain else { panic!("{by_chain}") };
        assert_eq!((*found, reason), (place, &text));

        let [left] = redeemer.status().await.unwrap().left[..] else { panic!("one caveat counts") };
        assert_eq!((left.enforcer, left.amount), (Enforcer::LimitedCalls, U256::ONE));

        // The second of two uses, and no third: the nodes count as the enforcer does.
        redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(friend).await, 2);
        let third = redeemer.ask_chain(mint(&data)).await.unwrap_err();
        let RedeemError::Caveat { place, reason } = &third else { panic!("{third}") };
        assert_eq!(*place, permissions_place(&permissions, Enforcer::LimitedCalls));
        assert_eq!(reason, "LimitedCallsEnforcer:limit-exceeded");
        let subject = Subject::Transaction(redeemer.transaction(mint(&data), 2).unwrap());
        let Refusal::Forbidden { reason, revert } = refusal(key.sign_subject(&subject).await.unwrap_err())
        else {
            panic!("a node signs it")
        };
        assert!(reason.to_string().contains(&place.to_string()), "{reason}");
        assert_eq!(revert.unwrap().to_string(), "LimitedCallsEnforcer:limit-exceeded");
    });
}

/// Where the first caveat of an enforcer stands.
fn permissions_place(permissions: &DelegationPermissions, enforcer: Enforcer) -> CaveatPlace {
    let context = quorate_core::delegation::Context::parse(permissions.context.as_bytes()).unwrap();
    let enforcers = permissions.deployment.enforcers();
    let caveats = context.get(0).unwrap().caveats;
    let caveat = caveats.iter().position(|caveat| enforcers.at(caveat.enforcer) == Some(enforcer)).unwrap();
    CaveatPlace { delegation: 0, caveat }
}

/// A wallet that answers `wallet_requestExecutionPermissions` with less than it is asked for.
#[test]
fn a_smaller_allowance_of_a_wallet_is_held_by_the_nodes_and_pays() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let mut kit = Kit::new();
        let key = key(&network, &kit.user).await;
        let (address, shop) = (DelegateSigner::address(&key), PrivateKeySigner::random().address());
        // For the framework, and the user's code.
        kit.delegate(address, json!({ "type": "nativeTokenTransferAmount", "maxAmount": 0 }), json!([]))
            .await;
        let gold = token(kit.user.address(), U256::from(100)).await;

        let spending = Spending::Allowance { amount: U256::from(25), start: None };
        let chain = NonZeroU64::new(devnet().chain_id()).unwrap();
        let request = PermissionRequest::new(chain, address, Asset::Erc20(gold), spending);
        let request = PermissionRequest { until: Some(soon(3600)), ..request };
        let answer = kit.grant_less(&request, gold, 10);
        let granted = Granted::check(&request, &answer.to_string(), &kit.deployment()).unwrap();
        let Spending::Allowance { amount, .. } = granted.spending else { panic!("{granted:?}") };
        assert_eq!((amount, &granted.approver), (U256::from(10), &Approver::Key));
        let DelegationPermissions { fees, limits, .. } = kit.permissions(granted.context.as_bytes().to_vec());
        let redemptions =
            Redemptions { fees, limits, left_to_chain: BTreeSet::new(), given_up: BTreeSet::new() };
        let permissions = granted.permissions(kit.user.address(), redemptions).unwrap();
        permit(&network, &key, &kit.user, permissions.clone().into()).await;
        devnet().set_balance(address, ether()).await.unwrap();

        let key = Arc::new(key);
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), permissions);
        let paid = redeemer.transfer(gold, shop, U256::from(7)).await.unwrap().wait().await.unwrap();
        assert!(matches!(paid, Settled::Mined(receipt) if receipt.is_executed()));
        assert_eq!(token_balance(gold, shop).await, U256::from(7));

        // 3 are left: by the chain, and by the nodes.
        let status = redeemer.status().await.unwrap();
        let [left] = status.left[..] else { panic!("{status:?}") };
        assert_eq!((left.amount, left.place), (U256::from(3), CaveatPlace { delegation: 0, caveat: 0 }));
        assert_eq!(status.ended, []);
        assert!(status.balance < ether() && status.balance > U256::ZERO, "some of it was spent as fees");
        let exceeded = "ERC20PeriodTransferEnforcer:transfer-amount-exceeded";
        let more = redeemer.transfer(gold, shop, U256::from(4)).await.unwrap_err();
        let RedeemError::Caveat { reason, .. } = &more else { panic!("{more}") };
        assert_eq!(reason, exceeded);
        let data = Erc20::transferCall { to: shop, amount: U256::from(4) }.abi_encode();
        let call = Call { to: gold, value: U256::ZERO, data: &data };
        let subject = Subject::Transaction(redeemer.transaction(call, 1).unwrap());
        let Refusal::Forbidden { revert, .. } = refusal(key.sign_subject(&subject).await.unwrap_err()) else {
            panic!("a node signs it")
        };
        assert_eq!(revert.unwrap().to_string(), exceeded);
        redeemer.transfer(gold, shop, U256::from(3)).await.unwrap().wait().await.unwrap();
        assert_eq!(token_balance(gold, shop).await, U256::from(10));

        // The user ends all that rests on their nonce.
        kit.increment_nonce().await;
        let ended = redeemer.transfer(gold, shop, U256::from(1)).await.unwrap_err();
        assert!(matches!(ended, RedeemError::NonceMoved { current: U256::ONE, .. }), "{ended}");
        let moved = Ended::NonceMoved { place: CaveatPlace { delegation: 0, caveat: 2 }, current: U256::ONE };
        assert_eq!(redeemer.status().await.unwrap().ended, [moved]);
    });
}

/// A key in this process, and a node that loses some of what it is given.
#[test]
fn a_redemption_is_never_made_twice_whatever_is_lost() {
    block_on(async {
        let key = Arc::new(LocalKey(PrivateKeySigner::random()));
        let mut kit = Kit::new();
        let scope = json!({
            "type": "functionCall",
            "targets": [devnet().nft()],
            "selectors": [Bytes::from(safeMintCall::SELECTOR)],
        });
        let context =
            kit.delegate(key.address(), scope, json!([{ "type": "limitedCalls", "limit": 9 }])).await;
        let permissions = kit.permissions(context);
        devnet().set_balance(key.address(), ether()).await.unwrap();
        let (store, wire) = (Arc::new(MemoryStore::new()), Arc::new(Wire::new()));
        let redeemer = || Redeemer::new(wire.clone(), store.clone(), key.clone(), permissions.clone());
        let friends: Vec<_> = (0..3).map(|_| PrivateKeySigner::random().address()).collect();
        let data: Vec<_> = friends.iter().map(|friend| mint_to(*friend)).collect();

        // Of two processes with one store each has a nonce of its own.
        let (one, two) = (redeemer(), redeemer());
        let (one, two) = tokio::join!(one.redeem(mint(&data[0])), two.redeem(mint(&data[1])));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.nonce() + two.nonce(), 1);
        let (first, second) = tokio::join!(one.wait(), two.wait());
        for settled in [first.unwrap(), second.unwrap()] {
            assert!(matches!(settled, Settled::Mined(receipt) if receipt.is_executed()));
        }

        // A lost answer is no lost transaction: the same call is the same redemption until its end was told.
        wire.loses(Loses::Answer);
        redeemer().redeem(mint(&data[2])).await.unwrap_err();
        let same = redeemer().redeem(mint(&data[2])).await.unwrap();
        assert_eq!(same.nonce(), 2);
        same.wait().await.unwrap();
        assert_eq!(balance_of(friends[2]).await, 1);

        // What the node did not get is sent again, under the nonce that it has.
        wire.loses(Loses::Transaction);
        redeemer().redeem(mint(&data[2])).await.unwrap_err();
        let again = redeemer().redeem(mint(&data[2])).await.unwrap();
        assert_eq!((again.nonce(), again.hashes().await.unwrap().len()), (3, 1));
        again.wait().await.unwrap();
        assert_eq!(balance_of(friends[2]).await, 2);
        let id = AccountId { chain_id: devnet().chain_id(), address: key.address() };
        assert_eq!(store.transactions(id).await.unwrap(), []);

        // A stuck one is sent again with higher fees; either of the two may be mined, and one is.
        wire.loses(Loses::Transaction);
        redeemer().redeem(mint(&data[0])).await.unwrap_err();
        let bumped = redeemer().bump(4).await.unwrap();
        assert_eq!(bumped.hashes().await.unwrap().len(), 2);
        let Settled::Mined(receipt) = bumped.wait().await.unwrap() else {
            panic!("the key was used elsewhere")
        };
        assert!(receipt.is_executed());
        assert_eq!(balance_of(friends[0]).await, 2);

        // A nonce that is not wanted any more is used up for fees alone.
        wire.loses(Loses::Transaction);
        redeemer().redeem(mint(&data[1])).await.unwrap_err();
        redeemer().free(5).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(friends[1]).await, 1);

        // One that was used elsewhere is said to be.
        wire.loses(Loses::Transaction);
        redeemer().redeem(mint(&data[1])).await.unwrap_err();
        let elsewhere = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), permissions.clone());
        elsewhere.redeem(mint(&data[2])).await.unwrap().wait().await.unwrap();
        assert_eq!(redeemer().settle().await.unwrap(), [Settled::Foreign { nonce: 6 }]);
    });
}

#[derive(Debug)]
struct LocalKey(PrivateKeySigner);

#[async_trait]
impl DelegateSigner for LocalKey {
    fn address(&self) -> Address {
        self.0.address()
    }

    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.sign_hash_sync(&subject.digest(None))?)
    }
}

/// What is lost of the next transaction that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loses {
    Nothing,
    /// The node never gets it.
    Transaction,
    /// The node gets it, and its answer is lost.
    Answer,
}

#[derive(Debug)]
struct Wire {
    node: Arc<HttpTransport>,
    loses: Mutex<Loses>,
}

impl Wire {
    fn new() -> Self {
        Self { node: node(), loses: Mutex::new(Loses::Nothing) }
    }

    fn loses(&self, next: Loses) {
        *self.loses.lock().unwrap() = next;
    }
}

#[async_trait]
impl Transport for Wire {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let sends = method == "eth_sendRawTransaction";
        let loses = if sends {
            std::mem::replace(&mut *self.loses.lock().unwrap(), Loses::Nothing)
        } else {
            Loses::Nothing
        };
        if loses != Loses::Transaction {
            let answer = self.node.request(method, params, repeat).await?;
            if loses == Loses::Nothing {
                return Ok(answer);
            }
        }
        Err(TransportError::Http {
            method: method.to_owned(),
            endpoint: self.node.endpoint().clone(),
            status: 502,
        })
    }
}

fn node() -> Arc<HttpTransport> {
    Arc::new(HttpTransport::builder(devnet().rpc_url().clone()).build().unwrap())
}
