//! The conductor: breaks and mends the processes while operations are asked for, and checks what came of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use quorate_network::NetworkError;
use quorate_protocol::{ClientError, NodeIndex, Refusal};

use crate::ChaosError;
use crate::count;
use crate::operations::{Counts, Operations, Outcome};
use crate::plan::{Action, Fault, Step, plan};
use crate::processes::{Part, Processes, Size};
use crate::session::Session;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `quorate` program.
    pub program: PathBuf,
    /// Where the network's files and the logs of its processes are written; it must not hold a network already.
    pub folder: PathBuf,
    /// What all random choices follow from.
    pub seed: u64,
    /// How many operations are asked for.
    pub signatures: u32,
    /// How many times a process is killed; half as many times one is stopped for a while.
    pub kills: u32,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What all random choices followed from.
    pub seed: u64,
    /// The operations that were signed.
    pub signed: usize,
    /// How many processes were killed, and restarted.
    pub kills: usize,
    /// How many processes were stopped, and continued.
    pub stops: usize,
    /// How often the client tried again.
    pub retries: u64,
    /// How often it did so because a connection was lost.
    pub lost_connections: u64,
    /// The median time of an operation before anything was broken.
    pub median: Duration,
    /// The longest time of an operation.
    pub slowest: Duration,
    /// The longest time from mending a process to its being ready.
    pub slowest_return: Duration,
    /// The time of the whole run.
    pub took: Duration,
}

/// The network that is broken.
const SIZE: Size = Size { threshold: 3, nodes: 5 };

/// Which part of the operations ends before anything is broken: what the median is taken of.
const UNDISTURBED: usize = 10;

/// Runs a network, breaks it, and checks that it kept its rules. `progress` is told in words what is done.
///
/// # Errors
/// The first rule that was broken, or what kept the run from its end.
pub async fn run(settings: &Settings, progress: &(dyn Fn(&str) + Sync)) -> Result<Report, ChaosError> {
    let began = Instant::now();
    progress(&format!("seed {}: starting the gateway and {} nodes", settings.seed, SIZE.nodes));
    let mut processes = Processes::start(&settings.program, &settings.folder, SIZE, 1).await?;
    let counts = Arc::new(Counts::default());
    let session = Session::make(processes.descriptor(), settings.signatures.into(), &counts).await?;
    let session = Arc::new(session);

    let all = settings.signatures as usize;
    let undisturbed = all / UNDISTURBED;
    let operations = Operations::begin(&session, all);
    operations.until(undisturbed).await;
    let median = operations.median();
    let most_down = usize::from(SIZE.nodes - SIZE.threshold);
    let nodes: Vec<_> = processes.nodes().into_iter().collect();
    let steps = plan(settings.seed, &nodes, most_down, settings.kills as usize, undisturbed..all);
    let mut slowest_return = Duration::ZERO;
    let mut down = BTreeSet::new();
    for step in &steps {
        operations.until(step.after).await;
        tokio::time::sleep(median.mul_f64(step.phase)).await;
        progress(&format!("{} of {all} operations: {}", operations.ended(), step.action));
        let returned = perform(&mut processes, step, median, &mut down).await?;
        slowest_return = slowest_return.max(returned);
    }
    let outcomes = operations.finish().await;

    progress("checking what was signed and what is counted");
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default();
    let signed = signed(outcomes)?;
    refuse_one_more(&session, u64::from(settings.signatures) + 1).await?;
    processes.shutdown().await?;
    count::check_files(&processes, &session, &signed, session.limits()).await?;
    Ok(Report {
        seed: settings.seed,
        signed: signed.len(),
        kills: steps.iter().filter(|step| step.action.is_kill()).count(),
        stops: steps.iter().filter(|step| step.action.is_stop()).count(),
        retries: counts.retries(),
        lost_connections: counts.lost_connections(),
        median,
        slowest,
        slowest_return,
        took: began.elapsed(),
    })
}

