//! What a node and a gateway let be seen of themselves: health, readiness and metrics over HTTP, and bounded logs.
//!
//! Nothing is decided by any of it. No label of a metric and no line of a log grows with what strangers choose: labels are of
//! fixed sets (operations, codes of refusals, the network's nodes), texts from outside go through [`one_line`], and what
//! strangers can cause as often as they like is told [`Occasionally`].

mod clocks;
mod disk;
mod gateway;
mod listener;
mod metrics;
mod node;
mod occasionally;
mod readiness;
mod text;

pub(crate) use self::clocks::{Clocks, SKEW, ping, sent_at};
pub(crate) use self::gateway::{GatewayMetrics, GatewayNumbers};
pub(crate) use self::listener::{Listener, Observed};
pub(crate) use self::metrics::Dropped;
pub(crate) use self::node::{ConnectedGateway, NodeObserver};
pub(crate) use self::occasionally::Occasionally;
pub(crate) use self::readiness::UnassignedKeys;
pub use self::readiness::{GatewayHealth, Work};
pub(crate) use self::text::one_line;
