//! What is told to those who listen at `GET /events`.

use alloy_primitives::{Address, B256};
use quorate::{SessionId, Status};
use serde::Serialize;

use crate::call_ids::CallsStatus;
use crate::tokens::Token;

/// Something that happened to an account.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// An operation came to its end.
    Operation(EndedOperation),
    /// A session is new, or stands elsewhere than before.
    Session(ChangedSession),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndedOperation {
    pub(crate) account: Address,
    pub(crate) user_op_hash: B256,
    /// As `wallet_getCallsStatus` has it.
    #[serde(serialize_with = "as_code")]
    pub(crate) status: CallsStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transaction_hash: Option<B256>,
    /// The session that made it; none for an operation of the owner's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    /// The id that its calls were sent under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The token that sent it, to which alone it is told; none for an operation of the owner's.
    #[serde(skip)]
    pub(crate) token: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangedSession {
    pub(crate) account: Address,
    pub(crate) session: SessionId,
    #[serde(serialize_with = "as_text")]
    pub(crate) status: Status,
}

impl Event {
    /// Whether a token's bearer may learn of it.
    pub(crate) fn is_for(&self, token: &Token) -> bool {
        match self {
            Self::Operation(ended) => {
                token.permissions.allow_account(ended.account)
                    && ended.token.as_ref().is_none_or(|sender| *sender == token.name)
            }
            Self::Session(changed) => {
                token.permissions.allow_account(changed.account)
                    && token.permissions.allow_session(&changed.session)
            }
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Operation(_) => "operation",
            Self::Session(_) => "session",
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let json = match self {
            Self::Operation(ended) => serde_json::to_string(ended),
            Self::Session(changed) => serde_json::to_string(changed),
        };
        json.unwrap_or_default()
    }
}

fn as_code<S: serde::Serializer>(status: &CallsStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.code())
}

fn as_text<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(status)
}
