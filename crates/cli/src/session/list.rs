//! `quorate session list`, `show` and `resume`: what the store and the chain know.

use clap::Args;
use quorate::delegation::{Delegated, Delegator, Left, Status};
use quorate::{Address, B256, Interrupted, Resumed, SessionSummary, U256};
use serde::Serialize;

use super::find;
use crate::context::{Context, PaymentArguments};
use crate::offline::Output;
use crate::progress::Steps;
use crate::settings::SettingsArguments;
use crate::time_text::until;

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The session's id.
    session: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Listed {
    account: Address,
    sessions: Vec<SessionSummary>,
    /// The keys to which the owner's own account delegates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delegated: Vec<DelegatedKey>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DelegatedKey {
    session_key: Address,
    key_id: String,
    /// `active`, or why nothing can be redeemed.
    status: String,
    valid_until: u64,
    /// What the key has for gas, in wei.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    left: Vec<LeftAmount>,
}

/// What a caveat still lets through: redemptions, wei, or a token's smallest unit.
#[derive(Serialize)]
struct LeftAmount {
    enforcer: &'static str,
    amount: U256,
}

#[derive(Serialize)]
struct ResumedOperations {
    operations: Vec<ResumedOperation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResumedOperation {
    user_op_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    outcome: String,
}

pub(super) async fn list(settings: SettingsArguments, arguments: ListArguments) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let sessions = account.sessions().await?.iter().map(SessionSummary::from).collect();
    let delegated = delegated(&context).await?;
    arguments.output.write(&Listed { account: account.address(), sessions, delegated }, Listed::text)
}

/// The keys to which the owner delegates, each with what the chain says of it.
async fn delegated(context: &Context) -> anyhow::Result<Vec<DelegatedKey>> {
    let Some(delegator) = context.delegator_of_keys().await? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for delegated in delegator.keys().await? {
        let (session_key, key_id) = (delegated.address, delegated.key_id.clone());
        let valid_until = delegated.permissions.epoch.valid_until();
        let (status, balance, left) = match status(&delegator, delegated).await {
            Ok(Status { ended, left, balance }) => {
                let ended = ended.first().map_or_else(|| "active".to_owned(), ToString::to_string);
                (ended, Some(balance), left)
            }
            Err(error) => (format!("unknown: {error:#}"), None, Vec::new()),
        };
        let amount = |left: &Left| LeftAmount { enforcer: left.enforcer.name(), amount: left.amount };
        let left = left.iter().map(amount).collect();
        keys.push(DelegatedKey { session_key, key_id, status, valid_until, balance, left });
    }
    Ok(keys)
}

async fn status(delegator: &Delegator, delegated: Delegated) -> anyhow::Result<Status> {
    Ok(delegator.redeemer(delegated).await?.status().await?)
}

pub(super) async fn show(settings: SettingsArguments, arguments: ShowArguments) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let sessions = account.sessions().await?;
    let found = find(&account, &sessions, &arguments.session)?;
    arguments.output.write(&SessionSummary::from(found), text)
}

pub(super) async fn resume(settings: SettingsArguments, arguments: ResumeArguments) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let steps = Steps::new(arguments.output);
    let resumed = steps.during("asking the chain what became of them", account.resume()).await?;
    let operations = resumed.iter().map(ResumedOperation::new).collect();
    arguments.output.write(&ResumedOperations { operations }, ResumedOperations::text)
}

fn line(session: &SessionSummary) -> String {
    format!("{}  {:<8}  {}", session.session, session.status, until(session.end()))
}

fn text(session: &SessionSummary) -> String {
    let mut lines = vec![
        format!("session      {}", session.session),
        format!("status       {}", session.status),
        format!("session key  {}", session.session_key),
    ];
    lines.extend(session.key_id.iter().map(|id| format!("key id       {id}")));
    for policy in &session.policies {
        let what = match (policy.contract, &policy.selector) {
            (Some(contract), Some(selector)) => format!("{selector} of {contract}"),
            _ => format!("what the module {} allows", policy.validation_module),
        };
        lines.push(format!("allows       {what}, {}", until(policy.valid_until)));
    }
    lines.join("\n")
}

impl Listed {
    fn text(&self) -> String {
        let mut lines: Vec<_> = self.sessions.iter().map(line).collect();
        lines.extend(self.delegated.iter().map(DelegatedKey::line));
        match lines.is_empty() {
            true => format!("account {} has no sessions that are known here", self.account),
            false => lines.join("\n"),
        }
    }
}

impl DelegatedKey {
    fn line(&self) -> String {
        let left = self.left.iter().map(|left| format!(", {} left by {}", left.amount, left.enforcer));
        let left: String = left.collect();
        let balance = self.balance.map_or_else(String::new, |wei| format!(", {wei} wei for gas"));
        let Self { session_key, status, valid_until, .. } = self;
        format!("{session_key}  {status:<8}  {}, delegated{left}{balance}", until(*valid_until))
    }
}

impl ResumedOperation {
    fn new(interrupted: &Interrupted) -> Self {
        Self {
            user_op_hash: interrupted.user_op_hash,
            session: interrupted.session.as_ref().map(ToString::to_string),
            outcome: outcome(&interrupted.outcome),
        }
    }
}

fn outcome(resumed: &Resumed) -> String {
    match resumed {
        Resumed::Pending(_) => "the bundler has it, or has it again; it may get on chain".into(),
        Resumed::Settled(_) => "its nonce is used, by itself or by what took its place".into(),
        Resumed::Dead => "it will never get on chain".into(),
        Resumed::Conflicting { expected, found } => {
            format!("it would replace the root {expected}, and {found} is on chain; make it anew")
        }
        Resumed::NeedsOwner(error) => format!("it has to be made anew, and signed by the owner: {error}"),
        Resumed::Unsettled(error) => format!("it may still get on chain or not: {error}"),
        _ => "something that this version does not know".into(),
    }
}

impl ResumedOperations {
    fn text(&self) -> String {
        if self.operations.is_empty() {
            return "nothing was interrupted".to_owned();
        }
        let line =
            |operation: &ResumedOperation| format!("{}  {}", operation.user_op_hash, operation.outcome);
        self.operations.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
