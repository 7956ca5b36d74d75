//! A node on its operator's own machine: it makes its secrets there, and joins the network that others assemble.

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use quorate_protocol::{Fingerprint, NetworkDescriptor, NodeCard, NodeCardError, NodeIndex};

use crate::config::{ConfigError, NodeConfig, load_descriptor};
use crate::seal::{KeyFileError, create_key_file, read_key_file, write_key_file};

/// Why a node's folder is not made, or does not join a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The folder is in use.
    #[error(
        "{folder} is not empty; a node's secrets are made in a new folder, and those of a node that exists stay"
    )]
    NotEmpty {
        /// The folder.
        folder: String,
    },
    /// A file that cannot be read or written, or is not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A name that is no node's.
    #[error(transparent)]
    Card(#[from] NodeCardError),
    /// Another network than the one that the operators have compared.
    #[error(
        "the descriptor's fingerprint is {found}, and {confirmed} was confirmed: it is another network; ask the other \
         operators which fingerprint theirs shows, and get the descriptor again"
    )]
    OtherNetwork {
        /// What was confirmed.
        confirmed: Fingerprint,
        /// The descriptor's.
        found: Fingerprint,
    },
    /// A network that was assembled without this node.
    #[error(
        "none of the {size} nodes of the network has the identity in {identity}; have it assembled again with this folder's \
         card.json"
    )]
    NotAMember {
        /// The identity's file.
        identity: String,
        /// How many nodes the network has.
        size: u8,
    },
    /// A node that is in another network already.
    #[error(
        "this node has joined the network with the fingerprint {joined}, and its shares are of that network's keys; for \
         another network make another node"
    )]
    Joined {
        /// The fingerprint of the network that it is in.
        joined: Fingerprint,
    },
}

const CARD: &str = "card.json";
const CONFIG: &str = "node.toml";
const IDENTITY: &str = "identity.key";
const NETWORK: &str = "network.json";

/// What stands in a node's configuration until it has joined: where it is written, an operator may add settings of their own.
const NOT_JOINED: &str = "# `quorate node join` writes here which node of the network this is.\n";

/// Makes a node in an empty or missing folder, which becomes its owner's alone: `identity.key` and `seal.key`, which are on
/// disk when this returns and leave the machine in no form; `card.json`, for whoever assembles the network; and `node.toml`,
/// which [`join_network`] completes.
///
/// # Errors
/// A folder that is not empty or cannot be written, or a name that [`NodeCard::new`] refuses.
pub fn init_node(folder: &Path, name: &str) -> Result<NodeCard, OperatorError> {
    let identity = crate::seal::random_key().map_err(|error| io(folder, error.into()))?;
    let card = NodeCard::new(&SigningKey::from_bytes(&identity), name)?;
    create_private_folder(folder)?;
    write_key_file(&folder.join(IDENTITY), &identity)?;
    create_key_file(&folder.join("seal.key"))?;
    write_whole(&folder.join(CARD), &card.to_json())?;
    let settings = toml::to_string(&NodeConfig::in_folder(NodeIndex::FIRST)).unwrap_or_default();
    let (_index, settings) = settings.split_once('\n').unwrap_or_default();
    write_whole(&folder.join(CONFIG), &format!("{NOT_JOINED}{settings}"))?;
    Ok(card)
}

/// Puts a network's descriptor into a node's folder, and completes its configuration with the node's index, which is found
/// by its identity. Done again it changes the gateways alone.
///
/// # Errors
/// A descriptor with another fingerprint than the one that the operator has `confirmed`, a network of which this node is none,
/// a node of another network, or files that cannot be read or written.
pub fn join_network(
    folder: &Path,
    network: &Path,
    confirmed: Fingerprint,
) -> Result<(NodeIndex, NetworkDescriptor), OperatorError> {
    let network = load_descriptor(network)?;
    let found = network.fingerprint();
    if found != confirmed {
        return Err(OperatorError::OtherNetwork { confirmed, found });
    }
    let file = folder.join(IDENTITY);
    let identity = SigningKey::from_bytes(&*read_key_file(&file)?).verifying_key();
    let not_a_member =
        || OperatorError::NotAMember { identity: file.display().to_string(), size: network.size() };
    let index = network.index_of(&identity).ok_or_else(not_a_member)?;
    let own = folder.join(NETWORK);
    if own.exists() {
        let joined = load_descriptor(&own)?.fingerprint();
        if joined != found {
            return Err(OperatorError::Joined { joined });
        }
    }
    write_whole(&own, &network.to_json())?;
    complete(&folder.join(CONFIG), index)?;
    Ok((index, network))
}

