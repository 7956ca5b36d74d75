//! Each enforcer's `beforeHook`, called as the manager calls it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use quorate_core::Encode;
use quorate_core::delegation::{
    Caveat, Caveats, Context, CounterKey, Delegation, Delegations, Enforcer, Enforcers, Judgement,
    MANAGER_V1_3_0, Missing, NotJudged, ROOT_AUTHORITY, Redemption, State,
};

use super::abi::Enforcer::{beforeHookCall, incrementNonceCall};
use super::cases::{Case, case};
use super::ledger::Ledger;
use super::{Framework, MANAGER, PANIC, SILENTLY, foretold, number_of_cases, said};
use crate::{contracts, for_all, toolchain};

const CASES: u32 = 5_000;

/// What each enforcer has to be seen to say, beside leave and what it says of modes.
const REFUSALS: [(Enforcer, &[&str]); 18] = [
    (Enforcer::AllowedTargets, &["invalid-terms-length", "target-address-not-allowed", SILENTLY]),
    (
        Enforcer::AllowedMethods,
        &["invalid-execution-data-length", "invalid-terms-length", "method-not-allowed", SILENTLY],
    ),
    (
        Enforcer::AllowedCalldata,
        &["invalid-terms-size", "invalid-calldata-length", "invalid-calldata", PANIC, SILENTLY],
    ),
    (Enforcer::ExactCalldata, &["invalid-calldata", SILENTLY]),
    (Enforcer::ValueLte, &["invalid-terms-length", "value-too-high", SILENTLY]),
    (Enforcer::Timestamp, &["invalid-terms-length", "early-delegation", "expired-delegation"]),
    (Enforcer::BlockNumber, &["invalid-terms-length", "early-delegation", "expired-delegation"]),
    (Enforcer::LimitedCalls, &["invalid-terms-length", "limit-exceeded", PANIC]),
    (Enforcer::NativeTokenTransferAmount, &["allowance-exceeded", PANIC, SILENTLY]),
    (
        Enforcer::ERC20TransferAmount,
        &[
            "invalid-execution-length",
            "invalid-terms-length",
            "invalid-contract",
            "invalid-method",
            "allowance-exceeded",
            PANIC,
            SILENTLY,
        ],
    ),
    (
        Enforcer::NativeTokenPeriodTransfer,
        &[
            "invalid-terms-length",
            "invalid-zero-start-date",
            "invalid-zero-period-amount",
            "invalid-zero-period-duration",
            "transfer-not-started",
            "transfer-amount-exceeded",
            SILENTLY,
        ],
    ),
    (
        Enforcer::ERC20PeriodTransfer,
        &[
            "invalid-execution-length",
            "invalid-terms-length",
            "invalid-contract",
            "invalid-method",
            "invalid-zero-start-date",
            "invalid-zero-period-amount",
            "invalid-zero-period-duration",
            "transfer-not-started",
            "transfer-amount-exceeded",
            SILENTLY,
        ],
    ),
    (
        Enforcer::NativeTokenStreaming,
        &[
            "invalid-terms-length",
            "invalid-max-amount",
            "invalid-zero-start-time",
            "allowance-exceeded",
            PANIC,
            SILENTLY,
        ],
    ),
    (
        Enforcer::ERC20Streaming,
        &[
            "invalid-execution-length",
            "invalid-terms-length",
            "invalid-max-amount",
            "invalid-zero-start-time",
            "invalid-contract",
            "invalid-method",
            "allowance-exceeded",
            PANIC,
            SILENTLY,
        ],
    ),
    (Enforcer::Redeemer, &["invalid-terms-length", "unauthorized-redeemer"]),
    (Enforcer::Nonce, &["invalid-terms-length", "invalid-nonce"]),
    (Enforcer::Id, &["invalid-terms-length", "id-already-used"]),
    (
        Enforcer::ApprovalRevocation,
        &[
            "invalid-terms-length",
            "no-methods-allowed",
            "invalid-terms",
            "invalid-value",
            "invalid-execution-length",
            "invalid-method",
            "erc20-approve-not-allowed",
            "erc721-approve-not-allowed",
            "setApprovalForAll-not-allowed",
            "permit2-approve-not-allowed",
            "permit2-lockdown-not-allowed",
            "permit2-invalidate-nonces-not-allowed",
            "invalid-permit2-target",
            "permit2-invalid-execution-length",
            "non-zero-amount",
            "non-zero-expiration",
            "not-a-revocation",
            "no-approval-to-revoke",
            SILENTLY,
        ],
    ),
];

