use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_protocol::Nonce;

/// How long a challenge is good for.
pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(60);

/// How many open nonces a node keeps; beyond that the oldest are forgotten, so their requests are refused.
const MAX_NONCES: usize = 100_000;

/// The nonces that this node gave out and that have not expired.
///
/// They live in memory only: after a restart every open challenge is unknown, and the client asks for another.
#[derive(Default)]
pub(crate) struct Nonces {
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    at: BTreeMap<Nonce, Instant>,
    /// Oldest first.
    order: VecDeque<Nonce>,
}

impl Nonces {
    /// Gives out a fresh one.
    pub(crate) fn give(&self) -> Result<Nonce, getrandom::Error> {
        let mut nonce = Nonce::ZERO;
        getrandom::fill(nonce.as_mut_slice())?;
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = given.order.front().copied() {
            let is_over = given.at.get(&oldest).is_none_or(|at| at.elapsed() >= NONCE_LIFETIME);
            if !is_over && given.order.len() < MAX_NONCES {
                break;
            }
            given.order.pop_front();
            given.at.remove(&oldest);
        }
        given.at.insert(nonce, Instant::now());
        given.order.push_back(nonce);
        Ok(nonce)
    }

    /// Whether this node gave a nonce out within its lifetime.
    pub(crate) fn is_good(&self, nonce: &Nonce) -> bool {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.at.get(nonce).is_some_and(|at| at.elapsed() < NONCE_LIFETIME)
    }
}
