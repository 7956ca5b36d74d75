//! `quorate demo` as a newcomer runs it: the real program on real components, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// One run of the program, which can be told from others by a mark that its children inherit.
struct Run {
    child: Child,
    stdout: BufReader<ChildStdout>,
    mark: String,
    temporary: TempDir,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let temporary = tempfile::tempdir().unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
        let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .arg("demo")
            .arg("--cache")
            .arg(cache)
            .args(arguments)
            .env("QUORATE_TEST_RUN", &mark)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, mark, temporary }
    }

    /// Reads lines up to the first that contains `text`, and gives all of them.
    fn read_to(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.stdout.by_ref().lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        panic!("no line with `{text}` in {lines:#?}, and on stderr: {stderr}");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for the end, after which nothing may be left of the run.
    fn end(mut self) -> Output {
        let lines: Vec<String> = self.stdout.by_ref().lines().map(Result::unwrap).collect();
        let mut output = self.child.wait_with_output().unwrap();
        output.stdout = lines.join("\n").into_bytes();
        assert_eq!(processes_with(&self.mark), Vec::<String>::new(), "processes that outlive the program");
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "files that outlive the program: {left:?}");
        output
    }
}

/// The command lines of this machine's running processes that inherited a run's mark.
fn processes_with(mark: &str) -> Vec<String> {
    let mark = format!("QUORATE_TEST_RUN={mark}");
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.ok()?.path();
        let environment = fs::read(folder.join("environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        let command = fs::read(folder.join("cmdline")).ok()?;
        marked.then(|| String::from_utf8_lossy(&command).replace('\0', " "))
    });
    processes.collect()
}

/// The text between two others in a line.
fn between<'a>(line: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("`{before}` is not in {line}"));
    rest.split_once(after).map_or(rest, |(text, _)| text)
}

#[test]
fn a_session_is_granted_used_and_refused_by_the_client_the_network_and_the_chain() {
    let output = Run::start(&[]).end();

    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let [_chain, network, account, key, granted, minted, client, nodes, chain] = lines[..] else {
        panic!("not one line for each step: {stdout}");
    };
    assert!(network.contains("3-of-5"));
    let account = between(account, "account ", " ").to_lowercase();
    let account = account.trim_start_matches("0x");
    assert!(key.contains("from the pool, attested by 5 nodes"), "{key}");
    assert_eq!(between(granted, "user operation ", " ").len(), 66);
    assert_eq!(between(minted, "transaction ", ";").len(), 66);
    assert!(minted.ends_with("balanceOf = 1"));
    // Both values, the asked and the permitted one; first by the client, then by the nodes.
    let other = "0xcccccccccccccccccccccccccccccccccccccccc".trim_start_matches("0x");
    for refusal in [client, nodes] {
        assert!(refusal.contains("rule 0"), "{refusal}");
        assert!(refusal.contains(account) && refusal.contains(other), "{refusal}");
    }
    assert!(nodes.contains("the signing network refused"), "{nodes}");
    assert!(chain.contains("AA23 reverted: ABISV Arg Rule Violated"), "{chain}");
    // Progress is shown without a terminal too, apart from what was done.
    assert!(stderr.contains("starting the bundler") && stderr.contains("make a key ahead"), "{stderr}");
}

#[test]
fn with_keep_everything_goes_on_until_ctrl_c() {
    let mut run = Run::start(&["--keep"]);
    let lines = run.read_to("running until Ctrl-C");
    let url = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line.trim_start_matches(name).trim().to_owned()
    };
    let ports = ["chain", "bundler", "gateway"].map(|name| {
        let address = url(name);
        address.rsplit_once(':').unwrap().1.trim_end_matches('/').parse::<u16>().unwrap()
    });
    for port in ports {
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
    assert!(fs::read_to_string(url("network")).unwrap().contains("threshold"));

    // The program, the chain, the bundler, the gateway and five nodes.
    assert!(processes_with(&run.mark).len() >= 9);

    run.signal(Signal::SIGINT);
    let output = run.end();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for port in ports {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

/// How a run ends that is interrupted at a moment. One that is through before the signal reaches it is run again.
fn interrupted(moment: &str, signal: Signal) -> Output {
    for _ in 0..5 {
        let mut run = Run::start(&[]);
        run.read_to(moment);
        run.signal(signal);
        let output = run.end();
        let is_at_last_step = String::from_utf8_lossy(&output.stdout).contains("AA23 reverted");
        if !(output.status.success() && is_at_last_step) {
            return output;
        }
    }
    panic!("{moment}: each run was through before the signal reached it");
}

#[test]
fn ctrl_c_ends_everything_at_any_moment() {
    let moments = ["a local chain", "3-of-5 signing network", "account 0x", "session key 0x"];
    for (moment, signal) in moments.into_iter().zip([Signal::SIGINT, Signal::SIGTERM].into_iter().cycle()) {
        let output = interrupted(moment, signal);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{moment}: {stderr}");
        assert!(stderr.contains("everything that was started is ended"), "{moment}: {stderr}");
    }
}

#[test]
fn a_program_that_is_killed_takes_everything_with_it() {
    let mut run = Run::start(&[]);
    run.read_to("3-of-5 signing network");
    run.signal(Signal::SIGKILL);
    run.child.wait().unwrap();
    let start = Instant::now();
    while !processes_with(&run.mark).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(120), "{:?} outlive it", processes_with(&run.mark));
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_taken_port_is_named_and_nothing_stays() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--chain-port", "--bundler-port"] {
        let output = Run::start(&[flag, &port]).end();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&port) && stderr.contains("error: "), "{stderr}");
    }
}

#[test]
fn a_missing_node_js_is_named_with_the_way_out() {
    let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["demo", "--cache"])
        .arg(tempfile::tempdir().unwrap().path())
        .env("PATH", "")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("install Node.js 20"), "{stderr}");
}
