//! `quorate session extend`, `replace-key` and `revoke`: what an owner changes of sessions that are there.

use std::collections::BTreeSet;
use std::fmt;

use alloy_primitives::Bytes;
use anyhow::Context as _;
use clap::Args;
use quorate::delegation::{Delegated, Delegator};
use quorate::{
    Address, B256, Draft, Error, ListedSession, LocalSessionKey, NodeIndex, Owner, PendingGrant,
    PendingUpdate, Revocation, SessionGrant, SessionId, SigningNetwork, SmartAccount, TreeUpdate,
};
use quorate_approval::Outcome as PageOutcome;
use serde::{Deserialize, Serialize};

use super::find;
use crate::exit::Failure;
use crate::progress::Steps;
use crate::settings::SettingsArguments;
use crate::signing::{Answer, Outcome, Purpose, Signing, SigningArguments, members};
use crate::time_text;

#[derive(Debug, Args)]
pub(crate) struct ExtendArguments {
    /// The session's id.
    session: String,
    /// Until when: a date, whose last second in UTC it is, or seconds since 1970; 0 for no end.
    #[arg(long, value_parser = time_text::end)]
    until: u64,
    #[command(flatten)]
    signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ReplaceKeyArguments {
    /// The session's id.
    session: String,
    #[command(flatten)]
    signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The sessions' ids, and the addresses of keys to which the owner delegates.
    #[arg(required_unless_present = "all")]
    sessions: Vec<String>,
    /// End all sessions of the account, those that are not known here among them, and all keys to which the owner delegates.
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
    #[command(flatten)]
    signing: SigningArguments,
}

/// An owner, and the sessions that they change.
struct Scene {
    owner: Signing,
    sessions: Vec<ListedSession>,
    /// The owner's own account, where it delegates to keys.
    delegator: Option<Delegator>,
    /// Those keys.
    delegated: Vec<Delegated>,
}

/// The grant of a session that takes the place of another.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacing {
    replaces: SessionId,
}

/// A session that took the place of another.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replaced {
    session: String,
    replaces: String,
    session_key: Address,
    transaction_hash: B256,
}

/// The end of sessions.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoking {
    revoked: Vec<SessionId>,
    keys: Vec<EndedKey>,
}

/// Sessions that ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// The sessions that this ended.
    revoked: Vec<SessionId>,
    /// The operation's; none where only keys of delegations ended, which no operation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_hash: Option<B256>,
    /// The keys that were ended at the network as well.
    keys: Vec<EndedKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndedKey {
    key_id: String,
    stored_by: BTreeSet<NodeIndex>,
    missing: BTreeSet<NodeIndex>,
    /// What the owner's own account calls to end a delegation on chain as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_chain: Option<OwnerCall>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerCall {
    to: Address,
    data: Bytes,
}

impl fmt::Display for OwnerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.to, self.data)
    }
}

pub(super) async fn extend(settings: SettingsArguments, arguments: ExtendArguments) -> anyhow::Result<()> {
    let ExtendArguments { session, until, signing } = arguments;
    let scene = Scene::open(settings, signing).await?;
    let id = scene.find(&session)?.id().clone();
    let draft = scene.owner.account.prepare_extension(&id, until).await?;
    scene.owner.finish(scene.replace(id, draft, "Extend a session")).await
}

pub(super) async fn replace_key(
    settings: SettingsArguments,
    arguments: ReplaceKeyArguments,
) -> anyhow::Result<()> {
    let ReplaceKeyArguments { session, signing } = arguments;
    let scene = Scene::open(settings, signing).await?;
    let found = scene.find(&session)?;
    if found.record.key_id().is_some() {
        let message = "a network holds the key of this session, and makes none for the policies of another: revoke the session, and \
                       create it anew with its policy file";
        return Err(Failure::bad_input(message).into());
    }
    let id = found.id().clone();
    let draft = scene.owner.account.prepare_key_replacement(&id, &LocalSessionKey::random()).await?;
    scene.owner.finish(scene.replace(id, draft, "Give a session another key")).await
}

