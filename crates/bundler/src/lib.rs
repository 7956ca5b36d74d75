#![doc = include_str!("../README.md")]

mod code;
mod dialect;
mod endpoint;
mod error;
mod fallback;
pub mod number;
mod operation;
mod operation_event;
mod outcome;
mod overrides;
mod receipt;
mod remedy;
mod revert;
mod simulation;
mod status;
mod types;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use futures_util::future::{join, join_all};
use quorate_transport::Transport;

pub use code::EntryPointCode;
pub use dialect::{Dialect, FeeAdvice};
pub use error::BundlerError;
pub use operation::{SignedOperation, SignedPackedOperation};
pub use operation_event::{EntryPointLogs, OperationEvent};
pub use outcome::SendOutcome;
pub use overrides::{AccountOverride, StateOverride};
pub use receipt::{Log, TransactionReceipt, UserOperationReceipt};
pub use revert::Revert;
pub use simulation::Simulation;
pub use status::OperationStatus;
pub use types::{Fees, GasEstimate, PackedGasEstimate, UserOperationByHash};

use endpoint::Endpoint;

/// A bundler, or several of the same chain in order of preference.
///
/// Clones share what was found out about the bundlers' dialects.
#[derive(Clone, Debug)]
pub struct Bundler {
    first: Endpoint,
    others: Vec<Endpoint>,
}

