//! `cargo xtask test`: everything that a change must pass, with the minutes of each stage.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::{bench, codegen, firmware, fuzz};

/// Pinned, so that the same sources pass everywhere.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn run() -> anyhow::Result<()> {
    stage("format", || {
        cargo(&["fmt", "--all", "--check"])?;
        firmware::check_format()?;
        fuzz::check_format()
    })?;
    stage("generated code", || codegen::run(&codegen::Arguments { check: true }))?;
    stage("core alone", || {
        cargo(&["build", "--release", "--package", "quorate-core", "--no-default-features"])
    })?;
    stage("clippy", || {
        cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
        fuzz::clippy()
    })?;
    stage("licences and sources", deny)?;
    stage("core with all features", || {
        cargo(&["test", "--release", "--package", "quorate-core", "--all-features"])
    })?;
    stage("fuzz", || fuzz::run(&fuzz::Arguments::default()))?;
    stage("tests", || cargo(&["test", "--release", "--workspace"]))?;
    stage("benchmarks", bench::quick)?;
    if firmware::has_target() {
        stage("firmware", firmware::run)
    } else {
        println!("== firmware: NOT TESTED, since rustup cannot add the device's target here");
        Ok(())
    }
}

fn stage(name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let start = Instant::now();
    run().with_context(|| format!("stage `{name}` failed"))?;
    println!("== {name}: {:.1} min", start.elapsed().as_secs_f64() / 60.0);
    Ok(())
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

pub(crate) fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

pub(crate) fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    execute(&mut cargo_command(arguments))
}

pub(crate) fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

pub(crate) fn execute(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
