//! Two devices of one owner, and everything that can happen to them: whatever it is, no call is executed twice, no live
//! session is lost or called dead, and nothing stays stuck.

mod recorder;
mod settle;
mod steps;
mod world;

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use recorder::lock;
use steps::Step;
use world::World;

/// The same cases each time, unless `PROPTEST_RNG_SEED` and `PROPTEST_CASES` say otherwise.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let is_set = |name| std::env::var_os(name).is_some();
    ProptestConfig {
        cases: if is_set("PROPTEST_CASES") { given.cases } else { 300 },
        rng_seed: if is_set("PROPTEST_RNG_SEED") { given.rng_seed } else { RngSeed::Fixed(4337) },
        max_shrink_iters: 8_192,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..given
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_s_answer_is_the_chain_s(steps in steps::steps()) {
        run(&steps).map_err(TestCaseError::fail)?;
    }
}

fn run(steps: &[Step]) -> Result<(), String> {
    // The futures of a whole life lie within one another, and unoptimised ones are large.
    let thread = std::thread::Builder::new().stack_size(32 << 20);
    std::thread::scope(|scope| thread.spawn_scoped(scope, || live(steps)).unwrap().join().unwrap())
}

fn live(steps: &[Step]) -> Result<(), String> {
    // Waiting costs nothing: the clock goes on when everybody waits.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        for (number, step) in steps.iter().enumerate() {
            world.step(*step).await;
            let mut wrong = world.repeated();
            wrong.append(&mut lock(&world.shared).violations);
            if let Some(first) = wrong.first() {
                return Err(told(&steps[..=number], first));
            }
        }
        let settled = settle::settle(&mut world).await;
        world.chain.clear_hook();
        settled.map_err(|wrong| told(steps, &wrong))
    })
}

fn told(steps: &[Step], wrong: &str) -> String {
    let mut text = format!("{wrong}\nafter these steps:\n");
    for step in steps {
        let _ = writeln!(text, "  {step:?}");
    }
    text
}
