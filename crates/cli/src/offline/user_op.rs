//! `quorate user-op`: the hash of a user operation at any entry point.

use alloy_primitives::{Address, B256};
use clap::Subcommand;
use quorate_core::{
    Domain, EntryPointVersion, HashError, Initialization, OperationHead, PackedUserOperation, UnpackError,
    UnpackedUserOperation, UserOperation,
};
use serde::Serialize;
use serde_json::Value;

use super::json::parse_with;
use super::{Output, arguments, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute a user operation's hash; gives {userOpHash}.
    ///
    /// Reads the operation as bundlers take it, or from v0.7 on packed as the contract takes it. A signature may be
    /// there; no hash covers it.
    Hash {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
}

/// Where an operation is to run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Place {
    /// The version of the entry point.
    #[arg(long, default_value = "v0.6", value_parser = arguments::entry_point_version())]
    entry_point: EntryPointVersion,
    /// The chain.
    #[arg(long)]
    chain_id: u64,
    /// The entry point, where it is not at its canonical address.
    #[arg(long, value_parser = arguments::address)]
    entry_point_address: Option<Address>,
    /// The contract that an EIP-7702 account delegates to, which a packed operation does not name.
    #[arg(long, value_parser = arguments::address)]
    delegate: Option<Address>,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Hash { place, output } = command;
    let operation = Operation::read(read_stdin("a user operation")?, place)?;
    let user_op_hash = operation.hash(place)?;
    output.write(&Answer { user_op_hash }, |answer| answer.user_op_hash.to_string())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    user_op_hash: B256,
}

impl Place {
    pub(crate) fn target(&self) -> Domain {
        let entry_point = self.entry_point_address.unwrap_or(self.entry_point.address());
        Domain { entry_point, chain_id: self.chain_id }
    }
}

/// A user operation of some entry point.
pub(crate) enum Operation {
    V0_6(UserOperation<Vec<u8>>),
    Later { operation: PackedUserOperation<Vec<u8>>, delegate: Option<Address> },
}

impl Operation {
    pub(crate) fn read(operation: Value, place: Place) -> anyhow::Result<Self> {
        if matches!(place.entry_point, EntryPointVersion::V0_6) {
            return Ok(Self::V0_6(parse_with(operation, "a user operation of v0.6")?));
        }
        if operation.get("accountGasLimits").is_some() {
            let operation = parse_with(operation, "a packed user operation")?;
            return Ok(Self::Later { operation, delegate: place.delegate });
        }
        let operation: UnpackedUserOperation<_> = parse_with(operation, "a user operation of v0.7 or later")?;
        let named = match operation.init {
            Initialization::Delegated { .. } if matches!(place.entry_point, EntryPointVersion::V0_7) => {
                return Err(HashError::DelegatedAtV0_7.into());
            }
            Initialization::Delegated { delegate, .. } => Some(delegate),
            Initialization::Deployed | Initialization::Factory { .. } => None,
        };
        Ok(Self::Later { operation: operation.pack(), delegate: named.or(place.delegate) })
    }

    fn hash(&self, place: Place) -> Result<B256, HashError> {
        let Domain { entry_point, chain_id } = place.target();
        match self {
            Self::V0_6(operation) => Ok(operation.hash(entry_point, chain_id)),
            Self::Later { operation, delegate } => match place.entry_point {
                EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => {
                    Ok(operation.hash_v0_7(entry_point, chain_id))
                }
                EntryPointVersion::V0_8 => operation.hash_v0_8(entry_point, chain_id, *delegate),
                EntryPointVersion::V0_9 => operation.hash_v0_9(entry_point, chain_id, *delegate),
            },
        }
    }

    pub(crate) fn call_data(&self) -> &[u8] {
        match self {
            Self::V0_6(operation) => &operation.call_data,
            Self::Later { operation, .. } => &operation.call_data,
        }
    }

    pub(crate) fn head(&self, place: Place) -> Result<OperationHead<'_>, UnpackError> {
        Ok(match self {
            Self::V0_6(operation) => OperationHead::V0_6(operation.without_call_data()),
            Self::Later { operation, delegate } => {
                let operation = operation.unpack(place.entry_point, *delegate)?.with_call_data(());
                match place.entry_point {
                    EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => OperationHead::V0_7(operation),
                    EntryPointVersion::V0_8 => OperationHead::V0_8(operation),
                    EntryPointVersion::V0_9 => OperationHead::V0_9(operation),
                }
            }
        })
    }
}
