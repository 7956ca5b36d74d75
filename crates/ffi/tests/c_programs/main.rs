//! C programs over the header and the static library, with sanitizers and without.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod arguments;
mod build;
mod reviews;

use std::process::Command;

use self::build::Program;

/// Nulls, numbers that are none, steps out of order, callbacks that fail or call back, and too little room.
#[test]
fn what_a_c_program_may_not_do_is_refused() {
    for program in Program::with_and_without_sanitizers("misuse") {
        let output = program.run(&mut Command::new(program.path()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// As it is shipped, on the machine of the test; a device's functions take less, for its pointers are shorter.
#[test]
fn no_function_takes_more_stack_than_is_said() {
    let program = Program::as_shipped("stack");
    let output = program.run(&mut Command::new(program.path()));
    assert!(output.status.success(), "{}", output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}");
    let stack = |line: &str| line.rsplit(' ').next().and_then(|bytes| bytes.parse::<usize>().ok()).unwrap();
    assert_eq!(printed.lines().count(), 4 * 10);
    assert!(printed.lines().all(|line| stack(line) <= STACK), "more than {STACK} bytes:\n{printed}");
}

/// `README.md` says so.
const STACK: usize = 8 * 1024;
