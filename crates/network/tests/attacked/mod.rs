//! Networks under attack, and what the attack has left at their nodes.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod scene;

use std::time::Duration;

use quorate_node::NodeConfig;
use quorate_node::adversary::HostileGateway;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::local::{LocalNetwork, free_address};

/// A network whose gateway does what a test tells it.
pub(crate) async fn start_hostile() -> (HostileGateway, LocalNetwork) {
    start_hostile_with(|_| {}).await
}

/// The same with nodes that are configured otherwise.
pub(crate) async fn start_hostile_with(
    configure: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
) -> (HostileGateway, LocalNetwork) {
    let address = free_address();
    let gateway = HostileGateway::listen(address).await.unwrap();
    let network = LocalNetwork::without_gateway(address, configure).await;
    connected(gateway, network).await
}

/// The same with nodes that have made no key yet.
pub(crate) async fn start_hostile_without_keys() -> (HostileGateway, LocalNetwork) {
    let address = free_address();
    let gateway = HostileGateway::listen(address).await.unwrap();
    let network = LocalNetwork::without_gateway_and_keys(address).await;
    connected(gateway, network).await
}

async fn connected(gateway: HostileGateway, network: LocalNetwork) -> (HostileGateway, LocalNetwork) {
    let connected = gateway.connected(5);
    tokio::time::timeout(Duration::from_secs(120), connected).await.expect("the network starts");
    (gateway, network)
}

/// How many peers a node has banned.
pub(crate) async fn bans(network: &LocalNetwork, index: u8) -> i64 {
    rows(network, index, "SELECT COUNT(*) FROM bans").await
}

/// What a query counts in a node's database.
pub(crate) async fn rows(network: &LocalNetwork, index: u8, query: &'static str) -> i64 {
    let file = network.home(index).join("node.db");
    let mut database = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let (count,) = sqlx::query_as(query).fetch_one(&mut database).await.unwrap();
    database.close().await.unwrap();
    count
}
