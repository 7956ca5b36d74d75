//! A use that a paymaster pays for against one that the account pays for, in turns.

use std::time::Instant;

use quorate::{Options, Session};

use super::Rounds;
use super::local_chain::{LocalChain, OwnedAccount};
use super::settle::drift;
use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::median;

pub(super) async fn run(
    chain: &LocalChain,
    rounds: Rounds,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    const WHAT: &str = "sponsored use";
    progress.begin(WHAT);
    let client = chain.connect(chain.node()?, chain.bundler()?, "sponsor.db").await?;
    let owned = chain.account(&client).await?;
    let unsponsored = owned.session().await?;
    let sponsored = unsponsored.clone().with_options(Options::new().sponsored_by(&chain.sponsor()?));
    let (mut sponsored_times, mut unsponsored_times) = (Vec::new(), Vec::new());
    for pair in 0..rounds.sponsored {
        progress.round(WHAT, pair, rounds.sponsored);
        let mut turns = [(&sponsored, &mut sponsored_times), (&unsponsored, &mut unsponsored_times)];
        if !pair.is_multiple_of(2) {
            turns.reverse();
        }
        for (session, times) in turns {
            drift(pair).await;
            times.push(timed_use(&owned, session).await?);
        }
    }
    let ratios = sponsored_times.iter().zip(&unsponsored_times).map(|(with, without)| with / without);
    Ok(vec![
        Goal::at_most("a sponsored use, in an unsponsored one", median(ratios), 1.3),
        Goal::shown("a sponsored use, milliseconds", median(sponsored_times.iter().copied())),
        Goal::shown("an unsponsored use, milliseconds", median(unsponsored_times.iter().copied())),
    ])
}

/// Milliseconds from the call to the receipt.
pub(super) async fn timed_use(owned: &OwnedAccount, session: &Session) -> anyhow::Result<f64> {
    let start = Instant::now();
    let call = owned.call(&owned.mint());
    session.send(call).await?.wait().await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    // The store learns what is over, and drops what has been for long.
    owned.account.sessions().await?;
    Ok(milliseconds)
}
