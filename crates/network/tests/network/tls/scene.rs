//! A gateway and three nodes that speak over TLS, and who stands between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use quorate_network::{NetworkDescriptor, SigningNetwork};
use quorate_node::{Gateway, GatewayConfig, Node, NodeConfig, TlsConfig, init};
use quorate_transport::tls_with_roots;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, accept_hdr_async, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;

use crate::local::free_address;

/// Who certifies gateways, for everybody here.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate for this machine, and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn certify(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Pair { certificate: parameters.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        tls_with_roots(self.pem().as_bytes()).unwrap()
    }
}

impl Pair {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn server(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.unwrap().with_no_client_auth().with_single_cert(vec![self.der()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// The files of a network of three nodes, two of which sign, and its gateway while it runs.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    /// Where clients and nodes go, unless the test says otherwise.
    pub(crate) gateway: SocketAddr,
    folder: TempDir,
    descriptor: String,
}

/// A node until it is told to stop.
pub(crate) struct RunningNode(CancellationToken, JoinHandle<()>);

impl RunningNode {
    pub(crate) async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (folder, authority, gateway) = (tempfile::tempdir().unwrap(), Authority::new(), free_address());
        let descriptor = init(folder.path(), 2, 3, gateway, 0, None).unwrap().to_json();
        let descriptor = descriptor.replace("ws://", "wss://");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { authority, gateway, folder, descriptor }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn descriptor(&self) -> NetworkDescriptor {
        NetworkDescriptor::from_json(&self.descriptor).unwrap()
    }

    pub(crate) fn client(&self) -> SigningNetwork {
        SigningNetwork::new(self.descriptor())
            .with_root_certificates(self.authority.pem().as_bytes())
            .unwrap()
    }

    /// Puts the gateway's certificate and its key where they are read, as an operator's program would.
    pub(crate) fn install(&self, pair: &Pair) {
        for (name, text) in [("cert.pem", &pair.certificate), ("key.pem", &pair.key)] {
            use std::os::unix::fs::PermissionsExt as _;
            let fresh = self.path("fresh.pem");
            std::fs::write(&fresh, text).unwrap();
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(&fresh, self.path(name)).unwrap();
        }
    }

    /// A gateway that ends TLS itself, if a certificate is installed.
    pub(crate) async fn start_gateway(&self, change: impl FnOnce(&mut GatewayConfig)) {
        let mut config = GatewayConfig::load(&self.path("gateway/gateway.toml")).unwrap();
        let tls = TlsConfig { certificates: self.path("cert.pem"), key: self.path("key.pem") };
        config.tls = Some(tls).filter(|tls| tls.key.exists());
        change(&mut config);
        let gateway = Gateway::open(config).await.unwrap();
        let gateway = gateway.check_certificate_every(Duration::from_millis(20));
        tokio::spawn(gateway.serve(CancellationToken::new()));
    }

    /// A node that goes to one address, by `wss`.
    pub(crate) async fn start_node(
        &self,
        index: u8,
        goes_to: SocketAddr,
        change: impl FnOnce(&mut NodeConfig),
    ) -> RunningNode {
        let mut config = NodeConfig::load(&self.path(&format!("node-{index}/node.toml"))).unwrap();
        config.gateways = Some(vec![format!("wss://{goes_to}").parse().unwrap()]);
        config.root_certificates = Some(self.path("ca.pem"));
        change(&mut config);
        let stop = CancellationToken::new();
        let task = tokio::spawn(Node::open(config).await.unwrap().serve(stop.clone()));
        RunningNode(stop, task)
    }

    /// A connection to the gateway, by TLS.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.gateway).await.unwrap();
        let name = ServerName::from(self.gateway.ip());
        TlsConnector::from(self.authority.client()).connect(name, stream).await.unwrap()
    }

    /// The certificate that the gateway shows.
    pub(crate) async fn shown(&self) -> CertificateDer<'static> {
        let connection = self.connect().await;
        connection.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// How many nodes the gateway counts.
    pub(crate) async fn ready(&self) -> u64 {
        let (request, mut answer) = (b"GET /health HTTP/1.0\r\n\r\n", String::new());
        if self.path("key.pem").exists() {
            let mut connection = self.connect().await;
            connection.write_all(request).await.unwrap();
            connection.read_to_string(&mut answer).await.unwrap();
        } else {
            let mut connection = TcpStream::connect(self.gateway).await.unwrap();
            connection.write_all(request).await.unwrap();
            connection.read_to_string(&mut answer).await.unwrap();
        }
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<serde_json::Value>(body).unwrap()["nodes"].as_u64().unwrap()
    }

    pub(crate) async fn until_ready(&self, nodes: u64) {
        until(async || self.ready().await == nodes).await;
    }
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), holds).await.expect("in time");
}

/// Stands between nodes and a gateway, ends the nodes' TLS, and relays every frame.
pub(crate) struct Middle {
    pub(crate) address: SocketAddr,
    /// How many connections were relayed to their end, and how many of the nodes' frames.
    pub(crate) ended: Arc<AtomicU64>,
    pub(crate) from_nodes: Arc<AtomicU64>,
}

impl Middle {
    /// `gateway` is the URL where it goes, by `ws` or `wss`.
    pub(crate) async fn start(authority: &Authority, gateway: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, client) = (authority.certify().server(), authority.client());
        let (ended, from_nodes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let middle = Self { address, ended: ended.clone(), from_nodes: from_nodes.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client, gateway) = (acceptor.clone(), client.clone(), gateway.clone());
                let (ended, from_nodes) = (ended.clone(), from_nodes.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut target = String::new();
                    let note_target = |request: &Request, response: Response| {
                        target = request.uri().to_string();
                        Ok(response)
                    };
                    let Ok(node) = accept_hdr_async(stream, note_target).await else { return };
                    let connector = match gateway.starts_with("wss") {
                        true => Connector::Rustls(client),
                        false => Connector::Plain,
                    };
                    let url = format!("{gateway}{target}");
                    let connected = connect_async_tls_with_config(url, None, true, Some(connector)).await;
                    let (to_gateway, from_gateway) = connected.unwrap().0.split();
                    let (to_node, from_node) = node.split();
                    let from_gateway_count = AtomicU64::default();
                    tokio::select! {
                        () = carry(from_node, to_gateway, &from_nodes) => {}
                        () = carry(from_gateway, to_node, &from_gateway_count) => {}
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        middle
    }
}

async fn carry(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut to: impl Sink<Message, Error = Error> + Unpin,
    count: &AtomicU64,
) {
    while let Some(Ok(message)) = from.next().await {
        count.fetch_add(u64::from(message.is_binary()), Ordering::Relaxed);
        if to.send(message).await.is_err() {
            return;
        }
    }
}
