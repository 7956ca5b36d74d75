//! A scripted chain: nodes, bundlers and paymasters in the process, for tests of applications and of Quorate itself.
//!
//! A [`ScriptedChain`] follows the rules of EntryPoint v0.6 and of the Biconomy V2 contracts, signatures, proofs and
//! policies among them, without executing them. [`ScriptedNode`], [`ScriptedBundler`] and
//! [`ScriptedPaymaster`] are [`Transport`](quorate_transport::Transport)s, so that whatever talks to real ones talks
//! to them. They answer at once, nothing in them sleeps, and nothing depends on the machine's clock.
//!
//! What goes wrong on real chains happens on demand: operations are dropped, held back and replaced, blocks are
//! reorganised, nodes lag, and each request may meet a [`Fault`].
//!
//! ```
//! use alloy_primitives::{U256, address};
//! use quorate_testing::{Fault, ScriptedChain};
//! use quorate_transport::{TransportError, TransportExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), TransportError> {
//! let chain = ScriptedChain::new();
//! let node = chain.node();
//! let rich = address!("7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
//! chain.fund(rich, U256::from(100));
//!
//! let balance: U256 = node.call("eth_getBalance", (rich, "latest")).await?;
//! assert_eq!(balance, U256::from(100));
//!
//! // The next request finds the node too slow, the one after that does not.
//! node.on_next("eth_blockNumber", Fault::Timeout);
//! assert!(matches!(
//!     node.call::<String>("eth_blockNumber", ()).await,
//!     Err(TransportError::Timeout { .. })
//! ));
//! chain.mine();
//! assert_eq!(node.call::<String>("eth_blockNumber", ()).await?, "0x1");
//! # Ok(()) }
//! ```
//!
//! Not modelled: the gas that calls and paymasters use, ERC-721 tokens, aggregators, other factories, and the payment of
//! what an account owes the token paymaster.

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
