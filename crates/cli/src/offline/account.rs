//! `quorate account`: where an account is, or will be.

use alloy_primitives::{Address, U256};
use clap::Subcommand;
use quorate_contracts::{Deployment, account};
use serde::Serialize;

use super::{Output, arguments};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute the address of an owner's smart account, whether or not it is deployed; gives {address}.
    Address {
        /// Whose signature the account obeys.
        #[arg(long, value_parser = arguments::address)]
        owner: Address,
        /// Which of the owner's accounts.
        #[arg(long, default_value = "0")]
        index: U256,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Address { owner, index, output } = command;
    let address = account::address(&Deployment::canonical(), owner, index);
    output.write(&Answer { address }, |answer| answer.address.to_string())
}

#[derive(Serialize)]
struct Answer {
    address: Address,
}
