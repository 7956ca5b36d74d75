//! A signing node: its parts, what it takes to open it, and its life until it is stopped.

mod admission;
mod assignment;
mod attempts;
mod bans;
mod catch_up;
mod connected;
mod connection;
mod contract_owners;
mod dead_keys;
mod envelope;
mod error;
mod gateways;
mod heard;
mod in_flight;
mod judge;
mod keygen;
mod ledgers;
#[cfg(feature = "fail-points")]
mod lies;
mod member;
mod nonces;
mod peer_queue;
mod peers;
mod quarantine;
mod recall;
mod rounds;
mod run;
mod signing;
mod statements;
mod tasks;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quorate_protocol::NodeIndex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

#[cfg(feature = "adversaries")]
pub(crate) use self::catch_up::{Remark, Told};
pub(crate) use self::connection::hello_digest;
pub(crate) use self::member::Member;
pub(crate) use self::quarantine::Quarantine;
#[cfg(feature = "adversaries")]
pub(crate) use self::run::RunMessage;

use self::assignment::Assignments;
use self::attempts::Attempts;
use self::bans::Bans;
use self::contract_owners::Chains;
use self::ledgers::Ledgers;
pub(crate) use self::member::{load_member, load_seals};
use self::nonces::Nonces;
use self::rounds::Cores;
use self::run::Pace;
use self::signing::Signing;
use self::statements::Statements;
use self::tls::GatewayTls;
use crate::clock::{self, ClockError};
use crate::config::{ConfigError, NodeConfig};
#[cfg(feature = "fail-points")]
use crate::fail_points;
use crate::observe::{Listener, NodeObserver};
use crate::seal::KeyFileError;
use crate::storage::{Storage, StorageError};

/// A signing node: it holds one share of each key, decides by itself what it signs, and reaches the others
/// through the gateways, to each of which it connects; it opens no port for them.
pub struct Node {
    config: NodeConfig,
    parts: Arc<Parts>,
    /// Where operators ask.
    observe: Listener,
}

/// What a node consists of, whatever it is connected to.
struct Parts {
    member: Arc<Member>,
    storage: Arc<Storage>,
    nonces: Arc<Nonces>,
    chains: Chains,
    assignments: Arc<Assignments>,
    statements: Arc<Statements>,
    signing: Signing,
    bans: Arc<Bans>,
    quarantine: Arc<Quarantine>,
    observer: Arc<NodeObserver>,
    cores: Cores,
    /// How long the rounds of key generations take.
    keygen_pace: Pace,
    most_free_keys: u64,
    /// One key is made at a time.
    making: tokio::sync::Mutex<()>,
    gateways: Vec<Url>,
    tls: GatewayTls,
    /// Told whenever the keys that can be assigned here may be others: every gateway is to know.
    free_keys: Arc<watch::Sender<()>>,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The address at which operators ask.
    #[error("cannot listen on {address}, where `observe` says; is another program using the port?")]
    Observe {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Node {
    /// Reads the keys and opens the database that a configuration names.
    ///
    /// # Errors
    /// Root certificates that cannot be used, a missing or exposed key file, an identity that is not the descriptor's, a database that is damaged, in use or
    /// another node's, or a clock that was never set.
    pub async fn open(config: NodeConfig) -> Result<Self, NodeError> {
        #[cfg(feature = "fail-points")]
        fail_points::arm();
        clock::check(clock::now(), 0)?;
        let member = load_member(&config)?;
        let chains = Chains::new(config.index, &config.chains)?;
        let tls = GatewayTls::new(&config)?;
        let observe = Listener::bind(config.observe).await;
        let observe = observe.map_err(|(address, source)| NodeError::Observe { address, source })?;
        let storage =
            Storage::open(&config.database, load_seals(&config)?, member.network.id(), config.index).await?;
        clock::check(clock::now(), storage.newest_time().await?)?;
        let lost = storage.lost_nodes().await?;
        let parts = Arc::new(Parts::new(member, storage, chains, tls, lost, &config));
        Ok(Self { config, parts, observe })
    }

    /// Serves all its gateways until `stop` is cancelled, connecting again whenever one goes away; then takes nothing new,
    /// lets what runs finish, and closes the database.
    pub async fn serve(self, stop: CancellationToken) {
        let (parts, tasks) = (self.parts, TaskTracker::new());
        let observing = CancellationToken::new();
        tokio::spawn(self.observe.serve(parts.observer.clone(), observing.clone()));
        let _observing = observing.drop_guard();
        let gateways = parts.gateways.iter().cloned();
        let served = gateways.map(|gateway| parts.serve_gateway(gateway, &stop, &tasks));
        futures_util::future::join_all(served).await;
        tasks.close();
        tasks.wait().await;
        parts.storage.close().await;
        tracing::info!(node = %parts.member.index, "stopped");
    }
}

impl Parts {
    fn new(
        member: Member,
        storage: Storage,
        chains: Chains,
        tls: GatewayTls,
        lost: BTreeSet<NodeIndex>,
        config: &NodeConfig,
    ) -> Self {
        let (member, storage) = (Arc::new(member), Arc::new(storage));
        let (nonces, attempts) = (Arc::new(Nonces::default()), Arc::new(Attempts::default()));
        let statements = Arc::new(Statements::new(member.clone(), storage.clone(), attempts.clone()));
        let cores = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
        let ledgers = Arc::new(Ledgers::new(storage.clone(), config.most_journal_bytes));
        let assignments =
            Arc::new(Assignments::new(member.clone(), storage.clone(), config.admission.clone()));
        let needed = quarantine::needed(&member.network, config.bad_nodes, lost.len());
        let quarantine = Quarantine {
            member: member.clone(),
            storage: storage.clone(),
            assignments: assignments.clone(),
            statements: statements.clone(),
            ledgers: ledgers.clone(),
            lost,
            needed,
            readers: tokio::sync::Mutex::default(),
            answered: Mutex::default(),
        };
        let signing = Signing {
            member: member.clone(),
            storage: storage.clone(),
            nonces: nonces.clone(),
            ledgers: ledgers.clone(),
            statements: statements.clone(),
            attempts,
            cores: cores.clone(),
            pace: Pace::default(),
        };
        let gateways = member.network.gateways().to_vec();
        let quarantine = Arc::new(quarantine);
        let database = config.database.clone();
        let observer = NodeObserver::new(&member, &gateways, storage.clone(), quarantine.clone(), database);
        Self {
            gateways,
            tls,
            free_keys: Arc::default(),
            assignments,
            bans: Arc::new(Bans::new(member.clone(), storage.clone())),
            quarantine,
            member,
            storage,
            nonces,
            chains,
            statements,
            signing,
            observer: Arc::new(observer),
            cores,
            keygen_pace: Pace::default(),
            most_free_keys: config.most_free_keys,
            making: tokio::sync::Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::error::TaskError;
    pub(crate) use super::keygen::tests::{Place, node};
    pub(crate) use super::rounds::SignatureRounds;
}
