//! A node on one connection: which of its parts each frame of the gateway is for.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::B256;
use quorate_protocol::{Answer, NodeIndex, Operation, Refusal, RequestId, SignedRequest, Target};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::Parts;
use super::error::TaskError;
use super::in_flight::{InFlight, Inbox, NotBegun};
use super::peer_queue::PeerQueue;
use super::peers::Peers;
use super::run::Outgoing;
use super::signing::Quorum;
use crate::observe::{Dropped, Occasionally, one_line};
use crate::wire::{AnswerText, FromNode, KeyRecord, TaskId, ToNode};

/// How many messages of a run may wait to become frames.
const QUEUE: usize = 64;

static WITHOUT_RESULT: Occasionally = Occasionally::times(6);

/// What a task is called in metrics and logs.
#[derive(Clone, Copy)]
struct Named {
    operation: &'static str,
    request: RequestId,
}

impl Named {
    fn of(request: &SignedRequest) -> Self {
        Self { operation: request.operation.path(), request: request.id() }
    }

    /// No client asks for a key's making: it has a name of its own.
    fn making(making: B256) -> Self {
        let name = *making.first_chunk().unwrap_or(&[0; 8]);
        Self { operation: "make", request: RequestId::new(name) }
    }
}

/// A node on one connection.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) parts: Arc<Parts>,
    pub(super) peers: Peers,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) written: Arc<PeerQueue>,
    /// What carries the messages of runs to the socket.
    pub(super) outboxes: TaskTracker,
}

