//! The workspace's tests, in three lanes side by side.
//!
//! `cargo test` runs one program after the other, and many of them mostly wait: for deadlines, for other processes, for a
//! chain's next block. The signing network's own tests, which each start a whole network, have a lane for themselves: two of them at
//! once would starve each other on a machine of two cores. Those on a local chain have another, as they wait for its blocks. A lane
//! that is through goes on with what is in none.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::browser;
use crate::command::cargo_command;
use crate::firmware::{EMULATED_DEVICE, VARIABLE};

/// A test program.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    /// Integration tests come first: they take longest, and the short ones fill what is left.
    is_of_units: bool,
    /// The package and the target.
    name: String,
    executable: PathBuf,
    /// Where cargo runs it.
    folder: PathBuf,
}

/// Runs the test programs; gives what the emulated device's have said, which need a signer. The browser's tests run in this
/// Chromium, and not at all where that is empty.
pub(crate) fn run(programs: Vec<Program>, signer: Option<&Path>, chromium: &Path) -> anyhow::Result<String> {
    let count = programs.len();
    let (benchmarks, programs): (VecDeque<_>, VecDeque<_>) =
        programs.into_iter().partition(|program| program.name == BENCHMARKS);
    let mut queues = Queues::default();
    for program in programs {
        queues.of(&program).push_back(program);
    }
    let Queues { networks, on_chains, others } = queues;
    let others = Mutex::new(others);
    let failed = Mutex::new(Vec::new());
    let said_by_device = Mutex::new(String::new());
    let run_lane = |programs: VecDeque<Program>| {
        for program in programs.into_iter().chain(iter::from_fn(|| lock(&others).pop_front())) {
            let ran = run_one(&program, signer, chromium);
            if !ran.passed {
                lock(&failed).push((program.name, ran.said));
            } else if program.name == DEVICE {
                *lock(&said_by_device) = ran.said;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| run_lane(networks));
        scope.spawn(|| run_lane(on_chains));
        run_lane(VecDeque::new());
    });
    run_lane(benchmarks);
    let failed = lock(&failed);
    // Once more, where whoever looks at the end finds it.
    for (name, said) in failed.iter() {
        println!("-- {name} failed:\n{}", failures(said));
    }
    let names: Vec<_> = failed.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names.is_empty(), "of {count} test programs failed: {}", names.join(", "));
    Ok(std::mem::take(&mut lock(&said_by_device)))
}

/// Tests on a local chain, which mostly wait for its blocks.
const ON_CHAINS: [&str; 7] = [
    "cli/browser",
    "cli/demo",
    "cli/elsewhere",
    "cli/serve",
    "cli/sessions",
    "quorate/chain",
    "service/clients",
];

/// Short runs of the benchmarks, which measure nothing beside others.
const BENCHMARKS: &str = "bench/quick";

/// What each lane runs first, and what is run by whichever is free.
#[derive(Default)]
struct Queues {
    networks: VecDeque<Program>,
    on_chains: VecDeque<Program>,
    others: VecDeque<Program>,
}

impl Queues {
    fn of(&mut self, program: &Program) -> &mut VecDeque<Program> {
        if program.name.starts_with("network/") {
            &mut self.networks
        } else if ON_CHAINS.contains(&program.name.as_str()) {
            &mut self.on_chains
        } else {
            &mut self.others
        }
    }
}

/// How long a test program may take: several times what the longest does on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// The tests of the emulated device.
const DEVICE: &str = "quorate/device";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Builds the test programs, in the order in which they are to begin.
pub(crate) fn build(with_device: bool) -> anyhow::Result<Vec<Program>> {
    let mut build = cargo_command(&["test", "--workspace", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    if with_device {
        build.args(["--features", EMULATED_DEVICE]);
    }
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

/// The part of what a test program has said that tells of its failures: all of it where it ended before it could say.
fn failures(said: &str) -> &str {
    said.find("\nfailures:\n").map_or(said, |start| &said[start..])
}

struct Ran {
    passed: bool,
    said: String,
}

/// Runs a program, and prints at its end all that it has said.
fn run_one(program: &Program, signer: Option<&Path>, chromium: &Path) -> Ran {
    let Program { name, executable, folder, .. } = program;
    let start = Instant::now();
    let mut test = Command::new(executable);
    test.current_dir(folder).env("CARGO_MANIFEST_DIR", folder).stdin(Stdio::null());
    test.env(browser::VARIABLE, chromium);
    if let Some(signer) = signer.filter(|_| name == DEVICE) {
        test.env(VARIABLE, signer).arg("--nocapture");
    }
    match ended_within(DEADLINE, test) {
        Ok(Ended { status, is_killed, said }) => {
            let late = if is_killed { ", killed since it did not end" } else { "" };
            // In one piece, so that no other program's lines come between.
            print!("-- {name}: {:.1} s, {status}{late}\n{said}", start.elapsed().as_secs_f64());
            Ran { passed: status.success(), said }
        }
        Err(error) => {
            println!("-- {name}: {} does not start: {error}", executable.display());
            Ran { passed: false, said: String::new() }
        }
    }
}

/// How a program ended.
struct Ended {
    status: ExitStatus,
    is_killed: bool,
    /// On its output, and then on its error output.
    said: String,
}

/// Runs a program, which is killed if it has not ended by then.
fn ended_within(deadline: Duration, mut program: Command) -> io::Result<Ended> {
    let start = Instant::now();
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outputs = [Output::of(child.stdout.take()), Output::of(child.stderr.take())];
    let mut is_killed = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !is_killed && start.elapsed() >= deadline {
            child.kill()?;
            is_killed = true;
        }
        thread::sleep(PAUSE);
    };
    // What it has started may live on and keep the outputs open.
    let until = Instant::now() + LAST_WORDS;
    while !outputs.iter().all(Output::is_at_end) && Instant::now() < until {
        thread::sleep(PAUSE);
    }
    Ok(Ended { status, is_killed, said: outputs.map(|output| output.said()).concat() })
}

/// How often it is looked whether a program has ended, and how long its last words are waited for.
const PAUSE: Duration = Duration::from_millis(20);
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a program says, as it comes.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn of(source: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let (mut source, mut part) = (source, [0; 8192]);
            while let Some(read) = source.as_mut().and_then(|source| source.read(&mut part).ok())
                && let Some(part) = part.get(..read).filter(|part| !part.is_empty())
            {
                lock(&heard).extend_from_slice(part);
            }
        });
        Self { bytes, reader }
    }

    fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
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

    #[test]
    fn a_program_that_does_not_end_is_killed_and_what_it_said_is_kept() {
        let mut endless = Command::new("sh");
        // What it has started lives on for a while, and has its outputs.
        endless.args(["-c", "sleep 60 & echo first; echo second >&2; exec sleep 3600"]);
        let ended = ended_within(Duration::from_secs(10), endless).unwrap();
        assert!(ended.is_killed && !ended.status.success());
        assert_eq!(ended.said, "first\nsecond\n");
        let ended = ended_within(Duration::from_secs(60), Command::new("true")).unwrap();
        assert!(!ended.is_killed && ended.status.success());
    }

    #[test]
    fn failures_are_told_once_more_without_what_passed() {
        let said = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nwhy\n";
        assert_eq!(failures(said), "\nfailures:\n\n---- b stdout ----\nwhy\n");
        assert_eq!(failures("test a ... \nSIGABRT"), "test a ... \nSIGABRT");
    }
}
