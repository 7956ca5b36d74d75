//! The program, as a program in another language calls it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What the program answers to these arguments and this text.
pub fn quorate(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone before it is written to.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// The answer in JSON.
pub fn answer(arguments: &[&str], stdin: &Value) -> Value {
    let output = quorate(&[arguments, &["--json"]].concat(), &stdin.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is said of input that cannot be taken.
pub fn complaint(arguments: &[&str], stdin: &str) -> String {
    let output = quorate(arguments, stdin);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

pub fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
