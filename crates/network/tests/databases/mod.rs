//! What stands in the nodes' databases.

#![allow(dead_code, reason = "each test file uses its part")]

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::local::{LocalNetwork, found};

pub(crate) async fn database(network: &LocalNetwork, index: u8) -> SqliteConnection {
    let file = network.home(index).join("node.db");
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

pub(crate) async fn count(network: &LocalNetwork, index: u8, query: &'static str) -> i64 {
    let mut database = database(network, index).await;
    let row: (i64,) = sqlx::query_as(query).fetch_one(&mut database).await.unwrap();
    database.close().await.unwrap();
    row.0
}

/// Waits until a node's database says so.
pub(crate) async fn until(network: &LocalNetwork, index: u8, query: &'static str, expected: i64) {
    let what = format!("{expected} from `{query}` at node {index}");
    in_time(&what, async || count(network, index, query).await == expected).await;
}

pub(crate) async fn in_time(what: &str, reached: impl AsyncFn() -> bool) {
    found(what, async || reached().await.then_some(())).await;
}
