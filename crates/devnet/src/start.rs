use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use quorate_transport::{BuildError, HttpTransport, TransportExt};
use serde::Deserialize;
use url::Url;

use crate::cache::CacheError;
use crate::contracts::Contracts;
use crate::devnet::{Devnet, DevnetError};
use crate::paymaster::{PaymasterContracts, PaymasterService, Sponsor};
use crate::place::Placer;
use crate::port::local_url;
use crate::process::{Process, ProcessError, Program};
use crate::progress::{Progress, Step};
use crate::toolchain::Toolchain;
use crate::transact::Transactor;
use crate::watchdog::Watchdog;

const START_DEADLINE: Duration = Duration::from_secs(300);

/// Accounts with 10000 ether each that the caller may use; those after them belong to the bundler and to this crate.
const FUNDED_ACCOUNTS: usize = 10;
const BUNDLER_EXECUTORS: std::ops::Range<usize> = 10..14;
const BUNDLER_UTILITY: usize = 14;
const PLACING_ACCOUNT: usize = 15;
const ACCOUNTS: usize = 16;

/// What the parts of a start share.
pub(crate) struct Start<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) toolchain: &'a Toolchain,
    pub(crate) chain_id: u64,
    pub(crate) watchdog: Arc<Watchdog>,
    pub(crate) progress: &'a dyn Progress,
}

impl Start<'_> {
    pub(crate) async fn run(
        &self,
        contracts: &Contracts,
        [chain_port, bundler_port]: [u16; 2],
    ) -> Result<Devnet, DevnetError> {
        self.progress.step(Step::StartChain);
        let rpc_url = local_url(chain_port);
        let client = HttpTransport::builder(rpc_url.clone()).retries(0).deadline(START_DEADLINE).build()?;
        let client = Arc::new(client);
        let mut chain = self.start_chain(chain_port)?;
        answers(&mut chain, &client, "eth_chainId").await?;
        // It answers before it has written them.
        chain.ready(START_DEADLINE, async || self.accounts().is_ok()).await?;
        let mut accounts = self.accounts()?;

        self.progress.step(Step::PlaceContracts);
        let placing_account = accounts.available_accounts[PLACING_ACCOUNT];
        let transactor = Transactor::new(&client, placing_account);
        let placer = Placer::new(transactor, contracts);
        let entry_points = placer.place_entry_points().await?;
        // The bundler takes its time to start, so it does so meanwhile.
        let mut bundler = self.start_bundler(bundler_port, &rpc_url, entry_points, &accounts)?;
        let nft = placer.place_account_contracts().await?;
        placer.place_delegation_framework().await?;
        let signer = PrivateKeySigner::random();
        let paymasters = PaymasterContracts::place(&transactor, contracts, signer.address()).await?;

        self.progress.step(Step::StartBundler);
        let bundler_url = local_url(bundler_port);
        let bundler_client = HttpTransport::builder(bundler_url.clone()).retries(0).build()?;
        answers(&mut bundler, &bundler_client, "eth_supportedEntryPoints").await?;
        // Not this function's clients, whose connections belong to the caller's runtime.
        let sponsor = Sponsor::new(
            service_client(&rpc_url)?,
            service_client(&bundler_url)?,
            self.chain_id,
            paymasters,
            signer,
        );
        let paymaster = PaymasterService::start(sponsor).map_err(DevnetError::PaymasterService)?;

        accounts.private_keys.truncate(FUNDED_ACCOUNTS);
        Ok(Devnet {
            paymaster,
            bundler,
            chain,
            client,
            toolchain: self.toolchain.clone(),
            rpc_url,
            bundler_url,
            chain_id: self.chain_id,
            nft,
            placing_account,
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
        entry_points: [Address; 2],
        accounts: &Accounts,
    ) -> Result<Process, DevnetError> {
        let keys = &accounts.private_keys;
        let executors: Vec<String> = keys[BUNDLER_EXECUTORS].iter().map(B256::to_string).collect();
        let arguments = [
            ("--entrypoints", entry_points.map(|it| it.to_string()).join(",")),
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
    /// As many.
    private_keys: Vec<B256>,
}

fn service_client(url: &Url) -> Result<HttpTransport, BuildError> {
    HttpTransport::builder(url.clone()).retries(0).build()
}

async fn answers(process: &mut Process, client: &HttpTransport, method: &str) -> Result<(), ProcessError> {
    let answers = async || client.call::<serde_json::Value>(method, ()).await.is_ok();
    process.ready(START_DEADLINE, answers).await
}

fn flags<const N: usize>(arguments: [(&str, String); N]) -> impl Iterator<Item = std::ffi::OsString> {
    arguments.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()])
}
