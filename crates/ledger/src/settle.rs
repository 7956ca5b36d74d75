//! The last decision before the first signing round.

use quorate_protocol::NodeIndex;

use crate::mutant::Mutant;
use crate::totals::check;
use crate::{AttemptId, Charged, Denied, KeyId, KeyLedger, Limits, Nonce, SigningRun};

/// An operation that is kept for good: the first signing round may begin.
#[derive(Debug)]
#[must_use = "the signing rounds need it"]
pub struct Approved {
    /// The key that signs.
    pub key: KeyId,
    /// The operation's nonce.
    pub nonce: Nonce,
}

/// Why the signing rounds may not begin. An attempt that is still live has to be withdrawn then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The operation does not fit under a limit, with what peers told.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Another signer's journal was not read to its end.
    #[error("the journals of nodes {unread:?} have to be read to their end before the operation is settled")]
    Unread {
        /// The signers whose journals were not read to the end.
        unread: Vec<NodeIndex>,
    },
    /// The attempt was withdrawn.
    #[error(
        "attempt {attempt} was withdrawn, or was not made since the ledger was loaded; it needs another charge"
    )]
    Gone {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The operation is another key's.
    #[error("the operation is of key {}, the ledger of key {}", .found.get(), .expected.get())]
    OtherKey {
        /// The operation's key.
        found: KeyId,
        /// The ledger's.
        expected: KeyId,
    },
}

impl KeyLedger {
    /// Checks a charged operation against everything that is kept and live here and at the other signers, and keeps it.
    ///
    /// Both happen in one step, and nothing is written: the row is durable since the charge.
    ///
    /// # Errors
    /// No room under a limit, a journal that was not read to its end, or an attempt that was withdrawn meanwhile. The
    /// attempt is as live as before; withdraw it.
    pub fn settle(&mut self, run: SigningRun, limits: &Limits) -> Result<Approved, SettleError> {
        let unread: Vec<_> = run.requests().into_iter().map(|(peer, _)| peer).collect();
        let SigningRun { charged: Charged { key, nonce, counted, attempt }, readings } = run;
        if key != self.key {
            return Err(SettleError::OtherKey { found: key, expected: self.key });
        }
        if !unread.is_empty() {
            return Err(SettleError::Unread { unread });
        }
        if let Some(attempt) = attempt.filter(|attempt| !self.live.contains_key(&attempt.place())) {
            return Err(SettleError::Gone { attempt });
        }
        let mut live = self.live_amounts();
        if !self.has(Mutant::PeersLiveIgnored) {
            let told = readings.values().flat_map(|reading| &reading.live);
            live.extend(told.map(|(nonce, counted)| (*nonce, counted)));
        }
        check(&self.kept, &live, nonce, &counted, limits)?;
        if let Some(attempt) = attempt {
            self.keep(attempt);
        }
        Ok(Approved { key, nonce })
    }
}
