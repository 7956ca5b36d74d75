//! Ends a node at every point, one after the other, and checks each time that nothing was lost.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use quorate_ledger::Dimension;
use quorate_network::{EphemeralKey, NetworkError};
use quorate_node::fail_points::{FrameKind, Point, Write, losing};
use quorate_protocol::{ClientError, NodeIndex, Refusal};
use tokio::task::JoinHandle;

use crate::operations::Counts;
use crate::points::{End, Way, ends};
use crate::processes::{Part, Processes, Size};
use crate::session::{Session, total};
use crate::{ChaosError, count};

/// Both nodes sign, so that each waits for every message of the other.
const SIZE: Size = Size { threshold: 2, nodes: 2 };

/// More operations than are signed.
const ENOUGH: u64 = 10_000;

/// How long is tried again what a client does not try again by itself, and the pause in between.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// A network of which one node ends again and again.
struct Crashes {
    processes: Processes,
    victim: NodeIndex,
    peer: NodeIndex,
    session: Arc<Session>,
    counts: Arc<Counts>,
    signed: BTreeSet<u64>,
    /// Whether the victim has come to its end.
    ended: Arc<AtomicBool>,
}

/// What is asked for while the node ends: whether it came about.
type Asked = JoinHandle<Result<(), ChaosError>>;

