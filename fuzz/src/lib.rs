//! What is fuzzed: everything in the core that reads bytes of strangers, and what clients, nodes and gateway send each
//! other.
//!
//! Each function takes any bytes, panics where a property does not hold, and says whether the bytes were taken for
//! what they are read as. That is the whole body of a libFuzzer target in `fuzz_targets`, and what the program
//! `smoke` runs on mutations of the kept corpus where there is no libFuzzer.

#![forbid(unsafe_code)]

mod delegations;
mod device;
mod granted;
mod json;
mod network;
mod policy_file;
mod read;
mod reviewed;
mod signed;

pub use delegations::{delegation_call, delegation_context};
pub use device::device_frames;
pub use granted::grant;
pub use json::{policy_json, text, user_operation_json};
pub use network::{answer, authentication, ledger, operation_message, permissions, setup};
pub use policy_file::policy_file;
#[cfg(feature = "nodes")]
pub use quorate_node::adversary::check_frames as frames;
pub use read::{call_data, evaluate, session_key_data};
pub use reviewed::review;
pub use signed::{key_request, signature};

/// A property, checked on any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also the folder of its corpus.
    pub name: &'static str,
    /// Checks it, and says whether the bytes were taken.
    pub check: fn(&[u8]) -> bool,
}

/// All targets, the slowest first: they are run side by side, and none is to be left alone at the end.
pub const TARGETS: &[Target] = &[
    Target { name: "key_request", check: key_request },
    Target { name: "authentication", check: authentication },
    Target { name: "grant", check: grant },
    Target { name: "session_key_data", check: session_key_data },
    Target { name: "call_data", check: call_data },
    Target { name: "evaluate", check: evaluate },
    Target { name: "delegation_context", check: delegation_context },
    Target { name: "delegation_call", check: delegation_call },
    Target { name: "review", check: review },
    Target { name: "signature", check: signature },
    Target { name: "device_frames", check: device_frames },
    Target { name: "policy_json", check: policy_json },
    Target { name: "policy_file", check: policy_file },
    Target { name: "user_operation_json", check: user_operation_json },
    Target { name: "text", check: text },
    Target { name: "setup", check: setup },
    Target { name: "operation_message", check: operation_message },
    Target { name: "permissions", check: permissions },
    Target { name: "answer", check: answer },
    Target { name: "ledger", check: ledger },
    #[cfg(feature = "nodes")]
    Target { name: "frames", check: frames },
];
