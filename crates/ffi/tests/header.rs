//! `include/quorate.h` against what is made of the crate, and its layouts against the compiler's.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fmt::Write as _;
use std::mem::offset_of;
use std::process::Command;

use quorate_core::Label;
use quorate_ffi::{
    Bytes, Contract, Entry, Item, KeyRequest, Operation, Reason, Review, Session, Text, Trusted,
};

const HEADER: &str = "include/quorate.h";

/// In the order of the header.
const SOURCES: [&str; 11] = [
    "version",
    "error",
    "border",
    "operation",
    "sessions",
    "display",
    "trusted",
    "storage",
    "review",
    "key_request",
    "delegation",
];

const INTRODUCTION: &str = "\
/* quorate.h: what quorate-core knows of session grants, for C.
 *
 * It is made of the library's sources, and changed there.
 *
 * Nothing here allocates, does input or output, or keeps anything between calls, but in a review of the caller's. All
 * numbers in byte arrays are big-endian. A pointer may be null only where the comment says so, or where its length is 0;
 * what is not null points to as much as its type or its length says. What a function is given is read during the call,
 * and longer only where the comment says so. Different reviews may be used by different threads.
 */";

/// What the sources say, with the numbers of the core's labels.
fn header() -> String {
    let mut config = cbindgen::Config::from_file("cbindgen.toml").unwrap();
    config.header = Some(INTRODUCTION.to_owned());
    config.after_includes = Some(labels());
    let builder =
        SOURCES.into_iter().fold(cbindgen::Builder::new().with_config(config), |builder, source| {
            builder.with_src(format!("src/{source}.rs"))
        });
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

/// The labels by their numbers, named as the core names them.
fn labels() -> String {
    let mut lines = "\n// What an item's value is. New ones are added at the end.\n".to_owned();
    for label in Label::ALL {
        let mut name = String::new();
        for letter in format!("{label:?}").chars() {
            if letter.is_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        writeln!(lines, "#define QUORATE_LABEL{name} {}", *label as u16).unwrap();
    }
    lines
}

#[test]
fn the_header_is_what_the_sources_say() {
    let made = header();
    if std::fs::read_to_string(HEADER).ok().as_ref() != Some(&made) {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/quorate.h");
        std::fs::write(new, made).unwrap();
        panic!("the sources differ from {HEADER}; the header that they make is {new}");
    }
}

/// A check of a type's size, its alignment and where its fields are.
macro_rules! layout {
    ($name:literal, $kind:ty, $($field:ident),*) => {{
        #[allow(unused_mut, reason = "a type may have no field to check")]
        let mut checks = format!(
            "_Static_assert(sizeof({0}) == {1}, \"size\");\n_Static_assert(_Alignof({0}) == {2}, \"alignment\");\n",
            $name, size_of::<$kind>(), align_of::<$kind>(),
        );
        $(writeln!(
            checks, "_Static_assert(offsetof({}, {}) == {}, \"{}\");",
            $name, stringify!($field), offset_of!($kind, $field), stringify!($field),
        ).unwrap();)*
        checks
    }};
}

#[test]
fn c_lays_out_what_rust_does() {
    let checks = [
        "#include \"quorate.h\"\n".to_owned(),
        layout!("quorate_bytes", Bytes, data, len),
        layout!("quorate_text", Text, data, len),
        layout!("quorate_reason", Reason, text, size, len),
        layout!(
            "quorate_operation",
            Operation,
            version,
            entry_point,
            chain_id,
            sender,
            nonce,
            init_code,
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            account_gas_limits,
            gas_fees,
            paymaster_and_data,
            delegate
        ),
        layout!("quorate_session", Session, valid_after, valid_until, validation_module, session_key_data),
        layout!("quorate_item", Item, kind, severity, depth, label, label_len, value, value_len),
        layout!("quorate_contract", Contract, address, role),
        layout!("quorate_trusted", Trusted, contracts, contract_count, functions, function_count),
        layout!("quorate_entry", Entry, tag, value),
        layout!("quorate_key_request", KeyRequest, threshold, nodes, metadata, metadata_count, challenge),
        layout!("quorate_review", Review,),
        "_Static_assert(sizeof(quorate_review) == QUORATE_REVIEW_SIZE, \"size of a review\");\n".to_owned(),
        "_Static_assert(sizeof(quorate_status) == 4, \"status\");\n".to_owned(),
    ];
    // The sizes of a C program's enums are its own business.
    for option in ["-fshort-enums", "-fno-short-enums"] {
        check("layout.c", &checks.concat(), &["-std=c11", option]);
    }
}

/// The README's example, with what it leaves to the firmware.
#[test]
fn the_readme_s_example_compiles() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let example = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let firmware = "\
#include <stdbool.h>
#include \"quorate.h\"
int32_t show(void *screen, const quorate_item *item);
extern void *screen;
bool is_approved(void);
bool sign(const uint8_t digest[32]);
bool review_grant(const quorate_operation *, const quorate_session *, quorate_bytes);
";
    check("example.c", &[firmware, example].concat(), &["-std=c11"]);
}

/// A header for C++, too, where the C compiler can read it as such.
#[test]
fn the_header_is_one_for_cpp() {
    let program = "#include \"quorate.h\"\nint main() { return quorate_version() != QUORATE_VERSION; }\n";
    if can_compile_cpp() {
        check("program.cpp", program, &["-x", "c++"]);
    }
}

fn can_compile_cpp() -> bool {
    let output = Command::new("cc").args(["-x", "c++", "-fsyntax-only", "/dev/null"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Has the C compiler read a program.
fn check(name: &str, program: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, program).unwrap();
    let mut cc = Command::new("cc");
    cc.args(options).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-Iinclude"]);
    let output = cc.arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
