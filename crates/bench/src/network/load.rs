//! Clients that ask for signatures, each for the next one when it has the last, or all together at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use quorate_network::NetworkError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::scene::Key;
use crate::ratio::{median, percentile};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How many clients ask, each under one of the keys.
    pub(super) clients: usize,
    /// How many signatures a second are due; without it, each is due when the client has the last one.
    pub(super) per_second: Option<f64>,
    pub(super) end: End,
}

/// When no more signatures are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// After so many.
    After(usize),
    /// After a while.
    In(Duration),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Signed {
    /// From when each was due to when the client had it.
    milliseconds: Vec<f64>,
    failures: Vec<NetworkError>,
    took: Duration,
}

struct Schedule {
    began: Instant,
    load: Load,
    taken: AtomicUsize,
}

/// One client asks for so many signatures, one after the other.
pub(super) async fn one_client(keys: &[Arc<Key>], signatures: usize) -> anyhow::Result<Signed> {
    Load { clients: 1, per_second: None, end: End::After(signatures) }.run(keys).await?.all()
}

impl Load {
    /// Asks for signatures until the end, and waits for the last ones.
    pub(super) async fn run(self, keys: &[Arc<Key>]) -> anyhow::Result<Signed> {
        let began = Instant::now();
        let schedule = Arc::new(Schedule { began, load: self, taken: AtomicUsize::new(0) });
        let mut clients = JoinSet::new();
        for key in keys.iter().cycle().take(self.clients) {
            clients.spawn(Arc::clone(&schedule).work(Arc::clone(key)));
        }
        let mut all = Signed::default();
        while let Some(one) = clients.join_next().await {
            let one = one?;
            all.milliseconds.extend(one.milliseconds);
            all.failures.extend(one.failures);
        }
        Ok(Signed { took: began.elapsed(), ..all })
    }
}

impl Schedule {
    async fn work(self: Arc<Self>, key: Arc<Key>) -> Signed {
        let mut signed = Signed::default();
        while let Some(due) = self.next() {
            sleep_until(due).await;
            match key.sign().await {
                Ok(()) => signed.milliseconds.push(due.elapsed().as_secs_f64() * 1e3),
                Err(error) => signed.failures.push(error),
            }
        }
        signed
    }

    /// When the next signature is due; none at the end.
    fn next(&self) -> Option<Instant> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let due = match self.load.per_second {
            Some(rate) => self.began + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        let is_due = match self.load.end {
            End::After(signatures) => number < signatures,
            End::In(time) => due < self.began + time,
        };
        is_due.then_some(due)
    }
}

impl Signed {
    /// The same where not one may have failed.
    pub(super) fn all(mut self) -> anyhow::Result<Self> {
        match self.failures.pop() {
            Some(error) => Err(error).context("a signature was not given"),
            None => Ok(self),
        }
    }

    pub(super) fn median(&self) -> f64 {
        median(self.milliseconds.iter().copied())
    }

    pub(super) fn percentile(&self, percent: usize) -> f64 {
        percentile(self.milliseconds.iter().copied(), percent)
    }

    pub(super) fn per_second(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    pub(super) fn count(&self) -> f64 {
        self.milliseconds.len() as f64
    }

    pub(super) fn failures(&self) -> &[NetworkError] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(per_second: Option<f64>, end: End) -> Schedule {
        let load = Load { clients: 1, per_second, end };
        Schedule { began: Instant::now(), load, taken: AtomicUsize::new(0) }
    }

    #[test]
    fn signatures_are_due_at_the_rate_whenever_the_last_one_ended() {
        let steady = schedule(Some(4.0), End::In(Duration::from_secs(1)));
        let due: Vec<_> = std::iter::from_fn(|| steady.next()).map(|due| due - steady.began).collect();
        assert_eq!(due, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn a_closed_loop_ends_after_so_many() {
        let closed = schedule(None, End::After(3));
        assert_eq!(std::iter::from_fn(|| closed.next()).count(), 3);
    }
}
