//! The client against the original SDK: the same grants and uses on the same chain and bundler, in turns, and what a use
//! computes.

use std::path::Path;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use anyhow::ensure;
use quorate::{LocalSessionKey, Quorate};

use super::Rounds;
use super::computation::{Computation, Signing};
use super::local_chain::LocalChain;
use super::original::{Original, PollingInterval};
use super::settle::drift;
use super::sponsor::timed_use;
use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::{Interval, median};

/// As often as the bundler bundles at most.
const QUICKEST: PollingInterval = PollingInterval::Milliseconds(20);

pub(super) async fn run(
    chain: &LocalChain,
    cache: &Path,
    rounds: Rounds,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    let mut original = Original::start(chain, cache, progress).await?;
    let client = chain.connect(chain.node()?, chain.bundler()?, "compare.db").await?;

    let creates = pairs_of_creates(chain, &client, &mut original, rounds.compared, progress).await?;
    let uses = pairs_of_uses(chain, &client, &mut original, QUICKEST, rounds.compared, progress).await?;
    let defaults = PollingInterval::Default;
    let at_defaults =
        pairs_of_uses(chain, &client, &mut original, defaults, rounds.at_defaults, progress).await?;
    let mut goals = vec![
        Goal::interval_at_most(
            "create less the original's at 20 ms, milliseconds",
            creates.difference(),
            0.0,
        ),
        Goal::shown("create, milliseconds", median(creates.ours.iter().copied())),
        Goal::shown("create by the original at 20 ms, milliseconds", median(creates.theirs.iter().copied())),
        Goal::interval_at_most("use less the original's at 20 ms, milliseconds", uses.difference(), 0.0),
        Goal::shown("use, milliseconds", median(uses.ours.iter().copied())),
        Goal::shown("use by the original at 20 ms, milliseconds", median(uses.theirs.iter().copied())),
        Goal::at_least("use by the original at its defaults, in Quorate's", at_defaults.ratio(), 30.0),
        Goal::shown("use by the original, milliseconds", median(at_defaults.theirs.iter().copied())),
    ];
    goals.extend(computation(chain, &mut original, rounds.computed, progress).await?);
    Ok(goals)
}

/// Milliseconds of each pair, from the call to the receipt.
#[derive(Debug, Default)]
struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Of the pairs, since what else the machine does meets both of a pair alike.
    fn difference(&self) -> Interval {
        Interval::of(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours - theirs))
    }

    /// How many times as long the original takes.
    fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours))
    }
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Ours,
    Theirs,
}

/// Who goes first changes from pair to pair.
const fn turns(pair: usize) -> [Side; 2] {
    if pair.is_multiple_of(2) { [Side::Ours, Side::Theirs] } else { [Side::Theirs, Side::Ours] }
}

/// First grants of accounts of their own, by the same operation: it deploys the account, enables the session key
/// manager and sets the root. Both make the session's key meanwhile.
async fn pairs_of_creates(
    chain: &LocalChain,
    client: &Quorate,
    original: &mut Original,
    pairs: usize,
    progress: &Progress,
) -> anyhow::Result<Pairs> {
    const WHAT: &str = "create, in turns with the original";
    progress.begin(WHAT);
    let mut times = Pairs::default();
    for pair in 0..pairs {
        progress.round(WHAT, pair, pairs);
        for side in turns(pair) {
            match side {
                Side::Ours => {
                    let owned = chain.account(client).await?;
                    drift(pair).await;
                    let start = Instant::now();
                    let grant = owned.account.grant([owned.policy()?])?;
                    owned.account.send(grant, &LocalSessionKey::random(), &owned.owner).await?.wait().await?;
                    times.ours.push(start.elapsed().as_secs_f64() * 1e3);
                }
                Side::Theirs => {
                    original.account(chain).await?;
                    drift(pair).await;
                    times.theirs.push(original.create(QUICKEST).await?);
                }
            }
        }
    }
    Ok(times)
}

/// Mints by one session of each, each in a nonce stream that is new.
async fn pairs_of_uses(
    chain: &LocalChain,
    client: &Quorate,
    original: &mut Original,
    interval: PollingInterval,
    pairs: usize,
    progress: &Progress,
) -> anyhow::Result<Pairs> {
    let what = match interval {
        PollingInterval::Default => "use, in turns with the original at its defaults",
        PollingInterval::Milliseconds(_) => "use, in turns with the original",
    };
    progress.begin(what);
    let owned = chain.account(client).await?;
    let session = owned.session().await?;
    original.account(chain).await?;
    original.create(QUICKEST).await?;
    // The original makes its client for the session, and learns that the account is deployed.
    original.use_session(QUICKEST).await?;
    let mut times = Pairs::default();
    for pair in 0..pairs {
        progress.round(what, pair, pairs);
        for side in turns(pair) {
            drift(pair).await;
            match side {
                Side::Ours => times.ours.push(timed_use(&owned, &session).await?),
                Side::Theirs => times.theirs.push(original.use_session(interval).await?),
            }
        }
    }
    Ok(times)
}

/// What a use computes, by both the same: the results are compared.
async fn computation(
    chain: &LocalChain,
    original: &mut Original,
    iterations: u32,
    progress: &Progress,
) -> anyhow::Result<[Goal; 6]> {
    progress.begin("what a use computes");
    let computation = Computation {
        account: Address::repeat_byte(0xac),
        session_key: B256::repeat_byte(0x5e),
        nft: chain.devnet().nft(),
        chain_id: chain.devnet().chain_id(),
    };
    let mut measure = async |signing| {
        let theirs = original.compute(&computation, signing, iterations).await?;
        ensure!(
            *theirs.signature == *computation.signature(signing).await?,
            "the two computed something else"
        );
        Ok((computation.microseconds(signing, iterations).await?, theirs.microseconds))
    };
    let (ours, theirs) = measure(Signing::Made).await?;
    let (unsigned, theirs_unsigned) = measure(Signing::Given).await?;
    Ok([
        // Four fifths of ours are the signature.
        Goal::at_least("CPU of a use by the original, in Quorate's", theirs / ours, 15.0),
        Goal::shown("CPU of a use, microseconds", ours),
        Goal::shown("CPU of a use by the original, microseconds", theirs),
        Goal::at_least("CPU of it but for the signature, in Quorate's", theirs_unsigned / unsigned, 40.0),
        Goal::shown("CPU of a use but for the signature, microseconds", unsigned),
        Goal::shown("CPU of it by the original, microseconds", theirs_unsigned),
    ])
}
