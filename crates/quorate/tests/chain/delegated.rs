//! Delegations that a user of MetaMask's kit signs to a network's key, which redeems them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::delegation::{DelegateSigner, RedeemError, Redeemer, Settled, pin_context};
use quorate::{AccountId, DistributedSigner, EphemeralKey, HttpTransport, MemoryStore, SessionEpoch, Store};
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::Call;
use quorate_core::delegation::{CaveatPlace, Enforcer};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Limits, Redeemer as By, Refusal, Subject, Target,
};
use serde_json::{Value, json};

use crate::local::{LocalNetwork, claim, refusal, sign};
use crate::player::{balance_of, block_on, devnet, ether, soon};

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
        let transport = Arc::new(HttpTransport::builder(devnet().rpc_url().clone()).build().unwrap());
        let redeemer = Redeemer::new(transport, store.clone(), key.clone(), permissions.clone());

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
