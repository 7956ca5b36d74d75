//! `quorate grant`: what a grant allows, in words.

use alloy_primitives::{Address, B256, U256};
use clap::Subcommand;
use quorate_contracts::Deployment;
use quorate_core::{EncodeError, ReviewState, SessionEpoch, SessionLeaf, TrustedContext};
use serde::Deserialize;
use serde_json::Value;

use super::shown::Shown;
use super::user_op::{Operation, Place, ShownArguments};
use super::{arguments, read_stdin};
use crate::clock;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a user operation that grants sessions allows, from its bytes, and check that the sessions are those.
    ///
    /// Reads {operation, leaves: [{sessionKeyData, validUntil?, validAfter?, sessionValidationModule?}]}, with all
    /// sessions of the account in the order of their tree; gives {items: [{severity, label, value}], lines, userOpHash,
    /// refusal}.
    Review(ShownArguments),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Review(ShownArguments { place, functions, output }) = command;
    let Request { operation, leaves } = read_stdin("a request {operation, leaves}")?;
    let operation = Operation::read(operation, place)?;
    let mut shown = Shown::default();
    let hash = review(&operation, place, &leaves, &functions, &mut shown);
    shown.write("userOpHash", hash, output)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    operation: Value,
    leaves: Vec<Leaf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Leaf {
    #[serde(deserialize_with = "quorate_core::json::bytes")]
    session_key_data: Vec<u8>,
    #[serde(default, deserialize_with = "quorate_core::json::number")]
    valid_until: U256,
    #[serde(default, deserialize_with = "quorate_core::json::number")]
    valid_after: U256,
    #[serde(default = "abi_session_validation_module", deserialize_with = "quorate_core::json::address")]
    session_validation_module: Address,
}

const fn abi_session_validation_module() -> Address {
    Deployment::canonical().abi_session_validation_module
}

/// Shows what an operation does, with the sessions that it grants; gives its hash.
pub(super) fn review(
    operation: &Operation,
    place: Place,
    leaves: &[Leaf],
    functions: &[String],
    shown: &mut Shown,
) -> anyhow::Result<B256> {
    let functions = arguments::known_functions(functions);
    let trusted = TrustedContext { functions: &functions, ..TrustedContext::CANONICAL };
    let mut state: ReviewState<'_, _, 64> = ReviewState::new(trusted, shown).with_lints(clock::known(), &[]);
    let mut sessions = state.review(place.target(), &operation.head(place)?)?;
    for leaf in leaves {
        sessions = sessions.session(&leaf.as_session_leaf()?)?;
    }
    Ok(sessions.calls().piece(operation.call_data())?.finish()?)
}

impl Leaf {
    fn as_session_leaf(&self) -> Result<SessionLeaf<'_>, EncodeError> {
        let time = |time: U256| u64::try_from(time).unwrap_or(u64::MAX);
        Ok(SessionLeaf {
            epoch: SessionEpoch::new(time(self.valid_after), time(self.valid_until))?,
            validation_module: self.session_validation_module,
            session_key_data: &self.session_key_data,
        })
    }
}
