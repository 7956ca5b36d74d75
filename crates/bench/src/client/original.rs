//! The original SDK, `@biconomy/account`, in a process of its own on the same chain and bundler.

use std::path::Path;
use std::process::Stdio;

use alloy_primitives::{Address, Bytes};
use anyhow::{Context as _, bail};
use quorate_devnet::PinnedPackages;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::computation::{Computation, GIVEN_SIGNATURE, Signing};
use super::local_chain::LocalChain;
use crate::progress::Progress;

const SCRIPT: &str = include_str!("../../scripts/original.mjs");

/// `viem` is one of the SDK's peers, and `tslib` is what it imports and does not name. TypeScript, a peer that nothing
/// imports, is left out.
const PACKAGES: PinnedPackages<'static> = PinnedPackages {
    package_json: include_str!("../../npm/package.json"),
    package_lock: include_str!("../../npm/package-lock.json"),
    npmrc: include_str!("../../npm/.npmrc"),
};

/// How often it asks for a receipt.
#[derive(Clone, Copy, Debug)]
pub(super) enum PollingInterval {
    /// Five seconds, unless the chain is Ethereum.
    Default,
    Milliseconds(u32),
}

/// A Node.js process that runs `scripts/original.mjs`. It ends with this program, since its input does.
#[derive(Debug)]
pub(super) struct Original {
    // Killed when dropped.
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Original {
    pub(super) async fn start(chain: &LocalChain, cache: &Path, progress: &Progress) -> anyhow::Result<Self> {
        let folder = PACKAGES.install(cache, progress).await?;
        progress.begin("the original SDK");
        let mut process = Command::new("node")
            .args(["--input-type=module", "-e", SCRIPT])
            // Where the imports of such a script are looked for.
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run node")?;
        let input = process.stdin.take().context("no input")?;
        let output = BufReader::new(process.stdout.take().context("no output")?).lines();
        let mut original = Self { _process: process, input, output };
        let devnet = chain.devnet();
        original
            .ask::<Value>(json!({
                "command": "setup",
                "rpcUrl": devnet.rpc_url().as_str(),
                "bundlerUrl": devnet.bundler_url().as_str(),
                "chainId": devnet.chain_id(),
                "nft": devnet.nft(),
            }))
            .await?;
        Ok(original)
    }

    /// Goes on with the account of a new owner, which has ether. It is deployed by the first grant.
    pub(super) async fn account(&mut self, chain: &LocalChain) -> anyhow::Result<()> {
        let Account { address } = self.ask(json!({ "command": "account" })).await?;
        chain.fund(address).await
    }

    /// Grants a session, and gives the milliseconds from the call to the receipt.
    pub(super) async fn create(&mut self, interval: PollingInterval) -> anyhow::Result<f64> {
        self.timed("create", interval).await
    }

    /// Uses the session, in a nonce stream of its own; the same.
    pub(super) async fn use_session(&mut self, interval: PollingInterval) -> anyhow::Result<f64> {
        self.timed("use", interval).await
    }

    /// Computes a use so many times, after as many that are not measured.
    pub(super) async fn compute(
        &mut self,
        computation: &Computation,
        signing: Signing,
        iterations: u32,
    ) -> anyhow::Result<Computed> {
        let mut request = json!({
            "command": "cpu",
            "account": computation.account,
            "sessionKey": computation.session_key,
            "iterations": iterations,
        });
        if let Signing::Given = signing {
            request["signature"] = json!(Bytes::from(GIVEN_SIGNATURE));
        }
        self.ask(request).await
    }

    async fn timed(&mut self, command: &str, interval: PollingInterval) -> anyhow::Result<f64> {
        let request = match interval {
            PollingInterval::Default => json!({ "command": command }),
            PollingInterval::Milliseconds(interval) => {
                json!({ "command": command, "pollingInterval": interval })
            }
        };
        let Timed { milliseconds } = self.ask(request).await?;
        Ok(milliseconds)
    }

    async fn ask<T: DeserializeOwned>(&mut self, request: Value) -> anyhow::Result<T> {
        self.input.write_all(format!("{request}\n").as_bytes()).await?;
        let line = self.output.next_line().await?.context("the original SDK's process has ended")?;
        match serde_json::from_str(&line)? {
            Answer::Ok(answer) => Ok(T::deserialize(answer)?),
            Answer::Error(error) => bail!("the original SDK failed: {error}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Ok(Value),
    Error(String),
}

#[derive(Deserialize)]
struct Account {
    address: Address,
}

#[derive(Deserialize)]
struct Timed {
    milliseconds: f64,
}

/// What computing a use took, and came to.
#[derive(Debug, Deserialize)]
pub(super) struct Computed {
    /// CPU time of one, of all the process's threads.
    pub(super) microseconds: f64,
    /// The whole signature of the operation.
    pub(super) signature: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockfile_names_no_registry() {
        let PinnedPackages { package_lock, npmrc, .. } = PACKAGES;
        assert!(!package_lock.contains("\"resolved\"") && !package_lock.contains("registry"));
        assert!(npmrc.contains("omit-lockfile-registry-resolved=true"));
    }
}
