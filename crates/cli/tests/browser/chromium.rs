//! Chromium with a wallet, driven by playwright-core.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use quorate_devnet::{PinnedPackages, Quiet};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

const PACKAGES: PinnedPackages<'static> = PinnedPackages {
    package_json: include_str!("npm/package.json"),
    package_lock: include_str!("npm/package-lock.json"),
    npmrc: include_str!("npm/.npmrc"),
};

/// The Chromium that the tests have to use: `cargo xtask test` names the one that it has installed. Empty for none.
const VARIABLE: &str = "QUORATE_CHROMIUM";

/// The system's Chromium; none where there is none, and then the browser is not tested.
pub(crate) fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return (!named.is_empty()).then(|| named.into());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|file| file.is_file());
    if found.is_none() {
        println!(
            "== browser: NOT TESTED, there is no Chromium; install Debian's `chromium`, or name one by {VARIABLE}"
        );
    }
    found
}

/// A browser with one wallet in it. Without an answer within four minutes a command fails.
pub(crate) struct Browser {
    // It ends with its input, and is killed when dropped.
    _driver: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// `window` says its size and colours.
    pub(crate) async fn start(chromium: &Path, cache: &Path, wallet: Value, window: Value) -> Self {
        let packages = PACKAGES.install(cache, &Quiet).await.unwrap();
        let mut driver = tokio::process::Command::new("node")
            .args(["--input-type=module", "-e", include_str!("driver.mjs")])
            // Where the imports of such a script are looked for.
            .current_dir(packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = driver.stdin.take().unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut browser = Self { _driver: driver, input, output };
        let start = json!({
            "wallet": wallet, "chromium": chromium, "walletScript": include_str!("wallet.js"), "window": window,
        });
        browser.tell("start", start).await;
        browser
    }

    /// Has the driver do a command, and gives its answer.
    pub(crate) async fn tell(&mut self, command: &str, mut given: Value) -> Value {
        given["command"] = command.into();
        self.input.write_all(format!("{given}\n").as_bytes()).await.unwrap();
        let line = self.output.next_line().await.unwrap().expect("the driver has ended");
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{}", answer["error"].as_str().unwrap_or_default());
        answer["result"].clone()
    }

    pub(crate) async fn open(&mut self, tab: &str, url: &str) {
        self.tell("open", json!({ "tab": tab, "url": url })).await;
    }

    pub(crate) async fn click(&mut self, name: &str) {
        self.tell("click", json!({ "tab": "one", "name": name })).await;
    }

    pub(crate) async fn see(&mut self, text: &str) {
        self.see_in("one", text).await;
    }

    pub(crate) async fn see_in(&mut self, tab: &str, text: &str) {
        self.tell("see", json!({ "tab": tab, "text": text })).await;
    }

    /// Waits until the page offers a button.
    pub(crate) async fn offers(&mut self, name: &str) {
        self.tell("offers", json!({ "tab": "one", "name": name })).await;
    }

    /// What the wallet was asked that its owner notices.
    pub(crate) async fn asked(&mut self) -> Value {
        self.tell("asked", json!({})).await
    }

    /// Changes what the wallet is or does.
    pub(crate) async fn wallet(&mut self, change: Value) {
        self.tell("wallet", json!({ "wallet": change })).await;
    }

    /// Nothing went wrong in the page, and it asked nobody else.
    pub(crate) async fn assert_clean(&mut self) {
        assert_eq!(self.tell("problems", json!({})).await, json!([]));
    }

    /// Nothing of the page lacks a name or is wider than the window.
    pub(crate) async fn assert_accessible(&mut self) {
        assert_eq!(self.tell("faults", json!({ "tab": "one" })).await, json!([]));
    }
}
