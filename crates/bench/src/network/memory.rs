//! Whether the programs' memory grows with what they have signed.

use std::time::Duration;

use super::load::{End, Load};
use super::scene::Scene;
use super::usage::anonymous_mebibytes;
use crate::goal::Goal;

const FIRST: usize = 1_000;
const ALL: usize = 10_000;
const CLIENTS: usize = 4;

/// For how long nothing is asked for before the memory is read: longer than nodes remember a nonce.
const QUIET: Duration = Duration::from_secs(90);

/// By how much the memory of the program that grew most has grown, between the first signatures of fresh programs and the
/// last.
pub(super) async fn run(scene: &mut Scene) -> anyhow::Result<Goal> {
    scene.restart().await?;
    let before = after(scene, FIRST).await?;
    let grown =
        after(scene, ALL - FIRST).await?.into_iter().zip(before).map(|(after, before)| after - before);
    let most = grown.fold(f64::NEG_INFINITY, f64::max);
    Ok(Goal::at_most("memory, 10 000 signatures over 1 000, MiB", most, 8.0))
}

/// Each program's memory after so many signatures more.
async fn after(scene: &Scene, signatures: usize) -> anyhow::Result<Vec<f64>> {
    let load = Load { clients: CLIENTS, per_second: None, end: End::After(signatures) };
    load.run(&scene.keys).await?.all()?;
    tokio::time::sleep(QUIET).await;
    scene.pids().into_iter().map(anonymous_mebibytes).collect()
}