impl Connected {
    pub(super) async fn receive(&self, frame: ToNode, tasks: &TaskTracker) {
        match frame {
            ToNode::Greet { .. } | ToNode::Welcome { .. } | ToNode::WelcomeBound { .. } => {}
            ToNode::Nonce { task } => match self.parts.nonces.give() {
                Ok(nonce) => self.send(FromNode::Nonce { task, nonce }).await,
                Err(error) => {
                    tracing::error!(node = %self.me(), %error, "no random bytes for a nonce");
                }
            },
            ToNode::WhichKey { task, request } => {
                let key = self.parts.storage.key_of(request).await.ok().flatten();
                let key_id = key.map(|(key, _)| key.key_id);
                self.send(FromNode::WhichKey { task, key_id }).await;
            }
            ToNode::Hold { request } => self.parts.hold(&request),
            ToNode::KeyRecord { task, key_id } => {
                let key = self.parts.storage.key(&key_id).await.ok().flatten();
                let record = key.map(|key| KeyRecord {
                    public_key: ByteBuf::from(key.public_key),
                    session_key_manager: key
                        .target
                        .as_ref()
                        .and_then(Target::session_key_manager)
                        .map(|it| it.session_key_manager),
                });
                self.send(FromNode::KeyRecord { task, record }).await;
            }
            ToNode::Sign { task, attempt, participants, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, inbox| {
                    let quorum = Quorum { attempt, participants, inbox, outbox: this.outbox(task) };
                    this.parts.signing.sign(&request, quorum, &this.peers).await.map(Answer::Signature)
                })
                .await;
            }
            ToNode::Assign { task, key_id, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, _| {
                    let answer = this.parts.assign(&key_id, &request, &this.peers).await;
                    this.peers.report_free_keys().await;
                    answer
                })
                .await;
            }
            ToNode::List { task, setup } => {
                let named = Named { operation: Operation::List.path(), request: RequestId::of_setup(&setup) };
                self.work(task, tasks, named, async move |this, _| {
                    this.parts.list(&setup, &this.peers).await
                })
                .await;
            }
            ToNode::Register { task, request } => {
                self.work(task, tasks, Named::of(&request), async move |this, _| {
                    this.parts.register(&request, &this.peers).await
                })
                .await;
            }
            ToNode::Make { task, making } => {
                self.work(task, tasks, Named::making(making), async move |this, inbox| {
                    let answer = this.parts.make_key(making, inbox, this.outbox(task)).await;
                    this.peers.report_free_keys().await;
                    answer
                })
                .await;
            }
            ToNode::Relay { task, from, payload } => {
                if !self.in_flight.deliver(task, from, payload.into_vec()) {
                    self.parts.observer.frames.dropped(Dropped::Full);
                }
            }
            ToNode::Peer { from, message } => {
                if !self.written.put(from, message) {
                    self.parts.observer.frames.dropped(Dropped::Full);
                }
            }
            ToNode::Cancel { task } => self.in_flight.end(task),
        }
    }

    /// Does the work of a task beside everything else, and sends its answer. Where the connection breaks, its inbox closes,
    /// and it comes to its own end.
    async fn work<F>(
        &self,
        task: TaskId,
        tasks: &TaskTracker,
        named: Named,
        work: impl FnOnce(Self, Inbox) -> F,
    ) where
        F: Future<Output = Result<Answer, TaskError>> + Send + 'static,
    {
        let Named { operation, request } = named;
        let began = Instant::now();
        let refuse = async |refusal| {
            let answer = Answer::Refused(refusal);
            self.parts.observer.answered(operation, &answer, began.elapsed());
            self.answer(task, &answer).await;
        };
        let inbox = match self.in_flight.begin(task) {
            Ok(inbox) => inbox,
            Err(NotBegun::Twice) => return,
            Err(NotBegun::Busy) => return refuse(Refusal::Busy).await,
            Err(NotBegun::Stopping) => {
                let reason = format!("node {} is stopping", self.me());
                return refuse(Refusal::Unfinished { reason: reason.into() }).await;
            }
        };
        let span = tracing::info_span!("task", node = %self.me(), operation, %request);
        let this = self.clone();
        let work = work(self.clone(), inbox).instrument(span.clone());
        let answer = async move {
            let answer = match tokio::spawn(work).await {
                Ok(outcome) => this.conclude(outcome),
                Err(error) => this.conclude(Err(TaskError::Stopped(error))),
            };
            this.parts.observer.answered(operation, &answer, began.elapsed());
            this.answer(task, &answer).await;
            this.in_flight.end(task);
        };
        tasks.spawn(answer.instrument(span));
    }

    /// Whatever happens becomes an answer.
    fn conclude(&self, outcome: Result<Answer, TaskError>) -> Answer {
        match outcome {
            Ok(answer) => {
                match &answer {
                    // Anybody may ask for a list, as often as the gateway lets them.
                    Answer::Listed { .. } => tracing::debug!("done"),
                    _ => tracing::info!("done"),
                }
                answer
            }
            Err(TaskError::Refused(refusal)) => {
                tracing::debug!(reason = one_line(&refusal), "refused");
                Answer::Refused(refusal)
            }
            Err(error) => {
                let refusal = error.into_refusal(self.me());
                let reason = one_line(&refusal);
                match WITHOUT_RESULT.count() {
                    Some(times) => tracing::warn!(reason, times, "without a result"),
                    None => tracing::debug!(reason, "without a result"),
                }
                Answer::Refused(refusal)
            }
        }
    }

    /// Begins nothing more, and waits until what is under way is done and on its way out.
    pub(super) async fn finish(&self) {
        self.in_flight.drain().await;
        self.outboxes.close();
        self.outboxes.wait().await;
    }

    async fn answer(&self, task: TaskId, answer: &Answer) {
        self.send(FromNode::Done { task, answer: AnswerText::from(answer) }).await;
    }

    async fn send(&self, frame: FromNode) {
        self.peers.outgoing.send(frame).await;
    }

    /// A run's way out: its messages as frames of one task.
    fn outbox(&self, task: TaskId) -> mpsc::Sender<Outgoing> {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let outgoing = self.peers.outgoing.clone();
        self.outboxes.spawn(async move {
            while let Some(message) = queue.recv().await {
                let frame = match message {
                    Outgoing::Message { to, payload } => {
                        FromNode::Relay { task, to, payload: ByteBuf::from(payload) }
                    }
                    Outgoing::Waiting { round, peers } => FromNode::Waiting { task, round, peers },
                };
                outgoing.send(frame).await;
            }
        });
        sender
    }

    fn me(&self) -> NodeIndex {
        self.parts.member.index
    }
}
