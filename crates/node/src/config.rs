use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use quorate_protocol::{DescriptorError, NetworkDescriptor, NodeIndex, Owner, TokenIssuer, gateway_name};
use quorate_transport::{BuildError, Endpoint, RootCertificateError};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::seal::SealSource;

/// A node's configuration file (TOML). Paths are relative to the file; unknown keys are errors.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Which node of the network this is, from 1.
    pub index: NodeIndex,
    /// The network descriptor.
    pub network: PathBuf,
    /// The node's Ed25519 identity: a file with 64 hex digits.
    pub identity: PathBuf,
    /// The key under which shares are stored: 64 hex digits in a file, or in an environment variable.
    pub seal: SealSource,
    /// The seal key before this one, where a rotation was under way. The database tells which of them fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_before: Option<SealSource>,
    /// The SQLite database.
    pub database: PathBuf,
    /// The gateways to connect to (`ws` or `wss`), where they are not those of the descriptor: behind a private name, or
    /// nodes' own listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<Url>>,
    /// Root certificates (PEM) that gateways are believed by, beside the platform's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_certificates: Option<PathBuf>,
    /// The gateways (`wss`) for which a proxy of their operator's ends TLS. The others have to end it themselves, since the
    /// node proves who it is for one connection; a proxy is believed not to pass for the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind_proxy: Vec<Url>,
    /// How many free keys the node keeps at most; it makes no more before some are bound.
    #[serde(default = "most_free_keys")]
    pub most_free_keys: u64,
    /// How many bytes of signed requests the node keeps at most of a key whose operations are counted; then the key signs
    /// nothing new. They are kept for good, since a limit counts for good.
    #[serde(default = "most_journal_bytes")]
    pub most_journal_bytes: u64,
    /// How many nodes may be bad when this one is restored from a backup: it signs nothing until so many others have told it
    /// what it has forgotten that those cannot hide it. One fewer than sign, unless it is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_nodes: Option<u8>,
    /// Who may have keys.
    #[serde(default)]
    pub admission: Admission,
    /// Where to answer `/health`, `/ready` and `/metrics`, for the operator alone; nowhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<SocketAddr>,
    /// The chains on which owners may be contracts.
    #[serde(default, skip_serializing_if = "ChainConfigs::is_empty")]
    pub chains: ChainConfigs,
}

/// The default of [`NodeConfig::most_free_keys`].
const fn most_free_keys() -> u64 {
    64
}

/// The default of [`NodeConfig::most_journal_bytes`]: about 20 000 operations of the usual size.
const fn most_journal_bytes() -> u64 {
    64 * 1024 * 1024
}

/// The chains that a node asks, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, ChainConfig>", try_from = "BTreeMap<String, ChainConfig>")]
pub struct ChainConfigs(pub BTreeMap<u64, ChainConfig>);

/// How a node asks one chain.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// The node's own JSON-RPC, by HTTP: what it says is believed. Its URL may hold a secret.
    pub rpc: Url,
}

/// A name in the table of chains that is no chain's id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a chain's id; write the number, as in [chains.84532]")]
pub struct NoChainId(String);

/// Whom a node makes keys for: owners on the list, and those to whom an issuer gave a token; everybody where there are
/// neither a list nor issuers.
///
/// Each node decides by its own configuration and clock when it is asked to assign a key, so all nodes should have the same.
/// Tokens (`quorate network issue-token`) are sent by our own client only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// The owners who are admitted without a token: an address, or `eip155:<chain id>:<address>` for a contract, which an
    /// address alone does not admit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<Owner>>,
    /// Whose tokens admit an owner: Ed25519 public keys, 0x and 64 hex digits. A token counts if it is for this network and
    /// the owner who signed the request, and has not expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_issuers: Option<Vec<TokenIssuer>>,
    /// How many keys one owner may have who is admitted without a token. A token says it for its owner; whoever has both is
    /// held to the greater.
    pub keys_per_owner: u64,
    /// Whether keys are refused whose permissions the owner did not sign, as third-party clients ask for them.
    pub refuse_unsigned_permissions: bool,
}

/// A gateway's configuration file (TOML). Paths are relative to the file; unknown keys are errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where to listen for clients, and for nodes if they have no address of their own.
    pub listen: SocketAddr,
    /// Where to listen for nodes, and for nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_nodes: Option<SocketAddr>,
    /// Where to answer `/health`, `/ready` and `/metrics`, for the operator alone; nowhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<SocketAddr>,
    /// The network descriptor.
    pub network: PathBuf,
    /// How many free keys are kept ready, made while no client is served. Where there is none, a client waits for one.
    #[serde(default = "free_keys")]
    pub free_keys: usize,
    /// The proxies that are believed when they say (`X-Forwarded-For`) for whom they connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpAddr>,
    /// With what the gateway ends TLS, for clients and nodes alike; without it, it listens in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// What one client may ask for.
    #[serde(default)]
    pub limits: ClientLimits,
}

