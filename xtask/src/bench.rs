//! `cargo xtask bench`: runs the benchmarks, which are a program of their own.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{cargo, cargo_command, execute, fresh_folder, target_directory};
use crate::firmware::EMULATED_DEVICE;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure, and how; `--help` says more.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

/// Measures what is shipped: the release profile.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut bench =
        cargo_command(&["run", "--quiet", "--profile", RELEASE, "--package", "quorate-bench", "--"]);
    bench.args(&arguments.bench);
    if arguments.bench.first().is_some_and(|what| what == "network") {
        bench.arg("--program").arg(program()?).arg("--folder").arg(fresh_folder("bench-network")?);
    }
    execute(&mut bench)
}

/// A short run in the profile of the tests, which shows that the benchmarks work, and fail on no goal. What they need was built with
/// the tests, with the emulated device or without.
pub(crate) fn quick(with_device: bool) -> anyhow::Result<()> {
    let mut build = cargo_command(&["build", "--workspace", "--bin", "quorate-bench"]);
    if with_device {
        build.args(["--features", EMULATED_DEVICE]);
    }
    execute(&mut build)?;
    for what in ["core", "client"] {
        execute(Command::new(target_directory().join("debug/quorate-bench")).args([what, "--quick"]))?;
    }
    Ok(())
}

/// Builds the program whose processes the network is made of.
fn program() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--profile", RELEASE, "--package", "quorate-cli"])?;
    Ok(target_directory().join(RELEASE).join("quorate"))
}

const RELEASE: &str = "release";
