//! `cargo xtask check`: what needs no tests to run.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::command::{cargo, execute, target_directory};
use crate::stage::stage;
use crate::{codegen, firmware};

/// Pinned, so that the same sources pass everywhere.
const CARGO_DENY: &str = "0.20.2";

/// It takes the processors for itself: beside the tests it would have deadlines pass that others wait for.
pub(crate) fn run() -> anyhow::Result<()> {
    stage("format", || {
        cargo(&["fmt", "--all", "--check"])?;
        firmware::check_format()
    })?;
    stage("generated code", || codegen::run(&codegen::Arguments { check: true }))?;
    stage("core alone", || cargo(&["build", "--package", "quorate-core", "--no-default-features"]))?;
    stage("clippy", || {
        let features = format!("{},{LIBFUZZER}", firmware::EMULATED_DEVICE);
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            &features,
            "--",
            "--deny",
            "warnings",
        ])
    })?;
    stage("licences and sources", deny)?;
    stage("packages", package)
}

/// The fuzz targets' programs with libFuzzer, which are not linked here.
const LIBFUZZER: &str = "quorate-fuzz/libfuzzer";

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
