use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::cache::CacheError;
use crate::contracts::Contracts;
use crate::devnet::{Devnet, DevnetError};
use crate::port::Ports;
use crate::process::ProcessError;
use crate::progress::{Progress, Quiet};
use crate::start::Start;
use crate::toolchain::Toolchain;
use crate::watchdog::Watchdog;

const DEFAULT_CHAIN_ID: u64 = 31337;
/// How often other ports are tried where somebody else took one between its choice and its use.
const LOST_PORTS: usize = 3;

/// How a [`Devnet`] should be; see [`Devnet::builder`].
#[must_use]
pub struct DevnetBuilder {
    cache: PathBuf,
    work_dir: Option<PathBuf>,
    chain_id: u64,
    chain_port: Option<u16>,
    bundler_port: Option<u16>,
    progress: Arc<dyn Progress>,
}

impl DevnetBuilder {
    pub(crate) fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            work_dir: None,
            chain_id: DEFAULT_CHAIN_ID,
            chain_port: None,
            bundler_port: None,
            progress: Arc::new(Quiet),
        }
    }

    /// Sets the folder for logs. By default it is a new one below the cache, which is removed at the end unless the
    /// start fails.
    pub fn work_dir(mut self, work_dir: impl Into<PathBuf>) -> Self {
        self.work_dir = Some(work_dir.into());
        self
    }

    /// Sets the chain's id, 31337 by default.
    pub fn chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// Sets the chain's TCP port, a free one by default.
    pub fn chain_port(mut self, port: u16) -> Self {
        self.chain_port = Some(port);
        self
    }

    /// Sets the bundler's TCP port, a free one by default.
    pub fn bundler_port(mut self, port: u16) -> Self {
        self.bundler_port = Some(port);
        self
    }

    /// Sets who is told what is going on.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Installs and compiles what is missing, starts the processes, and waits until they answer.
    ///
    /// Dropping the future ends what it started.
    ///
    /// # Errors
    /// If a port is taken, Node.js is missing, or a process does not start; its last words are in the error.
    pub async fn start(self) -> Result<Devnet, DevnetError> {
        let (held, mut ports) = self.ports()?;

        let toolchain = Toolchain::install(&self.cache, &*self.progress).await?;
        let contracts = Contracts::compile(&toolchain, &*self.progress).await?;
        drop(held);

        let (folder, temporary) = self.folder(&toolchain)?;
        let start = Start {
            folder: &folder,
            toolchain: &toolchain,
            chain_id: self.chain_id,
            watchdog: Arc::new(Watchdog::start().map_err(|source| ProcessError::Watchdog { source })?),
            progress: &*self.progress,
        };
        let mut outcome = start.run(&contracts, ports).await;
        for _ in 0..LOST_PORTS {
            let Err(DevnetError::Process(error)) = &outcome else { break };
            if !error.is_lost_port() {
                break;
            }
            ports = self.ports()?.1;
            outcome = start.run(&contracts, ports).await;
        }
        match outcome {
            Ok(devnet) => Ok(devnet.with_logs(temporary)),
            Err(error) => {
                // The error points to the logs.
                temporary.map(TempDir::keep);
                Err(error)
            }
        }
    }

    /// Ports for the chain and the bundler, and what holds them until their processes start.
    fn ports(&self) -> Result<(Ports, [u16; 2]), ProcessError> {
        let mut ports = Ports::default();
        let chain = ports.choose("the chain", self.chain_port)?;
        let bundler = ports.choose("the bundler", self.bundler_port)?;
        Ok((ports, [chain, bundler]))
    }

    fn folder(&self, toolchain: &Toolchain) -> Result<(PathBuf, Option<TempDir>), CacheError> {
        if let Some(work_dir) = &self.work_dir {
            fs::create_dir_all(work_dir).map_err(CacheError::at("make", work_dir))?;
            let folder = fs::canonicalize(work_dir).map_err(CacheError::at("find", work_dir))?;
            return Ok((folder, None));
        }
        let runs = toolchain.cache().join("runs");
        fs::create_dir_all(&runs).map_err(CacheError::at("make", &runs))?;
        let temporary = tempfile::tempdir_in(&runs).map_err(CacheError::at("make a folder in", &runs))?;
        Ok((temporary.path().to_owned(), Some(temporary)))
    }
}

impl std::fmt::Debug for DevnetBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevnetBuilder")
            .field("cache", &self.cache)
            .field("work_dir", &self.work_dir)
            .field("chain_id", &self.chain_id)
            .field("chain_port", &self.chain_port)
            .field("bundler_port", &self.bundler_port)
            .finish_non_exhaustive()
    }
}
