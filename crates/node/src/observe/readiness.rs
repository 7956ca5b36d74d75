//! What a network can do with the nodes that are there.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::{NetworkDescriptor, NodeIndex};
use serde::{Deserialize, Serialize};

/// Whether a network can do one kind of its work now, as one gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Work {
    /// Whether it can.
    pub works: bool,
    /// How many nodes it takes.
    pub needed: u8,
    /// Those that are not connected.
    pub missing: BTreeSet<NodeIndex>,
    /// Why it cannot, in words; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a gateway says of itself and of its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GatewayHealth {
    /// How many nodes are connected.
    pub nodes: u8,
    /// Which ones.
    pub ready: BTreeSet<NodeIndex>,
    /// How many keys can be given to owners at once.
    pub keys: usize,
    /// Signing with the keys that owners have: *t* nodes.
    pub signing: Work,
    /// Giving an owner a key: a bind quorum of nodes, and a key.
    pub assigning: Work,
    /// Making keys: all nodes.
    pub key_making: Work,
    /// How far the clocks of nodes are ahead of the gateway's, in seconds, where it is more than five; negative for those
    /// behind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skewed_clocks: BTreeMap<NodeIndex, f64>,
}

/// The keys that are nobody's, as nodes name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnassignedKeys {
    /// Those that enough of the nodes can assign.
    pub(crate) free: usize,
    /// Those that fewer can.
    pub(crate) half_assigned: usize,
    /// Whether there are so many that no more are made.
    pub(crate) is_capped: bool,
}

impl GatewayHealth {
    /// What can be done with these nodes and keys.
    pub(crate) fn of(
        network: &NetworkDescriptor,
        ready: BTreeSet<NodeIndex>,
        keys: UnassignedKeys,
        skewed_clocks: BTreeMap<NodeIndex, f64>,
    ) -> Self {
        let work = |needed| Work::of(network, &ready, needed);
        let signing = work(network.threshold());
        let mut key_making = work(network.size());
        if keys.is_capped {
            key_making.fail(format!(
                "{} keys are nobody's and cannot be given away",
                keys.free + keys.half_assigned
            ));
        }
        let mut assigning = work(network.bind_quorum());
        if let Some(reason) = key_making.reason.as_ref().filter(|_| keys.free == 0) {
            assigning.fail(format!("no key is free, and none can be made: {reason}"));
        }
        let nodes = u8::try_from(ready.len()).unwrap_or(u8::MAX);
        Self { nodes, ready, keys: keys.free, signing, assigning, key_making, skewed_clocks }
    }
}

impl Work {
    fn of(network: &NetworkDescriptor, ready: &BTreeSet<NodeIndex>, needed: u8) -> Self {
        let missing: BTreeSet<_> =
            network.nodes().map(|(node, _)| node).filter(|node| !ready.contains(node)).collect();
        let mut work = Self { works: true, needed, missing, reason: None };
        if ready.len() < usize::from(needed) {
            let names = work.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            work.fail(format!(
                "{needed} nodes are needed and {} are connected; missing: {names}",
                ready.len()
            ));
        }
        work
    }

    /// It cannot be done; the first reason stays.
    fn fail(&mut self, reason: String) {
        self.works = false;
        self.reason.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn health(ready: &[u8], free: usize, is_capped: bool) -> GatewayHealth {
        let identities = (1..=5).map(|byte| SigningKey::from_bytes(&[byte; 32]).verifying_key()).collect();
        let gateways = vec!["ws://127.0.0.1:7000".parse().unwrap()];
        let network = NetworkDescriptor::new(3, identities, gateways).unwrap();
        let ready = ready.iter().map(|node| NodeIndex::new(*node).unwrap()).collect();
        let keys = UnassignedKeys { free, half_assigned: 2, is_capped };
        GatewayHealth::of(&network, ready, keys, BTreeMap::new())
    }

    fn works(health: &GatewayHealth) -> [bool; 3] {
        [&health.signing, &health.assigning, &health.key_making].map(|work| work.works)
    }

    #[test]
    fn what_works_depends_on_the_nodes_and_keys_that_are_there() {
        assert_eq!(works(&health(&[1, 2, 3, 4, 5], 0, false)), [true, true, true]);
        assert_eq!(works(&health(&[1, 2, 3, 4], 1, false)), [true, true, false]);
        assert_eq!(works(&health(&[1, 2, 3, 4], 0, false)), [true, false, false]);
        assert_eq!(works(&health(&[1, 3, 5], 1, false)), [true, false, false]);
        assert_eq!(works(&health(&[1, 5], 1, false)), [false, false, false]);
        assert_eq!(works(&health(&[1, 2, 3, 4, 5], 0, true)), [true, false, false]);
    }

    #[test]
    fn each_no_says_why_and_who_is_missing() {
        let reason = |work: Work| work.reason.unwrap();
        let few = health(&[1, 5], 1, false);
        assert_eq!(reason(few.signing), "3 nodes are needed and 2 are connected; missing: 2, 3, 4");
        assert_eq!(few.key_making.missing.len(), 3);
        let none_free = reason(health(&[1, 2, 3, 4], 0, false).assigning);
        let why = "5 nodes are needed and 4 are connected; missing: 5";
        assert_eq!(none_free, format!("no key is free, and none can be made: {why}"));
        assert_eq!(
            reason(health(&[1, 2, 3, 4, 5], 60, true).key_making),
            "62 keys are nobody's and cannot be given away"
        );
    }

    #[test]
    fn what_is_said_has_stable_names() {
        let said = serde_json::to_value(health(&[1, 2, 3, 4], 1, false)).unwrap();
        let works = |needed: u8| serde_json::json!({ "works": true, "needed": needed, "missing": [5] });
        assert_eq!(said["signing"], works(3));
        assert_eq!(said["assigning"], works(4));
        assert_eq!(said["keyMaking"]["works"], false);
        assert_eq!((&said["nodes"], &said["keys"]), (&4.into(), &1.into()));
        assert_eq!(said["ready"], serde_json::json!([1, 2, 3, 4]));
    }
}
