//! Benchmarks with goals: `cargo xtask bench <what>`.

mod client;
mod core;
mod goal;
mod network;
mod progress;
mod ratio;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures, prints a line for each goal, and fails when one is missed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// A short run that never fails on a goal.
    #[arg(long, global = true)]
    quick: bool,
    /// Also write the lines to this file.
    #[arg(long, global = true)]
    report: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The core's encoders, hashes, tree and evaluator, against bare keccak256 and alloy's encoder.
    Core,
    /// The client: how long it waits, prepares and lists, and how long the original SDK takes.
    Client {
        /// Where npm packages and compiled contracts are kept between runs.
        #[arg(long, default_value = "target/tmp/devnet")]
        cache: PathBuf,
    },
    /// The signing network: five nodes and a gateway on this machine, against the computation of a signature alone.
    Network(network::Arguments),
    /// Prints how many bytes it takes to list the sessions stored in a folder; `client` starts it.
    #[command(hide = true)]
    ListingMemory {
        /// The folder.
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { bench, quick, report } = Arguments::parse();
    let goals = match bench {
        Bench::Core => core::run(quick)?,
        Bench::Client { cache } => client::run(&cache, quick)?,
        Bench::Network(arguments) => network::run(&arguments, quick)?,
        Bench::ListingMemory { folder } => {
            println!("{}", client::listing_memory(&folder)?);
            return Ok(ExitCode::SUCCESS);
        }
    };
    let lines: String = goals.iter().map(|goal| format!("{goal}\n")).collect();
    print!("{lines}");
    if let Some(file) = report {
        std::fs::write(file, lines)?;
    }
    let missed = goals.iter().any(|goal| !goal.is_met());
    Ok(if missed && !quick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