impl Bundler {
    /// The bundler at the other end of a transport. Its dialect is found out when it is needed first.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { first: Endpoint::new(transport), others: Vec::new() }
    }

    /// Names the dialect, of the fallbacks that were added before too, so that it is not found out.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.first.set_dialect(dialect);
        for other in &mut self.others {
            other.set_dialect(dialect);
        }
        self
    }

    /// Adds bundlers of the same chain, in order of preference, that are asked where those before them fail.
    ///
    /// - What is read is asked of the next one where one gives an error that says nothing of the operation, or has no
    ///   answer for a hash.
    /// - An operation is sent to the next one only where nothing of it was sent before. Where it is
    ///   [open](SendOutcome::Open) whether one took it, all are asked for it by its hash, and it is sent to no other.
    #[must_use]
    pub fn with_fallbacks(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        for other in others {
            self.others.push(other.first);
            self.others.extend(other.others);
        }
        self
    }

    /// Asks what an operation needs in gas. Its signature has to be of the right form, not right
    /// (`eth_estimateUserOperationGas`).
    ///
    /// With `overrides`, the bundler assumes them instead of the chain's state; bundlers that know of no third parameter
    /// then reject the request.
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] if the operation's validation or its call reverts.
    pub async fn estimate_user_operation_gas<O: SignedOperation>(
        &self,
        operation: &O,
        entry_point: Address,
        overrides: Option<&StateOverride>,
    ) -> Result<O::Estimate, BundlerError> {
        fallback::read(
            &self.first,
            &self.others,
            |_| true,
            |endpoint| endpoint.estimate(operation, entry_point, overrides),
        )
        .await
    }

    /// Sends an operation, and gives its hash (`eth_sendUserOperation`). That the bundler knows it already is the same
    /// answer.
    ///
    /// `simulation` is told to a Biconomy bundler only; where the dialect is not known it is found out first.
    ///
    /// # Errors
    /// [`BundlerError::Rejected`] if the bundler does not take it, [`BundlerError::OtherHash`] if it took something
    /// else, [`BundlerError::UnknownDialect`] if it is not known whether the bundler takes `simulation`. What any error
    /// says of the operation is [`BundlerError::send_outcome`].
    pub async fn send_user_operation(
        &self,
        operation: &impl SignedOperation,
        entry_point: Address,
        chain_id: u64,
        simulation: Option<Simulation>,
    ) -> Result<B256, BundlerError> {
        let hash = operation.hash(entry_point, chain_id);
        let mut sent = self.first.send(operation, entry_point, hash, simulation).await;
        for other in &self.others {
            if !sent.as_ref().is_err_and(|error| error.send_outcome() == SendOutcome::NotSent) {
                break;
            }
            sent = other.send(operation, entry_point, hash, simulation).await;
        }
        match sent {
            // Whoever took it, `OtherHash` says that the caller is wrong about the chain or the entry point.
            Err(error @ BundlerError::OtherHash { .. }) => Err(error),
            Err(error) if !self.others.is_empty() && error.send_outcome() == SendOutcome::Open => {
                let found = self.user_operation_by_hash(hash).await;
                if matches!(found, Ok(Some(_))) { Ok(hash) } else { Err(error) }
            }
            sent => sent,
        }
    }

    /// How an operation ended; none while it is not in a block (`eth_getUserOperationReceipt`).
    ///
    /// None is also an error by which the bundler says that it does not find the operation. A receipt without a hash is
    /// taken for that of the operation asked for.
    ///
    /// # Errors
    /// A transport error, a receipt that cannot be read, or [`BundlerError::OtherReceipt`]. After some of them,
    /// [`BundlerError::is_transient`], asking again may help.
    pub async fn user_operation_receipt(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationReceipt>, BundlerError> {
        fallback::read(&self.first, &self.others, Option::is_some, |endpoint| endpoint.receipt(user_op_hash))
            .await
    }

    /// An operation by its hash; none if the bundler does not know it, also if it says so by an error
    /// (`eth_getUserOperationByHash`).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn user_operation_by_hash(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationByHash>, BundlerError> {
        fallback::read(&self.first, &self.others, Option::is_some, |endpoint| endpoint.by_hash(user_op_hash))
            .await
    }

    /// What the bundler says of an operation that was sent, before and after it is in a block
    /// (`pimlico_getUserOperationStatus`, `biconomy_getUserOperationStatus`, or what `eth_getUserOperationByHash`
    /// tells).
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn user_operation_status(&self, user_op_hash: B256) -> Result<OperationStatus, BundlerError> {
        let is_found = |status: &OperationStatus| *status != OperationStatus::Unknown;
        fallback::read(&self.first, &self.others, is_found, |endpoint| endpoint.status(user_op_hash)).await
    }

    /// The entry points that the bundler serves (`eth_supportedEntryPoints`); of several bundlers those that all serve
    /// which could be reached.
    ///
    /// # Errors
    /// A transport error, or an answer that cannot be read.
    pub async fn supported_entry_points(&self) -> Result<Vec<Address>, BundlerError> {
        let others = join_all(self.others.iter().map(Endpoint::supported_entry_points));
        let (first, others) = join(self.first.supported_entry_points(), others).await;
        fallback::common_entry_points(first, others)
    }

    /// The bundler's chain (`eth_chainId`); of several bundlers that of all which could be reached.
    ///
    /// # Errors
    /// [`BundlerError::DifferentChains`] where they do not agree, a transport error, or an answer that cannot be read.
    pub async fn chain_id(&self) -> Result<u64, BundlerError> {
        let others = join_all(self.others.iter().map(Endpoint::chain_id));
        let (first, others) = join(self.first.chain_id(), others).await;
        fallback::common_chain(first, others)
    }

    /// The fees that the bundler asks for at present, by the method of its [`Dialect`].
    ///
    /// None where the bundler has no such method, whether it says so by a JSON-RPC error, by an HTTP status such as 404,
    /// by `null` or by another shape of answer. Ask the chain's node then.
    ///
    /// Where the dialect is not known, it is asked by the methods of all of them at once, and the first that has an
    /// answer is remembered: Pimlico, then Rundler, then Biconomy, or else the standard.
    ///
    /// # Errors
    /// A transport error that says nothing of the method: a rate limit, a timeout, a server that fails. The bundler's
    /// fees are not known then, and another source may be too low for it. No dialect is remembered.
    pub async fn fees(&self) -> Result<Option<FeeAdvice>, BundlerError> {
        fallback::read(&self.first, &self.others, |_| true, Endpoint::fees).await
    }
}
