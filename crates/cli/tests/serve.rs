//! `quorate serve` as it is run: its tokens, what it refuses to do, and its end.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod scripted;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quorate::testing::ScriptedChain;
use scripted::over_http;
use serde_json::{Value, json};

fn quorate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.current_dir(folder).arg("serve").args(arguments);
    command.env("QUORATE_STORE", "sessions.db").env("QUORATE_STORE_PASSPHRASE", "for a test");
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    quorate(folder, arguments).output().unwrap()
}

fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = output(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is said of arguments that cannot be taken.
fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let output = output(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn tokens_are_made_listed_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(said(folder, &["token", "list"]).starts_with("no tokens"));
    let secret = said(folder, &["token", "add", "app"]);
    assert_eq!(secret.trim().len(), "quorate_".len() + 64);
    let narrow = ["token", "add", "narrow", "--method", "wallet_*", "--session", "minting", "--json"];
    let narrow: Value = serde_json::from_str(&said(folder, &narrow)).unwrap();
    assert_eq!(narrow["name"], "narrow");

    let file = folder.join("sessions.tokens.toml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(!stored.contains(secret.trim()), "{stored}");
    let listed = said(folder, &["token", "list"]);
    assert!(
        listed.contains("narrow  wallet_*  sessions minting") && !listed.contains("quorate_00"),
        "{listed}"
    );

    assert!(complaint(folder, &["token", "add", "app"]).contains("a token named app already"));
    assert!(
        complaint(folder, &["token", "add", "b", "--method", "wallet_send"]).contains("wallet_sendCalls")
    );
    assert!(complaint(folder, &["token", "remove", "other"]).contains("there are: app, narrow"));
    said(folder, &["token", "remove", "app"]);
    let listed: Value = serde_json::from_str(&said(folder, &["token", "list", "--json"])).unwrap();
    assert_eq!(listed["tokens"][0]["name"], "narrow");
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(complaint(folder, &["token", "list"]).contains("chmod 600"));
}

#[test]
fn other_machines_are_let_in_by_a_flag_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = complaint(folder.path(), &["--listen", "0.0.0.0:0"]);
    assert!(refused.contains("--allow-remote"), "{refused}");
}

/// Kills what is left where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let secret = said(folder, &["token", "add", "app"]);
    let chain = ScriptedChain::new();
    let (node, bundler) = (over_http(chain.node()).await, over_http(chain.bundler()).await);
    let owner = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
    let mut serving = quorate(
        folder,
        &["--listen", "127.0.0.1:0", "--rpc", &node, "--bundler", &bundler, "--owner", owner],
    );
    let mut serving = Running(serving.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(serving.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("{line}"));

    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let answer =
        reqwest::Client::new().post(url).bearer_auth(secret.trim()).json(&request).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["result"], format!("{:#x}", chain.chain_id()));

    kill(Pid::from_raw(serving.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || serving.0.wait().unwrap());
    let ended =
        tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
    assert!(folder.join("sessions.calls.db").exists());
}
