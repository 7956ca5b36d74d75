use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use quorate_transport::{BuildError, HttpTransport, TransportError, TransportExt};
use tempfile::TempDir;
use url::Url;

use crate::builder::DevnetBuilder;
use crate::cache::CacheError;
use crate::contracts::CompileError;
use crate::delegation_framework;
use crate::paymaster::{self, PaymasterService};
use crate::place::PlaceError;
use crate::process::{Process, ProcessError};
use crate::toolchain::{Toolchain, ToolchainError};
use crate::transact::Transactor;

const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

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
    /// The paymaster service could not listen.
    #[error("the paymaster service cannot listen on a port of 127.0.0.1")]
    PaymasterService(#[source] std::io::Error),
}

/// A chain with the account contracts, MetaMask's delegation framework and EntryPoint v0.6 and v0.7 at their canonical
/// addresses, a bundler for both, and a paymaster service.
///
/// All listen on 127.0.0.1. They end with [`Devnet::shutdown`], when this is dropped, and when the program ends in
/// whatever way.
#[derive(Debug)]
pub struct Devnet {
    // Dropped from top to bottom: first who depends on the others.
    pub(crate) paymaster: PaymasterService,
    pub(crate) bundler: Process,
    pub(crate) chain: Process,
    pub(crate) client: Arc<HttpTransport>,
    /// Sends the transactions of this crate; the chain signs for it.
    pub(crate) placing_account: Address,
    pub(crate) toolchain: Toolchain,
    pub(crate) rpc_url: Url,
    pub(crate) bundler_url: Url,
    pub(crate) chain_id: u64,
    pub(crate) nft: Address,
    /// Of the accounts that the caller may use. Well known, so that they need not be hidden.
    pub(crate) keys: Vec<B256>,
    pub(crate) _logs: Option<TempDir>,
}

impl Devnet {
    /// Prepares a development network whose packages and compiled contracts are kept below the folder `cache`.
    ///
    /// Several programs may use one `cache` at the same time.
    pub fn builder(cache: impl Into<PathBuf>) -> DevnetBuilder {
        DevnetBuilder::new(cache.into())
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

    /// The VerifyingSingletonPaymaster, with 100 ether for the service's
    /// [`paymaster_id`](PaymasterService::paymaster_id).
    pub fn verifying_paymaster(&self) -> Address {
        self.paymaster.contracts().verifying_paymaster
    }

    /// The VerifyingPaymaster for operations of EntryPoint v0.7, with 100 ether there.
    pub fn verifying_paymaster_v0_7(&self) -> Address {
        self.paymaster.contracts().verifying_paymaster_v0_7
    }

    /// The paymaster that is paid in [`token`](Self::token) or [`picky_token`](Self::picky_token), with 100 ether at
    /// the entry point. It is whom an account approves.
    pub fn token_paymaster(&self) -> Address {
        self.paymaster.contracts().token_paymaster
    }

    /// An ERC-20 token of six decimals; see [`mint_token`](Self::mint_token).
    pub fn token(&self) -> Address {
        self.paymaster.contracts().token
    }

    /// Another one, whose `approve` reverts where it changes an allowance from one amount to another and neither is
    /// zero, as USDT's does.
    pub fn picky_token(&self) -> Address {
        self.paymaster.contracts().picky_token
    }

    /// Gives `to` new units of either token, a millionth of a token each, and waits until it has them.
    ///
    /// # Errors
    /// If the chain does not answer, or `token` is something else.
    pub async fn mint_token(&self, token: Address, to: Address, amount: U256) -> Result<(), PlaceError> {
        let transactor = Transactor::new(&self.client, self.placing_account);
        paymaster::mint(&transactor, token, to, amount).await
    }

    /// Where the paymaster service answers JSON-RPC over HTTP, in Biconomy's dialect and in that of ERC-7677.
    pub fn paymaster_url(&self) -> &Url {
        self.paymaster.url()
    }

    /// The paymaster service, which can be made to err.
    pub fn paymaster(&self) -> &PaymasterService {
        &self.paymaster
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

    /// Makes an address an account of MetaMask's delegation framework, whose delegations the manager of version 1.3.0
    /// redeems here as on public chains.
    ///
    /// Its code becomes what it is after its key authorized the framework's `EIP7702StatelessDeleGator` (EIP-7702). Its
    /// key still signs for it, and its balance and nonce stay what they are: there is no authorization, which would use
    /// up a nonce. The ECDSA module refuses to transfer a smart account to it, as to every address with code (`NotEOA`).
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn make_delegator(&self, owner: Address) -> Result<(), TransportError> {
        delegation_framework::make_delegator(&self.client, owner).await
    }

    /// Keeps the folder with the logs as long as the network.
    pub(crate) fn with_logs(self, logs: Option<TempDir>) -> Self {
        Self { _logs: logs, ..self }
    }

    /// Ends the paymaster service, the bundler and the chain, and waits until they are gone.
    pub async fn shutdown(mut self) {
        drop(self.paymaster);
        self.bundler.terminate(SHUTDOWN_PATIENCE).await;
        self.chain.terminate(SHUTDOWN_PATIENCE).await;
    }
}
