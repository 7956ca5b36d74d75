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
    run_with("release", &arguments.bench)
}

/// A short run in the profile of the tests, which shows that the benchmarks work, and fail on no goal.
pub(crate) fn quick() -> anyhow::Result<()> {
    for what in ["core", "client"] {
        run_with("dev", &[what.to_owned(), "--quick".to_owned()])?;
    }
    Ok(())
}

fn run_with(profile: &str, arguments: &[String]) -> anyhow::Result<()> {
    let mut bench =
        cargo_command(&["run", "--quiet", "--profile", profile, "--package", "quorate-bench", "--"]);
    bench.args(arguments);
    if arguments.first().is_some_and(|what| what == "network") {
        bench.arg("--program").arg(program(profile)?).arg("--folder").arg(fresh_folder("bench-network")?);
    }
    execute(&mut bench)
}

/// Builds the program whose processes the network is made of.
fn program(profile: &str) -> anyhow::Result<PathBuf> {
    cargo(&["build", "--profile", profile, "--package", "quorate-cli"])?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_directory().join(folder).join("quorate"))
}
