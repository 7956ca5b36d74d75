//! Accounts, sessions and payments on a real chain with a real bundler, which serve all of these tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod account;
mod batch;
mod life;
mod multichain;
mod payments;
mod player;
mod session;