#[test]
fn the_evaluators_answer_as_the_enforcers() {
    let cases = number_of_cases(CASES);
    let test = RefCell::new(Test::new());
    for_all(cases, &case(), |case| test.borrow_mut().run(&case));

    let tally = test.into_inner().tally;
    println!("{tally:#?}");
    let of_each = cases / 1_000;
    let assert_seen = |enforcer: Enforcer, what: &str| {
        let seen = tally.get(&(enforcer, what.to_owned())).copied().unwrap_or_default();
        assert!(seen >= of_each, "{enforcer} says {what:?} {seen} times; {of_each} are needed");
    };
    for (enforcer, refusals) in REFUSALS {
        assert_seen(enforcer, ALLOWED);
        assert_seen(enforcer, "CaveatEnforcer:invalid-execution-type");
        if !enforcer.takes_batches() {
            assert_seen(enforcer, "CaveatEnforcer:invalid-call-type");
        }
        for refusal in refusals {
            match *refusal {
                PANIC | SILENTLY => assert_seen(enforcer, refusal),
                text => assert_seen(enforcer, &format!("{enforcer}:{text}")),
            }
        }
        let kinds = tally.keys().filter(|(seen, _)| *seen == enforcer).count();
        let known = 2 + refusals.len() + usize::from(!enforcer.takes_batches());
        assert_eq!(kinds, known, "{enforcer} says something else");
    }
}

const ALLOWED: &str = "allowed";

struct Test {
    framework: Framework,
    ledger: Ledger,
    tally: BTreeMap<(Enforcer, String), u32>,
}

impl Test {
    fn new() -> Self {
        let framework = Framework::new(&contracts().delegation_framework);
        Self { framework, ledger: Ledger::default(), tally: BTreeMap::new() }
    }

    fn run(&mut self, case: &Case) -> TestCaseResult {
        let caveats: Vec<_> = case
            .caveats
            .iter()
            .map(|it| Caveat { enforcer: self.framework.address_of(it.enforcer), terms: &it.terms.0 })
            .collect();
        let delegation = Delegation {
            delegate: case.redeemer,
            delegator: case.delegator,
            authority: ROOT_AUTHORITY,
            caveats: Caveats::from(&caveats[..]),
            salt: case.salt,
            signature: &[],
        };
        let context = Delegations(&[delegation]).to_vec();
        let context = Context::parse(&context).unwrap();
        self.prepare(case, &delegation);

        for step in &case.steps {
            self.framework.machine.set_time(step.time);
            self.framework.machine.set_block(step.block);
            let redemption = Redemption::new(context, step.mode, &step.execution.0, case.redeemer).unwrap();
            if !self.redeem(&redemption, step.time, step.block)? {
                break;
            }
        }
        Ok(())
    }

    /// Brings the delegator's nonce and the calls that were counted to where the case begins.
    fn prepare(&mut self, case: &Case, delegation: &Delegation<'_>) {
        let nonces = self.framework.address_of(Enforcer::Nonce);
        for _ in 0..case.nonce {
            let increment = incrementNonceCall { manager: MANAGER };
            self.framework.machine.transact(case.delegator, nonces, &increment);
        }
        self.ledger.nonces.insert(case.delegator, U256::from(case.nonce));

        let address = self.framework.address_of(Enforcer::LimitedCalls);
        let by_manager = keccak256((MANAGER, U256::ZERO).abi_encode());
        let slot = keccak256((delegation.hash(), by_manager).abi_encode());
        self.framework.machine.set_storage(address, slot.into(), case.calls);
        let key = CounterKey { delegation: delegation.hash(), address, enforcer: Enforcer::LimitedCalls };
        self.ledger.counts.insert(key, case.calls);
    }

