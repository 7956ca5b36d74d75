//! Accounts, sessions and payments on a real chain with a real bundler, which serve all of these tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod account;
mod alloy_node;
mod batch;
mod delegate;
mod delegated;
mod distributed;
mod kit;
mod life;
#[path = "../../../network/tests/local/mod.rs"]
mod local;
mod multichain;
mod payments;
mod player;
mod readme;
mod session;
mod session_accounts;
mod shares;
