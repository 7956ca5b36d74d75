use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::{
    Biconomy, Call, Condition, FunctionSelector, HttpTransport, LocalSessionKey, Paymaster, Policy, Quorate,
    Rule, SealingKey, Session, SmartAccount, SqliteStore,
};
use quorate_contracts::{Deployment, Erc721};
use quorate_devnet::Devnet;
use quorate_transport::Transport;
use tempfile::TempDir;

use crate::progress::Progress;

/// A real chain and a real bundler, and a folder for the clients' stores.
#[derive(Debug)]
pub(super) struct LocalChain {
    devnet: Devnet,
    folder: TempDir,
}

impl LocalChain {
    pub(super) async fn start(cache: &Path, progress: &Arc<Progress>) -> anyhow::Result<Self> {
        let devnet = Devnet::builder(cache).progress(progress.clone()).start().await?;
        Ok(Self { devnet, folder: tempfile::tempdir()? })
    }

    pub(super) async fn shutdown(self) {
        self.devnet.shutdown().await;
    }

    pub(super) const fn devnet(&self) -> &Devnet {
        &self.devnet
    }

    pub(super) fn node(&self) -> anyhow::Result<Arc<dyn Transport>> {
        Ok(Arc::new(HttpTransport::builder(self.devnet.rpc_url().clone()).build()?))
    }

    pub(super) fn bundler(&self) -> anyhow::Result<Arc<dyn Transport>> {
        Ok(Arc::new(HttpTransport::builder(self.devnet.bundler_url().clone()).build()?))
    }

    /// The service that signs for the verifying paymaster.
    pub(super) fn sponsor(&self) -> anyhow::Result<Arc<dyn Paymaster>> {
        let service = Arc::new(HttpTransport::builder(self.devnet.paymaster_url().clone()).build()?);
        Ok(Arc::new(Biconomy::new(service).with_sponsor(self.devnet.verifying_paymaster())))
    }

    /// A client by these transports, with a store in a file named `name`.
    pub(super) async fn connect(
        &self,
        node: Arc<dyn Transport>,
        bundler: Arc<dyn Transport>,
        name: &str,
    ) -> anyhow::Result<Quorate> {
        let client = Quorate::connect_by(Deployment::canonical(), node, bundler).await?;
        let store = SqliteStore::open(self.folder.path().join(name), SealingKey::random()?).await?;
        Ok(client.with_store(Arc::new(store)).with_unlimited_requests())
    }

    /// Gives an account a million ether: enough for all that a run sends, at whatever fees the bundler advises.
    pub(super) async fn fund(&self, account: Address) -> anyhow::Result<()> {
        Ok(self.devnet.set_balance(account, U256::from(10).pow(U256::from(24))).await?)
    }

    /// A new owner's account, which has ether. It is deployed by the first grant.
    pub(super) async fn account(&self, client: &Quorate) -> anyhow::Result<OwnedAccount> {
        let owner = PrivateKeySigner::random();
        let account = client.account(owner.address(), 0);
        self.fund(account.address()).await?;
        Ok(OwnedAccount { owner, account, nft: self.devnet.nft() })
    }
}

/// An account and its owner's key.
#[derive(Debug)]
pub(super) struct OwnedAccount {
    pub(super) owner: PrivateKeySigner,
    pub(super) account: SmartAccount,
    nft: Address,
}

impl OwnedAccount {
    /// Whoever has the session may mint to the account itself.
    pub(super) fn policy(&self) -> anyhow::Result<Policy> {
        mint_policy(self.nft, self.account.address())
    }

    pub(super) fn mint(&self) -> Vec<u8> {
        mint(self.account.address())
    }

    pub(super) fn call(&self, data: &[u8]) -> Call {
        Call::raw(self.nft, data.to_vec())
    }

    /// A session on chain.
    pub(super) async fn session(&self) -> anyhow::Result<Session> {
        let grant = self.account.grant([self.policy()?])?;
        let pending = self.account.send(grant, &LocalSessionKey::random(), &self.owner).await?;
        Ok(self.account.session(pending.wait().await?.id()).await?)
    }
}

pub(super) fn mint_policy(nft: Address, to: Address) -> anyhow::Result<Policy> {
    let selector = FunctionSelector::parse("safeMint(address)")?;
    Ok(Policy::new(nft, selector).with_rule(Rule::new(0, Condition::Equal, to))?)
}

pub(super) fn mint(to: Address) -> Vec<u8> {
    Erc721::safeMintCall { to }.abi_encode()
}
