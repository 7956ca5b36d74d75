//! One signature: quorum after quorum is asked, until one gives a signature that is the key's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorate_protocol::{Answer, NetworkDescriptor, Refusal, SignSetup, SignedRequest, Subject};
use tokio::sync::Semaphore;

use super::connections::{Event, NodeConnections, Task};
use super::key_records::{KeyRecords, is_by};
use super::quorum::{Attempts, Laggards, Memory, Next, Outcome, Quorum};
use crate::error::read_subject;
use crate::observe::{GatewayMetrics, one_line};
use crate::wire::ToNode;

/// The signatures that a gateway has its nodes make.
pub(super) struct Signatures {
    network: NetworkDescriptor,
    connections: Arc<NodeConnections>,
    records: KeyRecords,
    memory: Mutex<Memory>,
    /// When the gateway began: the zero of the memory's times.
    began: Instant,
    turns: Semaphore,
    metrics: Arc<GatewayMetrics>,
}

/// How many signatures are under way at once, and how long a further one waits for its turn.
const AT_ONCE: usize = 64;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often a quorum in which nobody is behind is given its patience once more.
const MORE_PATIENCE: usize = 3;

impl Signatures {
    pub(super) fn new(
        network: NetworkDescriptor,
        connections: Arc<NodeConnections>,
        metrics: Arc<GatewayMetrics>,
    ) -> Self {
        let (memory, began) = (Mutex::default(), Instant::now());
        Self {
            network,
            connections,
            records: KeyRecords::default(),
            memory,
            began,
            turns: Semaphore::new(AT_ONCE),
            metrics,
        }
    }

    /// The key's signature.
    ///
    /// # Errors
    /// The refusal that trying again does not change, or else the first one.
    pub(super) async fn sign(&self, request: SignedRequest, setup: &SignSetup) -> Result<Answer, Refusal> {
        let subject = read_subject(&setup.message)?;
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refusal::Busy) };
        let asked: BTreeSet<_> = request.nonces.keys().copied().collect();
        let mut attempts = Attempts::new(setup.key_id.clone(), self.network.threshold(), self.now());
        let mut attempt = 0;
        // Asked for now, while all that sign are there; a key that is nobody's the nodes refuse by name.
        let _ = self.records.of(&setup.key_id, &self.network, &self.connections).await;
        loop {
            let present = &asked & &self.connections.ready();
            let next = attempts.next(&mut self.memory(), self.now(), &present, random());
            match next {
                Next::GiveUp => {
                    let willing = attempts.willing(&present);
                    let missing = self.connections.enough(&willing, self.network.threshold()).err();
                    let refusal = attempts.worst_refusal().cloned().or(missing);
                    self.metrics.signed(attempt);
                    return Err(refusal.unwrap_or_else(|| unfinished("no quorum signed in time")));
                }
                Next::Pause(pause) => tokio::time::sleep(pause).await,
                Next::Ask { quorum, patience } => {
                    let left = attempts.left(self.now());
                    let work = self.ask(&quorum, attempt, patience, &request, setup, &subject);
                    let asked = tokio::time::timeout(left, work).await;
                    let (outcome, answer) = asked.unwrap_or((Outcome::Slow(Laggards::Nobody), None));
                    if !matches!(outcome, Outcome::Signed { .. }) {
                        let outcome = one_line(&outcome);
                        tracing::debug!(attempt, ?quorum, outcome, "a quorum did not sign");
                    }
                    attempts.note(&mut self.memory(), self.now(), &quorum, outcome);
                    attempt += 1;
                    if let Some(answer) = answer {
                        self.metrics.signed(attempt);
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// Has a quorum sign, and waits for as long as its nodes keep step.
    async fn ask(
        &self,
        quorum: &Quorum,
        attempt: u32,
        patience: Duration,
        request: &SignedRequest,
        setup: &SignSetup,
        subject: &Subject,
    ) -> (Outcome, Option<Answer>) {
        let began = Instant::now();
        let mut task = self.connections.open(quorum.clone());
        task.send_all(|task| ToNode::Sign {
            task,
            attempt,
            participants: quorum.iter().copied().collect(),
            request: request.clone(),
        });
        let (node, event) = match first_event(&mut task, patience).await {
            Ok(event) => event,
            Err(laggards) => return (Outcome::Slow(laggards), None),
        };
        match event {
            Event::Answer(Answer::Signature(text)) => {
                match self.records.of(&setup.key_id, &self.network, &self.connections).await {
                    None => {
                        let refusal = unfinished("too few nodes say which public key the key has");
                        (Outcome::Refused { node, refusal }, None)
                    }
                    Some(record) if is_by(&record, subject, &text.signature) => {
                        (Outcome::Signed { took: began.elapsed() }, Some(Answer::Signature(text)))
                    }
                    Some(_) => (Outcome::NotTheKeys { node }, None),
                }
            }
            Event::Answer(Answer::Refused(refusal)) => (Outcome::Refused { node, refusal }, None),
            Event::Gone => (Outcome::Gone { node }, None),
            Event::Answer(_) | Event::Nonce(_) | Event::GivenKey(_) | Event::KeyRecord(_) => {
                (Outcome::NotTheKeys { node }, None)
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The first thing that one of the nodes says, or else whom they wait for.
async fn first_event(
    task: &mut Task<'_>,
    patience: Duration,
) -> Result<(quorate_protocol::NodeIndex, Event), Laggards> {
    for _ in 0..=MORE_PATIENCE {
        if let Ok(Some(event)) = tokio::time::timeout(patience, task.next()).await {
            return Ok(event);
        }
        match task.progress().laggards() {
            Laggards::Nobody => {}
            laggards => return Err(laggards),
        }
    }
    Err(Laggards::Nobody)
}

fn unfinished(reason: &str) -> Refusal {
    Refusal::Unfinished { reason: reason.into() }
}

/// Spreads load; without it every gateway begins at the same node.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
