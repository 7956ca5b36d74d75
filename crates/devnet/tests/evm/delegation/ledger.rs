//! What the enforcers keep, kept here by what the evaluator charges.

use std::collections::{HashMap, HashSet};

use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use quorate_core::delegation::{
    Approval, Charge, Counter, CounterKey, Counters, Enforcer as Kind, PeriodAllowance, StreamAllowance,
};

use super::abi::Enforcer::{
    callCountsCall, getIsUsedCall, periodicAllowancesCall, spentMapCall, streamingAllowancesCall,
};
use super::{MANAGER, TOKEN_APPROVED, TOKEN_NOT_APPROVED};
use crate::machine::Machine;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counts: HashMap<CounterKey, U256>,
    periods: HashMap<CounterKey, PeriodAllowance>,
    streams: HashMap<CounterKey, StreamAllowance>,
    ids: HashSet<(Address, U256)>,
    pub(super) nonces: HashMap<Address, U256>,
}

impl Ledger {
    pub(super) fn keep(&mut self, charge: Charge) {
        match charge {
            Charge::Counter { key, counter: Counter::Count(total) } => drop(self.counts.insert(key, total)),
            Charge::Counter { key, counter: Counter::Period(it) } => drop(self.periods.insert(key, it)),
            Charge::Counter { key, counter: Counter::Stream(it) } => drop(self.streams.insert(key, it)),
            Charge::Id { delegator, id } => drop(self.ids.insert((delegator, id))),
        }
    }

    /// That what was charged stands on chain.
    pub(super) fn compare(&self, machine: &mut Machine, ids: Address, charges: &[Charge]) -> TestCaseResult {
        for charge in charges {
            match *charge {
                Charge::Counter { key, counter: Counter::Count(_) } => {
                    let on_chain = if key.enforcer == Kind::LimitedCalls {
                        machine.ask(
                            key.address,
                            &callCountsCall { manager: MANAGER, delegationHash: key.delegation },
                        )
                    } else {
                        machine.ask(
                            key.address,
                            &spentMapCall { manager: MANAGER, delegationHash: key.delegation },
                        )
                    };
                    prop_assert_eq!(on_chain, Ok(self.counts[&key]));
                }
                Charge::Counter { key, counter: Counter::Period(_) } => {
                    let question =
                        periodicAllowancesCall { manager: MANAGER, delegationHash: key.delegation };
                    let it = machine.ask(key.address, &question).unwrap();
                    let on_chain = PeriodAllowance {
                        amount: it.amount,
                        duration: it.duration,
                        start: it.start,
                        period: it.period,
                        transferred: it.transferred,
                    };
                    prop_assert_eq!(on_chain, self.periods[&key]);
                }
                Charge::Counter { key, counter: Counter::Stream(_) } => {
                    let question =
                        streamingAllowancesCall { manager: MANAGER, delegationHash: key.delegation };
                    let it = machine.ask(key.address, &question).unwrap();
                    let on_chain = StreamAllowance {
                        initial: it.initial,
                        max: it.max,
                        per_second: it.perSecond,
                        start: it.start,
                        spent: it.spent,
                    };
                    prop_assert_eq!(on_chain, self.streams[&key]);
                }
                Charge::Id { delegator, id } => {
                    let on_chain = machine.ask(ids, &getIsUsedCall { manager: MANAGER, delegator, id });
                    prop_assert_eq!(on_chain, Ok(true));
                }
            }
        }
        Ok(())
    }
}

/// All is known but what tokens say that are none.
impl Counters for Ledger {
    fn count(&self, key: &CounterKey) -> Option<U256> {
        Some(self.counts.get(key).copied().unwrap_or_default())
    }

    fn period(&self, key: &CounterKey) -> Option<PeriodAllowance> {
        Some(self.periods.get(key).copied().unwrap_or_default())
    }

    fn stream(&self, key: &CounterKey) -> Option<StreamAllowance> {
        Some(self.streams.get(key).copied().unwrap_or_default())
    }

    fn is_id_used(&self, delegator: Address, id: U256) -> Option<bool> {
        Some(self.ids.contains(&(delegator, id)))
    }

    fn nonce(&self, delegator: Address) -> Option<U256> {
        Some(self.nonces.get(&delegator).copied().unwrap_or_default())
    }

    fn is_approved(&self, approval: &Approval) -> Option<bool> {
        let (Approval::Allowance { token, .. }
        | Approval::Token { token, .. }
        | Approval::Operator { token, .. }) = *approval;
        match token {
            TOKEN_APPROVED => Some(true),
            TOKEN_NOT_APPROVED => Some(false),
            _ => None,
        }
    }
}