/// The files by which a gateway shows who it is. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The gateway's certificate and those that certify it up to the root, in PEM.
    pub certificates: PathBuf,
    /// The certificate's private key (PKCS#8, SEC1 or PKCS#1, in PEM), which no other user may read.
    pub key: PathBuf,
}

/// What a gateway takes from one client; whoever asks for more is told that the network is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientLimits {
    /// How many sockets an address may have open.
    pub sockets: usize,
    /// How often an address may ask for anything.
    pub requests: Rate,
    /// How often an address, and how often an owner, may ask for a key.
    pub keys: Rate,
    /// How often a registered ephemeral key may ask for signatures of one key.
    pub signatures: Rate,
    /// Whether limits by address hold for clients on the same machine.
    pub loopback: bool,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How often at once.
    pub burst: u32,
    /// How often a minute in the long run.
    pub per_minute: u32,
}

/// The default of [`GatewayConfig::free_keys`].
pub(crate) const fn free_keys() -> usize {
    4
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is not such a configuration.
    #[error("{path} is not a valid configuration")]
    Toml {
        /// The file.
        path: String,
        /// What the parser says, with the place.
        source: Box<toml::de::Error>,
    },
    /// The network descriptor.
    #[error("{path} is not a valid network descriptor")]
    Descriptor {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: DescriptorError,
    },
    /// The root certificates.
    #[error("{path} holds no root certificates that can be used")]
    RootCertificates {
        /// The file.
        path: String,
        /// What is wrong with them.
        source: RootCertificateError,
    },
    /// The gateways of a node's file.
    #[error("`gateways` in the node's configuration cannot be used")]
    Gateways(#[source] DescriptorError),
    /// A node that is in no network yet.
    #[error(
        "{path} has no `index`: the node has joined no network; run `quorate node join` with the network's descriptor"
    )]
    NotJoined {
        /// The file.
        path: String,
    },
    /// An index beyond the network.
    #[error("the configuration is for node {index}, but the network has {size} nodes")]
    NoSuchNode {
        /// The index configured.
        index: NodeIndex,
        /// The number of nodes.
        size: u8,
    },
    /// A node that was to be given up for lost, and is none of the others.
    #[error("node {index} is none of the other nodes; the network has {size}")]
    NoPeer {
        /// The index named.
        index: NodeIndex,
        /// The number of nodes.
        size: u8,
    },
    /// As many bad nodes as sign.
    #[error("bad_nodes is {found}; at most {most} of the nodes can be bad")]
    BadNodes {
        /// The number configured.
        found: u8,
        /// The most.
        most: u8,
    },
    /// A chain's RPC.
    #[error("the RPC of chain {chain_id} cannot be used")]
    Chain {
        /// The chain's id.
        chain_id: u64,
        /// What is wrong with it.
        source: BuildError,
    },
    /// The identity is not the one in the descriptor.
    #[error("the identity key is not that of node {index} in the network descriptor")]
    OtherIdentity {
        /// The index configured.
        index: NodeIndex,
    },
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            sockets: 64,
            requests: Rate { burst: 200, per_minute: 1200 },
            keys: Rate { burst: 20, per_minute: 20 },
            signatures: Rate { burst: 100, per_minute: 600 },
            loopback: false,
        }
    }
}

impl ClientLimits {
    /// Whether limits by address do not hold for this one.
    pub(crate) fn exempt(&self, from: IpAddr) -> bool {
        from.to_canonical().is_loopback() && !self.loopback
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self { owners: None, token_issuers: None, keys_per_owner: 1000, refuse_unsigned_permissions: false }
    }
}

impl ChainConfigs {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<ChainConfigs> for BTreeMap<String, ChainConfig> {
    fn from(ChainConfigs(chains): ChainConfigs) -> Self {
        chains.into_iter().map(|(chain_id, chain)| (chain_id.to_string(), chain)).collect()
    }
}

impl TryFrom<BTreeMap<String, ChainConfig>> for ChainConfigs {
    type Error = NoChainId;

