//! `quorate_sessions` and `quorate_check`: what a token's bearer may do.

use alloy_primitives::{Address, B256};
use quorate::{ListedSession, SessionId, SmartAccount};
use quorate_core::ParsedSessionKeyData;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{RpcError, written};
use crate::json_rpc::Request;
use crate::methods::Caller;
use crate::refusal::Refusal;
use crate::wallet::{AskedCall, read_calls};

/// The parameter of `quorate_sessions`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sessions {
    account: Option<Address>,
}

/// The parameter of `quorate_check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    account: Option<Address>,
    calls: Vec<AskedCall>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSession {
    session: SessionId,
    account: Address,
    status: String,
    session_key: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// Seconds since 1970.
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_op_hash: Option<B256>,
    policies: Vec<ShownPolicy>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPolicy {
    validation_module: Address,
    /// Seconds since 1970; 0 for always.
    valid_after: u64,
    valid_until: u64,
    leaf: B256,
    /// The contract and the function, where the policy is of the ABI session validation module.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
}

impl Caller<'_> {
    pub(crate) async fn sessions(&self, request: &Request) -> Result<Value, RpcError> {
        let [Sessions { account }] = match &request.params {
            Some(params) if params.get().trim() != "[]" => request.params()?,
            _ => [Sessions::default()],
        };
        let sessions = self.sessions_of(self.account(account)?).await?;
        Ok(sessions.iter().map(|session| json!(ShownSession::new(session))).collect())
    }

    /// Whether a session allows calls now; nothing is sent.
    pub(crate) async fn check(&self, request: &Request) -> Result<Value, RpcError> {
        let Check { account, calls } = request.param()?;
        let account = self.account(account)?;
        let error = match self.session_for(account, &read_calls(&calls)?).await {
            Ok(session) => return Ok(json!({ "allowed": true, "session": session.record().id() })),
            Err(error) => error,
        };
        let Some(refusal) = Refusal::of(&error) else { return Err(error.into()) };
        let mut answer = json!(refusal);
        answer["allowed"] = false.into();
        answer["reason"] = written(&error).into();
        Ok(answer)
    }

    /// The sessions of an account that the token may see.
    pub(crate) async fn sessions_of(&self, account: &SmartAccount) -> Result<Vec<ListedSession>, RpcError> {
        let mut sessions = account.sessions().await?;
        sessions.retain(|session| self.token.permissions.allow_session(session.id()));
        Ok(sessions)
    }
}

impl ShownSession {
    fn new(listed: &ListedSession) -> Self {
        let record = &listed.record;
        let policies = record.policies().iter().map(|leaf| {
            let parsed = ParsedSessionKeyData::parse(&leaf.session_key_data).ok();
            ShownPolicy {
                validation_module: leaf.validation_module,
                valid_after: leaf.epoch.valid_after(),
                valid_until: leaf.epoch.valid_until(),
                leaf: leaf.hash(),
                contract: parsed.as_ref().map(ParsedSessionKeyData::contract),
                selector: parsed.as_ref().map(|data| data.selector().to_string()),
            }
        });
        Self {
            session: record.id().clone(),
            account: record.account(),
            status: listed.status.to_string(),
            session_key: record.session_key(),
            key_id: record.key_id().map(ToOwned::to_owned),
            created: listed.created,
            user_op_hash: listed.user_op_hash,
            policies: policies.collect(),
        }
    }
}
