//! The program's gateway and nodes, killed, stopped and restarted while they sign.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use quorate_chaos::{Settings, run};

/// The short form of `cargo xtask chaos`. A failure names the seed with which it can be run again; its files and logs stay.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed_while_they_sign_count_what_was_signed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let program = env!("CARGO_BIN_EXE_quorate").into();
    let settings = Settings { program, folder, seed, signatures: 100, kills: 6 };
    let report = run(&settings, &|words| eprintln!("{words}")).await;
    let report = report.unwrap_or_else(|error| panic!("seed {seed}: {error}: {error:?}"));
    assert_eq!((report.signed, report.kills, report.stops), (100, 6, 3));
}
