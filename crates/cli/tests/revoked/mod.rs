//! Which nodes have stored the end of a key.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use alloy_signer_local::PrivateKeySigner;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// How many nodes have stored the end of a key, of which a command says this. A node that is held up for a while may be missing:
/// the end is handed in again, which it may be at any time, until none is.
pub(crate) fn stored_by(ended: &Value, network: &Path, owner: &PrivateKeySigner) -> usize {
    let nodes = |field: &str| ended[field].as_array().unwrap().len();
    let (mut stored, all) = (nodes("storedBy"), nodes("storedBy") + nodes("missing"));
    let mut again = Command::new(env!("CARGO_BIN_EXE_quorate"));
    again.args(["network", "revoke", "--key", ended["keyId"].as_str().unwrap()]);
    again.args(["--owner", &owner.address().to_string(), "--network"]).arg(network);
    again.env("QUORATE_OWNER_KEY", owner.to_bytes().to_string());
    let start = Instant::now();
    while stored < all && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(500));
        let said = String::from_utf8(again.output().unwrap().stdout).unwrap();
        let listed = said.strip_prefix("stored by nodes ").and_then(|said| said.split_once(':'));
        stored = listed.map_or(stored, |(listed, _)| listed.split(", ").count());
    }
    stored
}
