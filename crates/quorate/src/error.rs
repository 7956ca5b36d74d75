use std::time::Duration;

use alloy_primitives::{Address, B256};
use quorate_bundler::BundlerError;
use quorate_core::{Mistake, Refusal};
use quorate_network::NetworkError;
use quorate_protocol::{MessageError, PermissionsError};
use quorate_signer::SignerError;
use quorate_transport::{BuildError, TransportError};

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain's node.
    #[error("the chain's node gave no answer")]
    Chain(#[from] TransportError),
    /// An endpoint's URL, or the system's HTTP client.
    #[error(transparent)]
    Endpoint(#[from] BuildError),
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The bundler.
    #[error(transparent)]
    Bundler(#[from] BundlerError),
    /// The signing network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Whoever was to sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A contract answered something else than its ABI says.
    #[error("{contract} did not answer {function} as it should; is it deployed on this chain?")]
    Contract {
        /// What was called.
        function: &'static str,
        /// Where.
        contract: Address,
        /// What is wrong with the answer.
        source: alloy_sol_types::Error,
    },
    /// A grant without a policy.
    #[error("a session needs at least one policy")]
    NoPolicy,
    /// A policy that is evidently not what was meant.
    #[error("policy {policy}: {mistake}; allow mistakes explicitly if this is meant")]
    Mistake {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What is odd about it.
        mistake: Mistake,
    },
    /// The account has sessions that this grant does not know of, and that it would end.
    #[error(
        "the account's session root on chain is {found}, expected {expected}: another device made sessions that this \
         grant would end; pass their leaves to keep them"
    )]
    ForeignRoot {
        /// The root of the leaves given; zero where there are none.
        expected: B256,
        /// The root on chain.
        found: B256,
    },
    /// No policy of the session allows the call; nothing was sent.
    #[error("the session forbids the call: {refusal}")]
    Forbidden {
        /// What the policy nearest to allowing it found.
        refusal: Refusal,
    },
    /// The operation is in a block, and its call reverted.
    #[error("user operation {user_op_hash} is in a block, but its call reverted{}", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Reverted {
        /// The operation.
        user_op_hash: B256,
        /// Why, where the bundler says so.
        reason: Option<String>,
    },
    /// Not in a block yet. The operation may still get there: wait again by its hash.
    #[error("user operation {user_op_hash} is not in a block after {} s; wait again later", after.as_secs())]
    Timeout {
        /// The operation.
        user_op_hash: B256,
        /// How long was waited.
        after: Duration,
    },
    /// Something stored that cannot be read.
    #[error("the stored {what} cannot be read")]
    Stored {
        /// What it should be.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The stored permissions.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// The stored operation.
    #[error(transparent)]
    Message(#[from] MessageError),
}
