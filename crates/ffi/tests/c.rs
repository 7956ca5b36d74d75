//! A C program over the header and the static library, against the vectors that the device keeps to.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::ptr::{null, null_mut};

use quorate_ffi::{Bytes, Status, quorate_evaluate, quorate_signing_hash, quorate_verify_proof};
use serde_json::Value;

/// The static library, which cargo puts beside this test; the newest, where older builds left theirs.
fn library() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let files = std::fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
    files
        .filter(|file| name(file).starts_with("libquorate_ffi") && name(file).ends_with(".a"))
        .max_by_key(|file| file.metadata().unwrap().modified().unwrap())
        .unwrap()
}

fn compile(folder: &Path) -> PathBuf {
    let program = folder.join("review");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-I", "include", "tests/review.c", "-o"])
        .arg(&program)
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn vectors() -> Value {
    let text = std::fs::read_to_string("../../tests/vectors/device-review.json").unwrap();
    serde_json::from_str(&text).unwrap()
}

fn digits(value: &Value) -> String {
    value.as_str().unwrap().trim_start_matches("0x").to_owned()
}

fn word(value: &Value) -> String {
    format!("{:0>64}", digits(value))
}

fn review(program: &Path, vectors: &Value, case: &Value) -> Output {
    let operation = &case["operation"];
    let numbers = [
        "callGasLimit",
        "verificationGasLimit",
        "preVerificationGas",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
    ];
    let mut command = Command::new(program);
    command
        .arg(digits(&vectors["known"]["sessionKeyManager"]))
        .arg(digits(&vectors["known"]["abiSessionValidationModule"]))
        .arg(digits(&vectors["target"]["entryPoint"]))
        .arg(vectors["target"]["chainId"].to_string())
        .arg(digits(&operation["sender"]))
        .arg(word(&operation["nonce"]))
        .arg(digits(&operation["initCode"]))
        .args(numbers.map(|name| word(&operation[name])))
        .arg(digits(&operation["paymasterAndData"]))
        .arg(digits(&operation["callData"]));
    for session in case["sessions"].as_array().unwrap() {
        command
            .arg(session["validAfter"].to_string())
            .arg(session["validUntil"].to_string())
            .arg(digits(&session["sessionValidationModule"]))
            .arg(digits(&session["sessionKeyData"]));
    }
    command.output().unwrap()
}

#[test]
fn a_c_program_shows_and_refuses_what_the_device_does() {
    let folder = tempfile::tempdir().unwrap();
    let (program, vectors) = (compile(folder.path()), vectors());
    for case in vectors["cases"].as_array().unwrap() {
        let output = review(&program, &vectors, case);
        let shown = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<String> =
            case["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
        lines.extend(case["refused"].as_str().map(|reason| format!("REFUSED: {reason}")));
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines, "{}", case["name"]);
        let status = if case["refused"].is_null() { Status::Ok } else { Status::Refused };
        assert_eq!(output.status.code(), Some(status as i32), "{}", case["name"]);
    }
}

#[test]
fn what_is_null_is_refused_and_what_is_empty_is_not() {
    let (word, mut out) = ([7; 32], [0; 32]);
    let empty = Bytes { data: null(), len: 0 };
    // SAFETY: what is not null points to what the header says.
    unsafe {
        assert_eq!(quorate_signing_hash(word.as_ptr(), out.as_mut_ptr()), Status::Ok);
        assert_eq!(quorate_signing_hash(null(), out.as_mut_ptr()), Status::Null);
        assert_eq!(quorate_signing_hash(word.as_ptr(), null_mut()), Status::Null);
        assert_eq!(quorate_verify_proof(word.as_ptr(), word.as_ptr(), null(), 0), Status::Ok);
        assert_eq!(quorate_verify_proof(word.as_ptr(), out.as_ptr(), null(), 0), Status::Refused);
        assert_eq!(quorate_verify_proof(word.as_ptr(), word.as_ptr(), null(), 1), Status::Null);
        assert_eq!(quorate_verify_proof(word.as_ptr(), word.as_ptr(), null(), usize::MAX), Status::Malformed);
        assert_eq!(quorate_evaluate(empty, empty, out.as_mut_ptr(), None, null_mut()), Status::Null);
    }
}

#[test]
fn a_refused_call_comes_with_its_reason() {
    unsafe extern "C" fn keep(
        context: *mut std::ffi::c_void,
        text: *const std::ffi::c_char,
        len: usize,
    ) -> i32 {
        // SAFETY: the context is the string below, and the text is as long as is said.
        let (kept, text) =
            unsafe { (&mut *context.cast::<Vec<u8>>(), std::slice::from_raw_parts(text.cast::<u8>(), len)) };
        kept.extend(text);
        0
    }
    let mut kept: Vec<u8> = Vec::new();
    let mut key = [0; 20];
    let call_data = [1, 2, 3, 4];
    let (data, call) =
        (Bytes { data: [0; 62].as_ptr(), len: 62 }, Bytes { data: call_data.as_ptr(), len: call_data.len() });
    // SAFETY: everything lives until the call returns.
    let status =
        unsafe { quorate_evaluate(data, call, key.as_mut_ptr(), Some(keep), (&raw mut kept).cast()) };
    assert_eq!(status, Status::Refused);
    assert!(String::from_utf8(kept).unwrap().contains("function 0x01020304 is called"));
}
