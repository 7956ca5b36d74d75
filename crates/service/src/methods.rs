//! The methods that there are, and who may call them.

use std::sync::Arc;

use alloy_primitives::{Address, U64};
use quorate::SmartAccount;
use serde_json::{Value, json};

use crate::error::RpcError;
use crate::json_rpc::{Request, Response};
use crate::service::Shared;
use crate::tokens::Token;

/// The names of all methods.
pub(crate) const NAMES: [&str; 13] = [
    "rpc.discover",
    "eth_accounts",
    "eth_chainId",
    "wallet_sendCalls",
    "wallet_getCallsStatus",
    "wallet_getCapabilities",
    "wallet_showCallsStatus",
    "quorate_sessions",
    "quorate_check",
    "quorate_prepareGrant",
    "quorate_submitGrant",
    "quorate_prepareRevocation",
    "quorate_submitRevocation",
];

/// The service's description, in the form of OpenRPC.
pub(crate) const OPENRPC: &str = include_str!("../openrpc.json");

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) service: &'a Arc<Shared>,
    pub(crate) token: &'a Token,
}

impl Caller<'_> {
    /// The answer to a request; none where nobody waits for one.
    pub(crate) async fn answer(&self, request: Result<Request, Response>) -> Option<Response> {
        let request = match request {
            Ok(request) => request,
            Err(response) => return Some(response),
        };
        let outcome = self.call(&request).await;
        if let Err(error) = &outcome {
            tracing::debug!(token = self.token.name, method = request.method, code = error.code, "refused");
        }
        request.id.map(|id| Response::new(id, outcome))
    }

    async fn call(&self, request: &Request) -> Result<Value, RpcError> {
        let method = request.method.as_str();
        if !NAMES.contains(&method) {
            return Err(RpcError::unknown_method(method));
        }
        if !self.token.permissions.allow_method(method) {
            let name = &self.token.name;
            return Err(RpcError::unauthorized(format_args!("the token {name} may not call {method}")));
        }
        match method {
            "rpc.discover" => serde_json::from_str(OPENRPC).map_err(|error| RpcError::internal(&error)),
            "eth_accounts" => Ok(self.accounts_shown()),
            "eth_chainId" => Ok(json!(U64::from(self.service.chain_id()))),
            "wallet_sendCalls" => self.send_calls(request).await,
            "wallet_getCallsStatus" => self.calls_status(request).await,
            "wallet_getCapabilities" => self.capabilities(request).await,
            "wallet_showCallsStatus" => self.show_calls_status(request).await,
            "quorate_sessions" => self.sessions(request).await,
            "quorate_check" => self.check(request).await,
            "quorate_prepareGrant" => self.prepare_grant(request).await,
            "quorate_submitGrant" => self.submit_grant(request).await,
            "quorate_prepareRevocation" => self.prepare_revocation(request).await,
            "quorate_submitRevocation" => self.submit_revocation(request).await,
            method => Err(RpcError::unknown_method(method)),
        }
    }

    /// The accounts that the token may act for.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &SmartAccount> {
        let accounts = self.service.config.accounts.iter();
        accounts.filter(|account| self.token.permissions.allow_account(account.address()))
    }

    /// The account that a request names, or else the first one.
    ///
    /// # Errors
    /// 4100 for an account that is not the token's.
    pub(crate) fn account(&self, named: Option<Address>) -> Result<&SmartAccount, RpcError> {
        let is_meant = |account: &&SmartAccount| named.is_none_or(|named| account.address() == named);
        let missing = || match named {
            Some(named) => RpcError::unauthorized(format_args!(
                "the token {} may not act for {named}; `eth_accounts` names its accounts",
                self.token.name
            )),
            None => RpcError::unauthorized(format_args!("the token {} has no account", self.token.name)),
        };
        self.accounts().find(is_meant).ok_or_else(missing)
    }
}
