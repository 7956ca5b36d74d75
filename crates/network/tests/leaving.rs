//! Nodes and gateways that are told to stop: what is under way is finished, and no answer is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod local;

use std::sync::{Arc, Once};
use std::time::Duration;

use fail::FailScenario;
use futures_util::StreamExt as _;
use local::{ACCOUNT, LocalNetwork, Session, mint_with_nonce, permissions};
use quorate_node::fail_points::{FrameKind, Point};
use quorate_protocol::{NodeIndex, SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long the signature under way stands still while something is told to stop: less than the gateway's patience.
const STILL: Duration = Duration::from_millis(60);

/// Less than the gateway waits for requests under way.
const SOON: Duration = Duration::from_secs(8);

/// A key of which three nodes are left, so that none may go before it has signed, and a client that asks once.
async fn three_nodes(network: &mut LocalNetwork) -> Session {
    let session = network.key(permissions).await;
    network.stop(4).await;
    network.stop(5).await;
    network.until_connected(3).await;
    Session { client: session.client.without_retries(), ..session }
}

/// Makes one node stand still once, before its next message of a run, and tells when it does.
fn stand_still(node: u8) -> Arc<Notify> {
    let begun = Arc::new(Notify::new());
    let (tell, once) = (begun.clone(), Once::new());
    let point = Point::Sending(FrameKind::Relay).at(NodeIndex::new(node).unwrap());
    let stand = move || {
        once.call_once(|| {
            tell.notify_one();
            tokio::task::block_in_place(|| std::thread::sleep(STILL));
        });
    };
    fail::cfg_callback(point, stand).unwrap();
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_finishes_what_it_takes_part_in() {
    let scenario = FailScenario::setup();
    let mut network = LocalNetwork::start().await;
    let session = three_nodes(&mut network).await;
    let begun = stand_still(2);
    let signing = tokio::spawn(async move { session.sign(&mint_with_nonce(ACCOUNT, 1)).await });
    begun.notified().await;
    network.stop(2).await;
    signing.await.unwrap().unwrap();
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_answers_what_is_under_way_and_nothing_new() {
    let scenario = FailScenario::setup();
    let mut network = LocalNetwork::start().await;
    let session = three_nodes(&mut network).await;
    let mut idle = idle_client(&network).await;
    let begun = stand_still(2);
    let signing = tokio::spawn(async move { session.sign(&mint_with_nonce(ACCOUNT, 1)).await });
    begun.notified().await;
    let stopping = tokio::time::timeout(SOON, network.stop_gateway());
    let (stopped, refused) = tokio::join!(stopping, idle.next());
    stopped.expect("who has not asked yet is not waited for");
    let refused = refused.unwrap().unwrap().into_text().unwrap();
    assert!(refused.contains("the gateway is stopping"), "{refused}");
    signing.await.unwrap().unwrap();
    scenario.teardown();
}

/// A client that has connected, and says nothing.
async fn idle_client(network: &LocalNetwork) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let url = format!("{}signgen", network.gateway());
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    tokio_tungstenite::connect_async(request).await.unwrap().0
}
