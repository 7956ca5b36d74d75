//! `quorate session redeem`: a call of the owner's own account, by a delegation to a network's key.

use alloy_primitives::{Address, B256};
use clap::Args;
use quorate::Call;
use quorate::delegation::{Delegator, RedeemError, Redeemer, Settled};
use serde::Serialize;

use super::calls::CallArguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::offline::{Output, arguments};
use crate::progress::Steps;
use crate::settings::SettingsArguments;

#[derive(Debug, Args)]
pub(crate) struct RedeemArguments {
    #[command(flatten)]
    call: CallArguments,
    /// The key that redeems, by its address [default: the one that was made last, of those that allow the call].
    #[arg(long, value_name = "ADDRESS", value_parser = arguments::address)]
    key: Option<Address>,
    /// Have the key's account pay for gas, where it has one, and not the profile's `session_paymaster`.
    #[arg(long)]
    self_paid: bool,
    #[command(flatten)]
    output: Output,
}

/// A call that was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Redeemed {
    delegator: Address,
    session_key: Address,
    transaction_hash: B256,
}

pub(super) async fn run(settings: SettingsArguments, arguments: RedeemArguments) -> anyhow::Result<()> {
    let RedeemArguments { call, key, self_paid, output } = arguments;
    let (steps, call) = (Steps::new(output), call.call()?);
    let context = Context::open(settings).await?;
    let delegator = context.delegator()?;
    let delegator = if self_paid { delegator.without_paymaster() } else { delegator };
    let (delegator, session_key, redeemer) = choose(&delegator, key, &call).await?;
    let pending = steps.during("the session's key signs", redeemer.redeem(borrowed(&call))).await?;
    let receipt = match steps.during("waiting for the transaction's block", pending.wait()).await? {
        Settled::Mined(receipt) => receipt,
        Settled::Freed(receipt) => {
            let message =
                format!("nothing was redeemed: its nonce was used up by {}", receipt.transaction_hash);
            return Err(Failure::refused(message).into());
        }
        Settled::Foreign { nonce } => {
            let message = format!("the key {session_key} was used elsewhere: its nonce {nonce} is used up");
            return Err(Failure::refused(message).into());
        }
        Settled::Unknown { nonce } => {
            let message = format!(
                "the nonce {nonce} is used, and nobody says by what: the call may have been made; look for it before you make it again"
            );
            return Err(Failure::remote(message).into());
        }
    };
    if !receipt.is_executed() {
        let reason = receipt.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let message = format!("the call reverted in {}{reason}; its fees are paid", receipt.transaction_hash);
        return Err(Failure::refused(message).into());
    }
    let redeemed = Redeemed { delegator, session_key, transaction_hash: receipt.transaction_hash };
    output.write(&redeemed, |redeemed| format!("transaction  {}", redeemed.transaction_hash))
}

/// The key that was named; or else the one by which this call is under way, since it is made once; or else the last one that allows
/// it; where none does, what the last one says.
async fn choose(
    delegator: &Delegator,
    named: Option<Address>,
    call: &Call,
) -> anyhow::Result<(Address, Address, Redeemer)> {
    let (mut refusal, mut allows) = (None, None);
    for delegated in delegator.keys().await?.into_iter().rev() {
        let address = delegated.address;
        if named.is_some_and(|named| named != address) {
            continue;
        }
        let redeemer = delegator.redeemer(delegated).await?;
        if redeemer.has_under_way(borrowed(call)).await? {
            return Ok((delegator.account(), address, redeemer));
        }
        match redeemer.check(borrowed(call)) {
            Ok(()) => allows = allows.or(Some((address, redeemer))),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if let Some((address, redeemer)) = allows {
        return Ok((delegator.account(), address, redeemer));
    }
    Err(refusal.map_or_else(|| none_there(delegator.account(), named), RedeemError::into))
}

fn none_there(account: Address, named: Option<Address>) -> anyhow::Error {
    let named = named.map_or_else(|| "any key".to_owned(), |key| format!("the key {key}"));
    let message = format!(
        "{account} delegates nothing to {named} here; `quorate session create --target delegation` does"
    );
    Failure::bad_input(message).into()
}

fn borrowed(call: &Call) -> quorate_core::Call<'_> {
    quorate_core::Call { to: call.to, value: call.value, data: &call.data }
}
