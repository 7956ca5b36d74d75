//! A local chain, bundler, account contracts and signing network, for development and tests.
//!
//! [`Devnet`] runs anvil and the alto bundler from npm, with EntryPoint v0.6 and the smart account's contracts at
//! the addresses that they have on public chains, two paymasters, and a [`PaymasterService`] that signs for them.
//! [`LocalNetwork`] runs a signing network of the `quorate` program. What they start ends with them, at the latest
//! with the program that started it.
//!
//! ```no_run
//! # async fn example() -> Result<(), quorate_devnet::DevnetError> {
//! let devnet = quorate_devnet::Devnet::builder("target/devnet").start().await?;
//! println!("chain {} at {}", devnet.chain_id(), devnet.rpc_url());
//! devnet.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod cache;
mod contracts;
mod devnet;
mod local_network;
mod paymaster;
mod place;
mod port;
mod process;
mod progress;
mod start;
mod toolchain;
mod transact;
mod watchdog;

pub use builder::DevnetBuilder;
pub use cache::CacheError;
pub use contracts::{CompileError, Contracts};
pub use devnet::{Devnet, DevnetError};
pub use local_network::{LocalNetwork, LocalNetworkError};
pub use paymaster::{PaymasterFault, PaymasterService};
pub use place::PlaceError;
pub use process::{LogTail, ProcessError};
pub use progress::{Progress, Quiet, Step};
pub use toolchain::{OLDEST_NODE, PinnedPackages, Toolchain, ToolchainError};
