//! `cargo xtask bench`: runs the benchmarks, which are a program of their own.

use std::path::PathBuf;

use crate::command::{cargo, cargo_command, execute, fresh_folder, target_directory};

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

/// Builds the program whose processes the network is made of.
fn program() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--profile", RELEASE, "--package", "quorate-cli"])?;
    Ok(target_directory().join(RELEASE).join("quorate"))
}

const RELEASE: &str = "release";
