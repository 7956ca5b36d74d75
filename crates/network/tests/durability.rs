//! What a node has written before its frames leave: on real sockets and real databases, with writes that take their time.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod attacked;
mod local;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attacked::bans;
use attacked::scene::{Held, Key, Scene, ephemeral, mint, nodes, uses, within};
use fail::FailScenario;
use quorate_node::fail_points::{FrameKind, Point, Write};
use quorate_protocol::NodeIndex;

/// How long each write takes more than it needs.
const SLOW: Duration = Duration::from_millis(100);

/// What happened at the nodes, in order.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<(NodeIndex, Point)>>>);

impl Record {
    /// Notes every write and every frame of all nodes, and makes writes slow.
    fn begin() -> Self {
        let record = Self::default();
        for node in nodes(&[1, 2, 3, 4, 5]) {
            for point in Point::all() {
                let events = record.0.clone();
                let note = move || {
                    events.lock().unwrap().push((node, point));
                    if matches!(point, Point::Writing(_)) {
                        tokio::task::block_in_place(|| std::thread::sleep(SLOW));
                    }
                };
                fail::cfg_callback(point.at(node), note).unwrap();
            }
        }
        record
    }

    /// The places of what happened at a node.
    fn places(&self, of: NodeIndex, what: Point) -> Vec<usize> {
        let events = self.0.lock().unwrap();
        let is_it = |(_, (node, point)): &(usize, &(NodeIndex, Point))| *node == of && *point == what;
        events.iter().enumerate().filter(is_it).map(|(place, _)| place).collect()
    }

    /// Each write, with the frames that its node sent while it went on.
    fn writes(&self) -> Vec<(NodeIndex, Write, BTreeSet<FrameKind>)> {
        let events = self.0.lock().unwrap();
        let begun = events.iter().enumerate().filter_map(|(place, (node, point))| match point {
            Point::Writing(write) => Some((place, *node, *write)),
            _ => None,
        });
        let sent_during = |(place, node, write): (usize, NodeIndex, Write)| {
            let later = events.iter().skip(place).filter(|(at, _)| *at == node);
            let during = later.take_while(|(_, point)| *point != Point::Written(write));
            let sent = during.filter_map(|(_, point)| match point {
                Point::Sending(kind) => Some(*kind),
                _ => None,
            });
            (node, write, sent.collect())
        };
        begun.map(sent_during).collect()
    }
}

/// The frames that rely on a write.
fn relies_on(write: Write) -> &'static [FrameKind] {
    match write {
        Write::Start | Write::Life => &[FrameKind::Hello],
        // The confirmation is the last message of the run.
        Write::PendingKey => &[FrameKind::Relay, FrameKind::Confirmations],
        Write::Key => &[FrameKind::Done],
        Write::Assignment => &[FrameKind::Done, FrameKind::Assignment],
        Write::Statement => &[FrameKind::Done, FrameKind::Statements],
        // The hello is the first.
        Write::Charge => &[FrameKind::Relay],
        // The cheat was found in a round whose own messages may still wait for the socket.
        Write::Ban => &[FrameKind::Done, FrameKind::Ban],
        Write::Release => &[FrameKind::Done],
        // One ban may be said to be kept while another is written, and a key to be made while a peer's letter of it is.
        Write::SignedBan
        | Write::Confirmations
        | Write::Removal
        | Write::DeadKey
        | Write::Attestations
        | Write::Withdrawal
        | Write::Seal
        | Write::Restored => &[],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_leaves_a_node_before_the_write_that_it_relies_on_is_durable() {
    let _scenario = FailScenario::setup();
    let record = Record::begin();
    let scene = Scene::start_without_keys().await;
    let key = scene.key(uses(10)).await;
    scene.sign([1, 2, 3], &key, &mint(1)).await.unwrap();
    let second = ephemeral();
    scene.register(&[1, 2, 3, 4, 5], &key, &second).await;
    scene.revoke(&[1, 2, 3, 4, 5], &key, &second).await;
    abandon(&scene, &key).await;
    have_node_1_cheat(&scene, &key).await;

    let writes = record.writes();
    let reached: BTreeSet<_> = writes.iter().map(|(_, write, _)| *write).collect();
    // A week has to pass before a pending key is removed, no key is given to two requests here, and no node is restored.
    let others = [Write::Removal, Write::DeadKey, Write::Seal, Write::Restored, Write::Release];
    let all: BTreeSet<_> = Write::ALL.into_iter().filter(|write| !others.contains(write)).collect();
    assert_eq!(reached, all);
    // A node that says that a key is made has written that, and before that what all have confirmed.
    for node in nodes(&[1, 2, 3, 4, 5]) {
        let confirmed = record.places(node, Point::Written(Write::Confirmations));
        let making = record.places(node, Point::Writing(Write::Key));
        let made = record.places(node, Point::Written(Write::Key));
        let said = record.places(node, Point::Sending(FrameKind::Done));
        assert!(confirmed.first() < making.first(), "node {node} made a key before it was confirmed");
        assert!(made.first() < said.first(), "node {node} said that a key was made before it had written it");
    }
    for (node, write, sent) in writes {
        for kind in relies_on(write) {
            assert!(!sent.contains(kind), "node {node} sent {kind} while it was writing {write}");
        }
    }
}

/// A run that ends before its rounds begin.
async fn abandon(scene: &Scene, key: &Key) {
    let held = Held::default();
    scene.hold_all(&held);
    let attempt = scene.begin([1, 2, 3], key, &mint(2)).await;
    scene.until_hellos_are_held(&held, &attempt).await;
    scene.gateway.cancel(attempt.task);
    within(scene.gateway.until(|| scene.is_over(&attempt))).await;
}

async fn have_node_1_cheat(scene: &Scene, key: &Key) {
    fail::cfg("cheat at node 1", "return").unwrap();
    scene.sign([1, 2, 3], key, &mint(3)).await.unwrap_err();
    fail::remove("cheat at node 1");
    assert!(bans(&scene.network, 2).await + bans(&scene.network, 3).await > 0);
}
