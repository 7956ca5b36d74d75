//! Each rule and each knob of the scripted chain, through its transports.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod blocks;
mod bundlers;
mod faults;
mod nodes;
mod owners;
mod paymasters;
mod rules;
mod statuses;
mod support;
