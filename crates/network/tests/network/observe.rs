//! What a gateway and a node let be seen: health, readiness and metrics, asked as an operator's tools ask.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::local::{ACCOUNT, LocalNetwork, NFT, found, free_address, mint_to, mint_with_nonce, permissions};
use quorate_protocol::Limits;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is answered to a GET: the status and the body.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

async fn json(address: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = get(address, path).await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// The value of a series, by its whole name; 0 where there is none.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

async fn metrics(address: SocketAddr) -> String {
    get(address, "/metrics").await.unwrap().1
}

struct Observed {
    network: LocalNetwork,
    gateway: SocketAddr,
    /// Of nodes 1 to 5.
    nodes: Vec<SocketAddr>,
}

/// A network whose gateway and nodes are observed.
async fn observed() -> Observed {
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let gateway = free_address();
    let network = LocalNetwork::start_observed(move |config| config.observe = Some(gateway), {
        let addresses = addresses.clone();
        move |config| {
            let address = free_address();
            addresses.lock().unwrap().push(address);
            config.observe = Some(address);
        }
    })
    .await;
    let nodes = addresses.lock().unwrap().clone();
    Observed { network, gateway, nodes }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_readiness_say_what_a_network_does_and_who_is_missing() {
    let Observed { mut network, gateway, nodes } = observed().await;
    let session = network
        .key(|owner| {
            let limits = Limits { uses: Some(1), ..Limits::default() };
            quorate_protocol::Permissions { limits, ..permissions(owner) }
        })
        .await;
    session.sign(&mint_to(ACCOUNT)).await.unwrap();
    session.sign(&mint_with_nonce(ACCOUNT, 8)).await.unwrap_err();
    session.sign(&mint_to(NFT)).await.unwrap_err();

    let page = metrics(gateway).await;
    let requests = |operation: &str, outcome: &str| {
        format!("quorate_requests_total{{operation=\"{operation}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(value(&page, &requests("signgen", "ok")), 1.0, "{page}");
    assert_eq!(value(&page, &requests("signgen", "limit")), 1.0, "{page}");
    assert_eq!(value(&page, &requests("signgen", "forbidden")), 1.0, "{page}");
    assert_eq!(value(&page, &requests("keygen", "ok")), 1.0, "{page}");
    assert_eq!(value(&page, "quorate_request_duration_seconds_count{operation=\"signgen\"}"), 3.0, "{page}");
    assert!(value(&page, "quorate_signature_attempts_sum") >= 3.0, "{page}");
    assert_eq!(value(&page, "quorate_nodes_ready"), 5.0);
    assert_eq!(value(&page, "quorate_keys{state=\"free\"}"), 0.0);
    found("all frames are sent", async || {
        metrics(gateway).await.contains("quorate_queue_bytes{node=\"5\"} 0").then_some(())
    })
    .await;
    let skew = found("a node's clock is compared", async || {
        let page = metrics(gateway).await;
        page.contains("quorate_clock_skew_seconds{node=\"1\"}")
            .then(|| value(&page, "quorate_clock_skew_seconds{node=\"1\"}"))
    })
    .await;
    assert!(skew.abs() < 5.0, "{skew}");
    assert!(!page.contains(&session.key.key_id) && !page.contains("127.0.0.1"), "{page}");
    assert!(page.ends_with("# EOF\n"));

    // Each node was a signer of some of the three, or of none.
    let mut charges_refused = 0.0;
    for node in &nodes {
        let page = found("the key is whole at each node", async || {
            Some(metrics(*node).await).filter(|page| value(page, "quorate_keys{state=\"assigned\"}") == 1.0)
        })
        .await;
        charges_refused += value(&page, "quorate_charges_refused_total{code=\"limit\"}");
        assert_eq!(value(&page, &requests("make", "ok")), 1.0, "{page}");
        assert_eq!(value(&page, "quorate_bans"), 0.0);
        assert!(page.contains("quorate_journal_age_seconds{node="), "{page}");
        let (status, said) = json(*node, "/ready").await;
        assert_eq!((status, &said["ready"], &said["disk"]["writable"]), (200, &true.into(), &true.into()));
        assert_eq!((&said["quarantine"], &said["gateways"][0]["connected"]), (&Value::Null, &true.into()));
    }
    assert!(charges_refused >= 1.0);

    let (status, alive) = json(gateway, "/health").await;
    assert_eq!((status, &alive["alive"]), (200, &true.into()));
    assert!(
        alive["version"].is_string() && alive["wireVersion"].is_u64() && alive["since"].is_u64(),
        "{alive}"
    );
    let (status, said) = json(gateway, "/ready").await;
    assert_eq!(status, 200);
    for work in ["signing", "assigning", "keyMaking"] {
        assert_eq!(said[work]["works"], true, "{said}");
    }

    for index in [2, 4, 5] {
        network.stop(index).await;
    }
    network.until_connected(2).await;
    let (status, said) = json(gateway, "/ready").await;
    assert_eq!((status, &said["signing"]["works"]), (503, &false.into()));
    assert_eq!(said["signing"]["missing"], serde_json::json!([2, 4, 5]));
    let why = "3 nodes are needed and 2 are connected; missing: 2, 4, 5";
    assert_eq!(said["signing"]["reason"], why);
    // What anybody sees at the clients' door is the same, with the members that it always had.
    let door = network.descriptor().gateways()[0].socket_addrs(|| None).unwrap()[0];
    let (status, said) = json(door, "/health").await;
    assert_eq!((status, &said["nodes"], &said["keys"]), (200, &2.into(), &0.into()));
    assert_eq!((&said["ready"], &said["signing"]["reason"]), (&serde_json::json!([1, 3]), &why.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_gateway_or_a_disk_is_not_ready_and_says_why() {
    let address = free_address();
    let nobody = free_address();
    let network = LocalNetwork::without_gateway(nobody, move |config| {
        config.observe = (config.index.get() == 1).then_some(address);
    })
    .await;
    let (status, said) = json(address, "/ready").await;
    assert_eq!((status, &said["ready"], &said["node"]), (503, &false.into(), &1.into()));
    assert_eq!(said["gateways"][0]["connected"], false, "{said}");
    assert_eq!(said["gateways"][0]["url"], format!("ws://{nobody}"), "{said}");
    assert_eq!(said["disk"]["writable"], true, "{said}");
    assert_eq!(json(address, "/health").await.0, 200, "it is alive");

    // A folder in the probe's place is as good as a disk on which nothing can be written.
    std::fs::create_dir(network.home(1).join("node.db.probe")).unwrap();
    found("the disk is looked at again", async || {
        let (_, said) = json(address, "/ready").await;
        let reason = said["disk"]["reason"].as_str().unwrap_or_default().to_owned();
        (said["disk"]["writable"] == false)
            .then(|| assert!(reason.starts_with("beside the database: "), "{reason}"))
    })
    .await;
}
