//! A node whose disk is full, and one whose disk is slow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_chaos::{Counts, Part, Session};
use quorate_network::NetworkError;
use quorate_node::fail_points::{Point, Write, full_disk};
use quorate_protocol::{ClientError, Refusal};

use crate::scene::{
    Load, PATIENCE, kill, logged, node, observe, prepare, readiness, refusal, restart, start, until,
};

/// How many operations the keys allow.
const ALLOWED: u64 = 40;

/// In the pages that a full disk has there is room for fewer operations or statements than these.
const ROOM: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_says_so_and_takes_part_again_when_there_is_room() {
    let mut processes = prepare("full-disk");
    let observed = observe(&processes, 3);
    processes.start_all().await.unwrap();
    let session = Session::make(processes.descriptor(), ALLOWED, &Arc::<Counts>::default()).await.unwrap();
    let mut ephemerals = Vec::new();
    for _ in 0..ROOM {
        ephemerals.push(session.register().await.unwrap());
    }
    let mut signed: BTreeSet<u64> = (1..=4).collect();
    for &operation in &signed {
        session.sign(operation).await.unwrap();
    }

    restart(&mut processes, 3, &format!("{}=return", full_disk(node(3)))).await;
    kill(&mut processes, 2).await;
    let mut next = 5;
    let began = Instant::now();
    loop {
        match session.sign_once(next).await {
            Ok(()) => {
                assert!(signed.insert(next) && next < ROOM, "the disk never is full");
                next += 1;
            }
            Err(error) if says_that_the_disk_is_full(&error) => break,
            Err(error) => assert!(error.is_transient() && began.elapsed() < PATIENCE, "{error:?}"),
        }
    }
    assert!(logged(&processes, Part::Node(node(3)), "the disk is full") > 0);
    let said = readiness(observed).await;
    assert_eq!((&said["ready"], &said["disk"]["writable"]), (&false.into(), &false.into()), "{said}");
    assert!(said["disk"]["reason"].as_str().unwrap().starts_with("the disk is full"), "{said}");

    start(&mut processes, 2, "").await;
    for operation in next..next + 4 {
        session.sign(operation).await.unwrap();
        signed.insert(operation);
    }
    let revoked = loop {
        let ephemeral = ephemerals.pop().expect("the disk never is full");
        // The others may be late: it is handed in again until they have it.
        let missing = loop {
            let missing = session.revoke(&ephemeral).await.unwrap().missing;
            if missing.iter().all(|missing| *missing == node(3)) {
                break missing;
            }
        };
        if !missing.is_empty() {
            break ephemeral;
        }
    };
    processes.until(Part::Node(node(3)), "alive", |ready| ready.len() == 3).await.unwrap();
    assert_eq!(logged(&processes, Part::Node(node(3)), "the node's database cannot be used"), 0);

    restart(&mut processes, 3, "").await;
    until("the node has the statement that it could not store", async || {
        let keys = session.ephemeral_keys().await.unwrap();
        keys.keys[revoked.public().as_bytes()].revoked_at.contains(&node(3))
    })
    .await;
    kill(&mut processes, 1).await;
    for operation in next + 4..=ALLOWED {
        session.sign(operation).await.unwrap();
        signed.insert(operation);
    }
    let refused = refusal(session.sign(ALLOWED + 1).await);
    assert!(matches!(refused, Refusal::Limit { .. }), "{refused:?}");
    let refused = refusal(session.sign_as(&revoked, 1).await);
    assert!(matches!(refused, Refusal::EphemeralKey { .. }), "{refused:?}");
    start(&mut processes, 1, "").await;
    processes.shutdown().await.unwrap();
    session.check_ledgers(&processes, &signed).await.unwrap();
}

fn says_that_the_disk_is_full(error: &NetworkError) -> bool {
    let NetworkError::Client(ClientError::Refused(Refusal::Unfinished { reason })) = error else {
        return false;
    };
    reason.to_string().starts_with("node 3: the disk is full: ")
}

/// How long each write takes on a slow disk.
const SLOW: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_slow_keeps_no_signature_from_the_others() {
    let mut processes = prepare("slow-disk");
    processes.start_all().await.unwrap();
    let session = Session::make(processes.descriptor(), ALLOWED, &Arc::<Counts>::default()).await.unwrap();
    let session = Arc::new(session);
    let point = |write| format!("{}=sleep({})", Point::Writing(write).at(node(3)), SLOW.as_millis());
    let slow = Write::ALL.map(point).join(";");
    restart(&mut processes, 3, &slow).await;

    let mut signed = Load::begin(&session, 3, ALLOWED - 1).finish().await;
    assert_eq!(signed.operations, (1..ALLOWED).collect());
    let at_once = signed.took.iter().filter(|took| **took < SLOW).count();
    assert!(at_once * 2 > signed.took.len(), "most signatures waited for the slow disk: {:?}", signed.took);
    // Where it is needed, it is waited for. What it still has to write for the others is left out.
    restart(&mut processes, 3, &slow).await;
    kill(&mut processes, 2).await;
    session.sign(ALLOWED).await.unwrap();
    signed.operations.insert(ALLOWED);
    start(&mut processes, 2, "").await;
    let refused = refusal(session.sign(ALLOWED + 1).await);
    assert!(matches!(refused, Refusal::Limit { .. }), "{refused:?}");
    processes.shutdown().await.unwrap();
    session.check_ledgers(&processes, &signed.operations).await.unwrap();
}
