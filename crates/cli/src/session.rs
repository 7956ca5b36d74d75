//! `quorate session`: the life of an account's sessions.

mod calls;
mod changes;
mod create;
mod delegate;
mod list;
mod redeem;
mod transfer;

pub(crate) use changes::{Replacing, Revoking};
use clap::{Args, Subcommand};
pub(crate) use create::Granting;
use quorate::{Choice, ListedSession, SessionId, SmartAccount};

use crate::exit::Failure;
use crate::settings::SettingsArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Grant a session: a policy file says what it may do, a network makes its key, and the owner signs.
    Create(create::CreateArguments),
    /// List the account's sessions, each with where it stands.
    List(list::ListArguments),
    /// Show one session: its key, its policies, and until when they hold.
    Show(list::ShowArguments),
    /// Say whether a session allows a call, without sending it.
    Check(calls::CheckArguments),
    /// Make a call for the account, signed by the session's key.
    Use(calls::UseArguments),
    /// Have the owner's own account make a call, by a delegation that a network's key redeems.
    Redeem(redeem::RedeemArguments),
    /// Let a session end later than it does.
    Extend(changes::ExtendArguments),
    /// Give a session another key, and end the old one.
    ReplaceKey(changes::ReplaceKeyArguments),
    /// End sessions on chain, and at the network that holds their keys.
    Revoke(changes::RevokeArguments),
    /// Find out what became of operations whose end was not seen, and send again what can be.
    Resume(list::ResumeArguments),
    /// Take over sessions from the storage of the original SDK.
    Import(transfer::ImportArguments),
    /// Write the account's sessions as the original SDK stores them.
    Export(transfer::ExportArguments),
}

pub(crate) async fn run(Arguments { settings, command }: Arguments) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create::run(settings, arguments).await,
        Command::List(arguments) => list::list(settings, arguments).await,
        Command::Show(arguments) => list::show(settings, arguments).await,
        Command::Check(arguments) => calls::check(settings, arguments).await,
        Command::Use(arguments) => calls::run(settings, arguments).await,
        Command::Redeem(arguments) => redeem::run(settings, arguments).await,
        Command::Extend(arguments) => changes::extend(settings, arguments).await,
        Command::ReplaceKey(arguments) => changes::replace_key(settings, arguments).await,
        Command::Revoke(arguments) => changes::run(settings, arguments).await,
        Command::Resume(arguments) => list::resume(settings, arguments).await,
        Command::Import(arguments) => transfer::import(settings, arguments).await,
        Command::Export(arguments) => transfer::export(settings, arguments).await,
    }
}

/// Which session is meant.
#[derive(Clone, Debug, Args)]
pub(super) struct SessionArgument {
    /// The session's id, as `list` shows it, or its place among those that can be used, from 0 [default: the one that was made
    /// last, of those that can be used].
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

impl SessionArgument {
    fn choice(&self) -> anyhow::Result<Choice> {
        let Some(text) = &self.session else { return Ok(Choice::LastActive) };
        match text.parse() {
            Ok(place) => Ok(Choice::Index(place)),
            Err(_) => Ok(Choice::Id(text.parse::<SessionId>()?)),
        }
    }
}

/// The session of an account with this id.
fn find<'a>(
    account: &SmartAccount,
    sessions: &'a [ListedSession],
    id: &str,
) -> anyhow::Result<&'a ListedSession> {
    let missing = || {
        let account = account.address();
        Failure::bad_input(format!(
            "account {account} has no session {id}; `quorate session list` names them"
        ))
    };
    Ok(sessions.iter().find(|session| session.id().as_str() == id).ok_or_else(missing)?)
}
