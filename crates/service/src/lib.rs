#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod call_ids;
mod error;
mod events;
mod follow;
mod grants;
mod http;
mod json_rpc;
mod methods;
mod paymasters;
mod policies;
mod refusal;
mod revocations;
mod service;
mod sessions;
mod to_sign;
mod tokens;
mod wallet;
mod watch;

pub use call_ids::CallIdsError;
pub use paymasters::{ListedPaymaster, PaymasterService};
pub use service::{Service, ServiceConfig, ServiceLimits};
pub use tokens::{DEFAULT_METHODS, Permissions, Token, TokenFile, TokenFileError};
