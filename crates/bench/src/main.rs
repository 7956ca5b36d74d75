//! Benchmarks with goals: `cargo xtask bench <what>`.

mod core;
mod goal;
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
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { bench, quick, report } = Arguments::parse();
    let goals = match bench {
        Bench::Core => core::run(quick)?,
    };
    let lines: String = goals.iter().map(|goal| format!("{goal}\n")).collect();
    print!("{lines}");
    if let Some(file) = report {
        std::fs::write(file, lines)?;
    }
    let missed = goals.iter().any(|goal| !goal.is_met());
    Ok(if missed && !quick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
