//! How many signatures a second the machine sustains, of those that it could compute if it did nothing else.

use std::thread::available_parallelism;
use std::time::Duration;

use super::Rounds;
use super::load::{End, Load};
use super::reference::Reference;
use super::scene::Scene;
use super::usage::{cpu_of_program, cpu_of_this_program};
use crate::goal::Goal;
use crate::progress::Progress;

/// How many clients are tried.
const CLIENTS: [usize; 3] = [2, 4, 8];

/// For how long, and at which part of what was sustained, not one signature may fail; and the clients that ask for them.
const LONG: Duration = Duration::from_secs(300);
const LONG_PART: f64 = 0.8;
const LONG_CLIENTS: usize = 32;

pub(super) async fn run(
    scene: &Scene,
    reference: Reference,
    rounds: Rounds,
    long: bool,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    progress.begin("how many clients get most signatures");
    let clients = best_number_of_clients(scene, rounds.tried).await?;

    progress.begin("sustained signatures");
    let (own_before, network_before) = (cpu_of_this_program()?, cpu_of_network(scene)?);
    let load = Load { clients, per_second: None, end: End::In(rounds.sustained) };
    let signed = load.run(&scene.keys).await?.all()?;
    let seconds = signed.count() / signed.per_second();
    let own_cores = (cpu_of_this_program()? - own_before) / seconds;
    let cpu_a_signature = (cpu_of_network(scene)? - network_before) / signed.count();
    let cores = available_parallelism()?.get() as f64;
    let computable = (cores - own_cores) / reference.cpu_seconds;
    let mut goals = vec![
        Goal::shown("sustained, clients", clients as f64),
        Goal::shown("sustained, signatures a second", signed.per_second()),
        Goal::shown("sustained, cores taken by the client", own_cores),
        Goal::shown(
            "sustained, the network's CPU / the reference's",
            cpu_a_signature / reference.cpu_seconds,
        ),
        Goal::at_least("sustained / computable by the cores", signed.per_second() / computable, 0.7),
    ];

    if long {
        progress.begin("five minutes at 80 %");
        let per_second = Some(signed.per_second() * LONG_PART);
        let signed = Load { clients: LONG_CLIENTS, per_second, end: End::In(LONG) }.run(&scene.keys).await?;
        for failure in signed.failures() {
            eprintln!("a signature was not given: {failure}");
        }
        goals.extend([
            Goal::shown("five minutes at 80 %, milliseconds", signed.median()),
            Goal::shown("five minutes at 80 %, 99th percentile", signed.percentile(99)),
            Goal::at_most("five minutes at 80 %, failed", signed.failures().len() as f64, 0.0),
        ]);
    }
    Ok(goals)
}

async fn best_number_of_clients(scene: &Scene, tried: Duration) -> anyhow::Result<usize> {
    let mut best = (0.0, 1);
    for clients in CLIENTS {
        let load = Load { clients, per_second: None, end: End::In(tried) };
        let per_second = load.run(&scene.keys).await?.all()?.per_second();
        if per_second > best.0 {
            best = (per_second, clients);
        }
    }
    Ok(best.1)
}

fn cpu_of_network(scene: &Scene) -> anyhow::Result<f64> {
    scene.pids().into_iter().map(cpu_of_program).sum()
}
