//! A network with two gateways, either of which dies.

use std::sync::Arc;

use quorate_chaos::{Counts, Part, Session};

use crate::scene::{Load, prepare};

/// More operations than are signed.
const ENOUGH: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn either_gateway_is_killed_and_started_again_without_a_failed_request() {
    let mut processes = prepare("gateways");
    processes.add_gateway().unwrap();
    processes.start_all().await.unwrap();
    let (nodes, counts) = (processes.nodes(), Arc::<Counts>::default());
    let session = Arc::new(Session::make(processes.descriptor(), ENOUGH, &counts).await.unwrap());

    let load = Load::begin(&session, 3, ENOUGH);
    for gateway in [Part::Gateway, Part::SecondGateway, Part::Gateway, Part::SecondGateway] {
        load.until_signed(6).await;
        processes.kill(gateway).await.unwrap();
        load.until_signed(6).await;
        processes.spawn(gateway).unwrap();
        processes.until(gateway, "connected to all nodes", |ready| *ready == nodes).await.unwrap();
    }
    let signed = load.stop().await;
    assert!(counts.retries() > 0, "nobody was at a gateway when it was killed");
    processes.shutdown().await.unwrap();
    session.check_ledgers(&processes, &signed.operations).await.unwrap();
}
