//! The client against polling each millisecond and against the original SDK on a local chain, and with many sessions
//! in its store.

mod compare;
mod computation;
mod local_chain;
mod memory;
mod original;
mod prepare;
mod redeem;
mod settle;
mod sponsor;
mod store;
mod stored_sessions;

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::goal::Goal;
use crate::progress::Progress;

use local_chain::LocalChain;

pub(crate) use memory::listing_memory;

/// How often each thing is done.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    /// Operations sent in pairs: one is waited for by the client, one is polled for.
    pairs: usize,
    /// Operations of which the preparation is looked at.
    prepared: usize,
    /// Operations that the original sends in turns with the client, at its quickest.
    compared: usize,
    /// The same at its defaults, which take five seconds each.
    at_defaults: usize,
    /// How often the computation of a use is repeated.
    computed: u32,
    /// Uses of which one is sponsored and one is not.
    sponsored: usize,
    /// Redemptions of a delegation, each with the same transaction as a wallet sends it.
    redeemed: usize,
    lists: usize,
    uses: usize,
    /// Programs that list stored sessions.
    programs: usize,
}

impl Rounds {
    const fn new(quick: bool) -> Self {
        if quick {
            Self {
                pairs: 3,
                prepared: 2,
                compared: 2,
                at_defaults: 1,
                computed: 20,
                sponsored: 2,
                redeemed: 2,
                lists: 3,
                uses: 5,
                programs: 1,
            }
        } else {
            Self {
                pairs: 151,
                prepared: 21,
                compared: 101,
                at_defaults: 5,
                computed: 1000,
                sponsored: 101,
                redeemed: 201,
                lists: 21,
                uses: 201,
                programs: 5,
            }
        }
    }
}

pub(crate) fn run(cache: &Path, quick: bool) -> anyhow::Result<Vec<Goal>> {
    let rounds = Rounds::new(quick);
    let progress = Arc::new(Progress::default());
    let goals = Runtime::new()?.block_on(async {
        let chain = LocalChain::start(cache, &progress).await?;
        let mut goals = settle::run(&chain, rounds, &progress).await?;
        goals.extend(prepare::run(&chain, rounds, &progress).await?);
        goals.extend(sponsor::run(&chain, rounds, &progress).await?);
        goals.extend(redeem::run(&chain, rounds, &progress).await?);
        goals.extend(compare::run(&chain, cache, rounds, &progress).await?);
        chain.shutdown().await;
        goals.extend(store::run(rounds, &progress).await?);
        Ok(goals)
    });
    progress.end();
    goals
}
