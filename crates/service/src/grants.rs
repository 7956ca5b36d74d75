//! Grants in steps, for an owner whose wallet is elsewhere: where a network makes the key its request is signed first, and then
//! the operation is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, hex};
use quorate::{
    EphemeralKey, Grant, KeyDraft, Limits, LocalSessionKey, NetworkError, SessionGrant, SigningNetwork,
    SmartAccount, StorableKey,
};
use quorate_policy_file::Target;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::RpcError;
use crate::follow::follow_owner;
use crate::json_rpc::Request;
use crate::methods::Caller;
use crate::policies::{CompiledPolicies, Policies};
use crate::to_sign::{Signed, ToSign, read_draft, read_signature};

/// The parameter of `quorate_prepareGrant`: what is to be granted, or the owner's signature over the request for a network's key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PrepareGrant {
    account: Option<Address>,
    policies: Option<Box<RawValue>>,
    key: Option<KeyHolder>,
    #[serde(default)]
    batches: bool,
    key_request: Option<String>,
    signature: Option<Bytes>,
}

/// Who holds a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyHolder {
    Network,
    Store,
}

/// What an owner signs to have a network make a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyToSign {
    /// What the request is called when it comes back with the signature.
    key_request: String,
    /// For `eth_signTypedData_v4`.
    typed_data: Value,
    /// The 32 bytes that the owner's key signs.
    hash: B256,
    /// What the session may do, in words.
    review: Vec<String>,
    /// How long the network takes the signature.
    seconds: u64,
}

/// Requests for keys that wait for their owners' signatures. The network forgets them after a minute, and so does the service.
#[derive(Debug, Default)]
pub(crate) struct KeyRequests(Mutex<HashMap<String, KeyRequest>>);

#[derive(Debug)]
struct KeyRequest {
    /// Who asked.
    token: String,
    account: Address,
    grant: Grant,
    policies: Policies,
    draft: KeyDraft,
    ephemeral: EphemeralKey,
    since: Instant,
}

/// The network's challenge is good for so long.
const LIFE: Duration = Duration::from_secs(60);

/// The most that wait at once.
const MOST: usize = 64;

