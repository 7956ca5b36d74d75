//! The device and the host's side of it, with all parts in memory.

#![cfg(feature = "host")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod attacks;
#[cfg(feature = "delegation")]
mod delegations;
mod frames;
mod host;
mod key_requests;
mod keys;
mod memory;
mod protocol;
mod random;
mod rig;
mod transcript;
#[cfg(feature = "use")]
mod uses;
mod versions;
#[cfg(not(feature = "delegation"))]
mod without_delegations;
