mod admission;
mod client;
mod connections;
mod drafts;
mod key_records;
mod keys;
mod occasionally;
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

/// How long the requests under way have to be answered when the gateway is told to stop, and then the last frames to leave.
const DRAIN: Duration = Duration::from_secs(10);
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
        Ok(Self { listener, node_listener, network, config })
    }

    /// Serves nodes and clients until `stop` is cancelled; then takes no new requests, and answers those under way.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, node_listener, network, config } = self;
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
        let (clients, nodes) = (client_routes(&door), node_routes(&door));
        match node_listener {
            Some(node_listener) => {
                let nodes = server::serve(node_listener, nodes, for_nodes, &door);
                tokio::join!(server::serve(listener, clients, for_clients, &door), nodes);
            }
            None => server::serve(listener, clients.merge(nodes), for_clients, &door).await,
        }
        door.client_sockets.close();
        door.node_sockets.close();
        // The nodes are needed for the answers. A client that does not read is not waited for.
        let _ = tokio::time::timeout(DRAIN, door.client_sockets.wait()).await;
        door.cut.cancel();
        let gone = async { tokio::join!(door.client_sockets.wait(), door.node_sockets.wait()) };
        let _ = tokio::time::timeout(FAREWELL, gone).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })
}

fn open_door(network: NetworkDescriptor, config: GatewayConfig, stop: CancellationToken) -> Door {
    let connections = Arc::new(NodeConnections::new(network.clone()));
    let signatures = Signatures::new(network.clone(), Arc::clone(&connections));
    let keys = Arc::new(Keys::new(network.clone(), Arc::clone(&connections), config.free_keys));
    let admission = Admission::new(config.limits);
    let clients = Clients::new(network, Arc::clone(&connections), signatures, Arc::clone(&keys), admission);
    let trusted_proxies = config.trusted_proxies;
    Door {
        connections,
        keys,
        clients,
        trusted_proxies,
        stop,
        cut: CancellationToken::new(),
        client_sockets: TaskTracker::new(),
        node_sockets: TaskTracker::new(),
    }
}
