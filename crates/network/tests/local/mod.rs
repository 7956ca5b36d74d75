//! Five nodes and a gateway on real sockets and real databases, and what to ask of them.

#![allow(dead_code, reason = "each test file uses its part")]

mod stock;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_core::{
    Address, Call, Condition, Encode as _, Execute, FunctionSelector, Policy, Rule, U256, UserOperation,
};
use quorate_network::{AttestedKey, EphemeralKey, NetworkDescriptor, NetworkError, Refusal, SigningNetwork};
use quorate_node::{Gateway, GatewayConfig, Node, NodeConfig, init};
use quorate_protocol::{ClientError, KeyDraft, Limits, OperationMessage, Permissions, PermittedPolicy};
use stock::Stock;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const CHAIN: u64 = 31337;
pub(crate) const ENTRY_POINT: Address = Address::repeat_byte(0xee);
pub(crate) const ACCOUNT: Address = Address::repeat_byte(0xaa);
pub(crate) const NFT: Address = Address::repeat_byte(0x0f);
pub(crate) const MANAGER: Address = Address::repeat_byte(0x5e);

pub(crate) struct LocalNetwork {
    descriptor: NetworkDescriptor,
    folder: TempDir,
    /// What each node's configuration has beside what it is initialized with.
    configure: Box<dyn Fn(&mut NodeConfig) + Send + Sync>,
    nodes: BTreeMap<u8, (CancellationToken, JoinHandle<()>)>,
    gateway: Option<(CancellationToken, JoinHandle<()>)>,
}

impl LocalNetwork {
    /// A network of its own, which has no key yet.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A network of three nodes, two of which sign: it makes keys in a third of the time.
    pub(crate) async fn start_small() -> Self {
        let address = free_address();
        Self::of_size(2, 3, address, address).serve(address, |_| {}).await
    }

    /// A network that begins with free keys: it has the same nodes and the same keys as the program's other ones that do.
    pub(crate) async fn start_stocked() -> Self {
        let address = free_address();
        Self::start_behind(address, address).await
    }

