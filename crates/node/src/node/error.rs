//! Why a node's task ends without a result, and what the client is told.

use quorate_ledger::{ChargeError, Denied, SettleError};
use quorate_mpc::{Abort, InvalidPartyIndex, InvalidQuorum};
use quorate_protocol::{NodeIndex, Refusal};
use tokio::task::JoinError;

use super::ledgers::LedgerError;
use super::run::RunError;
use crate::error::reasons;
use crate::storage::StorageError;

/// Why a task ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// A refusal, in the words for the client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Messages of a peer that did not come.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What the threshold library makes of the peers' messages.
    #[error(transparent)]
    Abort(#[from] Abort),
    /// The ledger of the key.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A peer sent what no honest one sends.
    #[error("what node {peer} sent cannot be used: {reason}")]
    Peer { peer: NodeIndex, reason: String },
    /// A peer that this node's share is never used together with.
    #[error("node {peer} is banned: this node never uses the key together with it again")]
    Banned { peer: NodeIndex },
    /// A peer that has cheated just now; its ban is on disk.
    #[error("node {peer} cheated, and is banned: this node never uses the key together with it again")]
    Cheated { peer: NodeIndex },
    /// A signature of no key.
    #[error("the signature that came out is not the session key's, and is withheld")]
    BadSignature,
    /// The computation ended by itself.
    #[error("a round's computation was stopped")]
    Stopped(#[from] JoinError),
    /// An index that is no party's.
    #[error(transparent)]
    Party(#[from] InvalidPartyIndex),
    /// A quorum that is none.
    #[error(transparent)]
    Quorum(#[from] InvalidQuorum),
}

impl TaskError {
    /// What the client is told by node `me`.
    pub(crate) fn into_refusal(self, me: NodeIndex) -> Refusal {
        let failed = |peer, reason: String| Refusal::Failed { node: me, peer, reason: reason.into() };
        match self {
            Self::Refused(refusal) => refusal,
            Self::Run(RunError::Silent { peer, .. }) => Refusal::Silent { node: me, peer },
            Self::Run(RunError::Degenerate(peer)) => failed(peer, reasons(&RunError::Degenerate(peer))),
            Self::Peer { peer, reason } => failed(peer, reason),
            Self::Banned { peer } | Self::Cheated { peer } => Refusal::Banned { node: me, peer },
            Self::Abort(abort) => match abort.blamed().and_then(|party| NodeIndex::new(party.get())) {
                Some(peer) if peer != me => failed(peer, reasons(&abort)),
                _ => unfinished(me, &abort),
            },
            Self::Ledger(
                LedgerError::Charge(ChargeError::Denied(denied))
                | LedgerError::Settle(SettleError::Denied(denied)),
            ) => denied_refusal(denied),
            Self::Ledger(LedgerError::Charge(ChargeError::JournalFull { held, most, .. })) => {
                Refusal::JournalFull { node: me, held, most }
            }
            other => unfinished(me, &other),
        }
    }
}

fn unfinished(me: NodeIndex, error: &dyn std::error::Error) -> Refusal {
    Refusal::Unfinished { reason: format!("node {me}: {}", reasons(error)).into() }
}

fn denied_refusal(denied: Denied) -> Refusal {
    match denied {
        Denied::Refused { dimension, limit, kept, asked, .. } => {
            Refusal::Limit { limited: dimension.to_string().into(), total: kept.saturating_add(asked), limit }
        }
        Denied::Contended { dimension, limit, kept, live, asked, .. } => Refusal::Contended {
            limited: dimension.to_string().into(),
            total: kept.saturating_add(asked).saturating_add(live),
            limit,
        },
        // Of no kind that this version knows: nothing is signed.
        other => Refusal::Unfinished { reason: other.to_string().into() },
    }
}
