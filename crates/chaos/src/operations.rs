//! Clients that ask for signatures, a few at once, as far as they are allowed to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_network::NetworkError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::session::Session;

/// Operations that are asked for in the order of their numbers, from 1.
pub(crate) struct Operations {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    session: Arc<Session>,
    all: usize,
    next: AtomicUsize,
    /// Up to which number they may be asked for, so that the network is never broken after the last one.
    allowed: watch::Sender<usize>,
    /// How many have ended.
    ended: watch::Sender<usize>,
    outcomes: Mutex<Vec<Outcome>>,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) operation: u64,
    pub(crate) took: Duration,
    pub(crate) result: Result<(), NetworkError>,
}

/// What the client met on its way.
#[derive(Debug, Default)]
pub struct Counts {
    retries: AtomicU64,
    lost_connections: AtomicU64,
}

/// How many operations are under way at once.
pub(crate) const AT_ONCE: usize = 4;

impl Operations {
    pub(crate) fn begin(session: &Arc<Session>, all: usize) -> Self {
        let shared = Arc::new(Shared {
            session: Arc::clone(session),
            all,
            next: AtomicUsize::new(1),
            allowed: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            outcomes: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for _ in 0..AT_ONCE {
            workers.spawn(Arc::clone(&shared).work());
        }
        Self { shared, workers }
    }

    /// Has `ended` operations end, and leaves further ones under way.
    pub(crate) async fn until(&self, ended: usize) {
        self.shared.allowed.send_replace(ended + AT_ONCE);
        // The sender is here.
        let _ = self.shared.ended.subscribe().wait_for(|so_far| *so_far >= ended).await;
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> usize {
        *self.shared.ended.borrow()
    }

    /// The median time of those that have ended.
    pub(crate) fn median(&self) -> Duration {
        let outcomes = self.shared.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times: Vec<_> = outcomes.iter().map(|outcome| outcome.took).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Has all operations end.
    pub(crate) async fn finish(self) -> Vec<Outcome> {
        let Self { shared, workers } = self;
        shared.allowed.send_replace(shared.all);
        workers.join_all().await;
        std::mem::take(&mut *shared.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    async fn work(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number > self.all {
                return;
            }
            let _ = self.allowed.subscribe().wait_for(|allowed| number <= *allowed).await;
            let (operation, began) = (number as u64, Instant::now());
            let result = self.session.sign(operation).await;
            let outcome = Outcome { operation, took: began.elapsed(), result };
            self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
            self.ended.send_modify(|ended| *ended += 1);
        }
    }
}

impl Counts {
    /// Counts an error after which the client tries again.
    pub(crate) fn note(&self, error: &NetworkError) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        if matches!(error, NetworkError::Connection { .. } | NetworkError::Closed { .. }) {
            self.lost_connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it tried again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn lost_connections(&self) -> u64 {
        self.lost_connections.load(Ordering::Relaxed)
    }
}
