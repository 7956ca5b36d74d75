use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use futures_util::future::try_join_all;
use quorate_bundler::Bundler;
use quorate_contracts::Deployment;
use quorate_contracts::account::Creation;
use quorate_core::merkle;
#[cfg(feature = "network")]
use quorate_network::SigningNetwork;
use quorate_paymaster::Paymaster;
use quorate_signer::SessionSigner;
use quorate_store::{AccountId, MemoryStore, Store};
#[cfg(feature = "http")]
use quorate_transport::HttpTransport;
use quorate_transport::Transport;
use tokio::time::Instant;
#[cfg(feature = "http")]
use url::Url;

use crate::chain::Chain;
use crate::cost::Price;
use crate::owner::OwnerForm;
use crate::pace::Pace;
use crate::{Error, Options, OwnerModule, PendingOperation, Session, SessionRecord, SmartAccount};

/// A chain and a bundler: where accounts live and operations go.
#[derive(Clone)]
pub struct Quorate {
    pub(crate) chain: Chain,
    pub(crate) bundler: Bundler,
    pub(crate) deployment: Deployment,
    chain_id: u64,
    pub(crate) store: Arc<dyn Store>,
    #[cfg(feature = "network")]
    pub(crate) network: Option<SigningNetwork>,
    pub(crate) paymaster: Option<Arc<dyn Paymaster>>,
    /// Blocks on top of one before what it says counts.
    pub(crate) confirmations: u64,
    pub(crate) pace: Arc<Pace>,
    pub(crate) shared: Arc<Shared>,
}

/// What a client and its clones know together.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The newest block's number that any node answered for.
    pub(crate) newest_block: AtomicU64,
    /// Operations that a task of this process is sending at this moment.
    pub(crate) in_flight: Mutex<HashSet<B256>>,
    /// Operations that a wait of this process has seen end, so that it is no news to anybody.
    seen: Mutex<HashSet<B256>>,
    trees: Mutex<HashMap<B256, Arc<merkle::Tree>>>,
    /// The price of gas that was read last, and when.
    pub(crate) price: Mutex<Option<(Instant, Price)>>,
}

impl Shared {
    /// Notes that the end of an operation was seen.
    pub(crate) fn see(&self, user_op_hash: B256) {
        self.seen().insert(user_op_hash);
    }

    /// Whether the end of an operation was seen; only of those that are stored is it remembered.
    pub(crate) fn has_seen(&self, user_op_hash: B256) -> bool {
        self.seen().contains(&user_op_hash)
    }

    pub(crate) fn forget_seen_but(&self, stored: &HashSet<B256>) {
        self.seen().retain(|user_op_hash| stored.contains(user_op_hash));
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashSet<B256>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client holds is its store's and its endpoints' to show.
impl fmt::Debug for Quorate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorate").field("chain_id", &self.chain_id).finish_non_exhaustive()
    }
}

/// How many trees are kept with their inner nodes.
const CACHED_TREES: usize = 32;

impl Quorate {
    /// Connects to a chain's node and a bundler over HTTP, with the contracts at their canonical addresses.
    ///
    /// # Errors
    /// A URL that is not HTTP; an endpoint that gives no answer; [`Error::OtherChains`] where the two serve different
    /// chains, and [`Error::NoEntryPoint`] where the bundler does not serve the entry point.
    #[cfg(feature = "http")]
    pub async fn connect(node: Url, bundler: Url) -> Result<Self, Error> {
        let is_local = [&node, &bundler].into_iter().all(is_loopback);
        let node = HttpTransport::builder(node).build()?;
        let bundler = HttpTransport::builder(bundler).build()?;
        let client = Self::connect_by(Deployment::canonical(), Arc::new(node), Arc::new(bundler)).await?;
        Ok(if is_local { client.with_unlimited_requests() } else { client })
    }

