//! Runs the targets on their kept corpus and on mutations of it, the same ones for the same seed.
//!
//! `smoke ITERATIONS SEED` runs all of them, `smoke TARGET FILE` one of them on one input.

#![forbid(unsafe_code)]

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::hash::{Hash, Hasher};
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, io, thread};

use quorate_fuzz::{TARGETS, Target};

const LONGEST: usize = 4096;
/// Inputs that mutations start from, beside the corpus.
const POOL: usize = 512;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Failed = Box<dyn Error + Send + Sync>;
type Done = Result<(), Failed>;

fn run(arguments: &[String]) -> Done {
    match arguments {
        [name, file] if TARGETS.iter().any(|target| target.name == *name) => one(name, Path::new(file)),
        [iterations, seed] => all(iterations.parse()?, seed.parse()?),
        _ => Err("smoke ITERATIONS SEED, or smoke TARGET FILE".into()),
    }
}

fn one(name: &str, file: &Path) -> Done {
    for target in TARGETS.iter().filter(|target| target.name == name) {
        let taken = (target.check)(&fs::read(file)?);
        println!("{name}: {}", if taken { "taken" } else { "refused" });
    }
    Ok(())
}

/// As many at once as there are processors. Each draws by itself, so that a seed gives the same inputs on any machine.
fn all(iterations: u64, seed: u64) -> Done {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let next = AtomicUsize::new(0);
    let work = || -> Done {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            smoke(target, folder, iterations, seed)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Runs one target. Both the corpus and its mutations have to give inputs that are taken, or little was tested.
fn smoke(target: &Target, folder: &Path, iterations: u64, seed: u64) -> Done {
    let began = Instant::now();
    let mut pool = corpus(&folder.join("corpus").join(target.name))?;
    let mut in_corpus = 0;
    for input in &pool {
        in_corpus += u64::from(check(target, folder, input)?);
    }
    let kept = pool.len();
    let mut random = Random(seed);
    let mut in_mutations = 0;
    for _ in 0..iterations {
        let mut input = pool[random.below(pool.len())].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut input, &pool, &mut random);
        }
        input.truncate(LONGEST);
        if check(target, folder, &input)? {
            in_mutations += 1;
            // What is taken is worth going on from; of what was added before, any may go.
            if pool.len() < kept + POOL {
                pool.push(input);
            } else {
                let place = kept + random.below(POOL);
                pool[place] = input;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{:20} {in_corpus} of {kept} kept inputs taken, {in_mutations} of {iterations} mutations, {seconds:.0} s",
        target.name
    );
    if in_corpus == 0 || (iterations >= 10_000 && in_mutations == 0) {
        return Err(format!("{}: nothing was taken, so little was tested", target.name).into());
    }
    Ok(())
}

fn corpus(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Checks one input; one that fails is kept as cargo-fuzz keeps it.
fn check(target: &Target, folder: &Path, input: &[u8]) -> Result<bool, Failed> {
    catch_unwind(|| (target.check)(input)).or_else(|_| {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let folder = folder.join("artifacts").join(target.name);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("smoke-{:016x}", hasher.finish()));
        fs::write(&path, input)?;
        Err(format!("{}: failed on {}", target.name, path.display()).into())
    })
}

fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let len = random.below(48).min(input.len() - at);
    match random.below(9) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 if at < input.len() => input[at] = [0, 1, 0x20, 0x7f, 0x80, 0xff, b'0', b'"'][random.below(8)],
        3 => drop(input.drain(at..at + len)),
        4 => {
            let copy = input[at..at + len].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        5 => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            input.splice(at.., other[from..].iter().copied());
        }
        6 => input.truncate(at),
        7 => {
            // Numbers of the ABI stand at the end of their words.
            let word = at.saturating_sub(4) / 32 * 32 + 4;
            if let Some(last) = input.get_mut(word + 31) {
                *last = last.wrapping_add([1, 0xff, 32, 0xe0][random.below(4)]);
            }
        }
        _ => {
            let more: Vec<u8> = (0..=random.below(32)).map(|_| random.byte()).collect();
            input.splice(at..at, more);
        }
    }
}

/// SplitMix64, so that a seed gives the same inputs everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
