//! Random walks through networks that are too large to search.

use super::explore::Model;
use super::world::{Attempt, Network, Step, World};

/// Seven nodes, four of which sign, with withdrawals and crashes.
const SEVEN: Network = Network {
    nodes: 7,
    attempts: &[
        Attempt { nonce: 0, amount: 1, signers: &[1, 2, 3, 4] },
        Attempt { nonce: 0, amount: 2, signers: &[4, 5, 6, 7] },
        Attempt { nonce: 1, amount: 1, signers: &[1, 3, 5, 7] },
        Attempt { nonce: 2, amount: 2, signers: &[2, 4, 6, 7] },
        Attempt { nonce: 3, amount: 1, signers: &[1, 2, 6, 7] },
    ],
    limit: 3,
    bound: 3,
    withdrawals: true,
    crashes: 1,
    ..Network::HONEST
};

const STEPS: usize = 1_000_000;

#[test]
fn random_walks_exceed_no_bound() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut steps, mut walks, mut most) = (0, 0, 0);
    while steps < STEPS {
        let mut world = World::new(&SEVEN);
        walks += 1;
        loop {
            let possible = world.steps();
            let (faults, progress): (Vec<_>, Vec<_>) = possible
                .into_iter()
                .partition(|step| matches!(step, Step::Withdraw { .. } | Step::Crash { .. }));
            // Faults are rare, else nothing is ever signed.
            let faulty = next(&mut random).is_multiple_of(32) || progress.is_empty();
            let choice = if faulty && !faults.is_empty() { faults } else { progress };
            if choice.is_empty() {
                break;
            }
            world.take(choice[next(&mut random) % choice.len()]);
            steps += 1;
            most = most.max(world.signed());
            assert_eq!(world.broken(), None);
        }
    }
    println!("walks: {walks} of {steps} steps, worth {most} at most, bound {}", SEVEN.bound);
    assert_eq!(most, SEVEN.bound, "walks that sign nothing show nothing");
}

/// The xorshift64 generator: a fixed seed gives the same walks in every run.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as usize
}
