#![doc = include_str!("../README.md")]

mod block;
mod bundler;
mod chain;
mod dialect;
mod execution;
mod factory;
mod fault;
mod mempool;
mod node;
mod number;
mod operation;
mod params;
mod paymaster;
mod state;
mod status;
mod validation;
mod world;

pub use bundler::ScriptedBundler;
pub use chain::ScriptedChain;
pub use dialect::BundlerDialect;
pub use execution::Execution;
pub use fault::{Crash, Endpoint, Fault};
pub use node::ScriptedNode;
pub use number::Numbers;
pub use paymaster::{PaymasterFault, ScriptedPaymaster};
pub use state::Orphaned;
