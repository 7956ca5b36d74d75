//! The signing network: nodes that hold key shares, and the gateway through which clients reach them.
//!
//! A [`Node`] connects to the [`Gateway`] and opens no port. It verifies every request by itself, evaluates the
//! policies registered with the key, and only then takes part in a signature; what nodes say to each other is
//! sealed end to end, so the gateway relays without reading. [`init_node`] makes a node on its operator's machine,
//! [`join_network`] puts it into a network, and [`init`] writes the files of a whole network for development.

#[cfg(feature = "adversaries")]
pub mod adversary;
mod buckets;
mod channel_binding;
mod clock;
mod config;
mod error;
pub mod fail_points;
mod gateway;
mod init;
mod issuer;
mod maintenance;
mod node;
mod observe;
mod operators;
mod seal;
mod storage;
mod wire;

pub use clock::ClockError;
pub use config::{
    Admission, ChainConfig, ChainConfigs, ClientLimits, ConfigError, GatewayConfig, NoChainId, NodeConfig,
    Rate, TlsConfig, load_descriptor,
};
pub use gateway::{CertificateError, CertificateReload, Gateway, GatewayError};
pub use init::init;
pub use issuer::{create_issuer, load_issuer};
pub use maintenance::{RestoreOptions, back_up, restore, rotate_seal};
pub use node::{Node, NodeError};
pub use observe::{GatewayHealth, Work};
pub use operators::{OperatorError, init_node, join_network};
pub use seal::{KeyFileError, SealBroken, SealSource, Variable};
pub use storage::{
    InspectedEphemeralKey, InspectedKey, InspectedLimit, KeyState, ListedKey, StorageError, inspect_key,
    list_keys, read_ledgers,
};