pub(super) async fn run(settings: SettingsArguments, arguments: RevokeArguments) -> anyhow::Result<()> {
    let RevokeArguments { sessions, all, signing } = arguments;
    let scene = Scene::open(settings, signing).await?;
    let delegated: Vec<_> =
        scene.delegated.iter().filter(|key| all || sessions.iter().any(|id| is_called(key, id))).collect();
    let is_session = |id: &&String| !delegated.iter().any(|key| is_called(key, id));
    let ids = sessions.iter().filter(is_session).map(|id| Ok(scene.find(id)?.id().clone()));
    let ids = ids.collect::<anyhow::Result<Vec<_>>>()?;
    scene.owner.finish(scene.revoke(&delegated, (!all).then_some(ids))).await
}

/// Keys to which an owner delegates are called by their addresses.
fn is_called(key: &Delegated, id: &str) -> bool {
    id.parse() == Ok(key.address)
}

impl Scene {
    async fn open(settings: SettingsArguments, signing: SigningArguments) -> anyhow::Result<Self> {
        let owner = Signing::open(settings, signing).await?;
        let sessions = owner.account.sessions().await?;
        let delegator = owner.context.delegator_of_keys().await?;
        let delegated = match &delegator {
            Some(delegator) => delegator.keys().await?,
            None => Vec::new(),
        };
        Ok(Self { owner, sessions, delegator, delegated })
    }

    fn find(&self, id: &str) -> anyhow::Result<&ListedSession> {
        find(&self.owner.account, &self.sessions, id)
    }

    /// Ends keys to which the owner delegates, which no operation ends, and then sessions: these, or all. A key is forgotten once
    /// no quorum signs with it.
    async fn revoke(
        &self,
        delegated: &[&Delegated],
        ids: Option<Vec<SessionId>>,
    ) -> anyhow::Result<Outcome<Ended>> {
        let (mut keys, mut alive) = (Vec::new(), Vec::new());
        for delegated in delegated {
            let Delegated { address, key_id, .. } = delegated;
            let (key, is_ended) = self.end_key(self.owner.context.need_network()?, key_id).await?;
            let on_chain = delegated.disabling(self.owner.account.owner());
            let on_chain = on_chain.map(|(to, data)| OwnerCall { to, data: data.into() });
            match (&self.delegator, &on_chain) {
                (Some(delegator), _) if is_ended => delegator.forget(*address).await?,
                (_, Some(call)) => {
                    alive.push(format!("{address} (which its owner ends on chain by calling {call})"))
                }
                (_, None) => alive.push(address.to_string()),
            }
            keys.push(EndedKey { on_chain, ..key });
        }
        let ended = match self.revocation(ids, !delegated.is_empty()).await? {
            None => Outcome::Done(Ended { revoked: Vec::new(), transaction_hash: None, keys }),
            Some(draft) => {
                let revoked = draft.intent().revoked.sessions.clone();
                keys.extend(self.end_keys(&revoked).await?);
                let purpose = Revoking { revoked, keys };
                self.owner.send(draft, purpose, &self.sessions, &[], "End sessions").await?
            }
        };
        if alive.is_empty() {
            return Ok(ended);
        }
        let message = format!(
            "NOT REVOKED YET: a quorum is left that has not heard of the end of {}; run this again when more nodes are back",
            alive.join(", ")
        );
        Err(Failure::remote(message).into())
    }

    /// The operation that ends sessions; none where there are none, and keys have ended.
    async fn revocation(
        &self,
        ids: Option<Vec<SessionId>>,
        has_keys: bool,
    ) -> anyhow::Result<Option<Draft<TreeUpdate>>> {
        let account = &self.owner.account;
        match ids {
            Some(ids) if ids.is_empty() => Ok(None),
            Some(ids) => Ok(Some(account.prepare_revocation(ids).await?)),
            None => match account.prepare_revocation_of_all().await {
                Err(Error::NothingToRevoke { .. } | Error::NotDeployed { .. }) if has_keys => Ok(None),
                draft => Ok(Some(draft?)),
            },
        }
    }

