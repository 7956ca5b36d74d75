use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use quorate_transport::{BuildError, HttpTransport, TransportError, TransportExt};
use serde::Deserialize;
use tempfile::TempDir;
use url::Url;

use crate::cache::CacheError;
use crate::contracts::{CompileError, Contracts};
use crate::place::{PlaceError, Placer};
use crate::port::{Ports, local_url};
use crate::process::{Process, ProcessError, Program};
use crate::progress::{Progress, Quiet, Step};
use crate::toolchain::{Toolchain, ToolchainError};
use crate::watchdog::Watchdog;

const DEFAULT_CHAIN_ID: u64 = 31337;
const START_DEADLINE: Duration = Duration::from_secs(60);
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);
/// How often other ports are tried where somebody else took one between its choice and its use.
const LOST_PORTS: usize = 3;

/// Accounts with 10000 ether each that the caller may use; those after them belong to the bundler and to this crate.
const FUNDED_ACCOUNTS: usize = 10;
const BUNDLER_EXECUTORS: std::ops::Range<usize> = 10..14;
const BUNDLER_UTILITY: usize = 14;
const PLACING_ACCOUNT: usize = 15;
const ACCOUNTS: usize = 16;

/// A development network could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevnetError {
    /// The npm packages could not be installed.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The contracts could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A process could not be started, or ended by itself.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The contracts could not be put on the chain.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No client for the chain could be made.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// The folder for the logs could not be used.
    #[error(transparent)]
    Folder(#[from] CacheError),
    /// The chain did not write the accounts that it has.
    #[error("the chain wrote an account file that cannot be read: {path}", path = path.display())]
    Accounts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A chain with the account contracts at their canonical addresses, and a bundler for it.
///
/// Both listen on 127.0.0.1. They end with [`Devnet::shutdown`], when this is dropped, and when the program ends in
/// whatever way.
#[derive(Debug)]
pub struct Devnet {
    // Dropped from top to bottom: first who depends on the others.
    bundler: Process,
    chain: Process,
    client: HttpTransport,
    toolchain: Toolchain,
    rpc_url: Url,
    bundler_url: Url,
    chain_id: u64,
    nft: Address,
    keys: Vec<B256>,
    _logs: Option<TempDir>,
}

impl Devnet {
    /// Prepares a development network whose packages and compiled contracts are kept below the folder `cache`.
    ///
    /// Several programs may use one `cache` at the same time.
    pub fn builder(cache: impl Into<PathBuf>) -> DevnetBuilder {
        DevnetBuilder {
            cache: cache.into(),
            work_dir: None,
            chain_id: DEFAULT_CHAIN_ID,
            chain_port: None,
            bundler_port: None,
            progress: Arc::new(Quiet),
        }
    }

    /// Where the chain answers JSON-RPC over HTTP.
    pub fn rpc_url(&self) -> &Url {
        &self.rpc_url
    }

    /// Where the bundler answers JSON-RPC over HTTP.
    pub fn bundler_url(&self) -> &Url {
        &self.bundler_url
    }

    /// The chain's id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// An ERC-721 contract on which anyone may call `safeMint(address)`.
    pub fn nft(&self) -> Address {
        self.nft
    }

    /// The private key of an account that starts with 10000 ether; there are ten, from 0.
    ///
    /// The keys are the well-known ones of the development mnemonic: worth nothing anywhere else.
    pub fn funded_key(&self, index: usize) -> Option<B256> {
        self.keys.get(index).copied()
    }

    /// The installed npm packages.
    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Gives an address a balance, in wei.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn set_balance(&self, address: Address, wei: U256) -> Result<(), TransportError> {
        self.client.call("anvil_setBalance", (address, wei)).await
    }

    /// Ends the bundler and the chain, and waits until they are gone.
    pub async fn shutdown(mut self) {
        self.bundler.terminate(SHUTDOWN_PATIENCE).await;
        self.chain.terminate(SHUTDOWN_PATIENCE).await;
    }
}

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
            Ok(devnet) => Ok(Devnet { _logs: temporary, ..devnet }),
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

/// What the parts of a start share.
struct Start<'a> {
    folder: &'a Path,
    toolchain: &'a Toolchain,
    chain_id: u64,
    watchdog: Arc<Watchdog>,
    progress: &'a dyn Progress,
}