    /// A network without keys whose gateway is configured otherwise.
    pub(crate) async fn start_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let address = free_address();
        Self::new(address, address).serve(address, change).await
    }

    /// A stocked network whose nodes are configured otherwise.
    pub(crate) async fn start_with_nodes(
        configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
    ) -> Self {
        let address = free_address();
        Self::stocked(address, address).await.configured(configure).serve(address, |_| {}).await
    }

    /// A network without keys whose gateway listens at an address, and whose nodes are configured otherwise.
    pub(crate) async fn start_at(
        gateway: SocketAddr,
        configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
    ) -> Self {
        Self::new(gateway, gateway).configured(configure).serve(gateway, |_| {}).await
    }

    /// A network without keys whose gateway and nodes are configured otherwise.
    pub(crate) async fn start_observed(
        change: impl FnOnce(&mut GatewayConfig),
        configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
    ) -> Self {
        let address = free_address();
        Self::new(address, address).configured(configure).serve(address, change).await
    }

    /// A stocked network whose gateway listens at one address, and whose nodes go to another.
    pub(crate) async fn start_behind(gateway: SocketAddr, nodes_go_to: SocketAddr) -> Self {
        Self::stocked(gateway, nodes_go_to).await.serve(gateway, |_| {}).await
    }

    /// A stocked network whose nodes ask a chain about owners that are contracts.
    pub(crate) async fn start_asking(chain_id: u64, rpc: &str) -> Self {
        let address = free_address();
        Self::stocked(address, address).await.asking(chain_id, rpc).serve(address, |_| {}).await
    }

    /// A network of three nodes without keys that ask a chain.
    pub(crate) async fn start_small_asking(chain_id: u64, rpc: &str) -> Self {
        let address = free_address();
        Self::of_size(2, 3, address, address).asking(chain_id, rpc).serve(address, |_| {}).await
    }

    fn asking(self, chain_id: u64, rpc: &str) -> Self {
        for index in 1..=self.descriptor.size() {
            let file = self.home(index).join("node.toml");
            let config = std::fs::read_to_string(&file).unwrap();
            std::fs::write(file, format!("{config}\n[chains.{chain_id}]\nrpc = \"{rpc}\"\n")).unwrap();
        }
        self
    }

    async fn serve(mut self, gateway: SocketAddr, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = GatewayConfig::load(&self.folder.path().join("gateway/gateway.toml")).unwrap();
        config.listen = gateway;
        change(&mut config);
        self.start_gateway(config).await;
        self.start_nodes().await;
        self.until_ready().await;
        self
    }

    async fn start_gateway(&mut self, config: GatewayConfig) {
        let (stop, gateway) = (CancellationToken::new(), Gateway::open(config).await.unwrap());
        self.gateway = Some((stop.clone(), tokio::spawn(gateway.serve(stop))));
    }

    /// Stops the gateway, and starts another at its address, which knows nothing of what the first one knew.
    pub(crate) async fn replace_gateway(&mut self) {
        self.stop_gateway().await;
        let mut config = GatewayConfig::load(&self.folder.path().join("gateway/gateway.toml")).unwrap();
        config.listen = self.descriptor.gateways()[0].socket_addrs(|| None).unwrap()[0];
        self.start_gateway(config).await;
        self.until_ready().await;
    }

    /// Starts another gateway beside the first one, and waits until all nodes are connected to it.
    pub(crate) async fn start_second_gateway(&mut self, listen: SocketAddr) {
        let mut config = GatewayConfig::load(&self.folder.path().join("gateway/gateway.toml")).unwrap();
        config.listen = listen;
        tokio::spawn(Gateway::open(config).await.unwrap().serve(CancellationToken::new()));
        let connected = async {
            while health_of(listen).await != Some(5) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), connected).await.expect("nodes dial both gateways");
    }

    /// The nodes of folders `node-1` and so on, as their operators have made them, behind a gateway with the defaults.
    pub(crate) async fn of_operators(folder: TempDir, descriptor: NetworkDescriptor) -> Self {
        let gateway = descriptor.gateways()[0].socket_addrs(|| None).unwrap()[0];
        let home = folder.path().join("gateway");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("network.json"), descriptor.to_json()).unwrap();
        let config = format!("listen = \"{gateway}\"\nnetwork = \"network.json\"\nfree_keys = 0\n");
        std::fs::write(home.join("gateway.toml"), config).unwrap();
        Self { descriptor, folder, gateway: None, configure: Box::new(|_| {}), nodes: BTreeMap::new() }
            .serve(gateway, |_| {})
            .await
    }

    /// Five nodes with free keys that go to an address at which the test listens itself.
    pub(crate) async fn without_gateway(
        nodes_go_to: SocketAddr,
        configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
    ) -> Self {
        let mut network = Self::stocked(nodes_go_to, nodes_go_to).await.configured(configure);
        network.start_nodes().await;
        network
    }

    /// The same without keys.
    pub(crate) async fn without_gateway_and_keys(nodes_go_to: SocketAddr) -> Self {
        let mut network = Self::new(nodes_go_to, nodes_go_to);
        network.start_nodes().await;
        network
    }

    fn new(gateway: SocketAddr, nodes_go_to: SocketAddr) -> Self {
        Self::of_size(3, 5, gateway, nodes_go_to)
    }

    fn of_size(threshold: u8, size: u8, gateway: SocketAddr, nodes_go_to: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Keys are made when they are asked for, so that each test has the machine for what it is about.
        init(folder.path(), threshold, size, nodes_go_to, 0, None).unwrap();
        Self::of(folder, gateway, nodes_go_to)
    }

    /// A network with keys that no one has asked for.
    async fn stocked(gateway: SocketAddr, nodes_go_to: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Stock::of_this_program().await.copy(folder.path(), nodes_go_to);
        Self::of(folder, gateway, nodes_go_to)
    }

    /// The network of a folder, whose gateway is at another address than where its nodes go to.
    fn of(folder: TempDir, gateway: SocketAddr, nodes_go_to: SocketAddr) -> Self {
        let descriptor = std::fs::read_to_string(folder.path().join("network.json")).unwrap();
        let descriptor = descriptor.replace(&nodes_go_to.to_string(), &gateway.to_string());
        let descriptor = NetworkDescriptor::from_json(&descriptor).unwrap();
        Self { descriptor, folder, gateway: None, configure: Box::new(|_| {}), nodes: BTreeMap::new() }
    }

    /// The same with nodes that are configured otherwise.
    fn configured(self, configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static) -> Self {
        Self { configure: Box::new(configure), ..self }
    }

    async fn start_nodes(&mut self) {
        for index in 1..=self.descriptor.size() {
            self.start_node(index).await;
        }
    }

    pub(crate) async fn start_node(&mut self, index: u8) {
        let mut config = NodeConfig::load(&self.home(index).join("node.toml")).unwrap();
        (self.configure)(&mut config);
        let stop = CancellationToken::new();
        let task = tokio::spawn(Node::open(config).await.unwrap().serve(stop.clone()));
        self.nodes.insert(index, (stop, task));
    }

    /// Stops a node and waits until it has let go of its database.
    pub(crate) async fn stop(&mut self, index: u8) {
        let (stop, task) = self.nodes.remove(&index).unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    /// Tells the gateway to stop, and waits until it has.
    pub(crate) async fn stop_gateway(&mut self) {
        let (stop, task) = self.gateway.take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    /// Where its gateway is.
    pub(crate) fn gateway(&self) -> &url::Url {
        self.descriptor.gateways().first().unwrap()
    }

    pub(crate) fn home(&self, index: u8) -> PathBuf {
        self.folder.path().join(format!("node-{index}"))
    }

    /// Waits until all nodes are connected.
    pub(crate) async fn until_ready(&self) {
        self.until_connected(self.descriptor.size().into()).await;
    }

    /// Waits until the gateway counts so many nodes.
    pub(crate) async fn until_connected(&self, nodes: u64) {
        let connected = async {
            while self.health().await != Some(nodes) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), connected)
            .await
            .expect("the gateway counts its nodes");
    }

    /// How many nodes the gateway counts.
    pub(crate) async fn health(&self) -> Option<u64> {
        health_of(self.address()?).await
    }

    /// How many free keys the gateway counts.
    pub(crate) async fn free_keys(&self) -> Option<u64> {
        health(self.address()?).await?.get("keys")?.as_u64()
    }

    fn address(&self) -> Option<SocketAddr> {
        self.gateway().socket_addrs(|| None).ok()?.first().copied()
    }

    /// A fresh key for a new owner.
    pub(crate) async fn key(&self, permissions: impl FnOnce(&PrivateKeySigner) -> Permissions) -> Session {
        let owner = PrivateKeySigner::random();
        self.key_of(&owner, permissions(&owner)).await
    }

    /// A fresh key for an owner.
    pub(crate) async fn key_of(&self, owner: &PrivateKeySigner, permissions: Permissions) -> Session {
        let (client, ephemeral) = (self.client(), EphemeralKey::random().unwrap());
        let ask = async || {
            let draft = client.prepare_key(&permissions, &claim(&ephemeral)).await?;
            client.submit_key(&draft, sign(owner, &draft)).await
        };
        let key = patiently(ask).await;
        Session { client, key, ephemeral }
    }

    pub(crate) const fn descriptor(&self) -> &NetworkDescriptor {
        &self.descriptor
    }

    pub(crate) fn client(&self) -> SigningNetwork {
        SigningNetwork::new(self.descriptor.clone())
    }
}

