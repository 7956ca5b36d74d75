//! The workspace's tests, several programs at a time.
//!
//! `cargo test` runs one program after the other, and many of them mostly wait: for deadlines, for other processes, for a
//! chain's next block.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::{cargo, cargo_command};

/// How many programs run at once: with more, tests on a machine of two cores starve each other.
const AT_ONCE: usize = 2;

/// A test program.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    /// Integration tests come first: they take longest, and the short ones fill what is left.
    is_of_units: bool,
    /// The package and the target.
    name: String,
    executable: PathBuf,
    /// Where cargo runs it.
    folder: PathBuf,
}

/// Builds and runs all tests, and the examples of the documentation.
pub(crate) fn run() -> anyhow::Result<()> {
    let programs = build()?;
    let count = programs.len();
    let waiting = Mutex::new(VecDeque::from(programs));
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(program) = next(&waiting) {
                    if !passes(&program) {
                        failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(program.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    ensure!(failed.is_empty(), "of {count} test programs failed: {}", failed.join(", "));
    cargo(&["test", "--workspace", "--doc"])
}

fn next(waiting: &Mutex<VecDeque<Program>>) -> Option<Program> {
    waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front()
}

/// Builds the test programs, in the order in which they are to begin.
fn build() -> anyhow::Result<Vec<Program>> {
    let mut build =
        cargo_command(&["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    let built = build.stderr(Stdio::inherit()).output().context("cargo does not start")?;
    ensure!(built.status.success(), "the tests do not build");
    let messages = String::from_utf8(built.stdout).context("cargo's messages are not UTF-8")?;
    let mut programs: Vec<_> = messages.lines().filter_map(program).collect();
    ensure!(!programs.is_empty(), "cargo has built no test program");
    programs.sort();
    Ok(programs)
}

/// The test program that a message of cargo's is about.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str()?;
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    message["profile"]["test"].as_bool().filter(|is_test| *is_test)?;
    let folder = manifest.parent()?.to_owned();
    let package = folder.file_name()?.to_str()?;
    let target = message["target"]["name"].as_str()?;
    Some(Program {
        is_of_units: message["target"]["kind"].as_array()?.iter().all(|kind| kind != "test"),
        name: format!("{package}/{target}"),
        executable: executable.into(),
        folder,
    })
}

/// Runs a program, and prints at its end all that it has printed.
fn passes(program: &Program) -> bool {
    let Program { name, executable, folder, .. } = program;
    let start = Instant::now();
    let ended = Command::new(executable)
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    let seconds = start.elapsed().as_secs_f64();
    match ended {
        Ok(ended) => {
            let [stdout, stderr] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
            // In one piece, so that no other program's lines come between.
            print!("-- {name}: {seconds:.1} s, {}\n{stdout}{stderr}", ended.status);
            ended.status.success()
        }
        Err(error) => {
            println!("-- {name}: {} does not start: {error}", executable.display());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_come_first_and_what_is_no_test_not_at_all() {
        let message = |kind: &str, name: &str, test: bool| {
            let message = serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": "/q/crates/core/Cargo.toml",
                "target": { "kind": [kind], "name": name },
                "profile": { "test": test },
                "executable": format!("/q/target/{name}"),
            });
            program(&message.to_string())
        };
        let units = message("lib", "quorate_core", true).unwrap();
        let review = message("test", "review", true).unwrap();
        assert!(review < units);
        assert_eq!((review.name.as_str(), review.folder), ("core/review", PathBuf::from("/q/crates/core")));
        assert_eq!(message("bin", "quorate", false), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