/// Writes the index into a configuration that has none yet; all else in it is its operator's.
fn complete(config: &Path, index: NodeIndex) -> Result<(), ConfigError> {
    match NodeConfig::load(config) {
        Ok(complete) if complete.index == index => return Ok(()),
        Ok(other) => return Err(ConfigError::OtherIdentity { index: other.index }),
        Err(ConfigError::NotJoined { .. }) => {}
        Err(error) => return Err(error),
    }
    let settings = std::fs::read_to_string(config).map_err(|source| io(config, source))?;
    let settings = settings.replacen(NOT_JOINED, "", 1);
    // The first line of all: after a table's head it would be the table's.
    write_whole(config, &format!("index = {index}\n{settings}"))
}

/// An empty folder that nobody but its owner may enter.
fn create_private_folder(folder: &Path) -> Result<(), OperatorError> {
    let failed = |source| io(folder, source);
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(OperatorError::NotEmpty { folder: folder.display().to_string() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// Writes a file of which, whatever happens meanwhile, the whole is there or what was there before; it and its name are on
/// disk when this returns, and so are the names of the files that were made beside it before.
fn write_whole(path: &Path, text: &str) -> Result<(), ConfigError> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The descriptor of the network that these cards make, as a file.
    fn assemble(folder: &Path, cards: &[&NodeCard], gateway: &str) -> PathBuf {
        let identities = cards.iter().map(|card| *card.identity()).collect();
        let network = NetworkDescriptor::new(2, identities, vec![gateway.parse().unwrap()]).unwrap();
        let file = folder.join(format!("{}.json", network.fingerprint()));
        std::fs::write(&file, network.to_json()).unwrap();
        file
    }

    fn fingerprint(network: &Path) -> Fingerprint {
        load_descriptor(network).unwrap().fingerprint()
    }

    #[test]
    fn a_node_joins_only_a_confirmed_network_that_it_is_in_and_stays_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = |name: &str| folder.path().join(name);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| init_node(&home(name), name).unwrap());
        let network = assemble(folder.path(), &[&alice, &bob], "wss://a.example");
        let own = fingerprint(&network);

        let unjoined = NodeConfig::load(&home("bob").join(CONFIG)).unwrap_err();
        assert!(matches!(unjoined, ConfigError::NotJoined { .. }), "{unjoined}");
        let other = Fingerprint::of(alloy_primitives::B256::ZERO);
        let unconfirmed = join_network(&home("bob"), &network, other).unwrap_err();
        assert!(matches!(unconfirmed, OperatorError::OtherNetwork { .. }), "{unconfirmed}");
        let stranger = join_network(&home("carol"), &network, own).unwrap_err();
        assert!(matches!(stranger, OperatorError::NotAMember { size: 2, .. }), "{stranger}");
        assert!(!home("bob").join(NETWORK).exists() && !home("carol").join(NETWORK).exists());

        let settings = std::fs::read_to_string(home("bob").join(CONFIG)).unwrap();
        std::fs::write(home("bob").join(CONFIG), settings.replace("= 64", "= 7 # mine")).unwrap();
        let (index, _) = join_network(&home("bob"), &network, own).unwrap();
        let config = NodeConfig::load(&home("bob").join(CONFIG)).unwrap();
        assert_eq!((index.get(), config.index, config.most_free_keys), (2, index, 7));
        assert!(std::fs::read_to_string(home("bob").join(CONFIG)).unwrap().contains("# mine"));

        let moved = assemble(folder.path(), &[&alice, &bob], "wss://b.example");
        join_network(&home("bob"), &moved, own).unwrap();
        let config = NodeConfig::load(&home("bob").join(CONFIG)).unwrap();
        assert_eq!(config.load_descriptor().unwrap().gateways()[0].as_str(), "wss://b.example/");
        let others = assemble(folder.path(), &[&carol, &bob], "wss://a.example");
        let joined = join_network(&home("bob"), &others, fingerprint(&others)).unwrap_err();
        assert!(matches!(joined, OperatorError::Joined { joined } if joined == own), "{joined}");
    }

    #[test]
    fn a_node_s_secrets_are_its_owner_s_and_never_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("node");
        let card = init_node(&home, "alice").unwrap();
        let identity = std::fs::read_to_string(home.join(IDENTITY)).unwrap();
        for file in [CARD, CONFIG] {
            let text = std::fs::read_to_string(home.join(file)).unwrap();
            assert!(!text.contains(&identity), "{file} travels or is shown");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&home), 0o700);
            assert_eq!([IDENTITY, "seal.key"].map(|file| mode(&home.join(file))), [0o600; 2]);
        }
        let again = init_node(&home, "alice").unwrap_err();
        assert!(matches!(again, OperatorError::NotEmpty { .. }), "{again}");
        let written = std::fs::read_to_string(home.join(CARD)).unwrap();
        assert_eq!(NodeCard::from_json(&written).unwrap(), card);
    }
}
