//! `cargo xtask bench`: runs the benchmarks, which are a program of their own.

use crate::command::{cargo_command, execute};

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
    execute(bench.args(arguments))
}
