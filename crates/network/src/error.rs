use std::time::Duration;

use quorate_protocol::{ClientError, Refusal};
use tokio_tungstenite::tungstenite;

/// Why the network gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The protocol's end: a refusal, or an answer that is not accepted.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No random bytes for a request.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The gateway cannot be reached, or the connection broke.
    #[error("the gateway {gateway} cannot be reached, or broke the connection")]
    Connection {
        /// The gateway, without user name, password or query.
        gateway: String,
        /// What the socket says.
        source: Box<tungstenite::Error>,
    },
    /// The gateway closed before it answered.
    #[error("the gateway closed the connection before it answered{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed {
        /// The reason it gave; often empty.
        reason: String,
    },
    /// Too slow.
    #[error("no answer from the signing network at {gateway} within {after:?}")]
    Deadline {
        /// The gateway, without user name, password or query.
        gateway: String,
        /// How long was waited.
        after: Duration,
    },
}

impl NetworkError {
    /// Whether the same call may succeed when it is made again: what was lost, late or spoilt on the way, and refusals
    /// that other nodes may change. An error that [needs a new challenge](Self::needs_new_challenge) is not transient: what an owner
    /// signed under the old one stays refused.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client(ClientError::Refused(refusal)) => refusal.is_transient(),
            Self::Connection { source, .. } => {
                use tungstenite::Error;
                let is_wrong = matches!(**source, Error::Url(_) | Error::HttpFormat(_) | Error::Tls(_));
                !is_wrong && !is_about_certificate(source)
            }
            _ => self.is_of_gateway(),
        }
    }

    /// Whether the challenge is over, so that the same may succeed once it is signed under a new one. A session key's signature is
    /// asked for under one challenge after the other; an owner has to sign again.
    pub const fn needs_new_challenge(&self) -> bool {
        matches!(self, Self::Client(ClientError::Refused(Refusal::Challenge | Refusal::Replayed)))
    }

    /// Whether another gateway may do better at once: what was lost, late or spoilt on the way, and what a gateway refuses
    /// for want of room, of nodes, or of a challenge that it gave.
    pub(crate) const fn is_of_gateway(&self) -> bool {
        match self {
            Self::Client(error) => match error {
                ClientError::Refused(refusal) => matches!(
                    refusal,
                    Refusal::Busy | Refusal::Unfinished { .. } | Refusal::Nodes { .. } | Refusal::Challenge
                ),
                ClientError::Answer(_)
                | ClientError::OtherAnswer
                | ClientError::Challenge
                | ClientError::Signature { .. } => true,
                _ => false,
            },
            Self::Connection { .. } | Self::Closed { .. } | Self::Deadline { .. } => true,
            Self::Random(_) => false,
        }
    }

    /// The one of two that says more: that a gateway was not heard says less than what another one answered.
    pub(crate) fn or(self, earlier: Option<Self>) -> Self {
        match (self, earlier) {
            (Self::Deadline { .. }, Some(earlier)) => earlier,
            (Self::Connection { .. } | Self::Closed { .. }, Some(earlier @ Self::Client(_))) => earlier,
            (error, _) => error,
        }
    }
}

/// Whether the gateway's certificate is none that is believed for it.
fn is_about_certificate(error: &tungstenite::Error) -> bool {
    let tungstenite::Error::Io(error) = error else { return false };
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