    fn try_from(chains: BTreeMap<String, ChainConfig>) -> Result<Self, NoChainId> {
        let by_id = |(name, chain): (String, _)| match name.parse::<u64>() {
            Ok(chain_id) if chain_id.to_string() == name => Ok((chain_id, chain)),
            _ => Err(NoChainId(name)),
        };
        chains.into_iter().map(by_id).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |urls: &Vec<Url>| urls.iter().map(gateway_name).collect::<Vec<_>>();
        f.debug_struct("NodeConfig")
            .field("index", &self.index)
            .field("network", &self.network)
            .field("database", &self.database)
            .field("gateways", &self.gateways.as_ref().map(names))
            .field("root_certificates", &self.root_certificates)
            .field("behind_proxy", &names(&self.behind_proxy))
            .field("most_free_keys", &self.most_free_keys)
            .field("most_journal_bytes", &self.most_journal_bytes)
            .field("admission", &self.admission)
            .field("chains", &self.chains)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainConfig").field("rpc", &Endpoint::new(&self.rpc)).finish()
    }
}

impl NodeConfig {
    /// The configuration of a node whose files are all in one folder, with the defaults of the rest.
    pub(crate) fn in_folder(index: NodeIndex) -> Self {
        Self {
            index,
            network: PathBuf::from("network.json"),
            identity: PathBuf::from("identity.key"),
            seal: PathBuf::from("seal.key").into(),
            seal_before: None,
            database: PathBuf::from("node.db"),
            root_certificates: None,
            behind_proxy: Vec::new(),
            gateways: None,
            most_free_keys: most_free_keys(),
            most_journal_bytes: most_journal_bytes(),
            bad_nodes: None,
            observe: None,
            admission: Admission::default(),
            chains: ChainConfigs::default(),
        }
    }

    /// Reads the network's descriptor, with the gateways that this node connects to.
    pub(crate) fn load_descriptor(&self) -> Result<NetworkDescriptor, ConfigError> {
        let network = load_descriptor(&self.network)?;
        match &self.gateways {
            Some(gateways) => network.with_gateways(gateways.clone()).map_err(ConfigError::Gateways),
            None => Ok(network),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A file that cannot be read, or has a missing, unknown or malformed key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = match read_toml(path) {
            Err(ConfigError::Toml { .. }) if !read_toml::<toml::Table>(path)?.contains_key("index") => {
                return Err(ConfigError::NotJoined { path: path.display().to_string() });
            }
            read => read?,
        };
        let files = [&mut config.network, &mut config.identity, &mut config.database];
        for file in files.into_iter().chain(&mut config.root_certificates) {
            *file = beside(path, file);
        }
        for seal in [Some(&mut config.seal), config.seal_before.as_mut()].into_iter().flatten() {
            if let SealSource::File(file) = seal {
                *file = beside(path, file);
            }
        }
        Ok(config)
    }
}

impl GatewayConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that cannot be read, or has a missing, unknown or malformed key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read_toml(path)?;
        let tls = config.tls.iter_mut().flat_map(|tls| [&mut tls.certificates, &mut tls.key]);
        for file in tls.chain([&mut config.network]) {
            *file = beside(path, file);
        }
        Ok(config)
    }
}

/// Reads a network descriptor from a file.
///
/// # Errors
/// A file that cannot be read or is no descriptor.
pub fn load_descriptor(path: &Path) -> Result<NetworkDescriptor, ConfigError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: name(), source })?;
    NetworkDescriptor::from_json(&text).map_err(|source| ConfigError::Descriptor { path: name(), source })
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: name(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Toml { path: name(), source: Box::new(source) })
}

