//! The end of sessions: on chain by an operation that the owner signs, and at the network for the keys that it holds.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes};
use quorate::{
    ListedSession, NetworkError, NodeIndex, Owner, Revocation, SessionId, SmartAccount, TreeUpdate,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::RpcError;
use crate::follow::follow_owner;
use crate::json_rpc::Request;
use crate::methods::Caller;
use crate::to_sign::{ToSign, read_draft, read_signature};

/// The parameter of `quorate_prepareRevocation`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrepareRevocation {
    account: Option<Address>,
    sessions: Vec<SessionId>,
}

/// A key that its owner can end at the network as well.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyToEnd {
    key_id: String,
    /// For `eth_signTypedData_v4`.
    typed_data: Value,
    /// The 32 bytes that the owner's key signs.
    hash: B256,
}

/// The parameter of `quorate_submitRevocation`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitRevocation {
    draft: Box<RawValue>,
    signature: Bytes,
    #[serde(default)]
    keys: Vec<SignedKey>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignedKey {
    key_id: String,
    signature: Bytes,
}

/// A key that was ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EndedKey {
    key_id: String,
    /// The nodes that have stored it, and refuse from now on.
    stored_by: BTreeSet<NodeIndex>,
    missing: BTreeSet<NodeIndex>,
}

impl Caller<'_> {
    pub(crate) async fn prepare_revocation(&self, request: &Request) -> Result<Value, RpcError> {
        let PrepareRevocation { account, sessions: revoked } = request.param()?;
        let account = self.account(account)?;
        let sessions = self.sessions_of(account).await?;
        if let Some(unknown) = revoked.iter().find(|id| sessions.iter().all(|session| session.id() != *id)) {
            return Err(RpcError::invalid_params(format_args!(
                "params[0].sessions: no session {:?} that this token may see; `quorate_sessions` names them",
                unknown.as_str()
            )));
        }
        let draft = account.prepare_revocation(revoked).await?;
        let leaves = draft.intent().known_leaves(&account.sessions().await?, None)?;
        let keys = self.keys_to_end(account, &sessions, draft.intent())?;
        let mut answer = json!(ToSign::new(&draft, &leaves, &[])?);
        answer["sessions"] = json!(draft.intent().revoked.sessions);
        answer["keys"] = json!(keys);
        Ok(answer)
    }

    /// Ends keys at the network first: the nodes refuse from then on, whatever becomes of the operation.
    pub(crate) async fn submit_revocation(&self, request: &Request) -> Result<Value, RpcError> {
        let SubmitRevocation { draft, signature, keys } = request.param()?;
        let draft = read_draft::<TreeUpdate>(&draft)?;
        let account = self.account(Some(draft.operation().operation.sender))?;
        let signature = read_signature(&signature)?;
        let mut ended = Vec::new();
        for key in keys {
            ended.push(self.end_key(account, key).await?);
        }
        let sessions = draft.intent().revoked.sessions.clone();
        let pending = account.submit(draft, signature).await?;
        follow_owner(self.service, account.clone(), pending.operation().clone());
        Ok(json!({ "sessions": sessions, "userOpHash": pending.user_op_hash(), "keys": ended }))
    }

    fn keys_to_end(
        &self,
        account: &SmartAccount,
        sessions: &[ListedSession],
        update: &TreeUpdate,
    ) -> Result<Vec<KeyToEnd>, RpcError> {
        let Some(network) = &self.service.config.network else { return Ok(Vec::new()) };
        let revoked = sessions.iter().filter(|session| update.revoked.sessions.contains(session.id()));
        let key = |key_id: &str| {
            let revocation =
                Revocation::new(network.descriptor(), Owner::from(account.owner()), key_id, None);
            let typed_data =
                revocation.typed_data().map_err(|error| quorate::Error::from(NetworkError::from(error)))?;
            let (typed_data, hash) = (typed_data.document().clone(), typed_data.digest());
            Ok(KeyToEnd { key_id: key_id.to_owned(), typed_data, hash })
        };
        revoked.filter_map(|session| session.record.key_id()).map(key).collect()
    }

    /// The owner's signature says which key; that it is the owner's, each node verifies.
    async fn end_key(&self, account: &SmartAccount, key: SignedKey) -> Result<EndedKey, RpcError> {
        let SignedKey { key_id, signature } = key;
        let signature = alloy_primitives::Signature::from_raw_array(&read_signature(&signature)?)
            .map_err(|error| RpcError::invalid_params(format_args!("params[0].keys: {error}")))?;
        let network = self.network()?;
        let revocation = Revocation::new(network.descriptor(), Owner::from(account.owner()), &key_id, None);
        let status = network.revoke(&revocation, signature).await.map_err(quorate::Error::from)?;
        Ok(EndedKey { key_id, stored_by: status.stored_by, missing: status.missing })
    }
}
