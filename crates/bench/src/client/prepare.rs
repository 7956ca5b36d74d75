//! Everything before the first byte of an operation: how long it takes, and how many round trips one after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use async_trait::async_trait;
use quorate::LocalSessionKey;
use quorate_signer::sign_as_owner;
use quorate_transport::{Repeat, Transport, TransportError};
use serde_json::Value;

use super::Rounds;
use super::local_chain::LocalChain;
use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::median;

pub(super) async fn run(
    chain: &LocalChain,
    rounds: Rounds,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    let log = Log::default();
    let (node, bundler) = (log.of(chain.node()?), log.of(chain.bundler()?));
    let client = chain.connect(node, bundler, "prepare.db").await?;

    progress.begin("prepare use");
    let owned = chain.account(&client).await?;
    let session = owned.session().await?;
    let data = owned.mint();
    let mut uses = Vec::new();
    for _ in 0..rounds.prepared {
        let start = log.restart();
        let pending = session.submit(session.prepare(owned.call(&data)).await?).await?;
        uses.push(log.before_send(start)?);
        pending.wait().await?;
        owned.account.sessions().await?;
    }

    progress.begin("prepare create");
    let mut creates = Vec::new();
    for _ in 0..rounds.prepared {
        let owned = chain.account(&client).await?;
        let start = log.restart();
        let grant = owned.account.grant([owned.policy()?])?;
        let draft = owned.account.prepare(grant, &LocalSessionKey::random()).await?;
        let signature = sign_as_owner(&owned.owner, draft.user_op_hash()).await?;
        let pending = owned.account.submit(draft, &signature).await?;
        creates.push(log.before_send(start)?);
        pending.wait().await?;
    }

    Ok(vec![
        Goal::at_most("prepare use, round trips", most_round_trips(&uses), 3.0),
        Goal::shown("prepare use, milliseconds", median(uses.iter().map(|use_| use_.milliseconds))),
        Goal::at_most("prepare create, round trips", most_round_trips(&creates), 4.0),
        Goal::shown("prepare create, milliseconds", median(creates.iter().map(|create| create.milliseconds))),
    ])
}

/// What happened before an operation was sent.
#[derive(Debug)]
struct Prepared {
    milliseconds: f64,
    round_trips: u32,
}

fn most_round_trips(prepared: &[Prepared]) -> f64 {
    prepared.iter().map(|prepared| prepared.round_trips).max().map_or(f64::NAN, f64::from)
}

/// Requests that were answered, to whichever endpoint.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Request>>>);

#[derive(Clone, Copy, Debug)]
struct Request<T = Instant> {
    is_send: bool,
    start: T,
    end: T,
}

impl Log {
    fn of(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Logged { transport, log: self.clone() })
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was.
    fn restart(&self) -> Instant {
        self.requests().clear();
        Instant::now()
    }

    fn before_send(&self, start: Instant) -> anyhow::Result<Prepared> {
        let requests = self.requests();
        let send = requests.iter().find(|request| request.is_send).context("nothing was sent")?;
        let before = requests.iter().filter(|request| request.start < send.start).copied();
        let milliseconds = send.start.duration_since(start).as_secs_f64() * 1e3;
        Ok(Prepared { milliseconds, round_trips: longest_chain(before.collect()) })
    }
}

/// How many requests follow one another at most, each begun after the one before had ended.
fn longest_chain<T: Copy + Ord>(mut requests: Vec<Request<T>>) -> u32 {
    requests.sort_by_key(|request| request.end);
    let mut last = None;
    let mut length = 0;
    for request in requests {
        if last.is_none_or(|last| last <= request.start) {
            last = Some(request.end);
            length += 1;
        }
    }
    length
}

/// A transport whose requests are logged.
#[derive(Debug)]
struct Logged {
    transport: Arc<dyn Transport>,
    log: Log,
}

#[async_trait]
impl Transport for Logged {
    async fn request(&self, method: &str, params: Value, repeat: Repeat) -> Result<Value, TransportError> {
        let start = Instant::now();
        // A node on the same machine can answer before this is polled a second time, and requests that are made
        // together would look like one after the other.
        tokio::task::yield_now().await;
        let answer = self.transport.request(method, params, repeat).await;
        let is_send = method == "eth_sendUserOperation";
        self.log.requests().push(Request { is_send, start, end: Instant::now() });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_at_the_same_time_are_one_round_trip() {
        let chain = |requests: &[(u32, u32)]| {
            let request = |&(start, end)| Request { is_send: false, start, end };
            longest_chain(requests.iter().map(request).collect())
        };
        assert_eq!(chain(&[]), 0);
        assert_eq!(chain(&[(0, 5), (1, 3), (2, 9)]), 1);
        assert_eq!(chain(&[(0, 9), (0, 2), (2, 4), (4, 9), (5, 9)]), 3);
    }
}
