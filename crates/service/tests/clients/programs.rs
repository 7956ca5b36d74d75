//! The examples, run as they are.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use alloy_primitives::U256;
use serde_json::json;
use tokio::process::Command;

use crate::server::{Bearer, PATIENCE};
use crate::stage::{Stage, account_of, block_on, devnet, minted};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients").join(name)
}

/// Runs a program, which has to say that its calls were confirmed.
async fn mints(app: &Bearer, mut program: Command, tokens: u64) {
    let account = account_of(app).await;
    let before = minted(&account).await;
    program.env("QUORATE_URL", &app.url).env("QUORATE_TOKEN", &app.secret);
    program.env("NFT", devnet().nft().to_string());
    program.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, program.output()).await.expect("it ends").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(
        stdout.contains("0x") && (stdout.starts_with("200 ") || stdout.starts_with("success ")),
        "{stdout}"
    );
    assert_eq!(minted(&account).await, before + U256::from(tokens));
}

fn is_installed(program: &str, argument: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

fn lines(name: &str) -> usize {
    std::fs::read_to_string(example(name)).unwrap().lines().count()
}

#[test]
fn an_unmodified_viem_client_mints_twice_in_one_operation() {
    block_on(async {
        let stage = Stage::new(None);
        let (server, app) = stage.serve().await;
        stage.grant(&app).await;
        let mut node = Command::new("node");
        // Where the imports of such a script are looked for.
        node.current_dir(devnet().toolchain().folder()).args(["--input-type=module", "-e"]);
        node.arg(std::fs::read_to_string(example("mint.mjs")).unwrap());
        mints(&app, node, 2).await;
        server.shutdown().await;
    });
}

#[test]
fn thirty_lines_of_python_and_of_go_mint() {
    assert!(lines("mint.py") <= 30 && lines("mint.go") <= 30);
    block_on(async {
        let stage = Stage::new(None);
        let (server, app) = stage.serve().await;
        stage.grant(&app).await;
        if is_installed("python3", "--version") {
            let mut python = Command::new("python3");
            python.arg(example("mint.py"));
            mints(&app, python, 1).await;
        }
        if is_installed("go", "version") {
            let mut go = Command::new("go");
            go.arg("run").arg(example("mint.go"));
            mints(&app, go, 1).await;
        }
        server.shutdown().await;
    });
}

#[test]
fn a_restarted_service_knows_the_ids_that_were_used_and_what_became_of_them() {
    block_on(async {
        let stage = Stage::new(None);
        let (server, app) = stage.serve().await;
        stage.grant(&app).await;
        let account = account_of(&app).await;
        let data = format!("0x40d097c3{:0>64}", account.trim_start_matches("0x"));
        let request = json!([{
            "version": "2.0.0", "id": "order 7", "chainId": app.ask("eth_chainId", json!([])).await,
            "atomicRequired": true, "calls": [{ "to": devnet().nft(), "data": data }],
        }]);
        // It ends before the operation does, or not; whoever asks later learns the same.
        app.ask("wallet_sendCalls", request.clone()).await;
        server.shutdown().await;

        let (server, app) = stage.serve().await;
        assert_eq!(app.code("wallet_sendCalls", request.clone()).await, 5720);
        let end = app.end_of(&json!("order 7")).await;
        assert_eq!(end["status"], 200);
        let logs = end["receipts"][0]["logs"].as_array().unwrap();
        let is_of_nft = |log: &&serde_json::Value| log["address"] == json!(devnet().nft());
        assert_eq!(logs.iter().filter(is_of_nft).count(), 1, "the mint's own transfer: {logs:#?}");
        server.shutdown().await;

        let (server, app) = stage.serve().await;
        assert_eq!(app.code("wallet_sendCalls", request).await, 5720);
        assert_eq!(app.ask("wallet_getCallsStatus", json!(["order 7"])).await, end);
        assert_eq!(minted(&account).await, U256::from(1));
        server.shutdown().await;
    });
}
