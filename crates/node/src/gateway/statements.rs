//! What an owner says about a key is handed to the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Refusal, SignedRequest};

use super::connections::{Event, NodeConnections, Wait};
use super::refusals::Refusals;
use crate::wire::ToNode;

const DEADLINE: Duration = Duration::from_secs(20);

/// How long the rest is waited for once enough nodes have answered: a revocation is better the more nodes have it.
const GRACE: Duration = Duration::from_millis(250);
const REVOCATION_GRACE: Duration = Duration::from_secs(1);
const LIST_GRACE: Duration = Duration::from_secs(1);

/// Has the nodes register an ephemeral key.
pub(super) async fn register(
    network: &NetworkDescriptor,
    connections: &NodeConnections,
    request: SignedRequest,
) -> Result<Answer, Refusal> {
    let nodes: BTreeSet<_> = request.nonces.keys().copied().collect();
    let quorum = network.bind_quorum();
    let wait =
        |events: &BTreeMap<NodeIndex, Event>| Wait::until(registered(events).len() >= usize::from(quorum));
    let frame = |task| ToNode::Register { task, request: request.clone() };
    let events = connections.gather(nodes, DEADLINE, GRACE, wait, frame).await;
    let registered = registered(&events);
    let enough = connections.enough(&registered, quorum);
    if enough.is_ok() {
        return Ok(Answer::Registered);
    }
    let mut refusals = Refusals::default();
    for (node, event) in events {
        refusals.add(event.into_answer(node));
    }
    refusals.add_missing(enough);
    Err(refusals.worst())
}

/// Hands every node that is there a revocation, and gathers their acknowledgements.
pub(super) async fn revoke(
    network: &NetworkDescriptor,
    connections: &NodeConnections,
    request: SignedRequest,
) -> Result<Answer, Refusal> {
    let nodes = connections.ready();
    connections.enough(&nodes, 1)?;
    let wait = |events: &BTreeMap<NodeIndex, Event>| {
        let is_acknowledged = |event: &&Event| matches!(event, Event::Answer(Answer::Revoked { .. }));
        // No quorum is left without a node that has it.
        let acknowledged = events.values().filter(is_acknowledged).count();
        Wait::until(acknowledged + usize::from(network.threshold()) > usize::from(network.size()))
    };
    let frame = |task| ToNode::Register { task, request: request.clone() };
    let events = connections.gather(nodes, DEADLINE, REVOCATION_GRACE, wait, frame).await;
    let (mut acknowledgements, mut refusals) = (Vec::new(), Refusals::default());
    for (node, event) in events {
        match event.into_answer(node) {
            Some(Answer::Revoked { acknowledgements: own }) => {
                acknowledgements.extend(own.into_iter().find(|own| own.node == node));
            }
            answer => refusals.add(answer),
        }
    }
    if acknowledgements.is_empty() { Err(refusals.worst()) } else { Ok(Answer::Revoked { acknowledgements }) }
}

/// Asks every node that is there what it holds of a key.
pub(super) async fn list(connections: &NodeConnections, setup: &str) -> Result<Answer, Refusal> {
    let nodes = connections.ready();
    connections.enough(&nodes, 1)?;
    let wait = |events: &BTreeMap<NodeIndex, Event>| Wait::until(!events.is_empty());
    let frame = |task| ToNode::List { task, setup: setup.to_owned() };
    let events = connections.gather(nodes, DEADLINE, LIST_GRACE, wait, frame).await;
    let (mut listings, mut refusals) = (Vec::new(), Refusals::default());
    for (node, event) in events {
        match event.into_answer(node) {
            Some(Answer::Listed { listings: own }) => {
                listings.extend(own.into_iter().find(|own| own.node == node));
            }
            answer => refusals.add(answer),
        }
    }
    if listings.is_empty() { Err(refusals.worst()) } else { Ok(Answer::Listed { listings }) }
}

fn registered(events: &BTreeMap<NodeIndex, Event>) -> BTreeSet<NodeIndex> {
    let is_registered = |event: &Event| matches!(event, Event::Answer(Answer::Registered));
    events.iter().filter(|(_, event)| is_registered(event)).map(|(node, _)| *node).collect()
}
