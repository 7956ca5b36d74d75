use ed25519_dalek::SigningKey;
use quorate_protocol::{NetworkDescriptor, NodeIndex};

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
