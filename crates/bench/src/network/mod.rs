//! A signing network of five nodes and a gateway on this machine, three of which sign, against what the signature costs to
//! compute. The client asks by the network's own protocol for signatures that are charged to limits.

mod delay;
mod fsync;
mod load;
mod memory;
mod reference;
mod revocation;
mod scene;
mod sustained;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::median;

use load::{Signed, one_client};
use reference::Reference;
use scene::{SPARE, Scene};

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The `quorate` program.
    #[arg(long)]
    program: PathBuf,
    /// Where the network's files and logs are written, on the disk that is to be measured; it must not hold a network
    /// already.
    #[arg(long)]
    folder: PathBuf,
    /// Also sign for five minutes at 80 % of what was sustained, and compare the memory after 1 000 and 10 000 signatures.
    #[arg(long)]
    long: bool,
    /// Only these, beside the signatures of one client, against which they are held.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Killed,
    Sustained,
    Far,
    Keys,
    Slow,
    Revocations,
    Memory,
}

/// How often each thing is done.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    /// How many parties the reference's key has, and how many signatures it makes.
    parties: u8,
    references: u32,
    fsyncs: usize,
    /// How many keys the gateway keeps free, and how many the client takes.
    pool: usize,
    keys: usize,
    /// Signatures before those that are measured.
    warm_up: usize,
    signatures: usize,
    /// The same where nodes are far away.
    far: usize,
    sustained: Duration,
    /// How long each number of clients is tried.
    tried: Duration,
    revocations: usize,
}

impl Rounds {
    const fn new(quick: bool) -> Self {
        if quick {
            Self {
                parties: 3,
                references: 5,
                fsyncs: 20,
                pool: 1,
                keys: 1,
                warm_up: 3,
                signatures: 10,
                far: 2,
                sustained: Duration::from_secs(1),
                tried: Duration::from_millis(500),
                revocations: 1,
            }
        } else {
            Self {
                parties: 5,
                references: 51,
                fsyncs: 200,
                pool: 8,
                keys: 8,
                warm_up: 100,
                signatures: 1000,
                far: 200,
                sustained: Duration::from_secs(30),
                tried: Duration::from_secs(5),
                revocations: 10,
            }
        }
    }
}

/// What is between a node and the gateway, each way, in milliseconds.
const FAR: u64 = 25;
const SLOW: u64 = 500;

