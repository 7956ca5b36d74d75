//! Sessions: what a module is told of a policy, the tree of an account's sessions, and what a session allows.

pub(crate) mod erc20;
pub(crate) mod evaluate;
pub(crate) mod leaf;
pub mod merkle;
pub mod multichain;
pub(crate) mod routed_signature;
pub(crate) mod session_key_data;
pub(crate) mod signature;
