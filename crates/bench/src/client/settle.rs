//! From send to receipt, by the client's wait and by asking the bundler each millisecond: operations of the same code,
//! in turns.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use anyhow::ensure;
use quorate::{LocalSessionKey, Quorate};
use quorate_bundler::Bundler;
use quorate_signer::sign_as_owner;

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
    let client = chain.connect(chain.node()?, chain.bundler()?, "settle.db").await?;
    let bundler = Bundler::new(chain.bundler()?);
    let creates = creates(chain, &client, &bundler, rounds.pairs, progress).await?;
    let uses = uses(chain, &client, &bundler, rounds.pairs, progress).await?;
    Ok(vec![
        Goal::at_most("settle create, in that by polling each millisecond", creates.ratio(), 1.1),
        Goal::shown("settle create, milliseconds", median(creates.waited.iter().copied())),
        Goal::shown("settle create by polling, milliseconds", median(creates.polled.iter().copied())),
        Goal::at_most("settle use, in that by polling each millisecond", uses.ratio(), 1.1),
        Goal::shown("settle use, milliseconds", median(uses.waited.iter().copied())),
        Goal::shown("settle use by polling, milliseconds", median(uses.polled.iter().copied())),
    ])
}

/// Milliseconds of each pair.
#[derive(Debug, Default)]
struct Pairs {
    waited: Vec<f64>,
    polled: Vec<f64>,
}

impl Pairs {
    fn push(&mut self, by: Wait, time: Duration) {
        let times = match by {
            Wait::Client => &mut self.waited,
            Wait::Polling => &mut self.polled,
        };
        times.push(time.as_secs_f64() * 1e3);
    }

    /// The median of the pairs' ratios, since what else the machine does meets both of a pair alike.
    fn ratio(&self) -> f64 {
        median(self.waited.iter().zip(&self.polled).map(|(waited, polled)| waited / polled))
    }
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Client,
    Polling,
}

const PAIR: [Wait; 2] = [Wait::Client, Wait::Polling];

/// Lets a pair's operations leave at any moment between two bundles, spread evenly over the pairs. Otherwise each would
/// leave so long after the bundle of the one before as that one's end was seen late, and would gain what that one lost.
pub(super) async fn drift(pair: usize) {
    const LONGEST_BUNDLE_INTERVAL: f64 = 0.1;
    const GOLDEN_RATIO: f64 = 0.618_034;
    let part = (f64::from(u32::try_from(pair).unwrap_or_default()) * GOLDEN_RATIO).fract();
    tokio::time::sleep(Duration::from_secs_f64(part * LONGEST_BUNDLE_INTERVAL)).await;
}

/// First grants of accounts of their own, so that all are alike.
async fn creates(
    chain: &LocalChain,
    client: &Quorate,
    bundler: &Bundler,
    pairs: usize,
    progress: &Progress,
) -> anyhow::Result<Pairs> {
    const WHAT: &str = "settle create";
    progress.begin(WHAT);
    let mut times = Pairs::default();
    for pair in 0..pairs {
        progress.round(WHAT, pair, pairs);
        for wait in PAIR {
            let owned = chain.account(client).await?;
            let grant = owned.account.grant([owned.policy()?])?;
            let draft = owned.account.prepare(grant, &LocalSessionKey::random()).await?;
            let signature = sign_as_owner(&owned.owner, draft.user_op_hash()).await?;
            drift(pair).await;
            let start = Instant::now();
            let pending = owned.account.submit(draft, &signature).await?;
            match wait {
                Wait::Client => drop(pending.wait().await?),
                Wait::Polling => poll(bundler, pending.user_op_hash()).await?,
            }
            times.push(wait, start.elapsed());
        }
    }
    Ok(times)
}

/// Calls of one session, each in a nonce stream of its own.
async fn uses(
    chain: &LocalChain,
    client: &Quorate,
    bundler: &Bundler,
    pairs: usize,
    progress: &Progress,
) -> anyhow::Result<Pairs> {
    const WHAT: &str = "settle use";
    progress.begin(WHAT);
    let owned = chain.account(client).await?;
    let session = owned.session().await?;
    let data = owned.mint();
    let mut times = Pairs::default();
    for pair in 0..pairs {
        progress.round(WHAT, pair, pairs);
        for wait in PAIR {
            let draft = session.prepare(owned.call(&data)).await?;
            drift(pair).await;
            let start = Instant::now();
            let pending = session.submit(draft).await?;
            match wait {
                Wait::Client => drop(pending.wait().await?),
                Wait::Polling => poll(bundler, pending.user_op_hash()).await?,
            }
            times.push(wait, start.elapsed());
            // The store learns what is over, and drops what has been for long.
            owned.account.sessions().await?;
        }
    }
    Ok(times)
}

async fn poll(bundler: &Bundler, user_op_hash: B256) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let receipt = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(receipt) = bundler.user_operation_receipt(user_op_hash).await? {
                return anyhow::Ok(receipt);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    ensure!(receipt.await??.success, "{user_op_hash} reverted");
    Ok(())
}
