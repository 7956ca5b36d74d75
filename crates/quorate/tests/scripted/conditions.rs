//! Chains whose session validation module does not enforce all conditions.

use std::sync::Arc;

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall as _;
use async_trait::async_trait;
use quorate::testing::{ScriptedChain, ScriptedNode};
use quorate::{Condition, Error, FunctionSelector, LocalSessionKey, Policy, Quorate, Rule};
use quorate_contracts::SessionValidationModule::validateSessionParamsCall;
use quorate_core::{ParsedSessionKeyData, SessionEpoch, SessionKeyData};
use quorate_transport::{Repeat, Transport, TransportError};
use serde_json::{Value, json};

use crate::scene::{NFT, Scene, ether};

/// A node of a chain whose module lets rules of one condition pass.
#[derive(Debug)]
struct Lenient {
    node: Arc<ScriptedNode>,
    lets_pass: Condition,
}

#[async_trait]
impl Transport for Lenient {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let params = if method == "eth_call" { self.without_rules(params) } else { params };
        self.node.request(method, params, repeat).await
    }
}

impl Lenient {
    /// The module is asked as if rules of this condition did not stand in the session.
    fn without_rules(&self, mut params: Value) -> Value {
        let data = params[0]["data"].as_str().and_then(|data| data.parse::<Bytes>().ok());
        if let Some(mut call) = data.and_then(|data| validateSessionParamsCall::abi_decode(&data).ok()) {
            let parsed = ParsedSessionKeyData::parse(&call.sessionKeyData).unwrap();
            let policy = parsed.to_policy::<16>(SessionEpoch::UNLIMITED).unwrap();
            let kept = policy.rules().iter().filter(|rule| rule.condition() != self.lets_pass);
            let lenient =
                Policy::new(policy.contract(), policy.selector()).with_value_limit(policy.value_limit());
            let lenient = kept.copied().try_fold(lenient, Policy::with_rule).unwrap();
            let encoded = quorate_core::Encode::to_vec(&SessionKeyData::new(parsed.session_key(), &lenient));
            call.sessionKeyData = encoded.into();
            params[0]["data"] = json!(Bytes::from(call.abi_encode()));
        }
        params
    }
}

async fn client(chain: &ScriptedChain, lets_pass: Condition) -> Quorate {
    let node = Lenient { node: chain.node(), lets_pass };
    Quorate::connect_by(chain.deployment(), Arc::new(node), chain.bundler()).await.unwrap()
}

fn policy(condition: Condition) -> Policy {
    Policy::new(NFT, FunctionSelector::parse("safeMint(address)").unwrap())
        .with_rule(Rule::new(0, condition, NFT))
        .unwrap()
}

#[tokio::test]
async fn the_module_itself_says_what_it_does_not_enforce() {
    let scene = Scene::new().await;
    assert_eq!(scene.client.unenforced_conditions().await.unwrap(), []);
    for condition in Condition::ALL {
        let lenient = client(&scene.chain, condition).await;
        assert_eq!(lenient.unenforced_conditions().await.unwrap(), [condition]);
    }
}

#[tokio::test]
async fn a_rule_that_the_chain_lets_pass_is_not_granted_unless_it_is_meant() {
    let scene = Scene::new().await;
    let lenient = client(&scene.chain, Condition::NotEqual).await;
    let account = lenient.account(scene.owner.address(), 0);
    scene.chain.fund(account.address(), ether());
    let key = LocalSessionKey::random();

    let policies = [policy(Condition::Equal), policy(Condition::NotEqual)];
    let grant = account.grant(policies.clone()).unwrap();
    let refused = account.prepare(grant, &key).await.unwrap_err();
    let expected = Error::UnenforcedCondition { policy: 1, rule: 0, condition: Condition::NotEqual };
    assert_eq!(refused.to_string(), expected.to_string());

    let meant = account.grant_with_mistakes_allowed(policies).unwrap();
    account.prepare(meant, &key).await.unwrap();
    let enforced = scene.account.grant([policy(Condition::NotEqual)]).unwrap();
    scene.account.prepare(enforced, &LocalSessionKey::random()).await.unwrap();
}
