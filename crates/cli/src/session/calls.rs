//! `quorate session use` and `check`: a call for the account, within a session's policies.

use alloy_dyn_abi::DynSolType;
use alloy_json_abi::Function;
use clap::Args;
use quorate::{Address, B256, Call, Choice, Error, Session, SmartAccount, U256};
use quorate_policy_file::wei;
use serde::Serialize;

use super::SessionArgument;
use crate::context::{Context, PaymentArguments};
use crate::exit::Failure;
use crate::offline::{Output, arguments};
use crate::progress::Steps;
use crate::settings::SettingsArguments;

#[derive(Debug, Args)]
pub(crate) struct UseArguments {
    #[command(flatten)]
    call: CallArguments,
    #[command(flatten)]
    session: SessionArgument,
    #[command(flatten)]
    payment: PaymentArguments,
    /// Make the call again, although the same was sent before and its end is not known.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    call: CallArguments,
    #[command(flatten)]
    session: SessionArgument,
    #[command(flatten)]
    output: Output,
}

/// A call, as it is written on a command line.
#[derive(Debug, Args)]
pub(super) struct CallArguments {
    /// The contract to call.
    #[arg(value_parser = arguments::address)]
    to: Address,
    /// The function, as Solidity writes it: "safeMint(address to)"; without it the call has no data.
    function: Option<String>,
    /// The function's arguments; tuples as (a,b), arrays as [a,b], bytes and addresses in hex.
    #[arg(allow_negative_numbers = true)]
    values: Vec<String>,
    /// The chain's coin that is sent along: a number of wei, or such as "0.1 ether".
    #[arg(long, default_value = "0", value_parser = wei)]
    value: U256,
}

/// A call that was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    session: String,
    user_op_hash: B256,
    transaction_hash: B256,
}

/// Whether a call is allowed.
#[derive(Serialize)]
struct Checked {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn run(settings: SettingsArguments, arguments: UseArguments) -> anyhow::Result<()> {
    let UseArguments { call, session, payment, again, output } = arguments;
    let (steps, call) = (Steps::new(output), call.call()?);
    let context = Context::open(settings).await?;
    let account = context.account(payment)?;
    let session = open(&account, &session, &call).await?;
    let options = account.options().clone().with_repetition(again);
    let session = session.with_options(options);
    let pending = steps.during("the session's key signs", session.send(call)).await?;
    let receipt = steps.during("waiting for the operation's block", pending.wait()).await?;
    let used = Used {
        session: session.record().id().to_string(),
        user_op_hash: pending.user_op_hash(),
        transaction_hash: receipt.receipt.transaction_hash,
    };
    output.write(&used, |used| format!("transaction  {}", used.transaction_hash))
}

pub(super) async fn check(settings: SettingsArguments, arguments: CheckArguments) -> anyhow::Result<()> {
    let CheckArguments { call, session, output } = arguments;
    let call = call.call()?;
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let checked = open(&account, &session, &call).await.and_then(|session| Ok(session.check(&[call])?));
    let reason = match checked {
        Ok(()) => None,
        Err(error) => match error.downcast_ref() {
            Some(Error::Forbidden { .. } | Error::NoSessionAllows { .. }) => Some(format!("{error:#}")),
            _ => return Err(error),
        },
    };
    let answer = Checked { allowed: reason.is_none(), reason: reason.clone() };
    output.write(&answer, |answer| answer.reason.clone().unwrap_or_else(|| "allowed".to_owned()))?;
    match reason {
        Some(reason) => Err(Failure::refused(reason).into()),
        None => Ok(()),
    }
}

/// The session that was named, or else one that allows the call.
async fn open(account: &SmartAccount, named: &SessionArgument, call: &Call) -> anyhow::Result<Session> {
    Ok(match named.choice()? {
        Choice::LastActive => account.session_for(std::slice::from_ref(call)).await?,
        choice => account.session(choice).await?,
    })
}

impl CallArguments {
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        let Self { to, function, values, value } = self;
        let call = match function {
            Some(function) => encoded(*to, function, values)?,
            None => Call::raw(*to, []),
        };
        Ok(Call { value: *value, ..call })
    }
}

fn encoded(to: Address, signature: &str, values: &[String]) -> anyhow::Result<Call> {
    let bad = |reason: String| Failure::bad_input(format!("the function {signature}: {reason}"));
    let function = Function::parse(signature).map_err(|error| bad(error.to_string()))?;
    let (wanted, given) = (function.inputs.len(), values.len());
    if wanted != given {
        return Err(bad(format!("it takes {wanted} arguments, and {given} are given")).into());
    }
    let value = |(parameter, text): (&alloy_json_abi::Param, &String)| {
        let ty = parameter.selector_type();
        let ty: DynSolType = ty.parse().map_err(|error| bad(format!("{error}")))?;
        ty.coerce_str(text)
            .map_err(|error| bad(format!("`{text}` is no {ty} for `{}`: {error}", parameter.name)))
    };
    let values = function.inputs.iter().zip(values).map(value).collect::<Result<Vec<_>, _>>()?;
    Ok(Call::function(to, &function, &values)?)
}
