//! How much of an operation a bundler simulates before it takes it.

use serde::{Deserialize, Serialize};

/// How much of an operation a Biconomy bundler simulates before it takes it.
///
/// Other bundlers are not told: the standard has no such parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Simulation {
    /// The validation, as ERC-4337 asks for.
    Validation,
    /// The validation and the call, so that an operation whose call reverts is refused instead of paid for.
    ValidationAndExecution,
}

/// The third parameter of a Biconomy bundler's `eth_sendUserOperation`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SendOptions {
    pub(crate) simulation_type: Simulation,
}
