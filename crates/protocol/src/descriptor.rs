use core::num::NonZeroU8;
use std::collections::BTreeMap;

use alloy_primitives::{B256, hex};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::gateway::gateway_name;
use crate::json::{self, JsonError};
use crate::{Fingerprint, Transcript};

/// A node's place in its network: 1 … n, the same number its key shares carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIndex(NonZeroU8);

impl NodeIndex {
    /// The first node's.
    pub const FIRST: Self = Self(NonZeroU8::MIN);

    /// An index from 1 to 255; none for 0.
    pub const fn new(index: u8) -> Option<Self> {
        match NonZeroU8::new(index) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The index as a number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl core::fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A signing network as clients and nodes pin it: who its nodes are, how many of them sign, and through which gateways they
/// are reached.
///
/// The network id commits to the threshold and to every identity, so a descriptor whose nodes were changed is
/// refused when it is read, and comparing ids compares networks. It does not commit to the gateways, which may move.
///
/// ```
/// # use quorate_protocol::{NetworkDescriptor};
/// # let key = |seed| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
/// let gateway = "ws://127.0.0.1:7000".parse().unwrap();
/// let network = NetworkDescriptor::new(2, vec![key(1), key(2), key(3)], vec![gateway])?;
/// let read_again = NetworkDescriptor::from_json(&network.to_json())?;
/// assert_eq!(read_again, network);
/// assert_eq!(network.bind_quorum(), 3);
/// # Ok::<(), quorate_protocol::DescriptorError>(())
/// ```
///
/// `Debug` shows of a gateway's URL the scheme, host and port: user name and password, path and query may hold
/// credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkDescriptor {
    id: B256,
    threshold: u8,
    nodes: Vec<VerifyingKey>,
    gateways: Vec<Url>,
}

/// Why a network descriptor is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Not the JSON of a descriptor.
    #[error("the network descriptor cannot be read")]
    Json(#[from] JsonError),
    /// An identity that is no Ed25519 public key.
    #[error("the identity of node {node} is not an Ed25519 public key of 32 bytes in hex")]
    Identity {
        /// The node's index.
        node: usize,
    },
    /// A gateway that is no URL. What was given is not repeated: it may hold credentials.
    #[error("the network descriptor's gateway {gateway} is not a URL, such as `wss://gateway.example.org`")]
    Gateway {
        /// Its place in the list, from 1.
        gateway: usize,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A gateway whose URL is not a WebSocket's.
    #[error("gateway {gateway} has the scheme `{scheme}`; write `wss`, or `ws` without TLS")]
    GatewayScheme {
        /// Its place in the list, from 1.
        gateway: usize,
        /// The scheme given.
        scheme: String,
    },
    /// One gateway named twice.
    #[error("gateways {first} and {second} are the same; name each once")]
    SharedGateway {
        /// One place in the list, from 1.
        first: usize,
        /// The other place.
        second: usize,
    },
    /// A network without a gateway.
    #[error("the network descriptor names no gateway; write `\"gateways\": [\"wss://gateway.example.org\"]`")]
    NoGateway,
    /// Two nodes with one identity.
    #[error("nodes {first} and {second} have the same identity; each node needs its own")]
    SharedIdentity {
        /// One node's index.
        first: usize,
        /// The other node's index.
        second: usize,
    },
    /// Numbers that make no network.
    #[error(
        "{threshold} of {nodes} is not a quorum: the threshold is from 2 to the number of nodes, at most 255"
    )]
    Quorum {
        /// The threshold given.
        threshold: u8,
        /// The number of nodes given.
        nodes: usize,
    },
    /// The id is not that of the content.
    #[error("the network id is {stated}, but the content hashes to {computed}: the descriptor was altered")]
    Altered {
        /// The id in the document.
        stated: B256,
        /// The id of the document's content.
        computed: B256,
    },
}

impl NetworkDescriptor {
    /// Describes a network of `nodes` (in the order of their indices, the first is 1), any `threshold` of which
    /// sign, and whom clients reach through any of `gateways` (`ws` or `wss`, at least one).
    ///
    /// # Errors
    /// A threshold below 2 or above the number of nodes, more than 255 nodes, an identity used twice, or
    /// [gateways](Self::with_gateways) that are none.
    pub fn new(threshold: u8, nodes: Vec<VerifyingKey>, gateways: Vec<Url>) -> Result<Self, DescriptorError> {
        check_gateways(&gateways)?;
        if threshold < 2 || usize::from(threshold) > nodes.len() || nodes.len() > 255 {
            return Err(DescriptorError::Quorum { threshold, nodes: nodes.len() });
        }
        let mut seen = BTreeMap::new();
        for (place, identity) in nodes.iter().enumerate() {
            if let Some(first) = seen.insert(identity.to_bytes(), place + 1) {
                return Err(DescriptorError::SharedIdentity { first, second: place + 1 });
            }
        }
        let id = nodes
            .iter()
            .fold(Transcript::new("network").number(threshold.into()), |hash, node| {
                hash.field(node.as_bytes())
            })
            .finish();
        Ok(Self { id, threshold, nodes, gateways })
    }

