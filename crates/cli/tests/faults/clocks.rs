//! A node whose clock is ten minutes ahead of the others', or behind.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::SystemTime;

use quorate_chaos::{Part, Processes, Session};
use quorate_network::{EphemeralKey, SigningNetwork};
use quorate_node::fail_points::CLOCK;
use quorate_protocol::{Limits, Refusal, WindowLimit};
use serde_json::Value;

use crate::program;
use crate::scene::{PATIENCE, kill, node, observe, prepare, readiness, refusal, start, until};

/// How far the clock of node 3 is from the others', in seconds.
const SKEW: i64 = 600;

/// A window is as long, so that node 3 is in another one whenever the others are in this one.
const WINDOW: u64 = SKEW.unsigned_abs();

const LIMIT: u64 = 4;

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn clock(ahead: i64) -> String {
    format!("{CLOCK}=return({ahead})")
}

/// Waits until all that operators look at says how far node 3 is ahead.
async fn is_named(processes: &Processes, node_3: SocketAddr, ahead: i64) {
    let is_it =
        |seconds: &Value| seconds.as_f64().is_some_and(|seconds| (seconds - ahead as f64).abs() < 60.0);
    let gateway = processes.observed(Part::Gateway).unwrap();
    let named = async || {
        let said = readiness(gateway).await;
        is_it(&said["skewedClocks"]["3"])
            && said["skewedClocks"].as_object().is_some_and(|skewed| skewed.len() == 1)
    };
    until("the gateway names the clock", named).await;
    let descriptor = processes.network_file().display().to_string();
    until("the status names the clock", async || {
        let status = program::answer(&["network", "status", "--network", &descriptor], &Value::Null);
        is_it(&status["gateways"][0]["skewedClocks"]["3"])
    })
    .await;
    until("the metrics tell the skew", async || {
        let metrics = reqwest::get(format!("http://{gateway}/metrics")).await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.split_once("clock_skew_seconds{node=\"3\"} "));
        line.is_some_and(|(_, skew)| is_it(&skew.parse::<f64>().unwrap().into()))
    })
    .await;
    // The node sees it the other way round: it is the gateway's that differs.
    until("the node names the gateway's clock", async || {
        let skew = readiness(node_3).await["gateways"][0]["clockSkew"].as_f64();
        skew.is_some_and(|seconds| (seconds + ahead as f64).abs() < 60.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_wrong_is_named_and_does_no_harm() {
    let mut processes = prepare("clocks");
    let observed = observe(&processes, 3);
    // Behind first: a clock is not set back behind what was written by it.
    processes.spawn_with(Part::Node(node(3)), &clock(-SKEW)).unwrap();
    processes.start_all().await.unwrap();
    let session = session(&processes, Limits::default()).await;
    is_named(&processes, observed, -SKEW).await;

    // Node 3 takes an ephemeral key for valid that has ended, and no quorum is without one of the others.
    let (short, end) = short_lived(&session).await;
    until("the ephemeral key has ended", async || now() >= end).await;
    for gone in [1, 2] {
        kill(&mut processes, gone).await;
        let refused = refusal(session.sign_as(&short, 2).await);
        assert!(matches!(refused, Refusal::EphemeralKey { .. }), "{refused:?}");
        start(&mut processes, gone, "").await;
    }
    check_window(&mut processes, -SKEW).await;
    let soon = session.register_until(now() + WINDOW / 2).await.unwrap();

    kill(&mut processes, 3).await;
    start(&mut processes, 3, &clock(SKEW)).await;
    is_named(&processes, observed, SKEW).await;
    // Node 3 takes this one for ended, and the others sign.
    for operation in 3..8 {
        session.sign_as(&soon, operation).await.unwrap();
    }
    kill(&mut processes, 1).await;
    let refused = refusal(session.sign_as(&soon, 8).await);
    assert!(matches!(refused, Refusal::EphemeralKey { .. }), "{refused:?}");
    start(&mut processes, 1, "").await;
    check_window(&mut processes, SKEW).await;
    processes.shutdown().await.unwrap();
}

/// A key whose client asks until it is signed for or refused for good.
async fn session(processes: &Processes, limits: Limits) -> Session {
    let client = SigningNetwork::new(processes.descriptor().clone()).with_signing_deadline(PATIENCE);
    Session::make_with(client, limits).await.unwrap()
}

/// An ephemeral key that was good for operation 1 and soon is no longer, and when that is.
async fn short_lived(session: &Session) -> (EphemeralKey, u64) {
    for life in [5, 20] {
        let end = now() + life;
        if let Ok(short) = session.register_until(end).await
            && session.sign_as(&short, 1).await.is_ok()
        {
            return (short, end);
        }
    }
    let end = now() + 80;
    let short = session.register_until(end).await.unwrap();
    session.sign_as(&short, 1).await.unwrap();
    (short, end)
}

/// Each pair of nodes is asked in turn for as much as a window has and more: node 3 counts it in its own.
///
/// A node with another clock is a bad one to the others at most, and 1 bad node of 3 exceeds a limit (3 − 1) / (2 − 1) times.
async fn check_window(processes: &mut Processes, ahead: i64) {
    let window = WindowLimit { uses: LIMIT, seconds: NonZeroU64::new(WINDOW).unwrap() };
    let limits = Limits { window: Some(window), ..Limits::default() };
    let session = session(processes, limits).await;
    let (began, mut signed, mut operation) = (now() / WINDOW, 0, 0);
    // Half of the limit at first, so that each of the others has something that the next quorum is not told of.
    for (gone, asked) in [(3, LIMIT / 2), (2, LIMIT), (1, LIMIT), (3, LIMIT)] {
        kill(processes, gone).await;
        for _ in 0..asked {
            operation += 1;
            match session.sign(operation).await {
                Ok(()) => signed += 1,
                refused => {
                    let refused = refusal(refused);
                    assert!(matches!(refused, Refusal::Limit { .. }), "{refused:?}");
                    break;
                }
            }
        }
        start(processes, gone, &if gone == 3 { clock(ahead) } else { String::new() }).await;
    }
    let windows = now() / WINDOW - began + 1;
    assert!(signed >= LIMIT, "{signed} signed of {LIMIT}");
    assert!(signed <= LIMIT * 2 * windows, "{signed} signed in {windows} windows of {LIMIT}");
}
