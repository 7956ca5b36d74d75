use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use quorate_network::NetworkError;
use quorate_node::{ConfigError, NodeError, StorageError};
use quorate_protocol::NodeIndex;

use crate::{End, Part, Violation};

/// Why a run did not come to its end, or which rule the network broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// A file, a socket or a process that the run needs.
    #[error("cannot {action} {what}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A signal that could not be sent.
    #[error("cannot send a signal to {part}")]
    Signal {
        /// To whom.
        part: Part,
        /// What the system says.
        source: nix::Error,
    },
    /// The network's files could not be written.
    #[error("cannot write the network's files")]
    Initialize(#[from] NodeError),
    /// The gateway's configuration could not be changed.
    #[error("cannot change the gateway's configuration")]
    Config(#[from] ConfigError),
    /// A process that ended by itself, or not as it was told to.
    #[error("{part} ended with {status}; its log is {log}", log = log.display())]
    Ended {
        /// Which.
        part: Part,
        /// How.
        status: ExitStatus,
        /// What it wrote.
        log: PathBuf,
    },
    /// A process that does not come back or does not end, so that the run would wait for ever.
    #[error("{part} is not {state} after {seconds} s; its log is {log}", log = log.display())]
    Hangs {
        /// Which.
        part: Part,
        /// What was waited for.
        state: &'static str,
        /// For how long.
        seconds: u64,
        /// What it wrote.
        log: PathBuf,
    },
    /// No random bytes for the keys of the run.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The owner's signature.
    #[error("the owner cannot sign")]
    Owner(#[from] alloy_signer::Error),
    /// The key could not be made.
    #[error("the key cannot be made")]
    Key(#[source] NetworkError),
    /// An ephemeral key could not be registered.
    #[error("the ephemeral key cannot be registered")]
    Registration(#[source] NetworkError),
    /// An ephemeral key could not be revoked.
    #[error("the ephemeral key cannot be revoked")]
    Revocation(#[source] NetworkError),
    /// The key's id is none.
    #[error("the network gave the key the id {0}")]
    KeyId(String),
    /// An operation that ended neither signed nor refused by name.
    #[error("operation {operation} ended neither signed nor refused by name")]
    Unended {
        /// Its number.
        operation: u64,
        /// How it ended.
        source: NetworkError,
    },
    /// An operation that was refused, although every limit has room for it.
    #[error("operation {operation} was refused although its key has room for it")]
    Refused {
        /// Its number.
        operation: u64,
        /// How.
        source: NetworkError,
    },
    /// One operation more than the limit was signed, or refused for another reason.
    #[error("after exactly as many signatures as the limit allows, one more was {0}")]
    OneMore(String),
    /// A node's database cannot be read.
    #[error("cannot read the ledger of node {node}")]
    Ledger {
        /// Whose.
        node: NodeIndex,
        /// Why not.
        source: StorageError,
    },
    /// The nodes' ledgers do not count what they have to.
    #[error(transparent)]
    Count(#[from] Violation),
    /// A node that was not ended where it should, or something that did not come about when it was back.
    #[error("{end}: it was not reached, or not recovered from")]
    Crash {
        /// Where.
        end: End,
        /// What failed.
        source: Box<Self>,
    },
    /// A signature that nobody should get.
    #[error("an operation was signed {how}")]
    Signed {
        /// With whom or for whom.
        how: &'static str,
    },
    /// A ban that is lost, or one too many.
    #[error("node {node} cheated; that it is banned from the key should be {is_banned}, and is not")]
    Ban {
        /// Who cheated.
        node: NodeIndex,
        /// What is known of it on disk.
        is_banned: bool,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl ChaosError {
    pub(crate) fn io(action: &'static str, what: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { action, what, source }
    }
}
