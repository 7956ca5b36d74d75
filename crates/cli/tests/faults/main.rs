//! What befalls operators: gateways that are killed, certificates that are replaced, full and slow disks, and clocks that are
//! wrong. The program's gateways and nodes are processes of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod certificates;
mod clocks;
mod disks;
mod gateways;
#[path = "../program/mod.rs"]
mod program;
mod scene;