/// How many nodes a gateway counts.
async fn health_of(gateway: SocketAddr) -> Option<u64> {
    health(gateway).await?.get("nodes")?.as_u64()
}

async fn health(gateway: SocketAddr) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(gateway).await.ok()?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// An address that no other socket is given while this program runs: it stays bound, which keeps nobody who names it from listening
/// there.
pub(crate) fn free_address() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// How long is waited for anything: keys may have to be made first, on a machine that makes others as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Asks again until there is an answer.
pub(crate) async fn found<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}"))
}

/// Whether a client that raced with others for the last of a limit has lost; one that is told to try again does so until its time is
/// over.
pub(crate) fn has_lost_race(error: &NetworkError) -> bool {
    let is_by_limit = matches!(error, NetworkError::Client(ClientError::Refused(Refusal::Limit { .. })));
    is_by_limit || error.is_transient()
}

/// Asks until it succeeds or is refused for good; by then a challenge may be over that was good before.
pub(crate) async fn patiently<T>(ask: impl AsyncFn() -> Result<T, NetworkError>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(error) if Instant::now() < until && (error.is_transient() || error.needs_new_challenge()) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer.unwrap(),
        }
    }
}

/// A key and who may ask for its signatures.
pub(crate) struct Session {
    pub(crate) client: SigningNetwork,
    pub(crate) key: AttestedKey,
    pub(crate) ephemeral: EphemeralKey,
}

