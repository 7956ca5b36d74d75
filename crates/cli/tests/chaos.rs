//! The program's gateway and nodes, killed, stopped and restarted while they sign. Files and logs of a failure stay.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quorate_chaos::{Settings, crash_everywhere, run};

/// The short form of `cargo xtask chaos`. A failure names the seed with which it can be run again.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed_while_they_sign_count_what_was_signed() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let settings = Settings { program: program(), folder: folder("chaos"), seed, signatures: 100, kills: 6 };
    let report = run(&settings, &|words| eprintln!("{words}")).await;
    let report = report.unwrap_or_else(|error| panic!("seed {seed}: {error}: {error:?}"));
    assert_eq!((report.signed, report.kills, report.stops), (100, 6, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_at_any_write_or_frame_comes_back_and_has_lost_nothing() {
    let ends = crash_everywhere(&program(), &folder("crashes"), &|words| eprintln!("{words}")).await;
    let ends = ends.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    assert_eq!(ends, 60);
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_quorate").into()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    folder
}
