//! `cargo xtask fuzz`: the fuzz targets on mutations of their corpus, the same ones for the same seed.
//!
//! Where nightly, a C++ compiler and cargo-fuzz are at hand, cargo-fuzz looks further (`fuzz/README.md`).

use crate::command::cargo;

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Mutations for each target.
    #[arg(long, default_value_t = 1_000_000)]
    iterations: u64,
    /// What the mutations depend on.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Runs all targets, and fails on the first input that breaks a property, which is kept in `fuzz/artifacts`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = ["run", "--profile", "fuzz", "--package", "quorate-fuzz", "--bin", "smoke", "--"];
    cargo(&[&program[..], &[&arguments.iterations.to_string(), &arguments.seed.to_string()]].concat())
}
