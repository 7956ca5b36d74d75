//! `cargo xtask bench`: runs the benchmarks, which are a program of their own.

use crate::test::{cargo_command, execute};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure, and how; `--help` says more.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut bench = cargo_command(&["run", "--quiet", "--release", "--package", "quorate-bench", "--"]);
    execute(bench.args(&arguments.bench))
}

/// A short run, which shows that the benchmarks work, and fails on no goal.
pub(crate) fn quick() -> anyhow::Result<()> {
    run(&Arguments { bench: vec!["core".to_owned(), "--quick".to_owned()] })
}
