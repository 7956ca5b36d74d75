//! What goes wrong on chains and at bundlers, on demand: each test has a scripted chain of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod conditions;
mod decisions;
mod distributed;
mod fallbacks;
mod faults;
mod lives;
#[path = "../../../network/tests/local/mod.rs"]
mod local;
mod model;
mod options;
mod paid_scene;
mod paymasters;
mod scene;
mod sends;
mod waits;
