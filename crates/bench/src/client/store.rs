//! What 10 000 stored sessions cost who lists them, and who uses one.

use std::time::Instant;

use super::Rounds;
use super::memory;
use super::stored_sessions::StoredSessions;
use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::median;

pub(super) async fn run(rounds: Rounds, progress: &Progress) -> anyhow::Result<Vec<Goal>> {
    progress.begin("stores of 1, 5 000 and 10 000 sessions");
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let [of_one, of_half, of_all] = folders.each_ref().map(tempfile::TempDir::path);
    let (one, the_only) = StoredSessions::create(of_one, 1).await?;
    StoredSessions::create(of_half, 5_000).await?;
    let (all, in_the_middle) = StoredSessions::create(of_all, 10_000).await?;

    progress.begin("list 10 000 sessions");
    let (mut lists, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..rounds.lists {
        let start = Instant::now();
        let listed = all.account.sessions().await?;
        lists.push(milliseconds(start));
        anyhow::ensure!(listed.len() == 10_000 && listed.iter().all(|session| session.status.is_usable()));
        let start = Instant::now();
        all.store().sessions(all.account.id()).await?;
        reads.push(milliseconds(start));
    }

    progress.begin("use one of 10 000 sessions");
    let (mut of_many, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..rounds.uses {
        let start = Instant::now();
        all.use_session(&in_the_middle).await?;
        of_many.push(milliseconds(start));
        let start = Instant::now();
        one.use_session(&the_only).await?;
        alone.push(milliseconds(start));
    }
    let (of_many, alone) = (median(of_many), median(alone));

    progress.begin("memory of a list");
    let half = memory::of_listing(of_half, rounds.programs)?;
    let whole = memory::of_listing(of_all, rounds.programs)?;

    Ok(vec![
        Goal::at_most("list of 10 000 sessions, milliseconds", median(lists), 100.0),
        Goal::shown("of which the store reads 10 000, milliseconds", median(reads)),
        Goal::at_most("use of one of 10 000 above a single one, milliseconds", of_many - alone, 2.0),
        Goal::shown("use of a single one, milliseconds", alone),
        Goal::at_most("memory of listing 10 000, in that of 5 000", whole / half, 2.3),
        Goal::shown("memory of listing 10 000, MiB", whole / f64::from(1 << 20)),
    ])
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
