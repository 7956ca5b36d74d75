#![doc = include_str!("../README.md")]

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
