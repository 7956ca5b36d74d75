//! Adversaries for tests: a gateway and nodes that do what honest ones never do, and frames that nobody sent.
//!
//! Gateway and nodes speak the network's own frames with real nodes over real sockets. Nothing here is compiled into a program: the
//! feature `adversaries` is for tests alone.

mod bad_node;
mod frames;
mod hostile_gateway;

pub use bad_node::{BadNode, Misbehaviour};
pub use frames::check_frames;
pub use hostile_gateway::{HostileGateway, Relayed, TaskHandle};
