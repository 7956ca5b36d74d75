//! The service over real HTTP, on a scripted chain in the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

#[path = "../document/mod.rs"]
mod document;
mod door;
mod events;
mod grants;
mod ids;
mod methods;
mod scene;
#[path = "../server/mod.rs"]
mod server;
mod wallet;
