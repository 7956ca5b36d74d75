mod admission;
mod client;
mod connections;
mod drafts;
mod health;
mod key_records;
mod keys;
mod places;
mod pool;
mod queue;
mod quorum;
mod refusals;
mod server;
mod signing;
mod statements;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::NetworkDescriptor;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, GatewayConfig, load_descriptor};
use crate::observe::{GatewayMetrics, Listener};

#[cfg(feature = "adversaries")]
pub(crate) use self::connections::round_of;

use self::admission::Admission;
use self::client::Clients;
use self::connections::NodeConnections;
use self::keys::Keys;
use self::places::Places;
use self::server::{Door, client_routes, node_routes};
use self::signing::Signatures;

/// The network's door: it gathers nonces, hands requests to nodes, relays what they send each other, and returns
/// what they answer. It decides nothing and holds no secret; a bad one can only withhold.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    /// Where nodes come, if not where clients do.
    node_listener: Option<TcpListener>,
    /// Where operators ask.
    observe: Listener,
    network: NetworkDescriptor,
    config: GatewayConfig,
}

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port.
    #[error("cannot listen on {address}; is another program using the port?")]
    Listen {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// How long the last frames have to leave when the gateway stops.
const FAREWELL: Duration = Duration::from_secs(2);

impl Gateway {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// A descriptor that cannot be read, or an address that is taken.
    pub async fn open(config: GatewayConfig) -> Result<Self, GatewayError> {
        let network = load_descriptor(&config.network)?;
        let listener = listen(config.listen).await?;
        let node_listener = match config.listen_nodes {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let observe = Listener::bind(config.observe).await;
        let observe = observe.map_err(|(address, source)| GatewayError::Listen { address, source })?;
        Ok(Self { listener, node_listener, observe, network, config })
    }

    /// Serves nodes and clients until `stop` is cancelled.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, node_listener, observe, network, config } = self;
        let places = || Places::new(&config.limits, &config.trusted_proxies);
        let (for_clients, for_nodes) = (places(), places());
        let door = Arc::new(open_door(network, config, stop.clone()));
        tokio::spawn({
            let door = Arc::clone(&door);
            async move {
                let work = async { tokio::join!(door.keys.keep_pool_filled(), door.clients.keep_tidy()) };
                door.stop.run_until_cancelled(work).await
            }
        });
        tokio::spawn(observe.serve(Arc::clone(&door), stop.clone()));
        let (clients, nodes) = (client_routes(&door), node_routes(&door));
        match node_listener {
            Some(node_listener) => {
                let nodes = server::serve(node_listener, nodes, for_nodes, stop.clone());
                tokio::join!(server::serve(listener, clients, for_clients, stop), nodes);
            }
            None => server::serve(listener, clients.merge(nodes), for_clients, stop).await,
        }
        door.sockets.close();
        // A client that does not read is not waited for.
        let _ = tokio::time::timeout(FAREWELL, door.sockets.wait()).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })
}

fn open_door(network: NetworkDescriptor, config: GatewayConfig, stop: CancellationToken) -> Door {
    let metrics = Arc::new(GatewayMetrics::default());
    let connections = Arc::new(NodeConnections::new(network.clone(), Arc::clone(&metrics)));
    let signatures = Signatures::new(network.clone(), Arc::clone(&connections), Arc::clone(&metrics));
    let keys = Arc::new(Keys::new(network.clone(), Arc::clone(&connections), config.free_keys));
    let admission = Admission::new(config.limits);
    let clients = Clients::new(
        network.clone(),
        Arc::clone(&connections),
        signatures,
        Arc::clone(&keys),
        admission,
        Arc::clone(&metrics),
    );
    let trusted_proxies = config.trusted_proxies;
    Door { network, connections, keys, clients, metrics, trusted_proxies, stop, sockets: TaskTracker::new() }
}
