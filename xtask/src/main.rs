//! Development tasks: `cargo xtask <task>`.

mod bench;
mod browser;
mod chaos;
mod check;
mod codegen;
mod command;
mod debian;
mod firmware;
mod fuzz;
mod stage;
mod suite;
mod test;

use clap::{Parser, Subcommand};

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Chaos(arguments) => chaos::run(&arguments),
        Task::Check => check::run(),
        Task::Codegen(arguments) => codegen::run(&arguments),
        Task::Firmware => firmware::run(),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Screenshots => browser::screenshots(),
        Task::Test(arguments) => test::run(&arguments),
    }
}

/// Development tasks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure `core`, `client` or `network`, and hold what is measured to its goals; with `--quick` or `--report FILE`.
    Bench(bench::Arguments),
    /// Kill, stop and restart the processes of a signing network while it signs, and check what they have counted.
    Chaos(chaos::Arguments),
    /// Check what needs no tests: format, generated code, clippy, licences and packages.
    Check,
    /// Write what is generated, or check that it is up to date.
    Codegen(codegen::Arguments),
    /// Build the hardware signer, and have it sign a grant in QEMU.
    Firmware,
    /// Run the fuzz targets on mutations of their corpus, without libFuzzer.
    Fuzz(fuzz::Arguments),
    /// Take the README's pictures of the approval page, in Chromium.
    Screenshots,
    /// Run everything that a change must pass, or what concerns one crate.
    Test(test::Arguments),
}
