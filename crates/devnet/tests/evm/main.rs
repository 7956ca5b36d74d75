//! The core against the contracts themselves, in an EVM of this process.
//!
//! Every case is made by a generator with a fixed seed; one that fails is made small and printed as hex.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod abi;
mod cases;
mod control;
mod delegation;
mod evaluator;
mod hashes;
mod machine;
mod router;
mod tokens;
mod tree;

use std::path::Path;

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use quorate_devnet::{Contracts, Quiet, Toolchain};

/// The contracts, from the cache that the tests of the development network fill as well.
fn contracts() -> Contracts {
    let toolchain = toolchain();
    block_on(async { Contracts::compile(&toolchain, &Quiet).await.unwrap() })
}

fn toolchain() -> Toolchain {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    block_on(async { Toolchain::install(&cache, &Quiet).await.unwrap() })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Runs `check` on as many cases, the same ones each time.
#[track_caller]
fn for_all<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[0x71; 32]);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, check) {
        panic!("{error}");
    }
}

/// Whose signature the session validation module is given.
fn session_signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x5e)).unwrap()
}
