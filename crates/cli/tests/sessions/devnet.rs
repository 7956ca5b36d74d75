//! `quorate devnet`, kept up, and commands typed beside it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{U256, hex};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quorate_contracts::Erc721;
use quorate_transport::{HttpTransport, TransportExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{revoked, stderr};

pub(crate) const QUORATE: &str = env!("CARGO_BIN_EXE_quorate");

pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet")
}

/// A devnet that is kept up, and the environment that it gives a shell.
pub(crate) struct Devnet {
    child: Child,
    /// Where its files are.
    files: PathBuf,
    _folder: TempDir,
    environment: HashMap<String, String>,
    _alone: MutexGuard<'static, ()>,
}

impl Devnet {
    pub(crate) fn start() -> Self {
        let (folder, mut command) = (tempfile::tempdir().unwrap(), Command::new(QUORATE));
        command.args(["devnet", "--folder"]).arg(folder.path()).arg("--cache").arg(cache());
        let files = folder.path().to_owned();
        Self::run(&mut command, folder, files)
    }

    /// Waits for what this command starts; one at a time, as each is six processes and a chain.
    pub(crate) fn run(command: &mut Command, folder: TempDir, files: PathBuf) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let is_ready = stdout.lines().map_while(Result::ok).any(|line| line.contains("running until"));
        assert!(is_ready, "{:?}", child.wait());
        let text = std::fs::read_to_string(files.join("environment")).unwrap();
        let set = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let environment = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { child, files, _folder: folder, environment, _alone: alone }
    }

    pub(crate) fn nft(&self) -> &str {
        &self.environment["NFT"]
    }

    pub(crate) fn account(&self) -> &str {
        &self.environment["ACCOUNT"]
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.files.join(file)
    }

    pub(crate) fn quorate(&self, arguments: &[&str]) -> Output {
        self.at_work(&mut Command::new(QUORATE)).args(arguments).output().unwrap()
    }

    /// A program in the environment that the devnet gives.
    pub(crate) fn at_work<'a>(&self, program: &'a mut Command) -> &'a mut Command {
        let key = &self.environment["QUORATE_OWNER_KEY"];
        program.env("QUORATE_CONFIG", self.path("quorate.toml")).env("QUORATE_OWNER_KEY", key);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
    }

    /// The devnet's policy file without its limits, which a key of the store's cannot have.
    pub(crate) fn limitless_policies(&self) -> PathBuf {
        let limitless = self.path("limitless.toml");
        let text = std::fs::read_to_string(self.path("mint.toml")).unwrap();
        std::fs::write(&limitless, text.replace("uses = 100", "# uses = 100")).unwrap();
        limitless
    }

    /// The answer in JSON of a command that succeeds.
    pub(crate) fn answer(&self, arguments: &[&str]) -> Value {
        let output = self.quorate(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn mint(&self, to: &str) -> Output {
        self.quorate(&["session", "use", self.nft(), "safeMint(address to)", to])
    }

    /// How many of the NFT contract's tokens the account has, by the chain.
    pub(crate) fn tokens_of_account(&self) -> U256 {
        let settings: toml::Table =
            std::fs::read_to_string(self.path("quorate.toml")).unwrap().parse().unwrap();
        let rpc = settings["profiles"]["devnet"]["rpc"].as_str().unwrap();
        let chain = HttpTransport::builder(rpc.parse().unwrap()).build().unwrap();
        let owner = self.account().parse().unwrap();
        let data = hex::encode_prefixed(Erc721::balanceOfCall { owner }.abi_encode());
        let call = json!({ "to": self.nft(), "data": data });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(chain.call("eth_call", (call, "latest"))).unwrap()
    }

    /// How many nodes have stored the end of a key that `session revoke` names.
    pub(crate) fn stored_by(&self, ended: &Value) -> usize {
        let owner: PrivateKeySigner = self.environment["QUORATE_OWNER_KEY"].parse().unwrap();
        revoked::stored_by(ended, &self.path("network.json"), &owner)
    }

    /// Has nodes stand still, which the network takes for slow ones.
    pub(crate) fn hold_up(&self, nodes: &[u8]) -> HeldUp {
        let configs: Vec<_> = nodes.iter().map(|node| format!("/node-{node}/node.toml")).collect();
        let parent = format!("PPid:\t{}\n", self.child.id());
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok();
            let (line, status) = (read("cmdline")?, read("status")?);
            let is_meant = status.contains(&parent) && configs.iter().any(|config| line.contains(config));
            let number = entry.file_name().to_str()?.parse().ok()?;
            is_meant.then(|| Pid::from_raw(number))
        });
        let held_up = HeldUp(processes.collect());
        assert_eq!(held_up.0.len(), nodes.len());
        held_up.0.iter().for_each(|node| kill(*node, Signal::SIGSTOP).unwrap());
        held_up
    }

    pub(crate) fn statuses(&self) -> Vec<String> {
        let listed = self.answer(&["session", "list"]);
        let sessions = listed["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["status"].as_str().unwrap().to_owned()).collect()
    }
}

/// Nodes that stand still until this is dropped.
pub(crate) struct HeldUp(Vec<Pid>);

impl Drop for HeldUp {
    fn drop(&mut self) {
        for node in &self.0 {
            let _ = kill(*node, Signal::SIGCONT);
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
        let _ = self.child.wait();
    }
}
