//! What an operator sees of a network: `quorate network status`, `keys` and `inspect` on real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod program;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{answer, complaint, quorate};
use quorate_devnet::LocalNetwork;
use serde_json::{Value, json};

fn path(folder: &Path, file: &str) -> String {
    folder.join(file).display().to_string()
}

fn printed(arguments: &[&str]) -> String {
    let output = quorate(arguments, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Asks until the answer is this one, and gives the last: a gateway that is held up for seconds says of nodes that their
/// clocks are wrong, or says nothing.
fn last_of<T: PartialEq>(ask: impl Fn() -> T, wanted: &T) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer == *wanted || start.elapsed() > Duration::from_secs(120) {
            return answer;
        }
        sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_is_missing_what_cannot_work_and_what_became_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_quorate"));
    let progress = quorate_devnet::Quiet;
    let network = LocalNetwork::start(&program, folder.path(), 3, 2, &progress).await.unwrap();
    let descriptor = path(folder.path(), "network.json");
    let status = ["network", "status", "--network", &descriptor];
    let id = descriptor_id(&descriptor);
    let gateway = network.gateway_url().as_str().trim_end_matches('/').replace("http://", "ws://");

    let shown = format!(
        "network {id} (2 of 3)\ngateway {gateway}\n  nodes connected: 1, 2, 3\n  free keys: 1\n  signing: works\n  \
         giving keys to owners: works\n  making keys: works\n"
    );
    assert_eq!(last_of(|| printed(&status), &shown), shown);
    let works = |needed: u8| json!({ "works": true, "needed": needed, "missing": [] });
    let shown = json!({
        "network": id, "threshold": 2, "size": 3,
        "gateways": [{
            "url": gateway, "reachable": true, "missing": [], "nodes": 3, "ready": [1, 2, 3], "keys": 1,
            "signing": works(2), "assigning": works(3), "keyMaking": works(3),
        }],
    });
    assert_eq!(last_of(|| answer(&status, &Value::Null), &shown), shown);

    let node = path(folder.path(), "node-1/node.toml");
    let keys = ["network", "keys", "--node", &node];
    let listed = answer(&keys, &Value::Null);
    let key = listed["keys"][0]["keyId"].as_str().unwrap().to_owned();
    let since = listed["keys"][0]["since"].as_u64().unwrap();
    let free = json!({ "keyId": key, "state": "free", "attestedBy": [], "since": since });
    assert_eq!(listed, json!({ "node": 1, "keys": [free] }));
    assert_eq!(
        printed(&keys),
        format!("pending: 0\nfree: 1\n  {key}\nhalf-assigned: 0\nassigned: 0\ndead: 0\n")
    );
    let inspect = ["network", "inspect", &key, "--node", &node];
    assert_eq!(printed(&inspect), format!("free: {key}\n  signed requests kept: 0 bytes\n"));
    let nothing =
        json!({ "revoked": false, "ephemeralKeys": [], "bans": {}, "journalBytes": 0, "limits": [] });
    let mut inspected = json!({ "node": 1 });
    for part in [free, nothing] {
        inspected.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    }
    assert_eq!(answer(&inspect, &Value::Null), inspected);
    let unknown = complaint(&["network", "inspect", "00", "--node", &node], "");
    assert!(unknown.contains("node 1 has no key 00"), "{unknown}");

    network.shutdown().await;
    let status = printed(&status);
    assert!(status.contains(&format!("gateway {gateway}\n  cannot be reached: ")), "{status}");
}

fn descriptor_id(file: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    quorate::NetworkDescriptor::from_json(&text).unwrap().id().to_string()
}