    /// Reads a descriptor and checks that its id is that of its content.
    ///
    /// # Errors
    /// JSON that is no descriptor, what [`new`](Self::new) refuses, or an id of other content.
    pub fn from_json(text: &str) -> Result<Self, DescriptorError> {
        let file: DescriptorFile = json::read(text)?;
        let identities = file
            .nodes
            .iter()
            .enumerate()
            .map(|(place, hex)| parse_identity(hex).ok_or(DescriptorError::Identity { node: place + 1 }));
        let gateways =
            file.gateways.iter().zip(1..).map(|(url, gateway)| {
                url.parse().map_err(|source| DescriptorError::Gateway { gateway, source })
            });
        let (identities, gateways) =
            (identities.collect::<Result<_, _>>()?, gateways.collect::<Result<_, _>>()?);
        let descriptor = Self::new(file.threshold, identities, gateways)?;
        if descriptor.id != file.id {
            return Err(DescriptorError::Altered { stated: file.id, computed: descriptor.id });
        }
        Ok(descriptor)
    }

    /// The descriptor as the JSON that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        let nodes = self.nodes.iter().map(|node| hex::encode_prefixed(node.as_bytes())).collect();
        let gateways = self.gateways.iter().map(Url::to_string).collect();
        let file = DescriptorFile { id: self.id, threshold: self.threshold, nodes, gateways };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// The hash of the threshold and the identities.
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// What operators compare before they join: it covers what the [id](Self::id) covers, so not the gateways.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.id)
    }

    /// How many nodes sign (t).
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// How many nodes there are (n).
    pub fn size(&self) -> u8 {
        u8::try_from(self.nodes.len()).unwrap_or(u8::MAX)
    }

    /// How many nodes must attest to a key's birth: ⌊(n + t − 1) / 2⌋ + 1, so that two such sets share an honest
    /// node even when t − 1 are bad.
    pub fn bind_quorum(&self) -> u8 {
        let attesting = (u16::from(self.size()) + u16::from(self.threshold) - 1) / 2 + 1;
        u8::try_from(attesting).unwrap_or(u8::MAX)
    }

    /// Where clients reach the network: any of these will do. There is one at least.
    pub fn gateways(&self) -> &[Url] {
        &self.gateways
    }

    /// The same network behind other gateways.
    ///
    /// # Errors
    /// No gateway, one named twice, or one whose URL is not a WebSocket's (`ws` or `wss`).
    pub fn with_gateways(mut self, gateways: Vec<Url>) -> Result<Self, DescriptorError> {
        check_gateways(&gateways)?;
        self.gateways = gateways;
        Ok(self)
    }

    /// The identity of one node; none for an index that the network has not.
    pub fn identity(&self, node: NodeIndex) -> Option<&VerifyingKey> {
        self.nodes.get(usize::from(node.get()) - 1)
    }

    /// Whether a signature over a digest is the Ed25519 signature of one node.
    pub fn has_signed(&self, node: NodeIndex, digest: B256, signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        matches!((self.identity(node), signature), (Some(identity), Ok(signature))
            if identity.verify_strict(digest.as_slice(), &signature).is_ok())
    }

    /// The index of the node with this identity; none if the network has no such node.
    pub fn index_of(&self, identity: &VerifyingKey) -> Option<NodeIndex> {
        self.nodes().find_map(|(index, node)| (node == identity).then_some(index))
    }

    /// Every node with its identity, by index.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &VerifyingKey)> {
        (1u8..=255).filter_map(NodeIndex::new).zip(&self.nodes)
    }
}

impl core::fmt::Debug for NetworkDescriptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetworkDescriptor")
            .field("id", &self.id)
            .field("threshold", &self.threshold)
            .field("nodes", &self.nodes)
            .field("gateways", &self.gateways.iter().map(Redacted).collect::<Vec<_>>())
            .finish()
    }
}

/// A URL's scheme, host and port, and whether there is more.
struct Redacted<'a>(&'a Url);

impl core::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(url) = self;
        f.write_str(&gateway_name(url))?;
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        f.write_str(if more { "/[redacted]" } else { "/" })
    }
}

fn check_gateways(gateways: &[Url]) -> Result<(), DescriptorError> {
    if gateways.is_empty() {
        return Err(DescriptorError::NoGateway);
    }
    let mut seen = BTreeMap::new();
    for (url, gateway) in gateways.iter().zip(1..) {
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(DescriptorError::GatewayScheme { gateway, scheme: url.scheme().to_owned() });
        }
        if let Some(first) = seen.insert(url, gateway) {
            return Err(DescriptorError::SharedGateway { first, second: gateway });
        }
    }
    Ok(())
}

