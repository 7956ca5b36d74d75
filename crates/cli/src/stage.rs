//! A local chain with a bundler and a paymaster, and a signing network of five nodes: what the demo and the devnet run on.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_devnet::{Devnet, LocalNetwork, Progress, Step};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Where it runs.
#[derive(Debug, Args)]
pub(crate) struct StageArguments {
    /// Where npm packages and compiled contracts are kept between runs.
    #[arg(long, default_value = "target/devnet")]
    cache: PathBuf,
    /// The chain's port on 127.0.0.1; a free one by default.
    #[arg(long)]
    chain_port: Option<u16>,
    /// The bundler's port on 127.0.0.1; a free one by default.
    #[arg(long)]
    bundler_port: Option<u16>,
}

/// Dropping what is under way ends the processes that it started.
pub(crate) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let stopped = || anyhow!("stopped; everything that was started is ended");
    stop.run_until_cancelled(work).await.ok_or_else(stopped)?
}

/// A chain with a bundler, and a signing network.
pub(crate) struct Stage {
    pub(crate) network: LocalNetwork,
    pub(crate) devnet: Devnet,
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn set(arguments: &StageArguments, show: &Arc<Show>) -> anyhow::Result<Self> {
        let mut devnet = Devnet::builder(&arguments.cache).progress(show.clone());
        if let Some(port) = arguments.chain_port {
            devnet = devnet.chain_port(port);
        }
        if let Some(port) = arguments.bundler_port {
            devnet = devnet.bundler_port(port);
        }
        let devnet = devnet.start().await?;
        show.done(&format!("a local chain and a bundler run, with an NFT contract at {}", devnet.nft()));
        let folder = tempfile::tempdir()?;
        let network = LocalNetwork::start(&env::current_exe()?, folder.path(), 5, 3, &**show).await?;
        show.done("a 3-of-5 signing network runs, of a gateway and five nodes; they have made a key ahead");
        Ok(Self { network, devnet, _folder: folder })
    }

    pub(crate) fn urls(&self) -> String {
        format!(
            "chain    {}\nbundler  {}\ngateway  {}\nnetwork  {}",
            self.devnet.rpc_url(),
            self.devnet.bundler_url(),
            self.network.gateway_url(),
            self.descriptor().display()
        )
    }

    pub(crate) fn descriptor(&self) -> PathBuf {
        self.network.folder().join("network.json")
    }

    pub(crate) async fn clear(self) {
        self.network.shutdown().await;
        self.devnet.shutdown().await;
    }
}

/// A spinner for what is going on, and a line with its duration for what is done.
pub(crate) struct Show {
    spinner: ProgressBar,
    since: Mutex<Instant>,
}

impl Default for Show {
    fn default() -> Self {
        let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self { spinner, since: Mutex::new(Instant::now()) }
    }
}

impl Show {
    pub(crate) fn begin(&self, what: &str) {
        self.spinner.set_message(what.to_owned());
        // Where there is no terminal for the spinner, lines tell the same.
        if self.spinner.is_hidden() {
            eprintln!("… {what}");
        }
    }

    pub(crate) fn done(&self, what: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:>7.2} s  {what}", since.elapsed().as_secs_f64());
        *since = Instant::now();
        self.spinner.suspend(|| println!("{line}"));
    }
}

impl Progress for Show {
    fn step(&self, step: Step) {
        self.begin(&step.to_string());
    }
}
