//! What may be done to call data. The contracts take more than the canonical encoding.

use alloy_sol_types::SolCall;
use proptest::prelude::*;
use proptest::sample::Index;
use quorate_contracts::SmartAccount;

use crate::machine::Hex;

#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Append(Hex),
    Cut(Index),
    /// Sets the high bytes of a word of arguments, where an address has zeros.
    Dirty(Index),
    /// Puts a word between the arguments of `execute` and its data, where the account still finds the data.
    Gap,
}

impl Mutation {
    pub(crate) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Append(more) => data.extend(&more.0),
            Self::Cut(at) => data.truncate(at.index(data.len() + 1)),
            Self::Dirty(at) => {
                let words = data.len().saturating_sub(4) / 32;
                let word = 4 + 32 * at.index(words.max(1));
                if let Some(high) = data.get_mut(word..word + 12) {
                    high.fill(0xd1);
                }
            }
            Self::Gap => {
                let single = [SmartAccount::executeCall::SELECTOR, SmartAccount::execute_ncCCall::SELECTOR];
                if single.iter().any(|selector| data.starts_with(selector)) {
                    // After the address, the value, and the offset of the data, which grows.
                    data.splice(100..100, [0xda; 32]);
                    data[99] += 32;
                }
            }
        }
    }
}

/// Of the data of a call that the account makes.
pub(crate) fn of_call() -> impl Strategy<Value = Mutation> {
    prop_oneof![6 => append(), 1 => cut(), 1 => dirty()]
}

/// Of the data that the account is called with.
pub(crate) fn of_call_data() -> impl Strategy<Value = Mutation> {
    prop_oneof![3 => append(), 1 => cut(), 1 => dirty(), 2 => Just(Mutation::Gap)]
}

fn append() -> impl Strategy<Value = Mutation> {
    prop::collection::vec(any::<u8>(), 1..=64).prop_map(|more| Mutation::Append(Hex(more)))
}

fn cut() -> impl Strategy<Value = Mutation> {
    any::<Index>().prop_map(Mutation::Cut)
}

fn dirty() -> impl Strategy<Value = Mutation> {
    any::<Index>().prop_map(Mutation::Dirty)
}
