//! `quorate account`: where an account is, or will be.

use alloy_primitives::{Address, U256};
use clap::Args;
use quorate_contracts::{Deployment, account};
use serde::Serialize;

use super::Output;
use crate::settings::SettingsArguments;

/// Compute the address of an owner's smart account, whether or not it is deployed; gives {address}.
#[derive(Debug, Args)]
pub(crate) struct AddressArguments {
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(
    settings: SettingsArguments,
    AddressArguments { output }: AddressArguments,
) -> anyhow::Result<()> {
    let settings = settings.read()?;
    let profile = settings.profile();
    let owner = *settings.need(profile.owner.as_ref(), "owner")?;
    let address =
        account::address(&Deployment::canonical(), owner, U256::from(profile.index.unwrap_or_default()));
    output.write(&Answer { address }, |answer| answer.address.to_string())
}

#[derive(Serialize)]
struct Answer {
    address: Address,
}
