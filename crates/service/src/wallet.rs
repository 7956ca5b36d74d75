//! The methods of a wallet: EIP-5792 "2.0.0" over the sessions that a token may use.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U64, U256, hex};
use quorate::{Call, Options, Session, SmartAccount};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call_ids::{CallsStatus, SentCalls};
use crate::error::RpcError;
use crate::follow::follow_calls;
use crate::json_rpc::Request;
use crate::methods::Caller;
use crate::paymasters;

const VERSION: &str = "2.0.0";

/// `0x` and 4096 bytes.
const LONGEST_ID: usize = 8194;

const PAYMASTER_SERVICE: &str = "paymasterService";

type Capabilities = BTreeMap<String, Value>;

/// The parameter of `wallet_sendCalls`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SendCalls {
    version: String,
    id: Option<String>,
    from: Option<Address>,
    chain_id: U64,
    atomic_required: bool,
    calls: Vec<AskedCall>,
    #[serde(default)]
    capabilities: Capabilities,
}

/// A call, as EIP-5792 writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AskedCall {
    to: Option<Address>,
    #[serde(default)]
    data: Bytes,
    #[serde(default)]
    value: U256,
    #[serde(default)]
    capabilities: Capabilities,
}

/// The parameters of `wallet_getCapabilities`.
#[derive(Debug, Deserialize)]
struct GetCapabilities(Address, #[serde(default)] Option<Vec<U64>>);

impl Caller<'_> {
    pub(crate) fn accounts_shown(&self) -> Value {
        self.accounts().map(|account| json!(account.address())).collect()
    }

    /// Sends calls in one operation. The id is noted before anything leaves, and is never taken a second time.
    pub(crate) async fn send_calls(&self, request: &Request) -> Result<Value, RpcError> {
        let asked: SendCalls = request.param()?;
        let id = self.new_id(&asked).await?;
        let account = self.account(asked.from)?;
        let served = self.service.chain_id();
        if asked.chain_id != U64::from(served) {
            return Err(RpcError::unsupported_chain(asked.chain_id.to(), served));
        }
        let options = self.options(&asked)?;
        let calls = read_calls(&asked.calls)?;
        if calls.len() > 1 && !self.can_batch(account).await? {
            return Err(RpcError::no_batches(asked.atomic_required));
        }
        let session = self.session_for(account, &calls).await?.with_options(options);
        self.send(account, &session, &calls, id).await
    }

    async fn send(
        &self,
        account: &SmartAccount,
        session: &Session,
        calls: &[Call],
        id: String,
    ) -> Result<Value, RpcError> {
        let draft = match calls {
            [call] => session.prepare(call.clone()).await?,
            calls => session.prepare_batch(calls).await?,
        };
        let sent = SentCalls {
            token: self.token.name.clone(),
            id,
            chain_id: self.service.chain_id(),
            account: account.address(),
            session: session.record().id().clone(),
            user_op_hash: draft.user_op_hash(),
            status: CallsStatus::Pending,
            receipts: None,
        };
        if !self.service.ids.claim(&sent).await? {
            return Err(RpcError::used_id(&sent.id));
        }
        let answer = json!({ "id": sent.id, "capabilities": { "session": sent.session } });
        let submitted = session.submit(draft).await;
        // What the store has may get on chain, whatever was said of it; what it has not was never sent.
        match (account.pending(sent.user_op_hash).await, submitted) {
            (Ok(operation), _) | (Err(_), Ok(operation)) => {
                follow_calls(self.service, account.clone(), sent, operation);
                Ok(answer)
            }
            (Err(quorate::Error::UnknownOperation { .. }), Err(error)) => {
                self.service.ids.release(&sent.token, &sent.id).await?;
                Err(error.into())
            }
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    pub(crate) async fn calls_status(&self, request: &Request) -> Result<Value, RpcError> {
        let id: String = request.param()?;
        let sent = self.service.ids.find(&self.token.name, &id).await?;
        let sent = sent.ok_or_else(|| RpcError::unknown_id(&id))?;
        let mut answer = json!({
            "version": VERSION,
            "id": sent.id,
            "chainId": U64::from(sent.chain_id),
            "status": sent.status.code(),
            "atomic": true,
            "capabilities": { "session": sent.session },
        });
        if let Some(receipts) = sent.receipts {
            answer["receipts"] =
                serde_json::from_str(&receipts).map_err(|error| RpcError::internal(&error))?;
        }
        Ok(answer)
    }

    pub(crate) async fn capabilities(&self, request: &Request) -> Result<Value, RpcError> {
        let GetCapabilities(address, chains) = request.params()?;
        let account = self.account(Some(address))?;
        let chain = U64::from(self.service.chain_id());
        if chains.is_some_and(|chains| !chains.contains(&chain)) {
            return Ok(json!({}));
        }
        let atomic = if self.can_batch(account).await? { "supported" } else { "unsupported" };
        let supported = !self.service.config.paymasters.is_empty();
        let own = json!({ "atomic": { "status": atomic }, PAYMASTER_SERVICE: { "supported": supported } });
        Ok(json!({ format!("{chain:#x}"): own }))
    }

    pub(crate) async fn show_calls_status(&self, request: &Request) -> Result<Value, RpcError> {
        let _: String = request.param()?;
        Err(RpcError::unsupported_method(
            "the service shows no pages; wallet_getCallsStatus says what became of calls",
        ))
    }

    /// The id to send under: the caller's, which must be new, or a random one.
    async fn new_id(&self, asked: &SendCalls) -> Result<String, RpcError> {
        if asked.version != VERSION {
            let found = &asked.version;
            return Err(RpcError::invalid_params(format_args!(
                "params[0].version: it is {found:?}, and the service speaks {VERSION:?}"
            )));
        }
        let Some(id) = &asked.id else {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| RpcError::internal(&error))?;
            return Ok(hex::encode_prefixed(bytes));
        };
        if !(1..=LONGEST_ID).contains(&id.len()) {
            let len = id.len();
            return Err(RpcError::invalid_params(format_args!(
                "params[0].id: it has {len} characters; 1 to {LONGEST_ID} are taken"
            )));
        }
        match self.service.ids.find(&self.token.name, id).await? {
            Some(_) => Err(RpcError::used_id(id)),
            None => Ok(id.clone()),
        }
    }

    /// The options that capabilities ask for. One that is not known is refused unless it is optional.
    fn options(&self, asked: &SendCalls) -> Result<Options, RpcError> {
        let of_calls = asked.calls.iter().flat_map(|call| &call.capabilities);
        let of_all = asked.capabilities.iter().filter(|(name, _)| *name != PAYMASTER_SERVICE);
        if let Some((name, _)) = of_calls.chain(of_all).find(|(_, capability)| !is_optional(capability)) {
            return Err(RpcError::unsupported_capability(format_args!(
                "the capability {name:?} is not supported here, and not optional"
            )));
        }
        let Some(capability) = asked.capabilities.get(PAYMASTER_SERVICE) else { return Ok(Options::new()) };
        let listed = &self.service.config.paymasters;
        Ok(paymasters::chosen(listed, capability, self.service.chain_id())?.unwrap_or_default())
    }

    /// Whether several calls can be one operation: where the account has the router, and a live session that the token may use.
    async fn can_batch(&self, account: &SmartAccount) -> Result<bool, RpcError> {
        let router = self.service.config.client.deployment().batched_session_router;
        if !account.is_module_enabled(router).await? {
            return Ok(false);
        }
        let sessions = account.sessions().await?;
        let mut usable = sessions.iter().filter(|session| session.status.is_usable());
        Ok(usable.any(|session| self.token.permissions.allow_session(session.id())))
    }

    /// The first live session that the token may use and whose policies allow all calls.
    pub(crate) async fn session_for(
        &self,
        account: &SmartAccount,
        calls: &[Call],
    ) -> Result<Session, quorate::Error> {
        account.session_among(calls, |session| self.token.permissions.allow_session(session)).await
    }
}

/// The calls that an account is to make.
///
/// # Errors
/// No call; one that would create a contract.
pub(crate) fn read_calls(asked: &[AskedCall]) -> Result<Vec<Call>, RpcError> {
    if asked.is_empty() {
        return Err(RpcError::invalid_params("params[0].calls: there is none"));
    }
    let read = |(place, AskedCall { to, data, value, .. }): (usize, &AskedCall)| {
        let missing = || {
            RpcError::invalid_params(format_args!(
                "params[0].calls[{place}].to: it is missing, and sessions create no contracts"
            ))
        };
        Ok(Call::raw(to.ok_or_else(missing)?, data.clone()).value(*value))
    };
    asked.iter().enumerate().map(read).collect()
}

fn is_optional(capability: &Value) -> bool {
    capability.get("optional").and_then(Value::as_bool) == Some(true)
}
