//! What a gateway says of itself and of its network.

use std::collections::BTreeMap;

use quorate_protocol::NodeIndex;
use serde_json::Value;

use super::server::Door;
use crate::observe::{GatewayHealth, GatewayNumbers, Observed, SKEW, UnassignedKeys};

impl Door {
    /// What the network can do now.
    pub(super) fn health(&self) -> GatewayHealth {
        let skewed = self.connections.clocks.differences();
        let skewed: BTreeMap<NodeIndex, f64> =
            skewed.into_iter().filter(|(_, seconds)| seconds.abs() > SKEW).collect();
        GatewayHealth::of(&self.network, self.connections.ready(), self.unassigned_keys(), skewed)
    }

    fn unassigned_keys(&self) -> UnassignedKeys {
        let (free, unassigned) = (self.connections.free_keys().len(), self.connections.unassigned_keys());
        let half_assigned = unassigned.saturating_sub(free);
        UnassignedKeys { free, half_assigned, is_capped: self.keys.are_capped() }
    }
}

impl Observed for Door {
    /// It is ready if the network signs.
    async fn readiness(&self) -> (bool, Value) {
        let health = self.health();
        (health.signing.works, serde_json::json!(health))
    }

    async fn metrics(&self) -> String {
        let UnassignedKeys { free, half_assigned, .. } = self.unassigned_keys();
        let numbers = GatewayNumbers {
            ready: self.connections.ready().len(),
            free,
            half_assigned,
            queued: self.connections.queued(),
            clocks: self.connections.clocks.differences(),
        };
        self.metrics.page(&self.network, &numbers)
    }
}