/// Does a step, and says how long what was mended took to be ready.
async fn perform(
    processes: &mut Processes,
    step: &Step,
    median: Duration,
    down: &mut BTreeSet<NodeIndex>,
) -> Result<Duration, ChaosError> {
    let part = step.action.part();
    match step.action {
        Action::Break(node, fault) => {
            down.insert(node);
            break_part(processes, part, fault).await?;
            if fault == Fault::Kill {
                // Otherwise the node that comes back might be taken for the one that has gone.
                processes.until(part, "gone", |ready| !ready.contains(&node)).await?;
            }
            Ok(Duration::ZERO)
        }
        Action::Mend(node, fault) => {
            down.remove(&node);
            mend(processes, part, fault, down).await
        }
        Action::BreakGateway(fault, medians) => {
            break_part(processes, part, fault).await?;
            tokio::time::sleep(median.mul_f64(medians)).await;
            mend(processes, part, fault, down).await
        }
    }
}

async fn break_part(processes: &mut Processes, part: Part, fault: Fault) -> Result<(), ChaosError> {
    match fault {
        Fault::Kill => processes.kill(part).await,
        Fault::Stop => processes.signal(part, Signal::SIGSTOP),
    }
}

/// Mends a process, and waits until all nodes that are not down are ready.
async fn mend(
    processes: &mut Processes,
    part: Part,
    fault: Fault,
    down: &BTreeSet<NodeIndex>,
) -> Result<Duration, ChaosError> {
    let began = Instant::now();
    match fault {
        Fault::Kill => processes.spawn(part)?,
        Fault::Stop => processes.signal(part, Signal::SIGCONT)?,
    }
    let up = &processes.nodes() - down;
    processes.until(part, "ready", |ready| up.is_subset(ready)).await?;
    Ok(began.elapsed())
}

/// The operations that were signed: all of them, since every limit has room for them.
fn signed(outcomes: Vec<Outcome>) -> Result<BTreeSet<u64>, ChaosError> {
    let signed = |Outcome { operation, result, .. }: Outcome| match result {
        Ok(()) => Ok(operation),
        Err(source @ NetworkError::Client(ClientError::Refused(_))) => {
            Err(ChaosError::Refused { operation, source })
        }
        Err(source) => Err(ChaosError::Unended { operation, source }),
    };
    outcomes.into_iter().map(signed).collect()
}

/// Shows that the limit is used up.
async fn refuse_one_more(session: &Session, operation: u64) -> Result<(), ChaosError> {
    match session.sign(operation).await {
        Err(NetworkError::Client(ClientError::Refused(Refusal::Limit { .. }))) => Ok(()),
        Err(error) => Err(ChaosError::OneMore(format!("refused otherwise: {error:?}"))),
        Ok(()) => Err(ChaosError::OneMore("signed".to_owned())),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Break(node, Fault::Kill) => write!(f, "node {node} is killed"),
            Self::Break(node, Fault::Stop) => write!(f, "node {node} is stopped"),
            Self::Mend(node, Fault::Kill) => write!(f, "node {node} is restarted"),
            Self::Mend(node, Fault::Stop) => write!(f, "node {node} is continued"),
            Self::BreakGateway(Fault::Kill, _) => f.write_str("the gateway is killed and restarted"),
            Self::BreakGateway(Fault::Stop, _) => f.write_str("the gateway is stopped and continued"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, signed, kills, stops, retries, lost_connections, .. } = self;
        writeln!(f, "seed {seed}: {signed} signed, all of them counted, and one more refused")?;
        writeln!(f, "{kills} kills, {stops} stops, {retries} retries, {lost_connections} lost connections")?;
        write!(
            f,
            "an operation took {:.0?} (median, undisturbed), {:.1?} at most; a process was back within {:.1?}; {:.0?} in all",
            self.median, self.slowest, self.slowest_return, self.took
        )
    }
}