pub(crate) fn parse_identity(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = hex::decode_to_array(text).ok()?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescriptorFile {
    id: B256,
    threshold: u8,
    nodes: Vec<String>,
    /// Version 0.1.0 wrote `gateway`, a single URL.
    #[serde(alias = "gateway", deserialize_with = "one_or_many")]
    gateways: Vec<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(gateway) => vec![gateway],
        OneOrMany::Many(gateways) => gateways,
    })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn network(threshold: u8, size: u8) -> Result<NetworkDescriptor, DescriptorError> {
        let nodes = (1..=size).map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).collect();
        NetworkDescriptor::new(threshold, nodes, urls(&["ws://localhost:1"]))
    }

    fn urls(gateways: &[&str]) -> Vec<Url> {
        gateways.iter().map(|gateway| gateway.parse().unwrap()).collect()
    }

    #[test]
    fn a_changed_identity_or_threshold_is_refused() {
        let json = network(3, 5).unwrap().to_json();
        let stranger = hex::encode_prefixed(SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes());
        let own = hex::encode_prefixed(SigningKey::from_bytes(&[2; 32]).verifying_key().as_bytes());
        for altered in [json.replace(&own, &stranger), json.replace("\"threshold\": 3", "\"threshold\": 2")] {
            assert_ne!(altered, json);
            assert!(matches!(NetworkDescriptor::from_json(&altered), Err(DescriptorError::Altered { .. })));
        }
    }

    #[test]
    fn credentials_of_the_gateway_are_in_no_debug_output_and_no_error() {
        const SECRETS: [&str; 5] = ["us3r", "passw0rd", "pathk3y", "t0ken", "fragm3nt"];
        let gateway = "wss://us3r:passw0rd@gateway.example:7000/v1/pathk3y?token=t0ken#fragm3nt";
        let network = network(3, 5).unwrap().with_gateways(urls(&["ws://localhost:1", gateway])).unwrap();
        let shown = format!("{network:?} {network:#?}");
        assert!(shown.contains("wss://gateway.example:7000/[redacted]"), "{shown}");
        let malformed = network.to_json().replace("wss://", "//");
        let refused = NetworkDescriptor::from_json(&malformed).unwrap_err();
        assert!(matches!(refused, DescriptorError::Gateway { gateway: 2, .. }));
        let source = core::error::Error::source(&refused).unwrap();
        for text in [shown, format!("{refused} {refused:?} {source} {source:?}")] {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in: {text}");
            }
        }
        assert_eq!(NetworkDescriptor::from_json(&network.to_json()).unwrap(), network);
    }

    #[test]
    fn gateways_may_move() {
        let network = network(3, 5).unwrap();
        let gateways = urls(&["wss://gateway.example", "wss://other.example/prefix"]);
        let moved = network.clone().with_gateways(gateways.clone()).unwrap();
        assert_eq!(moved.id(), network.id());
        let read = NetworkDescriptor::from_json(&moved.to_json()).unwrap();
        assert_eq!(read.gateways(), gateways);
    }

    #[test]
    fn a_file_with_a_single_gateway_is_a_list_of_one() {
        let network = network(3, 5).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&network.to_json()).unwrap();
        let gateways = file.as_object_mut().unwrap().remove("gateways").unwrap();
        file["gateway"] = gateways[0].clone();
        assert_eq!(NetworkDescriptor::from_json(&file.to_string()).unwrap(), network);
        file["gateways"] = gateways;
        let both = NetworkDescriptor::from_json(&file.to_string()).unwrap_err();
        assert!(matches!(both, DescriptorError::Json(_)), "{both}");
    }

    #[test]
    fn gateways_are_web_sockets_each_named_once() {
        let with = |gateways: &[&str]| network(3, 5).unwrap().with_gateways(urls(gateways)).unwrap_err();
        assert!(matches!(with(&[]), DescriptorError::NoGateway));
        let scheme = with(&["wss://a.example", "https://b.example"]);
        assert!(matches!(scheme, DescriptorError::GatewayScheme { gateway: 2, .. }), "{scheme}");
        let shared = with(&["wss://a.example", "wss://b.example", "wss://a.example:443/"]);
        assert!(matches!(shared, DescriptorError::SharedGateway { first: 1, second: 3 }), "{shared}");
    }

    #[test]
    fn impossible_quorums_and_shared_identities_are_refused() {
        for (threshold, size) in [(1, 3), (0, 3), (4, 3), (2, 1)] {
            assert!(
                matches!(network(threshold, size), Err(DescriptorError::Quorum { .. })),
                "{threshold}/{size}"
            );
        }
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
        let shared = NetworkDescriptor::new(2, vec![key, key], urls(&["ws://localhost:1"]));
        assert!(matches!(shared, Err(DescriptorError::SharedIdentity { first: 1, second: 2 })));
    }

    #[test]
    fn bind_quorums_of_common_networks() {
        for (threshold, size, quorum) in [(3, 5, 4), (2, 3, 3), (2, 2, 2), (5, 9, 7)] {
            assert_eq!(network(threshold, size).unwrap().bind_quorum(), quorum, "{threshold} of {size}");
        }
    }
}
