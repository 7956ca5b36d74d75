//! `cargo xtask test`: everything that a change must pass, with the minutes of each stage.

use std::path::PathBuf;
use std::thread;

use crate::command::cargo;
use crate::stage::stage;
use crate::{browser, check, codegen, firmware, fuzz, suite};

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
    stage("core alone", || cargo(&["build", "--package", "quorate-core", "--no-default-features"]))?;
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
    let programs = stage("build and clippy", || suite::build(signer.is_some()))?;
    let said_by_device = thread::scope(|scope| {
        let checks = scope.spawn(check::run_in_background);
        let tested = stage("tests", || suite::run(programs, signer.as_deref(), &chromium));
        let checked = checks.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        tested.and_then(|said| checked.map(|()| said))
    })?;
    if signer.is_some() { firmware::hold_stack(&said_by_device) } else { Ok(()) }
}