impl Caller<'_> {
    pub(crate) async fn prepare_grant(&self, request: &Request) -> Result<Value, RpcError> {
        let asked: PrepareGrant = request.param()?;
        match asked {
            PrepareGrant {
                policies: Some(policies),
                key_request: None,
                signature: None,
                account,
                key,
                batches,
            } => {
                let account = self.account(account)?;
                self.begin_grant(account, policies.get(), key, batches).await
            }
            PrepareGrant {
                policies: None,
                key_request: Some(key_request),
                signature: Some(signature),
                account: None,
                key: None,
                batches: false,
            } => self.go_on_with_key(&key_request, &signature).await,
            _ => Err(RpcError::invalid_params(
                "params[0]: give `policies` to begin with, with `account`, `key` and `batches` where they matter; or \
                 `keyRequest` and `signature`, and nothing else, to go on",
            )),
        }
    }

    pub(crate) async fn submit_grant(&self, request: &Request) -> Result<Value, RpcError> {
        let Signed { draft, signature } = request.param()?;
        let draft = read_draft::<SessionGrant>(&draft)?;
        let account = self.account(Some(draft.operation().operation.sender))?;
        let pending = account.submit(draft, read_signature(&signature)?).await?;
        follow_owner(self.service, account.clone(), pending.operation().clone());
        Ok(json!({ "session": pending.id(), "userOpHash": pending.user_op_hash() }))
    }

    async fn begin_grant(
        &self,
        account: &SmartAccount,
        policies: &str,
        key: Option<KeyHolder>,
        batches: bool,
    ) -> Result<Value, RpcError> {
        let policies = Policies::read(policies, account).await?;
        let network = self.network_for(key)?;
        let target = if network.is_some() { Target::Network } else { Target::ChainAlone };
        let unenforced = self.service.config.client.unenforced_conditions().await?;
        let CompiledPolicies { policies: rules, limits, explanation } =
            policies.compile(target, &unenforced)?;
        if network.is_none() && limits != Limits::default() {
            return Err(RpcError::invalid_params(
                "params[0].policies: they have limits, which only a network's nodes hold; leave out `limits` and `totals`, or \
                 have a network make the key",
            ));
        }
        let grant = account.grant(rules)?.with_limits(limits);
        let grant = if batches { grant.with_batches() } else { grant };
        match network {
            Some(network) => self.request_key(network, account, grant, policies, explanation).await,
            None => prepare(account, grant, &LocalSessionKey::random(), &policies).await,
        }
    }

    /// Asks the network for what the owner has to sign.
    async fn request_key(
        &self,
        network: &SigningNetwork,
        account: &SmartAccount,
        grant: Grant,
        policies: Policies,
        review: Vec<String>,
    ) -> Result<Value, RpcError> {
        let (draft, ephemeral) = grant.prepare_key(network).await?;
        let typed_data =
            draft.typed_data().map_err(|error| quorate::Error::from(NetworkError::from(error)))?;
        let (document, hash) = (typed_data.document().clone(), typed_data.digest());
        let waiting = KeyRequest {
            token: self.token.name.clone(),
            account: account.address(),
            grant,
            policies,
            draft,
            ephemeral,
            since: Instant::now(),
        };
        let key_request = self.service.key_requests.add(waiting)?;
        let seconds = LIFE.as_secs();
        Ok(json!(KeyToSign { key_request, typed_data: document, hash, review, seconds }))
    }

    async fn go_on_with_key(&self, key_request: &str, signature: &Bytes) -> Result<Value, RpcError> {
        let signature = alloy_primitives::Signature::from_raw_array(&read_signature(signature)?)
            .map_err(|error| RpcError::invalid_params(format_args!("params[0].signature: {error}")))?;
        let waiting = self.service.key_requests.take(key_request, &self.token.name)?;
        let account = self.account(Some(waiting.account))?;
        let network = self.network()?;
        let key = network.submit_key(&waiting.draft, signature).await.map_err(quorate::Error::from)?;
        let key = quorate::DistributedSigner::new(network.clone(), key, waiting.ephemeral);
        prepare(account, waiting.grant, &key, &waiting.policies).await
    }

    /// The network that is to make the key; none where the store keeps it.
    fn network_for(&self, key: Option<KeyHolder>) -> Result<Option<&SigningNetwork>, RpcError> {
        match key {
            Some(KeyHolder::Network) => self.network().map(Some),
            Some(KeyHolder::Store) => Ok(None),
            None => Ok(self.service.config.network.as_ref()),
        }
    }

    pub(crate) fn network(&self) -> Result<&SigningNetwork, RpcError> {
        let missing = || RpcError::invalid_params("params[0].key: the service has no signing network");
        self.service.config.network.as_ref().ok_or_else(missing)
    }
}

/// Prepares the operation, and shows it.
async fn prepare(
    account: &SmartAccount,
    grant: Grant,
    key: &dyn StorableKey,
    policies: &Policies,
) -> Result<Value, RpcError> {
    let draft = account.prepare(grant, key).await?;
    let sessions = account.sessions().await?;
    let leaves = draft.intent().update.known_leaves(&sessions, Some(draft.intent()))?;
    let mut answer = json!(ToSign::new(&draft, &leaves, &policies.functions())?);
    answer["session"] = json!(draft.intent().session.id());
    Ok(answer)
}

impl KeyRequests {
    /// Keeps a request, under a name that nobody guesses.
    fn add(&self, request: KeyRequest) -> Result<String, RpcError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| RpcError::internal(&error))?;
        let name = hex::encode(bytes);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, request| request.since.elapsed() < LIFE);
        if waiting.len() >= MOST {
            return Err(RpcError::limit_exceeded(format_args!(
                "{MOST} requests for keys wait for signatures already; try again in a minute"
            )));
        }
        waiting.insert(name.clone(), request);
        Ok(name)
    }

    /// Takes a request up, once.
    fn take(&self, name: &str, token: &str) -> Result<KeyRequest, RpcError> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, request| request.since.elapsed() < LIFE);
        let is_own = waiting.get(name).is_some_and(|request| request.token == token);
        let missing = || {
            RpcError::invalid_params(format_args!(
                "params[0].keyRequest: no request of this name waits for a signature; they do so for {} s, and are taken once",
                LIFE.as_secs()
            ))
        };
        is_own.then(|| waiting.remove(name)).flatten().ok_or_else(missing)
    }
}
