#![doc = include_str!("../README.md")]

mod builder;
mod cache;
mod contracts;
mod delegation_framework;
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
