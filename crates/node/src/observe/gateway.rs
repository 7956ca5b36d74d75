//! What a gateway counts.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex};

use super::metrics::{self, Frames, OfNode, OfState, Requests};

/// A gateway's metrics.
#[derive(Debug)]
pub(crate) struct GatewayMetrics {
    registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) frames: Frames,
    attempts: Histogram,
    nodes_ready: Gauge,
    keys: Family<OfState, Gauge>,
    queues: Family<OfNode, Gauge>,
    clocks: Family<OfNode, Gauge<f64, AtomicU64>>,
}

/// What a gateway's metrics say of this moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayNumbers {
    pub(crate) ready: usize,
    pub(crate) free: usize,
    pub(crate) half_assigned: usize,
    /// The bytes that wait for each node.
    pub(crate) queued: BTreeMap<NodeIndex, usize>,
    /// How far each node's clock is ahead, in seconds.
    pub(crate) clocks: BTreeMap<NodeIndex, f64>,
}

/// How many quorums are asked for one signature.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0];

impl Default for GatewayMetrics {
    fn default() -> Self {
        let mut registry = metrics::registry();
        let (requests, frames) = (Requests::register(&mut registry), Frames::register(&mut registry));
        let attempts = Histogram::new(ATTEMPTS);
        registry.register("signature_attempts", "Quorums asked for one signature", attempts.clone());
        let nodes_ready = Gauge::default();
        registry.register("nodes_ready", "Nodes connected to this gateway", nodes_ready.clone());
        let keys = Family::default();
        let help = "Keys that are nobody's: free at enough nodes to be given away, or half-assigned";
        registry.register("keys", help, keys.clone());
        let queues = Family::default();
        registry.register_with_unit("queue", "What waits for a node's socket", Unit::Bytes, queues.clone());
        let clocks = Family::default();
        let help = "How far a node's clock is ahead of this one";
        registry.register_with_unit("clock_skew", help, Unit::Seconds, clocks.clone());
        Self { registry, requests, frames, attempts, nodes_ready, keys, queues, clocks }
    }
}

impl GatewayMetrics {
    /// Counts what came of a client's request.
    pub(crate) fn answered(&self, operation: &'static str, answer: &Answer) {
        self.requests.answered(operation, metrics::outcome(answer));
    }

    /// Counts a signature, or what was to be one, after so many quorums were asked.
    pub(crate) fn signed(&self, attempts: u32) {
        self.attempts.observe(attempts.into());
    }

    /// All metrics, at this moment.
    pub(crate) fn page(&self, network: &NetworkDescriptor, now: &GatewayNumbers) -> String {
        self.nodes_ready.set(gauge(now.ready));
        self.keys.get_or_create(&OfState { state: "free" }).set(gauge(now.free));
        self.keys.get_or_create(&OfState { state: "half_assigned" }).set(gauge(now.half_assigned));
        for (node, _) in network.nodes() {
            let of_node = OfNode::new(node);
            self.queues
                .get_or_create(&of_node)
                .set(gauge(now.queued.get(&node).copied().unwrap_or_default()));
            match now.clocks.get(&node) {
                Some(seconds) => drop(self.clocks.get_or_create(&of_node).set(*seconds)),
                None => drop(self.clocks.remove(&of_node)),
            }
        }
        metrics::page(&self.registry)
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
