use ed25519_dalek::SigningKey;
use quorate_protocol::{NetworkDescriptor, NodeIndex};

use super::NodeError;
use crate::config::{ConfigError, NodeConfig};
use crate::seal::{SealKeys, SealSource, read_key_file};

/// Who a node is in its network.
pub(crate) struct Member {
    pub(crate) network: NetworkDescriptor,
    pub(crate) index: NodeIndex,
    pub(crate) identity: SigningKey,
}

impl Member {
    /// All other nodes.
    pub(crate) fn peers(&self) -> impl Iterator<Item = NodeIndex> {
        self.network.nodes().map(|(node, _)| node).filter(|node| *node != self.index)
    }
}

/// Who a configuration says that a node is.
pub(crate) fn load_member(config: &NodeConfig) -> Result<Member, NodeError> {
    let (network, index) = (config.load_descriptor()?, config.index);
    let identity = SigningKey::from_bytes(&*read_key_file(&config.identity)?);
    let most = network.threshold() - 1;
    match (network.identity(index), config.bad_nodes) {
        (None, _) => Err(ConfigError::NoSuchNode { index, size: network.size() }.into()),
        (Some(pinned), _) if *pinned != identity.verifying_key() => {
            Err(ConfigError::OtherIdentity { index }.into())
        }
        (_, Some(found)) if found > most => Err(ConfigError::BadNodes { found, most }.into()),
        _ => Ok(Member { network, index, identity }),
    }
}

/// The seal keys that a configuration names.
pub(crate) fn load_seals(config: &NodeConfig) -> Result<SealKeys, NodeError> {
    let before = config.seal_before.as_ref().map(SealSource::read).transpose()?;
    Ok(SealKeys::new(config.seal.read()?, before))
}

/// Nodes in words, for people.
pub(crate) fn listed<'a>(nodes: impl IntoIterator<Item = &'a NodeIndex>) -> String {
    nodes.into_iter().map(NodeIndex::to_string).collect::<Vec<_>>().join(", ")
}
