//! `cargo xtask check`: what needs no tests to run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::command::{cargo, cargo_command, execute, target_directory, with_clippy};
use crate::stage::stage;
use crate::{firmware, fuzz};

/// Pinned, so that the same sources pass everywhere.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn run() -> anyhow::Result<()> {
    stage("examples of the documentation", examples)?;
    stage("packages", package)?;
    stage("licences and sources", deny)?;
    stage("clippy of the fuzz targets", fuzz::clippy)?;
    stage("fuzz targets", || fuzz::run(&fuzz::Arguments::default()))
}

/// Runs all checks while others test: with the processors that those leave, as deadlines pass in tests. Prints all that they have
/// said in one piece.
pub(crate) fn run_in_background() -> anyhow::Result<()> {
    let cargo = cargo_command(&["xtask", "check"]);
    let checks =
        Command::new("nice").args(["-n", "19"]).arg(cargo.get_program()).args(cargo.get_args()).output();
    let checks = checks.context("`nice` does not start")?;
    print!("{}{}", String::from_utf8_lossy(&checks.stdout), String::from_utf8_lossy(&checks.stderr));
    ensure!(checks.status.success(), "the checks beside the tests failed");
    Ok(())
}

/// With the libraries that the tests were built with.
fn examples() -> anyhow::Result<()> {
    let mut test = cargo_command(&["test", "--workspace", "--doc", "--features", firmware::EMULATED_DEVICE]);
    execute(with_clippy(&mut test))
}

/// Packs each crate as it would be published.
fn package() -> anyhow::Result<()> {
    cargo(&["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"])
}

/// Checks the dependencies; installs the checker beside the build's own output where it is missing.
fn deny() -> anyhow::Result<()> {
    let tools = target_directory().join("tools");
    let program = tools.join("bin/cargo-deny");
    if !is_pinned(&program) {
        let root = tools.to_str().context("the target folder's path is not UTF-8")?;
        cargo(&[
            "install",
            "cargo-deny",
            "--version",
            CARGO_DENY,
            "--locked",
            "--debug",
            "--force",
            "--root",
            root,
        ])?;
    }
    execute(Command::new(program).args(["check", "bans", "licenses", "sources"]))
}

fn is_pinned(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(CARGO_DENY))
}
