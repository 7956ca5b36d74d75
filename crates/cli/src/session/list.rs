//! `quorate session list`, `show` and `resume`: what the store and the chain know.

use clap::Args;
use quorate::{Address, B256, Interrupted, ListedSession, Resumed};
use quorate_core::ParsedSessionKeyData;
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
    sessions: Vec<Shown>,
}

/// A session, as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    session: String,
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

#[derive(Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<u16>,
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
    let sessions = account.sessions().await?.iter().map(Shown::new).collect();
    arguments.output.write(&Listed { account: account.address(), sessions }, Listed::text)
}

pub(super) async fn show(settings: SettingsArguments, arguments: ShowArguments) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let sessions = account.sessions().await?;
    let found = find(&account, &sessions, &arguments.session)?;
    arguments.output.write(&Shown::new(found), Shown::text)
}

pub(super) async fn resume(settings: SettingsArguments, arguments: ResumeArguments) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let steps = Steps::new(arguments.output);
    let resumed = steps.during("asking the chain what became of them", account.resume()).await?;
    let operations = resumed.iter().map(ResumedOperation::new).collect();
    arguments.output.write(&ResumedOperations { operations }, ResumedOperations::text)
}

impl Shown {
    fn new(listed: &ListedSession) -> Self {
        let record = &listed.record;
        let policies = record.policies().iter().map(|leaf| {
            let parsed = ParsedSessionKeyData::parse(&leaf.session_key_data).ok();
            ShownPolicy {
                validation_module: leaf.validation_module,
                valid_after: leaf.epoch.valid_after(),
                valid_until: leaf.epoch.valid_until(),
                leaf: leaf.hash(),
                contract: parsed.as_ref().map(|data| data.contract()),
                selector: parsed.as_ref().map(|data| data.selector().to_string()),
                rules: parsed.as_ref().map(ParsedSessionKeyData::rule_count),
            }
        });
        Self {
            session: record.id().to_string(),
            status: listed.status.to_string(),
            session_key: record.session_key(),
            key_id: record.key_id().map(ToOwned::to_owned),
            created: listed.created,
            user_op_hash: listed.user_op_hash,
            policies: policies.collect(),
        }
    }

    /// When all its policies have ended; 0 for never.
    fn end(&self) -> u64 {
        let ends = self.policies.iter().map(|policy| policy.valid_until);
        ends.reduce(|one, other| if one == 0 || other == 0 { 0 } else { one.max(other) }).unwrap_or_default()
    }

    fn line(&self) -> String {
        format!("{}  {:<8}  {}", self.session, self.status, until(self.end()))
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!("session      {}", self.session),
            format!("status       {}", self.status),
            format!("session key  {}", self.session_key),
        ];
        lines.extend(self.key_id.iter().map(|id| format!("key id       {id}")));
        for policy in &self.policies {
            let what = match (policy.contract, &policy.selector) {
                (Some(contract), Some(selector)) => format!("{selector} of {contract}"),
                _ => format!("what the module {} allows", policy.validation_module),
            };
            lines.push(format!("allows       {what}, {}", until(policy.valid_until)));
        }
        lines.join("\n")
    }
}

impl Listed {
    fn text(&self) -> String {
        match self.sessions.is_empty() {
            true => format!("account {} has no sessions that are known here", self.account),
            false => self.sessions.iter().map(Shown::line).collect::<Vec<_>>().join("\n"),
        }
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