fn beside(config: &Path, file: &Path) -> PathBuf {
    config.parent().map_or_else(|| file.to_owned(), |folder| folder.join(file))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    const NODE: &str = r#"
        index = 1
        network = "../network.json"
        identity = "identity.key"
        seal = "seal.key"
        database = "node.db"
    "#;
    const ACCOUNT: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";

    fn node(more: &str) -> Result<NodeConfig, toml::de::Error> {
        toml::from_str(&format!("{NODE}\n{more}"))
    }

    #[test]
    fn a_node_s_chains_are_tables_by_their_ids() {
        let config = node("[chains.84532]\nrpc = \"https://rpc.example.org/v2/Key0123456789abc\"").unwrap();
        assert_eq!(config.chains.0.keys().copied().collect::<Vec<_>>(), [84532]);
        assert!(!format!("{config:?}").contains("Key0123456789abc"), "{config:?}");
        let again: NodeConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again.chains, config.chains);
        assert!(node("").unwrap().chains.0.is_empty());
        for wrong in ["base", "084532", "0x14a34", "-1", "18446744073709551616"] {
            let error = node(&format!("[chains.{wrong}]\nrpc = \"https://rpc.example.org\"")).unwrap_err();
            assert!(error.to_string().contains("is not a chain's id"), "{error}");
        }
        for wrong in ["", "rpc = \"rpc.example.org\"", "rpc = \"https://rpc.example.org\"\nkey = \"1\""] {
            assert!(node(&format!("[chains.84532]\n{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_node_goes_to_its_own_gateways_or_to_the_descriptor_s() {
        let folder = tempfile::tempdir().unwrap();
        let dialled = |more: &str| {
            let descriptor = crate::init(folder.path(), 2, 3, ([127, 0, 0, 1], 7000).into(), 0, None);
            let (own, file) = (node(more).unwrap().gateways, folder.path().join("node-1/node.toml"));
            let config = NodeConfig { gateways: own, ..NodeConfig::load(&file).unwrap() };
            drop(descriptor);
            config.load_descriptor().map(|network| network.gateways().to_vec())
        };
        assert_eq!(dialled("").unwrap(), ["ws://127.0.0.1:7000".parse().unwrap()]);
        let two = ["wss://a.example/nodes".parse().unwrap(), "ws://10.0.0.1:7001".parse().unwrap()];
        assert_eq!(dialled("gateways = [\"wss://a.example/nodes\", \"ws://10.0.0.1:7001\"]").unwrap(), two);
        for (wrong, reason) in [("[]", "names no gateway"), ("[\"https://a.example\"]", "write `wss`")] {
            let error = dialled(&format!("gateways = {wrong}")).unwrap_err();
            assert!(error.source().unwrap().to_string().contains(reason), "{error}");
        }
        let secret = node("gateways = [\"wss://u:passw0rd@a.example/pathk3y\"]").unwrap();
        assert!(!format!("{secret:?}").contains("passw0rd"), "{secret:?}");
        assert!(!format!("{secret:?}").contains("pathk3y"), "{secret:?}");
    }

    #[test]
    fn an_address_in_the_list_of_owners_admits_no_contract() {
        let contract = format!("eip155:84532:{ACCOUNT}");
        let listed = |owner: &str| node(&format!("[admission]\nowners = [\"{owner}\"]")).unwrap().admission;
        let admits = |list: &str, owner: &str| {
            listed(list).owners.is_some_and(|owners| owners.contains(&owner.parse().unwrap()))
        };
        assert!(admits(ACCOUNT, ACCOUNT) && admits(&contract, &contract));
        assert!(!admits(ACCOUNT, &contract) && !admits(&contract, ACCOUNT));
        assert!(!admits(&contract, &contract.replace("84532", "8453")));
        assert!(node("[admission]\nowners = [\"eip155:base:0x\"]").is_err());
    }

    #[test]
    fn paths_of_certificates_are_relative_to_the_file_and_urls_of_gateways_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (node, gateway) = (folder.path().join("node.toml"), folder.path().join("gateway.toml"));
        let lines =
            "root_certificates = \"ca.pem\"\nbehind_proxy = [\"wss://user:Secret0123@gateway.example\"]";
        std::fs::write(&node, format!("{NODE}\n{lines}")).unwrap();
        let config = NodeConfig::load(&node).unwrap();
        assert_eq!(config.root_certificates, Some(folder.path().join("ca.pem")));
        assert!(!format!("{config:?}").contains("Secret0123"), "{config:?}");

        let lines =
            "listen = \"127.0.0.1:0\"\nnetwork = \"network.json\"\n[tls]\ncertificates = \"cert.pem\"";
        std::fs::write(&gateway, format!("{lines}\nkey = \"/etc/key.pem\"")).unwrap();
        let tls = GatewayConfig::load(&gateway).unwrap().tls.unwrap();
        assert_eq!((tls.certificates, tls.key), (folder.path().join("cert.pem"), "/etc/key.pem".into()));
        std::fs::write(&gateway, lines).unwrap();
        let error = GatewayConfig::load(&gateway).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("missing field `key`"), "{error:?}");
    }

    /// Loads a node's configuration with this in its part on admission.
    fn load(admission: &str) -> Result<NodeConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.toml");
        let paths = ["network", "identity", "seal", "database"].map(|path| format!("{path} = \"{path}\"\n"));
        std::fs::write(&file, format!("index = 1\n{}[admission]\n{admission}\n", paths.concat())).unwrap();
        NodeConfig::load(&file)
    }

    #[test]
    fn token_issuers_are_keys_when_they_are_loaded_and_written_as_they_were() {
        const ISSUER: &str = "0xea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
        let line = format!("token_issuers = [\"{ISSUER}\"]");
        let config = load(&line).unwrap();
        assert_eq!(config.admission.token_issuers, Some(vec![ISSUER.parse().unwrap()]));
        assert!(toml::to_string(&config).unwrap().contains(&line));
        assert_eq!(load("").unwrap().admission.token_issuers, None);
        assert!(!toml::to_string(&load("").unwrap()).unwrap().contains("token_issuers"));
    }

    #[test]
    fn a_malformed_token_issuer_is_named_with_its_file() {
        let small_order = format!("0x01{}", "00".repeat(31));
        for odd in ["", "0x12", &"ab".repeat(32), &small_order] {
            let error = load(&format!("token_issuers = [\"{odd}\"]")).unwrap_err();
            assert!(error.to_string().contains("node.toml is not a valid configuration"), "{error}");
            let source = error.source().unwrap().to_string();
            assert!(source.contains(&format!("`{odd}` is not an issuer's Ed25519 public key")), "{source}");
        }
    }
}