impl Arguments {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(crate) fn run(arguments: &Arguments, quick: bool) -> anyhow::Result<Vec<Goal>> {
    let Arguments { program, folder, long, .. } = arguments;
    let rounds = Rounds::new(quick);
    let progress = Progress::default();
    progress.begin("the reference: a signature's computation alone");
    let reference = reference::measure(rounds.parties, rounds.references)?;
    let goals = Runtime::new()?.block_on(async {
        progress.begin("starting a gateway and five nodes");
        let mut scene = Scene::start(program, folder, rounds.pool).await?;
        let goals = measure(&mut scene, arguments, reference, rounds, &progress).await?;
        scene.shutdown().await?;
        anyhow::Ok(goals)
    })?;
    progress.end();
    if !long {
        eprintln!("not measured without --long: five minutes at 80 %, and memory after 10 000 signatures");
    }
    Ok(goals)
}

/// The lines, in their order.
async fn measure(
    scene: &mut Scene,
    arguments: &Arguments,
    reference: Reference,
    rounds: Rounds,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    progress.begin("keys from the pool");
    let key = keys(scene, rounds).await?;
    progress.begin("durable writes");
    let fsync = fsync::measure(&arguments.folder, rounds.fsyncs)?;
    let allowed = 1.2 * reference.milliseconds + fsync;
    let mut goals = vec![
        Goal::shown("reference, three signers on one thread, milliseconds", reference.milliseconds),
        Goal::shown("a share read from its bytes, milliseconds", reference.load_milliseconds),
        Goal::shown("fsync of a page, milliseconds", fsync),
    ];

    progress.begin("signatures, one client");
    let near = signatures(scene, rounds, rounds.signatures).await?;
    let local = near.median();
    goals.extend([
        Goal::shown("signature, milliseconds", local),
        Goal::at_most("signature / (1.2 references + 1 fsync)", local / allowed, 1.0),
        Goal::at_most("signature, 99th percentile / median", near.percentile(99) / local, 2.5),
    ]);

    if arguments.measures(Part::Killed) {
        progress.begin("signatures without two nodes");
        let gone = scene.nodes().into_iter().take(SPARE).collect();
        scene.kill(&gone).await?;
        let fewer = signatures(scene, rounds, rounds.signatures).await?;
        scene.revive(&gone).await?;
        goals.extend([
            Goal::shown("two nodes killed, milliseconds", fewer.median()),
            Goal::at_most("two nodes killed / (1.2 references + 1 fsync)", fewer.median() / allowed, 1.0),
            Goal::at_most(
                "two nodes killed, 99th percentile / median",
                fewer.percentile(99) / fewer.median(),
                2.5,
            ),
        ]);
    }
    if arguments.measures(Part::Sustained) {
        goals.extend(sustained::run(scene, reference, rounds, arguments.long, progress).await?);
    }
    if arguments.measures(Part::Far) {
        progress.begin("signatures where the nodes are 25 ms away");
        let all = scene.nodes();
        scene.delay(&all, Some(Duration::from_millis(FAR))).await?;
        let far = signatures(scene, rounds, rounds.far).await?;
        scene.delay(&all, None).await?;
        goals.extend([
            Goal::shown("nodes 25 ms away, milliseconds", far.median()),
            Goal::at_most("nodes 25 ms away, one-way delays", (far.median() - local) / FAR as f64, 12.0),
        ]);
    }
    if arguments.measures(Part::Keys) {
        goals.extend([
            Goal::shown("key from the pool, milliseconds", key),
            Goal::at_most("key from the pool / signature", key / local, 5.0),
        ]);
    }
    if arguments.measures(Part::Slow) {
        progress.begin("signatures where one node is slow");
        let slow = scene.nodes().into_iter().take(1).collect();
        scene.delay(&slow, Some(Duration::from_millis(SLOW))).await?;
        let hindered = signatures(scene, rounds, rounds.signatures).await?;
        scene.delay(&slow, None).await?;
        goals.extend([
            Goal::shown("one node 1 s slow, milliseconds", hindered.median()),
            Goal::at_most(
                "one node 1 s slow, 99th percentile / signature",
                hindered.percentile(99) / local,
                2.0,
            ),
        ]);
    }
    if arguments.measures(Part::Revocations) {
        progress.begin("revocations");
        let slowest = revocation::slowest(scene, rounds.revocations).await?;
        goals.push(Goal::at_most("revocation at all nodes, seconds", slowest, 1.0));
    }
    if arguments.long && arguments.measures(Part::Memory) {
        progress.begin("memory after 10 000 signatures");
        goals.push(memory::run(scene).await?);
    }
    goals.push(Goal::shown("signatures asked for again", scene.retries() as f64));
    Ok(goals)
}

/// Takes keys from the pool, and gives their median in milliseconds. No more than half of the pool is taken at once: then
/// the gateway does not make new ones before the client has been quiet for a while.
async fn keys(scene: &mut Scene, rounds: Rounds) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    while times.len() < rounds.keys {
        scene.until_pool_is_full(rounds.pool).await?;
        for _ in 0..rounds.pool.div_ceil(2) {
            times.push(scene.add_key().await?.as_secs_f64() * 1e3);
        }
    }
    scene.until_pool_is_full(rounds.pool).await?;
    Ok(median(times))
}

/// Signatures for one client, after some that are not counted.
async fn signatures(scene: &Scene, rounds: Rounds, signatures: usize) -> anyhow::Result<Signed> {
    one_client(&scene.keys, rounds.warm_up).await?;
    one_client(&scene.keys, signatures).await
}
