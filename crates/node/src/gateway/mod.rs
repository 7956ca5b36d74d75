mod admission;
mod client;
mod connections;
mod drafts;
mod health;
mod key_records;
mod keys;
mod nonces;
mod places;
mod pool;
mod queue;
mod quorum;
mod refusals;
mod server;
mod signing;
mod statements;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::NetworkDescriptor;
use tokio::net::TcpListener;
use tokio::sync::Notify;
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
use self::tls::Certificate;
pub use self::tls::CertificateError;

/// The network's door: it gathers nonces, hands requests to nodes, relays what they send each other, and returns
/// what they answer. It decides nothing and holds no secret but the key of its certificate; a bad one can only withhold.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    /// Where nodes come, if not where clients do.
    node_listener: Option<TcpListener>,
    /// Where operators ask.
    observe: Listener,
    network: NetworkDescriptor,
    config: GatewayConfig,
    certificate: Option<Arc<Certificate>>,
    reload: CertificateReload,
    check_certificate_every: Duration,
}

/// Has a gateway read its certificate again.
#[derive(Clone, Debug, Default)]
pub struct CertificateReload(Arc<Notify>);

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
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// How often the files of the certificate are looked at.
const CHECK_CERTIFICATE: Duration = Duration::from_secs(5);

/// How long the requests under way have to be answered when the gateway is told to stop, and then the last frames to leave.
const DRAIN: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);

impl Gateway {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// A descriptor or a certificate that cannot be used, or an address that is taken.
    pub async fn open(config: GatewayConfig) -> Result<Self, GatewayError> {
        let network = load_descriptor(&config.network)?;
        let reload = CertificateReload::default();
        let certificate = match config.tls.clone() {
            Some(files) => Some(Arc::new(Certificate::open(files, Arc::clone(&reload.0))?)),
            None => None,
        };
        let listener = listen(config.listen).await?;
        let node_listener = match config.listen_nodes {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let observe = Listener::bind(config.observe).await;
        let observe = observe.map_err(|(address, source)| GatewayError::Listen { address, source })?;
        let check_certificate_every = CHECK_CERTIFICATE;
        Ok(Self {
            listener,
            node_listener,
            observe,
            network,
            config,
            certificate,
            reload,
            check_certificate_every,
        })
    }

    /// The same where the files of the certificate are looked at so often; otherwise every 5 seconds.
    #[must_use]
    pub const fn check_certificate_every(mut self, interval: Duration) -> Self {
        self.check_certificate_every = interval;
        self
    }

    /// By which the certificate is read again at once, as on SIGHUP.
    pub fn certificate_reload(&self) -> CertificateReload {
        self.reload.clone()
    }

    /// Serves nodes and clients until `stop` is cancelled; then takes no new requests, and answers those under way.
    pub async fn serve(self, stop: CancellationToken) {
        let Self {
            listener,
            node_listener,
            observe,
            network,
            config,
            certificate,
            check_certificate_every,
            ..
        } = self;
        let places = || Places::new(&config.limits, &config.trusted_proxies);
        let (for_clients, for_nodes) = (places(), places());
        let door = Arc::new(open_door(network, config, certificate, stop.clone()));
        tokio::spawn({
            let door = Arc::clone(&door);
            async move {
                let work = async { tokio::join!(door.keys.keep_pool_filled(), door.clients.keep_tidy()) };
                door.stop.run_until_cancelled(work).await
            }
        });
        tokio::spawn(observe.serve(Arc::clone(&door), door.cut.clone()));
        if let Some(certificate) = door.certificate.clone() {
            let keep_current = async move { certificate.keep_current(check_certificate_every).await };
            tokio::spawn(stop.clone().run_until_cancelled_owned(keep_current));
        }
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

impl CertificateReload {
    /// Has the files read, whether they have changed or not. Without `[tls]` it does nothing.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })
}

fn open_door(
    network: NetworkDescriptor,
    config: GatewayConfig,
    certificate: Option<Arc<Certificate>>,
    stop: CancellationToken,
) -> Door {
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
    Door {
        network,
        connections,
        keys,
        clients,
        metrics,
        trusted_proxies,
        certificate,
        stop,
        cut: CancellationToken::new(),
        client_sockets: TaskTracker::new(),
        node_sockets: TaskTracker::new(),
    }
}
