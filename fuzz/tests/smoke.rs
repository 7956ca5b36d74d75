//! Every target on its kept corpus and on mutations of it. `cargo xtask fuzz` tries more.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::process::Command;

#[test]
fn no_mutation_of_the_corpus_breaks_a_property() {
    let output = Command::new(env!("CARGO_BIN_EXE_smoke")).args(["200000", "0"]).output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
