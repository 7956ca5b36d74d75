//! The review against the chain: operations are reviewed, and run on the contracts. Whatever they changed about who
//! controls the account must stand in the review, or the review must have refused.
//!
//! What is watched is [`Control`](watch::Control); what has to be said of it is the table in [`claims`].

mod abi;
mod calls;
mod chain;
mod claims;
mod fields;
mod kinds;
mod mutation;
mod operations;
mod review;
mod sessions;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use quorate_contracts::{SessionKeyManager, SmartAccount};

use self::calls::Calls;
use self::chain::{AT, Chain, Outcome};
use self::fields::Fields;
use self::operations::{Case, operations};
use self::review::{Reviewed, review};
use self::watch::Change;
use crate::for_all;

/// Each kind of change has to be seen as often on the chain,
const CHANGED: u32 = 20;
/// and as often where the review shows it and does not refuse.
const SHOWN: u32 = 5;

#[test]
fn roots_stand_in_the_review() {
    compare(2_000, calls::on_roots(), fields::plain(), &["root", "sessions ended"]);
}

#[test]
fn owners_stand_in_the_review() {
    compare(2_000, calls::on_owners(), fields::plain(), &["owner", "owner renounced"]);
}

#[test]
fn modules_and_code_stand_in_the_review() {
    let kinds = ["module enabled", "module disabled", "handler", "implementation"];
    compare(2_000, calls::on_account(), fields::plain(), &kinds);
}

#[test]
fn allowances_stand_in_the_review() {
    compare(1_000, calls::on_allowances(), fields::plain(), &["allowance"]);
}

#[test]
fn the_deposit_stands_in_the_review() {
    let kinds = ["deposited", "deposit withdrawn", "stake", "stake withdrawn"];
    compare(2_000, calls::on_deposit(), fields::plain(), &kinds);
}

#[test]
fn who_pays_stands_in_the_review() {
    compare(1_000, calls::on_nothing(), fields::paid(), &["paid by the account", "paid by a paymaster"]);
}

#[test]
fn a_deployment_stands_in_the_review() {
    compare(1_000, calls::on_nothing(), fields::deployed(), &["deployed"]);
}

#[test]
fn whatever_changes_stands_in_the_review() {
    let kinds = [
        "root",
        "sessions ended",
        "owner",
        "owner renounced",
        "module enabled",
        "module disabled",
        "handler",
        "implementation",
        "allowance",
        "deposited",
        "deposit withdrawn",
        "stake",
        "stake withdrawn",
        "deployed",
        "paid by the account",
        "paid by a paymaster",
    ];
    compare(6_000, calls::on_anything(), fields::any_fields(), &kinds);
}

/// An owner can end all sessions without having any of them at hand.
#[test]
fn a_root_of_zero_needs_no_sessions() {
    let call = SessionKeyManager::setMerkleRootCall { _merkleRoot: B256::ZERO };
    let manager = AT.session_key_manager;
    let call =
        SmartAccount::execute_ncCCall { dest: manager, value: U256::ZERO, func: call.abi_encode().into() };
    let operation = Fields::plain().operation(*chain::ACCOUNT, call.abi_encode());
    let reviewed = review(&operation, &[]);
    assert_eq!(reviewed.refused, None, "{:#?}", reviewed.lines);
    let Outcome::Ran { succeeded: true, changes } = Chain::new().run(&operation) else {
        panic!("it does not run")
    };
    let ended = Change::Root { manager, root: B256::ZERO };
    assert_eq!(changes, [Change::Paid(None), ended]);
    assert_eq!(missing(&changes, &reviewed, None), [] as [String; 0]);
}

/// Reviews and runs as many operations. Each kind of change has to be among what they do, and among what is shown.
#[track_caller]
fn compare(cases: u32, calls: Calls, fields: BoxedStrategy<Fields>, kinds: &[&'static str]) {
    let chain = Chain::new();
    let tally = RefCell::new(Tally::default());
    for_all(cases, &operations(calls, fields), |case| check(&chain, &case, &mut tally.borrow_mut()));

    let tally = tally.into_inner();
    println!("{tally:#?}");
    for kind in kinds {
        for (seen, least) in [(&tally.changed, CHANGED), (&tally.shown, SHOWN)] {
            let seen = seen.get(kind).copied().unwrap_or_default();
            assert!(seen >= least, "too few of {kind}: {tally:#?}");
        }
    }
}

/// How often what was seen.
#[derive(Debug, Default)]
struct Tally {
    /// What becomes of the operations on the chain, and in the review.
    outcomes: BTreeMap<String, u32>,
    /// The changes.
    changed: BTreeMap<&'static str, u32>,
    /// Those of operations that the review does not refuse.
    shown: BTreeMap<&'static str, u32>,
}

fn check(chain: &Chain, case: &Case, tally: &mut Tally) -> TestCaseResult {
    let operation = Chain::complete(case);
    let sessions = case.grant.map(|grant| grant.sessions.as_slice()).unwrap_or_default();
    let reviewed = review(&operation, sessions);
    let outcome = chain.run(&operation);
    tally.count(&outcome, &reviewed);
    if reviewed.refused.is_some() {
        return Ok(());
    }
    let missing = match outcome {
        Outcome::Refused(_) => Vec::new(),
        Outcome::Impossible(reason) => {
            vec![format!("a refusal, since the entry point refuses it in every state: {reason}")]
        }
        Outcome::Ran { changes, .. } => missing(&changes, &reviewed, case.grant.map(|grant| grant.root)),
    };
    if missing.is_empty() {
        return Ok(());
    }
    let lines = reviewed.lines.join("\n    ");
    Err(TestCaseError::fail(format!("the review\n    {lines}\n  misses\n    {}\n", missing.join("\n    "))))
}

/// What a review should say and does not.
fn missing(changes: &[Change], reviewed: &Reviewed, shown: Option<B256>) -> Vec<String> {
    let claims = changes
        .iter()
        .flat_map(|change| claims::claims(change).into_iter().map(move |claim| (change, claim)));
    claims
        .filter(|(_, claim)| !claim.holds(reviewed, shown))
        .map(|(change, claim)| format!("{claim:?}, for {change:?}"))
        .collect()
}

impl Tally {
    fn count(&mut self, outcome: &Outcome, reviewed: &Reviewed) {
        let says = if reviewed.refused.is_some() { "refused in review" } else { "shown" };
        let runs = match outcome {
            Outcome::Refused(reason) | Outcome::Impossible(reason) => reason.as_str(),
            Outcome::Ran { succeeded: false, .. } => "the call fails",
            Outcome::Ran { succeeded: true, .. } => "runs",
        };
        *self.outcomes.entry(format!("{runs}, {says}")).or_default() += 1;
        let Outcome::Ran { changes, .. } = outcome else { return };
        for change in changes {
            *self.changed.entry(change.kind()).or_default() += 1;
            if reviewed.refused.is_none() {
                *self.shown.entry(change.kind()).or_default() += 1;
            }
        }
    }
}
