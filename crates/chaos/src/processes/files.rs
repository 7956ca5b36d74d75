//! The files of a network's processes, and the addresses in them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use quorate_node::{ConfigError, GatewayConfig, NodeConfig, Rate};
use quorate_protocol::NodeIndex;
use serde::Serialize;
use tokio::net::TcpSocket;
use url::Url;

use super::{Part, Processes, Size};
use crate::ChaosError;

/// Each network has an address of its own for its gateways, from 127.0.0.2 on: connections go out from 127.0.0.1, so nobody
/// takes a gateway's port while it is down.
static NETWORKS: AtomicU8 = AtomicU8::new(2);

impl Processes {
    /// Writes a network's files, and starts nothing yet.
    ///
    /// # Errors
    /// A folder that holds a network already or cannot be written.
    pub fn prepare(
        program: &Path,
        folder: &Path,
        Size { threshold, nodes }: Size,
        free_keys: usize,
    ) -> Result<Self, ChaosError> {
        // Paths in configurations are relative to the file, and these are not.
        let folder = std::path::absolute(folder).map_err(ChaosError::io("use", folder.display()))?;
        let address = Ipv4Addr::new(127, 0, 0, NETWORKS.fetch_add(1, Ordering::Relaxed));
        let (gateway, observed) = (free_address(address)?, free_address(address)?);
        let descriptor = quorate_node::init(&folder, threshold, nodes, gateway, free_keys, None)?;
        let processes = Self {
            program: program.to_owned(),
            folder,
            descriptor,
            address,
            gateway,
            observed: [(Part::Gateway, observed)].into(),
            children: BTreeMap::new(),
        };
        processes.configure_gateway(Part::Gateway, |config| {
            config.observe = Some(observed);
            // All signatures of a run are one client's, who asks for more than a gateway takes by default.
            config.limits.signatures = Rate { burst: 1_000_000, per_minute: 1_000_000 };
        })?;
        Ok(processes)
    }

    /// Adds a second gateway, which is configured as the first one is; clients and nodes know both.
    ///
    /// # Errors
    /// A file that cannot be read or written, or no free port.
    pub fn add_gateway(&mut self) -> Result<(), ChaosError> {
        let (listen, observed) = (self.free_address()?, self.free_address()?);
        let mut config = GatewayConfig::load(&self.config(Part::Gateway))?;
        (config.listen, config.observe) = (listen, Some(observed));
        let file = self.config(Part::SecondGateway);
        let home = self.folder.join(home(Part::SecondGateway));
        fs::create_dir_all(&home).map_err(ChaosError::io("write", home.display()))?;
        write(&file, &config)?;
        self.observed.insert(Part::SecondGateway, observed);
        let scheme = if config.tls.is_some() { "wss" } else { "ws" };
        let added = format!("{scheme}://{listen}").parse().ok();
        self.set_gateways(self.descriptor.gateways().iter().cloned().chain(added).collect())
    }

    /// Has clients and nodes know the gateways by these URLs.
    ///
    /// # Errors
    /// A URL that is not a WebSocket's, or a file that cannot be written.
    pub fn set_gateways(&mut self, gateways: Vec<Url>) -> Result<(), ChaosError> {
        let file = self.network_file();
        let descriptor = self.descriptor.clone().with_gateways(gateways);
        self.descriptor = descriptor
            .map_err(|source| ConfigError::Descriptor { path: file.display().to_string(), source })?;
        fs::write(&file, self.descriptor.to_json()).map_err(ChaosError::io("write", file.display()))
    }

    /// The file with what clients pin.
    pub fn network_file(&self) -> PathBuf {
        self.folder.join("network.json")
    }

    /// An address that is free now and kept for the whole run, since nothing else listens there.
    ///
    /// # Errors
    /// No free port.
    pub fn free_address(&self) -> Result<SocketAddr, ChaosError> {
        free_address(self.address)
    }

    /// Where a gateway answers `/ready` and `/metrics`.
    pub fn observed(&self, gateway: Part) -> Option<SocketAddr> {
        self.observed.get(&gateway).copied()
    }

    /// Has a node be configured otherwise from its next start on.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn configure_node(
        &self,
        node: NodeIndex,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<(), ChaosError> {
        let file = self.config(Part::Node(node));
        let mut config = NodeConfig::load(&file)?;
        change(&mut config);
        write(&file, &config)
    }

    /// Has a gateway be configured otherwise from its next start on.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn configure_gateway(
        &self,
        gateway: Part,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Result<(), ChaosError> {
        let file = self.config(gateway);
        let mut config = GatewayConfig::load(&file)?;
        change(&mut config);
        write(&file, &config)
    }

    pub(super) fn config(&self, part: Part) -> PathBuf {
        self.folder.join(home(part)).join(format!("{}.toml", role(part)))
    }

    /// The file with a node's ledgers.
    pub(crate) fn database(&self, node: NodeIndex) -> PathBuf {
        self.folder.join(format!("node-{node}/node.db"))
    }

    /// The file with what a process has logged.
    pub fn log(&self, part: Part) -> PathBuf {
        self.folder.join(format!("{}.log", home(part)))
    }
}

/// What a process is called on the command line and in the names of its files.
pub(super) const fn role(part: Part) -> &'static str {
    match part {
        Part::Gateway | Part::SecondGateway => "gateway",
        Part::Node(_) => "node",
    }
}

/// A process's folder.
fn home(part: Part) -> String {
    match part {
        Part::Gateway => "gateway".to_owned(),
        Part::SecondGateway => "gateway-2".to_owned(),
        Part::Node(node) => format!("node-{node}"),
    }
}

/// An address that no other socket is given while this program runs: it stays bound, which keeps no process that it is told from
/// listening there.
fn free_address(address: Ipv4Addr) -> Result<SocketAddr, ChaosError> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, 0).into())?;
        let address = socket.local_addr()?;
        std::mem::forget(socket);
        Ok(address)
    };
    bind().map_err(ChaosError::io("listen at", address))
}

fn write(file: &Path, config: &impl Serialize) -> Result<(), ChaosError> {
    fs::write(file, toml::to_string(config).unwrap_or_default())
        .map_err(ChaosError::io("write", file.display()))
}
