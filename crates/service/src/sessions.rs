//! `quorate_sessions` and `quorate_check`: what a token's bearer may do.

use alloy_primitives::Address;
use quorate::{ListedSession, SessionSummary, SmartAccount};
use serde::Deserialize;
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

impl Caller<'_> {
    pub(crate) async fn sessions(&self, request: &Request) -> Result<Value, RpcError> {
        let [Sessions { account }] = match &request.params {
            Some(params) if params.get().trim() != "[]" => request.params()?,
            _ => [Sessions::default()],
        };
        let sessions = self.sessions_of(self.account(account)?).await?;
        Ok(sessions.iter().map(|session| json!(SessionSummary::from(session))).collect())
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