/// Ends a node of the program, which has to be built with the feature `fail-points`: before and after each of its durable
/// writes, each kind of frame that it sends and each message of a signature. Each time the node is restarted, and what was
/// asked for meanwhile has to come about; at last exactly what was signed has to be counted. Gives how often the node ended.
/// `progress` is told in words what is done.
///
/// # Errors
/// The first end that was not reached or not recovered from, or what kept the run from its end.
pub async fn crash_everywhere(
    program: &Path,
    folder: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<usize, ChaosError> {
    let mut crashes = Crashes::begin(program, folder).await?;
    let mut count = 0;
    for end in ends() {
        progress(&end.to_string());
        crashes.crash(end).await.map_err(|source| ChaosError::Crash { end, source: Box::new(source) })?;
        count += 1;
    }
    crashes.finish().await?;
    Ok(count)
}

impl Crashes {
    async fn begin(program: &Path, folder: &Path) -> Result<Self, ChaosError> {
        let processes = Processes::start(program, folder, SIZE, 0).await?;
        let nodes: Vec<_> = processes.nodes().into_iter().collect();
        let [victim, peer] = nodes[..] else { unreachable!("the network has two nodes") };
        let counts = Arc::new(Counts::default());
        let session = Arc::new(Session::make(processes.descriptor(), ENOUGH, &counts).await?);
        patiently(|| session.register()).await?;
        Ok(Self { processes, victim, peer, session, counts, signed: BTreeSet::new(), ended: Arc::default() })
    }

    async fn crash(&mut self, end: End) -> Result<(), ChaosError> {
        let session = self.prepare(end.way).await?;
        self.ended.store(false, Ordering::Relaxed);
        self.restart(self.victim, &end.action(self.victim)).await?;
        if !end.way.is_a_start() {
            self.until_all_are_ready().await?;
        }
        let asked = self.ask(end.way, &session).await?;
        let status = self.processes.ended(Part::Node(self.victim)).await?;
        if status.signal() != Some(Signal::SIGABRT as i32) {
            return Err(self.not_reached(status));
        }
        self.ended.store(true, Ordering::Relaxed);

        self.until_gone(self.victim).await?;
        self.processes.spawn(Part::Node(self.victim))?;
        if self.actions_of_peer(end.way).is_some() {
            self.restart(self.peer, "").await?;
        }
        self.until_all_are_ready().await?;
        asked.await.map_err(|_| ChaosError::Interrupted)??;
        if end.way == Way::SignWithCheat {
            let is_banned = matches!(end.point, Point::Written(_));
            self.check_ban(&session, is_banned).await?;
        }
        self.sign_next().await
    }

    /// Sets the scene before the victim starts; gives the session whose signatures are asked for.
    async fn prepare(&mut self, way: Way) -> Result<Arc<Session>, ChaosError> {
        if let Some(actions) = self.actions_of_peer(way) {
            self.restart(self.peer, &actions).await?;
            self.until_all_are_ready().await?;
        }
        match way {
            Way::SignForNewGateway => {
                self.processes.kill(Part::Gateway).await?;
                self.processes.spawn(Part::Gateway)?;
                self.until_all_are_ready().await?;
            }
            Way::StartWithPendingKey => {
                self.restart(self.victim, &action(Point::Written(Write::PendingKey), 0, self.victim)).await?;
                self.until_all_are_ready().await?;
                let asked = self.ask(Way::MakeKey, &self.session.clone()).await?;
                self.processes.ended(Part::Node(self.victim)).await?;
                asked.abort();
            }
            Way::StartWithoutAttestation => drop(self.another_session().await?),
            Way::SignWithCheat => return Ok(Arc::new(self.another_session().await?)),
            _ => {}
        }
        Ok(self.session.clone())
    }

    /// What happens at the other node, if anything does.
    fn actions_of_peer(&self, way: Way) -> Option<String> {
        match way {
            Way::StartWithoutAttestation => {
                Some(format!("{}=return", losing(FrameKind::Assignment, self.peer)))
            }
            Way::SignUnheard => Some(format!("{}=1*return", losing(FrameKind::Relay, self.peer))),
            Way::SignWithCheat => Some(format!("cheat at node {}=return", self.peer)),
            _ => None,
        }
    }

    async fn ask(&mut self, way: Way, session: &Arc<Session>) -> Result<Asked, ChaosError> {
        let session = session.clone();
        Ok(match way {
            Way::Start | Way::StartWithPendingKey | Way::StartWithoutAttestation => {
                tokio::spawn(async { Ok(()) })
            }
            Way::StartOfPeer => {
                self.restart(self.peer, "").await?;
                tokio::spawn(async { Ok(()) })
            }
            Way::Sign | Way::SignForNewGateway | Way::SignUnheard => {
                let operation = self.next_operation();
                tokio::spawn(async move { signed(operation, session.sign(operation).await) })
            }
            Way::SignWithCheat => self.ask_in_vain("together with a node that cheats", move || {
                let session = session.clone();
                async move { session.sign_once(1).await }
            }),
            Way::SignForStranger => {
                let stranger = Arc::new(EphemeralKey::random()?);
                self.ask_in_vain("for a stranger", move || {
                    let (session, stranger) = (session.clone(), stranger.clone());
                    async move { session.sign_once_as(&stranger, ENOUGH).await }
                })
            }
            Way::MakeKey => {
                let (network, counts) = (self.processes.descriptor().clone(), self.counts.clone());
                let make = move || {
                    let (network, counts) = (network.clone(), counts.clone());
                    async move { Session::make(&network, ENOUGH, &counts).await.map(drop) }
                };
                // None is made as long as an earlier end has left some.
                let ended = self.ended.clone();
                tokio::spawn(async move {
                    while !ended.load(Ordering::Relaxed) {
                        let _ = make().await;
                    }
                    patiently(make).await
                })
            }
            Way::Register => {
                let operation = self.next_operation();
                tokio::spawn(async move {
                    let registering = session.clone();
                    let register = move || {
                        let session = registering.clone();
                        async move { session.register().await }
                    };
                    let ephemeral = patiently(register).await?;
                    signed(operation, session.sign_as(&ephemeral, operation).await)
                })
            }
        })
    }

    /// Asks for what must not be signed until the victim has ended: it may be refused before it comes so far.
    fn ask_in_vain<A>(&self, how: &'static str, ask: impl Fn() -> A + Send + 'static) -> Asked
    where
        A: Future<Output = Result<(), NetworkError>> + Send,
    {
        let ended = self.ended.clone();
        let until = Instant::now() + PATIENCE;
        tokio::spawn(async move {
            loop {
                refused(ask().await, how)?;
                if ended.load(Ordering::Relaxed) || Instant::now() >= until {
                    return Ok(());
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    async fn another_session(&self) -> Result<Session, ChaosError> {
        patiently(|| Session::make(self.processes.descriptor(), ENOUGH, &self.counts)).await
    }

    /// Whether the victim still knows that the other node cheated it. Nodes that have just come back may refuse for other reasons first.
    async fn check_ban(&self, session: &Session, is_banned: bool) -> Result<(), ChaosError> {
        let until = Instant::now() + PATIENCE;
        let refused = loop {
            match session.sign_once(1).await {
                Ok(()) => break false,
                Err(NetworkError::Client(ClientError::Refused(Refusal::Banned { peer, .. }))) => {
                    break peer == self.peer;
                }
                Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
                Err(_) => break false,
            }
        };
        if refused == is_banned { Ok(()) } else { Err(ChaosError::Ban { node: self.peer, is_banned }) }
    }

    async fn sign_next(&mut self) -> Result<(), ChaosError> {
        let operation = self.next_operation();
        signed(operation, self.session.sign(operation).await)
    }

    fn next_operation(&mut self) -> u64 {
        let operation = self.signed.last().map_or(1, |last| last + 1);
        self.signed.insert(operation);
        operation
    }

    /// Ends a node, if it runs, and starts it with these actions.
    async fn restart(&mut self, node: NodeIndex, actions: &str) -> Result<(), ChaosError> {
        self.processes.kill(Part::Node(node)).await?;
        self.until_gone(node).await?;
        self.processes.spawn_with(Part::Node(node), actions)
    }

    /// Otherwise the node that comes back might be taken for the one that has gone.
    async fn until_gone(&mut self, node: NodeIndex) -> Result<(), ChaosError> {
        self.processes.until(Part::Node(node), "gone", |ready| !ready.contains(&node)).await
    }

    async fn until_all_are_ready(&mut self) -> Result<(), ChaosError> {
        let all = self.processes.nodes();
        self.processes.until(Part::Gateway, "connected to all nodes", |ready| *ready == all).await
    }

    fn not_reached(&self, status: ExitStatus) -> ChaosError {
        let (part, log) = (Part::Node(self.victim), self.processes.log(Part::Node(self.victim)));
        ChaosError::Ended { part, status, log }
    }

    async fn finish(mut self) -> Result<(), ChaosError> {
        self.processes.shutdown().await?;
        let limits = [Dimension::Uses, Dimension::GasCost];
        let limits = limits.map(|dimension| (dimension, total(dimension, self.signed.iter().copied())));
        count::check_files(&self.processes, &self.session, &self.signed, &limits).await
    }
}

impl Way {
    /// Whether the node ends without anything being asked of it.
    const fn is_a_start(self) -> bool {
        matches!(self, Self::Start | Self::StartWithPendingKey | Self::StartWithoutAttestation)
    }
}

impl End {
    fn action(self, node: NodeIndex) -> String {
        action(self.point, self.passes, node)
    }
}

/// What ends a node's process at a point that it has passed so many times.
fn action(point: Point, passes: usize, node: NodeIndex) -> String {
    let pass = if passes == 0 { String::new() } else { format!("{passes}*off->") };
    format!("{}={pass}return", point.at(node))
}

fn signed(operation: u64, result: Result<(), NetworkError>) -> Result<(), ChaosError> {
    result.map_err(|source| ChaosError::Unended { operation, source })
}

fn refused(result: Result<(), NetworkError>, how: &'static str) -> Result<(), ChaosError> {
    match result {
        Ok(()) => Err(ChaosError::Signed { how }),
        Err(_) => Ok(()),
    }
}

/// Tries until it succeeds, as long as patience lasts.
async fn patiently<T, A>(attempt: impl Fn() -> A) -> Result<T, ChaosError>
where
    A: Future<Output = Result<T, ChaosError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            ended => return ended,
        }
    }
}
