//! `cargo xtask fuzz`: the fuzz targets on mutations of their corpus, the same ones for the same seed.
//!
//! Where nightly, a C++ compiler and cargo-fuzz are at hand, `cargo +nightly fuzz run <target>` looks further.

use crate::command::{cargo, target_directory};

/// Outside of the workspace, and so named in each command.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Mutations for each target.
    #[arg(long, default_value_t = 200_000)]
    iterations: u64,
    /// What the mutations depend on.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { iterations: 200_000, seed: 0 }
    }
}

/// Runs all targets, and fails on the first input that breaks a property, which is kept in `fuzz/artifacts`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let target_directory = target_directory();
    cargo(&[
        "run",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--target-dir",
        &target_directory.to_string_lossy(),
        "--no-default-features",
        "--bin",
        "smoke",
        "--",
        &arguments.iterations.to_string(),
        &arguments.seed.to_string(),
    ])
}

/// Checks the formatting, which the workspace's own check does not see.
pub(crate) fn check_format() -> anyhow::Result<()> {
    cargo(&["fmt", "--manifest-path", MANIFEST, "--check"])
}

/// Checks the code, the programs for libFuzzer included.
pub(crate) fn clippy() -> anyhow::Result<()> {
    let target_directory = target_directory();
    cargo(&[
        "clippy",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--target-dir",
        &target_directory.to_string_lossy(),
        "--no-default-features",
        "--features",
        "libfuzzer",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])
}
