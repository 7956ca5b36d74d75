//! What the program asks at a terminal: Ctrl-C at each question, and no terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

#[path = "../scripted/mod.rs"]
mod scripted;
#[path = "../terminal/mod.rs"]
mod terminal;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use alloy_signer_local::PrivateKeySigner;
use quorate::testing::ScriptedChain;
use quorate::{Quorate, U256};
use scripted::over_http;
use serde_json::Value;
use tempfile::TempDir;
use terminal::Terminal;

/// An owner with money, a folder with a configuration, and a chain that another process reaches.
struct Scene {
    chain: ScriptedChain,
    folder: TempDir,
    key: String,
}

const SEND: [&str; 4] = ["account", "send", "0x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e", "1"];
const CREATE: [&str; 3] = ["session", "create", "claim.toml"];
const PASSPHRASE: (&str, &str) = ("QUORATE_STORE_PASSPHRASE", "for a test");

impl Scene {
    async fn set() -> Self {
        let (chain, folder) = (ScriptedChain::new(), tempfile::tempdir().unwrap());
        let owner = PrivateKeySigner::random();
        let client = Quorate::connect_by(chain.deployment(), chain.node(), chain.bundler()).await.unwrap();
        let account = client.account(owner.address(), 0).address();
        chain.fund(account, U256::from(10).pow(U256::from(18)));
        let (node, bundler) = (over_http(chain.node()).await, over_http(chain.bundler()).await);
        let settings = format!(
            "[profiles.here]\nrpc = \"{node}\"\nbundler = \"{bundler}\"\nstore = \"sessions.db\"\nowner = \"{}\"\n",
            owner.address()
        );
        let policy = "for = \"7 days\"\n[[allow]]\ncontract = \"0x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e\"\nfunction = \"claim()\"\n";
        std::fs::write(folder.path().join("quorate.toml"), settings).unwrap();
        std::fs::write(folder.path().join("claim.toml"), policy).unwrap();
        // Its password is asked for before it is read.
        std::fs::write(folder.path().join("owner.json"), "{}").unwrap();
        Self { chain, folder, key: owner.to_bytes().to_string() }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment in which nothing but the question is missing.
    fn environment(&self) -> [(&str, &str); 2] {
        [PASSPHRASE, ("QUORATE_OWNER_KEY", &self.key)]
    }

    /// Ctrl-C at the question that these words ask, after the answers to those before it.
    fn interrupted(&self, arguments: &[&str], environment: &[(&str, &str)], before: &[&str], question: &str) {
        for by_signal in [false, true] {
            let mut terminal =
                Terminal::run(env!("CARGO_BIN_EXE_quorate"), self.folder(), arguments, environment);
            for question in before {
                terminal.wait_for(question);
                terminal.press("y\n");
            }
            terminal.wait_for(question);
            if !question.ends_with("[y/N] ") {
                terminal.wait_for_echo(false);
            }
            terminal.interrupt(by_signal);
            assert_eq!(terminal.exit(), 130, "{question}");
            assert!(terminal.echoes(), "{question}");
            assert!(self.chain.executions().is_empty() && self.chain.bundler().pending().is_empty());
        }
    }

    /// What is said where nobody can be asked.
    fn without_terminal(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.current_dir(self.folder()).args(arguments).envs(environment.iter().copied());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty() && self.chain.bundler().pending().is_empty());
        said
    }

    /// The sessions that the store knows of.
    fn sessions(&self) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.current_dir(self.folder()).args(["session", "list", "--json"]).envs(self.environment());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed["sessions"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_any_question_sends_nothing_and_leaves_the_terminal_and_the_store_as_they_were() {
    let scene = Scene::set().await;
    tokio::task::spawn_blocking(move || {
        let environment = scene.environment();
        let by_keystore = [SEND.as_slice(), &["--keystore", "owner.json"]].concat();
        scene.interrupted(&SEND, &[environment[1]], &[], "passphrase of the session store: ");
        scene.interrupted(&by_keystore, &[PASSPHRASE], &[], "password of the keystore: ");
        scene.interrupted(&SEND, &environment, &[], "Sign this operation? [y/N] ");
        scene.interrupted(&CREATE, &environment, &[], "Grant this session? [y/N] ");
        let granting = ["Grant this session? [y/N] "];
        scene.interrupted(&CREATE, &environment, &granting, "Sign this operation? [y/N] ");
        assert!(scene.sessions().is_empty(), "{:?}", scene.sessions());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_what_waits_for_an_endpoint() {
    let scene = Scene::set().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rpc = format!("http://{}", silent.local_addr().unwrap());
    tokio::task::spawn_blocking(move || {
        let arguments = [SEND.as_slice(), &["--yes", "--rpc", &rpc]].concat();
        let program = env!("CARGO_BIN_EXE_quorate");
        let mut terminal = Terminal::run(program, scene.folder(), &arguments, &scene.environment());
        let _asked = silent.accept().unwrap();
        terminal.interrupt(true);
        assert_eq!(terminal.exit(), 130);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_each_question_names_what_answers_it() {
    let scene = Scene::set().await;
    tokio::task::spawn_blocking(move || {
        let environment = scene.environment();
        let says = |arguments: &[&str], environment: &[(&str, &str)], name: &str| {
            let said = scene.without_terminal(arguments, environment);
            assert!(said.contains(name), "no {name} in: {said}");
        };
        let by_keystore = [SEND.as_slice(), &["--keystore", "owner.json"]].concat();
        says(&SEND, &environment[1..], "set QUORATE_STORE_PASSPHRASE");
        says(&by_keystore, &environment[..1], "set QUORATE_KEYSTORE_PASSWORD");
        says(&SEND, &environment[..1], "set QUORATE_OWNER_KEY");
        says(&SEND, &environment, "give --yes");
        says(&CREATE, &environment, "give --yes");
        says(&["submit", "claim.toml", "--signature", "-"], &environment, "claim.toml is no draft");
        assert!(scene.sessions().is_empty());
        if cfg!(not(feature = "ledger")) {
            says(&[SEND.as_slice(), &["--ledger"]].concat(), &environment, "--features ledger");
        }
    })
    .await
    .unwrap();
}
