//! Short runs of the benchmarks: they work, whatever they measure.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not run has failed")]

use std::process::Command;

/// Runs a benchmark and prints its lines; each has a name, a number, and what it is held to.
fn run(what: &[&str]) {
    let bench = Command::new(env!("CARGO_BIN_EXE_quorate-bench")).args(what).arg("--quick").output().unwrap();
    let [said, errors] = [bench.stdout, bench.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(bench.status.success(), "{said}{errors}");
    println!("{said}");
    let goals = said.lines().filter(|line| [" ok", " missed"].iter().any(|verdict| line.contains(verdict)));
    assert!(goals.count() >= 5, "{said}{errors}");
}

#[test]
fn the_core_is_measured() {
    run(&["core"]);
}

#[test]
fn the_client_is_measured() {
    run(&["client", "--cache", concat!(env!("CARGO_TARGET_TMPDIR"), "/devnet")]);
}
