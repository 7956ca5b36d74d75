//! Nodes, gateways and clients on real sockets and real databases. One program has all tests that share nothing with each other;
//! those that set fail points, limits of the process or its log have programs of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

#[path = "../attacked/mod.rs"]
mod attacked;
#[path = "../databases/mod.rs"]
mod databases;
#[path = "../local/mod.rs"]
mod local;
#[path = "../proxy/mod.rs"]
mod proxy;

mod admission;
mod bad_nodes;
mod contract_owners;
mod gateways;
mod hostile;
mod keys_and_signatures;
mod limits;
mod npm_clients;
mod observe;
mod operators;
mod redemptions;
mod refusals;
mod relay;
mod retries;
mod statements;
mod tls;
mod two_gateways;
