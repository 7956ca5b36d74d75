//! `cargo xtask test`: everything that a change must pass, with the minutes of each stage.

use std::path::PathBuf;

use crate::command::cargo;
use crate::stage::stage;
use crate::{browser, check, firmware, suite};

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
    check::run()?;
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
    if signer.is_some() { firmware::hold_stack(&said_by_device) } else { Ok(()) }
}