impl Session {
    /// The same with a client that goes on asking for as long as anything is waited for.
    pub(crate) fn patient(self) -> Self {
        Self { client: self.client.with_signing_deadline(PATIENCE), ..self }
    }

    pub(crate) async fn sign(
        &self,
        message: &OperationMessage,
    ) -> Result<alloy_primitives::Signature, NetworkError> {
        self.client.sign(&self.key.key_id, self.key.address, message, &self.ephemeral).await
    }

    pub(crate) async fn sign_batch(
        &self,
        message: &OperationMessage,
    ) -> Result<alloy_primitives::Signature, NetworkError> {
        let Self { client, key, ephemeral } = self;
        client.sign_routed(&key.key_id, key.address, MANAGER, message, ephemeral).await
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn claim(key: &EphemeralKey) -> quorate_protocol::EphemeralClaim {
    key.claim("test", now() + 3600)
}

pub(crate) fn selector() -> FunctionSelector {
    FunctionSelector::parse("safeMint(address)").unwrap()
}

/// The account may mint to itself.
pub(crate) fn permissions(owner: &PrivateKeySigner) -> Permissions {
    let policy = Policy::new(NFT, selector()).with_rule(Rule::new(0, Condition::Equal, ACCOUNT)).unwrap();
    Permissions {
        owner: owner.address(),
        account: ACCOUNT,
        chain_id: CHAIN,
        entry_point: ENTRY_POINT,
        session_key_manager: MANAGER,
        policies: vec![PermittedPolicy {
            validation_module: Address::repeat_byte(0xab),
            policy: policy.into(),
        }],
        limits: Limits::default(),
    }
}

pub(crate) fn sign(owner: &PrivateKeySigner, draft: &KeyDraft) -> alloy_primitives::Signature {
    owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap()
}

pub(crate) fn mint_to(recipient: Address) -> OperationMessage {
    mint_with_nonce(recipient, 7)
}

pub(crate) fn mint_with_nonce(recipient: Address, nonce: u64) -> OperationMessage {
    let mut data = selector().as_bytes().to_vec();
    data.extend(recipient.into_word());
    let call_data = Execute(Call { to: NFT, value: U256::ZERO, data: &data }).to_vec();
    let operation = UserOperation {
        sender: ACCOUNT,
        nonce: U256::from(nonce),
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(1_000_000_000),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: Vec::new(),
    };
    OperationMessage { operation, entry_point: ENTRY_POINT, chain_id: CHAIN }
}

pub(crate) fn refusal(error: NetworkError) -> Refusal {
    match error {
        NetworkError::Client(ClientError::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}

/// What this process has in memory.
pub(crate) fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}
