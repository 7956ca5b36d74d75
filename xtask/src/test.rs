//! `cargo xtask test`: everything that a change must pass, with the minutes of each stage.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

use crate::command::{cargo, execute, target_directory};
use crate::{bench, browser, codegen, firmware, fuzz, suite};

/// Pinned, so that the same sources pass everywhere.
const CARGO_DENY: &str = "0.20.2";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this crate, by the name of its folder: its format, clippy and its tests.
    package: Option<String>,
    /// Leave out the emulated device, for a toolchain that cannot build for its target.
    #[arg(long)]
    without_device: bool,
    /// Leave out the browser, where Chromium cannot be had.
    #[arg(long)]
    without_browser: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.package {
        Some(folder) => run_one(folder),
        None => run_all(arguments),
    }
}

fn run_one(folder: &str) -> anyhow::Result<()> {
    let package = match folder {
        "quorate" | "xtask" => folder.to_owned(),
        folder => format!("quorate-{}", folder.trim_start_matches("quorate-")),
    };
    stage("format", || cargo(&["fmt", "--package", &package, "--check"]))?;
    stage("clippy", || {
        cargo(&["clippy", "--package", &package, "--all-targets", "--", "--deny", "warnings"])
    })?;
    stage("tests", || cargo(&["test", "--package", &package]))
}

fn run_all(arguments: &Arguments) -> anyhow::Result<()> {
    stage("format", || {
        cargo(&["fmt", "--all", "--check"])?;
        firmware::check_format()?;
        fuzz::check_format()
    })?;
    stage("generated code", || codegen::run(&codegen::Arguments { check: true }))?;
    check()?;
    let signer = if arguments.without_device {
        println!("== firmware: NOT TESTED, as asked");
        None
    } else {
        Some(stage("firmware", || firmware::prepare(&[]))?)
    };
    let chromium = if arguments.without_browser {
        println!("== browser: NOT TESTED, as asked");
        PathBuf::new()
    } else {
        stage("browser", browser::prepare).unwrap_or_else(|error| {
            println!("== browser: NOT TESTED: {error:#}");
            PathBuf::new()
        })
    };
    let programs = stage("build", || suite::build(signer.is_some()))?;
    let said_by_device = stage("tests", || suite::run(programs, signer.as_deref(), &chromium))?;
    stage("examples of the documentation", || {
        cargo(&["test", "--workspace", "--doc", "--features", firmware::EMULATED_DEVICE])
    })?;
    stage("benchmarks", || bench::quick(signer.is_some()))?;
    if signer.is_some() { firmware::hold_stack(&said_by_device) } else { Ok(()) }
}

/// What takes the processors for itself. Beside the tests it would have deadlines pass that others wait for.
fn check() -> anyhow::Result<()> {
    stage("core alone", || cargo(&["build", "--package", "quorate-core", "--no-default-features"]))?;
    stage("clippy", || {
        let features = ["--features", firmware::EMULATED_DEVICE];
        cargo(
            &[&["clippy", "--workspace", "--all-targets"], &features[..], &["--", "--deny", "warnings"]]
                .concat(),
        )?;
        fuzz::clippy()
    })?;
    stage("licences and sources", deny)?;
    stage("packages", package)?;
    stage("fuzz", || fuzz::run(&fuzz::Arguments::default()))
}

fn stage<T>(name: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let done = run().with_context(|| format!("stage `{name}` failed"))?;
    println!("== {name}: {:.1} min", start.elapsed().as_secs_f64() / 60.0);
    Ok(done)
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
