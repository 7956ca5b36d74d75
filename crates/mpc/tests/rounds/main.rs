//! The rounds over a router in memory: they end in keys and signatures when everyone is honest, and in typed
//! errors when somebody is not.

// A helper of a test fails as the test does, by a panic.
#![allow(clippy::unwrap_used)]

mod keygen;
mod router;
mod share;
mod signing;
