//! `quorate user-op`: the hash of a user operation at any entry point.

use alloy_primitives::{Address, B256, address};
use clap::{Subcommand, ValueEnum};
use quorate_core::{Init, PackedUserOperation, UnpackedUserOperation, UserOperation};
use serde::Serialize;
use serde_json::Value;

use super::{Output, parse_value, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute a user operation's hash; gives {userOpHash}.
    ///
    /// Reads the operation as bundlers take it, or from v0.7 on packed as the contract takes it. A signature may be
    /// there; no hash covers it.
    Hash {
        /// The version of the entry point.
        #[arg(long)]
        entry_point: EntryPointVersion,
        /// The chain.
        #[arg(long)]
        chain_id: u64,
        /// The entry point, where it is not at its canonical address.
        #[arg(long)]
        entry_point_address: Option<Address>,
        /// The contract that an EIP-7702 account delegates to, which a packed operation does not name.
        #[arg(long)]
        delegate: Option<Address>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EntryPointVersion {
    #[value(name = "v0.6", aliases = ["0.6", "v0.6.0"])]
    V0_6,
    #[value(name = "v0.7", aliases = ["0.7", "v0.7.0"])]
    V0_7,
    #[value(name = "v0.8", aliases = ["0.8", "v0.8.0"])]
    V0_8,
    #[value(name = "v0.9", aliases = ["0.9", "v0.9.0"])]
    V0_9,
}

impl EntryPointVersion {
    const fn canonical_address(self) -> Address {
        match self {
            Self::V0_6 => address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            Self::V0_7 => address!("0000000071727De22E5E9d8BAf0edAc6f37da032"),
            Self::V0_8 => address!("4337084D9E255Ff0702461CF8895CE9E3b5Ff108"),
            Self::V0_9 => address!("433709009B8330FDa32311DF1C2AFA402eD8D009"),
        }
    }
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Hash { entry_point: version, chain_id, entry_point_address, delegate, output } = command;
    let entry_point = entry_point_address.unwrap_or(version.canonical_address());
    let operation: Value = read_stdin("a user operation")?;
    let user_op_hash = hash(operation, version, entry_point, chain_id, delegate)?;
    output.write(&Answer { user_op_hash }, |answer| answer.user_op_hash.to_string())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    user_op_hash: B256,
}

fn hash(
    operation: Value,
    version: EntryPointVersion,
    entry_point: Address,
    chain_id: u64,
    delegate: Option<Address>,
) -> anyhow::Result<B256> {
    if matches!(version, EntryPointVersion::V0_6) {
        let operation: UserOperation<Vec<u8>> = parse_value(operation, "a user operation of v0.6")?;
        return Ok(operation.hash(entry_point, chain_id));
    }
    let (operation, delegate) = if operation.get("accountGasLimits").is_some() {
        (parse_value::<PackedUserOperation<_>>(operation, "a packed user operation")?, delegate)
    } else {
        let operation: UnpackedUserOperation<_> =
            parse_value(operation, "a user operation of v0.7 or later")?;
        let named = match operation.init {
            Init::Delegated { delegate, .. } => Some(delegate),
            Init::Deployed | Init::Factory { .. } => None,
        };
        (operation.pack(), named.or(delegate))
    };
    Ok(match version {
        EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => operation.hash_v0_7(entry_point, chain_id),
        EntryPointVersion::V0_8 => operation.hash_v0_8(entry_point, chain_id, delegate)?,
        EntryPointVersion::V0_9 => operation.hash_v0_9(entry_point, chain_id, delegate)?,
    })
}
