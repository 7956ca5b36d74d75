//! The service on a real chain with a real bundler and a signing network, used by programs in other languages as they are.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

#[path = "../document/mod.rs"]
mod document;
#[path = "../../../network/tests/local/mod.rs"]
mod local;
mod network;
mod programs;
#[path = "../server/mod.rs"]
mod server;
mod stage;
