use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use quorate_protocol::{NetworkDescriptor, NodeIndex};
use url::Url;

use crate::config::{ClientLimits, ConfigError, GatewayConfig, NodeConfig};
use crate::node::NodeError;
use crate::seal::{create_key_file, random_key, write_key_file};

/// Writes a new network into an empty or missing folder: `network.json` for everybody, `gateway/gateway.toml`,
/// and for each node a folder `node-<index>` with its `node.toml`, its identity and its seal key.
///
/// The gateway listens at `listen` and keeps `free_keys` keys ready; `public` is its URL as clients and nodes reach it, if
/// that is another one than the address says.
///
/// This is for development: one machine makes all secrets, so whoever controls it has every key. Operators make their own
/// ([`init_node`](crate::init_node)).
///
/// # Errors
/// An impossible quorum, a `public` URL that is not a WebSocket's, or a folder that holds a network already or cannot be written.
pub fn init(
    folder: &Path,
    threshold: u8,
    nodes: u8,
    listen: SocketAddr,
    free_keys: usize,
    public: Option<Url>,
) -> Result<NetworkDescriptor, NodeError> {
    let descriptor_file = folder.join("network.json");
    refuse_existing(&descriptor_file)?;
    let identities = (0..nodes).map(|_| random_key()).collect::<Result<Vec<_>, _>>();
    let identities = identities.map_err(|error| io(folder, error.into()))?;
    let keys = identities.iter().map(|identity| SigningKey::from_bytes(identity).verifying_key()).collect();
    let gateways = vec![public.unwrap_or_else(|| local_url(listen))];
    let descriptor = NetworkDescriptor::new(threshold, keys, gateways)
        .map_err(|source| ConfigError::Descriptor { path: descriptor_file.display().to_string(), source })?;

    for (index, identity) in (1..=nodes).filter_map(NodeIndex::new).zip(&identities) {
        let home = folder.join(format!("node-{index}"));
        create_folder(&home)?;
        write_key_file(&home.join("identity.key"), identity)?;
        create_key_file(&home.join("seal.key"))?;
        let network = PathBuf::from("../network.json");
        let config = NodeConfig { network, ..NodeConfig::in_folder(index) };
        write(&home.join("node.toml"), &toml::to_string(&config).unwrap_or_default())?;
    }
    let home = folder.join("gateway");
    create_folder(&home)?;
    let network = PathBuf::from("../network.json");
    let config = GatewayConfig {
        listen,
        listen_nodes: None,
        observe: None,
        network,
        free_keys,
        trusted_proxies: Vec::new(),
        tls: None,
        limits: ClientLimits::default(),
    };
    write(&home.join("gateway.toml"), &toml::to_string(&config).unwrap_or_default())?;
    write(&descriptor_file, &descriptor.to_json())?;
    Ok(descriptor)
}

#[expect(clippy::unwrap_used, reason = "a socket address is always the authority of a URL")]
fn local_url(listen: SocketAddr) -> Url {
    format!("ws://{listen}").parse().unwrap()
}

fn refuse_existing(file: &Path) -> Result<(), ConfigError> {
    if file.exists() {
        let exists = std::io::ErrorKind::AlreadyExists;
        return Err(io(file, std::io::Error::new(exists, "the folder holds a network already")));
    }
    Ok(())
}

fn create_folder(folder: &Path) -> Result<(), ConfigError> {
    std::fs::create_dir_all(folder).map_err(|source| io(folder, source))
}

fn write(file: &Path, text: &str) -> Result<(), ConfigError> {
    std::fs::write(file, text).map_err(|source| io(file, source))
}

fn io(path: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_network_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let refused = init(folder.path(), 4, 3, "127.0.0.1:7000".parse().unwrap(), 0, None).unwrap_err();
        assert!(matches!(&refused, NodeError::Config(ConfigError::Descriptor { .. })), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        init(folder.path(), 2, 3, "127.0.0.1:7000".parse().unwrap(), 0, None).unwrap();
    }
}