impl Start<'_> {
    async fn run(
        &self,
        contracts: &Contracts,
        [chain_port, bundler_port]: [u16; 2],
    ) -> Result<Devnet, DevnetError> {
        self.progress.step(Step::StartChain);
        let rpc_url = local_url(chain_port);
        let client = HttpTransport::builder(rpc_url.clone()).retries(0).deadline(START_DEADLINE).build()?;
        let mut chain = self.start_chain(chain_port)?;
        answers(&mut chain, &client, "eth_chainId").await?;
        // It answers before it has written them.
        chain.ready(START_DEADLINE, async || self.accounts().is_ok()).await?;
        let mut accounts = self.accounts()?;

        self.progress.step(Step::PlaceContracts);
        let placing_account = accounts.available_accounts[PLACING_ACCOUNT];
        let placer = Placer::new(&client, placing_account, contracts);
        let entry_point = placer.place_entry_point().await?;
        // The bundler takes its time to start, so it does so meanwhile.
        let mut bundler = self.start_bundler(bundler_port, &rpc_url, entry_point, &accounts)?;
        let nft = placer.place_account_contracts().await?;

        self.progress.step(Step::StartBundler);
        let bundler_url = local_url(bundler_port);
        let bundler_client = HttpTransport::builder(bundler_url.clone()).retries(0).build()?;
        answers(&mut bundler, &bundler_client, "eth_supportedEntryPoints").await?;

        accounts.private_keys.truncate(FUNDED_ACCOUNTS);
        Ok(Devnet {
            bundler,
            chain,
            client,
            toolchain: self.toolchain.clone(),
            rpc_url,
            bundler_url,
            chain_id: self.chain_id,
            nft,
            keys: accounts.private_keys,
            _logs: None,
        })
    }

    fn start_chain(&self, port: u16) -> Result<Process, DevnetError> {
        let arguments = [
            ("--host", Ipv4Addr::LOCALHOST.to_string()),
            ("--port", port.to_string()),
            ("--chain-id", self.chain_id.to_string()),
            ("--accounts", ACCOUNTS.to_string()),
            ("--config-out", self.account_file().display().to_string()),
        ];
        let program = Program {
            name: "the chain (anvil)".to_owned(),
            program: &self.toolchain.anvil()?,
            arguments: flags(arguments).chain(["--quiet".into()]).collect(),
            directory: self.folder,
            log: self.folder.join("chain.log"),
        };
        Ok(Process::start(program, &self.watchdog)?)
    }

    fn start_bundler(
        &self,
        port: u16,
        rpc_url: &Url,
        entry_point: Address,
        accounts: &Accounts,
    ) -> Result<Process, DevnetError> {
        let keys = &accounts.private_keys;
        let executors: Vec<String> = keys[BUNDLER_EXECUTORS].iter().map(B256::to_string).collect();
        let arguments = [
            ("--entrypoints", entry_point.to_string()),
            ("--executor-private-keys", executors.join(",")),
            ("--utility-private-key", keys[BUNDLER_UTILITY].to_string()),
            ("--rpc-url", rpc_url.to_string()),
            ("--port", port.to_string()),
            ("--safe-mode", "false".to_owned()),
            ("--log-level", "error".to_owned()),
            // Milliseconds. A block is there as soon as a transaction is, and the bundler polls four times in a
            // block's time.
            ("--block-time", "80".to_owned()),
            ("--min-bundle-interval", "20".to_owned()),
            ("--max-bundle-interval", "100".to_owned()),
        ];
        let program = Program {
            name: "the bundler (alto)".to_owned(),
            program: Path::new("node"),
            arguments: [self.toolchain.alto().into(), "run".into()]
                .into_iter()
                .chain(flags(arguments))
                .collect(),
            directory: self.folder,
            log: self.folder.join("bundler.log"),
        };
        Ok(Process::start(program, &self.watchdog)?)
    }

    fn accounts(&self) -> Result<Accounts, DevnetError> {
        let path = self.account_file();
        let text = fs::read_to_string(&path).map_err(CacheError::at("read", &path))?;
        serde_json::from_str(&text).map_err(|source| DevnetError::Accounts { path, source })
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("accounts.json")
    }
}

/// What the chain writes about its accounts.
#[derive(Deserialize)]
struct Accounts {
    available_accounts: [Address; ACCOUNTS],
    private_keys: Vec<B256>,
}

async fn answers(process: &mut Process, client: &HttpTransport, method: &str) -> Result<(), ProcessError> {
    let answers = async || client.call::<serde_json::Value>(method, ()).await.is_ok();
    process.ready(START_DEADLINE, answers).await
}

fn flags<const N: usize>(arguments: [(&str, String); N]) -> impl Iterator<Item = std::ffi::OsString> {
    arguments.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()])
}
