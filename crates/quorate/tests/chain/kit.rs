//! A user of MetaMask's kit, which runs unmodified.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, sol};
use quorate::SessionEpoch;
use quorate::delegation::{PermissionRequest, pin_context};
use quorate_core::delegation::{Caveat, Caveats, Delegation, Delegations, Enforcer, ROOT_AUTHORITY};
use quorate_core::{Call, Encode as _};
use quorate_protocol::{DelegationPermissions, Deployment, FeeCaps, Limits, Redeemer};
use serde_json::{Value, json};

use crate::player::{devnet, ether, mined, rpc, soon};

sol! {
    function incrementNonce(address delegationManager) external returns (uint256);
}

/// What the kit deployed, and a user's delegation under it.
pub(crate) struct Kit {
    /// Of its own, so that no two tests use a nonce.
    deployer: PrivateKeySigner,
    pub(crate) user: PrivateKeySigner,
    environment: Value,
}

impl Kit {
    pub(crate) fn new() -> Self {
        let [deployer, user] = [(); 2].map(|()| PrivateKeySigner::random());
        Self { deployer, user, environment: Value::Null }
    }

    /// Has the kit sign a delegation to a key; gives its context.
    pub(crate) async fn delegate(&mut self, delegate: Address, scope: Value, caveats: Value) -> Vec<u8> {
        let request = json!({ "delegate": delegate, "scope": scope, "caveats": caveats });
        context_of(&self.ask(&self.user.clone(), request).await.unwrap())
    }

    /// Has the kit of somebody else pass on what was delegated to them.
    pub(crate) async fn redelegate(
        &mut self,
        by: &PrivateKeySigner,
        parent: &[u8],
        to: Address,
        caveats: Value,
    ) -> Vec<u8> {
        let request = json!({ "delegate": to, "caveats": caveats, "parent": hex::encode_prefixed(parent) });
        context_of(&self.ask(by, request).await.unwrap())
    }

    /// Has the kit of somebody redeem for a call; what it says where that fails.
    pub(crate) async fn redeem(
        &mut self,
        by: &PrivateKeySigner,
        context: &[u8],
        call: Call<'_>,
    ) -> Result<(), String> {
        let call = json!({ "to": call.to, "data": hex::encode_prefixed(call.data) });
        let request = json!({ "call": call, "parent": hex::encode_prefixed(context) });
        let answer = self.ask(by, request).await?;
        assert_eq!(answer["status"], "success");
        Ok(())
    }

    async fn ask(&mut self, by: &PrivateKeySigner, mut request: Value) -> Result<Value, String> {
        request["rpc"] = json!(devnet().rpc_url());
        request["chainId"] = json!(devnet().chain_id());
        devnet().set_balance(self.deployer.address(), ether()).await.unwrap();
        request["deployer"] = json!(self.deployer.to_bytes());
        request["user"] = json!(by.to_bytes());
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
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
        }
        let mut answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        self.environment = answer["environment"].take();
        Ok(answer)
    }

    /// What is known of the contracts at the addresses that the kit gave them.
    pub(crate) fn deployment(&self) -> Deployment {
        let address = |value: &Value| value.as_str().unwrap().parse::<Address>().unwrap();
        let of_name = |enforcer: &Enforcer| {
            let name = format!("{}Enforcer", enforcer.name());
            let found = self.environment["caveatEnforcers"].get(&name)?;
            Some((address(found), *enforcer))
        };
        let enforcers = Enforcer::ALL.iter().filter_map(of_name).collect();
        Deployment::Other { manager: address(&self.environment["DelegationManager"]), enforcers }
    }

    /// The user's wallet grants so much of a token in all, whatever it is asked for, and says that it is all.
    pub(crate) fn grant_less(&self, request: &PermissionRequest, token: Address, amount: u64) -> Value {
        let deployment = self.deployment();
        let (manager, address) = (deployment.manager(), |of| deployment.address_of(of).unwrap());
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
        let digest = unsigned.signing_digest(devnet().chain_id(), manager);
        let signature = self.user.sign_hash_sync(&digest).unwrap().as_bytes();
        let context = Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec();
        let mut answer = request.params();
        answer[0]["context"] = json!(Bytes::from(context));
        answer[0]["delegationManager"] = json!(manager);
        answer[0]["dependencies"] = json!([]);
        answer
    }

    /// Ends all delegations of the user's nonce.
    pub(crate) async fn increment_nonce(&self) {
        let deployment = self.deployment();
        let (manager, enforcer) = (deployment.manager(), deployment.address_of(Enforcer::Nonce).unwrap());
        let user = self.user.address();
        devnet().set_balance(user, ether()).await.unwrap();
        rpc("anvil_impersonateAccount", json!([user])).await;
        let data = Bytes::from(incrementNonceCall { delegationManager: manager }.abi_encode());
        let transaction = json!({ "from": user, "to": enforcer, "data": data });
        let hash = rpc("eth_sendTransaction", json!([transaction])).await;
        assert_eq!(mined(&hash).await["status"], "0x1");
    }

    pub(crate) fn permissions(&self, context: Vec<u8>) -> DelegationPermissions {
        DelegationPermissions {
            owner: self.user.address(),
            chain_id: NonZeroU64::new(devnet().chain_id()).unwrap(),
            deployment: self.deployment(),
            context: pin_context(&context).unwrap(),
            redeemer: Redeemer::Key,
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

fn context_of(answer: &Value) -> Vec<u8> {
    hex::decode(answer["context"].as_str().unwrap()).unwrap()
}
