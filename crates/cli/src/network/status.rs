//! `quorate network status`: what each gateway says of the network, and what cannot work.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use quorate::{NetworkDescriptor, NodeIndex};
use quorate_node::{GatewayHealth, Work};
use quorate_protocol::{gateway_name, socket_url};
use reqwest::Certificate;
use serde::Serialize;
use url::Url;

use super::{RunningNetwork, descriptor, listed};

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    network: RunningNetwork,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    network: String,
    threshold: u8,
    size: u8,
    gateways: Vec<GatewayStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayStatus {
    url: String,
    reachable: bool,
    /// Why it cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The nodes that are not connected to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<BTreeSet<NodeIndex>>,
    #[serde(flatten)]
    health: Option<GatewayHealth>,
}

/// How long a gateway may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// More than any gateway says of itself, in bytes.
const LONGEST: usize = 256 * 1024;

pub(super) async fn run(StatusArguments { network, json }: StatusArguments) -> anyhow::Result<()> {
    let (network, said) = health(&network).await?;
    let gateways = said.into_iter().map(|(url, said)| GatewayStatus::new(&url, &network, said)).collect();
    let (threshold, size) = (network.threshold(), network.size());
    let status = Status { network: network.id().to_string(), threshold, size, gateways };
    match json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => print!("{}", in_words(&status)),
    }
    Ok(())
}

/// What each of a network's gateways says of itself.
pub(crate) async fn health(
    network: &RunningNetwork,
) -> anyhow::Result<(NetworkDescriptor, Vec<(Url, anyhow::Result<GatewayHealth>)>)> {
    let client = http_client(network)?;
    let network = descriptor(&network.network)?;
    let mut gateways = Vec::new();
    for url in network.gateways() {
        gateways.push((url.clone(), ask(&client, url).await));
    }
    Ok((network, gateways))
}

fn http_client(network: &RunningNetwork) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().timeout(DEADLINE);
    let Some((file, pem)) = network.roots()? else { return Ok(builder.build()?) };
    let roots = Certificate::from_pem_bundle(&pem);
    let roots = roots.with_context(|| format!("{} is refused", file.display()))?;
    Ok(builder.tls_certs_merge(roots).build()?)
}

async fn ask(client: &reqwest::Client, gateway: &Url) -> anyhow::Result<GatewayHealth> {
    let mut response = client.get(health_url(gateway)?).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        anyhow::ensure!(body.len() <= LONGEST, "the answer is longer than {LONGEST} bytes");
    }
    serde_json::from_slice(&body).context("the answer is not a gateway's")
}

/// Where a gateway answers over HTTP: beside its sockets, whatever stands before them in its path.
fn health_url(gateway: &Url) -> anyhow::Result<Url> {
    let url = socket_url(gateway, "health");
    let (_, rest) = url.as_str().split_once("://").context("the gateway's URL has no scheme")?;
    let scheme = if gateway.scheme() == "wss" { "https" } else { "http" };
    Ok(format!("{scheme}://{rest}").parse()?)
}

impl GatewayStatus {
    fn new(url: &Url, network: &NetworkDescriptor, asked: anyhow::Result<GatewayHealth>) -> Self {
        let url = gateway_name(url);
        match asked {
            Err(error) => {
                Self { url, reachable: false, error: Some(format!("{error:#}")), missing: None, health: None }
            }
            Ok(health) => {
                let nodes = network.nodes().map(|(node, _)| node);
                let missing = nodes.filter(|node| !health.ready.contains(node)).collect();
                Self { url, reachable: true, error: None, missing: Some(missing), health: Some(health) }
            }
        }
    }
}

fn in_words(status: &Status) -> String {
    let Status { network, threshold, size, gateways } = status;
    let mut lines = vec![format!("network {network} ({threshold} of {size})")];
    for gateway in gateways {
        lines.push(format!("gateway {}", gateway.url));
        lines.extend(gateway.error.iter().map(|error| format!("  cannot be reached: {error}")));
        if let Some(health) = &gateway.health {
            lines.extend(health_in_words(health, gateway.missing.as_ref()));
        }
    }
    lines.join("\n") + "\n"
}

fn health_in_words(health: &GatewayHealth, missing: Option<&BTreeSet<NodeIndex>>) -> Vec<String> {
    let mut lines = vec![format!("  nodes connected: {}", named(&health.ready))];
    if let Some(missing) = missing.filter(|missing| !missing.is_empty()) {
        lines.push(format!("  nodes missing: {}", listed(missing)));
    }
    lines.push(format!("  free keys: {}", health.keys));
    let works = [
        ("signing", &health.signing),
        ("giving keys to owners", &health.assigning),
        ("making keys", &health.key_making),
    ];
    lines.extend(works.map(|(what, work)| format!("  {what}: {}", work_in_words(work))));
    for (node, seconds) in &health.skewed_clocks {
        let way = if *seconds < 0.0 { "behind" } else { "ahead of" };
        lines.push(format!("  the clock of node {node} is {:.0} s {way} the gateway's", seconds.abs()));
    }
    lines
}

fn work_in_words(work: &Work) -> String {
    match &work.reason {
        None => "works".to_owned(),
        Some(reason) => format!("DOES NOT WORK: {reason}"),
    }
}

fn named(nodes: &BTreeSet<NodeIndex>) -> String {
    if nodes.is_empty() { "none".to_owned() } else { listed(nodes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_asked_for_behind_the_gateway_s_own_path() {
        let asked = |gateway: &str| health_url(&gateway.parse().unwrap()).unwrap().to_string();
        assert_eq!(asked("ws://127.0.0.1:7000"), "http://127.0.0.1:7000/health");
        assert_eq!(asked("wss://example.org/quorate/"), "https://example.org/quorate/health");
    }

    #[test]
    fn what_cannot_work_is_said_with_why_and_who_is_missing() {
        let no = serde_json::json!({ "works": false, "needed": 2, "missing": [2, 3], "reason": "too few" });
        let health = serde_json::json!({
            "nodes": 1, "ready": [1], "keys": 0, "signing": no, "assigning": no, "keyMaking": no,
            "skewedClocks": { "1": -12.2 },
        });
        let health: GatewayHealth = serde_json::from_value(health).unwrap();
        let missing = [2, 3].into_iter().filter_map(NodeIndex::new).collect();
        assert_eq!(
            health_in_words(&health, Some(&missing)),
            [
                "  nodes connected: 1",
                "  nodes missing: 2, 3",
                "  free keys: 0",
                "  signing: DOES NOT WORK: too few",
                "  giving keys to owners: DOES NOT WORK: too few",
                "  making keys: DOES NOT WORK: too few",
                "  the clock of node 1 is 12 s behind the gateway's",
            ]
        );
    }
}
