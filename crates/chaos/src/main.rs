//! Breaks a signing network while it signs: `cargo xtask chaos`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use quorate_chaos::{ChaosError, Report, Settings, run};

/// Kills, stops and restarts the processes of a signing network while it signs, and checks what they have counted.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos")]
struct Arguments {
    /// The `quorate` program.
    #[arg(long)]
    program: PathBuf,
    /// Where the network's files and logs are written; it must not hold a network already.
    #[arg(long)]
    folder: PathBuf,
    /// How many operations are asked for.
    #[arg(long)]
    signatures: u32,
    /// How many times a process is killed.
    #[arg(long)]
    kills: u32,
    /// What all random choices follow from.
    #[arg(long)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { program, folder, signatures, kills, seed } = Arguments::parse();
    let settings = Settings { program, folder, seed, signatures, kills };
    match run_until_interrupted(&settings).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seed {}: {}", settings.seed, with_sources(&error));
            eprintln!("the network's files and logs are in {}", settings.folder.display());
            ExitCode::FAILURE
        }
    }
}

/// An interrupt ends the processes, too, also those that are stopped.
async fn run_until_interrupted(settings: &Settings) -> Result<Report, ChaosError> {
    tokio::select! {
        done = run(settings, &|words| eprintln!("{words}")) => done,
        _ = tokio::signal::ctrl_c() => Err(ChaosError::Interrupted),
    }
}

fn with_sources(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