    /// Has the hooks called one after another, and says whether all was as before or is as charged, so that one can go on.
    fn redeem(&mut self, redemption: &Redemption<'_>, time: u64, block: u64) -> Result<bool, TestCaseError> {
        let Self { framework: Framework { machine, deployed }, ledger, tally } = self;
        let ids = deployed.iter().find(|(_, it)| *it == Enforcer::Id).unwrap().0;
        let enforcers = Enforcers::new(deployed);
        let delegation = redemption.context().get(0).unwrap();
        let state = State { time, block: Some(block), counters: &*ledger };
        let (mut charges, mut is_stopped, mut is_judged) = (Vec::new(), false, true);
        for (place, judgement) in redemption.judgements(&enforcers, &state) {
            let caveat = delegation.caveats.get(place.caveat).unwrap();
            let enforcer = enforcers.at(caveat.enforcer).unwrap();
            let answer = machine.commit(MANAGER, caveat.enforcer, hook(redemption, &delegation, caveat));
            let answer = answer.map(drop).map_err(|refused| said(&refused));
            let expected = match judgement {
                Judgement::Allowed(charge) => {
                    charges.extend(charge);
                    Ok(())
                }
                Judgement::Forbidden(forbidden) => {
                    prop_assert_eq!((forbidden.place, forbidden.enforcer), (place, enforcer));
                    is_stopped = true;
                    Err(foretold(&forbidden))
                }
                Judgement::NotJudged(NotJudged { missing: Missing::Approval, .. }) => {
                    is_judged = false;
                    break;
                }
                Judgement::NotJudged(other) => return Err(TestCaseError::fail(other.to_string())),
            };
            prop_assert_eq!(&answer, &expected, "{} in {:?}", enforcer, judgement);
            let what = expected.err().unwrap_or_else(|| ALLOWED.to_owned());
            *tally.entry((enforcer, what)).or_default() += 1;
        }
        if !is_judged || is_stopped && !charges.is_empty() {
            // The hooks before have counted, which the manager would have undone.
            return Ok(false);
        }
        charges.iter().for_each(|charge| ledger.keep(*charge));
        ledger.compare(machine, ids, &charges)?;
        Ok(true)
    }
}

fn hook(redemption: &Redemption<'_>, delegation: &Delegation<'_>, caveat: Caveat<'_>) -> Vec<u8> {
    beforeHookCall {
        terms: caveat.terms.to_vec().into(),
        args: Vec::new().into(),
        mode: redemption.mode().word(),
        execution: redemption.execution().to_vec().into(),
        delegationHash: redemption.hashes()[0],
        delegator: delegation.delegator,
        redeemer: redemption.redeemer(),
    }
    .abi_encode()
}

#[test]
fn the_addresses_of_version_1_3_0_are_the_package_s() {
    let package = toolchain().folder().join("node_modules/@metamask/delegation-deployments/dist/index.cjs");
    let text = std::fs::read_to_string(package).unwrap();
    let (_, text) = text.split_once("DEPLOYMENTS_1_3_0 = {").unwrap();
    let (deployed, _) = text.split_once('}').unwrap();
    assert!(deployed.contains(&format!("DelegationManager: \"{MANAGER_V1_3_0}\"")));
    for (enforcer, _) in REFUSALS {
        let address = enforcer.address_v1_3_0();
        assert!(deployed.contains(&format!("{enforcer}: \"{address}\"")), "{enforcer} is elsewhere");
        assert_eq!(Enforcers::V1_3_0.at(address), Some(enforcer));
    }
    assert_eq!(Enforcers::V1_3_0.at(Address::ZERO), None);
}