    /// The same by transports with options of their own, and for contracts at other addresses.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_by(
        deployment: Deployment,
        node: Arc<dyn Transport>,
        bundler: Arc<dyn Transport>,
    ) -> Result<Self, Error> {
        Self::connect_with(deployment, node, Bundler::new(bundler)).await
    }

    /// The same with a bundler of a named dialect, or with several.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        deployment: Deployment,
        node: Arc<dyn Transport>,
        bundler: Bundler,
    ) -> Result<Self, Error> {
        let chain = Chain::new(node, deployment);
        let (chain_id, bundler_s, entry_points) =
            tokio::try_join!(chain.id(), async { Ok(bundler.chain_id().await?) }, async {
                Ok(bundler.supported_entry_points().await?)
            },)?;
        if chain_id != bundler_s {
            return Err(Error::OtherChains { node: chain_id, bundler: bundler_s });
        }
        if !entry_points.contains(&deployment.entry_point) {
            return Err(Error::NoEntryPoint { needed: deployment.entry_point, served: entry_points });
        }
        Ok(Self {
            chain,
            bundler,
            deployment,
            chain_id,
            store: Arc::new(MemoryStore::new()),
            #[cfg(feature = "network")]
            network: None,
            paymaster: None,
            confirmations: 0,
            pace: Arc::new(Pace::remote()),
            shared: Arc::default(),
        })
    }

    /// Keeps sessions and operations in this store. Without one they are kept in memory, and end with the client and its
    /// clones.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// Signs with this network for stored sessions whose keys it holds.
    #[cfg(feature = "network")]
    #[must_use]
    pub fn with_network(mut self, network: SigningNetwork) -> Self {
        self.network = Some(network);
        self
    }

    /// Has this paymaster pay for what options say is sponsored or paid in tokens, where they name no other.
    #[must_use]
    pub fn with_paymaster(mut self, paymaster: &(impl Paymaster + Clone + 'static)) -> Self {
        self.paymaster = Some(Arc::new(paymaster.clone()));
        self
    }

    /// Believes a block when there are so many blocks on top of it; 0 unless set. It decides when a wait ends, when a
    /// session is active, and when what became of an operation is final. A reorganised block makes a session pending
    /// again.
    #[must_use]
    pub const fn with_confirmations(mut self, blocks: u64) -> Self {
        self.confirmations = blocks;
        self
    }

    /// Waits with at most so many requests a second to the node and the bundler together, one at a time; 10 unless set,
    /// and for endpoints on this machine any number.
    #[must_use]
    pub fn with_requests_per_second(mut self, requests: u32) -> Self {
        self.pace = Arc::new(self.pace.with_budget(Some(requests)));
        self
    }

    /// Waits with any number of requests, as fits a chain on the same machine.
    #[must_use]
    pub fn with_unlimited_requests(mut self) -> Self {
        self.pace = Arc::new(self.pace.with_budget(None));
        self
    }

    /// How far apart blocks are, which decides how often a wait looks; where it is not set it is read from the chain once.
    #[must_use]
    pub fn with_block_time(mut self, time: Duration) -> Self {
        self.pace = Arc::new(self.pace.with_block_time(time));
        self
    }

    /// Where sessions are kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The chain's id, as its node says.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Where the contracts are.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// An owner's account, by the ECDSA ownership module; it need not exist yet. One owner may have several, by `index`.
    pub fn account(&self, owner: Address, index: u64) -> SmartAccount {
        self.account_created_by(OwnerModule::Ecdsa, owner, index)
    }

    /// An owner's account whose first owner module is this one, which decides its address; it need not exist yet.
    pub fn account_created_by(&self, module: OwnerModule, owner: Address, index: u64) -> SmartAccount {
        let creation = self.creation(module, owner, index);
        self.new_account(creation.address(&self.deployment), owner, module, Some(creation))
    }

    /// The same with the address that the factory on chain gives it, for a deployment whose accounts have other code.
    ///
    /// # Errors
    /// The node gives no answer, or there is no factory.
    pub async fn account_by_factory(
        &self,
        module: OwnerModule,
        owner: Address,
        index: u64,
    ) -> Result<SmartAccount, Error> {
        let creation = self.creation(module, owner, index);
        let address = self.chain.address_by_factory(&creation).await?;
        Ok(self.new_account(address, owner, module, Some(creation)))
    }

    /// A deployed account, by its address: with the owner that its modules name on chain. Of two owner modules that are
    /// enabled the ECDSA ownership module counts; [`SmartAccount::with_owner_module`] changes that.
    ///
    /// # Errors
    /// [`Error::NotDeployed`]; [`Error::NoOwnerModule`], and [`Error::NoOwner`] where the module names nobody; the
    /// node gives no answer.
    pub async fn account_at(&self, address: Address) -> Result<SmartAccount, Error> {
        if !self.chain.is_deployed(address).await? {
            return Err(Error::NotDeployed { account: address, chain_id: self.chain_id });
        }
        let modules = self.enabled_owner_modules(address).await?;
        let module = *modules.first().ok_or(Error::NoOwnerModule { account: address })?;
        let owner = self.owner_by(module, address).await?;
        Ok(self.new_account(address, owner, module, None))
    }

    /// The owner modules that are enabled on a deployed account.
    pub(crate) async fn enabled_owner_modules(&self, account: Address) -> Result<Vec<OwnerModule>, Error> {
        let enabled =
            try_join_all(OwnerModule::ALL.map(|module| {
                let address = module.address(&self.deployment);
                async move {
                    Ok::<_, Error>(self.chain.is_module_enabled(account, address).await?.then_some(module))
                }
            }));
        Ok(enabled.await?.into_iter().flatten().collect())
    }

    /// Whom a module names as an account's owner.
    pub(crate) async fn owner_by(&self, module: OwnerModule, account: Address) -> Result<Address, Error> {
        let owner = self.chain.owner(account, module.address(&self.deployment)).await?;
        owner.ok_or(Error::NoOwner { account, module })
    }

    fn creation(&self, module: OwnerModule, owner: Address, index: u64) -> Creation {
        Creation { owner_module: module.address(&self.deployment), owner, index: U256::from(index) }
    }

    fn new_account(
        &self,
        address: Address,
        owner: Address,
        module: OwnerModule,
        creation: Option<Creation>,
    ) -> SmartAccount {
        let owner_form = OwnerForm { module, operations: 1 };
        SmartAccount { client: self.clone(), owner, owner_form, creation, address, options: Options::new() }
    }

    /// A session that was granted, to be used with the signer of its key.
    ///
    /// # Errors
    /// [`Error::OtherKey`] for another key's signer.
    pub fn session(
        &self,
        record: impl Into<SessionRecord>,
        signer: Arc<dyn SessionSigner>,
    ) -> Result<Session, Error> {
        let record = record.into();
        if signer.address() != record.session_key {
            return Err(Error::OtherKey { session: record.id, address: record.session_key });
        }
        Ok(Session::new(self.clone(), record, signer))
    }

    /// An operation that was sent, here or elsewhere, to be waited for.
    pub fn pending(&self, user_op_hash: B256) -> PendingOperation {
        PendingOperation::by_hash(self.clone(), user_op_hash)
    }

    /// The tree of an account with this root; none where the store does not know it. Each is hashed once.
    pub(crate) async fn tree(
        &self,
        account: AccountId,
        root: B256,
    ) -> Result<Option<Arc<merkle::Tree>>, Error> {
        if root == B256::ZERO {
            return Ok(Some(Arc::default()));
        }
        if let Some(tree) = self.cached_trees().get(&root) {
            return Ok(Some(Arc::clone(tree)));
        }
        let Some(leaves) = self.store.tree(account, root).await? else { return Ok(None) };
        let tree = merkle::Tree::new(leaves).map_err(Error::Tree)?;
        if tree.root() != root {
            return Err(Error::AlteredTree { account, root });
        }
        Ok(Some(self.cache(tree)))
    }

    pub(crate) fn cache(&self, tree: merkle::Tree) -> Arc<merkle::Tree> {
        let tree = Arc::new(tree);
        let mut trees = self.cached_trees();
        if trees.len() >= CACHED_TREES {
            trees.clear();
        }
        trees.insert(tree.root(), Arc::clone(&tree));
        tree
    }

    /// A tree is put there whole, so that a panic elsewhere leaves nothing half done.
    fn cached_trees(&self) -> std::sync::MutexGuard<'_, HashMap<B256, Arc<merkle::Tree>>> {
        self.shared.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "http")]
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// This machine's time since 1970. Only what nobody else can say is taken from it.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