    /// Ends at the network the keys that it holds: the nodes refuse from then on, whatever becomes of the operation.
    async fn end_keys(&self, revoked: &[SessionId]) -> anyhow::Result<Vec<EndedKey>> {
        let Some(network) = &self.owner.context.network else { return Ok(Vec::new()) };
        let mut ended = Vec::new();
        let of_network = self.sessions.iter().filter(|session| revoked.contains(session.id()));
        for key_id in of_network.filter_map(|session| session.record.key_id()) {
            ended.push(self.end_key(network, key_id).await?.0);
        }
        Ok(ended)
    }

    /// Ends a key at the network; whether no quorum signs with it any more.
    async fn end_key(&self, network: &SigningNetwork, key_id: &str) -> anyhow::Result<(EndedKey, bool)> {
        let Signing { account, steps, .. } = &self.owner;
        let revocation = Revocation::new(network.descriptor(), Owner::from(account.owner()), key_id, None);
        let typed_data = revocation.typed_data()?;
        let review = || {
            let note =
                "The network's nodes sign nothing with it from then on, whatever becomes of the operation.";
            Ok(members(&typed_data, "End a session's key").with_note(note))
        };
        let step = "the owner signs the end of the key";
        let signature = self.owner.sign_typed_data(&typed_data, review, None, step).await?;
        let status = steps.during("the nodes end the key", network.revoke(&revocation, signature)).await?;
        let is_ended = status.bad_nodes_withstood().is_some();
        let (stored_by, missing) = (status.stored_by, status.missing);
        Ok((EndedKey { key_id: key_id.to_owned(), stored_by, missing, on_chain: None }, is_ended))
    }

    async fn replace(
        &self,
        replaces: SessionId,
        draft: Draft<SessionGrant>,
        title: &str,
    ) -> anyhow::Result<Outcome<Replaced>> {
        self.owner.send(draft, Replacing { replaces }, &self.sessions, &[], title).await
    }
}

impl Purpose for Replacing {
    type Intent = SessionGrant;
    type Answer = Replaced;
    const COMMAND: &'static str = "session replace";

    async fn follow(
        self,
        pending: PendingGrant,
        _: &SmartAccount,
        steps: &Steps,
    ) -> anyhow::Result<Replaced> {
        let granted = steps.during("waiting for the operation's block", pending.wait()).await;
        let granted = granted.with_context(|| format!("session {} is not granted yet", pending.id()))?;
        Ok(Replaced {
            session: pending.id().to_string(),
            replaces: self.replaces.to_string(),
            session_key: granted.record.session_key(),
            transaction_hash: granted.receipt.receipt.transaction_hash,
        })
    }
}

impl Purpose for Revoking {
    type Intent = TreeUpdate;
    type Answer = Ended;
    const COMMAND: &'static str = "session revoke";

    async fn follow(self, pending: PendingUpdate, _: &SmartAccount, steps: &Steps) -> anyhow::Result<Ended> {
        let Self { revoked, keys } = self;
        let updated = steps.during("waiting for the operation's block", pending.wait()).await?;
        let transaction_hash = Some(updated.receipt.receipt.transaction_hash);
        Ok(Ended { revoked, transaction_hash, keys })
    }
}

impl Answer for Replaced {
    fn outcome(&self) -> PageOutcome {
        PageOutcome::Landed { transaction: self.transaction_hash }
    }

    fn text(&self) -> String {
        format!(
            "session      {}\nreplaces     {}\nsession key  {}\ntransaction  {}",
            self.session, self.replaces, self.session_key, self.transaction_hash
        )
    }
}

impl Answer for Ended {
    fn outcome(&self) -> PageOutcome {
        match self.transaction_hash {
            Some(transaction) => PageOutcome::Landed { transaction },
            None => PageOutcome::Done { what: "The keys have ended".to_owned() },
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<_> = self.revoked.iter().map(|id| format!("ended        {id}")).collect();
        for key in &self.keys {
            let (stored, missing) = (key.stored_by.len(), key.missing.len());
            lines.push(format!("key ended    at {stored} nodes, {missing} missing: {}", key.key_id));
            if let Some(call) = &key.on_chain {
                lines.push(format!(
                    "on chain     the owner ends its delegation there as well by calling {call}"
                ));
            }
        }
        lines.extend(self.transaction_hash.iter().map(|hash| format!("transaction  {hash}")));
        lines.join("\n")
    }
}
